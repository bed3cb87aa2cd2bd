/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Locks whose holder does not run: who waits sleeps, so that the holder gets the processor whatever its priority. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sync.h"
#include "store/index.h"
#include "threads.h"

/* ------------------------------------------------------------------ one that waits sleeps */

struct waiter {
    struct sync_spin *spin;
    struct sync_sequence *sequence;
    struct index *ix;
    int tid;
    bool done;
};

static void *wait_for_lock(void *arg) {
    struct waiter *w = arg;
    sync_store_rel(&w->tid, (int)syscall(SYS_gettid));
    if (w->spin) {
        sync_spin_lock(w->spin);
        sync_spin_unlock(w->spin);
    } else if (w->sequence) {
        (void)sync_sequence_read_begin(w->sequence);
    } else {
        index_unlock(index_lock(w->ix, 0));
    }
    sync_store_rel(&w->done, true);
    return NULL;
}

#define WAITERS 3

static void start_waiters(struct waiter w[WAITERS], pthread_t t[WAITERS]) {
    for (unsigned i = 0; i < WAITERS; i++) assert_int_equal(pthread_create(&t[i], NULL, wait_for_lock, &w[i]), 0);
    for (unsigned i = 0; i < WAITERS; i++) {
        while (sync_load_acq(&w[i].tid) == 0) sched_yield();
        assert_true(threads_await_sleep(w[i].tid));
        assert_false(sync_load_acq(&w[i].done));
    }
}

static void join_waiters(const struct waiter w[WAITERS], const pthread_t t[WAITERS]) {
    for (unsigned i = 0; i < WAITERS; i++) {
        assert_true(threads_join(t[i]));
        assert_true(w[i].done);
    }
}

static void test_a_spinlock_is_slept_on(void **state) {
    (void)state;
    struct sync_spin l = {0};
    struct waiter w[WAITERS] = {{.spin = &l}, {.spin = &l}, {.spin = &l}};
    pthread_t t[WAITERS];
    sync_spin_lock(&l);
    start_waiters(w, t);
    sync_spin_unlock(&l);
    join_waiters(w, t);
    assert_false(sync_spin_is_held(&l));
}

static void test_a_buckets_lock_is_slept_on(void **state) {
    (void)state;
    struct index ix;
    assert_int_equal(index_init(&ix, 100, 1000, false), 0);
    struct waiter w[WAITERS] = {{.ix = &ix}, {.ix = &ix}, {.ix = &ix}};
    pthread_t t[WAITERS];
    struct index_bucket *b = index_lock(&ix, 0);
    start_waiters(w, t);
    index_unlock(b);
    join_waiters(w, t);
    assert_int_equal(b->word & (INDEX_HELD | INDEX_WRITING), 0);
    index_fini(&ix);
}

static void test_a_sequence_is_slept_on(void **state) {
    (void)state;
    struct sync_sequence s = {0};
    struct waiter w[WAITERS] = {{.sequence = &s}, {.sequence = &s}, {.sequence = &s}};
    pthread_t t[WAITERS];
    sync_sequence_write_begin(&s);
    start_waiters(w, t);
    sync_sequence_write_end(&s);
    join_waiters(w, t);
}

/* ------------------------------------------------------------------ a holder of lower priority */

struct contest {
    struct sync_spin lock;
    uint32_t held, wanted;
    bool ended;
};

/* Holds the lock until somebody wants it, and then for a while of its own computing. */
static void *hold(void *arg) {
    struct contest *c = arg;
    sync_spin_lock(&c->lock);
    sync_store_rel(&c->held, 1);
    while (!sync_load_acq(&c->wanted)) sync_pause();
    for (unsigned i = 0; i < 1000; i++) sync_pause();
    sync_spin_unlock(&c->lock);
    return NULL;
}

static void *want(void *arg) {
    struct contest *c = arg;
    sync_store_rel(&c->wanted, 1);
    sync_spin_lock(&c->lock);
    sync_spin_unlock(&c->lock);
    return NULL;
}

/* A thread on the first processor with this real-time priority. False: the machine does not let us. */
static bool start_real_time(pthread_t *t, void *(*fn)(void *), void *arg, int priority) {
    cpu_set_t first;
    pthread_attr_t attr;
    const struct sched_param p = {.sched_priority = priority};
    CPU_ZERO(&first);
    CPU_SET(threads_first_cpu(), &first);
    pthread_attr_init(&attr);
    pthread_attr_setaffinity_np(&attr, sizeof first, &first);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &p);
    const int r = pthread_create(t, &attr, fn, arg);
    pthread_attr_destroy(&attr);
    return r == 0;
}

static void test_a_holder_of_lower_priority_gets_the_processor(void **state) {
    (void)state;
    struct contest c = {0};
    pthread_t low, high;
    if (!start_real_time(&low, hold, &c, 1)) skip(); /* no right to real-time priorities */
    while (!sync_load_acq(&c.held)) sched_yield();
    assert_true(start_real_time(&high, want, &c, 2));
    assert_true(threads_join(high));
    assert_true(threads_join(low));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_spinlock_is_slept_on),
        cmocka_unit_test(test_a_buckets_lock_is_slept_on),
        cmocka_unit_test(test_a_sequence_is_slept_on),
        cmocka_unit_test(test_a_holder_of_lower_priority_gets_the_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
