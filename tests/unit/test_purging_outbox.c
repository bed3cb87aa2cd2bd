/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The asked node: purges stay in its outbox until they are confirmed, go to another voter after 200 ms without an
 * answer, are applied alone after 600 ms, and are recognised when they come back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "purge_lab.h"

static struct purge_lab l;
static uint32_t deaf; /* the voter that gets no submission */

static bool drop_submissions(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    (void)from;
    return m->kind == PEER_PURGE_SUBMIT && (to == deaf || deaf == 0);
}

/* The voter that member 4 sends its purges to. */
static uint32_t first_voter;
static bool note_voter(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    (void)from;
    if (m->kind == PEER_PURGE_SUBMIT && first_voter == 0) first_voter = to;
    return false;
}

static void find_first_voter(void) {
    purge_lab_init(&l, 4, 3, 1 << 20);
    first_voter = 0;
    l.drop = note_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 1), 0);
    purge_lab_settle(&l);
    assert_true(first_voter >= 1 && first_voter <= 3);
}

static void test_another_voter_is_asked_after_200_ms(void **state) {
    (void)state;
    find_first_voter();
    l.drop = drop_submissions;
    deaf = first_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 199);
    assert_null(purge_lab_outcome(&l, 4, 4005));
    purge_lab_run(&l, 25);
    assert_int_equal(purge_lab_outcome(&l, 4, 4005)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1);
    purge_lab_fini(&l);
}

static void test_another_voter_is_asked_at_once_when_the_link_breaks(void **state) {
    (void)state;
    find_first_voter();
    l.drop = drop_submissions;
    deaf = first_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_settle(&l);
    purge_lab_link(&l, 4, first_voter, false);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1); /* it has come back as another voter's event */
    purge_lab_link(&l, 4, first_voter, true);
    purge_lab_run(&l, 500);
    assert_int_equal(purge_lab_outcome(&l, 4, 4005)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static void test_without_a_voter_a_purge_is_applied_alone_after_600_ms(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    l.drop = drop_submissions;
    deaf = 0;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 599);
    assert_int_equal(purge_lab_count(&l, 4, 5), 0);
    purge_lab_run(&l, 25);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1);
    assert_int_equal(purging_local(purge_lab_node(&l, 4)->p), 1);
    purge_lab_run(&l, 1400);
    const struct purging_receipt *r = purge_lab_outcome(&l, 4, 4005);
    assert_int_equal(r->status, PURGING_LOCAL);
    assert_int_equal(r->acked, 1);
    assert_int_equal(r->members, 4);
    assert_int_equal(r->origin, 0);
    l.drop = NULL; /* voters answer again: it still goes to them, and is not applied here again */
    purge_lab_run(&l, 500);
    struct purging_counters c;
    purging_read_counters(purge_lab_node(&l, 4)->p, &c);
    assert_int_equal(c.pending, 0);
    assert_int_equal(c.confirmed, 1);
    assert_int_equal(c.alone, 1);
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    assert_int_equal(purging_local(purge_lab_node(&l, 4)->p), 0);
    purge_lab_fini(&l);
}

/* Two voters make events of one purge, because the first one's answer is lost; nobody applies it twice. */
static bool drop_answers(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    return to == 4 && from == deaf && (m->kind == PEER_PURGE_ANSWER || m->kind == PEER_PURGE_EVENTS);
}

static void test_a_voter_that_knows_a_purge_answers_with_its_event(void **state) {
    (void)state;
    find_first_voter();
    l.drop = drop_answers;
    deaf = first_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 300);
    l.drop = NULL;
    purge_lab_run(&l, 600);
    const struct purging_receipt *r = purge_lab_outcome(&l, 4, 4005);
    assert_int_equal(r->status, PURGING_CONFIRMED);
    assert_int_equal(r->origin, 100 + first_voter); /* the second voter made no event of it */
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    purge_lab_fini(&l);
}

static void test_a_purge_that_became_two_events_is_applied_once(void **state) {
    (void)state;
    find_first_voter();
    for (uint32_t v = 1; v <= 3; v++) /* the first voter's event reaches nobody for now */
        if (v != first_voter) purge_lab_link(&l, first_voter, v, false);
    l.drop = drop_answers;
    deaf = first_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 300);
    l.drop = NULL;
    for (uint32_t v = 1; v <= 3; v++)
        if (v != first_voter) purge_lab_link(&l, first_voter, v, true);
    purge_lab_run(&l, 1000);
    unsigned events = 0;
    for (uint32_t v = 1; v <= 3; v++) events += (unsigned)purge_lab_seen(&l, 4, 100 + v);
    assert_int_equal(events, 3); /* with the one that found_first_voter made */
    assert_int_equal(purge_lab_outcome(&l, 4, 4005)->status, PURGING_CONFIRMED);
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    purge_lab_fini(&l);
}

