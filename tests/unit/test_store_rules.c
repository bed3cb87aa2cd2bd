/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Rules of the store that one thread can show: whom a pin may hold up, who is told of room, what a soft purge's
 * deadline bounds, what carries a purge along and what does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "store/index.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store_lab.h"

#define SECOND 1000000000ull

static const uint64_t tag[1] = {0x1234567800000001ull};

static void maintain(struct lab *l) {
    for (int i = 0; i < 300 && store_maintain(l->s); i++) {}
}

/* Sets a kilobyte; false if there is no room even after maintenance. */
static bool set_one(struct lab *l, unsigned i) {
    static char value[1000];
    char key[32];
    memset(value, '#', sizeof value);
    struct store_put p = {.value = value, .size = sizeof value};
    p.key = store_key(l->s, key, (size_t)snprintf(key, sizeof key, "k%u", i));
    for (int tries = 0; tries < 20; tries++) {
        if (lab_put(l, 0, &p) == STORE_OK) return true;
        maintain(l);
    }
    return false;
}

/* As many segments pinned as may be, all of them waiting to be reused: stores go on with the others. */
static void test_pins_do_not_stop_stores(void **state) {
    (void)state;
    struct lab l;
    uint64_t pins[64];
    unsigned npins = 0;
    lab_open(&l, 2 << 20, 0);
    for (unsigned i = 0; i < 3000; i++) {
        char key[32];
        struct store_item it;
        assert_true(set_one(&l, i));
        struct store_key k = store_key(l.s, key, (size_t)snprintf(key, sizeof key, "k%u", i));
        if (i % 40 || npins == 64) continue;
        store_enter(l.w[0]);
        if (store_get(l.w[0], &k, &it)) {
            pins[npins] = store_pin(l.w[0], it.value);
            npins += pins[npins] != 0;
        }
        store_leave(l.w[0]);
    }
    struct store_gauges g;
    store_gauges(l.s, &g);
    assert_true(npins > 5 && g.segments_pinned > 5);
    assert_true(l.s->maintain.retire.stuck > 0);
    for (unsigned i = 0; i < npins; i++) store_unpin(l.w[0], pins[i]);
    maintain(&l);
    store_gauges(l.s, &g);
    assert_int_equal(g.segments_pinned, 0);
    assert_int_equal(l.s->maintain.retire.stuck, 0);
    lab_close(&l);
}

static void count_room(void *arg) {
    ++*(unsigned *)arg;
}

/* Room that comes from a higher limit is told like any other. */
static void test_a_higher_limit_is_told_as_room(void **state) {
    (void)state;
    struct lab l;
    unsigned told = 0;
    lab_open(&l, 2 << 20, 0);
    l.s->cfg.events = (struct store_events){.arg = &told, .on_room = count_room};
    maintain(&l);
    store_set_limit(l.s, 1 << 20);
    maintain(&l);
    told = 0;
    store_set_limit(l.s, 4 << 20);
    maintain(&l);
    assert_true(told > 0);
    told = 0;
    maintain(&l);
    assert_int_equal(told, 0);
    lab_close(&l);
}

/* ------------------------------------------------------------------ deadlines of soft purges */

static uint32_t expiry_of(struct lab *l, const char *key) {
    struct store_item it;
    assert_true(lab_get(l, 0, key, &it));
    return it.expiry;
}

/* Puts "1" with a tag, purges it softly for 20 s, wins it. */
static uint32_t won(struct lab *l) {
    struct store_item it;
    struct store_key k = store_key(l->s, "A", 1);
    assert_int_equal(lab_set(l, 0, "A", "1", tag, 1), STORE_OK);
    lab_purge(l, 1, 1, tag, true, 20);
    store_enter(l->w[0]);
    assert_int_equal(store_win(l->w[0], &k, &it), STORE_WIN_WON);
    uint32_t now = store_now(l->w[0]);
    store_leave(l->w[0]);
    assert_int_equal(it.expiry, now + 20);
    return it.expiry;
}

