/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The owner's table of copies that other nodes hold, and its numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/holders.h"

#define MS UINT64_C(1000000)

static struct holders h;
static struct holders_filter filter;

/* An empty table, and a filter of it. */
static int begin(void **state) {
    (void)state;
    holders_init(&h);
    holders_filter(&h, &filter);
    return 0;
}

/* A member asks, and all workers' filters are up to date. */
static enum holders_answer ask(uint64_t hash, uint32_t member, uint64_t ms) {
    return holders_ask(&h, hash, ~hash, member, filter.generation, ms * MS);
}

/* Some members hold a copy of the key, since `ms`. */
static void hold(uint64_t hash, unsigned members, uint64_t ms) {
    assert_int_equal(ask(hash, 1, ms), HOLDERS_ADDED);
    holders_filter(&h, &filter);
    for (uint32_t m = 1; m <= members; m++) assert_int_equal(ask(hash, m, ms), HOLDERS_GIVE);
}

static struct holders_key *change(uint64_t hash, uint64_t ms, bool tells) {
    bool tell;
    struct holders_key *k = holders_change(&h, hash, filter.generation, ms * MS, &tell);
    assert_int_equal(tell, tells);
    return k;
}

static void a_key_is_given_once_all_workers_know(void **state) {
    (void)state;
    assert_int_equal(ask(7, 1, 0), HOLDERS_ADDED);
    assert_false(holders_may_hold(&filter, 7));
    assert_int_equal(ask(7, 1, 0), HOLDERS_LATER);
    assert_null(change(7, 0, false)); /* of a worker that does not know it yet: no copy can be older than that */
    holders_filter(&h, &filter);
    assert_true(holders_may_hold(&filter, 7));
    assert_false(holders_may_hold(&filter, 8));
    assert_int_equal(ask(7, 1, 0), HOLDERS_GIVE);
    assert_int_equal(holders_ask(&h, 7, 1234, 1, filter.generation, 0), HOLDERS_LATER); /* another key of this hash */
}

static void a_change_waits_for_all_holders(void **state) {
    struct holders_waiter w;
    (void)state;
    hold(7, 3, 0);
    struct holders_key *k = change(7, 10, true);
    assert_non_null(k);
    assert_int_equal(k->nnodes, 3);
    assert_false(holders_wait(&h));
    TAILQ_INSERT_TAIL(&k->waiters, &w, entry);
    assert_true(holders_wait(&h));
    assert_ptr_equal(change(7, 10, false), k); /* the next one waits, too, but all are told already */
    assert_int_equal(ask(7, 4, 11), HOLDERS_LATER);
    assert_null(holders_gone(&h, k->closing, 1));
    assert_null(holders_gone(&h, k->closing, 1));
    assert_null(holders_gone(&h, k->closing + 1, 2));
    assert_null(holders_gone(&h, k->closing, 3));
    assert_ptr_equal(holders_gone(&h, k->closing, 2), k);
    TAILQ_REMOVE(&k->waiters, &w, entry);
    assert_null(change(7, 12, false));
}

/* Copies end by themselves, the member is given another, and only then its answer of before comes. */
static void an_answer_counts_for_its_own_closing(void **state) {
    struct holders_waiter w;
    const uint64_t late = HOLDERS_KEPT_MS;
    (void)state;
    hold(7, 1, 0);
    const uint64_t before = change(7, 10, true)->closing;
    assert_null(change(7, late, false)); /* it has ended */
    hold(7, 1, late + HOLDERS_QUIET_MS);
    struct holders_key *k = change(7, late + HOLDERS_QUIET_MS + 1, true);
    TAILQ_INSERT_TAIL(&k->waiters, &w, entry);
    assert_null(holders_gone(&h, before, 1));
    assert_int_equal(k->nnodes, 1);
    assert_ptr_equal(holders_gone(&h, k->closing, 1), k);
}

/* ... also when another key has taken its place in the table. */
static void an_answer_counts_for_no_other_key(void **state) {
    (void)state;
    hold(7, 1, 0);
    const struct holders_key *k = change(7, 10, true);
    const uint64_t before = k->closing;
    hold(8, 1, HOLDERS_IDLE_MS);
    assert_ptr_equal(change(8, HOLDERS_IDLE_MS + 1, true), k);
    assert_null(holders_gone(&h, before, 1));
    assert_int_equal(k->nnodes, 1);
}

