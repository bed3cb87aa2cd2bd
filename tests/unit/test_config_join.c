/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Joining, from both sides: which process of a name is the newer one, and whether the older one is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "tests/unit/config_lab.h"

static struct configuration conf;

/* Node 0, a voter that is active, with 4 members. */
static void begin_voter(struct lab *l) {
    const struct config_options o = lab_options(0);
    lab_configuration(&conf, 4);
    lab_begin(l, &o, &conf, true);
}

/* Node 3 or another, just started, in a cluster that it knows from its disk. */
static void begin_joiner(struct lab *l, unsigned self) {
    const struct config_options o = lab_options(self);
    lab_configuration(&conf, 4);
    lab_begin(l, &o, &conf, false);
}

static void end(struct lab *l) {
    lab_end(l);
    configuration_fini(&conf);
}

static void join(struct lab *l, const struct config_peer *who) {
    struct peer_config m = lab_message(l, PEER_CONFIG_JOIN);
    const struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = *who, .message = &m};
    m.weight = 2;
    lab_input(l, &in);
}

static const struct config_out *refusal(const struct lab *l) {
    return lab_said(l, PEER_CONFIG_JOIN_REFUSED, -1);
}

/* ---- the voter's side */

static bool breaks_boots(const char *name) {
    return strcmp(name, "config_older_boot") == 0;
}

/* Whether a process with an older boot than the listed one is refused, told the listed one, and nothing is proposed. */
static bool refuses_older_boot(void) {
    struct lab l;
    struct config_peer old = lab_peer(3);
    begin_voter(&l);
    old.boot = 102; /* listed: 103 */
    join(&l, &old);
    const bool refused = refusal(&l) != NULL && refusal(&l)->message.boot == 103;
    const bool proposed = lab_count(&l, PEER_CONFIG_PREPARE) > 0;
    end(&l);
    return refused && !proposed;
}

static void test_an_older_boot_than_the_listed_one_is_refused_and_told_the_listed_one(void **state) {
    (void)state;
    assert_true(refuses_older_boot());
    fault_hook = breaks_boots;
    assert_false(refuses_older_boot());
    fault_hook = NULL;
}

static void test_of_two_processes_with_one_boot_the_listed_one_stays(void **state) {
    struct lab l;
    struct config_peer other = lab_peer(3);
    (void)state;
    begin_voter(&l);
    other.id.bytes[5] = 9;
    join(&l, &other);
    assert_int_equal(refusal(&l)->message.boot, 103);
    end(&l);
}

static void test_a_newer_process_at_the_same_address_needs_no_ping(void **state) {
    struct lab l;
    struct config_peer newer = lab_peer(3);
    (void)state;
    begin_voter(&l);
    newer.boot = 200;
    join(&l, &newer);
    assert_null(lab_out(&l, CONFIG_OUT_PING));
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2);
    end(&l);
}

static struct config_peer second_of_name(void) {
    struct config_peer p = lab_peer(3);
    p.id.bytes[5] = 9;
    p.boot = 200;
    snprintf(p.address, sizeof p.address, "10.9.9.9:2");
    return p;
}

static void test_a_name_in_use_is_refused_with_a_sentence_that_says_what_to_do(void **state) {
    struct lab l;
    const struct config_peer second = second_of_name();
    (void)state;
    begin_voter(&l);
    join(&l, &second);
    assert_string_equal(lab_out(&l, CONFIG_OUT_PING)->address, "10.0.0.3:2");
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_PONG, .from = lab_peer(3), .flag = true});
    assert_string_equal(refusal(&l)->message.text,
                        "name n3:1 is in use by 10.0.0.3:2: stop it or choose another --ring-name");
    lab_pass(&l, 3000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    end(&l);
}

static void test_no_answer_to_the_ping_for_a_second_lets_the_new_process_in(void **state) {
    struct lab l;
    const struct config_peer second = second_of_name();
    (void)state;
    begin_voter(&l);
    join(&l, &second);
    lab_pass(&l, 900);
    join(&l, &second);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    lab_pass(&l, 200);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2);
    end(&l);
}

static void test_another_process_that_answers_at_the_old_address_is_not_the_listed_one(void **state) {
    struct lab l;
    const struct config_peer second = second_of_name();
    struct config_peer stranger = lab_peer(3);
    (void)state;
    begin_voter(&l);
    join(&l, &second);
    stranger.boot++;
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_PONG, .from = stranger, .flag = true});
    assert_null(refusal(&l));
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 2);
    end(&l);
}

