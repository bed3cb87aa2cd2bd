/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The sketch of what is asked for most, and its numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/hot.h"

#define SECOND UINT64_C(1000000000)

static struct hot hot;

static void begin(uint64_t seed) {
    memset(&hot, 0, sizeof hot);
    hot_init(&hot, HOT_SAMPLE, seed, 0);
}

static uint64_t hash_of(unsigned key) {
    return (key + 1) * UINT64_C(0x9e3779b97f4a7c15) * UINT64_C(0xc4ceb9fe1a85ec53);
}

static void count(unsigned key, unsigned times, uint64_t now_ns) {
    char name[16];
    const int n = snprintf(name, sizeof name, "k%u", key);
    for (unsigned i = 0; i < times; i++) hot_count(&hot, hash_of(key), name, (size_t)n, now_ns);
}

static const struct hot_key *named(const char *key) {
    for (unsigned i = 0; i < hot.ntop; i++)
        if (hot.top[i].len == strlen(key) && memcmp(hot.top[i].key, key, hot.top[i].len) == 0) return &hot.top[i];
    return NULL;
}

/* One in 32, on average, whatever the size of the batches; and no gap is always the same. */
static void one_request_in_32_is_counted(void **state) {
    static const unsigned batches[] = {1, 16, 64};
    (void)state;
    for (unsigned b = 0; b < 3; b++) {
        unsigned counted = 0, last = 0, same = 0, at = 0;
        begin(1 + b);
        for (unsigned done = 0; done < 320000; done += batches[b])
            for (unsigned i = 0; (i += hot_next(&hot, batches[b] - i)) < batches[b]; i++) {
                same += done + i - last == at;
                at = done + i - last;
                last = done + i;
                counted++;
            }
        assert_in_range(counted, 9700, 10300);
        assert_in_range(same, 0, 400); /* of 10,000 */
    }
    assert_int_equal(HOT_SAMPLE, 32);
}

/* 1 %: of 10,000 samples, 100 are not more, 101 are. */
static void hot_is_more_than_one_in_a_hundred(void **state) {
    (void)state;
    begin(1);
    count(0, 100, 0);
    for (unsigned k = 1; k <= 99; k++) count(k, 100, 0);
    assert_int_equal(hot.total, 10000);
    assert_false(hot_is_hot(&hot, hash_of(0), 0));
    count(0, 2, 0);
    assert_true(hot_is_hot(&hot, hash_of(0), 0));
    assert_false(hot_is_hot(&hot, hash_of(1), 0));
}

/* 500 a second: 15 samples right after the counts were halved stand for 480 requests, 16 for 512. */
static void hot_is_more_than_500_a_second(void **state) {
    (void)state;
    begin(1);
    count(0, 15, 0);
    assert_false(hot_is_hot(&hot, hash_of(0), 0));
    count(0, 1, 0);
    assert_true(hot_is_hot(&hot, hash_of(0), 0));
    assert_false(hot_is_hot(&hot, hash_of(0), SECOND / 2));
    count(0, 8, SECOND / 2);
    assert_true(hot_is_hot(&hot, hash_of(0), SECOND / 2));
    assert_int_equal(hot_rate(&hot, 24, SECOND / 2), 512);
}

static void counts_are_halved_each_second(void **state) {
    (void)state;
    begin(1);
    count(0, 1000, SECOND / 10);
    hot_age(&hot, SECOND - 1);
    assert_int_equal(named("k0")->count, 1000);
    hot_age(&hot, SECOND);
    assert_int_equal(named("k0")->count, 500);
    assert_int_equal(hot.total, 500);
    hot_age(&hot, 4 * SECOND + 1);
    assert_int_equal(named("k0")->count, 62);
    count(0, 1, 4 * SECOND + 1);
    assert_int_equal(named("k0")->count, 63); /* the sketch was halved, too */
    hot_age(&hot, 100 * SECOND);
    assert_null(named("k0"));
    assert_int_equal(hot.total, 0);
}

/* 64 keys are known; one with more samples takes the place of the one with the fewest. */
static void the_64_with_most_samples_are_known(void **state) {
    (void)state;
    begin(1);
    for (unsigned k = 0; k < HOT_TOP; k++) count(k, 10 + k, 0);
    assert_int_equal(HOT_TOP, 64);
    assert_int_equal(hot.ntop, 64);
    count(1000, 10, 0);
    assert_null(named("k1000"));
    count(1000, 1, 0);
    assert_non_null(named("k1000"));
    assert_null(named("k0"));
    assert_int_equal(hot.ntop, 64);
}

/* 4 x 4,096: among 8,000 others, a key's count is hardly ever more than it was counted. */
static void others_hardly_add_to_a_count(void **state) {
    (void)state;
    assert_int_equal(sizeof hot.cell, 4 * 4096 * sizeof(uint32_t));
    begin(1);
    for (unsigned i = 0; i < 8000; i++) hot_count(&hot, hash_of(100000 + i), "x", 1, 0);
    for (unsigned k = 0; k < 50; k++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", k);
        count(k, 200, 0);
        assert_in_range(named(name)->count, 200, 203);
    }
}

static void a_key_that_is_too_long_is_not_counted(void **state) {
    static const char key[HOT_KEY_MAX + 1];
    (void)state;
    begin(1);
    hot_count(&hot, 1, key, sizeof key, 0);
    assert_int_equal(hot.total, 0);
    hot_count(&hot, 1, key, HOT_KEY_MAX, 0);
    assert_int_equal(hot.total, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_in_32_is_counted),          cmocka_unit_test(hot_is_more_than_one_in_a_hundred),
        cmocka_unit_test(hot_is_more_than_500_a_second),         cmocka_unit_test(counts_are_halved_each_second),
        cmocka_unit_test(the_64_with_most_samples_are_known),    cmocka_unit_test(others_hardly_add_to_a_count),
        cmocka_unit_test(a_key_that_is_too_long_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
