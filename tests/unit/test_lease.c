/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leases, and what is confirmed when a member does not answer: a case for each sentence, and for
 * each shortcut that random schedules meet too seldom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster/lease.h"
#include "cluster/mutation.h"
#include "purge_lab.h"

#define MS UINT64_C(1000000)
#define WAITED_MS 1106 /* W(1 s) */

static struct purge_lab l;

static struct lease_ends ends(uint32_t number) {
    return purging_leases(purge_lab_node(&l, number)->p);
}

static bool holds(uint32_t number) {
    return ends(number).tag_ns > l.now_ns;
}

static bool is_confirmed(uint32_t number, uint64_t tag) {
    const struct purging_receipt *r = purge_lab_outcome(&l, number, 1000 * number + tag);
    return r != NULL && r->status == PURGING_CONFIRMED;
}

/* Asks for a purge with much patience, and settles. */
static void purge(uint32_t number, uint64_t tag) {
    const struct purge_selector sel = {tag != 0, &tag};
    const struct purging_request r = {
        .selectors = &sel, .nselectors = 1, .wait_ns = 100000 * MS, .token = 1000 * number + tag};
    assert_int_equal(purging_purge(purge_lab_node(&l, number)->p, l.now_ns, &r, NULL), 0);
    purge_lab_settle(&l);
}

/* n members, three of which vote, in a cluster whose leases bind, later than all waits of its beginning. */
static void begin(unsigned n) {
    purge_lab_init(&l, n, 3, 1 << 20);
    l.c.leases = true;
    l.c.version++;
    purge_lab_adopt(&l);
    purge_lab_settle(&l);
    purge_lab_run(&l, 2000);
}

static void cut(uint32_t number) {
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != number) purge_lab_link(&l, number, i, false);
}

static void keep_previous(void) {
    l.c.nprevious = l.c.nvoters;
    for (unsigned i = 0; i < l.c.nvoters; i++) l.c.previous[i] = l.c.voters[i];
}

/* All but `but` adopt a new epoch, whose previous voters are those of the last keep_previous. */
static void new_epoch(bool fresh, uint32_t but) {
    l.c.version++;
    l.c.epoch++;
    if (fresh) l.c.floor_epoch = l.c.epoch;
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != but) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
}

/* The promise holds, and not with the shortcut. */
static void is_noticed(bool (*holds_true)(void), enum mutation shortcut) {
    assert_true(holds_true());
    mutation_on = shortcut;
    assert_false(holds_true());
    mutation_on = MUTATION_NONE;
}

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

/* True: what a lease of the epoch before still covers was waited for. */
static bool holds_after_epoch(void) {
    begin(4);
    assert_true(holds(4));
    cut(4);
    keep_previous();
    new_epoch(false, 4);
    purge_lab_run(&l, 60); /* the voters are active */
    purge(1, 5);
    const bool waits = !is_confirmed(1, 5) || !holds(4);
    purge_lab_run(&l, WAITED_MS + 30);
    assert_true(is_confirmed(1, 5));
    purge_lab_fini(&l);
    return waits;
}

/* True: a voter of a kept epoch that has not heard a majority of the voters before grants nothing: it may lack what
 * they have confirmed. */
