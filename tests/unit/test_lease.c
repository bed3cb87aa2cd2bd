/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leases, and what is confirmed when a member does not answer: a case for each sentence, and for
 * each shortcut that random schedules meet too seldom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "leases.h"

/* ------------------------------------------------------------------ the pieces */

static void test_what_others_wait_for_is_longer_by_the_clocks_error(void **state) {
    (void)state;
    assert_int_equal(lease_waited_ns(1000), WAITED_MS * MS);
    assert_int_equal(lease_waited_ns(30000), 33158 * MS);
}

static void test_a_lease_runs_from_before_the_poll_and_never_gets_shorter(void **state) {
    struct lease lease = {.tag_ns = 100, .serve_ns = 500};
    (void)state;
    const uint32_t first = lease_ask(&lease, 1000), second = lease_ask(&lease, 1030);
    lease_take(&lease, lease_granted(&lease, second, 0));
    assert_int_equal(lease.ends.tag_ns, 1130);
    assert_int_equal(lease.ends.serve_ns, 1530);
    lease_take(&lease, lease_granted(&lease, first, 0)); /* an older answer, late */
    assert_int_equal(lease.ends.tag_ns, 1130);
    assert_null(lease_granted(&lease, first, 0)); /* it is over */
    assert_null(lease_granted(&lease, 0, 0));
    const uint32_t third = lease_ask(&lease, 1060);
    lease_void(&lease);
    assert_null(lease_granted(&lease, third, 0));
    const uint32_t fourth = lease_ask(&lease, 1070);
    for (unsigned i = 0; i < LEASE_ROUNDS; i++) (void)lease_ask(&lease, 1080);
    assert_null(lease_granted(&lease, fourth, 0)); /* too old */
}

static void test_each_sequence_waits_for_its_time_since_a_majority_had_it(void **state) {
    struct lease_marks m = {0};
    (void)state;
    for (uint64_t i = 1; i <= 5000; i++) lease_marks_note(&m, i, i, 1000); /* one a nanosecond, far more than marks */
    assert_int_equal(lease_marks_passed(&m, 1000, 1000), 0);
    for (uint64_t now = 1001; now < 6000; now += 7) {
        const uint64_t passed = lease_marks_passed(&m, now, 1000);
        assert_true(passed + 1000 <= now); /* never early */
    }
    assert_int_equal(lease_marks_passed(&m, 6000, 1000), 5000);
    m = (struct lease_marks){0};
    for (uint64_t i = 1; i <= 3000; i++) {
        lease_marks_note(&m, i, i, 1000);
        const uint64_t passed = lease_marks_passed(&m, i, 1000);
        assert_true(passed + 1000 <= i || passed == 0);
        if (i > 1100) assert_true(passed + 1000 + 50 >= i); /* nor much too late */
    }
}

/* ------------------------------------------------------------------ who holds one */

static void test_a_lease_is_renewed_while_a_majority_of_the_voters_answers(void **state) {
    (void)state;
    begin(4);
    for (unsigned i = 0; i < 40; i++) {
        purge_lab_run(&l, 100);
        for (uint32_t k = 1; k <= 4; k++) {
            const uint64_t left = ends(k).tag_ns - l.now_ns;
            assert_true(left <= 1000 * MS && left >= 740 * MS); /* polls each quarter of it */
            assert_int_equal(ends(k).serve_ns - ends(k).tag_ns, 29000 * MS);
        }
    }
    purge_lab_link(&l, 4, 1, false); /* two of three voters are a majority */
    purge_lab_run(&l, 3000);
    assert_true(holds(4));
    purge_lab_link(&l, 4, 2, false);
    purge_lab_run(&l, 1010);
    assert_false(holds(4));
    assert_true(ends(4).serve_ns > l.now_ns + 28000 * MS);
    purge_lab_run(&l, 29100);
    assert_true(ends(4).serve_ns <= l.now_ns);
    purge_lab_link(&l, 4, 1, true);
    purge_lab_settle(&l);
    purge_lab_run(&l, 60);
    assert_true(holds(4));
    purge_lab_fini(&l);
}

