/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Founding, as one founder sees it; and two clusters of one name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_lab.h"

static const struct cluster_id founding_x = {{0xaa}}, founding_y = {{0xbb}};
static uint64_t founders_hash;

static void begin(struct lab *l, unsigned self, bool found, bool keeps_state) {
    struct config_options o = lab_options(self);
    o.found = found;
    o.keeps_state = keeps_state;
    lab_begin(l, &o, NULL, false);
    lab_pass(l, 1);
    const struct config_out *asked = lab_said(l, PEER_CONFIG_FOUND_ASK, -1);
    if (asked != NULL) founders_hash = asked->message.hash;
}

static void ask_from(struct lab *l, unsigned node, bool eligible) {
    const struct peer_config m = {
        .kind = PEER_CONFIG_FOUND_ASK, .hash = founders_hash, .eligible = eligible, .keeps_state = true, .weight = 1};
    lab_hear(l, node, &m);
}

static void hear(struct lab *l, unsigned node, enum peer_config_kind kind, const struct cluster_id *founding) {
    const struct peer_config m = {.kind = kind, .hash = founders_hash, .cluster = *founding, .eligible = true};
    lab_hear(l, node, &m);
}

/* The founding that the machine asked the others to bind themselves to. */
static struct cluster_id own_founding(const struct lab *l) {
    const struct config_out *o = lab_said(l, PEER_CONFIG_FOUND_BIND, -1);
    assert_non_null(o);
    return o->message.cluster;
}

static void test_one_of_three_founders_waits(void **state) {
    struct lab l;
    char text[100];
    (void)state;
    begin(&l, 0, true, true);
    lab_pass(&l, 5000);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    assert_null(config_current(l.config));
    config_waiting(l.config, l.now_ns, text, sizeof text);
    assert_string_equal(text, "waiting: 1 of 3 founders");
    lab_end(&l);
}

static void test_the_lowest_of_a_majority_founds_when_all_asked_have_bound_themselves(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    ask_from(&l, 2, true);
    lab_pass(&l, 600);
    const struct cluster_id x = own_founding(&l);
    assert_null(config_current(l.config));
    hear(&l, 2, PEER_CONFIG_FOUND_BOUND, &x);
    const struct configuration *c = config_current(l.config);
    assert_non_null(c);
    assert_non_null(lab_log(&l, "founded"));
    assert_true(cluster_id_equal(&c->cluster, &x));
    assert_int_equal(c->version, 1);
    assert_int_equal(c->epoch, 1);
    assert_int_equal(c->floor_epoch, 1);
    assert_int_equal(c->nvoters, 3); /* all founders' names; the absent one's seat is vacant */
    assert_int_equal(c->voters[1].member, 0);
    assert_string_equal(c->voters[1].name, "n1:1");
    assert_int_equal(c->nmembers, 2);
    assert_int_equal(c->next_number, 5); /* two members, two origins */
    assert_false(c->seats_by_name);
    assert_int_equal(c->eject_after_ms, 35000);
    assert_true(c->leases); /* nobody has served yet, so nobody serves without one */
    assert_int_equal(c->tag_lease_ms, 1000);
    assert_int_equal(c->tag_wait_ms, 1000);
    assert_int_equal(c->serve_lease_ms, 30000);
    assert_int_equal(c->serve_wait_ms, 30000);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 2));
    lab_end(&l);
}

static void test_a_majority_waits_half_a_second_for_the_other_founders(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    ask_from(&l, 2, true);
    lab_pass(&l, 400);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    ask_from(&l, 1, true); /* all are there */
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, 1));
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, 2));
    lab_end(&l);
}

/* They were killed before the configuration was on a disk, and are started again without --found. */
static void begin_again(struct lab *l) {
    struct config_options o = lab_options(0);
    o.began_to_found = o.keeps_state = true;
    lab_begin(l, &o, NULL, false);
    lab_pass(l, 1);
    founders_hash = lab_said(l, PEER_CONFIG_FOUND_ASK, -1)->message.hash;
}

