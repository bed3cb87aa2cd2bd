/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A voter as a proposer: when it proposes, what, and in which epoch. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_lab.h"

static struct configuration conf;

static void begin(struct lab *l, unsigned self, unsigned members, bool active) {
    const struct config_options o = lab_options(self);
    lab_configuration(&conf, members);
    lab_begin(l, &o, &conf, active);
}

static void end(struct lab *l) {
    lab_end(l);
    configuration_fini(&conf);
}

/* All members but these were heard just now (0: nobody is left out). */
static void hear_all_but(struct lab *l, uint32_t a, uint32_t b) {
    for (unsigned i = 0; i < conf.nmembers; i++)
        if (conf.members[i].number != a && conf.members[i].number != b) lab_heard(l, conf.members[i].number);
}

/* Time passes in which these two are silent. */
static void pass_without(struct lab *l, unsigned seconds, uint32_t a, uint32_t b) {
    for (unsigned i = 0; i < seconds; i++) {
        hear_all_but(l, a, b);
        lab_pass(l, 1000);
    }
}

static void join_from(struct lab *l, unsigned node, uint64_t boot) {
    struct peer_config m = lab_message(l, PEER_CONFIG_JOIN);
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = lab_peer(node), .message = &m};
    m.weight = 1;
    m.keeps_state = true;
    if (boot != 0) in.from.boot = boot;
    lab_input(l, &in);
}

/* The other voters promise, with or without the memory of the epoch. */
static void promise(struct lab *l, unsigned from, bool active) {
    const struct peer_config m = lab_promise(l, active);
    lab_hear(l, from, &m);
}

static const struct configuration_member *proposed_member(const struct configuration_value *v, unsigned node) {
    return v == NULL ? NULL : configuration_by_name(&v->configuration, lab_peer(node).name);
}

/* ---- who and when */

static void test_nothing_wanted_is_nothing_proposed(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    pass_without(&l, 120, 0, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    end(&l);
}

static void test_the_lowest_voter_that_is_alive_proposes_at_once(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    join_from(&l, 5, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2); /* to the two others; its own is not sent */
    end(&l);
}

static void test_other_voters_propose_after_50_to_300_ms(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, 3, true);
    join_from(&l, 5, 0);
    lab_pass(&l, 50);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    lab_pass(&l, 300);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2);
    end(&l);
}

static void test_a_voter_is_the_lowest_alive_when_swim_believes_the_lower_ones_dead(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, 3, true);
    for (unsigned i = 0; i < 2; i++)
        lab_input(&l, &(struct config_in){.kind = CONFIG_IN_ALIVE, .from = lab_peer(i), .flag = false});
    join_from(&l, 5, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2);
    end(&l);
}

static void test_a_member_without_a_seat_proposes_nothing(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 3, 4, true);
    join_from(&l, 5, 0);
    lab_pass(&l, 2000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    end(&l);
}

static void test_lost_messages_are_sent_again_under_the_same_ballot(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    join_from(&l, 5, 0);
    const uint64_t counter = lab_said(&l, PEER_CONFIG_PREPARE, 1)->message.ballot.counter;
    lab_pass(&l, 300);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 4);
    assert_int_equal(lab_said(&l, PEER_CONFIG_PREPARE, 1)->message.ballot.counter, counter);
    end(&l);
}

static void test_a_rejected_proposer_tries_again_above_the_ballot_it_was_told(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    join_from(&l, 5, 0);
    struct peer_config m = lab_message(&l, PEER_CONFIG_REJECT);
    m.ballot = (struct peer_ballot){40, 102, lab_peer(2).id};
    lab_hear(&l, 2, &m);
    lab_clear(&l);
    lab_pass(&l, 49);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    join_from(&l, 5, 0);
    lab_pass(&l, 400);
    assert_int_equal(lab_said(&l, PEER_CONFIG_PREPARE, 1)->message.ballot.counter, 41);
    end(&l);
}

