/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A voter as a Paxos acceptor: what it promises it keeps, over restarts too, and it answers once that is on disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "tests/unit/config_lab.h"

static struct configuration conf;

static struct peer_ballot ballot(uint64_t counter, unsigned node) {
    return (struct peer_ballot){counter, 100 + node, lab_peer(node).id};
}

/* Node 1, a voter, active. */
static void begin(struct lab *l) {
    const struct config_options o = lab_options(1);
    lab_configuration(&conf, 4);
    lab_begin(l, &o, &conf, true);
}

static void end(struct lab *l) {
    lab_end(l);
    configuration_fini(&conf);
}

static void prepare(struct lab *l, unsigned from, uint64_t counter) {
    struct peer_config m = lab_message(l, PEER_CONFIG_PREPARE);
    m.ballot = ballot(counter, from);
    lab_hear(l, from, &m);
}

/* A successor of the configuration: n3 weighs more; with epoch, its epoch is another. */
static struct configuration_value *successor(uint32_t weight, bool epoch) {
    struct configuration next = {0};
    int err;
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version++;
    next.members[3].weight = weight;
    next.epoch += epoch;
    struct configuration_value *v = configuration_value_new(&next, &err);
    configuration_fini(&next);
    assert_non_null(v);
    return v;
}

static void accept(struct lab *l, unsigned from, uint64_t counter, const struct configuration_value *v) {
    struct peer_config m = lab_message(l, PEER_CONFIG_ACCEPT);
    m.ballot = ballot(counter, from);
    m.value = v->bytes;
    m.nvalue = v->nbytes;
    lab_hear(l, from, &m);
}

static void test_a_promise_names_nothing_at_first(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    prepare(&l, 0, 7);
    const struct config_out *said = lab_said(&l, PEER_CONFIG_PROMISE, 0);
    assert_non_null(said);
    assert_true(said->message.active);
    assert_int_equal(said->message.ballot.counter, 7);
    assert_int_equal(said->message.nvalue, 0);
    assert_int_equal(said->message.nsilent, 0);
    end(&l);
}

static void test_a_lower_ballot_is_rejected_and_told_the_higher_one(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    prepare(&l, 0, 7);
    prepare(&l, 2, 6);
    const struct config_out *said = lab_said(&l, PEER_CONFIG_REJECT, 2);
    assert_non_null(said);
    assert_int_equal(said->message.ballot.counter, 7);
    assert_null(lab_said(&l, PEER_CONFIG_PROMISE, 2));
    struct configuration_value *v = successor(5, false);
    lab_clear(&l);
    accept(&l, 2, 6, v);
    assert_non_null(lab_said(&l, PEER_CONFIG_REJECT, 2));
    assert_null(lab_said(&l, PEER_CONFIG_ACCEPTED, 2));
    configuration_value_put(v);
    end(&l);
}

static void test_a_higher_ballot_is_told_what_was_accepted(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    struct configuration_value *v = successor(5, false);
    prepare(&l, 0, 7);
    accept(&l, 0, 7, v);
    assert_non_null(lab_said(&l, PEER_CONFIG_ACCEPTED, 0));
    prepare(&l, 2, 8);
    const struct config_out *said = lab_said(&l, PEER_CONFIG_PROMISE, 2);
    assert_non_null(said);
    assert_int_equal(said->message.accepted.counter, 7);
    assert_int_equal(said->message.nvalue, v->nbytes);
    assert_memory_equal(said->message.value, v->bytes, v->nbytes);
    configuration_value_put(v);
    end(&l);
}

/* What both ends of a rule are tried with: with the rule, and with the rule broken. */
static const char *broken_rule;
static bool breaks(const char *name) {
    return broken_rule != NULL && strcmp(name, broken_rule) == 0;
}

/* Whether no answer leaves before the record that it depends on is on disk. */
static bool answers_wait_for_the_disk(void) {
    struct lab l;
    begin(&l);
    l.write = false;
    prepare(&l, 0, 7);
    const bool early = lab_said(&l, PEER_CONFIG_PROMISE, 0) != NULL;
    assert_non_null(lab_out(&l, CONFIG_OUT_WRITE));
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = l.unwritten});
    assert_non_null(lab_said(&l, PEER_CONFIG_PROMISE, 0));
    struct configuration_value *v = successor(5, true);
    lab_clear(&l);
    accept(&l, 0, 7, v);
    const bool early_too = lab_said(&l, PEER_CONFIG_ACCEPTED, 0) != NULL;
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = l.unwritten});
    assert_non_null(lab_said(&l, PEER_CONFIG_ACCEPTED, 0));
    configuration_value_put(v);
    end(&l);
    return !early && !early_too;
}

