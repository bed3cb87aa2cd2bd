/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base64.h"
#include "proto/text.h"

static void test_words(void **state) {
    (void)state;
    struct text_token w[4];
    assert_int_equal(text_split("", 0, w, 4), 0);
    assert_int_equal(text_split("   ", 3, w, 4), 0);
    assert_int_equal(text_split("  a  bc ", 8, w, 4), 2);
    assert_true(text_is_lit(&w[0], "a") && text_is_lit(&w[1], "bc"));
    assert_int_equal(text_split("a b c d e f", 11, w, 4), 5); /* counts no further than one more */
    assert_int_equal(text_split("a\tb", 3, w, 4), 1);         /* only spaces part words */
    struct text_token last = text_last("set k noreply  ", 15);
    assert_true(text_is_lit(&last, "noreply"));
    assert_int_equal(text_last("  ", 2).n, 0);
}

static void number_u(const char *text, bool good, uint64_t want) {
    uint64_t v = 0;
    assert_int_equal(text_u64(text, strlen(text), &v), good);
    if (good) assert_true(v == want);
}

static void number_i(const char *text, bool good, int64_t want) {
    int64_t v = 0;
    assert_int_equal(text_i64(text, strlen(text), &v), good);
    if (good) assert_true(v == want);
}

static void test_numbers(void **state) {
    (void)state;
    uint32_t v;
    number_u("0", true, 0);
    number_u("18446744073709551615", true, UINT64_MAX);
    number_u("000000000000000000000000000007", true, 7);
    number_u("18446744073709551616", false, 0);
    number_u("99999999999999999999", false, 0);
    number_u("", false, 0);
    number_u("-1", false, 0);
    number_u("+1", false, 0);
    number_u("1x", false, 0);
    number_i("-9223372036854775808", true, INT64_MIN);
    number_i("9223372036854775807", true, INT64_MAX);
    number_i("9223372036854775808", false, 0);
    number_i("-9223372036854775809", false, 0);
    number_i("-", false, 0);
    number_i("--1", false, 0);
    assert_true(text_u32("4294967295", 10, &v) && v == UINT32_MAX);
    assert_false(text_u32("4294967296", 10, &v));
}

static void test_digits(void **state) {
    (void)state;
    char out[32], want[32];
    for (uint64_t v = 0, step = 1; v < UINT64_MAX / 3; v += step, step = v / 97 + 1) {
        *text_put_u64(out, v) = '\0';
        snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
        assert_string_equal(out, want);
    }
    *text_put_u64(out, UINT64_MAX) = '\0';
    assert_string_equal(out, "18446744073709551615");
    *text_put_i64(out, INT64_MIN) = '\0';
    assert_string_equal(out, "-9223372036854775808");
    *text_put_i64(out, -1) = '\0';
    assert_string_equal(out, "-1");
}

/* Ends of words at every place and length, in blocks of their own size. */
static void test_key_end(void **state) {
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        for (size_t at = 0; at <= n; at++) {
            char *p = malloc(n > 0 ? n : 1);
            bool mark = false;
            assert_non_null(p);
            memset(p, 'k', n);
            if (at < n) p[at] = at % 2 == 0 ? ' ' : '\n';
            if (at > 0) p[at - 1] = '|';
            assert_ptr_equal(text_word_end(p, p, p + n, '\n', '|', &mark), p + at);
            assert_int_equal(mark, at > 0);
            /* The same with other bytes before it that may be read. */
            for (size_t from = 0; from <= at; from++) {
                mark = false;
                assert_ptr_equal(text_word_end(p, p + from, p + n, '\n', '|', &mark), p + at);
                assert_int_equal(mark, at > from);
            }
            if (at < n) p[at] = '\n';
            for (size_t from = 0; from <= at; from++)
                assert_ptr_equal(text_newline(p, p + from, p + n), at < n ? p + at : NULL);
            free(p);
        }
    }
}

static enum text_store_error parse(const char *line, bool cas, struct text_store *out) {
    return text_parse_store(line, strlen(line), 3, cas, '|', out);
}

