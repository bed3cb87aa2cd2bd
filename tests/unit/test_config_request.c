/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What administrators, and nodes for themselves, ask for; and recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_lab.h"

static struct configuration conf;

static void begin(struct lab *l, unsigned self, unsigned members) {
    const struct config_options o = lab_options(self);
    lab_configuration(&conf, members);
    lab_begin(l, &o, &conf, true);
}

static void end(struct lab *l) {
    lab_end(l);
    configuration_fini(&conf);
}

static void hear_request(struct lab *l, unsigned from, enum config_request_kind kind, uint32_t number,
                         uint64_t argument) {
    struct peer_config m = lab_message(l, PEER_CONFIG_REQUEST);
    m.request = kind;
    m.number = number;
    m.argument = argument;
    m.token = 99;
    lab_hear(l, from, &m);
}

/* What node 0 proposes once node 1 has promised; NULL: nothing. The caller's to put. */
static struct configuration_value *next_value(struct lab *l) {
    if (lab_said(l, PEER_CONFIG_PREPARE, -1) == NULL) return NULL;
    const struct peer_config m = lab_promise(l, true);
    lab_hear(l, 1, &m);
    return lab_proposed(l);
}

static const struct configuration_member *member(const struct configuration_value *v, uint32_t number) {
    assert_non_null(v);
    return configuration_by_number(&v->configuration, number);
}

/* ---- the voter's side */

static void test_a_weight_is_changed_and_with_it_the_ring(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    hear_request(&l, 3, CONFIG_WEIGHT, 4, 9);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(member(v, 4)->weight, 9);
    assert_int_equal(v->configuration.ring_version, 6);
    assert_int_equal(v->configuration.epoch, conf.epoch);
    configuration_value_put(v);
    end(&l);
}

static void test_a_witness_has_no_part_of_the_ring(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 4);
    conf.members[3].weight = 0;
    conf.members[3].state = CONFIGURATION_JOINING;
    lab_begin(&l, &o, &conf, true);
    hear_request(&l, 3, CONFIG_SERVE, 4, 0);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(member(v, 4)->state, CONFIGURATION_SERVING);
    assert_int_equal(v->configuration.ring_version, conf.ring_version);
    configuration_value_put(v);
    end(&l);
}

static void test_a_drained_member_leaves_the_ring_and_stays_a_member_and_voter(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    hear_request(&l, 3, CONFIG_DRAIN, 2, 1);
    struct configuration_value *v = next_value(&l);
    assert_true(member(v, 2)->drained);
    assert_int_equal(v->configuration.ring_version, 6);
    assert_int_equal(v->configuration.voters[1].member, 2);
    configuration_value_put(v);
    end(&l);
}

static void test_a_voter_that_leaves_passes_its_seat_on(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 5);
    hear_request(&l, 2, CONFIG_LEAVE, 3, 0);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(member(v, 3)->state, CONFIGURATION_LEAVING);
    assert_int_equal(v->configuration.voters[2].member, 4);
    assert_int_equal(v->configuration.nvoters, 3);
    assert_int_equal(v->configuration.epoch, conf.epoch + 1);
    assert_int_equal(v->configuration.floor_epoch, conf.floor_epoch);
    configuration_value_put(v);
    end(&l);
}

/* A voter leaves when the members 4 and 5 have been silent for so long, in steps of half a second, to both voters that
 * promise. Returns the member that its seat is given to, 0: the seat is removed. */