static void test_an_answer_waits_until_its_record_is_on_disk(void **state) {
    (void)state;
    assert_true(answers_wait_for_the_disk());
    fault_hook = breaks;
    broken_rule = "config_answer_before_disk";
    assert_false(answers_wait_for_the_disk());
    broken_rule = NULL;
    fault_hook = NULL;
}

static void test_while_a_write_is_under_way_the_next_one_waits_and_holds_all_that_came_since(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    l.write = false;
    prepare(&l, 0, 7);
    const uint64_t first = l.unwritten;
    lab_clear(&l);
    prepare(&l, 0, 8);
    prepare(&l, 2, 9);
    assert_null(lab_out(&l, CONFIG_OUT_WRITE));
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = first});
    assert_int_equal(l.unwritten, first + 1);
    assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 1); /* of ballot 7, which is on disk */
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = first + 1});
    assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 3);
    end(&l);
}

/* The disk is full for a while: nothing is promised meanwhile, and once it is not, all that was asked. */
static void test_a_record_that_could_not_be_written_is_written_again(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    l.write = false;
    prepare(&l, 0, 7);
    for (unsigned i = 0; i < 5; i++) {
        const uint64_t failed = l.unwritten;
        lab_clear(&l);
        lab_input(&l, &(struct config_in){.kind = CONFIG_IN_UNWRITTEN, .number = failed});
        prepare(&l, 2, 8 + i);
        lab_pass(&l, 900);
        lab_input(&l, &(struct config_in){.kind = CONFIG_IN_UNWRITTEN, .number = failed}); /* told twice */
        assert_null(lab_out(&l, CONFIG_OUT_WRITE));
        lab_pass(&l, 100);
        assert_non_null(lab_out(&l, CONFIG_OUT_WRITE));
        assert_int_equal(l.unwritten, failed + 1);
        lab_input(&l, &(struct config_in){.kind = CONFIG_IN_UNWRITTEN, .number = failed}); /* of the one before */
        assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 0);
    }
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = l.unwritten});
    assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 6);
    lab_clear(&l);
    prepare(&l, 0, 20);
    assert_non_null(lab_out(&l, CONFIG_OUT_WRITE)); /* at once again */
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = l.unwritten});
    assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 1);
    end(&l);
}

/* The process dies after it accepted, and its successor reads the record. */
static bool remembers_over_a_restart(void) {
    struct lab l, again;
    struct config_record r = {0};
    char err[200];
    begin(&l);
    struct configuration_value *v = successor(5, true);
    prepare(&l, 0, 7);
    accept(&l, 0, 7, v);
    const struct config_out *record = lab_out(&l, CONFIG_OUT_WRITE);
    assert_int_equal(config_record_unpack(record->record, record->nrecord, &r, err, sizeof err), 0);
    struct config_options o = lab_options(1);
    o.self.boot = r.boot + 1;
    again = (struct lab){.now_ns = l.now_ns, .write = true};
    again.config = config_new(&o, &r, again.now_ns, err, sizeof err);
    prepare(&again, 2, 6);
    const bool rejects = lab_said(&again, PEER_CONFIG_REJECT, 2) != NULL;
    prepare(&again, 2, 8);
    const struct config_out *said = lab_said(&again, PEER_CONFIG_PROMISE, 2);
    const bool remembers = said->message.accepted.counter == 7 && said->message.nvalue == v->nbytes;
    assert_false(said->message.active); /* a new process remembers no purge */
    config_record_fini(&r);
    configuration_value_put(v);
    lab_end(&again);
    end(&l);
    return rejects && remembers;
}

static void test_a_restarted_voter_remembers_what_it_promised_and_accepted(void **state) {
    (void)state;
    assert_true(remembers_over_a_restart());
    fault_hook = breaks;
    broken_rule = "config_acceptor_forgets";
    assert_false(remembers_over_a_restart());
    broken_rule = NULL;
    fault_hook = NULL;
}

static void test_a_voter_that_is_behind_asks_for_the_configuration(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    struct peer_config m = lab_message(&l, PEER_CONFIG_PREPARE);
    m.version++;
    m.ballot = ballot(3, 0);
    lab_hear(&l, 0, &m);
    assert_non_null(lab_said(&l, PEER_CONFIG_FETCH, 0));
    assert_null(lab_said(&l, PEER_CONFIG_PROMISE, 0));
    end(&l);
}

static void test_a_voter_that_is_ahead_answers_with_its_configuration(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    struct peer_config m = lab_message(&l, PEER_CONFIG_PREPARE);
    m.version--;
    m.ballot = ballot(3, 0);
    lab_hear(&l, 0, &m);
    assert_non_null(lab_said(&l, PEER_CONFIG_PUSH, 0));
    assert_null(lab_said(&l, PEER_CONFIG_PROMISE, 0));
    end(&l);
}

