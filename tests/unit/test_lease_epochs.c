/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leases and purges across epochs: what a voter waits for that takes over from others, and what members drop where what
 * was confirmed may be forgotten: in a fresh epoch, after a recovery, and when founders have no state directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "leases.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_voters_hear_a_majority_of_those_before),
        cmocka_unit_test(test_leases_of_the_epoch_before_are_waited_for),
        cmocka_unit_test(test_a_sealed_voter_acknowledges_and_grants_nothing),
        cmocka_unit_test(test_acknowledgements_of_another_epoch_do_not_count),
        cmocka_unit_test(test_a_fresh_epoch_drops_leases_and_what_is_tagged),
        cmocka_unit_test(test_who_enters_a_recovered_configuration_drops_everything),
        cmocka_unit_test(test_of_two_nodes_the_one_that_is_left_keeps_what_it_has),
        cmocka_unit_test(test_founders_without_directories_wait_with_flushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
