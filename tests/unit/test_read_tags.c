/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Readers who name tags that an item does not carry: what the purge table must know for them when sweeps are long over,
 * and what winning must not step over. And items that carry as many tags as may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "order.h"
#include "store/purge.h"
#include "store/segment.h"

static const uint64_t named[1] = {TAG + 5};

/* A meta get that names tags. */
static enum store_status ask(struct lab *l, const uint64_t *read, unsigned nread, struct store_item *it,
                             enum store_win *win) {
    struct store_meta_get g = {.key = store_key(l->s, "A", 1), .read = read, .nread = nread};
    bool created;
    store_enter(l->w[0]);
    enum store_status st = store_meta_get(l->w[0], &g, it, win, &created, NULL);
    store_leave(l->w[0]);
    return st;
}

/* The look-up without a lock; it must agree with the one that may change the item whenever there is nothing to win. */
static bool hits(struct lab *l, const uint64_t *read, unsigned nread) {
    const struct store_key k = store_key(l->s, "A", 1);
    struct store_item it;
    enum store_win win;
    store_enter(l->w[0]);
    bool hit = store_get_read(l->w[0], &k, read, nread, true, &it);
    store_leave(l->w[0]);
    if (!hit || !it.soft) assert_int_equal(ask(l, read, nread, &it, &win) == STORE_OK, hit);
    return hit;
}

static void sweep_twice(struct lab *l) {
    assert_true(sweep_pass(l));
    assert_true(sweep_pass(l));
}

/* Sweeps have met every item, and the filter of fresh purges has forgotten it: but the item was never theirs to take.
 */
static void test_a_sweep_settles_nothing(void **state) {
    (void)state;
    for (int soft = 0; soft < 2; soft++) {
        struct lab l;
        struct store_item it;
        enum store_win win;
        lab_open(&l, 2 << 20, 0);
        lab_set(&l, 0, "A", "old", tag, 1);
        assert_true(hits(&l, named, 1));
        lab_purge(&l, 1, 1, named, soft, 60);
        sweep_twice(&l);
        assert_true(lab_has(&l, 0, "A", "old"));
        if (soft) {
            assert_int_equal(ask(&l, named, 1, &it, &win), STORE_OK);
            assert_true(win == STORE_WIN_WON && (it.bits & STORE_STALE));
        } else {
            assert_false(hits(&l, named, 1));
        }
        lab_set(&l, 0, "A", "new", tag, 1);
        assert_true(hits(&l, named, 1));
        lab_close(&l);
    }
}

/* The table has let go of the purge after a sweep: then it must be taken to have been. */
static bool forgotten(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, named, false, 0);
    sweep_twice(l);
    lab_shed(l, 1, named[0]);
    assert_true(lab_has(l, 0, "A", "old")); /* the others are not hurt */
    return hits(l, named, 1);
}

static void test_what_is_forgotten_counts_as_purged(void **state) {
    (void)state;
    guarded(forgotten, "purge.mutate.read_swept");
    struct lab l;
    lab_open(&l, 2 << 20, 0);
    assert_false(forgotten(&l));
    lab_set(&l, 0, "A", "new", tag, 1); /* above the floor */
    assert_true(hits(&l, named, 1));
    lab_close(&l);
}

/* Together with the item's own tags, also when the table has let go of it or could never file it. */
static bool together(struct lab *l) {
    const uint64_t both[2] = {tag[0], named[0]};
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 2, both, false, 0);
    assert_true(lab_has(l, 0, "A", "old"));
    assert_false(hits(l, named, 1));
    sweep_twice(l);
    assert_false(hits(l, named, 1));
    /* Until the table has let go of it; never of what no sweep has carried out, or all older items would go. */
    for (uint64_t i = 1; i < 40000; i++) {
        lab_purge(l, 1, 1, &(uint64_t){i * 0x9e3779b97f4a7c15ull}, false, 0);
        if (i % 500 == 0) assert_true(sweep_pass(l));
    }
    assert_true(lab_has(l, 0, "A", "old"));
    return hits(l, named, 1);
}

static void test_conjunctions_with_named_tags(void **state) {
    (void)state;
    guarded(together, "purge.mutate.read_swept");
    struct lab l;
    uint64_t wide[17];
    lab_open(&l, 2 << 20, 0);
    for (unsigned i = 0; i < 17; i++) wide[i] = TAG + i;
    lab_set(&l, 0, "A", "old", wide, 16);
    lab_purge(&l, 1, 17, wide, false, 0); /* no room in the table: a sweep carries it out on what carries them all */
    assert_true(lab_has(&l, 0, "A", "old"));
    assert_false(hits(&l, wide + 16, 1));
    lab_set(&l, 0, "A", "new", wide, 16);
    assert_true(hits(&l, wide + 16, 1));
    lab_close(&l);
}

/* A purge that is only announced has not happened yet, for a reader. */
static void test_an_announced_purge_does_not_count(void **state) {
    (void)state;
    struct lab l;
    struct lab_thread t;
    lab_open(&l, 2 << 20, 0);
    struct helper h = {.l = &l, .tags = named, .ntags = 1};
    lab_set(&l, 0, "A", "old", tag, 1);
    lab_purge(&l, 1, 1, (uint64_t[]){TAG + 77}, false, 0);
    assert_true(lab_run(&t, "purge.versioned", run_purge, &h));
    assert_true(hits(&l, named, 1));
    lab_finish(&t);
    assert_false(hits(&l, named, 1));
    lab_close(&l);
}

static struct lab *purging;
static void purge_hard(void *arg) {
    (void)arg;
    lab_at(NULL, NULL, NULL);
    lab_purge(purging, 1, 1, named, false, 0);
}