static void test_who_began_to_found_does_so_again_when_all_are_there(void **state) {
    struct lab l;
    (void)state;
    begin_again(&l);
    ask_from(&l, 2, true);
    lab_pass(&l, 800);
    ask_from(&l, 2, true);
    assert_null(
        lab_said(&l, PEER_CONFIG_FOUND_BIND, -1)); /* a majority does not do: the third may have a configuration */
    ask_from(&l, 1, false);
    lab_pass(&l, 800);
    ask_from(&l, 2, true);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1)); /* as it has here */
    ask_from(&l, 1, true);
    lab_pass(&l, 300);
    const struct cluster_id x = own_founding(&l);
    hear(&l, 1, PEER_CONFIG_FOUND_BOUND, &x);
    assert_null(config_current(l.config));
    hear(&l, 2, PEER_CONFIG_FOUND_BOUND, &x);
    assert_non_null(config_current(l.config));
    lab_end(&l);
}

static void test_who_began_to_found_goes_on_without_nobody(void **state) {
    struct lab l;
    (void)state;
    begin_again(&l);
    ask_from(&l, 1, true);
    ask_from(&l, 2, true);
    const struct cluster_id x = own_founding(&l);
    hear(&l, 1, PEER_CONFIG_FOUND_BOUND, &x);
    for (unsigned i = 0; i < 20; i++) { /* the third one is there, and does not answer */
        lab_pass(&l, 500);
        ask_from(&l, 1, true);
    }
    assert_null(config_current(l.config));
    hear(&l, 2, PEER_CONFIG_FOUND_BUSY, &x);
    assert_null(config_current(l.config));
    lab_end(&l);
}

static void test_a_founder_that_is_not_the_lowest_waits_for_the_lowest(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 1, true, true);
    ask_from(&l, 0, true);
    lab_pass(&l, 900);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    lab_end(&l);
}

static void test_a_founder_that_is_configured_or_without_found_does_not_count(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    ask_from(&l, 2, false);
    lab_pass(&l, 900);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    lab_end(&l);
}

/* Without a state directory the next process of a name may have a lower boot, if the time of day went back. */
static void test_a_clock_that_went_back_keeps_no_founder_out(void **state) {
    struct lab l;
    struct peer_config m = {.kind = PEER_CONFIG_FOUND_ASK};
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = lab_peer(2), .message = &m};
    (void)state;
    begin(&l, 0, false, false);
    m.hash = founders_hash;
    in.from.boot += 50;
    lab_input(&l, &in); /* it cannot found now, and dies */
    m.eligible = true;
    in.from.boot -= 60;
    in.from.id.bytes[9] = 7;
    lab_pass(&l, 500);
    lab_input(&l, &in); /* too early: it might be a late message */
    lab_pass(&l, 600);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    lab_input(&l, &in);
    lab_pass(&l, 600);
    const struct config_out *o = lab_said(&l, PEER_CONFIG_FOUND_BIND, -1);
    assert_non_null(o);
    assert_true(cluster_id_equal(&o->to, &in.from.id));
    lab_end(&l);
}

static void test_an_empty_state_directory_founds_only_with_found(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, false, true);
    ask_from(&l, 1, true);
    ask_from(&l, 2, true);
    lab_pass(&l, 900);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_ASK, -1));
    hear(&l, 2, PEER_CONFIG_FOUND_BIND, &founding_x);
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BUSY, 2));
    lab_end(&l);
}

static void test_without_a_state_directory_founders_alone_is_enough_and_the_seats_are_the_names(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, false, false);
    struct peer_config m = {.kind = PEER_CONFIG_FOUND_ASK, .hash = founders_hash, .eligible = true};
    lab_hear(&l, 2, &m);
    lab_pass(&l, 600);
    const struct cluster_id x = own_founding(&l);
    hear(&l, 2, PEER_CONFIG_FOUND_BOUND, &x);
    assert_true(config_current(l.config)->seats_by_name);
    lab_end(&l);
}

