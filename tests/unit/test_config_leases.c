/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the configuration says of leases: when they bind, how long one may still run, who is ejected then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_lab.h"

static struct configuration conf;
static struct lab l;

static void end(void) {
    lab_end(&l);
    configuration_fini(&conf);
}

static void begin_as(unsigned self) {
    const struct config_options o = lab_options(self);
    lab_begin(&l, &o, &conf, true);
}

static void poll_at(uint32_t number, uint64_t version) {
    lab_input(&l, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = number, .version = version});
}

static bool proposes(void) {
    return lab_count(&l, PEER_CONFIG_PREPARE) > 0;
}

/* What is proposed once another voter has promised; the caller's to put. */
static struct configuration_value *proposal(void) {
    const struct peer_config m = lab_promise(&l, true);
    lab_hear(&l, 1, &m);
    struct configuration_value *v = lab_proposed(&l);
    assert_non_null(v);
    return v;
}

static void hear_request(enum config_request_kind kind, uint64_t argument) {
    struct peer_config m = lab_message(&l, PEER_CONFIG_REQUEST);
    m.request = (uint32_t)kind;
    m.argument = argument;
    lab_hear(&l, 3, &m);
}

static void test_leases_bind_when_every_member_has_polled_at_a_version_with_three_voters(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    conf.leases = false;
    begin_as(0);
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, n < 4 ? 5 : 4);
    lab_pass(&l, 20000);
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, n < 4 ? 5 : 4);
    lab_pass(&l, 2000);
    assert_false(proposes()); /* one may not know yet, and serves without a lease */
    poll_at(4, 5);
    lab_pass(&l, 100);
    assert_true(proposes());
    struct configuration_value *v = proposal();
    assert_true(v->configuration.leases);
    assert_int_equal(v->configuration.epoch, conf.epoch);
    configuration_value_put(v);
    end();
}

static void test_nobody_is_ejected_before_leases_bind(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    conf.leases = false;
    begin_as(0);
    for (unsigned i = 0; i < 120; i++) {
        for (uint32_t n = 2; n <= 3; n++) poll_at(n, 5);
        lab_pass(&l, 1000);
    }
    assert_false(proposes());
    end();
}

static void test_a_lowered_lease_is_waited_for_at_its_old_length(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    begin_as(0);
    hear_request(CONFIG_TAG_LEASE, 500);
    struct configuration_value *v = proposal();
    assert_int_equal(v->configuration.tag_lease_ms, 500);
    assert_int_equal(v->configuration.tag_wait_ms, 1000);
    configuration_value_put(v);
    lab_accepted(&l, 1);
    assert_int_equal(config_current(l.config)->version, 6);
    lab_clear(&l);
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, 5);
    lab_pass(&l, 4000);
    assert_false(proposes()); /* the other voters may still grant the long one */
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, n == 2 ? 6 : 5);
    lab_pass(&l, 1100); /* W(1 s) is 1.106 s */
    assert_false(proposes());
    lab_pass(&l, 200);
    assert_true(proposes());
    v = proposal();
    assert_int_equal(v->configuration.tag_wait_ms, 500);
    configuration_value_put(v);
    end();
}

/* A member that hears of three voters takes a lease of its own, as long as that version says, as late as leases bind.
 */
static void test_what_is_waited_for_is_not_lowered_until_leases_bind(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    conf.leases = false;
    begin_as(0);
    hear_request(CONFIG_TAG_LEASE, 500);
    configuration_value_put(proposal());
    lab_accepted(&l, 1);
    lab_clear(&l);
    for (unsigned i = 0; i < 40; i++) { /* voters know; member 4 is silent */
        for (uint32_t n = 2; n <= 3; n++) poll_at(n, 6);
        lab_pass(&l, 100);
        assert_false(proposes());
    }
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, 6);
    lab_pass(&l, 100);
    struct configuration_value *v = proposal();
    assert_true(v->configuration.leases);
    assert_int_equal(v->configuration.tag_wait_ms, 1000);
    configuration_value_put(v);
    lab_accepted(&l, 1);
    lab_clear(&l);
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, 7);
    lab_pass(&l, 1100); /* W(1 s) is 1.106 s */
    assert_false(proposes());
    lab_pass(&l, 200);
    v = proposal();
    assert_int_equal(v->configuration.tag_wait_ms, 500);
    configuration_value_put(v);
    end();
}

/* What has been waited for is the serve lease, lowered before; the tag lease goes on being granted until this version
 * is known. */
