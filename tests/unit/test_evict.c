/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What eviction may take, and what it must not: one thread, the maintenance stepped by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/rand.h"
#include "slow.h"
#include "store/index.h"
#include "store/item.h"
#include "store/segment.h"
#include "store_lab.h"

#define LIMIT (2u << 20)

/* Stores a record as large as it may be in one piece, or one of a few bytes; false: not even after some maintenance. */
static bool set_some(struct store *s, unsigned worker, unsigned n, bool large) {
    static char value[1 << 20];
    struct store_worker *w = store_worker(s, worker);
    char key[32];
    enum store_status st = STORE_AGAIN;
    struct store_put p = {.value = value, .size = large ? (uint32_t)store_inline_max(s) : 10};
    p.key = store_key(s, key, (size_t)snprintf(key, sizeof key, "key-%u", n));
    for (int i = 0; i < 100 && st == STORE_AGAIN; i++) {
        store_enter(w);
        st = store_put(w, &p, NULL);
        store_leave(w);
        if (st == STORE_AGAIN) store_maintain(s);
    }
    return st == STORE_OK;
}

/* Threads that hold two open segments each, all that they could get, and then do nothing any more. */
static void test_idle_workers_leave_enough_for_another(void **state) {
    (void)state;
    enum { WORKERS = 10, HANDLES = 20 };
    struct store_config cfg = {.memory_limit = 1 << 20,
                               .item_size_max = 1 << 19,
                               .workers = WORKERS,
                               .handles = HANDLES,
                               .evict = true,
                               .clock = clock_system()};
    struct store *s;
    unsigned n = 0;
    assert_int_equal(store_new(&cfg, &s), 0);
    for (unsigned i = 0; i < HANDLES - 1; i++) {
        struct opened *o = &store_worker(s, i)->open;
        assert_true(set_some(s, i, n++, false));
        while (o->next == SEGMENT_NONE) assert_true(set_some(s, i, n++, true));
    }
    for (unsigned i = 0; i < 1000; i++) assert_true(set_some(s, HANDLES - 1, n++, i % 3 == 0));
    store_free(s);
}

/* Looks n keys up as a client would, the lower ones more often, and stores what is missing; returns the hits. */
static unsigned look_aside(struct lab *l, struct rand *r, unsigned base, unsigned keys, unsigned lookups,
                           uint32_t bytes) {
    unsigned hits = 0;
    for (unsigned i = 0; i < lookups; i++) {
        uint64_t a = rand_below(r, keys), b = rand_below(r, keys), c = rand_below(r, keys);
        unsigned n = base + (unsigned)(a * b / keys * c / keys);
        if (lab_has_nth(l, n))
            hits++;
        else
            lab_set_nth(l, n, bytes);
    }
    return hits;
}

/* Values of several pieces fill their segments to the end: a piece that does not fit is cut. */
static void test_large_values_leave_no_gaps(void **state) {
    (void)state;
    struct lab l;
    struct rand r;
    rand_init(&r, 5);
    lab_open(&l, 4 * LIMIT, 0);
    for (unsigned i = 0; i < 250; i++) /* without an eviction */
        lab_set_nth(&l, i, (uint32_t)store_inline_max(l.s) + 1 + (uint32_t)rand_below(&r, 20000));
    const struct segments *g = &l.s->segs;
    unsigned sealed = 0;
    for (uint32_t i = 0; i < g->touched; i++) {
        if (g->seg[i].state != SEGMENT_SEALED) continue;
        sealed++;
        assert_in_range(g->bytes - g->seg[i].used, 0, 1024 + ITEM_PIECE_HEADER);
    }
    assert_in_range(sealed, 100, g->max);
    lab_close(&l);
}

/* The load changes altogether, keys and sizes: what was asked for before must not hold its place for what it was. */
static void new_load(uint32_t before, uint32_t after) {
    enum { MEMORY = 2 * LIMIT, LOOKUPS = 400000 };
    struct lab old, fresh;
    struct rand r;
    const unsigned keys = 2 * MEMORY / (after + 40);
    rand_init(&r, 3);
    lab_open(&old, MEMORY, 0);
    look_aside(&old, &r, 0, 2 * MEMORY / (before + 40), LOOKUPS, before);
    rand_init(&r, 4);
    unsigned then = look_aside(&old, &r, 1000000, keys, LOOKUPS, after);
    lab_close(&old);
    rand_init(&r, 4);
    lab_open(&fresh, MEMORY, 0);
    unsigned alone = look_aside(&fresh, &r, 1000000, keys, LOOKUPS, after);
    lab_close(&fresh);
    if (then + LOOKUPS / 100 < alone)
        fail_msg("%u bytes after %u: %u hits, %u in a fresh store", after, before, then, alone);
}