static uint32_t takes_seat(unsigned ms4, unsigned ms5) {
    enum { STEP_MS = 500, MOST_MS = 12000 };
    struct lab l;
    struct peer_silent silent[2];
    begin(&l, 0, 5);
    for (unsigned left = MOST_MS; left > 0; left -= STEP_MS) {
        lab_heard(&l, 2);
        lab_heard(&l, 3);
        if (left >= ms4) lab_heard(&l, 4);
        if (left >= ms5) lab_heard(&l, 5);
        lab_pass(&l, STEP_MS);
    }
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    hear_request(&l, 2, CONFIG_LEAVE, 3, 0);
    struct peer_config m = lab_promise(&l, true);
    m.silent = silent;
    if (ms4 >= 1000) silent[m.nsilent++] = (struct peer_silent){4, ms4};
    if (ms5 >= 1000) silent[m.nsilent++] = (struct peer_silent){5, ms5};
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_int_equal(member(v, 3)->state, CONFIGURATION_LEAVING);
    const uint32_t taker = v->configuration.nvoters == 3 ? v->configuration.voters[2].member : 0;
    configuration_value_put(v);
    end(&l);
    return taker;
}

static void test_a_seat_is_given_to_who_is_heard_else_to_who_was_heard_last(void **state) {
    (void)state;
    assert_int_equal(takes_seat(500, 500), 4);
    assert_int_equal(takes_seat(1000, 500), 5);
    assert_int_equal(takes_seat(4000, 2000), 5);
    assert_int_equal(takes_seat(2000, 4000), 4);
    assert_int_equal(takes_seat(11000, 9500), 5);
    assert_int_equal(takes_seat(11000, 10000), 0);
}

static void test_a_voter_that_leaves_two_members_behind_leaves_one_voter_behind(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 3);
    hear_request(&l, 2, CONFIG_LEAVE, 3, 0);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(v->configuration.nvoters, 1);
    assert_int_equal(v->configuration.voters[0].member, 1); /* the oldest of the two */
    configuration_value_put(v);
    end(&l);
}

static void test_two_voters_that_leave_at_once_do_not_leave_an_empty_seat(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 2);
    conf.voters[2].id = (struct cluster_id){{0}}; /* vacant */
    conf.voters[2].member = conf.voters[2].origin = 0;
    snprintf(conf.voters[2].name, sizeof conf.voters[2].name, "n2:1");
    conf.norigins = 2;
    lab_begin(&l, &o, &conf, true);
    hear_request(&l, 0, CONFIG_LEAVE, 1, 0);
    hear_request(&l, 1, CONFIG_LEAVE, 2, 0);
    struct configuration_value *v = next_value(&l);
    unsigned leaving = 0;
    assert_non_null(v);
    for (unsigned i = 0; i < v->configuration.nmembers; i++)
        leaving += v->configuration.members[i].state == CONFIGURATION_LEAVING;
    assert_int_equal(leaving, 1);
    assert_int_not_equal(v->configuration.voters[0].member, 0);
    configuration_value_put(v);
    end(&l);
}

static void test_the_only_voter_cannot_leave_without_somebody_to_take_its_seat(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 2);
    conf.nvoters = conf.norigins = 1;
    conf.members[1].keeps_state = false;
    lab_begin(&l, &o, &conf, true);
    hear_request(&l, 1, CONFIG_LEAVE, 1, 0);
    const struct config_out *answer = lab_said(&l, PEER_CONFIG_ANSWER, 1);
    assert_non_null(answer);
    assert_int_equal(answer->message.token, 99);
    assert_non_null(strstr(answer->message.text, "the only voter"));
    end(&l);
}

static void test_a_founders_name_without_state_directories_leaves_its_seat_vacant(void **state) {
    struct lab l;
    const struct config_options o = lab_options(0);
    (void)state;
    lab_configuration(&conf, 5);
    conf.seats_by_name = true;
    lab_begin(&l, &o, &conf, true);
    hear_request(&l, 0, CONFIG_FORGET, 3, 0);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(v->configuration.nvoters, 3);
    assert_int_equal(v->configuration.voters[2].member, 0);
    assert_string_equal(v->configuration.voters[2].name, "n2:1");
    configuration_value_put(v);
    end(&l);
}