static void test_a_restarted_process_uses_no_ballot_of_its_older_process(void **state) {
    struct lab old, new;
    struct configuration kept = {0};
    (void)state;
    begin(&old, 0, 3, true);
    assert_int_equal(configuration_copy(&kept, &conf), 0);
    join_from(&old, 5, 0);
    const struct peer_ballot first = lab_said(&old, PEER_CONFIG_PREPARE, 1)->message.ballot;
    end(&old); /* it died before its record was on disk */
    const struct config_options o = lab_options(0);
    lab_begin(&new, &o, &kept, false);
    lab_pass(&new, 1000); /* it wants to be listed itself */
    const struct peer_ballot second = lab_said(&new, PEER_CONFIG_PREPARE, 1)->message.ballot;
    assert_true(peer_ballot_compare(&second, &first) != 0);
    lab_end(&new);
    configuration_fini(&kept);
}

/* ---- Paxos */

static void test_a_majority_of_all_seats_chooses(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    join_from(&l, 5, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0); /* its own promise is one of three */
    promise(&l, 1, true);
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 2);
    assert_int_equal(config_current(l.config)->version, 5);
    lab_accepted(&l, 1);
    assert_int_equal(config_current(l.config)->version, 6);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 2)); /* voters get it in full */
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 1));
    assert_non_null(strstr(lab_log(&l, "configuration"), "by=n0:1"));
    assert_non_null(strstr(lab_log(&l, "configuration"), "joined=n5:1"));
    end(&l);
}

static void test_members_without_a_seat_are_told_the_new_version(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    join_from(&l, 5, 0);
    promise(&l, 1, true);
    lab_accepted(&l, 1);
    const struct config_out *news = lab_said(&l, PEER_CONFIG_NEWS, 3);
    assert_non_null(news);
    assert_int_equal(news->message.version, 6);
    end(&l);
}

static void test_the_value_of_the_highest_ballot_is_adopted(void **state) {
    struct lab l;
    struct configuration next = {0};
    int err;
    (void)state;
    begin(&l, 0, 4, true);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version = 6;
    next.members[3].weight = 77;
    struct configuration_value *v = configuration_value_new(&next, &err);
    join_from(&l, 5, 0);
    struct peer_config m = lab_promise(&l, true);
    m.accepted = (struct peer_ballot){1, 102, lab_peer(2).id};
    m.value = v->bytes;
    m.nvalue = v->nbytes;
    lab_hear(&l, 1, &m);
    struct configuration_value *proposed = lab_proposed(&l);
    assert_int_equal(proposed->hash, v->hash); /* not its own wish */
    configuration_value_put(proposed);
    configuration_value_put(v);
    configuration_fini(&next);
    end(&l);
}

static void test_an_accepted_value_that_is_not_chosen_for_300_ms_is_taken_up(void **state) {
    struct lab l;
    struct configuration next = {0};
    int err;
    (void)state;
    begin(&l, 1, 4, true);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version = 6;
    next.members[3].weight = 77;
    struct configuration_value *v = configuration_value_new(&next, &err);
    struct peer_config m = lab_message(&l, PEER_CONFIG_ACCEPT);
    m.ballot = (struct peer_ballot){9, 102, lab_peer(2).id};
    m.value = v->bytes;
    m.nvalue = v->nbytes;
    lab_hear(&l, 2, &m);
    lab_pass(&l, 290);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    lab_pass(&l, 1000);
    assert_int_equal(lab_said(&l, PEER_CONFIG_PREPARE, 2)->message.ballot.counter, 10);
    promise(&l, 2, true);
    struct configuration_value *proposed = lab_proposed(&l);
    assert_int_equal(proposed->hash, v->hash);
    configuration_value_put(proposed);
    configuration_value_put(v);
    configuration_fini(&next);
    end(&l);
}

static void test_an_answer_to_another_ballot_does_not_count(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    join_from(&l, 5, 0);
    struct peer_config m = lab_promise(&l, true);
    m.ballot.counter--;
    lab_hear(&l, 1, &m);
    m = lab_promise(&l, true);
    m.version++;
    lab_hear(&l, 1, &m);
    m = lab_promise(&l, true);
    lab_hear(&l, 5, &m); /* no voter */
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    end(&l);
}