static void test_nothing_outlives_a_soft_purge(void **state) {
    (void)state;
    struct lab l;
    uint64_t n;
    bool created;
    lab_open(&l, 2 << 20, 0);
    uint32_t deadline = won(&l);
    struct store_key k = store_key(l.s, "A", 1);
    for (uint32_t wanted = 0; wanted <= 5000; wanted += 2500) {
        store_enter(l.w[0]);
        assert_int_equal(store_touch(l.w[0], &k, wanted, NULL, NULL), STORE_OK);
        store_leave(l.w[0]);
        assert_int_equal(expiry_of(&l, "A"), deadline);
        struct store_arith a = {.key = k, .delta = 1, .set_expiry = true, .expiry = wanted};
        store_enter(l.w[0]);
        assert_int_equal(store_arith(l.w[0], &a, &n, &created, NULL), STORE_OK);
        store_leave(l.w[0]);
        assert_int_equal(expiry_of(&l, "A"), deadline);
        struct store_delete d = {.key = k, .invalidate = true, .set_expiry = true, .expiry = wanted};
        store_enter(l.w[0]);
        assert_int_equal(store_delete(l.w[0], &d, NULL), STORE_OK);
        store_leave(l.w[0]);
        assert_int_equal(expiry_of(&l, "A"), deadline);
    }
    clock_manual_advance(&l.clock, 20 * SECOND);
    assert_false(lab_get(&l, 0, "A", NULL));
    lab_close(&l);
}

/* md x on a softly purged item that had no field for an expiry: an empty item, stale until the deadline. */
static void test_clearing_what_was_softly_purged(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    uint64_t prefix = hash_tag("p:", 2);
    lab_open(&l, 2 << 20, ':');
    lab_set(&l, 0, "p:A", "x", NULL, 0);
    lab_purge(&l, 1, 1, &prefix, true, 20);
    struct store_delete d = {.key = store_key(l.s, "p:A", 3), .clear = true};
    store_enter(l.w[0]);
    assert_int_equal(store_delete(l.w[0], &d, NULL), STORE_OK);
    store_leave(l.w[0]);
    assert_true(lab_get(&l, 0, "p:A", &it));
    assert_int_equal(it.size, 0);
    assert_true(it.soft);
    assert_int_equal(it.expiry, seconds_now(l.s) + 20);
    lab_close(&l);
}

/* ms I of an older id over a softly purged item, without the purged tag: stale, and no longer than until the deadline.
 */
static void test_a_stale_store_does_not_outlive_a_soft_purge(void **state) {
    (void)state;
    for (int swept = 0; swept < 2; swept++) {
        struct lab l;
        struct store_item it;
        lab_open(&l, 2 << 20, 0);
        lab_set(&l, 0, "A", "x", tag, 1);
        assert_true(lab_get(&l, 0, "A", &it));
        lab_purge(&l, 1, 1, tag, true, 20);
        if (swept) store_sweep_all(l.s);
        struct store_put p = {.key = store_key(l.s, "A", 1),
                              .value = "y",
                              .size = 1,
                              .guarded = true,
                              .invalidate = true,
                              .guard = it.cas - 1};
        assert_int_equal(lab_put(&l, 0, &p), STORE_OK);
        assert_true(lab_get(&l, 0, "A", &it));
        assert_true(it.bits & STORE_STALE);
        assert_int_equal(it.expiry, seconds_now(l.s) + 20);
        lab_close(&l);
    }
}

/* A new tag brings its purges along: what is older than a purge of it was not meant to outlive it. */
static void test_an_added_tag_brings_its_purges(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 2 << 20, 0);
    struct store_key k = store_key(l.s, "A", 1);
    lab_set(&l, 0, "A", "x", NULL, 0);
    lab_purge(&l, 1, 1, tag, false, 0);
    store_enter(l.w[0]);
    assert_int_equal(store_tag_add(l.w[0], &k, tag[0]), STORE_NOT_FOUND);
    store_leave(l.w[0]);
    lab_set(&l, 0, "A", "x", NULL, 0);
    store_enter(l.w[0]);
    assert_int_equal(store_tag_add(l.w[0], &k, tag[0]), STORE_OK);
    store_leave(l.w[0]);
    assert_true(lab_get(&l, 0, "A", NULL));
    lab_purge(&l, 1, 1, tag, false, 0);
    assert_false(lab_get(&l, 0, "A", NULL));
    lab_close(&l);
}