static void test_a_new_load_is_served_as_if_it_were_the_first(void **state) {
    (void)state;
    new_load(100, 1000);
    if (TEST_SLOW) return;
    new_load(1000, 100);
    new_load(3000, 100);
    new_load(100, 100);
}

/* ------------------------------------------------------------------ progress */

/* All that is there is asked for all the time: eviction cannot keep it all. True if it tried to. */
static bool carries_too_much(const char *mutation) {
    struct lab l;
    lab_open(&l, LIMIT, 0);
    lab_mutate(mutation);
    const unsigned n = LIMIT / 1040;
    struct rand r;
    rand_init(&r, 3);
    for (unsigned i = 0; i < 12 * n; i++) {
        lab_set_nth(&l, i, 1000);
        for (unsigned hit = 0; hit < 20; hit++) (void)lab_has_nth(&l, i - (unsigned)rand_below(&r, i < n ? i + 1 : n));
    }
    const uint64_t went = store_metric(l.s, STORE_METRIC_segments_evicted) * l.s->segs.bytes;
    const bool over = store_metric(l.s, STORE_METRIC_copied_bytes) > LIMIT / 2 + went / 2;
    assert_true(over || store_metric(l.s, STORE_METRIC_evicted_over_credit) > 0);
    lab_close(&l);
    return over;
}

static void test_eviction_carries_on_half_at_most(void **state) {
    (void)state;
    assert_false(carries_too_much(NULL));
    assert_true(carries_too_much("evict.mutate.no_credit"));
}

/* Hits that count for an item; -1: it is gone. */
static int hits_of_item(struct lab *l, const char *key) {
    struct store_key k = store_key(l->s, key, strlen(key));
    struct index_bucket *b = index_lock(&l->s->ix, k.hash);
    struct store_item it;
    store_enter(l->w[0]);
    const bool there = store_peek(l->w[0], &k, &it);
    store_leave(l->w[0]);
    const int hits = there ? (int)index_slot_freq(*index_find_loc(&l->s->ix, b, it.loc)) : -1;
    index_unlock_unchanged(b);
    return hits;
}

/* A large value that was asked for often, once, while its head lies in a segment that stays open: once it went round
 * its queue, its hits count less. Returns those it then has. */
static int hits_after_a_move(uint32_t bytes, const char *mutation) {
    static char body[200000];
    struct lab l;
    lab_open(&l, LIMIT, 0);
    lab_mutate(mutation);
    struct store_put p = {.key = store_key(l.s, "large", 5), .value = body, .size = bytes};
    p.upload = lab_upload(&l, 1, body, bytes);
    assert_int_equal(lab_put(&l, 1, &p), STORE_OK);
    for (unsigned hit = 0; hit <= INDEX_FREQ_MAX; hit++) assert_true(lab_get(&l, 0, "large", NULL));
    assert_int_equal(hits_of_item(&l, "large"), INDEX_FREQ_MAX);
    const uint64_t first = l.s->segs.limit / 4; /* it was the first to come */
    for (unsigned i = 0; store_metric(l.s, STORE_METRIC_segments_evicted) < first; i++) {
        lab_set_nth(&l, i, 8000);
        (void)epoch_advance(&l.s->epoch); /* what was written to before may go */
    }
    const int hits = hits_of_item(&l, "large");
    lab_close(&l);
    return hits;
}

static void test_hits_of_a_large_value_fade(void **state) {
    (void)state;
    const uint32_t sizes[] = {32768, 40000, 100000, 200000}; /* smaller ones stay in the open segment of uploads */
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(hits_after_a_move(sizes[i], NULL), INDEX_FREQ_MAX / 4);
    assert_int_equal(hits_after_a_move(100000, "evict.mutate.hits_stay"), INDEX_FREQ_MAX);
}

/* What the maintenance does for a store that waits: rounds until it has room. */
static unsigned rounds_until_stored(struct lab *l, unsigned n, uint32_t bytes) {
    static char body[1 << 20];
    char key[32];
    unsigned rounds = 0;
    struct store_put p = {.value = body, .size = bytes};
    p.key = store_key(l->s, key, (size_t)snprintf(key, sizeof key, "key-%u", n));
    if (bytes > store_inline_max(l->s)) {
        assert_int_equal(store_upload_begin(l->w[0], bytes, &p.upload), STORE_OK);
        while (store_upload_left(p.upload) > 0 && rounds < 1000)
            if (lab_upload_some(l->w[0], p.upload, body, bytes, bytes) == STORE_AGAIN) {
                store_maintain(l->s);
                rounds++;
            }
        if (rounds == 1000) store_upload_abort(l->w[0], p.upload);
        if (rounds == 1000) return rounds;
    }
    while (lab_put(l, 0, &p) == STORE_AGAIN && ++rounds < 1000) store_maintain(l->s);
    return rounds;
}

