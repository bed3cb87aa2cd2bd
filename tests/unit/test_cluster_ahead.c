/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Links that are dialled ahead of a member that joins: for whom, how many at most, and for how long they are kept. What
 * the file calls is played by the test; so is the clock. */
#include "cluster/cluster_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define MEMBERS 16
#define SECOND UINT64_C(1000000000)

static struct configuration_member members[MEMBERS];
static struct configuration now;
static struct cluster c;
static uint64_t time_ns;
static unsigned dialled, closed;
static struct cluster_id last_id;
static uint32_t last_worker;

/* ------------------------------------------------------------------ what the file calls */

uint64_t cluster_now(const struct cluster *cluster) {
    assert_ptr_equal(cluster, &c);
    return time_ns;
}

const struct configuration *config_current(const struct config *config) {
    assert_ptr_equal(config, c.config);
    return &now;
}

uint32_t config_number(const struct config *config) {
    assert_ptr_equal(config, c.config);
    return 1;
}

void stream_close(struct stream *s) {
    assert_true(s->fd >= 0);
    s->fd = -1;
    closed++;
}

int transport_place(struct transport *t, const struct cluster_id *id, const char *address) {
    (void)t;
    (void)id;
    (void)address;
    return 0;
}

int transport_want_data_link(struct transport *t, const struct cluster_id *to, uint32_t worker, enum peer_link kind) {
    (void)t;
    assert_int_equal(kind, PEER_LINK_DATA);
    last_id = *to;
    last_worker = worker;
    dialled++;
    return 0;
}

/* ------------------------------------------------------------------ the play */

/* So many members, the node itself the first of them and the last one joining; so many workers. */
static void begin(unsigned nmembers, unsigned workers) {
    memset(&c, 0, sizeof c);
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < MEMBERS; i++) {
        members[i].number = i + 1;
        memset(&members[i].id, (int)i + 1, sizeof members[i].id);
        members[i].boot = 7;
        members[i].state = CONFIGURATION_SERVING;
    }
    members[nmembers - 1].state = CONFIGURATION_JOINING;
    now = (struct configuration){.nmembers = nmembers, .members = members};
    c.cfg.workers = workers;
    time_ns = 100 * SECOND;
    dialled = closed = 0;
    cluster_ahead_adopted(&c);
}

/* The link of a worker to a member, of which this is the boot number, is up; or, fd -1, it could not be had. */
static bool comes(unsigned member, unsigned worker, uint64_t boot, int fd) {
    const struct transport_data_link l = {.id = members[member - 1].id,
                                          .boot = boot,
                                          .worker = worker,
                                          .dialled = true,
                                          .kind = PEER_LINK_DATA,
                                          .fd = fd};
    return cluster_ahead_keep(&c, &l);
}

static enum cluster_ahead_state take(unsigned member, unsigned worker) {
    struct stream s = {.fd = -1};
    const enum cluster_ahead_state state = cluster_ahead_take(&c, member, worker, &s);
    assert_true((state == CLUSTER_AHEAD_UP) == (s.fd >= 0));
    return state;
}

static void at(uint64_t ns) {
    time_ns = 100 * SECOND + ns;
    cluster_ahead_second(&c);
}

/* ------------------------------------------------------------------ tests */

static void test_who_joins_is_dialled_once_for_each_worker(void **state) {
    (void)state;
    begin(3, 4);
    assert_int_equal(dialled, 4);
    assert_memory_equal(&last_id, &members[2].id, sizeof last_id);
    assert_int_equal(last_worker, 3);
    cluster_ahead_adopted(&c);
    assert_int_equal(dialled, 4);
    members[2].state = CONFIGURATION_SERVING; /* then nobody joins */
    c.ahead[0].since_ns = 0;
    cluster_ahead_adopted(&c);
    assert_int_equal(dialled, 4);
}

static void test_who_joins_dials_all_but_the_ejected(void **state) {
    (void)state;
    begin(4, 2);
    dialled = 0;
    memset(c.ahead, 0, sizeof c.ahead);
    members[3].state = CONFIGURATION_EJECTED;
    members[0].state = CONFIGURATION_JOINING;
    cluster_ahead_adopted(&c);
    assert_int_equal(dialled, 4);
}

static void test_there_are_64_handshakes_at_most(void **state) {
    (void)state;
    begin(2, 32);
    assert_int_equal(dialled, 32);
    begin(16, 4);
    members[0].state = CONFIGURATION_JOINING;
    cluster_ahead_adopted(&c);
    assert_int_equal(dialled, 60);
    begin(5, 13);
    assert_int_equal(dialled, 0);
    begin(2, 33);
    assert_int_equal(dialled, 0);
}

static void test_a_link_is_kept_for_10_seconds(void **state) {
    (void)state;
    begin(2, 3);
    assert_true(comes(2, 0, 7, 100));
    assert_true(comes(2, 1, 7, 101));
    at(10 * SECOND - 1);
    assert_int_equal(closed, 0);
    assert_int_equal(take(2, 1), CLUSTER_AHEAD_UP); /* it is the worker's from now on */
    at(10 * SECOND);
    assert_int_equal(closed, 1);
    assert_int_equal(take(2, 0), CLUSTER_AHEAD_NONE);
    assert_int_equal(take(2, 2), CLUSTER_AHEAD_NONE); /* it is not waited for any longer either */
    assert_false(comes(2, 2, 7, 102));                /* and whoever dialled it has to close it */
}

static void test_a_link_that_is_being_dialled_is_its_workers_when_it_is_up(void **state) {
    (void)state;
    begin(2, 1);
    assert_int_equal(take(2, 0), CLUSTER_AHEAD_DIALLING);
    assert_false(comes(2, 0, 7, 100));
    assert_int_equal(take(2, 0), CLUSTER_AHEAD_NONE);
}

static void test_a_link_to_another_process_is_not_kept(void **state) {
    (void)state;
    begin(2, 2);
    assert_false(comes(2, 0, 8, 100));
    assert_int_equal(take(2, 0), CLUSTER_AHEAD_NONE);
    assert_true(comes(2, 1, 0, -1)); /* it could not be had */
    assert_int_equal(take(2, 1), CLUSTER_AHEAD_NONE);
}

static void test_links_to_who_is_gone_are_closed(void **state) {
    (void)state;
    begin(2, 2);
    assert_true(comes(2, 0, 7, 100));
    now.nmembers = 1;
    cluster_ahead_adopted(&c);
    assert_int_equal(closed, 1);
    assert_int_equal(take(2, 1), CLUSTER_AHEAD_NONE);
    begin(2, 2);
    assert_true(comes(2, 1, 7, 100));
    cluster_ahead_free(&c);
    assert_int_equal(closed, 1);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_joins_is_dialled_once_for_each_worker),
        cmocka_unit_test(test_who_joins_dials_all_but_the_ejected),
        cmocka_unit_test(test_there_are_64_handshakes_at_most),
        cmocka_unit_test(test_a_link_is_kept_for_10_seconds),
        cmocka_unit_test(test_a_link_that_is_being_dialled_is_its_workers_when_it_is_up),
        cmocka_unit_test(test_a_link_to_another_process_is_not_kept),
        cmocka_unit_test(test_links_to_who_is_gone_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