static void test_a_founder_binds_itself_to_one_founding_for_10_s(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, true, true);
    hear(&l, 0, PEER_CONFIG_FOUND_BIND, &founding_x);
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BOUND, 0));
    lab_pass(&l, 9900);
    hear(&l, 1, PEER_CONFIG_FOUND_BIND, &founding_y);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BOUND, 1));
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BUSY, 1));
    lab_pass(&l, 200);
    hear(&l, 1, PEER_CONFIG_FOUND_BIND, &founding_y);
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BOUND, 1));
    lab_end(&l);
}

static void test_a_founding_that_is_given_up_frees_those_that_it_bound(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 2, true, true);
    hear(&l, 0, PEER_CONFIG_FOUND_BIND, &founding_x);
    hear(&l, 1, PEER_CONFIG_FOUND_FREE, &founding_x); /* not by whom it is bound */
    hear(&l, 1, PEER_CONFIG_FOUND_BIND, &founding_y);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BOUND, 1));
    hear(&l, 0, PEER_CONFIG_FOUND_FREE, &founding_x);
    hear(&l, 1, PEER_CONFIG_FOUND_BIND, &founding_y);
    assert_non_null(lab_said(&l, PEER_CONFIG_FOUND_BOUND, 1));
    lab_end(&l);
}

static void test_a_proposer_gives_up_before_anybody_it_bound_is_free_again(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    ask_from(&l, 2, true);
    lab_pass(&l, 600);
    const struct cluster_id x = own_founding(&l);
    l.now_ns += 9000 * LAB_MS; /* it was paused; the answer is the first thing that it hears */
    hear(&l, 2, PEER_CONFIG_FOUND_BOUND, &x);
    assert_null(config_current(l.config));
    lab_end(&l);
}

static void test_a_founding_goes_on_without_a_founder_that_is_bound_elsewhere_while_a_majority_is_left(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    ask_from(&l, 1, true);
    ask_from(&l, 2, true);
    lab_pass(&l, 600);
    const struct cluster_id x = own_founding(&l);
    hear(&l, 2, PEER_CONFIG_FOUND_BOUND, &x);
    assert_null(config_current(l.config));
    hear(&l, 1, PEER_CONFIG_FOUND_BUSY, &x);
    assert_int_equal(config_current(l.config)->nmembers, 2);
    lab_end(&l);
}

