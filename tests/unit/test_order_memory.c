/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orders of steps: what somebody reads, sends or still refers to stays where it is, memory and places in the index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "order.h"
#include "store/compact.h"
#include "store/index.h"
#include "store/segment.h"

/* ------------------------------------------------------------------ memory */

/* Stores until nothing more can be had; maintenance is run as often as asked for. */
static void flood(struct lab *l) {
    static char value[1000];
    char key[32];
    memset(value, '#', sizeof value);
    for (unsigned i = 0, waits = 0; i < 6000 && waits < 100; i++) {
        snprintf(key, sizeof key, "flood-%u", i);
        struct store_put p = {.key = store_key(l->s, key, strlen(key)), .value = value, .size = sizeof value};
        if (lab_put(l, 0, &p) != STORE_AGAIN) {
            waits = 0;
            continue;
        }
        waits++;
        store_maintain(l->s);
    }
}

static bool reader_disturbed(struct lab *l) {
    struct store_key k = store_key(l->s, "A", 1);
    struct store_item it;
    lab_set(l, 0, "A", "a value that somebody is reading", NULL, 0);
    for (int i = 0; i < 5; i++) lab_next_segment(l, 0);
    epoch_advance(&l->s->epoch); /* so that the segment may be evicted while the reader is there */
    store_enter(l->w[3]);
    assert_true(store_get(l->w[3], &k, &it));
    flood(l);
    bool broken = memcmp(it.value, "a value that somebody is reading", it.size) != 0;
    store_leave(l->w[3]);
    return broken;
}

static void test_memory_is_not_reused_while_somebody_reads(void **state) {
    (void)state;
    guarded(reader_disturbed, "evict.mutate.no_grace");
}

static bool pin_ignored(struct lab *l) {
    struct store_key k = store_key(l->s, "A", 1);
    struct store_item it;
    lab_set(l, 0, "A", "a value that somebody is sending", NULL, 0);
    store_enter(l->w[3]);
    assert_true(store_get(l->w[3], &k, &it));
    uint64_t pin = store_pin(l->w[3], it.value);
    assert_true(pin != 0);
    store_leave(l->w[3]);
    flood(l);
    bool broken = memcmp(it.value, "a value that somebody is sending", it.size) != 0;
    struct store_gauges g;
    store_gauges(l->s, &g);
    assert_true(broken || g.segments_pinned == 1);
    store_unpin(l->w[3], pin);
    return broken;
}

static void test_a_pinned_segment_stays(void **state) {
    (void)state;
    guarded(pin_ignored, "evict.mutate.no_pins");
}

/* ------------------------------------------------------------------ what counts as dead */

static void free_dead_ones(struct lab *l) {
    for (unsigned i = 0; i < 10; i++) (void)compact_free_dead(l->s);
}

static bool retired(struct lab *l, uint64_t loc) {
    return segment_by_loc(l->s, loc)->state == SEGMENT_RETIRED;
}

static void delete_item(void *arg) {
    lab_delete(arg, 1, "A");
}

/* An item is being deleted while segments are looked through for dead ones: whoever finds it after that must not read
 * from a segment whose grace period began before. */
static bool found_in_retired(struct lab *l) {
    static char body[100000]; /* in segments of its own, which its end leaves without a live record */
    struct store_put p = {.key = store_key(l->s, "A", 1), .size = sizeof body};
    struct store_item it;
    struct lab_thread t;
    p.upload = lab_upload(l, 0, body, sizeof body);
    assert_int_equal(lab_put(l, 0, &p), STORE_OK);
    for (int i = 0; i < 2; i++) (void)epoch_advance(&l->s->epoch); /* whoever might have written there has ended */
    assert_true(lab_run(&t, "change.unlinking", delete_item, l));
    free_dead_ones(l);
    bool broken = false;
    store_enter(l->w[0]);
    if (store_get(l->w[0], &p.key, &it)) {
        struct iovec v;
        assert_true(store_item_spans(l->w[0], &it, &v, 0, 1) > 0);
        broken = retired(l, segment_loc(&l->s->segs, v.iov_base));
    }
    store_leave(l->w[0]);
    lab_finish(&t);
    return broken;
}

