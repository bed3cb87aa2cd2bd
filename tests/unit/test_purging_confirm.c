/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A purge that is asked for anywhere reaches every member, once, and is confirmed when all have it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "purge_lab.h"

static struct purge_lab l;

static void test_a_node_alone_confirms_at_once(void **state) {
    (void)state;
    purge_lab_init(&l, 1, 1, 1 << 20);
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    const struct purging_receipt *r = purge_lab_outcome(&l, 1, 1005);
    assert_non_null(r);
    assert_int_equal(r->status, PURGING_CONFIRMED);
    assert_int_equal(r->acked, 1);
    assert_int_equal(r->members, 1);
    assert_int_equal(r->origin, 101);
    assert_int_equal(r->sequence, 1);
    assert_int_equal(purge_lab_count(&l, 1, 5), 1);
    purge_lab_fini(&l);
}

static void test_a_purge_at_any_member_is_confirmed_by_all_in_one_moment(void **state) {
    (void)state;
    for (uint32_t at = 1; at <= 5; at++) {
        purge_lab_init(&l, 5, 3, 1 << 20);
        const uint64_t begin = l.now_ns;
        assert_int_equal(purge_lab_purge(&l, at, 5), 0);
        purge_lab_settle(&l);
        assert_int_equal(l.now_ns, begin); /* no timer is in the way */
        const struct purging_receipt *r = purge_lab_outcome(&l, at, 1000 * at + 5);
        assert_non_null(r);
        assert_int_equal(r->status, PURGING_CONFIRMED);
        assert_int_equal(r->acked, 5);
        assert_int_equal(r->members, 5);
        for (uint32_t i = 1; i <= 5; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
        purge_lab_fini(&l);
    }
}

static void test_one_purge_costs_few_messages(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    purge_lab_run(&l, 100);
    l.messages = 0;
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(l.messages, 4); /* two frames, two acknowledgements */
    purge_lab_fini(&l);
    purge_lab_init(&l, 5, 3, 1 << 20);
    purge_lab_run(&l, 100);
    l.messages = 0;
    assert_int_equal(purge_lab_purge(&l, 5, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(l.messages, 11); /* submission, answer, four frames, four acknowledgements, status */
    purge_lab_fini(&l);
}

static void test_purges_of_one_round_share_frames_and_batches(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 4 << 20);
    purge_lab_run(&l, 100);
    l.messages = 0;
    for (uint64_t i = 1; i <= 2000; i++) assert_int_equal(purge_lab_purge(&l, 2, i), 0);
    purge_lab_settle(&l);
    assert_true(l.messages <= 8); /* 64 kB of records for each of two */
    assert_int_equal(l.bytes, 2 * 2000 * 32);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(purge_lab_node(&l, i)->napplied, 2000);
        assert_int_equal(purge_lab_node(&l, i)->nbatches, (2000 + 63) / 64);
        for (unsigned n = 0; n < 2000; n++) assert_int_equal(purge_lab_node(&l, i)->applied[n], n + 1);
    }
    struct purging_counters c;
    purging_read_counters(purge_lab_node(&l, 2)->p, &c);
    assert_int_equal(c.confirmed, 2000);
    assert_int_equal(c.pending, 0);
    purge_lab_fini(&l);
}

static void test_what_a_dead_member_has_not_acknowledged_is_pending_and_names_it(void **state) {
    (void)state;
    uint32_t who[4];
    for (uint32_t at = 1; at <= 4; at += 3) { /* at a voter, and at one that is none */
        purge_lab_init(&l, 4, 3, 1 << 20);
        for (uint32_t i = 1; i <= 3; i++)
            if (i != 2) purge_lab_link(&l, 2, i, false);
        purge_lab_link(&l, 2, 4, false);
        assert_int_equal(purge_lab_purge(&l, at, 5), 0);
        purge_lab_run(&l, 1999);
        assert_null(purge_lab_outcome(&l, at, 1000 * at + 5));
        purge_lab_run(&l, 2);
        const struct purging_receipt *r = purge_lab_outcome(&l, at, 1000 * at + 5);
        assert_non_null(r);
        assert_int_equal(r->status, PURGING_PENDING);
        assert_int_equal(r->acked, 3);
        assert_int_equal(r->members, 4);
        assert_int_equal(purging_lacking(purge_lab_node(&l, at)->p, r->origin, r->sequence, who, 4), 1);
        assert_int_equal(who[0], 2);
        purge_lab_fini(&l);
    }
}

static void test_ejecting_the_dead_member_confirms(void **state) {
    (void)state;
    struct purging_counters c;
    purge_lab_init(&l, 4, 3, 1 << 20);
    for (uint32_t i = 1; i <= 3; i++) purge_lab_link(&l, 4, i, false);
    assert_int_equal(purge_lab_purge(&l, 2, 5), 0);
    purge_lab_run(&l, 3000);
    purging_read_counters(purge_lab_node(&l, 2)->p, &c);
    assert_int_equal(c.pending, 1);
    l.c.version++;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_EJECTED;
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    purging_read_counters(purge_lab_node(&l, 2)->p, &c);
    assert_int_equal(c.pending, 0);
    assert_int_equal(c.confirmed, 1);
    purge_lab_fini(&l);
}

static void test_joining_and_leaving_members_count_too(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    configuration_by_number(&l.c, 3)->state = CONFIGURATION_LEAVING;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_JOINING;
    l.c.version++;
    purge_lab_adopt(&l);
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 1, 1005)->members, 4);
    purge_lab_fini(&l);
}