static void test_changes_of_the_ring_wait_for_hand_offs_and_other_changes_do_not(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = true});
    hear_request(&l, 3, CONFIG_WEIGHT, 4, 9);
    lab_pass(&l, 1000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    hear_request(&l, 3, CONFIG_TAG_LEASE, 0, 500);
    hear_request(&l, 3, CONFIG_WEIGHT, 4, 9);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(v->configuration.tag_lease_ms, 500);
    assert_int_equal(member(v, 4)->weight, 1);
    configuration_value_put(v);
    lab_accepted(&l, 1);
    lab_clear(&l);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = false});
    hear_request(&l, 3, CONFIG_WEIGHT, 4, 9);
    v = next_value(&l);
    assert_int_equal(member(v, 4)->weight, 9);
    configuration_value_put(v);
    end(&l);
}

static void test_after_a_minute_the_ring_waits_for_no_hand_off(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = true});
    for (unsigned i = 0; i < 61; i++) { /* the ring changed when the configuration was adopted */
        for (uint32_t n = 2; n <= 4; n++) lab_heard(&l, n);
        lab_pass(&l, 1000);
        hear_request(&l, 3, CONFIG_WEIGHT, 4, 9);
        if (i < 58) assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    }
    assert_true(lab_count(&l, PEER_CONFIG_PREPARE) > 0);
    end(&l);
}

static void test_settings_out_of_bounds_are_refused(void **state) {
    static const struct {
        enum config_request_kind kind;
        uint64_t argument;
    } bad[] = {
        {CONFIG_EJECT_AFTER, 33157},
        {CONFIG_SERVE_LEASE, 40000},
        {CONFIG_SERVE_LEASE, 999},
        {CONFIG_TAG_LEASE, 30001},
        {CONFIG_TAG_LEASE, 0},
        {CONFIG_TAG_LEASE, 99},
        {CONFIG_SERVE_LEASE, 604800001},
        {CONFIG_VOTERS, 2},
        {CONFIG_VOTERS, 9},
        {CONFIG_WEIGHT, 1000001},
        {CONFIG_REQUESTS, 1},
        {CONFIG_RECOVER, 0},
        {CONFIG_LEFT, 0},
    };
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lab_clear(&l);
        hear_request(&l, 3, bad[i].kind, 4, bad[i].argument);
        assert_non_null(lab_said(&l, PEER_CONFIG_ANSWER, 3));
        assert_true(lab_said(&l, PEER_CONFIG_ANSWER, 3)->message.text[0] != '\0');
        assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    }
    hear_request(&l, 3, CONFIG_EJECT_AFTER, 4, 33158); /* W(30 s) */
    assert_true(lab_count(&l, PEER_CONFIG_PREPARE) > 0);
    end(&l);
}

static void test_a_lower_number_of_voters_takes_seats_away_when_it_is_asked_for(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, 4);
    hear_request(&l, 3, CONFIG_VOTERS, 0, 1);
    struct configuration_value *v = next_value(&l);
    assert_int_equal(v->configuration.nvoters, 1);
    assert_int_equal(v->configuration.voters[0].member, 1);
    configuration_value_put(v);
    end(&l);
}

/* ---- the asking side */

static void test_a_request_goes_to_all_voters_until_the_configuration_shows_it(void **state) {
    struct lab l;
    struct configuration next = {0};
    int err;
    (void)state;
    begin(&l, 3, 4);
    lab_request(&l, CONFIG_WEIGHT, "n1:1", 6, 17);
    assert_int_equal(lab_count(&l, PEER_CONFIG_REQUEST), 3);
    lab_pass(&l, 1100);
    assert_int_equal(lab_count(&l, PEER_CONFIG_REQUEST), 9);
    assert_null(lab_out(&l, CONFIG_OUT_ANSWER));
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version++;
    next.members[1].weight = 6;
    struct configuration_value *v = configuration_value_new(&next, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(&l, 0, &push);
    assert_int_equal(lab_out(&l, CONFIG_OUT_ANSWER)->number, 17);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "");
    configuration_value_put(v);
    configuration_fini(&next);
    end(&l);
}

