/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/keytags.h"

static const struct keytags_marker usual = {"|#|", 3};

static void split(const char *key, enum keytags_kind kind, size_t bare, const char *list) {
    struct keytags_key k;
    keytags_split_key(&usual, key, strlen(key), &k);
    assert_int_equal(k.kind, kind);
    assert_int_equal(k.bare_len, bare);
    assert_int_equal(k.list_len, strlen(list));
    assert_memory_equal(k.list, list, k.list_len);
}

static void test_suffix(void **state) {
    (void)state;
    split("song:991|#|t=artist:42,album:7", KEYTAGS_TAGS, 8, "artist:42,album:7");
    split("x|#|p=a+b", KEYTAGS_PURGE, 1, "a+b");
    split("x", KEYTAGS_NONE, 1, "");
    split("", KEYTAGS_NONE, 0, "");
    split("x|#|", KEYTAGS_NONE, 4, "");
    split("x|#|t", KEYTAGS_NONE, 5, "");
    split("x|#|s=a", KEYTAGS_NONE, 7, "");
    split("|#|t=", KEYTAGS_TAGS, 0, "");
    split("a|#|t=b|#|p=c", KEYTAGS_PURGE, 7, "c"); /* the last one counts */
    split("a|#|p=b|#|t=c", KEYTAGS_TAGS, 7, "c");
    split("a|#|#|t=c", KEYTAGS_TAGS, 3, "c");
    struct keytags_key k;
    keytags_split_key(&(struct keytags_marker){"", 0}, "a|#|t=b", 7, &k);
    assert_int_equal(k.kind, KEYTAGS_NONE);
    keytags_split_key(&(struct keytags_marker){"@@", 2}, "a@@t=b", 6, &k);
    assert_true(k.kind == KEYTAGS_TAGS && k.bare_len == 1);
}

static bool tag(const char *p) {
    return keytags_is_tag(p, strlen(p));
}

static void test_tags(void **state) {
    (void)state;
    char longest[202];
    memset(longest, 'x', sizeof(longest));
    assert_true(tag("a") && tag("artist:42") && tag("\xc3\xa4") && tag("a*") && tag("gtk%2B3.0"));
    assert_false(tag("") || tag("*") || tag("a b") || tag("a,b") || tag("a+b") || tag("a\tb") || tag("\x7f"));
    assert_true(keytags_is_tag(longest, 200));
    assert_false(keytags_is_tag(longest, 201));
}

static bool list(const char *p) {
    return keytags_is_list(p, strlen(p));
}

static bool selector(const char *p) {
    return keytags_is_selector(p, strlen(p));
}

static bool selectors(const char *p) {
    return keytags_is_selectors(p, strlen(p));
}

static bool too_long(const char *p) {
    return keytags_is_too_long(p, strlen(p));
}

static void test_too_long(void **state) {
    (void)state;
    char long_one[300] = "a,,";
    assert_false(too_long("") || too_long("a,,b") || too_long("a+b"));
    memset(long_one + 3, 'x', 200);
    assert_false(too_long(long_one));
    long_one[203] = 'x';
    assert_true(too_long(long_one) && too_long(long_one + 3));
    memcpy(long_one + 204, ",b", 3);
    assert_true(too_long(long_one));
}

static void test_lists(void **state) {
    (void)state;
    char many[2 * 65];
    assert_true(list("a") && list("a,b") && list("a,a"));
    assert_false(list("") || list(",") || list("a,") || list(",a") || list("a,,b") || list("a+b") || list("*"));
    for (int i = 0; i < 65; i++) many[2 * i] = 'a', many[2 * i + 1] = ',';
    assert_true(keytags_is_list(many, 65 * 2 - 1));
    assert_true(keytags_is_selectors(many, 64 * 2 - 1));
    assert_false(keytags_is_selectors(many, 65 * 2 - 1));
    for (int i = 0; i < 65; i++) many[2 * i + 1] = '+';
    assert_true(keytags_is_selector(many, 64 * 2 - 1));
    assert_false(keytags_is_selector(many, 65 * 2 - 1));
    assert_true(selector("a") && selector("a+b") && selector("*") && selector("a*"));
    assert_false(selector("") || selector("+") || selector("a+") || selector("a,b") || selector("*+a") ||
                 selector("a+*"));
    assert_true(selectors("a") && selectors("a+b,c,*"));
    assert_false(selectors("") || selectors("a,") || selectors("a+,b"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suffix),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