/* Answers to member 4 that are on their way, oldest first. */
static struct {
    uint64_t due_ns;
    uint32_t from;
    struct peer_purge m;
    struct peer_purge_seen vector[8];
} slow[512];
static unsigned slow_first, slow_end;
static uint64_t slow_ns;   /* that they take */
static uint64_t slow_each; /* that each of a sender's keeps the next one waiting, as a line does that loses much */

static bool slow_down(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    if (to != 4 || m->kind != PEER_PURGE_POLL_ANSWER) return false;
    const unsigned i = slow_end++ % 512;
    assert_true(m->nvector <= 8 && slow_end - slow_first <= 512);
    slow[i].due_ns = lab->now_ns + slow_ns;
    for (unsigned k = slow_first; slow_each != 0 && k < slow_end - 1; k++)
        if (slow[k % 512].from == from && slow[i].due_ns < slow[k % 512].due_ns + slow_each)
            slow[i].due_ns = slow[k % 512].due_ns + slow_each;
    slow[i].from = from;
    slow[i].m = *m;
    memcpy(slow[i].vector, m->vector, m->nvector * sizeof *m->vector);
    slow[i].m.vector = slow[i].vector;
    return true;
}

static void deliver_slow(void) {
    for (; slow_first < slow_end && slow[slow_first % 512].due_ns <= l.now_ns; slow_first++)
        purging_receive(purge_lab_node(&l, 4)->p, l.now_ns, slow[slow_first % 512].from, &slow[slow_first % 512].m);
    for (unsigned i = slow_first; i < slow_end; i++) assert_true(slow[i % 512].due_ns > l.now_ns);
}

static void run_slowly(unsigned ms) {
    for (unsigned i = 0; i < ms; i += 10) {
        purge_lab_run(&l, 10);
        deliver_slow();
    }
}

/* Member 4 has lost its tag lease, and from now on answers to it take so long. */
static void begin_slow(unsigned ms) {
    begin(4);
    for (uint32_t k = 1; k <= 3; k++) purge_lab_link(&l, 4, k, false);
    purge_lab_run(&l, 1100);
    assert_false(holds(4));
    for (uint32_t k = 1; k <= 3; k++) purge_lab_link(&l, 4, k, true);
    slow_first = slow_end = 0;
    slow_ns = ms * MS;
    l.drop = slow_down;
    run_slowly(ms + 100);
}

static void test_a_lease_comes_back_over_lines_that_take_almost_as_long(void **state) {
    (void)state;
    begin_slow(900);
    assert_true(holds(4));
    purge_lab_fini(&l);
    begin_slow(1550); /* LEASE_ROUNDS of HURRY_MS are 1600: too late for a tag lease, in time for a serve lease */
    for (unsigned i = 0; i < 30; i++) {
        run_slowly(100);
        assert_true(ends(4).serve_ns > l.now_ns + 28000 * MS);
    }
    purge_lab_fini(&l);
}

/* A line carries nothing for a while, and then only so many answers a second. Were polls sent as fast as over a quick
 * line, their answers would come later and later, and none would be in time for its round. */
static void test_a_lease_comes_back_over_lines_that_carry_few_answers(void **state) {
    (void)state;
    slow_each = 60 * MS;
    begin_slow(2500);
    slow_ns = 0;
    run_slowly(3000);
    unsigned held = 0;
    for (unsigned i = 0; i < 100; i++) {
        run_slowly(100);
        held += holds(4);
    }
    slow_each = 0;
    assert_in_range(held, 90, 100);
    purge_lab_fini(&l);
}

static unsigned polls;

static bool lose_answers(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    polls += from == 4 && to == 1 && m->kind == PEER_PURGE_POLL;
    return to == 4 && m->kind == PEER_PURGE_POLL_ANSWER;
}