/* ---- ejects and seats */

static void test_a_member_silent_to_all_promising_voters_for_35_s_is_ejected(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    pass_without(&l, 34, 4, 0);
    hear_all_but(&l, 4, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    pass_without(&l, 2, 4, 0);
    assert_true(lab_count(&l, PEER_CONFIG_PREPARE) > 0);
    struct peer_config m = lab_promise(&l, true);
    const struct peer_silent silent = {4, 36000};
    m.silent = &silent;
    m.nsilent = 1;
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_int_equal(proposed_member(v, 3)->state, CONFIGURATION_EJECTED);
    assert_int_equal(v->configuration.epoch, conf.epoch);
    assert_int_equal(v->configuration.ring_version, 6);
    assert_int_equal(v->configuration.ring_version_before, 4);
    configuration_value_put(v);
    end(&l);
}

/* It may have come back since, and been given leases: voters look at the list for whose leases they wait. */
static void test_a_leaving_member_that_is_silent_is_ejected_and_stays_on_the_list(void **state) {
    struct lab l;
    (void)state;
    const struct config_options o = lab_options(0);
    lab_configuration(&conf, 4);
    conf.members[3].state = CONFIGURATION_LEAVING;
    lab_begin(&l, &o, &conf, true);
    pass_without(&l, 36, 4, 0);
    struct peer_config m = lab_promise(&l, true);
    const struct peer_silent silent = {4, 36000};
    m.silent = &silent;
    m.nsilent = 1;
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(proposed_member(v, 3));
    assert_int_equal(proposed_member(v, 3)->state, CONFIGURATION_EJECTED);
    configuration_value_put(v);
    end(&l);
}

static void test_a_member_that_one_promising_voter_heard_is_not_ejected(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    pass_without(&l, 36, 4, 0);
    promise(&l, 1, true); /* names nobody: it heard all */
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    end(&l);
}

static void test_a_new_member_is_not_ejected_for_the_time_before_it_was_listed(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    pass_without(&l, 60, 0, 0);
    join_from(&l, 5, 0);
    promise(&l, 1, true);
    lab_accepted(&l, 1);
    lab_clear(&l);
    pass_without(&l, 30, 0, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    end(&l);
}

static void test_a_voter_silent_for_10_s_gives_its_seat_to_the_longest_serving_member(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 5, true);
    pass_without(&l, 11, 3, 0);
    struct peer_config m = lab_promise(&l, true);
    const struct peer_silent silent = {3, 11000};
    m.silent = &silent;
    m.nsilent = 1;
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    assert_int_equal(v->configuration.nvoters, 3);
    assert_int_equal(v->configuration.voters[2].member, 4);
    assert_int_equal(v->configuration.voters[2].origin, 100); /* a number of its own */
    assert_int_equal(v->configuration.epoch, conf.epoch + 1);
    assert_int_equal(v->configuration.floor_epoch, conf.floor_epoch); /* kept: two of three promised while active */
    assert_int_equal(v->configuration.nprevious, 3);
    assert_int_equal(v->configuration.previous[2].member, 3);
    assert_int_equal(proposed_member(v, 2)->state, CONFIGURATION_SERVING); /* it stays a member */
    configuration_value_put(v);
    end(&l);
}

static void test_a_silent_voters_seat_waits_for_a_member_that_was_heard_within_3_s(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    pass_without(&l, 7, 3, 0);
    pass_without(&l, 4, 3, 4);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    join_from(&l, 5, 0);
    struct peer_config m = lab_promise(&l, true);
    const struct peer_silent silent[] = {{3, 11000}, {4, 5000}};
    m.silent = silent;
    m.nsilent = 2;
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(proposed_member(v, 5));
    assert_int_equal(v->configuration.voters[2].member, 3);
    assert_int_equal(v->configuration.epoch, conf.epoch);
    configuration_value_put(v);
    end(&l);
}

/* Members poll four times in a tag lease. */
static void test_voters_that_poll_rarely_for_long_leases_keep_their_seats(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 4);
    conf.tag_lease_ms = conf.tag_wait_ms = conf.serve_lease_ms = conf.serve_wait_ms = 60000;
    conf.eject_after_ms = 70000;
    lab_begin(&l, &o, &conf, true);
    for (unsigned i = 0; i < 4; i++) {
        lab_heard(&l, 2);
        lab_heard(&l, 3);
        lab_pass(&l, 13000);
        lab_heard(&l, 4);
        lab_pass(&l, 2000);
    }
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    pass_without(&l, 46, 3, 0);
    assert_true(lab_count(&l, PEER_CONFIG_PREPARE) > 0);
    end(&l);
}

