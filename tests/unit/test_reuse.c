/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is dead makes room before anything is evicted, and before new memory is used: one thread, the maintenance
 * stepped by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store/segment.h"
#include "store_lab.h"

#define LIMIT (2u << 20)
#define MEGABYTE ((1u << 20) / 32768) /* in segments */

/* Items that nobody asks for fill half of the memory, some of them are written again and again: what that leaves
 * dead is enough to make room, so nothing goes. `some` are spread among the others. */
static void overwrite(uint32_t bytes, unsigned some) {
    struct lab l;
    struct rand r;
    rand_init(&r, 1);
    lab_open(&l, LIMIT, 0);
    unsigned n = LIMIT / 2 / (bytes + 40);
    for (unsigned i = 0; i < n; i++) lab_set_nth(&l, i, bytes);
    for (unsigned i = 0; i < 5 * n; i++) lab_set_nth(&l, (unsigned)rand_below(&r, n / some) * some, bytes);
    assert_int_equal(store_metric(l.s, STORE_METRIC_evictions), 0);
    assert_true(store_metric(l.s, STORE_METRIC_segments_compacted) > 0);
    for (unsigned i = 0; i < n; i++) assert_true(lab_has_nth(&l, i));
    lab_close(&l);
}

static void test_overwriting_evicts_nothing(void **state) {
    (void)state;
    overwrite(100, 1);
    overwrite(100, 5);
    overwrite(3000, 1);
    overwrite(3000, 5);
    overwrite(10000, 3);
}

/* A few values are overwritten again and again: segments that hold, once 32 MiB were written. */
static unsigned segments_of_overwriting(bool erasing, const char *mutation) {
    struct lab l;
    if (erasing)
        lab_open_erasing(&l, 64u << 20);
    else
        lab_open(&l, 64u << 20, 0);
    lab_mutate(mutation);
    for (unsigned i = 0; i < 32 * 1024; i++) lab_set_nth(&l, i % 1000, 1000);
    const unsigned exist = l.s->segs.exist;
    lab_close(&l);
    return exist;
}

static void test_overwriting_uses_dead_segments_again(void **state) {
    (void)state;
    assert_in_range(segments_of_overwriting(false, NULL), MEGABYTE, 3 * MEGABYTE);
    assert_in_range(segments_of_overwriting(true, NULL), MEGABYTE, 3 * MEGABYTE);
    assert_in_range(segments_of_overwriting(false, "evict.mutate.no_reuse"), 32 * MEGABYTE, 64 * MEGABYTE);
}

/* The same while readers hold the first few segments: others are used again. */
static void test_held_segments_do_not_stop_that(void **state) {
    (void)state;
    enum { HELD = 5 };
    struct lab l;
    uint64_t pins[HELD];
    lab_open(&l, 64u << 20, 0);
    for (unsigned i = 0; i < 32 * 1024; i++) {
        lab_set_nth(&l, i % 1000, 1000);
        if (i % 100 || i / 100 >= HELD) continue;
        struct store_key k = store_key(l.s, "key-0", 5);
        struct store_item it;
        store_enter(l.w[1]);
        assert_true(store_get(l.w[1], &k, &it));
        pins[i / 100] = store_pin(l.w[1], it.value);
        store_leave(l.w[1]);
        assert_true(pins[i / 100] != 0);
        lab_set_nth(&l, 0, 1000);
    }
    assert_in_range(l.s->segs.exist, MEGABYTE, 3 * MEGABYTE + HELD);
    for (unsigned i = 0; i < HELD; i++) store_unpin(l.w[1], pins[i]);
    lab_close(&l);
}

/* Items that expire after ten seconds, a megabyte of them each second. */
static void test_expired_items_make_room_for_new_ones(void **state) {
    (void)state;
    static char value[1000];
    struct lab l;
    char key[32];
    lab_open(&l, 64u << 20, 0);
    for (unsigned i = 0; i < 64 * 1024; i++) {
        struct store_put p = {.value = value, .size = sizeof value};
        p.key = store_key(l.s, key, (size_t)snprintf(key, sizeof key, "key-%u", i));
        if (i % 16 == 0) clock_manual_advance(&l.clock, 1000000000 / 64);
        while (store_maintain(l.s)) {}
        store_enter(l.w[0]);
        p.expiry = store_expiry(l.w[0], 10);
        assert_int_equal(store_put(l.w[0], &p, NULL), STORE_OK);
        store_leave(l.w[0]);
    }
    assert_int_equal(store_metric(l.s, STORE_METRIC_evictions), 0);
    assert_in_range(l.s->segs.exist, 10 * MEGABYTE, 20 * MEGABYTE);
    lab_close(&l);
}

/* The same as test_overwriting_evicts_nothing among items that were asked for, and so moved to main. */
static void test_overwriting_in_main_evicts_nothing(void **state) {
    (void)state;
    struct lab l;
    struct rand r;
    rand_init(&r, 2);
    lab_open(&l, LIMIT, 0);
    unsigned n = LIMIT / 4 / 140;
    for (unsigned i = 0; i < n; i++) {
        lab_set_nth(&l, i, 100);
        assert_true(lab_has_nth(&l, i));
    }
    for (unsigned i = 0; i < 4 * n; i++) lab_set_nth(&l, n + i, 100); /* asked for by nobody: these go */
    struct store_gauges g;
    store_gauges(l.s, &g);
    assert_true(g.segments_main > g.segments / 5);
    for (unsigned i = 0; i < n; i++) assert_true(lab_has_nth(&l, i));
    for (unsigned i = 0; i < 5 * n; i++) lab_set_nth(&l, (unsigned)rand_below(&r, n), 100);
    for (unsigned i = 0; i < n; i++) assert_true(lab_has_nth(&l, i));
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overwriting_evicts_nothing),
        cmocka_unit_test(test_overwriting_uses_dead_segments_again),
        cmocka_unit_test(test_held_segments_do_not_stop_that),
        cmocka_unit_test(test_expired_items_make_room_for_new_ones),
        cmocka_unit_test(test_overwriting_in_main_evicts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
