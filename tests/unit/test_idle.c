/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the maintenance thread does when there is nothing to do: it sleeps for two seconds, and no pass of the sweeper
 * begins; and when something will be to do, it is awake in time. The thread's steps are made one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/maintain.h"
#include "store/seconds.h"
#include "store_lab.h"

#define SECOND 1000000000ull
#define MS 1000000ull
#define TAG 0x1234567800000001ull
#define LIMIT (4u << 20)

/* For how long the thread sleeps once it has done all there is to do now. */
static uint64_t sleeps(struct lab *l) {
    uint64_t ns = 0;
    l->s->maintain.idle_rounds = 0;
    for (unsigned idle = 0; idle < 20;) {
        if (store_maintain(l->s)) {
            idle = l->s->maintain.idle_rounds = 0;
            continue;
        }
        ns = maintain_idle_ns(l->s);
        idle++;
    }
    return ns;
}

static uint64_t passes(struct lab *l) {
    return store_metric(l->s, STORE_METRIC_sweep_passes);
}

static void set_until(struct lab *l, const char *key, uint32_t expiry) {
    struct store_put p = {.key = store_key(l->s, key, strlen(key)), .value = "v", .size = 1, .expiry = expiry};
    assert_int_equal(lab_put(l, 0, &p), STORE_OK);
}

static uint64_t items(struct lab *l) {
    struct store_gauges g;
    store_gauges(l->s, &g);
    return g.items;
}

static void test_with_nothing_to_do_it_sleeps(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LIMIT, 0);
    lab_set(&l, 0, "A", "a", NULL, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(sleeps(&l), 2 * SECOND);
        clock_manual_advance(&l.clock, 10 * SECOND);
    }
    assert_int_equal(passes(&l), 0);
    lab_close(&l);
}

/* A full store that evicts has its free segments; one that does not (-M) has none, and sleeps all the same. */
static void test_a_full_store_sleeps(void **state) {
    (void)state;
    for (int evict = 0; evict < 2; evict++) {
        struct lab l;
        char key[32], value[1000];
        struct store_put p = {.value = value, .size = sizeof value};
        memset(value, 'v', sizeof value);
        lab_open(&l, LIMIT, 0);
        l.s->cfg.evict = evict;
        for (unsigned i = 0; i < 10000; i++) {
            snprintf(key, sizeof key, "key-%u", i);
            p.key = store_key(l.s, key, strlen(key));
            const enum store_status st = lab_put(&l, 0, &p);
            if (st == STORE_NO_MEMORY) break;
            if (st == STORE_AGAIN) store_maintain(l.s);
        }
        sleeps(&l); /* looks whether somebody who found no room can be helped */
        const uint64_t before = passes(&l);
        clock_manual_advance(&l.clock, 10 * SECOND);
        assert_true(sleeps(&l) >= SECOND);
        assert_int_equal(passes(&l), before);
        lab_close(&l);
    }
}

static void test_it_is_awake_when_an_item_expires(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LIMIT, 0);
    clock_manual_advance(&l.clock, 10 * SECOND);
    const uint32_t now = seconds_now(l.s);
    set_until(&l, "A", now + 1);
    set_until(&l, "B", now + 2);
    set_until(&l, "C", now + 9);
    assert_int_equal(sleeps(&l), SECOND);
    clock_manual_advance(&l.clock, SECOND - MS);
    assert_int_equal(sleeps(&l), MS);
    assert_int_equal(items(&l), 3);
    clock_manual_advance(&l.clock, MS);
    assert_int_equal(sleeps(&l), SECOND); /* of the segment it knows when the next one is due */
    assert_int_equal(items(&l), 2);
    clock_manual_advance(&l.clock, SECOND);
    sleeps(&l);
    assert_int_equal(items(&l), 1);
    assert_int_equal(passes(&l), 2);
    /* An item that is given another time to live, in place. */
    struct store_key k = store_key(l.s, "C", 1);
    store_enter(l.w[0]);
    assert_int_equal(store_touch(l.w[0], &k, store_now(l.w[0]) + 1, NULL, NULL), STORE_OK);
    store_leave(l.w[0]);
    assert_int_equal(sleeps(&l), SECOND);
    clock_manual_advance(&l.clock, SECOND);
    sleeps(&l);
    assert_int_equal(items(&l), 0);
    lab_close(&l);
}

/* Passes begin once a second at most; after each it looks once whether more was purged meanwhile. */
static void test_it_is_awake_for_purges(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LIMIT, 0);
    clock_manual_advance(&l.clock, 10 * SECOND);
    lab_set(&l, 0, "A", "a", &(uint64_t){TAG}, 1);
    sleeps(&l);
    lab_purge(&l, 0, 1, &(uint64_t){TAG}, false, 0);
    assert_int_equal(sleeps(&l), SECOND);
    assert_int_equal(passes(&l), 1);
    assert_int_equal(items(&l), 0);
    lab_purge(&l, 0, 1, &(uint64_t){TAG}, false, 0);
    clock_manual_advance(&l.clock, SECOND / 4);
    assert_int_equal(sleeps(&l), SECOND * 3 / 4);
    clock_manual_advance(&l.clock, SECOND * 3 / 4);
    assert_int_equal(sleeps(&l), SECOND);
    assert_int_equal(passes(&l), 2);
    clock_manual_advance(&l.clock, SECOND);
    assert_int_equal(sleeps(&l), 2 * SECOND);
    clock_manual_advance(&l.clock, 5 * SECOND);
    assert_int_equal(sleeps(&l), 2 * SECOND);
    assert_int_equal(passes(&l), 2);
    lab_close(&l);
}

/* While somebody waits for the turn of his upload it looks ten times a second whether others stall. */
static void test_it_is_awake_for_uploads_in_line(void **state) {
    (void)state;
    struct lab l;
    struct store_upload *u[2];
    lab_open(&l, LIMIT, 0);
    for (unsigned i = 0; i < 2; i++) assert_int_equal(store_upload_begin(l.w[i], LIMIT / 8 - 1000, &u[i]), STORE_OK);
    assert_true(store_upload_waits(u[1]));
    assert_true(l.s->thread.woken);
    assert_true(sleeps(&l) <= 110 * MS);
    store_upload_abort(l.w[0], u[0]);
    assert_false(store_upload_waits(u[1]));
    store_upload_abort(l.w[1], u[1]);
    assert_int_equal(sleeps(&l), 2 * SECOND);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_with_nothing_to_do_it_sleeps),     cmocka_unit_test(test_a_full_store_sleeps),
        cmocka_unit_test(test_it_is_awake_when_an_item_expires), cmocka_unit_test(test_it_is_awake_for_purges),
        cmocka_unit_test(test_it_is_awake_for_uploads_in_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