static void test_who_owes_four_answers_is_polled_four_times_in_a_lease(void **state) {
    (void)state;
    begin(4);
    l.c.version++;
    l.c.tag_lease_ms = l.c.tag_wait_ms = 10000;
    purge_lab_adopt(&l);
    for (uint32_t k = 1; k <= 3; k++) purge_lab_link(&l, 4, k, false);
    purge_lab_run(&l, 11000);
    polls = 0;
    l.drop = lose_answers;
    for (uint32_t k = 1; k <= 3; k++) purge_lab_link(&l, 4, k, true);
    purge_lab_run(&l, 2000);
    assert_int_equal(polls, 4); /* 20 a second */
    purge_lab_run(&l, 10000);
    assert_int_equal(polls, 4 + 4);
    purge_lab_fini(&l);
}

static bool drop_answers_late(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    (void)from;
    return to == 4 && m->kind == PEER_PURGE_EVENTS;
}

static void test_what_the_voters_have_applied_comes_before_the_lease(void **state) {
    (void)state;
    begin(4);
    l.drop = drop_answers_late; /* polls are answered, events do not arrive */
    purge(1, 5);
    purge_lab_run(&l, 1100);
    assert_false(holds(4));
    assert_int_equal(purge_lab_count(&l, 4, 5), 0);
    l.drop = NULL;
    purge_lab_run(&l, 300);
    assert_int_equal(purge_lab_count(&l, 4, 5), 1);
    assert_true(holds(4));
    purge_lab_fini(&l);
}

static void test_polls_of_another_version_extend_nothing(void **state) {
    (void)state;
    begin(4);
    l.c.version++;
    purge_lab_adopt_one(&l, 4); /* the voters have not adopted it */
    purge_lab_settle(&l);
    purge_lab_run(&l, 1010);
    assert_false(holds(4));
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_run(&l, 60);
    assert_true(holds(4));
    l.c.version++;
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i); /* now they have, and it has not */
    purge_lab_run(&l, 1010);
    assert_false(holds(4));
    assert_int_equal(purge_lab_node(&l, 4)->newer, l.c.version); /* it was told */
    purge_lab_fini(&l);
}

static void test_who_is_no_member_holds_none(void **state) {
    (void)state;
    begin(4);
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_EJECTED;
    l.c.version++;
    purge_lab_adopt(&l);
    assert_int_equal(ends(4).tag_ns, 0);
    assert_int_equal(ends(4).serve_ns, 0);
    purge_lab_fini(&l);
}

static void test_one_and_two_nodes_need_none(void **state) {
    (void)state;
    purge_lab_init(&l, 2, 1, 1 << 20);
    assert_true(ends(1).tag_ns == LEASE_ENDLESS && ends(2).serve_ns == LEASE_ENDLESS);
    purge_lab_link(&l, 1, 2, false);
    purge_lab_run(&l, 60000);
    assert_true(ends(2).tag_ns == LEASE_ENDLESS);
    purge(1, 5);
    purge(2, 6);
    purge_lab_run(&l, 60000);
    assert_false(is_confirmed(1, 5) || is_confirmed(2, 6)); /* so both wait for the other */
    purge_lab_link(&l, 1, 2, true);
    purge_lab_settle(&l);
    purge_lab_run(&l, 1000);
    assert_true(is_confirmed(1, 5) && is_confirmed(2, 6));
    purge_lab_fini(&l);
}