/* Values of every size, each asked for before the next one comes: however many there were, a store waits for a few
 * rounds at most. (With neither rule it waits for ever.) */
static unsigned longest_wait(uint64_t limit, uint32_t bytes) {
    struct lab l;
    unsigned most = 0;
    lab_open(&l, limit, 0);
    const unsigned n = (unsigned)(4 * limit / bytes) + 100;
    for (unsigned i = 0; i < n && most < 1000; i++) {
        const unsigned rounds = rounds_until_stored(&l, i, bytes);
        if (rounds > most) most = rounds;
        for (unsigned hit = 0; hit < i % 4; hit++) (void)lab_has_nth(&l, i);
    }
    lab_close(&l);
    return most;
}

/* The memory fills with values that were all asked for: the most that is copied, in segments, before one store has
 * its place. */
static unsigned most_copied(uint64_t limit, uint32_t bytes, const char *mutation) {
    struct lab l;
    uint64_t most = 0;
    lab_open(&l, limit, 0);
    lab_mutate(mutation);
    const unsigned n = (unsigned)(2 * limit / bytes);
    for (unsigned i = 0; i < n; i++) {
        const uint64_t before = store_metric(l.s, STORE_METRIC_copied_bytes);
        assert_in_range(rounds_until_stored(&l, i, bytes), 0, 999);
        const uint64_t copied = store_metric(l.s, STORE_METRIC_copied_bytes) - before;
        if (copied > most) most = copied;
        for (unsigned hit = 0; hit < 3; hit++) (void)lab_has_nth(&l, i);
    }
    most /= l.s->segs.bytes;
    lab_close(&l);
    return (unsigned)most;
}

static void test_a_store_waits_for_a_few_segments_of_copies(void **state) {
    (void)state;
    const uint32_t large[] = {8193, 32768, 300000};
    for (unsigned i = 0; i < sizeof large / sizeof large[0]; i++)
        assert_in_range(most_copied(32u << 20, large[i], NULL), 0, 16);
    assert_in_range(most_copied(32u << 20, 1000, NULL), 8, 16);
    assert_in_range(most_copied(32u << 20, 1000, "allowance.mutate.none"), 100, 1000);
}

/* Once the memory is full of items that were all asked for: the bytes that are copied while stores take 20 segments, in
 * segments. */
static unsigned copied_for_twenty(void) {
    struct lab l;
    uint64_t copied = 0;
    lab_open(&l, 32u << 20, 0);
    uint32_t given = 0;
    for (unsigned i = 0; copied == 0 || l.s->segs.given - given < 20; i++) {
        assert_in_range(rounds_until_stored(&l, i, 1000), 0, 999);
        for (unsigned hit = 0; hit < 3; hit++) (void)lab_has_nth(&l, i);
        copied = store_metric(l.s, STORE_METRIC_copied_bytes);
        if (copied == 0) given = l.s->segs.given;
    }
    copied /= l.s->segs.bytes;
    lab_close(&l);
    return (unsigned)copied;
}

/* Sixteen may be copied at once, and from then on eight for each that stores take. */
static void test_stores_pay_for_copies_with_the_segments_they_take(void **state) {
    (void)state;
    assert_in_range(copied_for_twenty(), 7 * 20, 16 + 8 * 20);
}

/* A quarter of the items is asked for, then half of the memory is taken away: how many of the quarter are left, in
 * percent. */
static unsigned left_after_shrinking(const char *mutation) {
    enum { BYTES = 32 << 20, ITEMS = BYTES / 1100 };
    struct lab l;
    unsigned left = 0;
    lab_open(&l, BYTES, 0);
    lab_mutate(mutation);
    for (unsigned i = 0; i < ITEMS; i++) lab_set_nth(&l, i, 1000);
    for (unsigned i = 0; i < 3 * ITEMS; i++)
        if (i % ITEMS % 4 == 0) (void)lab_has_nth(&l, i % ITEMS);
    store_set_limit(l.s, BYTES / 2);
    while (l.s->segs.exist > BYTES / 2 / l.s->segs.bytes || store_maintain(l.s)) (void)store_maintain(l.s);
    for (unsigned i = 0; i < ITEMS; i += 4) left += lab_has_nth(&l, i);
    lab_close(&l);
    return left * 400 / ITEMS;
}