static void test_a_member_without_a_state_directory_takes_no_seat(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 4);
    conf.members[3].keeps_state = false;
    lab_begin(&l, &o, &conf, true);
    pass_without(&l, 20, 3, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    end(&l);
}

static void test_fewer_than_three_voters_eject_nobody(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 2);
    conf.nvoters = conf.norigins = 1;
    lab_begin(&l, &o, &conf, true);
    pass_without(&l, 120, 2, 0);
    assert_int_equal(config_current(l.config)->version, 5);
    end(&l);
}

/* ---- epochs */

static void test_a_voters_new_process_is_a_kept_epoch_while_a_majority_remembers(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    join_from(&l, 2, 500);
    promise(&l, 2, false); /* the new process itself: an acceptor, but it remembers nothing */
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    promise(&l, 1, true);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    assert_int_equal(v->configuration.epoch, conf.epoch + 1);
    assert_int_equal(v->configuration.floor_epoch, conf.floor_epoch);
    assert_int_equal(proposed_member(v, 2)->boot, 500);
    assert_int_equal(proposed_member(v, 2)->state, CONFIGURATION_SERVING); /* at its old place in the ring */
    assert_int_equal(v->configuration.ring_version, conf.ring_version);
    assert_int_equal(v->configuration.voters[2].member, proposed_member(v, 2)->number);
    configuration_value_put(v);
    end(&l);
}

static void test_without_a_majority_that_remembers_the_epoch_is_fresh_after_5_s(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    join_from(&l, 2, 500);
    promise(&l, 2, false);
    for (unsigned i = 0; i < 48; i++) { /* 4.8 s: it asks again under new ballots */
        hear_all_but(&l, 0, 0);
        lab_pass(&l, 100);
        join_from(&l, 2, 500);
        promise(&l, 2, false);
    }
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    lab_pass(&l, 300);
    join_from(&l, 2, 500);
    promise(&l, 2, false);
    lab_pass(&l, 100);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    assert_int_equal(v->configuration.floor_epoch, conf.epoch + 1);
    configuration_value_put(v);
    end(&l);
}

static void test_the_epoch_is_fresh_at_once_when_a_majority_of_the_seats_are_new_processes(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4, true);
    join_from(&l, 2, 500);
    join_from(&l, 1, 501);
    lab_pass(&l, 250); /* the first proposal saw one of them only */
    promise(&l, 2, false);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    assert_int_equal(v->configuration.floor_epoch, conf.epoch + 1);
    configuration_value_put(v);
    end(&l);
}

static void test_an_epoch_in_which_nobody_becomes_active_for_5_s_is_followed_by_a_fresh_one(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = 0});
    pass_without(&l, 4, 0, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    pass_without(&l, 2, 0, 0);
    assert_true(lab_count(&l, PEER_CONFIG_PREPARE) > 0);
    promise(&l, 1, false);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    assert_int_equal(v->configuration.floor_epoch, conf.epoch + 1);
    configuration_value_put(v);
    end(&l);
}

static void test_an_epoch_in_which_another_voter_is_active_goes_on(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3, true);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = 0});
    pass_without(&l, 6, 0, 0);
    promise(&l, 1, true);
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPT), 0);
    end(&l);
}

