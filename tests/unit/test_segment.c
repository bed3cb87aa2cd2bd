/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments by themselves: taking and freeing, the limit, the two queues and their order, the bounds of expiries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/segment.h"

#define BYTES SEGMENT_MIN

static void open_segments(struct segments *s, uint32_t max, uint32_t limit) {
    assert_int_equal(segments_init(s, (uint64_t)max * BYTES, BYTES, false), 0);
    s->limit = limit;
}

/* From open to free as the maintenance thread does it. */
static void through(struct segments *s, uint32_t i) {
    segment_seal(s, i, 1);
    segment_unqueue(s, i);
    sync_store_rel(&s->seg[i].state, SEGMENT_RETIRED);
    segment_free(s, i);
}

static void test_taking_and_freeing(void **state) {
    (void)state;
    struct segments s;
    open_segments(&s, 8, 5);
    assert_int_equal(segment_available(&s), 5);
    uint32_t got[5];
    for (unsigned i = 0; i < 5; i++) {
        got[i] = segment_take(&s, SEGMENT_SMALL, 7, 0);
        assert_true(got[i] != SEGMENT_NONE);
        for (unsigned k = 0; k < i; k++) assert_int_not_equal(got[i], got[k]);
        assert_int_equal(s.seg[got[i]].state, SEGMENT_OPEN);
        assert_int_equal(s.seg[got[i]].opened, 7);
        assert_int_equal(s.seg[got[i]].used, segment_first(got[i]));
        memset(segment_at(&s, segment_base(&s, got[i])), 0xaa, BYTES);
    }
    assert_int_equal(segment_take(&s, SEGMENT_SMALL, 7, 0), SEGMENT_NONE);
    through(&s, got[2]);
    assert_int_equal(segment_available(&s), 1);
    assert_int_equal(segment_take(&s, SEGMENT_SMALL, 8, 1), SEGMENT_NONE); /* one is to be left */
    assert_int_equal(segment_take(&s, SEGMENT_MAIN, 8, 0), got[2]);
    assert_int_equal(s.seg[got[2]].queue, SEGMENT_MAIN);
    segments_fini(&s);
}

static void test_the_limit_moves(void **state) {
    (void)state;
    struct segments s;
    open_segments(&s, 8, 6);
    uint32_t got[6];
    for (unsigned i = 0; i < 6; i++) got[i] = segment_take(&s, SEGMENT_SMALL, 1, 0);
    memset(segment_at(&s, segment_base(&s, got[0])), 0xaa, BYTES);
    s.limit = 4;
    assert_int_equal(segment_available(&s), 0);
    through(&s, got[0]);
    through(&s, got[1]);
    assert_int_equal(s.exist, 4);
    assert_int_equal(s.seg[got[0]].state, SEGMENT_ABSENT);
    assert_int_equal(segment_available(&s), 0);
    /* Its memory went back to the system. */
    assert_int_equal(*segment_at(&s, segment_base(&s, got[0]) + 4096), 0);
    through(&s, got[2]);
    assert_int_equal(s.seg[got[2]].state, SEGMENT_FREE);
    s.limit = 8;
    assert_int_equal(segment_available(&s), 5);
    unsigned n = 0;
    while (segment_take(&s, SEGMENT_SMALL, 1, 0) != SEGMENT_NONE) n++;
    assert_int_equal(n, 5);
    assert_int_equal(s.exist, 8);
    segments_fini(&s);
}

/* The queue from its oldest on. */
static unsigned list(const struct segments *s, enum segment_queue q, uint32_t *out) {
    unsigned n = 0;
    uint32_t prev = SEGMENT_NONE;
    for (uint32_t i = s->queues[q].head; i != SEGMENT_NONE; i = s->seg[i].next) {
        assert_int_equal(s->seg[i].prev, prev);
        prev = i;
        out[n++] = i;
    }
    assert_int_equal(s->queues[q].tail, prev);
    assert_int_equal(s->queues[q].count, n);
    return n;
}

static void test_queues_keep_their_order(void **state) {
    (void)state;
    struct segments s;
    uint32_t g[6], order[8];
    open_segments(&s, 8, 8);
    for (unsigned i = 0; i < 6; i++) {
        g[i] = segment_take(&s, i < 4 ? SEGMENT_SMALL : SEGMENT_MAIN, 1, 0);
        segment_seal(&s, g[i], 1);
    }
    assert_int_equal(list(&s, SEGMENT_SMALL, order), 4);
    assert_int_equal(order[0], g[0]);
    assert_int_equal(list(&s, SEGMENT_MAIN, order), 2);
    segment_requeue(&s, g[1], SEGMENT_MAIN);
    assert_int_equal(list(&s, SEGMENT_MAIN, order), 3);
    assert_int_equal(order[2], g[1]);
    assert_int_equal(list(&s, SEGMENT_SMALL, order), 3);
    /* Right behind another one: at the end, in the middle, of one that is the head. */
    segment_requeue_after(&s, g[1], g[4]);
    assert_int_equal(list(&s, SEGMENT_MAIN, order), 3);
    assert_int_equal(order[0], g[4]);
    assert_int_equal(order[1], g[1]);
    segment_requeue_after(&s, g[4], g[5]);
    assert_int_equal(list(&s, SEGMENT_MAIN, order), 3);
    assert_int_equal(order[0], g[1]);
    assert_int_equal(order[2], g[4]);
    segment_unqueue(&s, g[5]);
    segment_unqueue(&s, g[1]);
    segment_unqueue(&s, g[4]);
    assert_int_equal(list(&s, SEGMENT_MAIN, order), 0);
    assert_int_equal(list(&s, SEGMENT_SMALL, order), 3);
    segments_fini(&s);
}

static void test_bounds_of_expiries(void **state) {
    (void)state;
    struct segment g = {0};
    segment_expiry(&g, 50);
    assert_int_equal(g.soonest, 50);
    segment_expiry(&g, 30);
    segment_expiry(&g, 70);
    assert_int_equal(g.soonest, 30);
    segment_expiry(&g, 0);
    assert_int_equal(g.soonest, 30);
}

static void test_places(void **state) {
    (void)state;
    struct segments s;
    open_segments(&s, 4, 4);
    assert_int_equal(segment_of(&s, segment_base(&s, 3) + BYTES - 1), 3);
    assert_int_equal(segment_loc(&s, segment_at(&s, 12345)), 12345);
    assert_true(segment_base(&s, 0) + segment_first(0) != 0); /* location 0 means nothing */
    segments_fini(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taking_and_freeing),
        cmocka_unit_test(test_the_limit_moves),
        cmocka_unit_test(test_queues_keep_their_order),
        cmocka_unit_test(test_bounds_of_expiries),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
