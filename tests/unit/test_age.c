/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The age of items, which is told from their numbers alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/item.h"
#include "store_lab.h"

#define SECOND 1000000000ull

static uint32_t age_of(struct lab *l, unsigned worker, const char *key) {
    const struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item it;
    store_enter(l->w[worker]);
    assert_true(store_peek(l->w[worker], &k, &it));
    uint32_t age = store_item_age(l->w[worker], &it);
    store_leave(l->w[worker]);
    return age;
}

/* To the second for more than an hour, whatever segment an item lies in and however little is stored; also over
 * seconds in which nothing happens at all. */
static void test_ages_are_exact_for_an_hour(void **state) {
    (void)state;
    struct lab l;
    char key[16];
    lab_open(&l, 8 << 20, 0);
    clock_manual_advance(&l.clock, 73 * SECOND + SECOND / 2);
    assert_int_equal(lab_set(&l, 0, "fresh", "x", NULL, 0), STORE_OK);
    assert_int_equal(age_of(&l, 0, "fresh"), 0);
    for (unsigned t = 0; t < 4000; t++) {
        snprintf(key, sizeof key, "k%u", t);
        if (t % 3 != 1) assert_int_equal(lab_set(&l, t % LAB_WORKERS, key, "x", NULL, 0), STORE_OK);
        clock_manual_advance(&l.clock, SECOND);
    }
    assert_int_equal(age_of(&l, 0, "fresh"), 4000);
    for (unsigned t = 0; t < 4000; t++) {
        snprintf(key, sizeof key, "k%u", t);
        if (t % 3 != 1) assert_int_equal(age_of(&l, 1, key), 4000 - t);
    }
    lab_close(&l);
}

/* Beyond that, right to within 1/4000 of itself: over sixteen days, one item each hundredth of what has passed. */
static void test_older_ages_are_nearly_exact(void **state) {
    (void)state;
    struct ages a;
    uint64_t counter = 1000, number[1200];
    uint32_t second[1200], now = 2, n = 0;
    assert_int_equal(age_init(&a, now, counter), 0);
    for (uint32_t next = now; now < 1400000; now++) {
        age_note(&a, now, &counter);
        if (now == next) {
            number[n] = counter + 5;
            second[n++] = now;
            next += next / 100 + 1;
        }
        counter += 10;
    }
    assert_true(n > 900 && n <= 1200);
    for (unsigned i = 0; i < n; i++) {
        const uint32_t age = now - second[i], got = now - age_second(&a, number[i]);
        const uint32_t wrong = got > age ? got - age : age - got;
        if (wrong > age / 4000) fail_msg("%u s old, %u s shown", age, got);
    }
    age_fini(&a);
}

/* A worker that has numbers left over from before does not give them to what it stores now. */
static void test_numbers_left_over_are_given_up(void **state) {
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        struct lab l;
        lab_open(&l, 8 << 20, 0);
        assert_int_equal(lab_set(&l, 0, "old", "x", NULL, 0), STORE_OK);
        clock_manual_advance(&l.clock, 5 * SECOND);
        if (broken) lab_mutate("store.mutate.old_block");
        /* Outside a section, too, the worker reads the clock: it must not take this for the second's beginning. */
        (void)store_expiry(l.w[0], 60);
        assert_int_equal(lab_set(&l, 0, "new", "x", NULL, 0), STORE_OK);
        assert_int_equal(age_of(&l, 1, "new"), broken ? 5 : 0);
        assert_int_equal(age_of(&l, 1, "old"), 5);
        lab_close(&l);
    }
}

/* A touch keeps the version and so its age; winning a softly purged one makes a new version. */
static void test_what_an_age_is_of(void **state) {
    (void)state;
    struct lab l;
    const uint64_t tag[1] = {0x1234567800000001ull};
    struct store_item it;
    lab_open(&l, 8 << 20, 0);
    assert_int_equal(lab_set(&l, 0, "A", "x", tag, 1), STORE_OK);
    clock_manual_advance(&l.clock, 9 * SECOND);
    const struct store_key k = store_key(l.s, "A", 1);
    store_enter(l.w[0]);
    assert_int_equal(store_touch(l.w[0], &k, store_expiry(l.w[0], 100), &it, NULL), STORE_OK);
    store_leave(l.w[0]);
    assert_int_equal(age_of(&l, 0, "A"), 9);
    lab_purge(&l, 0, 1, tag, true, 60);
    assert_int_equal(age_of(&l, 0, "A"), 9);
    (void)lab_token(&l, 0, "A");
    assert_int_equal(age_of(&l, 0, "A"), 0);
    lab_close(&l);
}

struct lapping {
    struct ages a;
    uint64_t counter;
    uint32_t now, got;
};

static void ask(void *arg) {
    struct lapping *p = arg;
    p->got = age_second(&p->a, 5005);
}

/* Somebody who asks is held up while everything he looked at is written over. */
static void test_samples_written_over_meanwhile(void **state) {
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        struct lapping p = {.counter = 1000, .now = 2};
        struct lab_thread t;
        struct lab l;
        lab_open(&l, 8 << 20, 0); /* for its threads */
        assert_int_equal(age_init(&p.a, p.now, p.counter), 0);
        for (; p.now < 500; p.now++, p.counter += 10) age_note(&p.a, p.now, &p.counter);
        const uint32_t right = age_second(&p.a, 5005);
        assert_int_equal(right, 402);
        if (broken) lab_mutate("age.mutate.unchecked");
        assert_true(lab_run(&t, "age.looks", ask, &p));
        for (; p.now < 6000; p.now++, p.counter += 10) age_note(&p.a, p.now, &p.counter);
        lab_finish(&t);
        /* The first level has forgotten it, the next one knows it to within a second. */
        assert_int_equal(p.got, broken ? 4098 : 403);
        age_fini(&p.a);
        lab_close(&l);
    }
}

/* Not a byte of an item is spent on it. */
static void test_items_are_no_larger(void **state) {
    (void)state;
    struct item_spec s = {.key = "k", .key_len = 1, .value_bytes = 1, .len = 1};
    item_spec_layout(&s);
    assert_int_equal(item_spec_bytes(&s), ITEM_FIXED + 2);
    assert_int_equal(ITEM_FIXED, 10);
    assert_int_equal(sizeof(struct segment), 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages_are_exact_for_an_hour),     cmocka_unit_test(test_older_ages_are_nearly_exact),
        cmocka_unit_test(test_numbers_left_over_are_given_up), cmocka_unit_test(test_what_an_age_is_of),
        cmocka_unit_test(test_samples_written_over_meanwhile), cmocka_unit_test(test_items_are_no_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