static void test_a_bound_founder_takes_over_its_own_founding_only(void **state) {
    struct lab l;
    struct configuration c;
    int err;
    (void)state;
    begin(&l, 2, true, true);
    hear(&l, 0, PEER_CONFIG_FOUND_BIND, &founding_x);
    lab_configuration(&c, 3);
    struct configuration_value *v = configuration_value_new(&c, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(&l, 1, &push);
    assert_null(config_current(l.config));
    lab_pass(&l, 10100); /* free again */
    lab_hear(&l, 1, &push);
    assert_non_null(config_current(l.config));
    configuration_value_put(v);
    configuration_fini(&c);
    lab_end(&l);
}

static void push(struct lab *l, const struct configuration *c) {
    int err;
    struct configuration_value *v = configuration_value_new(c, &err);
    const struct peer_config m = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(l, 1, &m);
    configuration_value_put(v);
}

/* A request names a member by its number, which is another member's in the next cluster. */
static void test_what_was_asked_of_a_dead_cluster_is_not_asked_of_the_next(void **state) {
    struct lab l;
    struct configuration c;
    (void)state;
    begin(&l, 2, false, false);
    lab_configuration(&c, 4);
    c.seats_by_name = true;
    c.members[2].id.bytes[9] = c.voters[2].id.bytes[9] = 1; /* an older process of its name */
    push(&l, &c);
    assert_non_null(config_current(l.config));
    lab_request(&l, CONFIG_FORGET, c.members[3].name, 0, 0);
    assert_non_null(lab_said(&l, PEER_CONFIG_REQUEST, -1));
    hear(&l, 0, PEER_CONFIG_FOUND_BIND, &founding_x);
    assert_null(config_current(l.config));
    c.cluster = founding_x;
    push(&l, &c);
    assert_non_null(config_current(l.config));
    lab_clear(&l);
    lab_pass(&l, 2000);
    assert_null(lab_said(&l, PEER_CONFIG_REQUEST, -1));
    configuration_fini(&c);
    lab_end(&l);
}

static void test_founders_that_were_given_other_names_are_told_apart(void **state) {
    struct lab l;
    (void)state;
    begin(&l, 0, true, true);
    struct peer_config m = {.kind = PEER_CONFIG_FOUND_ASK, .hash = founders_hash + 1, .eligible = true};
    lab_hear(&l, 2, &m);
    lab_pass(&l, 900);
    assert_null(lab_said(&l, PEER_CONFIG_FOUND_BIND, -1));
    assert_non_null(lab_log(&l, "founders_differ"));
    lab_end(&l);
}

static void test_the_lowest_of_two_founders_founds_alone(void **state) {
    struct lab l;
    struct config_options o = lab_options(0);
    (void)state;
    o.nfounders = 2;
    o.found = true;
    lab_begin(&l, &o, NULL, false);
    lab_pass(&l, 1);
    assert_int_equal(config_current(l.config)->nvoters, 1);
    lab_end(&l);
    o = lab_options(1);
    o.nfounders = 2;
    o.found = true;
    lab_begin(&l, &o, NULL, false);
    lab_pass(&l, 5000);
    assert_null(config_current(l.config));
    lab_end(&l);
}

static void test_a_node_with_neither_founders_nor_seeds_founds_alone(void **state) {
    struct lab l;
    struct config_options o = lab_options(4);
    (void)state;
    o.nfounders = 0;
    o.seeds = false;
    lab_begin(&l, &o, NULL, false);
    lab_pass(&l, 1);
    assert_int_equal(config_current(l.config)->nmembers, 1);
    assert_int_not_equal(config_origin(l.config), 0);
    lab_end(&l);
}

static void test_founders_that_contradict_themselves_are_refused_with_a_sentence(void **state) {
    char err[300];
    struct config_options o = lab_options(0);
    (void)state;
    o.nfounders = 4;
    assert_null(config_new(&o, NULL, 0, err, sizeof err));
    assert_non_null(strstr(err, "1, 2, 3, 5 or 7"));
    o = lab_options(0);
    o.seeds = false;
    assert_null(config_new(&o, NULL, 0, err, sizeof err));
    assert_non_null(strstr(err, "--join"));
    o = lab_options(0);
    o.voters_target = 2;
    assert_null(config_new(&o, NULL, 0, err, sizeof err));
    assert_non_null(strstr(err, "--voters"));
    o = lab_options(0);
    memcpy(o.founders[2], o.founders[0], sizeof o.founders[2]);
    assert_null(config_new(&o, NULL, 0, err, sizeof err));
    assert_non_null(strstr(err, "twice"));
    o = lab_options(0);
    o.eject_after_ms = 33157; /* W(30 s) is 33.158 s */
    assert_null(config_new(&o, NULL, 0, err, sizeof err));
    assert_non_null(strstr(err, "--eject-after"));
    o.eject_after_ms = 33158;
    struct config *c = config_new(&o, NULL, 0, err, sizeof err);
    assert_non_null(c);
    config_free(c);
}

/* ---- two clusters of one name */

static void news_of_other(struct lab *l, unsigned node, bool has_lease) {
    const struct peer_config m = {
        .kind = PEER_CONFIG_NEWS, .cluster = founding_y, .version = 3, .has_lease = has_lease};
    lab_hear(l, node, &m);
}

static void begin_member(struct lab *l, struct configuration *c) {
    const struct config_options o = lab_options(3);
    lab_configuration(c, 4);
    lab_begin(l, &o, c, true);
    lab_input(l, &(struct config_in){.kind = CONFIG_IN_LEASE});
}

static void test_without_a_lease_for_60_s_the_cluster_that_has_one_is_joined(void **state) {
    struct lab l;
    struct configuration c;
    (void)state;
    begin_member(&l, &c);
    lab_pass(&l, 59900);
    news_of_other(&l, 9, true);
    assert_non_null(config_current(l.config));
    lab_pass(&l, 200);
    news_of_other(&l, 9, false); /* nor has the other one a lease */
    assert_non_null(config_current(l.config));
    const struct cluster_id was = config_self(l.config)->id;
    news_of_other(&l, 9, true);
    assert_null(config_current(l.config));
    assert_non_null(lab_out(&l, CONFIG_OUT_RESET));
    assert_false(cluster_id_equal(&was, &config_self(l.config)->id)); /* the node id is dropped, too */
    assert_true(cluster_id_equal(&lab_out(&l, CONFIG_OUT_RESET)->to, &config_self(l.config)->id));
    configuration_fini(&c);
    lab_end(&l);
}

static void push_of_other(struct lab *l, unsigned node, const struct configuration *c) {
    int err;
    struct configuration other = *c;
    other.cluster = founding_y;
    struct configuration_value *v = configuration_value_new(&other, &err);
    assert_non_null(v);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(l, node, &push);
    configuration_value_put(v);
}

/* Numbers of members and origins name others in another cluster, so what is left of the former node must not see it. */
static void test_another_clusters_configuration_waits_until_the_process_goes_on_as_another_node(void **state) {
    struct lab l;
    struct configuration c;
    (void)state;
    begin_member(&l, &c);
    l.busy = true;
    lab_pass(&l, 60100);
    news_of_other(&l, 9, true);
    assert_non_null(lab_out(&l, CONFIG_OUT_RESET));
    lab_clear(&l);
    push_of_other(&l, 9, &c);
    ask_from(&l, 0, true);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_TIME});
    assert_null(config_current(l.config));
    assert_null(lab_out(&l, CONFIG_OUT_ADOPTED));
    assert_null(lab_out(&l, CONFIG_OUT_SEND));
    assert_null(lab_out(&l, CONFIG_OUT_SEEDS));
    assert_true(config_next_ns(l.config) == UINT64_MAX); /* no timer fires in vain */
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_RESET});
    assert_true(config_next_ns(l.config) < UINT64_MAX);
    push_of_other(&l, 9, &c);
    assert_non_null(lab_out(&l, CONFIG_OUT_ADOPTED));
    configuration_fini(&c);
    lab_end(&l);
}