static void test_a_copied_state_directory_does_not_throw_the_live_node_out(void **state) {
    struct lab l;
    struct config_peer copy = lab_peer(7); /* another name and address */
    (void)state;
    begin_voter(&l);
    copy.id = lab_peer(3).id;
    copy.boot = 300;
    join(&l, &copy);
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_PONG, .from = lab_peer(3), .flag = true});
    assert_non_null(strstr(refusal(&l)->message.text, "this state directory is a copy"));
    end(&l);
}

static void test_a_join_of_another_cluster_is_not_answered(void **state) {
    struct lab l;
    (void)state;
    begin_voter(&l);
    struct peer_config m = lab_message(&l, PEER_CONFIG_JOIN);
    m.cluster.bytes[0]++;
    lab_hear(&l, 8, &m);
    lab_pass(&l, 1000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    end(&l);
}

static void test_a_late_join_that_knew_an_older_version_lists_nobody(void **state) {
    struct lab l;
    (void)state;
    begin_voter(&l);
    struct peer_config m = lab_message(&l, PEER_CONFIG_JOIN);
    m.version--;
    lab_hear(&l, 8, &m);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PREPARE), 0);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 8)); /* who is alive learns the newer one, and asks again */
    end(&l);
}

static void test_the_newer_of_two_waiting_processes_of_a_name_is_listed(void **state) {
    struct lab l;
    struct config_peer eight = lab_peer(8), seven = lab_peer(8);
    (void)state;
    begin_voter(&l);
    eight.boot = 8;
    seven.boot = 7;
    join(&l, &eight);
    join(&l, &seven); /* boot 7 asked, died; its message arrives after that of boot 8 */
    const struct peer_config promise = lab_promise(&l, true);
    lab_hear(&l, 1, &promise);
    struct configuration_value *v = lab_proposed(&l);
    const struct configuration_member *m = configuration_by_name(&v->configuration, "n8:1");
    assert_int_equal(m->boot, 8);
    assert_int_equal(m->weight, 2);
    assert_int_equal(m->state, CONFIGURATION_JOINING);
    assert_int_equal(v->configuration.ring_version, conf.ring_version); /* it has no part of the ring yet */
    configuration_value_put(v);
    end(&l);
}

static void test_all_that_wait_are_listed_in_one_step(void **state) {
    struct lab l;
    (void)state;
    begin_voter(&l);
    for (unsigned i = 10; i < 60; i++) {
        const struct config_peer p = lab_peer(i);
        join(&l, &p);
    }
    const struct peer_config promise = lab_promise(&l, true);
    lab_hear(&l, 1, &promise);
    struct configuration_value *v = lab_proposed(&l);
    assert_int_equal(v->configuration.nmembers, 54);
    assert_int_equal(v->configuration.next_number, 150);
    configuration_value_put(v);
    end(&l);
}

/* ---- the joining side */

static void test_a_node_without_a_configuration_asks_everybody_it_can_reach(void **state) {
    struct lab l;
    struct config_options o = lab_options(7);
    (void)state;
    lab_configuration(&conf, 4);
    lab_begin(&l, &o, NULL, false);
    lab_pass(&l, 1600);
    assert_non_null(lab_out(&l, CONFIG_OUT_SEEDS));
    assert_in_range(lab_count(&l, PEER_CONFIG_FETCH), 3, 4); /* each half second */
    end(&l);
}

static void test_of_many_that_offer_a_configuration_one_is_asked(void **state) {
    struct lab l;
    struct config_options o = lab_options(7);
    const struct peer_config news = {.kind = PEER_CONFIG_NEWS, .cluster = {{0xc0}}, .version = 5};
    (void)state;
    lab_begin(&l, &o, NULL, false);
    lab_pass(&l, 10);
    lab_clear(&l);
    for (unsigned i = 0; i < 6; i++) lab_hear(&l, i, &news);
    assert_int_equal(lab_count(&l, PEER_CONFIG_FETCH), 1);
    lab_pass(&l, 100); /* it did not answer */
    lab_hear(&l, 3, &news);
    assert_non_null(lab_said(&l, PEER_CONFIG_FETCH, 3));
    lab_end(&l);
}

