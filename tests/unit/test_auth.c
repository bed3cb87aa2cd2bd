/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The auth file (-Y): what it may hold, and who gets in with it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd_auth.h"

static struct cmd_auth_table *parse(const char *text) {
    struct cmd_auth_table *t = NULL;
    assert_int_equal(cmd_auth_parse(text, strlen(text), &t), 0);
    return t;
}

static bool check(const struct cmd_auth_table *t, const char *name, const char *password) {
    return cmd_auth_check(t, name, strlen(name), password, strlen(password));
}

static void lets_in_who_is_listed(void **state) {
    (void)state;
    struct cmd_auth_table *t = parse("bob:secret\nana:x:y:z\r\nlast:one");
    assert_int_equal(t->n, 3);
    assert_true(check(t, "bob", "secret"));
    assert_true(check(t, "ana", "x:y:z")); /* the first colon ends the name */
    assert_true(check(t, "last", "one"));
    assert_false(check(t, "bob", "one"));
    assert_false(check(t, "last", "secret"));
    assert_false(check(t, "bob", "secre"));
    assert_false(check(t, "bob", "secret "));
    assert_false(check(t, "bo", "secret"));
    assert_false(check(t, "", ""));
    free(t);
}

static void empty_names_and_passwords_are_themselves(void **state) {
    (void)state;
    struct cmd_auth_table *t = parse(":nameless\nfree:\n");
    assert_true(check(t, "", "nameless"));
    assert_true(check(t, "free", ""));
    assert_false(check(t, "free", "nameless"));
    free(t);
}

static void refuses_what_it_cannot_understand(void **state) {
    (void)state;
    struct cmd_auth_table *t = NULL;
    assert_int_equal(cmd_auth_parse("nocolon\n", 8, &t), -EINVAL);
    assert_int_equal(cmd_auth_parse("a:b\n\nc:d\n", 9, &t), -EINVAL); /* an empty line has no colon */
    assert_int_equal(cmd_auth_parse("", 0, &t), -EINVAL);
    assert_null(t);
}

static void bounds_lines_and_their_length(void **state) {
    (void)state;
    struct cmd_auth_table *t = NULL;
    char text[4 * (AUTH_USERS_MAX + 1)], line[AUTH_WORD_MAX + 4];
    for (unsigned i = 0; i <= AUTH_USERS_MAX; i++) memcpy(text + 4 * i, "u:p\n", 4);
    assert_int_equal(cmd_auth_parse(text, 4 * AUTH_USERS_MAX, &t), 0);
    free(t);
    assert_int_equal(cmd_auth_parse(text, sizeof text, &t), -E2BIG);

    memset(line, 'n', sizeof line);
    memcpy(line + AUTH_WORD_MAX, ":p\n", 3);
    assert_int_equal(cmd_auth_parse(line, AUTH_WORD_MAX + 3, &t), 0);
    assert_true(cmd_auth_check(t, line, AUTH_WORD_MAX, "p", 1));
    assert_false(cmd_auth_check(t, line, AUTH_WORD_MAX + 1, "p", 1)); /* longer than any name */
    free(t);
    line[AUTH_WORD_MAX] = 'n';
    memcpy(line + AUTH_WORD_MAX + 1, ":p\n", 3);
    assert_int_equal(cmd_auth_parse(line, AUTH_WORD_MAX + 4, &t), -E2BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in_who_is_listed),
        cmocka_unit_test(empty_names_and_passwords_are_themselves),
        cmocka_unit_test(refuses_what_it_cannot_understand),
        cmocka_unit_test(bounds_lines_and_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