static void test_what_is_asked_for_survives_less_memory(void **state) {
    (void)state;
    assert_in_range(left_after_shrinking(NULL), 95, 100);
    assert_in_range(left_after_shrinking("allowance.mutate.shrink_as_usual"), 30, 85);
}

/* All items are asked for, and a few segments' memory is taken away, fewer than eviction may carry on at once. */
static void test_a_little_less_memory_costs_a_little(void **state) {
    (void)state;
    enum { BYTES = 32 << 20, ITEMS = BYTES / 1100, LESS = 10 };
    struct lab l;
    unsigned left = 0, rounds = 0;
    lab_open(&l, BYTES, 0);
    for (unsigned i = 0; i < ITEMS; i++) lab_set_nth(&l, i, 1000);
    for (unsigned i = 0; i < 3 * ITEMS; i++) (void)lab_has_nth(&l, i % ITEMS);
    const uint32_t before = l.s->segs.exist;
    store_set_limit(l.s, (before - LESS) * (uint64_t)l.s->segs.bytes);
    while (store_maintain(l.s) || l.s->segs.exist > before - LESS) assert_in_range(rounds++, 0, 999);
    for (unsigned i = 0; i < ITEMS; i++) left += lab_has_nth(&l, i);
    assert_in_range(left * 100 / ITEMS, 90, 99);
    lab_close(&l);
}

static bool break_both(const char *name) {
    return strcmp(name, "evict.mutate.no_credit") == 0 || strcmp(name, "evict.mutate.hits_stay") == 0;
}

static void test_a_store_waits_for_a_few_rounds(void **state) {
    (void)state;
    const uint32_t sizes[] = {1000, 8193, 16384, 32740, 32768, 65536, 131072, 300000, 524288};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_in_range(longest_wait(2u << 20, sizes[i]), 0, 100);
        assert_in_range(longest_wait(5u << 20, sizes[i]), 0, 100);
    }
    fault_hook = break_both;
    const unsigned broken = longest_wait(5u << 20, 131072);
    fault_hook = NULL;
    assert_int_equal(broken, 1000);
}

static enum store_status flood_until_refused(struct lab *l) {
    static char value[1000];
    char key[32];
    enum store_status st = STORE_OK;
    for (unsigned i = 0; i < 10000 && st != STORE_NO_MEMORY; i++) {
        struct store_put p = {.value = value, .size = sizeof value};
        p.key = store_key(l->s, key, (size_t)snprintf(key, sizeof key, "flood-%u", i));
        st = lab_put(l, 0, &p);
        if (st == STORE_AGAIN) clock_manual_advance(&l->clock, 10000000);
        if (st == STORE_AGAIN) store_maintain(l->s);
    }
    return st;
}

/* Nothing becomes free, since somebody does not leave his section: stores are refused once half a second has gone by,
 * and served as soon as there is room again. */
static void test_what_cannot_be_had_is_refused(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, LIMIT, 0);
    store_enter(l.w[3]);
    const uint64_t begun = l.clock.boot_ns;
    assert_int_equal(flood_until_refused(&l), STORE_NO_MEMORY);
    assert_in_range(l.clock.boot_ns - begun, 500000000, 1000000000);
    assert_int_equal(store_metric(l.s, STORE_METRIC_room_exhausted), 1);
    store_leave(l.w[3]);
    store_maintain(l.s);
    assert_int_equal(lab_set(&l, 0, "A", "a", NULL, 0), STORE_OK);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle_workers_leave_enough_for_another),
        cmocka_unit_test(test_large_values_leave_no_gaps),
        cmocka_unit_test(test_a_new_load_is_served_as_if_it_were_the_first),
        cmocka_unit_test(test_eviction_carries_on_half_at_most),
        cmocka_unit_test(test_hits_of_a_large_value_fade),
        cmocka_unit_test(test_what_is_asked_for_survives_less_memory),
        cmocka_unit_test(test_a_store_waits_for_a_few_rounds),
        cmocka_unit_test(test_a_store_waits_for_a_few_segments_of_copies),
        cmocka_unit_test(test_stores_pay_for_copies_with_the_segments_they_take),
        cmocka_unit_test(test_a_little_less_memory_costs_a_little),
        cmocka_unit_test(test_what_cannot_be_had_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