/* ------------------------------------------------------------------ walks */

#define WALKED 400

struct walk {
    uint8_t seen[WALKED];
};

static bool note(void *arg, const struct store_item *it) {
    struct walk *w = arg;
    unsigned i;
    char key[32];
    memcpy(key, it->key, it->key_len);
    key[it->key_len] = 0;
    if (sscanf(key, "stays%u", &i) == 1) w->seen[i] = 1;
    return true;
}

/* Takes the index to so many groups, between two steps of a walk. */
static void resize(struct lab *l, uint64_t groups) {
    while (l->s->ix.groups < groups) assert_true(index_split(&l->s->ix));
    while (l->s->ix.groups > groups && index_merge(&l->s->ix)) {}
}

/* Walks in all kinds of resizing; true if something that was there all the time was not shown. */
static bool walk_misses(const char *mutation) {
    struct lab l;
    bool missed = false;
    lab_open(&l, 4 << 20, 0);
    lab_mutate(mutation);
    uint64_t least = l.s->ix.min_groups;
    for (unsigned i = 0; i < WALKED; i++) {
        char key[32];
        snprintf(key, sizeof key, "stays%u", i);
        lab_set(&l, 0, key, "x", NULL, 0);
    }
    for (unsigned variant = 0; variant < 6; variant++)
        for (uint64_t at = 0; at < 12 * least; at += least / 4) {
            struct walk w = {0};
            struct store_cursor c = {0};
            resize(&l, variant % 2 ? least * 9 : least);
            for (unsigned step = 0; !c.done; step++) {
                store_enter(l.w[0]);
                store_walk(l.w[0], &c, 2, note, &w);
                store_leave(l.w[0]);
                if (step * 2 < at && step * 2 + 2 >= at) resize(&l, variant % 2 ? least + variant : least * 7);
                if (variant > 3 && step * 2 == at + 20) resize(&l, variant % 2 ? least * 3 : least);
                assert_true(step < 100000);
            }
            for (unsigned i = 0; i < WALKED; i++) missed |= !w.seen[i];
        }
    lab_close(&l);
    return missed;
}

static void test_a_walk_survives_resizing(void **state) {
    (void)state;
    assert_false(walk_misses(NULL));
    assert_true(walk_misses("store.mutate.walk_once"));
}

/* A key remembers where it belonged: it is found, and stored under, just the same when the index has other groups by
 * then, more or fewer. */
static void test_a_key_survives_resizing(void **state) {
    (void)state;
    enum { KEPT = 500 };
    struct lab l;
    static char names[KEPT][16];
    static struct store_key keys[KEPT];
    lab_open(&l, 4 << 20, 0);
    const uint64_t least = l.s->ix.min_groups;
    for (unsigned round = 0; round < 4; round++) {
        resize(&l, round % 2 ? least * 9 : least);
        for (unsigned i = 0; i < KEPT; i++) {
            snprintf(names[i], sizeof names[i], "key%u", i);
            if (round == 0) lab_set(&l, 0, names[i], "x", NULL, 0);
            keys[i] = store_key(l.s, names[i], strlen(names[i]));
            if (i % 3 != 0) store_prefetch_item(l.w[0], &keys[i]);
        }
        resize(&l, round % 2 ? least : least * 9);
        store_enter(l.w[0]);
        for (unsigned i = 0; i < KEPT; i++) {
            struct store_item it;
            char value = (char)('a' + round);
            assert_true(store_get(l.w[0], &keys[i], &it));
            assert_int_equal(*it.value, round == 0 ? 'x' : 'a' + (int)round - 1);
            assert_int_equal(store_set(l.w[0], &keys[i], &value, 1, 0, 0, 0, NULL), STORE_OK);
            struct store_key fresh = store_key(l.s, names[i], strlen(names[i]));
            assert_true(store_get(l.w[0], &fresh, &it));
            assert_int_equal(*it.value, value);
        }
        store_leave(l.w[0]);
        struct store_gauges g;
        store_gauges(l.s, &g);
        assert_int_equal(g.items, KEPT);
    }
    lab_close(&l);
}