/* From one voter to three, and back. */
static void test_leases_bind_when_all_know(void **state) {
    (void)state;
    purge_lab_init(&l, 3, 1, 1 << 20);
    assert_true(ends(3).tag_ns == LEASE_ENDLESS);
    keep_previous();
    for (uint32_t i = 2; i <= 3; i++) {
        l.c.voters[l.c.nvoters++] = (struct configuration_voter){.id = {{(uint8_t)i}}, .member = i, .origin = 100 + i};
        l.c.origins[l.c.norigins++] = 100 + i;
    }
    new_epoch(false, 3); /* 3 does not hear of it, and goes on serving */
    cut(3);
    purge_lab_run(&l, 5000);
    assert_true(holds(1) && holds(2) && ends(1).tag_ns != LEASE_ENDLESS);
    assert_true(ends(3).tag_ns == LEASE_ENDLESS);
    purge(1, 5);
    purge_lab_run(&l, 60000);
    assert_false(is_confirmed(1, 5)); /* for it 3 has to be waited for */
    for (uint32_t i = 1; i < 3; i++) purge_lab_link(&l, 3, i, true);
    purge_lab_adopt_one(&l, 3); /* it serves on for as long as a lease would let it */
    assert_int_equal(ends(3).tag_ns, l.now_ns + 1000 * MS);
    purge_lab_settle(&l);
    purge_lab_run(&l, 100);
    assert_true(is_confirmed(1, 5));
    l.c.leases = true;
    l.c.version++;
    purge_lab_adopt(&l);
    purge_lab_run(&l, 2000);
    cut(3);
    purge(1, 6);
    purge_lab_run(&l, WAITED_MS + 30);
    assert_true(is_confirmed(1, 6));
    purge_lab_fini(&l);
}

static void test_who_comes_from_leases_to_one_voter_has_to_catch_up(void **state) {
    (void)state;
    begin(3);
    cut(3);
    purge_lab_run(&l, 1010);
    assert_false(holds(3));
    purge(1, 5);
    purge_lab_run(&l, WAITED_MS + 30);
    assert_true(is_confirmed(1, 5));
    keep_previous();
    l.c.nvoters = 1;
    l.c.leases = false;
    new_epoch(false, 0);
    assert_false(holds(3)); /* it may have missed what was confirmed without it */
    for (uint32_t i = 1; i < 3; i++) purge_lab_link(&l, 3, i, true);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
    assert_int_equal(purge_lab_count(&l, 3, 5), 1);
    assert_true(ends(3).tag_ns == LEASE_ENDLESS);
    purge_lab_fini(&l);
}

/* A voter is left alone that lacks what was confirmed when there were three, and nobody hands that over. */
static void test_a_fresh_epoch_of_one_voter_that_had_leases_drops_what_is_tagged(void **state) {
    (void)state;
    begin(3);
    cut(3);
    purge_lab_run(&l, 1010);
    purge(1, 5);
    purge_lab_run(&l, WAITED_MS + 30);
    assert_true(is_confirmed(1, 5));
    keep_previous();
    l.c.voters[0] = l.c.voters[2];
    l.c.nvoters = 1;
    l.c.leases = false;
    l.c.version++;
    l.c.epoch++;
    purge_lab_adopt_one(&l, 3);
    purge_lab_settle(&l);
    assert_false(holds(3));
    const unsigned floors = purge_lab_node(&l, 3)->floors_tagged;
    keep_previous();
    l.c.version++;
    l.c.epoch++;
    l.c.floor_epoch = l.c.epoch;
    purge_lab_adopt_one(&l, 3);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
    assert_true(ends(3).tag_ns == LEASE_ENDLESS);
    assert_int_equal(purge_lab_node(&l, 3)->floors_tagged, floors + 1);
    purge_lab_fini(&l);
}

/* ------------------------------------------------------------------ what is confirmed */

static void test_a_member_that_does_not_answer_is_waited_for_once(void **state) {
    (void)state;
    begin(4);
    purge(1, 5);
    assert_true(is_confirmed(1, 5)); /* all are there: at once */
    cut(3);
    purge(1, 6);
    purge_lab_run(&l, WAITED_MS - 30);
    assert_false(is_confirmed(1, 6));
    purge_lab_run(&l, 60);
    assert_true(is_confirmed(1, 6));
    const struct purging_receipt *r = purge_lab_outcome(&l, 1, 1006);
    assert_int_equal(r->acked, 3);
    assert_int_equal(r->members, 4);
    for (uint32_t i = 1; i <= 2; i++) purge(i, 7 + i); /* now it holds no lease any more */
    purge(4, 7);
    purge_lab_run(&l, 30);
    assert_true(is_confirmed(4, 7) && is_confirmed(1, 8) && is_confirmed(2, 9));
    purge_lab_fini(&l);
}

