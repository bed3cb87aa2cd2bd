/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The auth file (-Y): what it may hold, and who gets in with it. */
#include <errno.h>

#include "cmd/cmd_auth.h"
#include "tests/unit/talk.h"

static struct cmd_auth_table *parse(const char *text) {
    struct cmd_auth_table *t = NULL;
    assert_int_equal(cmd_auth_parse(text, strlen(text), &t), 0);
    return t;
}

static bool check(const struct cmd_auth_table *t, const char *name, const char *password) {
    bool admin;
    return cmd_auth_check(t, name, strlen(name), password, strlen(password), &admin);
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
    bool admin;
    for (unsigned i = 0; i <= AUTH_USERS_MAX; i++) memcpy(text + 4 * i, "u:p\n", 4);
    assert_int_equal(cmd_auth_parse(text, 4 * AUTH_USERS_MAX, &t), 0);
    free(t);
    assert_int_equal(cmd_auth_parse(text, sizeof text, &t), -E2BIG);

    memset(line, 'n', sizeof line);
    memcpy(line + AUTH_WORD_MAX, ":p\n", 3);
    assert_int_equal(cmd_auth_parse(line, AUTH_WORD_MAX + 3, &t), 0);
    assert_true(cmd_auth_check(t, line, AUTH_WORD_MAX, "p", 1, &admin));
    assert_false(cmd_auth_check(t, line, AUTH_WORD_MAX + 1, "p", 1, &admin)); /* longer than any name */
    free(t);
    line[AUTH_WORD_MAX] = 'n';
    memcpy(line + AUTH_WORD_MAX + 1, ":p\n", 3);
    assert_int_equal(cmd_auth_parse(line, AUTH_WORD_MAX + 4, &t), -E2BIG);
}

/* ------------------------------------------------------------------ a node */

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    assert_int_equal(fclose(f), 0);
}

static void nothing_is_answered_before_authentication(void **state) {
    char path[] = "/tmp/tagcached-auth-XXXXXX", options[64];
    int file = mkstemp(path);
    (void)state;
    assert_true(file >= 0);
    close(file);
    write_file(path, "bob:secret\nfoo:bar:baz\n");
    snprintf(options, sizeof options, "-Y %s", path);
    struct subject *node = talk_node(options);
    int fd = talk_open(node), other = talk_open(node);
    talk_expect(fd, "get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    talk_expect(fd, "mn\r\n", "CLIENT_ERROR unauthenticated\r\n");
    talk_expect(fd, "ms k 10\r\nbob secret\r\n", "CLIENT_ERROR unauthenticated\r\n"); /* one answer: no line is in it */
    talk_expect(fd, "set k 0 0 x\r\n", "CLIENT_ERROR unauthenticated\r\n");
    talk_expect(fd, "set k 0 0 10\r\nbob secreX\r\n", "CLIENT_ERROR authentication failure\r\n");
    talk_expect(fd, "set k 0 0 3\r\nbob\r\n", "CLIENT_ERROR bad authentication token format\r\n");
    talk_expect(fd, "get a\r\n", "CLIENT_ERROR unauthenticated\r\n");
    talk_expect(fd, "set k 0 0 10\r\nbob secret\r\n", "STORED\r\n");
    talk_expect(fd, "get k\r\n", "END\r\n");                         /* it was no store */
    talk_expect(fd, "set k 0 0 10\r\nbob secreX\r\n", "STORED\r\n"); /* this one was */
    /* Key, flags and exptime of the handshake do not matter. */
    talk_expect(other, "set k x y 11\r\nfoo bar:baz\r\nget k\r\n", "STORED\r\nVALUE k 0 10\r\nbob secreX\r\nEND\r\n");
    char *text = talk_ask(fd, "stats\r\n", "END\r\n");
    assert_non_null(strstr(text, "STAT auth_cmds 3\r\n"));
    assert_non_null(strstr(text, "STAT auth_errors 1\r\n"));
    free(text);

    /* The file is read again when asked; a bad one changes nothing; who is in stays in. */
    int third = talk_open(node), fourth = talk_open(node);
    write_file(path, "nocolon\n");
    (void)subject_reload(node);
    talk_expect(third, "set k 0 0 10\r\nbob secret\r\n", "STORED\r\n");
    write_file(path, "bob:changed\n");
    assert_int_equal(subject_reload(node), 0);
    talk_expect(fourth, "set k 0 0 10\r\nbob secret\r\n", "CLIENT_ERROR authentication failure\r\n");
    talk_expect(fourth, "set k 0 0 11\r\nbob changed\r\n", "STORED\r\n");
    talk_expect(fd, "mn\r\n", "MN\r\n");
    close(fd);
    close(other);
    close(third);
    close(fourth);
    subject_stop(node);
    unlink(path);
}

static void admins_are_marked(void **state) {
    (void)state;
    static const char text[] = "op:secret:admin\nweb:secret\nodd:admin\n";
    struct cmd_auth_table *t = NULL;
    bool admin = false;
    assert_int_equal(cmd_auth_parse(text, sizeof text - 1, &t), 0);
    assert_true(cmd_auth_check(t, "op", 2, "secret", 6, &admin));
    assert_true(admin);
    assert_false(cmd_auth_check(t, "op", 2, "secret:admin", 12, &admin));
    assert_false(admin);
    assert_true(cmd_auth_check(t, "web", 3, "secret", 6, &admin));
    assert_false(admin);
    assert_true(cmd_auth_check(t, "odd", 3, "admin", 5, &admin)); /* a password, for there is none else */
    assert_false(admin);
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admins_are_marked),
        cmocka_unit_test(lets_in_who_is_listed),
        cmocka_unit_test(empty_names_and_passwords_are_themselves),
        cmocka_unit_test(refuses_what_it_cannot_understand),
        cmocka_unit_test(bounds_lines_and_their_length),
        cmocka_unit_test(nothing_is_answered_before_authentication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