static void test_another_clusters_proposer_and_anothers_ballot_get_no_answer(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    struct peer_config m = lab_message(&l, PEER_CONFIG_PREPARE);
    m.ballot = ballot(3, 0);
    m.cluster.bytes[3]++;
    lab_hear(&l, 0, &m);
    m = lab_message(&l, PEER_CONFIG_PREPARE);
    m.ballot = ballot(3, 2);
    lab_hear(&l, 0, &m); /* node 0 sends a ballot of node 2 */
    m.ballot = ballot(UINT64_MAX, 0);
    lab_hear(&l, 0, &m); /* no ballot would be left above it */
    assert_int_equal(lab_count(&l, PEER_CONFIG_PROMISE), 0);
    end(&l);
}

static void test_only_a_successor_of_the_own_cluster_is_accepted(void **state) {
    struct lab l;
    struct configuration next = {0};
    int err;
    (void)state;
    begin(&l);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version += 2;
    struct configuration_value *v = configuration_value_new(&next, &err);
    accept(&l, 0, 7, v);
    configuration_value_put(v);
    next.version = conf.version + 1;
    next.cluster.bytes[1] = 9;
    v = configuration_value_new(&next, &err);
    accept(&l, 0, 7, v);
    v->bytes[0] ^= 0xff; /* nor what cannot be read */
    accept(&l, 0, 7, v);
    assert_int_equal(lab_count(&l, PEER_CONFIG_ACCEPTED), 0);
    configuration_value_put(v);
    configuration_fini(&next);
    end(&l);
}

static void test_a_node_without_a_seat_is_no_acceptor(void **state) {
    struct lab l;
    const struct config_options o = lab_options(3);
    (void)state;
    lab_configuration(&conf, 4);
    lab_begin(&l, &o, &conf, true);
    prepare(&l, 0, 7);
    assert_null(lab_said(&l, PEER_CONFIG_PROMISE, 0));
    end(&l);
}

static void test_accepting_another_epoch_seals_the_voter_until_a_version_is_chosen(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    struct configuration_value *same = successor(5, false), *other = successor(5, true);
    assert_false(config_sealed(l.config));
    prepare(&l, 0, 7);
    assert_false(config_sealed(l.config));
    accept(&l, 0, 7, same);
    assert_false(config_sealed(l.config)); /* of the same epoch */
    accept(&l, 0, 8, other);
    assert_true(config_sealed(l.config));
    assert_non_null(lab_log(&l, "sealed"));
    struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = same->bytes, .nvalue = same->nbytes};
    lab_hear(&l, 0, &push); /* the one of the old epoch was chosen after all */
    assert_false(config_sealed(l.config));
    assert_int_equal(config_current(l.config)->version, conf.version + 1);
    configuration_value_put(same);
    configuration_value_put(other);
    end(&l);
}

static void test_a_promise_names_the_members_that_were_silent_for_a_second(void **state) {
    struct lab l;
    (void)state;
    begin(&l);
    lab_pass(&l, 500);
    lab_heard(&l, 1);
    lab_heard(&l, 3);
    lab_pass(&l, 400);
    lab_clear(&l);
    prepare(&l, 0, 70);
    assert_int_equal(lab_said(&l, PEER_CONFIG_PROMISE, 0)->message.nsilent, 0);
    lab_pass(&l, 200);
    prepare(&l, 0, 71);
    const struct config_out *said = lab_said(&l, PEER_CONFIG_PROMISE, 0);
    assert_int_equal(said->message.nsilent, 1);
    assert_int_equal(said->message.silent[0].number, 4);
    assert_in_range(said->message.silent[0].ms, 1000, 1200);
    end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_promise_names_nothing_at_first),
        cmocka_unit_test(test_a_lower_ballot_is_rejected_and_told_the_higher_one),
        cmocka_unit_test(test_a_higher_ballot_is_told_what_was_accepted),
        cmocka_unit_test(test_an_answer_waits_until_its_record_is_on_disk),
        cmocka_unit_test(test_a_record_that_could_not_be_written_is_written_again),
        cmocka_unit_test(test_while_a_write_is_under_way_the_next_one_waits_and_holds_all_that_came_since),
        cmocka_unit_test(test_a_restarted_voter_remembers_what_it_promised_and_accepted),
        cmocka_unit_test(test_a_voter_that_is_behind_asks_for_the_configuration),
        cmocka_unit_test(test_a_voter_that_is_ahead_answers_with_its_configuration),
        cmocka_unit_test(test_another_clusters_proposer_and_anothers_ballot_get_no_answer),
        cmocka_unit_test(test_only_a_successor_of_the_own_cluster_is_accepted),
        cmocka_unit_test(test_a_node_without_a_seat_is_no_acceptor),
        cmocka_unit_test(test_accepting_another_epoch_seals_the_voter_until_a_version_is_chosen),
        cmocka_unit_test(test_a_promise_names_the_members_that_were_silent_for_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