static void test_an_acknowledgement_of_a_newer_version_is_not_counted(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    l.c.version++;
    purge_lab_adopt_one(&l, 3);
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_count(&l, 3, 5), 1);
    assert_null(purge_lab_outcome(&l, 1, 1005));
    assert_int_equal(purge_lab_node(&l, 1)->newer, 2); /* it is told to fetch it */
    purge_lab_adopt(&l);
    purge_lab_run(&l, 250); /* and asks again */
    assert_int_equal(purge_lab_outcome(&l, 1, 1005)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static void test_nothing_is_acknowledged_before_it_is_applied(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    purge_lab_node(&l, 3)->slow = true;
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_run(&l, 500);
    assert_null(purge_lab_outcome(&l, 1, 1005));
    assert_int_equal(purge_lab_seen(&l, 3, 101), 0);
    assert_int_equal(purge_lab_purge(&l, 2, 6), 0); /* the next waits behind it */
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_node(&l, 3)->napplied, 1);
    purge_lab_applied(&l, 3);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 1, 1005)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_seen(&l, 3, 101), 1);
    assert_null(purge_lab_outcome(&l, 2, 2006));
    purge_lab_applied(&l, 3);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 2, 2006)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

/* Loses the first frame of events to member 3. */
static unsigned lost;
static bool lose_frames(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    (void)from;
    if (m->kind != PEER_PURGE_EVENTS || to != 3 || m->events_bytes == 0 || lost == 0) return false;
    lost--;
    return true;
}

static void test_what_is_lost_is_sent_again_after_100_ms(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    l.drop = lose_frames;
    lost = 1;
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_null(purge_lab_outcome(&l, 1, 1005));
    purge_lab_run(&l, 99);
    assert_null(purge_lab_outcome(&l, 1, 1005));
    purge_lab_run(&l, 40);
    assert_int_equal(purge_lab_outcome(&l, 1, 1005)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_count(&l, 2, 5), 1);
    assert_int_equal(purge_lab_count(&l, 3, 5), 1);
    purge_lab_fini(&l);
}

static void test_a_gap_is_filled_at_once_and_nothing_is_applied_early(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    l.drop = lose_frames;
    lost = 1;
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_purge(&l, 1, 6), 0);
    purge_lab_settle(&l); /* the second shows that the first is missing */
    assert_int_equal(purge_lab_outcome(&l, 1, 1006)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_node(&l, 3)->napplied, 2);
    assert_int_equal(purge_lab_node(&l, 3)->applied[0], 5);
    assert_int_equal(purge_lab_node(&l, 3)->applied[1], 6);
    purge_lab_fini(&l);
}

static void test_a_link_that_comes_back_carries_what_was_lost_with_it(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    purge_lab_link(&l, 1, 3, false);
    for (uint64_t i = 1; i <= 50; i++) assert_int_equal(purge_lab_purge(&l, 1, i), 0);
    purge_lab_settle(&l);
    assert_null(purge_lab_outcome(&l, 1, 1050));
    purge_lab_link(&l, 1, 3, true);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 1, 1050)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_node(&l, 3)->napplied, 50);
    purge_lab_fini(&l);
}