/* Another process of a founder's name looks for a founding. */
static void ask_from_newer(struct lab *l, unsigned node) {
    const struct peer_config m = {.kind = PEER_CONFIG_FOUND_ASK, .hash = founders_hash, .eligible = true};
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = lab_peer(node), .message = &m};
    in.from.id.bytes[9] = 1;
    in.from.boot += 50;
    lab_input(l, &in);
}

static void test_without_directories_a_cluster_whose_names_are_others_by_now_is_left_after_10_s(void **state) {
    struct lab l;
    struct configuration c;
    struct config_options o = lab_options(2);
    (void)state;
    o.keeps_state = false;
    lab_configuration(&c, 3);
    c.seats_by_name = true;
    lab_begin(&l, &o, &c, true);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_LEASE});
    for (unsigned i = 0; i < 99; i++) {
        ask_from_newer(&l, 0);
        ask_from_newer(&l, 1);
        lab_pass(&l, 100);
    }
    assert_non_null(config_current(l.config));
    lab_pass(&l, 700); /* it looks twice a second */
    assert_null(config_current(l.config));
    assert_non_null(lab_log(&l, "starts_anew"));
    configuration_fini(&c);
    lab_end(&l);
}

static void test_one_name_that_is_anothers_is_no_reason_to_start_anew(void **state) {
    struct lab l;
    struct configuration c;
    struct config_options o = lab_options(2);
    (void)state;
    o.keeps_state = false;
    lab_configuration(&c, 3);
    c.seats_by_name = true;
    lab_begin(&l, &o, &c, true);
    for (unsigned i = 0; i < 30; i++) {
        ask_from_newer(&l, 0);
        lab_pass(&l, 1000);
    }
    assert_non_null(config_current(l.config));
    configuration_fini(&c);
    lab_end(&l);
}