/* True: a purge of everything was not confirmed while a member had not acknowledged it, those of tags were. */
static bool flush_waits(void) {
    begin(3);
    cut(3);
    purge(1, 0);
    purge(1, 5);
    purge(2, 6);
    purge_lab_run(&l, 60000);
    assert_true(is_confirmed(1, 5) && is_confirmed(2, 6));
    const bool waits = !is_confirmed(1, 0);
    for (uint32_t i = 1; i < 3; i++) purge_lab_link(&l, 3, i, true);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
    assert_true(is_confirmed(1, 0));
    purge_lab_fini(&l);
    return waits;
}

static void test_a_purge_of_everything_waits_for_all_members(void **state) {
    (void)state;
    is_noticed(flush_waits, MUTATION_FLUSH_BY_LEASE);
}

/* The same, told to an asker that does not collect. */
static void test_an_asker_is_told_of_both_kinds(void **state) {
    (void)state;
    begin(5);
    cut(5);
    purge(4, 0);
    purge(4, 5);
    purge_lab_run(&l, 3000);
    assert_true(is_confirmed(4, 5));
    assert_false(is_confirmed(4, 0));
    for (uint32_t i = 1; i < 5; i++) purge_lab_link(&l, 5, i, true);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
    assert_true(is_confirmed(4, 0));
    purge_lab_fini(&l);
}

/* Member 4 was silent for long, came back, and was granted leases while the version that ejects it was being chosen. */
static void eject_4(void) {
    cut(4);
    assert_true(holds(4));
    l.c.version++;
    l.c.members[3].state = CONFIGURATION_EJECTED;
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
}

/* True: nothing is confirmed while it holds them; then it is. */
static bool ejected_is_waited_for_here(void) {
    bool waits = true;
    assert_true(holds(4));
    purge(1, 5);
    purge(2, 0);
    while (holds(4)) {
        waits &= !is_confirmed(1, 5);
        purge_lab_run(&l, 20);
    }
    purge_lab_run(&l, WAITED_MS);
    assert_true(is_confirmed(1, 5));
    while (ends(4).serve_ns > l.now_ns) {
        waits &= !is_confirmed(2, 0);
        purge_lab_run(&l, 500);
    }
    purge_lab_run(&l, 3500); /* W(30 s) is 33.2 s */
    assert_true(is_confirmed(2, 0));
    purge_lab_fini(&l);
    return waits;
}

static bool ejected_is_waited_for(void) {
    begin(4);
    eject_4();
    return ejected_is_waited_for_here();
}

/* The next version leaves one voter, so that leases do not bind any more and all members acknowledge. */
static bool ejected_is_waited_for_when_leases_end(void) {
    begin(4);
    eject_4();
    keep_previous();
    l.c.nvoters = 1;
    l.c.leases = false;
    new_epoch(false, 4);
    return ejected_is_waited_for_here();
}

/* Those that granted the leases, 1 and 2, are no voters in the next epoch; 3 stays one, and has granted none. */
static bool ejected_is_waited_for_by_later_voters(bool fresh) {
    begin(6);
    purge_lab_link(&l, 3, 4, false);
    purge_lab_run(&l, 34000);
    eject_4();
    keep_previous();
    for (uint8_t i = 0; i < 2; i++) {
        l.c.voters[i] = (struct configuration_voter){.id = {{5 + i}}, .member = 5 + i, .origin = 105 + i};
        l.c.origins[l.c.norigins++] = 105 + i;
    }
    new_epoch(fresh, 4);
    return ejected_is_waited_for_here();
}

