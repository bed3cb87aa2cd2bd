/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A process that goes on as another node, in another cluster: what it knew of the former one counts for nothing, though
 * the new one's members, rings and origins have the same numbers. What the files call is played by the test. */
#include "cluster/cluster_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/view.h"

#define MEMBERS 3

static struct configuration_member members[MEMBERS];
static struct configuration now;
static struct config_peer self;
static struct cluster c;
static struct view *given[3];
static unsigned views, plans;

/* ------------------------------------------------------------------ what the files call */

const struct configuration *config_current(const struct config *config) {
    assert_ptr_equal(config, c.config);
    return &now;
}

uint32_t config_number(const struct config *config) {
    assert_ptr_equal(config, c.config);
    return 1;
}

const struct config_peer *config_self(const struct config *config) {
    assert_ptr_equal(config, c.config);
    return &self;
}

uint64_t config_waited_ms(uint64_t ms) {
    return ms;
}

void cluster_handoff_plan(struct cluster *cluster, const struct ring *next, unsigned at,
                          const struct view_member *those, uint64_t since) {
    (void)cluster, (void)next, (void)at, (void)those, (void)since;
    plans++;
}

void cluster_handoff_none(struct cluster *cluster, uint64_t ring_version) {
    (void)cluster, (void)ring_version;
}

void cluster_handoff_begin(struct cluster *cluster) {
    (void)cluster;
    fail();
}

void cluster_handoff_settled(struct cluster *cluster) {
    (void)cluster;
    fail();
}

void cluster_handoff_down(struct cluster *cluster, uint32_t member) {
    (void)cluster, (void)member;
    fail();
}

void cluster_post(struct cluster *cluster, struct cluster_task *t,
                  void (*run)(struct cluster *, struct cluster_task *)) {
    (void)cluster, (void)t, (void)run;
    fail();
}

void cluster_log(struct cluster *cluster, const char *event, const char *format, ...) {
    (void)cluster, (void)format;
    fail_msg("%s", event);
}

static int up_view(void *arg, struct view *v) {
    (void)arg;
    assert_true(views < 3);
    given[views++] = v;
    return 0;
}

static uint64_t up_number(void *arg) {
    (void)arg;
    return 70;
}

/* ------------------------------------------------------------------ the tests */

/* A configuration of this cluster, whose ring has this version. */
static void configure(uint8_t cluster, uint64_t ring_version) {
    now = (struct configuration){.cluster = {{cluster}},
                                 .version = ring_version,
                                 .ring_version = ring_version,
                                 .ring_version_before = ring_version - 1,
                                 .nmembers = MEMBERS,
                                 .members = members};
}

static int begin(void **state) {
    (void)state;
    for (unsigned i = 0; i < MEMBERS; i++) {
        members[i] = (struct configuration_member){.id = {{(uint8_t)(i + 1)}}, .number = i + 1, .weight = 1, .boot = 1};
        members[i].state = CONFIGURATION_SERVING;
        snprintf(members[i].name, sizeof members[i].name, "n%u:11211", i);
    }
    self.id = members[0].id;
    c = (struct cluster){.cfg.up = {.view = up_view, .number = up_number}};
    views = plans = 0;
    return 0;
}

static int end(void **state) {
    (void)state;
    for (unsigned i = 0; i < views; i++) view_free(given[i]);
    return 0;
}

static void next_view(unsigned expected) {
    cluster_view_make(&c);
    c.view_moving = false;
    assert_int_equal(views, expected);
}

static void test_the_ring_of_another_cluster_is_no_ring_of_before(void **state) {
    (void)state;
    configure(0xaa, 7);
    next_view(1);
    next_view(1); /* the same again */
    configure(0xaa, 8);
    next_view(2);
    assert_int_equal(plans, 1); /* keys move from the ring before */
    configure(0xbb, 8);         /* and with the same numbers another cluster's: other nodes, and nothing moves */
    next_view(3);
    assert_int_equal(plans, 1);
    for (uint64_t point = 0; point < UINT32_MAX; point += 1 << 24)
        if (ring_owner(given[2]->ring, (uint32_t)point) == given[2]->self)
            assert_int_equal(ring_since(given[2]->ring, (uint32_t)point), 70);
}

static void test_purges_of_another_cluster_cover_nothing(void **state) {
    const struct cover known = {.usable = true, .version = 3, .epoch = 2, .n = 1, .seen = {{6, 23}}};
    struct cover left;
    (void)state;
    cover_publish(&c.cover, &known);
    cluster_cover_forget(&c);
    cover_copy(&c.cover, &left);
    assert_false(left.usable);
    assert_int_equal(left.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_ring_of_another_cluster_is_no_ring_of_before, begin, end),
        cmocka_unit_test_setup_teardown(test_purges_of_another_cluster_cover_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