static bool drop_events(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    (void)to;
    return from == deaf && m->kind == PEER_PURGE_EVENTS;
}

static enum purging_status state_at(uint32_t number, uint32_t origin, uint64_t sequence) {
    static uint64_t token = 1000000;
    assert_int_equal(purging_ask_id(purge_lab_node(&l, number)->p, l.now_ns, origin, sequence, 1, ++token), 0);
    const struct purging_receipt *r = purge_lab_outcome(&l, number, token);
    return r != NULL ? r->status : PURGING_PENDING;
}

/* The voter that numbered a purge has told nobody but the node that was asked, and is gone. The purge becomes an event
 * of another voter; the node that was asked goes on answering for the id that its client was told. */
static void test_an_id_that_died_with_its_voter_is_answered_for(void **state) {
    (void)state;
    find_first_voter();
    const uint32_t origin = 100 + first_voter;
    l.drop = drop_events;
    deaf = first_voter;
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 2025);
    const struct purging_receipt *told = purge_lab_outcome(&l, 4, 4005);
    assert_int_equal(told->status, PURGING_PENDING);
    assert_int_equal(told->origin, origin);
    const uint64_t sequence = told->sequence;
    for (uint32_t i = 1; i <= 4; i++)
        if (i != first_voter) purge_lab_link(&l, first_voter, i, false);
    assert_int_equal(state_at(4, origin, sequence), PURGING_PENDING); /* it has no other id yet, */
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1);
    assert_int_equal(state_at(4, origin, sequence), PURGING_PENDING); /* or it has, and not all have it */
    configuration_by_number(&l.c, first_voter)->state = CONFIGURATION_EJECTED;
    l.c.version++;
    for (uint32_t i = 1; i <= 4; i++)
        if (i != first_voter) purge_lab_adopt_one(&l, i);
    purge_lab_run(&l, 2000);
    assert_int_equal(state_at(4, origin, sequence), PURGING_CONFIRMED);
    assert_int_equal(state_at(4, origin, sequence + 1), PURGING_UNKNOWN);
    assert_int_equal(state_at(4, origin, 0), PURGING_UNKNOWN);
    for (uint32_t i = 1; i <= 3; i++)
        if (i != first_voter) assert_int_equal(state_at(i, origin, sequence), PURGING_UNKNOWN);
    purge_lab_fini(&l);
}

static void test_the_outbox_has_a_bound(void **state) {
    (void)state;
    purge_lab_init(&l, 2, 1, 1 << 20);
    purge_lab_link(&l, 1, 2, false);
    const uint64_t tag = 5;
    const struct purge_selector sel = {1, &tag};
    const struct purging_request r = {&sel, 1, false, false, 0, UINT64_C(1) << 50, 1};
    for (unsigned i = 0; i < 65536; i++)
        assert_int_equal(purging_purge(purge_lab_node(&l, 2)->p, l.now_ns, &r, NULL), 0);
    assert_int_equal(purging_purge(purge_lab_node(&l, 2)->p, l.now_ns, &r, NULL), -ENOSPC);
    purge_lab_fini(&l);
}

static void test_a_full_log_says_so_and_nothing_has_happened(void **state) {
    (void)state;
    purge_lab_init(&l, 2, 1, 64 << 10);
    purge_lab_link(&l, 1, 2, false);
    for (uint64_t i = 1; i <= 1024; i++) assert_int_equal(purge_lab_purge(&l, 1, i), 0); /* half of the log */
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_purge(&l, 1, 5000), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 1, 6000)->status, PURGING_LOG_FULL);
    assert_int_equal(purge_lab_count(&l, 1, 5000), 0);
    purge_lab_link(&l, 1, 2, true);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_purge(&l, 1, 5001), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 1, 6001)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static void test_anybody_may_ask_and_see_to_it_that_a_purge_is_confirmed(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    purge_lab_link(&l, 1, 4, false); /* member 4 gets nothing from origin 101 */
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_count(&l, 4, 5), 0);
    for (uint32_t i = 2; i <= 4; i++)
        if (i != 4) purge_lab_link(&l, 1, i, false); /* and the origin dies, without a word */
    assert_int_equal(purging_ask_id(purge_lab_node(&l, 2)->p, l.now_ns, 101, 1, 300000000, 77), 0);
    purge_lab_run(&l, 301);
    const struct purging_receipt *r = purge_lab_outcome(&l, 2, 77);
    assert_int_equal(r->status, PURGING_PENDING); /* the dead one has not acknowledged to this node */
    assert_int_equal(r->acked, 3);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1); /* but member 4 has it now */
    uint32_t who[2];
    assert_int_equal(purging_lacking(purge_lab_node(&l, 2)->p, 101, 1, who, 2), 1);
    assert_int_equal(who[0], 1);
    l.c.version++;
    configuration_by_number(&l.c, 1)->state = CONFIGURATION_EJECTED;
    for (uint32_t i = 2; i <= 4; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    assert_int_equal(purging_ask_id(purge_lab_node(&l, 2)->p, l.now_ns, 101, 1, 300000000, 78), 0);
    assert_int_equal(purge_lab_outcome(&l, 2, 78)->status, PURGING_CONFIRMED);
    assert_int_equal(purging_ask_id(purge_lab_node(&l, 2)->p, l.now_ns, 101, 9, 300000000, 79), 0);
    assert_int_equal(purge_lab_outcome(&l, 2, 79)->status, PURGING_UNKNOWN);
    assert_int_equal(purging_ask_via(purge_lab_node(&l, 2)->p, l.now_ns, (struct purge_via){1, 1}, 300000000, 80), 0);
    assert_int_equal(purge_lab_outcome(&l, 2, 80)->status, PURGING_CONFIRMED);
    assert_int_equal(purging_ask_via(purge_lab_node(&l, 2)->p, l.now_ns, (struct purge_via){1, 9}, 300000000, 81), 0);
    assert_int_equal(purge_lab_outcome(&l, 2, 81)->status, PURGING_UNKNOWN);
    purge_lab_fini(&l);
}