/* ---- origins */

static void test_an_origin_without_a_seat_closes_and_is_dropped_when_all_know_its_purges(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 3);
    conf.norigins = 4;
    conf.origins[3] = 50; /* of a seat that was given away */
    lab_begin(&l, &o, &conf, true);
    lab_pass(&l, 600);
    promise(&l, 1, true);
    struct configuration_value *v = lab_proposed(&l);
    assert_int_equal(v->configuration.nclosing, 1);
    assert_int_equal(v->configuration.closing[0].origin, 50);
    assert_int_equal(v->configuration.closing[0].version, 6);
    assert_int_equal(v->configuration.norigins, 4); /* its purges still count */
    configuration_value_put(v);
    lab_accepted(&l, 1);
    lab_clear(&l);
    pass_without(&l, 5, 0, 0);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_ORIGIN, .number = 50, .flag = true});
    promise(&l, 1, true);
    v = lab_proposed(&l);
    assert_int_equal(v->configuration.nclosing, 0);
    assert_int_equal(v->configuration.norigins, 3);
    assert_int_equal(v->configuration.retire_version, 7);
    configuration_value_put(v);
    end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_wanted_is_nothing_proposed),
        cmocka_unit_test(test_the_lowest_voter_that_is_alive_proposes_at_once),
        cmocka_unit_test(test_other_voters_propose_after_50_to_300_ms),
        cmocka_unit_test(test_a_voter_is_the_lowest_alive_when_swim_believes_the_lower_ones_dead),
        cmocka_unit_test(test_a_member_without_a_seat_proposes_nothing),
        cmocka_unit_test(test_lost_messages_are_sent_again_under_the_same_ballot),
        cmocka_unit_test(test_a_rejected_proposer_tries_again_above_the_ballot_it_was_told),
        cmocka_unit_test(test_a_restarted_process_uses_no_ballot_of_its_older_process),
        cmocka_unit_test(test_a_majority_of_all_seats_chooses),
        cmocka_unit_test(test_members_without_a_seat_are_told_the_new_version),
        cmocka_unit_test(test_the_value_of_the_highest_ballot_is_adopted),
        cmocka_unit_test(test_an_accepted_value_that_is_not_chosen_for_300_ms_is_taken_up),
        cmocka_unit_test(test_an_answer_to_another_ballot_does_not_count),
        cmocka_unit_test(test_a_member_silent_to_all_promising_voters_for_35_s_is_ejected),
        cmocka_unit_test(test_a_leaving_member_that_is_silent_is_ejected_and_stays_on_the_list),
        cmocka_unit_test(test_a_member_that_one_promising_voter_heard_is_not_ejected),
        cmocka_unit_test(test_a_new_member_is_not_ejected_for_the_time_before_it_was_listed),
        cmocka_unit_test(test_a_voter_silent_for_10_s_gives_its_seat_to_the_longest_serving_member),
        cmocka_unit_test(test_a_silent_voters_seat_waits_for_a_member_that_was_heard_within_3_s),
        cmocka_unit_test(test_voters_that_poll_rarely_for_long_leases_keep_their_seats),
        cmocka_unit_test(test_a_member_without_a_state_directory_takes_no_seat),
        cmocka_unit_test(test_fewer_than_three_voters_eject_nobody),
        cmocka_unit_test(test_a_voters_new_process_is_a_kept_epoch_while_a_majority_remembers),
        cmocka_unit_test(test_without_a_majority_that_remembers_the_epoch_is_fresh_after_5_s),
        cmocka_unit_test(test_the_epoch_is_fresh_at_once_when_a_majority_of_the_seats_are_new_processes),
        cmocka_unit_test(test_an_epoch_in_which_nobody_becomes_active_for_5_s_is_followed_by_a_fresh_one),
        cmocka_unit_test(test_an_epoch_in_which_another_voter_is_active_goes_on),
        cmocka_unit_test(test_an_origin_without_a_seat_closes_and_is_dropped_when_all_know_its_purges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