static void test_of_two_clusters_with_leases_none_yields_and_it_is_logged(void **state) {
    struct lab l;
    struct configuration c;
    (void)state;
    begin_member(&l, &c);
    for (unsigned i = 0; i < 100; i++) {
        lab_pass(&l, 1000);
        lab_input(&l, &(struct config_in){.kind = CONFIG_IN_LEASE});
        news_of_other(&l, 9, true);
    }
    assert_non_null(config_current(l.config));
    assert_non_null(lab_log(&l, "two_clusters"));
    configuration_fini(&c);
    lab_end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_three_founders_waits),
        cmocka_unit_test(test_the_lowest_of_a_majority_founds_when_all_asked_have_bound_themselves),
        cmocka_unit_test(test_a_majority_waits_half_a_second_for_the_other_founders),
        cmocka_unit_test(test_who_began_to_found_does_so_again_when_all_are_there),
        cmocka_unit_test(test_who_began_to_found_goes_on_without_nobody),
        cmocka_unit_test(test_a_founder_that_is_not_the_lowest_waits_for_the_lowest),
        cmocka_unit_test(test_a_founder_that_is_configured_or_without_found_does_not_count),
        cmocka_unit_test(test_a_clock_that_went_back_keeps_no_founder_out),
        cmocka_unit_test(test_an_empty_state_directory_founds_only_with_found),
        cmocka_unit_test(test_without_a_state_directory_founders_alone_is_enough_and_the_seats_are_the_names),
        cmocka_unit_test(test_a_founder_binds_itself_to_one_founding_for_10_s),
        cmocka_unit_test(test_a_founding_that_is_given_up_frees_those_that_it_bound),
        cmocka_unit_test(test_a_proposer_gives_up_before_anybody_it_bound_is_free_again),
        cmocka_unit_test(test_a_founding_goes_on_without_a_founder_that_is_bound_elsewhere_while_a_majority_is_left),
        cmocka_unit_test(test_a_bound_founder_takes_over_its_own_founding_only),
        cmocka_unit_test(test_what_was_asked_of_a_dead_cluster_is_not_asked_of_the_next),
        cmocka_unit_test(test_founders_that_were_given_other_names_are_told_apart),
        cmocka_unit_test(test_the_lowest_of_two_founders_founds_alone),
        cmocka_unit_test(test_a_node_with_neither_founders_nor_seeds_founds_alone),
        cmocka_unit_test(test_founders_that_contradict_themselves_are_refused_with_a_sentence),
        cmocka_unit_test(test_without_a_lease_for_60_s_the_cluster_that_has_one_is_joined),
        cmocka_unit_test(test_another_clusters_configuration_waits_until_the_process_goes_on_as_another_node),
        cmocka_unit_test(test_without_directories_a_cluster_whose_names_are_others_by_now_is_left_after_10_s),
        cmocka_unit_test(test_one_name_that_is_anothers_is_no_reason_to_start_anew),
        cmocka_unit_test(test_of_two_clusters_with_leases_none_yields_and_it_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