/* 1,106 ms: what a clock that is 5 % slow shows as a second takes as long on one that is 5 % fast. */
static void or_until_the_copies_have_ended(void **state) {
    struct holders_waiter w;
    (void)state;
    assert_int_equal(HOLDERS_COPY_MS, 1000);
    assert_in_range(HOLDERS_KEPT_MS * 95, HOLDERS_COPY_MS * 105, HOLDERS_COPY_MS * 106);
    hold(7, 1, 0);
    struct holders_key *k = change(7, 10, true);
    TAILQ_INSERT_TAIL(&k->waiters, &w, entry);
    assert_null(holders_ended(&h, (HOLDERS_KEPT_MS - 1) * MS));
    assert_ptr_equal(holders_ended(&h, HOLDERS_KEPT_MS * MS), k);
    TAILQ_REMOVE(&k->waiters, &w, entry);
    assert_null(change(7, HOLDERS_KEPT_MS, false));
}

static void a_changed_key_is_not_given_for_a_moment(void **state) {
    (void)state;
    hold(7, 0, 0);
    assert_null(change(7, 1000, false));
    assert_int_equal(ask(7, 1, 1000 + HOLDERS_QUIET_MS - 1), HOLDERS_LATER);
    assert_int_equal(ask(7, 1, 1000 + HOLDERS_QUIET_MS), HOLDERS_ADDED);
    assert_int_equal(ask(7, 1, 1000 + HOLDERS_QUIET_MS), HOLDERS_LATER); /* workers may change it without a look */
    holders_filter(&h, &filter);
    assert_int_equal(ask(7, 1, 1000 + HOLDERS_QUIET_MS), HOLDERS_GIVE);
}

static void there_are_256_keys(void **state) {
    (void)state;
    assert_int_equal(HOLDERS_KEYS_MAX, 256);
    for (uint64_t i = 0; i < 256; i++) assert_int_equal(ask(i, 1, i), HOLDERS_ADDED);
    assert_int_equal(ask(1000, 1, 256), HOLDERS_LATER);
    assert_int_equal(ask(1000, 1, HOLDERS_IDLE_MS - 1), HOLDERS_LATER);
    assert_int_equal(ask(1000, 1, HOLDERS_IDLE_MS), HOLDERS_ADDED); /* nobody has asked for the first one since */
    assert_int_equal(ask(0, 1, HOLDERS_IDLE_MS), HOLDERS_LATER);
}

static void a_key_has_64_holders(void **state) {
    (void)state;
    hold(7, HOLDERS_NODES_MAX, 0);
    assert_int_equal(HOLDERS_NODES_MAX, 64);
    assert_int_equal(ask(7, 65, 0), HOLDERS_LATER);
    assert_int_equal(ask(7, 64, 500), HOLDERS_GIVE);
    assert_int_equal(holders_count(&h, 7, (HOLDERS_KEPT_MS - 1) * MS), 64);
    assert_int_equal(holders_count(&h, 7, HOLDERS_KEPT_MS * MS), 1); /* the one that has asked again */
    assert_int_equal(ask(7, 65, HOLDERS_KEPT_MS), HOLDERS_GIVE);
}

static void all_keys_can_be_closed(void **state) {
    uint64_t closing[3] = {0};
    unsigned n = 0;
    (void)state;
    hold(7, 2, 0);
    hold(8, 1, 0);
    hold(9, 0, 0);
    for (struct holders_key *k; (k = holders_close(&h, 10 * MS)) != NULL && n < 3; n++) {
        assert_true(k->closed);
        closing[n] = k->closing;
    }
    assert_int_equal(n, 2); /* nobody holds a copy of the third */
    assert_int_not_equal(closing[0], closing[1]);
    assert_false(holders_recalled(&h, 10 * MS));
    assert_null(holders_gone(&h, closing[0], 1));
    assert_null(holders_gone(&h, closing[0], 2));
    assert_false(holders_recalled(&h, (HOLDERS_KEPT_MS - 1) * MS));
    assert_true(holders_recalled(&h, HOLDERS_KEPT_MS * MS));
    for (uint64_t i = 7; i <= 9; i++) assert_int_equal(ask(i, 5, 20), HOLDERS_LATER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_key_is_given_once_all_workers_know, begin),
        cmocka_unit_test_setup(a_change_waits_for_all_holders, begin),
        cmocka_unit_test_setup(an_answer_counts_for_its_own_closing, begin),
        cmocka_unit_test_setup(an_answer_counts_for_no_other_key, begin),
        cmocka_unit_test_setup(or_until_the_copies_have_ended, begin),
        cmocka_unit_test_setup(a_changed_key_is_not_given_for_a_moment, begin),
        cmocka_unit_test_setup(there_are_256_keys, begin),
        cmocka_unit_test_setup(a_key_has_64_holders, begin),
        cmocka_unit_test_setup(all_keys_can_be_closed, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