static bool voters_synchronise(void) {
    begin(4);
    cut(3);
    cut(4);
    purge_lab_link(&l, 3, 4, true);
    purge_lab_run(&l, 1010);
    purge(1, 5);
    purge_lab_run(&l, WAITED_MS + 30);
    assert_true(is_confirmed(1, 5));
    keep_previous();
    l.c.voters[0] = (struct configuration_voter){.id = {{4}}, .member = 4, .origin = 104};
    l.c.origins[l.c.norigins++] = 104;
    l.c.version++;
    l.c.epoch++;
    for (uint32_t i = 3; i <= 4; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    purge_lab_run(&l, 1000);
    const bool waits = !holds(3) && !holds(4);
    for (uint32_t i = 1; i <= 2; i++) {
        purge_lab_adopt_one(&l, i);
        for (uint32_t k = 3; k <= 4; k++) purge_lab_link(&l, i, k, true);
    }
    purge_lab_settle(&l);
    purge_lab_run(&l, 1000);
    assert_true(holds(3) && holds(4) && purge_lab_count(&l, 4, 5) == 1);
    purge_lab_fini(&l);
    return waits;
}

static void test_voters_hear_a_majority_of_those_before(void **state) {
    (void)state;
    is_noticed(voters_synchronise, MUTATION_NO_SYNC);
    is_noticed(voters_synchronise, MUTATION_SYNC_FROM_ONE);
}

static void test_leases_of_the_epoch_before_are_waited_for(void **state) {
    (void)state;
    is_noticed(holds_after_epoch, MUTATION_NO_HOLD);
}

/* True: sealed voters neither acknowledged nor granted in their epoch (T3). */
static bool seal_counts(void) {
    begin(4);
    for (uint32_t i = 2; i <= 3; i++) purging_seal(purge_lab_node(&l, i)->p, true);
    purge(1, 5);
    purge_lab_run(&l, 5000);
    const bool kept = !is_confirmed(1, 5) && !holds(4);
    purge_lab_fini(&l);
    return kept;
}

static void test_a_sealed_voter_acknowledges_and_grants_nothing(void **state) {
    (void)state;
    is_noticed(seal_counts, MUTATION_NO_SEAL);
}

/* True: what voters said in another epoch did not count. */
static bool epochs_are_apart(void) {
    begin(3);
    new_epoch(true, 0);
    purge_lab_run(&l, 2000);
    l.c.version++;
    l.c.epoch++;
    l.c.floor_epoch = l.c.epoch;
    purge_lab_adopt_one(&l, 1); /* the others are still in the one before */
    purge_lab_settle(&l);
    purge(1, 5);
    purge_lab_run(&l, 5000);
    const bool kept = !is_confirmed(1, 5);
    for (uint32_t i = 2; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_run(&l, 2000);
    assert_true(is_confirmed(1, 5));
    purge_lab_fini(&l);
    return kept;
}

static void test_acknowledgements_of_another_epoch_do_not_count(void **state) {
    (void)state;
    is_noticed(epochs_are_apart, MUTATION_MIXED_EPOCHS);
}

/* True: who enters a fresh epoch drops its leases and what is tagged. */
static bool fresh_drops(void) {
    begin(4);
    cut(4);
    assert_true(holds(4));
    purge_lab_node(&l, 4)->floors_tagged = 0;
    new_epoch(true, 0);
    const bool dropped = purge_lab_node(&l, 4)->floors_tagged == 1 && !holds(4);
    purge_lab_fini(&l);
    return dropped;
}

static void test_a_fresh_epoch_drops_leases_and_what_is_tagged(void **state) {
    (void)state;
    is_noticed(fresh_drops, MUTATION_NO_EPOCH_FLOOR);
}

/* The member goes on alone from the configuration of `base`, whose version, epoch and numbers it skips `step` of. */
static void recover(uint32_t number, struct configuration *base, uint64_t step) {
    assert_int_equal(configuration_copy(&l.c, base), 0);
    configuration_fini(base);
    keep_previous();
    l.c.version += step;
    l.c.epoch += step;
    l.c.next_number += (uint32_t)step;
    l.c.floor_epoch = l.c.epoch;
    l.c.nvoters = 1;
    l.c.voters[0] =
        (struct configuration_voter){.id = {{(uint8_t)number}}, .member = number, .origin = l.c.next_number};
    l.c.origins[l.c.norigins++] = l.c.next_number++;
    l.c.leases = false;
    purge_lab_adopt_one(&l, number);
    purge_lab_settle(&l);
    purge_lab_run(&l, 500);
}

/* Those that ejected 4, and confirmed a purge of everything without it, are lost. It has not heard of that, and goes on
 * from the configuration before. True: it drops everything before it serves again. */
static bool recovered_drops(void) {
    struct configuration base = {0};
    begin(4);
    cut(4);
    purge_lab_run(&l, 36000);
    assert_int_equal(configuration_copy(&base, &l.c), 0);
    l.c.version++;
    l.c.members[3].state = CONFIGURATION_EJECTED;
    for (uint32_t i = 1; i < 4; i++) purge_lab_adopt_one(&l, i);
    purge(1, 0);
    purge_lab_run(&l, 300);
    assert_true(is_confirmed(1, 0));
    assert_int_equal(purge_lab_count(&l, 4, 0), 0);
    recover(4, &base, 1000);
    assert_true(ends(4).serve_ns == LEASE_ENDLESS);
    const bool dropped = purge_lab_node(&l, 4)->floors_all == 1;
    assert_int_equal(purge_lab_node(&l, 4)->floors_all + purge_lab_node(&l, 4)->floors_tagged, 1);
    purge_lab_fini(&l);
    return dropped;
}

/* ... of a member that has entered epochs behind that which was gone on from, and hears of it in the epoch after. */
static bool recovered_drops_later(void) {
    struct configuration base = {0};
    begin(4);
    assert_int_equal(configuration_copy(&base, &l.c), 0);
    l.c.version += 500;
    l.c.epoch += 500;
    purge_lab_adopt_one(&l, 4);
    recover(1, &base, 1000);
    keep_previous();
    l.c.version++;
    l.c.epoch++;
    purge_lab_adopt_one(&l, 4);
    const bool dropped = purge_lab_node(&l, 4)->floors_all == 1;
    purge_lab_fini(&l);
    return dropped;
}

static void test_who_enters_a_recovered_configuration_drops_everything(void **state) {
    (void)state;
    is_noticed(recovered_drops, MUTATION_RECOVERED_KEEPS);
    is_noticed(recovered_drops_later, MUTATION_RECOVERED_KEEPS);
}

/* While members serve without leases every purge waits for them, and nobody is ejected. */
static void test_of_two_nodes_the_one_that_is_left_keeps_what_it_has(void **state) {
    struct configuration base = {0};
    (void)state;
    purge_lab_init(&l, 2, 1, 1 << 20);
    purge_lab_run(&l, 500);
    assert_true(ends(2).serve_ns == LEASE_ENDLESS);
    cut(2);
    assert_int_equal(configuration_copy(&base, &l.c), 0);
    recover(2, &base, 1000);
    assert_true(ends(2).serve_ns == LEASE_ENDLESS);
    assert_int_equal(purge_lab_node(&l, 2)->floors_all + purge_lab_node(&l, 2)->floors_tagged, 0);
    purge_lab_fini(&l);
}

/* Whether the epoch stays that of the founding or not. */
static void founded_without_directories(bool another_epoch) {
    purge_lab_init(&l, 3, 3, 1 << 20);
    l.c.leases = l.c.seats_by_name = true;
    l.c.version++;
    purge_lab_adopt(&l);
    purge_lab_run(&l, 500);
    if (another_epoch) new_epoch(true, 0);
    purge_lab_run(&l, 1500);
    purge(1, 0);
    purge(1, 5);
    assert_true(is_confirmed(1, 5)); /* past the wait of tag leases */
    purge_lab_run(&l, 30000);
    assert_false(is_confirmed(1, 0)); /* an older cluster's serve leases may run for W(30 s) */
    purge_lab_run(&l, 1600);
    assert_true(is_confirmed(1, 0));
    purge_lab_fini(&l);
}

static void test_founders_without_directories_wait_with_flushes(void **state) {
    (void)state;
    founded_without_directories(false);
    founded_without_directories(true);
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
        cmocka_unit_test(test_voters_hear_a_majority_of_those_before),
        cmocka_unit_test(test_leases_of_the_epoch_before_are_waited_for),
        cmocka_unit_test(test_a_sealed_voter_acknowledges_and_grants_nothing),
        cmocka_unit_test(test_acknowledgements_of_another_epoch_do_not_count),
        cmocka_unit_test(test_a_fresh_epoch_drops_leases_and_what_is_tagged),
        cmocka_unit_test(test_who_enters_a_recovered_configuration_drops_everything),
        cmocka_unit_test(test_of_two_nodes_the_one_that_is_left_keeps_what_it_has),
        cmocka_unit_test(test_founders_without_directories_wait_with_flushes),
        cmocka_unit_test(test_lowered_leases_are_waited_for_at_their_old_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