static bool ejected_is_waited_for_in_a_kept_epoch(void) {
    return ejected_is_waited_for_by_later_voters(false);
}

static bool ejected_is_waited_for_in_a_fresh_epoch(void) {
    return ejected_is_waited_for_by_later_voters(true);
}

static void test_who_is_ejected_just_when_it_comes_back_is_waited_for(void **state) {
    (void)state;
    is_noticed(ejected_is_waited_for, MUTATION_EJECTED_FORGOTTEN);
    is_noticed(ejected_is_waited_for_when_leases_end, MUTATION_EJECTED_FORGOTTEN);
    is_noticed(ejected_is_waited_for_in_a_kept_epoch, MUTATION_EJECTED_FORGOTTEN);
    is_noticed(ejected_is_waited_for_in_a_fresh_epoch, MUTATION_EJECTED_FORGOTTEN);
}

static void test_without_a_majority_nothing_is_confirmed(void **state) {
    (void)state;
    begin(3);
    cut(2);
    cut(3);
    purge(1, 5);
    purge_lab_run(&l, 60000);
    assert_false(is_confirmed(1, 5));
    purge_lab_fini(&l);
}

/* ------------------------------------------------------------------ lowered and raised */

static void test_lowered_leases_are_waited_for_at_their_old_length(void **state) {
    (void)state;
    begin(4);
    cut(4);
    assert_true(holds(4));
    l.c.version++;
    l.c.tag_lease_ms = 200;
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    purge(1, 5);
    while (holds(4)) {
        assert_false(is_confirmed(1, 5));
        purge_lab_run(&l, 20);
    }
    purge_lab_run(&l, WAITED_MS);
    assert_true(is_confirmed(1, 5));
    l.c.version++;
    l.c.tag_wait_ms = 200;
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
    assert_true(holds(3) && ends(3).tag_ns - l.now_ns <= 200 * MS);
    cut(3);
    purge(1, 6);
    purge_lab_run(&l, 222 + 30);
    assert_true(is_confirmed(1, 6));
    purge_lab_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_others_wait_for_is_longer_by_the_clocks_error),
        cmocka_unit_test(test_a_lease_runs_from_before_the_poll_and_never_gets_shorter),
        cmocka_unit_test(test_each_sequence_waits_for_its_time_since_a_majority_had_it),
        cmocka_unit_test(test_a_lease_is_renewed_while_a_majority_of_the_voters_answers),
        cmocka_unit_test(test_a_lease_comes_back_over_lines_that_take_almost_as_long),
        cmocka_unit_test(test_a_lease_comes_back_over_lines_that_carry_few_answers),
        cmocka_unit_test(test_who_owes_four_answers_is_polled_four_times_in_a_lease),
        cmocka_unit_test(test_what_the_voters_have_applied_comes_before_the_lease),
        cmocka_unit_test(test_polls_of_another_version_extend_nothing),
        cmocka_unit_test(test_who_is_no_member_holds_none),
        cmocka_unit_test(test_one_and_two_nodes_need_none),
        cmocka_unit_test(test_leases_bind_when_all_know),
        cmocka_unit_test(test_who_comes_from_leases_to_one_voter_has_to_catch_up),
        cmocka_unit_test(test_a_fresh_epoch_of_one_voter_that_had_leases_drops_what_is_tagged),
        cmocka_unit_test(test_a_member_that_does_not_answer_is_waited_for_once),
        cmocka_unit_test(test_a_purge_of_everything_waits_for_all_members),
        cmocka_unit_test(test_an_asker_is_told_of_both_kinds),
        cmocka_unit_test(test_who_is_ejected_just_when_it_comes_back_is_waited_for),
        cmocka_unit_test(test_without_a_majority_nothing_is_confirmed),
        cmocka_unit_test(test_lowered_leases_are_waited_for_at_their_old_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
