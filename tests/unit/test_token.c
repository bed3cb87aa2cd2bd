/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Tokens of HTTP clients: lines, files, who may purge what. */
#include "proto/token.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HASH_A "blake2b:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HASH_B "blake2b:1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_lines(void **state) {
    static const char *const good[] = {
        "deploy " HASH_A " purge",
        "a.b_c-d:e@f " HASH_A " read,purge,purge_all,admin",
        "deploy " HASH_A " purge tags=deploy:,page: rate=10",
        "deploy " HASH_A " purge rate=1000000",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        struct token t;
        char line[TOKEN_LINE_MAX];
        assert_null(token_parse(good[i], strlen(good[i]), &t));
        const size_t n = token_write(&t, line);
        assert_int_equal(n, strlen(line));
        assert_string_equal(line, good[i]);
    }
}

static void test_bad_lines(void **state) {
    static const char *const bad[] = {
        "",
        "deploy",
        "deploy purge",
        "deploy " HASH_A,
        "deploy " HASH_A " ",
        "deploy " HASH_A " write",
        "deploy " HASH_A " purge,",
        "deploy " HASH_A " ,purge",
        "deploy " HASH_A "0 purge",
        "deploy blake2b:x123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef purge",
        "deploy 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef purge",
        "de/ploy " HASH_A " purge",
        "deploy " HASH_A " purge rate=0",
        "deploy " HASH_A " purge rate=-1",
        "deploy " HASH_A " purge rate=1000001",
        "deploy " HASH_A " purge rate=1 rate=2",
        "deploy " HASH_A " purge tags=",
        "deploy " HASH_A " purge tags=a,,b",
        "deploy " HASH_A " purge tags=a+b",
        "deploy " HASH_A " purge tags=a tags=b",
        "deploy " HASH_A " purge other=1",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct token t;
        if (token_parse(bad[i], strlen(bad[i]), &t) == NULL) fail_msg("\"%s\" was read", bad[i]);
    }
}

static int parse(const char *text, struct token_table **t, char why[128]) {
    return token_table_parse(text, strlen(text), t, why, 128);
}

static void test_files(void **state) {
    struct token_table *t;
    char why[128];
    (void)state;
    assert_int_equal(parse("# tokens\n\na " HASH_A " purge\r\nb " HASH_B " read", &t, why), 0);
    assert_int_equal(t->n, 2);
    assert_string_equal(t->tokens[1].name, "b");
    free(t);
    assert_int_equal(parse("", &t, why), 0);
    assert_int_equal(t->n, 0);
    free(t);
    assert_int_equal(parse("a " HASH_A " purge\na " HASH_B " read\n", &t, why), -EINVAL);
    assert_string_equal(why, "line 2: this name is there already");
    assert_int_equal(parse("a " HASH_A " purge\n\nb " HASH_A " read\n", &t, why), -EINVAL);
    assert_string_equal(why, "line 3: this hash is there already");
}

static void test_too_many(void **state) {
    const size_t room = 300 * 120;
    char *text = malloc(room), why[128];
    struct token_table *t;
    size_t n = 0;
    (void)state;
    for (unsigned i = 0; i < 257; i++) n += (size_t)snprintf(text + n, room - n, "t%u blake2b:%064x purge\n", i, i);
    assert_int_equal(token_table_parse(text, n, &t, why, sizeof why), -EINVAL);
    assert_string_equal(why, "line 257: there are more than 256 tokens");
    text[--n] = '\0';
    n = (size_t)(strrchr(text, '\n') - text);
    assert_int_equal(token_table_parse(text, n, &t, why, sizeof why), 0);
    assert_int_equal(t->n, 256);
    free(t);
    free(text);
}

/* The digest is BLAKE2b's of 32 bytes, unkeyed (RFC 7693): of "abc" as `b2sum -l 256` prints it. */
static void test_secrets(void **state) {
    static const char abc[] = "a blake2b:bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319 purge";
    static const unsigned char random[TOKEN_SECRET_RANDOM] = {0xab, 1};
    struct token_table *t;
    char why[128], secret[TOKEN_SECRET_TEXT + 1];
    (void)state;
    assert_int_equal(parse(abc, &t, why), 0);
    assert_ptr_equal(token_find(t, "abc", 3), &t->tokens[0]);
    assert_null(token_find(t, "abd", 3));
    assert_null(token_find(t, "", 0));
    free(t);
    token_secret(random, secret);
    assert_int_equal(strlen(secret), 68);
    assert_memory_equal(secret, "tct_ab01", 8);
}

static bool covers(const char *prefixes, const char *selectors) {
    struct token t = {.scopes = TOKEN_PURGE};
    strcpy(t.prefixes, prefixes);
    return token_covers(&t, selectors, strlen(selectors));
}

static void test_prefixes(void **state) {
    (void)state;
    assert_true(covers("", "anything,a+b"));
    assert_true(covers("", "*"));
    assert_true(covers("page:", "page:1,page:2"));
    assert_true(covers("page:,post:", "post:1,page:2"));
    assert_true(covers("page:", "region:de+page:1")); /* takes no more than page:1 would */
    assert_false(covers("page:", "page:1,region:de"));
    assert_false(covers("page:", "page"));
    assert_false(covers("page:", "*"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_bad_lines), cmocka_unit_test(test_files),
        cmocka_unit_test(test_too_many), cmocka_unit_test(test_secrets),   cmocka_unit_test(test_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