/* Two versions within the time that an answer is waited for: the second one is not left until the next poll. */
static void test_a_version_that_follows_at_once_is_fetched_at_once(void **state) {
    struct lab l;
    struct peer_config news = {.kind = PEER_CONFIG_NEWS, .cluster = {{0xc0}}, .version = 6};
    (void)state;
    begin_voter(&l);
    news.cluster = conf.cluster;
    lab_clear(&l);
    lab_hear(&l, 1, &news);
    news.version = 7;
    lab_hear(&l, 1, &news);
    assert_int_equal(lab_count(&l, PEER_CONFIG_FETCH), 1); /* one is under way */
    conf.version = 6;
    int err;
    struct configuration_value *v = configuration_value_new(&conf, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_clear(&l);
    lab_hear(&l, 1, &push);
    lab_hear(&l, 1, &news);
    assert_int_equal(lab_count(&l, PEER_CONFIG_FETCH), 1);
    configuration_value_put(v);
    end(&l);
}

static void test_whoever_asks_everybody_is_told_the_version_and_gets_it_when_it_asks_for_that(void **state) {
    struct lab l;
    struct peer_config m = {.kind = PEER_CONFIG_FETCH};
    (void)state;
    begin_voter(&l);
    lab_hear(&l, 8, &m);
    assert_null(lab_said(&l, PEER_CONFIG_PUSH, 8));
    assert_int_equal(lab_said(&l, PEER_CONFIG_NEWS, 8)->message.version, 5);
    m.cluster = conf.cluster;
    lab_hear(&l, 8, &m);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 8));
    end(&l);
}

static void test_a_started_process_asks_all_voters_until_it_is_listed(void **state) {
    struct lab l;
    (void)state;
    begin_joiner(&l, 3);
    lab_pass(&l, 2100);
    for (int i = 0; i < 3; i++) assert_non_null(lab_said(&l, PEER_CONFIG_JOIN, i));
    assert_in_range(lab_count(&l, PEER_CONFIG_JOIN), 12, 15);
    assert_int_equal(config_number(l.config), 0);
    end(&l);
}

static void hear_refusal(struct lab *l, uint64_t boot, const char *text) {
    struct peer_config m = lab_message(l, PEER_CONFIG_JOIN_REFUSED);
    m.boot = boot;
    snprintf(m.text, sizeof m.text, "%s", text);
    lab_hear(l, 0, &m);
}

static void test_a_process_whose_clock_is_behind_takes_the_next_boot(void **state) {
    struct lab l;
    (void)state;
    begin_joiner(&l, 3);
    hear_refusal(&l, 5000, "");
    assert_int_equal(config_self(l.config)->boot, 5001);
    assert_int_equal(lab_out(&l, CONFIG_OUT_BOOT)->number, 5001);
    assert_non_null(lab_out(&l, CONFIG_OUT_WRITE));
    hear_refusal(&l, 4000, ""); /* a late one */
    assert_int_equal(config_self(l.config)->boot, 5001);
    end(&l);
}

static void test_a_process_that_was_a_member_does_not_fight_a_newer_one(void **state) {
    struct lab l;
    struct configuration next = {0};
    const struct config_options o = lab_options(3);
    int err;
    (void)state;
    lab_configuration(&conf, 4);
    lab_begin(&l, &o, &conf, true);
    assert_int_equal(config_number(l.config), 4);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version++;
    next.members[3].number = 90;
    next.members[3].boot = 400;
    next.members[3].id.bytes[7] = 1;
    struct configuration_value *v = configuration_value_new(&next, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(&l, 0, &push);
    assert_true(config_left(l.config));
    assert_non_null(lab_log(&l, "replaced"));
    lab_clear(&l);
    lab_pass(&l, 5000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_JOIN), 0);
    configuration_value_put(v);
    configuration_fini(&next);
    end(&l);
}

