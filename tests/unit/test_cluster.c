/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The cluster's thread and what it asks of its node: a purge is answered when the node has applied it, once, however
 * room, time and other purges come in between; a view that the node could not take is given again. */
#include "cluster/cluster.h"
#include "cluster/handoff.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "cluster/purging.h"
#include "cluster/view.h"

/* ------------------------------------------------------------------ the node */

static struct {
    pthread_mutex_t lock; /* guards what follows the cluster */
    pthread_cond_t changed;
    struct clock_manual clock;
    struct log log;
    struct cluster *cluster;
    enum cluster_applying answer; /* to the next batches */
    unsigned applied;             /* how often a batch was shown and taken; */
    unsigned refused;             /* and shown and refused, which the thread repeats now and then */
    uint64_t tag;                 /* of the last one */
    unsigned views, refuse_view;  /* refuse_view: the one with this number is refused */
    struct view *view;
    bool done; /* the question of barrier() is answered */
    bool purged[3];
} n = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void say_changed(void) {
    pthread_cond_broadcast(&n.changed);
    pthread_mutex_unlock(&n.lock);
}

/* Until the condition holds, which is looked at under the lock. */
#define UNTIL(condition)                                                                                               \
    do {                                                                                                               \
        pthread_mutex_lock(&n.lock);                                                                                   \
        while (!(condition)) pthread_cond_wait(&n.changed, &n.lock);                                                   \
        pthread_mutex_unlock(&n.lock);                                                                                 \
    } while (0)

static int up_view(void *arg, struct view *v) {
    (void)arg;
    pthread_mutex_lock(&n.lock);
    const bool refused = ++n.views == n.refuse_view;
    if (!refused) {
        view_free(n.view);
        n.view = v;
        if (n.cluster != NULL) cluster_view_done(n.cluster); /* else it is not made yet, and begin() does */
    }
    say_changed();
    return refused ? -ENOMEM : 0;
}

static enum cluster_applying up_apply(void *arg, const struct purging_batch *batch) {
    (void)arg;
    pthread_mutex_lock(&n.lock);
    const enum cluster_applying answer = n.answer;
    (*(answer == CLUSTER_APPLY_LATER ? &n.refused : &n.applied))++;
    n.tag = batch->selectors[0].tags[0];
    say_changed();
    return answer;
}

static void up_floor(void *arg, bool everything) {
    (void)arg;
    (void)everything;
}

static uint64_t up_number(void *arg) {
    (void)arg;
    return 1;
}

static void up_requests(void *arg, uint64_t *clients, uint64_t *forwarded) {
    (void)arg;
    *clients = *forwarded = 0;
}

static void on_answered(struct cluster_question *q) {
    free(q->reply);
    pthread_mutex_lock(&n.lock);
    n.done = true;
    say_changed();
}

/* Nothing moves. */
static void up_handoff(void *arg, struct handoff_store *out) {
    (void)arg;
    *out = (struct handoff_store){0};
}

static void up_set_move(void *store_arg, struct move *m) {
    (void)store_arg;
    assert_null(m);
}

static uint64_t up_items(void *store_arg) {
    (void)store_arg;
    return 0;
}

/* Until the thread has run all that it was told before. */
static void barrier(void) {
    struct cluster_question *q = calloc(1, sizeof *q);
    assert_non_null(q);
    pthread_mutex_lock(&n.lock);
    n.done = false;
    pthread_mutex_unlock(&n.lock);
    strcpy(q->line, "ring");
    q->done = on_answered;
    cluster_ask(n.cluster, q);
    UNTIL(n.done);
    free(q);
}

static void pass(unsigned ms) {
    clock_manual_advance(&n.clock, ms * UINT64_C(1000000));
    barrier(); /* what wakes the thread has it look at the clock */
}

static int begin_refusing(unsigned refuse_view) {
    static char bind[64];
    char err[300] = "";
    const unsigned pid = (unsigned)getpid(); /* an address that no other process has */
    snprintf(bind, sizeof bind, "127.%u.%u.%u:21211", 1 + pid / 65025 % 254, 1 + pid / 255 % 255, 1 + pid % 254);
    log_init(&n.log, STDERR_FILENO, 0);
    clock_manual_init(&n.clock, UINT64_C(100) * 1000000000, 1700000000);
    n.answer = CLUSTER_APPLIED;
    n.applied = n.refused = n.views = 0;
    n.refuse_view = refuse_view;
    const struct cluster_config cfg = {
        .name = "test",
        .ring_name = "127.0.0.1:11211",
        .bind = bind,
        .weight = 1,
        .eject_after_s = 35,
        .memory_limit = 64 << 20,
        .workers = 1,
        .clock = &n.clock.clock,
        .log = &n.log,
        .handoff_rate_mib = HANDOFF_RATE_MIB,
        .up = {.view = up_view,
               .apply = up_apply,
               .floor = up_floor,
               .number = up_number,
               .requests = up_requests,
               .handoff = up_handoff,
               .set_move = up_set_move,
               .items = up_items},
    };
    if (cluster_new(&cfg, &n.cluster, err, sizeof err) != 0) fail_msg("%s", err);
    cluster_view_done(n.cluster); /* of the one that it made at once */
    assert_int_equal(cluster_start(n.cluster), 0);
    return 0;
}