static void test_store_lines(void **state) {
    (void)state;
    struct text_store t;
    assert_int_equal(parse("set k 1 2 3", false, &t), TEXT_STORE_OK);
    assert_true(t.flags == 1 && t.exptime == 2 && t.length == 3 && !t.noreply && !t.mark && text_is_lit(&t.key, "k"));
    assert_int_equal(parse("set  k|x  4294967295  -5  1000000000  noreply ", false, &t), TEXT_STORE_OK);
    assert_true(t.flags == UINT32_MAX && t.exptime == -5 && t.length == 1000000000 && t.noreply && t.mark);
    assert_int_equal(parse("set k 0 0 1 noreply x", false, &t), TEXT_STORE_OK);
    assert_false(t.noreply);
    assert_int_equal(parse("set k 0 0 1 x noreply", false, &t), TEXT_STORE_OK);
    assert_true(t.noreply);
    assert_int_equal(parse("cas k 0 0 1 18446744073709551615", true, &t), TEXT_STORE_OK);
    assert_true(t.cas == UINT64_MAX);
    assert_int_equal(parse("set k 0 0", false, &t), TEXT_STORE_FEW);
    assert_int_equal(parse("set", false, &t), TEXT_STORE_FEW);
    assert_int_equal(parse("cas k 0 0", true, &t), TEXT_STORE_FEW);
    assert_int_equal(parse("cas k 0 0 1", true, &t), TEXT_STORE_BAD); /* the block is known of */
    assert_true(t.length == 1 && !t.noreply && !t.shifted);
    assert_int_equal(parse("cas k 0 0 1 noreply", true, &t), TEXT_STORE_BAD);
    assert_true(t.length == 1 && t.noreply && !t.shifted);
    assert_int_equal(parse("set k 0 0 -1", false, &t), TEXT_STORE_LENGTH);
    assert_int_equal(parse("set k 0 0 1x", false, &t), TEXT_STORE_LENGTH);
    assert_int_equal(parse("set k 0 0 2147483646", false, &t), TEXT_STORE_LENGTH);
    assert_int_equal(parse("set k 0 0 2147483645", false, &t), TEXT_STORE_OK);
    assert_int_equal(parse("set k 4294967296 0 1", false, &t), TEXT_STORE_BAD);
    assert_int_equal(parse("set k -1 0 1", false, &t), TEXT_STORE_BAD);
    assert_int_equal(parse("set k 0 9223372036854775808 1 noreply", false, &t), TEXT_STORE_BAD);
    assert_true(t.noreply && t.length == 1);
    assert_int_equal(parse("cas k 0 0 1 x", true, &t), TEXT_STORE_BAD);
}

/* A line as clients send it, in a block of its own size: how many bytes of it were read, 0 when it is not usual. */
static size_t usual(const char *line, struct text_store *out) {
    size_t n = strlen(line);
    char *p = malloc(n);
    assert_non_null(p);
    memcpy(p, line, n);
    const char *e = text_store_usual(p, p + 4, p + n, '|', out);
    size_t read = e == NULL ? 0 : (size_t)(e - p);
    assert_ptr_equal(out->key.p, p + 4);
    out->key.p = line + 4;
    free(p);
    return read;
}

static void test_usual_lines(void **state) {
    (void)state;
    struct text_store t;
    assert_int_equal(usual("set k 0 0 3\r\nabc\r\n", &t), 13);
    assert_true(t.flags == 0 && t.exptime == 0 && t.length == 3 && !t.mark && text_is_lit(&t.key, "k"));
    assert_int_equal(usual("set a|key 999999999 12 345678901\r\n", &t), 34);
    assert_true(t.flags == 999999999 && t.exptime == 12 && t.length == 345678901 && t.mark);
    assert_int_equal(usual("set k 0 0 0\r\n", &t), 13);
    const char *const unusual[] = {
        "set k 0 0 3\n",
        "set k 0 0 3 \r\n",
        "set k 0 0 3 noreply\r\n",
        "set k 0  0 3\r\n",
        "set  k 0 0 3\r\n",
        "set k -1 0 3\r\n",
        "set k 0 -1 3\r\n",
        "set k 0 0 -3\r\n",
        "set k 0 0\r\n",
        "set k 0 0 x\r\n",
        "set k 1x 0 3\r\n",
        "set k 0 0 3",
        "set k 0 0 3\r",
        "set k 0 0 ",
        "set k 0",
        "set k",
        "set k 1234567890 0 1\r\n",
        "set k 0 0 1234567890\r\n",
    };
    for (size_t i = 0; i < sizeof unusual / sizeof *unusual; i++) assert_int_equal(usual(unusual[i], &t), 0);
}

static void test_base64(void **state) {
    (void)state;
    char out[64];
    assert_int_equal(base64_decode("Zm9vYmFy", 8, out), 6);
    assert_memory_equal(out, "foobar", 6);
    assert_int_equal(base64_decode("Zm8=", 4, out), 2);
    assert_int_equal(base64_decode("Zg==", 4, out), 1);
    assert_int_equal(base64_decode("", 0, out), 0);
    assert_int_equal(base64_decode("Zm9", 3, out), 0);
    assert_int_equal(base64_decode("Z===", 4, out), 0);
    assert_int_equal(base64_decode("====", 4, out), 0);
    assert_int_equal(base64_decode("Zg==Zg==", 8, out), 0);
    assert_int_equal(base64_decode("Zm-_", 4, out), 0);
    assert_int_equal(base64_encode("foobar", 6, out), 8);
    assert_memory_equal(out, "Zm9vYmFy", 8);
    assert_int_equal(base64_encode("f", 1, out), 4);
    assert_memory_equal(out, "Zg==", 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),   cmocka_unit_test(test_numbers),     cmocka_unit_test(test_digits),
        cmocka_unit_test(test_key_end), cmocka_unit_test(test_store_lines), cmocka_unit_test(test_usual_lines),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