/* The fourth of four members hears of a configuration that has ejected the i-th, which had this state before. */
static void hear_of_ejection(struct lab *l, unsigned i, enum configuration_state before) {
    struct configuration next = {0};
    const struct config_options o = lab_options(3);
    int err;
    lab_configuration(&conf, 4);
    conf.members[i].state = before;
    lab_begin(l, &o, &conf, true);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version++;
    next.members[i].state = CONFIGURATION_EJECTED;
    struct configuration_value *v = configuration_value_new(&next, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(l, 0, &push);
    configuration_value_put(v);
    configuration_fini(&next);
}

static void test_it_is_said_who_was_ejected(void **state) {
    struct lab l;
    char text[300];
    (void)state;
    hear_of_ejection(&l, 1, CONFIGURATION_SERVING);
    snprintf(text, sizeof text, "name=%s number=%u", conf.members[1].name, conf.members[1].number);
    assert_string_equal(lab_log(&l, "ejected"), text);
    assert_int_not_equal(config_number(l.config), 0);
    end(&l);
}

static void test_who_is_ejected_while_it_leaves_has_left(void **state) {
    struct lab l;
    (void)state;
    hear_of_ejection(&l, 3, CONFIGURATION_LEAVING);
    assert_true(config_left(l.config));
    assert_non_null(lab_log(&l, "left"));
    lab_clear(&l);
    lab_pass(&l, 5000);
    assert_int_equal(lab_count(&l, PEER_CONFIG_JOIN), 0);
    end(&l);
}

static void test_an_ejected_process_joins_again_as_a_new_member(void **state) {
    struct lab l;
    (void)state;
    hear_of_ejection(&l, 3, CONFIGURATION_SERVING);
    assert_int_equal(config_number(l.config), 0);
    assert_non_null(lab_log(&l, "ejected"));
    assert_non_null(lab_said(&l, PEER_CONFIG_JOIN, 0));
    end(&l);
}

static void test_the_reason_of_a_refusal_is_logged_once_in_ten_seconds(void **state) {
    struct lab l;
    (void)state;
    begin_joiner(&l, 3);
    hear_refusal(&l, 0, "name n3:1 is in use by 10.0.0.3:2: stop it or choose another --ring-name");
    assert_non_null(strstr(lab_log(&l, "join_refused"), "is in use by 10.0.0.3:2"));
    lab_clear(&l);
    hear_refusal(&l, 0, "again");
    assert_null(lab_log(&l, "join_refused"));
    lab_pass(&l, 10000);
    hear_refusal(&l, 0, "again");
    assert_non_null(lab_log(&l, "join_refused"));
    end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_older_boot_than_the_listed_one_is_refused_and_told_the_listed_one),
        cmocka_unit_test(test_of_two_processes_with_one_boot_the_listed_one_stays),
        cmocka_unit_test(test_a_newer_process_at_the_same_address_needs_no_ping),
        cmocka_unit_test(test_a_name_in_use_is_refused_with_a_sentence_that_says_what_to_do),
        cmocka_unit_test(test_no_answer_to_the_ping_for_a_second_lets_the_new_process_in),
        cmocka_unit_test(test_another_process_that_answers_at_the_old_address_is_not_the_listed_one),
        cmocka_unit_test(test_a_copied_state_directory_does_not_throw_the_live_node_out),
        cmocka_unit_test(test_a_join_of_another_cluster_is_not_answered),
        cmocka_unit_test(test_a_late_join_that_knew_an_older_version_lists_nobody),
        cmocka_unit_test(test_the_newer_of_two_waiting_processes_of_a_name_is_listed),
        cmocka_unit_test(test_all_that_wait_are_listed_in_one_step),
        cmocka_unit_test(test_a_node_without_a_configuration_asks_everybody_it_can_reach),
        cmocka_unit_test(test_of_many_that_offer_a_configuration_one_is_asked),
        cmocka_unit_test(test_a_version_that_follows_at_once_is_fetched_at_once),
        cmocka_unit_test(test_whoever_asks_everybody_is_told_the_version_and_gets_it_when_it_asks_for_that),
        cmocka_unit_test(test_a_started_process_asks_all_voters_until_it_is_listed),
        cmocka_unit_test(test_a_process_whose_clock_is_behind_takes_the_next_boot),
        cmocka_unit_test(test_a_process_that_was_a_member_does_not_fight_a_newer_one),
        cmocka_unit_test(test_it_is_said_who_was_ejected),
        cmocka_unit_test(test_who_is_ejected_while_it_leaves_has_left),
        cmocka_unit_test(test_an_ejected_process_joins_again_as_a_new_member),
        cmocka_unit_test(test_the_reason_of_a_refusal_is_logged_once_in_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