static void test_a_refusal_of_a_voter_is_the_answer(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 3, 4);
    lab_request(&l, CONFIG_WEIGHT, "n1:1", 6, 17);
    struct peer_config m = lab_message(&l, PEER_CONFIG_ANSWER);
    m.token = 17;
    snprintf(m.text, sizeof m.text, "because");
    lab_hear(&l, 1, &m);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "because");
    lab_clear(&l);
    lab_hear(&l, 2, &m); /* once is enough */
    assert_null(lab_out(&l, CONFIG_OUT_ANSWER));
    end(&l);
}

static void test_without_a_majority_the_administrator_is_told_after_ten_seconds(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 3, 4);
    lab_request(&l, CONFIG_WEIGHT, "n1:1", 6, 17);
    lab_pass(&l, 9900);
    assert_null(lab_out(&l, CONFIG_OUT_ANSWER));
    lab_pass(&l, 200);
    assert_non_null(strstr(lab_out(&l, CONFIG_OUT_ANSWER)->text, "no quorum"));
    end(&l);
}

static void test_while_items_move_the_administrator_is_told_that(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 3, 4);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = true});
    lab_request(&l, CONFIG_WEIGHT, "n1:1", 6, 17);
    lab_pass(&l, 10100);
    assert_non_null(strstr(lab_out(&l, CONFIG_OUT_ANSWER)->text, "being handed over"));
    end(&l);
}

static void test_what_is_so_already_is_answered_at_once_and_what_cannot_be_too(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 3, 4);
    lab_request(&l, CONFIG_WEIGHT, "n1:1", 1, 17);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "");
    lab_request(&l, CONFIG_WEIGHT, "nobody:1", 1, 18);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "no member has this name");
    lab_request(&l, CONFIG_VOTERS, "", 4, 19);
    assert_non_null(strstr(lab_out(&l, CONFIG_OUT_ANSWER)->text, "1, 3, 5, 7"));
    assert_int_equal(lab_count(&l, PEER_CONFIG_REQUEST), 0);
    end(&l);
}

static void test_what_the_node_wants_for_itself_is_asked_for_without_an_end(void **state) {
    struct lab l;
    const struct config_options o = lab_options(3);
    (void)state;
    lab_configuration(&conf, 4);
    conf.members[3].state = CONFIGURATION_JOINING;
    lab_begin(&l, &o, &conf, true);
    lab_request(&l, CONFIG_SERVE, "", 0, 0);
    lab_request(&l, CONFIG_SERVE, "", 0, 0);
    lab_pass(&l, 20000);
    assert_in_range(lab_count(&l, PEER_CONFIG_REQUEST), 3 * 36, 3 * 41); /* twice a second, once however often asked */
    assert_null(lab_out(&l, CONFIG_OUT_ANSWER));
    end(&l);
}

/* ---- recovery */

static void test_recovery_makes_the_survivor_the_only_voter_in_a_fresh_epoch(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, 4);
    lab_request(&l, CONFIG_RECOVER, "", 0, 5);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "");
    const struct configuration *c = config_current(l.config);
    const uint64_t step = c->version - conf.version;
    assert_in_range(step, 1000, 1000 + 999999);
    assert_int_equal(c->epoch, conf.epoch + step); /* nothing of it can be another recovery's */
    assert_int_equal(c->floor_epoch, c->epoch);
    assert_int_equal(c->next_number, conf.next_number + step + 1);
    assert_int_equal(c->nvoters, 1);
    assert_int_equal(c->voters[0].member, 3);
    assert_int_equal(c->nprevious, 3);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 1)); /* whoever is there after all learns it */
    end(&l);
}