/* The winner's new version is above a hard purge that came while he was winning. */
static bool stepped_over(struct lab *l) {
    struct store_item it;
    enum store_win win;
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, named, true, 60);
    purging = l;
    lab_at("modify.winning", purge_hard, NULL);
    drop_block(l, 0);
    return ask(l, named, 1, &it, &win) == STORE_OK || hits(l, named, 1);
}

static void test_winning_does_not_step_over_a_purge(void **state) {
    (void)state;
    guarded(stepped_over, "change.mutate.read_unasked");
}

/* Likewise one of named tags, alone or together with the item's own, that has its number but is not written, or is
 * written but not in the table's sequence: an item that is to be won for another reason. */
static const char *held_at;
static unsigned held_ntags;

static bool stepped_over_one_under_way(struct lab *l) {
    const uint64_t both[2] = {named[0], tag[0]};
    struct helper h = {.l = l, .tags = both, .ntags = held_ntags};
    struct lab_thread t;
    struct store_item it;
    enum store_win win;
    struct store_put more = {.key = store_key(l->s, "A", 1), .mode = STORE_APPEND, .value = "er", .size = 2};
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, tag, true, 60);
    assert_int_equal(lab_put(l, 0, &more), STORE_OK); /* its version is above all purges so far */
    assert_true(lab_run(&t, held_at, run_purge, &h));
    drop_block(l, 0);
    (void)ask(l, named, 1, &it, &win);
    lab_finish(&t);
    return hits(l, named, 1);
}

static void test_winning_does_not_step_over_a_purge_under_way(void **state) {
    (void)state;
    static const char *const points[] = {"purge.versioned", "purge.written"};
    for (unsigned p = 0; p < 2; p++)
        for (unsigned n = 1; n <= 2; n++) {
            held_at = points[p];
            held_ntags = n;
            guarded(stepped_over_one_under_way, "change.mutate.read_unasked");
        }
}

/* A soft purge of a named tag that an item without room for an expiry learns of by a touch: the deadline holds. */
static void test_a_touch_is_bounded(void **state) {
    (void)state;
    struct lab l;
    struct store_item it;
    enum store_win win;
    bool created;
    lab_open(&l, 2 << 20, 0);
    lab_set(&l, 0, "A", "old", NULL, 0);
    lab_purge(&l, 1, 1, named, true, 20);
    store_enter(l.w[0]);
    struct store_meta_get g = {.key = store_key(l.s, "A", 1), .read = named, .nread = 1, .touch = true};
    g.expiry = store_expiry(l.w[0], 500);
    assert_int_equal(store_meta_get(l.w[0], &g, &it, &win, &created, NULL), STORE_OK);
    assert_int_equal(it.expiry, store_now(l.w[0]) + 20);
    store_leave(l.w[0]);
    assert_true(win == STORE_WIN_WON && (it.bits & STORE_STALE));
    clock_manual_advance(&l.clock, 20 * SECOND);
    assert_false(lab_get(&l, 0, "A", NULL));
    lab_close(&l);
}

/* Items with 128 tags and keys of 250 bytes, in the smallest segments there are: stored, moved, evicted, purged by any.
 */
static void test_as_many_tags_as_may_be(void **state) {
    (void)state;
    struct lab l;
    uint64_t tags[STORE_TAGS_MAX];
    static char key[STORE_KEY_MAX + 1], value[8000];
    lab_open(&l, 1 << 20, ':');
    assert_int_equal(l.s->segs.bytes, SEGMENT_MIN);
    memset(value, 'v', sizeof value - 1);
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < STORE_TAGS_MAX; i++) tags[i] = TAG + 1000 * round + i;
        snprintf(key, sizeof key, "%0250u", round);
        memcpy(key, "a:a:a:a:a:a:a:a:a:a:a:a:a:a:a:a:", 32);
        value[sizeof value - 1 - round % 7000] = 0;
        assert_int_equal(lab_set(&l, 0, key, value, tags, STORE_TAGS_MAX), STORE_OK);
        value[sizeof value - 1 - round % 7000] = 'v';
        if (round % 10 == 0) lab_purge(&l, 1, 1, &tags[round / 10 % STORE_TAGS_MAX], false, 0);
        if (round % 10 == 0) assert_false(lab_get(&l, 0, key, NULL));
        store_maintain(l.s);
    }
    struct store_item it;
    assert_true(lab_get(&l, 0, key, &it));
    assert_int_equal(it.ntags, STORE_TAGS_MAX);
    assert_true(store_metric(l.s, STORE_METRIC_segments_evicted) > 10);
    struct store_key k = store_key(l.s, key, strlen(key));
    store_enter(l.w[0]);
    assert_int_equal(store_tag_add(l.w[0], &k, 1), STORE_TOO_MANY);
    assert_int_equal(store_tag_add(l.w[0], &k, tags[5]), STORE_OK);
    store_leave(l.w[0]);
    lab_purge(&l, 1, 64, tags + 64, false, 0); /* not to be filed: a sweep */
    assert_false(lab_get(&l, 0, key, NULL));
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sweep_settles_nothing),
        cmocka_unit_test(test_what_is_forgotten_counts_as_purged),
        cmocka_unit_test(test_conjunctions_with_named_tags),
        cmocka_unit_test(test_an_announced_purge_does_not_count),
        cmocka_unit_test(test_winning_does_not_step_over_a_purge),
        cmocka_unit_test(test_winning_does_not_step_over_a_purge_under_way),
        cmocka_unit_test(test_a_touch_is_bounded),
        cmocka_unit_test(test_as_many_tags_as_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