static void test_what_is_found_is_not_counted_as_dead(void **state) {
    (void)state;
    guarded(found_in_retired, "change.mutate.dead_first");
}

static void free_what_looks_dead(void *arg) {
    struct lab *l = arg;
    lab_at(NULL, NULL, NULL);
    free_dead_ones(l);
}

/* A large value whose record is written anew, since it gets an expiry, while segments are looked through for dead ones:
 * its pieces stay where they are. */
static bool pieces_given_away(struct lab *l) {
    static char body[100000];
    struct store_put p = {.key = store_key(l->s, "A", 1), .size = sizeof body};
    struct store_item it;
    struct iovec v;
    p.upload = lab_upload(l, 0, body, sizeof body);
    assert_int_equal(lab_put(l, 0, &p), STORE_OK);
    for (int i = 0; i < 2; i++) (void)epoch_advance(&l->s->epoch); /* whoever might have written there has ended */

    lab_at("change.accounting", free_what_looks_dead, l);
    store_enter(l->w[0]);
    assert_int_equal(store_touch(l->w[0], &p.key, store_now(l->w[0]) + 1000, &it, NULL), STORE_OK);
    bool broken = false;
    for (unsigned i = 0; store_item_spans(l->w[0], &it, &v, i, 1) > i; i++)
        broken |= retired(l, segment_loc(&l->s->segs, v.iov_base));
    store_leave(l->w[0]);
    lab_at(NULL, NULL, NULL);
    return broken;
}

static void test_pieces_of_a_rewritten_item_stay(void **state) {
    (void)state;
    guarded(pieces_given_away, "change.mutate.pieces_dead");
}

/* ------------------------------------------------------------------ the index */

/* The group of a hash when there are so many. */
static uint64_t group_of(uint64_t hash, uint64_t groups) {
    uint64_t half = 1;
    while (half * 2 <= groups) half *= 2;
    uint64_t g = (hash >> 3) % (2 * half);
    return g < groups ? g : g % half;
}

/* A look-up that has read its bucket's word when the bucket is split under it. */
static bool split_under_reader(struct lab *l) {
    struct helper h = {.l = l};
    struct lab_thread t;
    char key[16];
    uint64_t hash;
    struct index *ix = &l->s->ix;
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof key, "k%u", i);
        hash = store_key(l->s, key, strlen(key)).hash;
        if (group_of(hash, ix->groups) != group_of(hash, ix->groups + 1)) break;
    }
    lab_set(l, 0, key, "x", NULL, 0);
    h.key = key;
    assert_true(lab_run(&t, "read.word", run_get, &h));
    assert_true(index_split(ix));
    lab_finish(&t);
    return !h.hit;
}

/* And when the two halves are merged again. */
static bool merge_under_reader(struct lab *l) {
    struct helper h = {.l = l};
    struct lab_thread t;
    char key[16];
    struct index *ix = &l->s->ix;
    assert_true(index_split(ix));
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof key, "k%u", i);
        if (group_of(store_key(l->s, key, strlen(key)).hash, ix->groups) == ix->groups - 1) break;
    }
    lab_set(l, 0, key, "x", NULL, 0);
    h.key = key;
    assert_true(lab_run(&t, "read.word", run_get, &h));
    assert_true(index_merge(ix));
    lab_finish(&t);
    return !h.hit;
}

static void test_a_look_up_survives_a_split(void **state) {
    (void)state;
    guarded(split_under_reader, "read.mutate.unchecked");
    guarded(merge_under_reader, "read.mutate.unchecked");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_not_reused_while_somebody_reads),
        cmocka_unit_test(test_a_pinned_segment_stays),
        cmocka_unit_test(test_what_is_found_is_not_counted_as_dead),
        cmocka_unit_test(test_pieces_of_a_rewritten_item_stay),
        cmocka_unit_test(test_a_look_up_survives_a_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