/* A set that goes by a version replaces a newer item, and does nothing else. */
static void test_a_set_of_what_is_newer(void **state) {
    struct lab l;
    struct store_item it;
    (void)state;
    lab_open(&l, 4 << 20, 0);
    const struct store_key key = store_key(l.s, "key", 3), other = store_key(l.s, "other", 5);
    store_enter(l.w[0]);
    assert_int_equal(store_set(l.w[0], &key, "a", 1, 0, 0, 0, NULL), STORE_OK);
    assert_true(store_get(l.w[0], &key, &it));
    const uint64_t version = it.version;
    assert_int_equal(store_set(l.w[0], &key, "b", 1, 0, 0, version, NULL), STORE_NOT_FOUND);
    assert_int_equal(store_set(l.w[0], &other, "b", 1, 0, 0, version - 1, NULL), STORE_NOT_FOUND);
    assert_false(store_get(l.w[0], &other, &it));
    assert_true(store_get(l.w[0], &key, &it));
    assert_true(*it.value == 'a' && it.version == version);
    assert_int_equal(store_set(l.w[0], &key, "c", 1, 0, 0, version - 1, NULL), STORE_OK);
    assert_true(store_get(l.w[0], &key, &it));
    assert_true(*it.value == 'c' && it.version > version);
    store_leave(l.w[0]);
    lab_close(&l);
}

/* ------------------------------------------------------------------ handles */

/* A thread that serves no requests does with its handle what workers do. Until it stores it has no segment. */
static void test_the_handle_behind_the_workers(void **state) {
    (void)state;
    struct lab l;
    struct store_gauges g;
    lab_open(&l, 2 << 20, 0);
    const unsigned last = LAB_HANDLES - 1;
    lab_set(&l, 0, "A", "of a worker", &(uint64_t){77}, 1);
    assert_true(lab_has(&l, last, "A", "of a worker"));
    assert_true(l.w[last]->open.segment == SEGMENT_NONE);
    store_gauges(l.s, &g);
    const uint64_t before = g.segments_free;
    assert_int_equal(lab_set(&l, last, "A", "of another thread", NULL, 0), STORE_OK);
    assert_int_equal(lab_set(&l, last, "B", "b", &(uint64_t){77}, 1), STORE_OK);
    store_gauges(l.s, &g);
    assert_int_equal(g.segments_free, before - 1);
    assert_true(lab_has(&l, 1, "A", "of another thread"));
    assert_int_equal(lab_delete(&l, 1, "A"), STORE_OK);
    lab_purge(&l, last, 1, &(uint64_t){77}, false, 0);
    assert_false(lab_get(&l, 2, "B", NULL));
    assert_int_equal(store_metric(l.s, STORE_METRIC_total_items), 3);
    assert_int_equal(store_metric(l.s, STORE_METRIC_purges), 1);
    lab_close(&l); /* all of it is accounted for */
}

static void test_there_are_no_fewer_handles_than_workers(void **state) {
    (void)state;
    struct clock_manual clock;
    struct store *s;
    clock_manual_init(&clock, 1000000000000ull, 1700000000);
    struct store_config cfg = {
        .memory_limit = 2 << 20, .item_size_max = 1 << 20, .workers = 4, .handles = 3, .clock = &clock.clock};
    assert_int_equal(store_new(&cfg, &s), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_survives_resizing),
        cmocka_unit_test(test_a_set_of_what_is_newer),
        cmocka_unit_test(test_the_handle_behind_the_workers),
        cmocka_unit_test(test_there_are_no_fewer_handles_than_workers),
        cmocka_unit_test(test_pins_do_not_stop_stores),
        cmocka_unit_test(test_a_higher_limit_is_told_as_room),
        cmocka_unit_test(test_nothing_outlives_a_soft_purge),
        cmocka_unit_test(test_clearing_what_was_softly_purged),
        cmocka_unit_test(test_an_added_tag_brings_its_purges),
        cmocka_unit_test(test_a_walk_survives_resizing),
        cmocka_unit_test(test_a_stale_store_does_not_outlive_a_soft_purge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