static void test_who_collected_for_an_earlier_purge_sees_to_a_later_one_too(void **state) {
    (void)state;
    find_first_voter();
    const uint32_t voter = first_voter, other = voter % 3 + 1;
    purge_lab_node(&l, other)->slow = true;
    purge_lab_link(&l, 4, other, false);
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_settle(&l);
    /* member 4 is asked about it, and collects acknowledgements up to there; the voter is told the last one */
    assert_int_equal(purging_ask_id(purge_lab_node(&l, 4)->p, l.now_ns, 100 + voter, 2, 300000000, 77), 0);
    purge_lab_settle(&l);
    assert_null(purge_lab_outcome(&l, 4, 4005));
    purge_lab_applied(&l, other);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_outcome(&l, 4, 4005)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_outcome(&l, 4, 77)->status, PURGING_CONFIRMED);
    assert_int_equal(purge_lab_purge(&l, 4, 6), 0);
    purge_lab_settle(&l);
    for (uint32_t i = 1; i <= 4; i++) /* the voter dies before that is confirmed */
        if (i != voter) purge_lab_link(&l, voter, i, false);
    configuration_by_number(&l.c, voter)->state = CONFIGURATION_EJECTED;
    l.c.version++;
    for (uint32_t i = 1; i <= 4; i++)
        if (i != voter) purge_lab_adopt_one(&l, i);
    purge_lab_applied(&l, other);
    purge_lab_run(&l, 1000);
    assert_non_null(purge_lab_outcome(&l, 4, 4006));
    assert_int_equal(purge_lab_outcome(&l, 4, 4006)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static bool count_pending(void *arg, const struct purging_receipt *r) {
    unsigned *n = arg;
    assert_int_equal(r->status, PURGING_PENDING);
    ++*n;
    return true;
}

static void test_pending_purges_are_listed(void **state) {
    (void)state;
    unsigned n = 0;
    purge_lab_init(&l, 3, 3, 1 << 20);
    purge_lab_link(&l, 1, 3, false);
    for (uint64_t i = 1; i <= 7; i++) assert_int_equal(purge_lab_purge(&l, 1, i), 0);
    purge_lab_settle(&l);
    purging_pending(purge_lab_node(&l, 1)->p, count_pending, &n);
    assert_int_equal(n, 7);
    purge_lab_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_voter_is_asked_after_200_ms),
        cmocka_unit_test(test_another_voter_is_asked_at_once_when_the_link_breaks),
        cmocka_unit_test(test_without_a_voter_a_purge_is_applied_alone_after_600_ms),
        cmocka_unit_test(test_a_voter_that_knows_a_purge_answers_with_its_event),
        cmocka_unit_test(test_a_purge_that_became_two_events_is_applied_once),
        cmocka_unit_test(test_an_id_that_died_with_its_voter_is_answered_for),
        cmocka_unit_test(test_the_outbox_has_a_bound),
        cmocka_unit_test(test_a_full_log_says_so_and_nothing_has_happened),
        cmocka_unit_test(test_anybody_may_ask_and_see_to_it_that_a_purge_is_confirmed),
        cmocka_unit_test(test_who_collected_for_an_earlier_purge_sees_to_a_later_one_too),
        cmocka_unit_test(test_pending_purges_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
