/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Addresses with a port, as text. */
#include "base/hostport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void good(const char *text, const char *host, unsigned port) {
    struct hostport got;
    char back[HOSTPORT_MAX + 1];
    assert_true(hostport_read(text, &got));
    assert_string_equal(got.host, host);
    assert_int_equal(got.port, port);
    hostport_text(got.host, got.port, back);
    assert_string_equal(back, text);
}

static void test_good_ones(void **state) {
    (void)state;
    good("cache1:11211", "cache1", 11211);
    good("10.0.0.1:1", "10.0.0.1", 1);
    good("[::1]:65535", "::1", 65535);
    good("*:21211", "*", 21211);
}

static void test_bad_ones(void **state) {
    (void)state;
    static const char *const bad[] = {"",      "a",     "a:",    ":1",    "a:0",    "a:65536", "a:123456",
                                      "a:1x",  "::1",   "::1:2", "[::1]", "[::1]1", "[]:1",    "a b:1",
                                      "a,b:1", "a\n:1", "[::1",  "a:-1",  "a: 1"};
    struct hostport got;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (hostport_read(bad[i], &got)) fail_msg("\"%s\" was read", bad[i]);
    }
}

static void test_the_longest_host(void **state) {
    (void)state;
    char text[HOSTPORT_HOST_MAX + 8];
    struct hostport got;
    memset(text, 'a', HOSTPORT_HOST_MAX);
    strcpy(text + HOSTPORT_HOST_MAX, ":1");
    assert_true(hostport_read(text, &got));
    memset(text, 'a', HOSTPORT_HOST_MAX + 1);
    strcpy(text + HOSTPORT_HOST_MAX + 1, ":1");
    assert_false(hostport_read(text, &got));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_ones),
        cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_the_longest_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