static int begin(void **state) {
    (void)state;
    return begin_refusing(0);
}

/* The first view that the thread has for it, which is one of the cluster that it founds, at a time of its own. */
static int begin_refusing_one(void **state) {
    (void)state;
    return begin_refusing(2);
}

static int end(void **state) {
    (void)state;
    cluster_stop(n.cluster);
    cluster_free(n.cluster);
    n.cluster = NULL;
    view_free(n.view);
    n.view = NULL;
    return 0;
}

/* Lets time pass until the node has a view of a cluster, its own. */
static void found(void) {
    for (;;) {
        pthread_mutex_lock(&n.lock);
        const bool there = n.view != NULL && n.view->ring_version != 0;
        pthread_mutex_unlock(&n.lock);
        if (there) return;
        pass(100);
    }
}

/* ------------------------------------------------------------------ tests */

static struct cluster_purge purges[3];
static uint64_t words[3][2];

static void on_purged(struct cluster_purge *p) {
    pthread_mutex_lock(&n.lock);
    n.purged[p - purges] = true;
    say_changed();
}

static void purge(unsigned i) {
    n.purged[i] = false;
    words[i][0] = 1;
    words[i][1] = 1000 + i;
    purges[i] =
        (struct cluster_purge){.words = words[i], .nwords = 2, .nselectors = 1, .wait_ms = 3600000, .done = on_purged};
    cluster_purge(n.cluster, &purges[i]);
}

static void answer(enum cluster_applying how) {
    pthread_mutex_lock(&n.lock);
    n.answer = how;
    pthread_mutex_unlock(&n.lock);
}

static void test_a_purge_waits_for_room_and_then_until_it_is_applied(void **state) {
    (void)state;
    found();
    answer(CLUSTER_APPLY_LATER);
    purge(0);
    UNTIL(n.refused > 0);
    purge(1);
    barrier();
    assert_int_equal(n.applied, 0);
    assert_false(n.purged[0]);
    answer(CLUSTER_APPLYING);
    cluster_apply_again(n.cluster);
    UNTIL(n.applied == 1);
    assert_int_equal(n.tag, 1000);
    /* Neither room nor time has it applied once more, and the next purge waits. */
    for (unsigned i = 0; i < 3; i++) {
        cluster_apply_again(n.cluster);
        pass(1000);
    }
    assert_int_equal(n.applied, 1);
    assert_false(n.purged[0] || n.purged[1]);
    answer(CLUSTER_APPLIED);
    cluster_applied(n.cluster);
    UNTIL(n.purged[0] && n.purged[1]);
    assert_int_equal(n.applied, 2);
    assert_int_equal(n.tag, 1001);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(purges[i].outcome, CLUSTER_CONFIRMED);
        assert_int_equal(purges[i].members, 1);
    }
}

/* Room may come between the node's look at it and its answer. */
static void test_room_that_comes_at_once(void **state) {
    (void)state;
    found();
    answer(CLUSTER_APPLYING);
    cluster_apply_again(n.cluster);
    purge(0);
    cluster_apply_again(n.cluster);
    UNTIL(n.applied == 1);
    cluster_apply_again(n.cluster);
    barrier();
    assert_int_equal(n.applied, 1);
    cluster_applied(n.cluster);
    UNTIL(n.purged[0]);
    purge(1);
    UNTIL(n.applied == 2);
    barrier();
    assert_false(n.purged[1]);
    cluster_applied(n.cluster);
    UNTIL(n.purged[1]);
}

/* What could not be applied for want of memory is tried again though nobody says that there is room. */
static void test_time_alone_tries_again(void **state) {
    (void)state;
    found();
    answer(CLUSTER_APPLY_LATER);
    purge(0);
    UNTIL(n.refused > 0);
    answer(CLUSTER_APPLIED);
    pass(1000);
    UNTIL(n.purged[0]);
    assert_int_equal(n.applied, 1);
}

static void test_a_node_that_ends_answers_what_waits(void **state) {
    (void)state;
    found();
    answer(CLUSTER_APPLYING);
    purge(0);
    purge(1);
    UNTIL(n.applied == 1);
    cluster_stop(n.cluster);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(purges[i].outcome, CLUSTER_REFUSED);
        assert_string_equal(purges[i].refusal, "this node is ending");
    }
}

static void test_a_view_that_could_not_be_taken_is_given_again(void **state) {
    (void)state;
    found();
    UNTIL(n.views > n.refuse_view);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_purge_waits_for_room_and_then_until_it_is_applied, begin, end),
        cmocka_unit_test_setup_teardown(test_room_that_comes_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_time_alone_tries_again, begin, end),
        cmocka_unit_test_setup_teardown(test_a_node_that_ends_answers_what_waits, begin, end),
        cmocka_unit_test_setup_teardown(test_a_view_that_could_not_be_taken_is_given_again, begin_refusing_one, end),
    };
    alarm(60); /* what never comes ends the test, as a failure */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