static void test_a_lease_that_is_lowered_while_another_one_is_waited_for_is_waited_for(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    begin_as(0);
    hear_request(CONFIG_SERVE_LEASE, 20000);
    configuration_value_put(proposal());
    lab_accepted(&l, 1);
    lab_clear(&l);
    for (uint32_t n = 2; n <= 4; n++) poll_at(n, 6);
    lab_pass(&l, 4000); /* more than W of the tag lease */
    hear_request(CONFIG_TAG_LEASE, 500);
    struct configuration_value *v = proposal();
    assert_int_equal(v->configuration.tag_lease_ms, 500);
    assert_int_equal(v->configuration.tag_wait_ms, 1000);
    assert_int_equal(v->configuration.serve_wait_ms, 30000);
    configuration_value_put(v);
    end();
}

static void test_a_raised_lease_is_waited_for_at_once(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    begin_as(0);
    hear_request(CONFIG_TAG_LEASE, 2000);
    struct configuration_value *v = proposal();
    assert_int_equal(v->configuration.tag_lease_ms, 2000);
    assert_int_equal(v->configuration.tag_wait_ms, 2000);
    configuration_value_put(v);
    end();
}

/* eject-after has to outlast the serve leases that may still run. */
static void test_eject_after_is_not_lowered_below_an_old_serve_lease(void **state) {
    (void)state;
    lab_configuration(&conf, 4);
    conf.serve_lease_ms = 10000; /* lowered from 30 s a moment ago */
    begin_as(0);
    hear_request(CONFIG_EJECT_AFTER, 12000);
    assert_non_null(lab_said(&l, PEER_CONFIG_ANSWER, 3));
    assert_false(proposes());
    hear_request(CONFIG_EJECT_AFTER, 34000);
    assert_true(proposes());
    end();
}

/* Nobody polls a member that does not vote; its silence about others must not count once it does. */
static void test_a_new_voter_counts_silence_from_its_seat_on(void **state) {
    struct configuration next = {0};
    int err;
    (void)state;
    lab_configuration(&conf, 4);
    begin_as(3);
    for (unsigned i = 0; i < 100; i++) lab_pass(&l, 1000);
    assert_int_equal(configuration_copy(&next, &conf), 0);
    next.version++;
    next.epoch++;
    next.voters[2].id = lab_peer(3).id;
    next.voters[2].member = 4;
    strcpy(next.voters[2].name, lab_peer(3).name);
    struct configuration_value *v = configuration_value_new(&next, &err);
    const struct peer_config push = {.kind = PEER_CONFIG_PUSH, .value = v->bytes, .nvalue = v->nbytes};
    lab_hear(&l, 0, &push);
    assert_int_equal(config_current(l.config)->version, 6);
    struct peer_config m = lab_message(&l, PEER_CONFIG_PREPARE);
    m.ballot = (struct peer_ballot){.counter = 7, .boot = lab_peer(0).boot, .node = lab_peer(0).id};
    lab_hear(&l, 0, &m);
    const struct config_out *said = lab_said(&l, PEER_CONFIG_PROMISE, 0);
    assert_non_null(said);
    assert_int_equal(said->message.nsilent, 0);
    configuration_value_put(v);
    configuration_fini(&next);
    end();
}

/* A record of before there were leases is read: they do not bind. */
static void test_a_configuration_of_the_first_format_has_no_leases(void **state) {
    struct configuration back = {0};
    uint8_t *bytes;
    uint32_t n;
    (void)state;
    lab_configuration(&conf, 4);
    conf.leases = false;
    assert_int_equal(configuration_pack(&conf, &bytes, &n), 0);
    /* format, cluster, two texts, flags, five numbers, three lengths: then stand what the first format has not */
    const size_t at = 2 + 16 + (2 + strlen(conf.cluster_name)) + (2 + strlen(conf.by)) + 1 + 4 * 8 + 4 + 3 * 4;
    memmove(bytes + at, bytes + at + 8, n - at - 8);
    bytes[0] = 1;
    assert_int_equal(configuration_unpack(bytes, n - 8, &back), 0);
    assert_false(back.leases);
    assert_int_equal(back.tag_wait_ms, 1000);
    assert_int_equal(back.serve_wait_ms, 30000);
    assert_int_equal(back.nmembers, 4);
    configuration_fini(&back);
    configuration_fini(&conf);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leases_bind_when_every_member_has_polled_at_a_version_with_three_voters),
        cmocka_unit_test(test_what_is_waited_for_is_not_lowered_until_leases_bind),
        cmocka_unit_test(test_nobody_is_ejected_before_leases_bind),
        cmocka_unit_test(test_a_lowered_lease_is_waited_for_at_its_old_length),
        cmocka_unit_test(test_a_lease_that_is_lowered_while_another_one_is_waited_for_is_waited_for),
        cmocka_unit_test(test_a_raised_lease_is_waited_for_at_once),
        cmocka_unit_test(test_eject_after_is_not_lowered_below_an_old_serve_lease),
        cmocka_unit_test(test_a_new_voter_counts_silence_from_its_seat_on),
        cmocka_unit_test(test_a_configuration_of_the_first_format_has_no_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