/* Members that were there a moment ago get no seat before they are heard again: they may be dead. */
static void test_only_who_is_heard_again_gets_a_seat_after_a_recovery(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, 4);
    l.write = true;
    lab_heard(&l, 1);
    lab_request(&l, CONFIG_RECOVER, "", 0, 5);
    const uint64_t version = config_current(l.config)->version;
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = config_current(l.config)->epoch});
    lab_pass(&l, 5000);
    assert_int_equal(config_current(l.config)->version, version);
    assert_int_equal(config_current(l.config)->nvoters, 1);
    lab_heard(&l, 1);
    lab_pass(&l, 2000);
    assert_int_equal(config_current(l.config)->nvoters, 1); /* seats come by two */
    lab_heard(&l, 1);
    lab_heard(&l, 2);
    lab_pass(&l, 2000);
    assert_int_equal(config_current(l.config)->nvoters, 3);
    end(&l);
}

static void test_a_survivor_that_restarted_takes_its_own_place(void **state) {
    struct lab l;
    const struct config_options o = lab_options(2);
    (void)state;
    lab_configuration(&conf, 4);
    lab_begin(&l, &o, &conf, false);
    lab_request(&l, CONFIG_RECOVER, "", 0, 5);
    const struct configuration *c = config_current(l.config);
    assert_int_equal(c->nmembers, 4);
    assert_int_equal(config_number(l.config), c->voters[0].member);
    assert_int_equal(configuration_by_name(c, "n2:1")->boot, 1000);
    assert_null(configuration_by_number(c, 3));
    end(&l);
}

static void test_a_node_that_knows_no_cluster_recovers_nothing(void **state) {
    struct lab l;
    const struct config_options o = lab_options(2);
    (void)state;
    lab_begin(&l, &o, NULL, false);
    lab_request(&l, CONFIG_RECOVER, "", 0, 5);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "this node knows no configuration");
    lab_request(&l, CONFIG_LEAVE, "", 0, 6);
    assert_string_equal(lab_out(&l, CONFIG_OUT_ANSWER)->text, "no cluster yet");
    lab_end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_weight_is_changed_and_with_it_the_ring),
        cmocka_unit_test(test_a_witness_has_no_part_of_the_ring),
        cmocka_unit_test(test_a_drained_member_leaves_the_ring_and_stays_a_member_and_voter),
        cmocka_unit_test(test_a_voter_that_leaves_passes_its_seat_on),
        cmocka_unit_test(test_a_seat_is_given_to_who_is_heard_else_to_who_was_heard_last),
        cmocka_unit_test(test_a_voter_that_leaves_two_members_behind_leaves_one_voter_behind),
        cmocka_unit_test(test_two_voters_that_leave_at_once_do_not_leave_an_empty_seat),
        cmocka_unit_test(test_the_only_voter_cannot_leave_without_somebody_to_take_its_seat),
        cmocka_unit_test(test_a_founders_name_without_state_directories_leaves_its_seat_vacant),
        cmocka_unit_test(test_changes_of_the_ring_wait_for_hand_offs_and_other_changes_do_not),
        cmocka_unit_test(test_after_a_minute_the_ring_waits_for_no_hand_off),
        cmocka_unit_test(test_settings_out_of_bounds_are_refused),
        cmocka_unit_test(test_a_lower_number_of_voters_takes_seats_away_when_it_is_asked_for),
        cmocka_unit_test(test_a_request_goes_to_all_voters_until_the_configuration_shows_it),
        cmocka_unit_test(test_a_refusal_of_a_voter_is_the_answer),
        cmocka_unit_test(test_without_a_majority_the_administrator_is_told_after_ten_seconds),
        cmocka_unit_test(test_while_items_move_the_administrator_is_told_that),
        cmocka_unit_test(test_what_is_so_already_is_answered_at_once_and_what_cannot_be_too),
        cmocka_unit_test(test_what_the_node_wants_for_itself_is_asked_for_without_an_end),
        cmocka_unit_test(test_recovery_makes_the_survivor_the_only_voter_in_a_fresh_epoch),
        cmocka_unit_test(test_a_survivor_that_restarted_takes_its_own_place),
        cmocka_unit_test(test_only_who_is_heard_again_gets_a_seat_after_a_recovery),
        cmocka_unit_test(test_a_node_that_knows_no_cluster_recovers_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