static void test_bounds_of_a_purge(void **state) {
    (void)state;
    static const uint64_t tags[65] = {1};
    const struct purge_selector wide = {65, tags}, full = {64, tags};
    struct purge_selector many[65];
    purge_lab_init(&l, 2, 1, 1 << 20);
    for (unsigned i = 0; i < 65; i++) many[i] = full;
    struct purging_request r = {&wide, 1, false, false, 0, 2000000000, 1};
    assert_int_equal(purging_purge(purge_lab_node(&l, 2)->p, l.now_ns, &r, NULL), -EINVAL);
    r = (struct purging_request){many, 65, false, false, 0, 2000000000, 1};
    assert_int_equal(purging_purge(purge_lab_node(&l, 2)->p, l.now_ns, &r, NULL), -EINVAL);
    r.nselectors = 64;
    assert_int_equal(purging_purge(purge_lab_node(&l, 2)->p, l.now_ns, &r, NULL), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 2, 1)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static void test_no_member_no_purge(void **state) {
    (void)state;
    struct purging *p;
    const struct purge_selector sel = {0, NULL};
    const struct purging_request r = {&sel, 1, false, false, 0, 1, 1};
    assert_int_equal(purging_new(&(struct purging_config){.log_bytes = 1 << 20}, 0, &p), 0);
    assert_int_equal(purging_purge(p, 0, &r, NULL), -ENOTCONN);
    assert_true(purging_next_ns(p) == UINT64_MAX);
    purging_free(p);
}

/* What operators are told: when a purge is confirmed, who has acknowledged it, for how long a node has been behind. */
static void test_operators_are_told(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 3, 1 << 20);
    struct purge_lab_node *one = purge_lab_node(&l, 1), *three = purge_lab_node(&l, 3);
    three->slow = true;
    assert_int_equal(purge_lab_purge(&l, 1, 42), 0);
    purge_lab_settle(&l);
    assert_int_equal(one->nconfirmed, 0);
    assert_int_equal(one->acked[1], 1);
    assert_int_equal(one->acked[2], 1);
    assert_int_equal(one->acked[3], 0);
    assert_int_equal(purging_lag_ns(one->p, l.now_ns), 0);
    const uint64_t begun = l.now_ns;
    purge_lab_run(&l, 500);
    assert_int_equal(purging_lag_ns(three->p, l.now_ns), l.now_ns - begun);
    assert_int_equal(purge_lab_purge(&l, 1, 43),
                     0); /* comes while the first is not applied: it does not change the age */
    purge_lab_run(&l, 500);
    assert_int_equal(purging_lag_ns(three->p, l.now_ns), l.now_ns - begun);
    purge_lab_applied(&l, 3); /* the first is done, the second is under way */
    purge_lab_settle(&l);
    assert_int_equal(purging_lag_ns(three->p, l.now_ns), 0);
    assert_int_equal(one->nconfirmed, 1);
    assert_int_equal(one->confirmed.origin, 101);
    assert_int_equal(one->confirmed.sequence, 1);
    assert_int_equal(one->confirmed.acked, 3);
    assert_int_equal(one->confirmed.via.number, 1);
    purge_lab_run(&l, 300);
    assert_int_equal(purging_lag_ns(three->p, l.now_ns), 300 * UINT64_C(1000000));
    purge_lab_applied(&l, 3);
    purge_lab_settle(&l);
    assert_int_equal(one->nconfirmed, 2);
    assert_int_equal(one->acked[3], 2);
    purge_lab_run(&l, 100);
    assert_int_equal(purging_lag_ns(three->p, l.now_ns), 0);
    struct purge_via via;
    bool soft = true;
    assert_true(purging_event(three->p, 101, 2, &via, &soft));
    assert_int_equal(via.number, 1);
    assert_int_equal(via.counter, one->confirmed.via.counter);
    assert_false(soft);
    assert_false(purging_event(three->p, 101, 3, &via, &soft));
    assert_false(purging_event(three->p, 999, 1, &via, &soft));
    purge_lab_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_alone_confirms_at_once),
        cmocka_unit_test(test_a_purge_at_any_member_is_confirmed_by_all_in_one_moment),
        cmocka_unit_test(test_one_purge_costs_few_messages),
        cmocka_unit_test(test_purges_of_one_round_share_frames_and_batches),
        cmocka_unit_test(test_what_a_dead_member_has_not_acknowledged_is_pending_and_names_it),
        cmocka_unit_test(test_ejecting_the_dead_member_confirms),
        cmocka_unit_test(test_joining_and_leaving_members_count_too),
        cmocka_unit_test(test_an_acknowledgement_of_a_newer_version_is_not_counted),
        cmocka_unit_test(test_nothing_is_acknowledged_before_it_is_applied),
        cmocka_unit_test(test_what_is_lost_is_sent_again_after_100_ms),
        cmocka_unit_test(test_a_gap_is_filled_at_once_and_nothing_is_applied_early),
        cmocka_unit_test(test_a_link_that_comes_back_carries_what_was_lost_with_it),
        cmocka_unit_test(test_bounds_of_a_purge),
        cmocka_unit_test(test_no_member_no_purge),
        cmocka_unit_test(test_operators_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
