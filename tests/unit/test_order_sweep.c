/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orders of steps: passes of the sweeper, and what is stored, moves, is touched or counted while one is under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "order.h"
#include "store/change.h"
#include "store/evict.h"
#include "store/purge.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/sweep.h"

/* ------------------------------------------------------------------ stores under way */

/* A store held between its number and its link (and before its record is there to walk over), while everything else
 * goes on. */
static bool sweep_waits(struct lab *l) {
    struct helper h = {.l = l, .key = "A", .value = "old", .tags = tag, .ntags = 1};
    struct lab_thread t;
    assert_true(lab_run(&t, "store.put.versioned", run_set, &h));
    lab_purge(l, 0, 1, tag, false, 0);
    assert_false(sweep_pass(l));
    lab_finish(&t);
    assert_true(sweep_pass(l));
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_sweep_waits_for_stores_under_way(void **state) {
    (void)state;
    guarded(sweep_waits, "sweep.mutate.no_wait");
}

/* A purge that comes while a pass is under way, and a store with an older number that is linked behind the pass. */
static bool swept_ahead(struct lab *l) {
    struct helper h = {.l = l, .key = "A", .value = "old", .tags = tag, .ntags = 1};
    struct lab_thread t;
    lab_set(l, 0, "X", "x", NULL, 0);
    lab_set(l, 1, "Y", "x", NULL, 0);
    lab_purge(l, 0, 1, &(uint64_t){77}, false, 0);
    drop_block(l, 1);
    sweep_step(l->s, true);
    assert_true(l->s->maintain.sweep.active && l->s->maintain.sweep.at <= l->w[1]->open.segment);
    assert_true(lab_run(&t, "store.put.versioned", run_set, &h));
    lab_purge(l, 0, 1, tag, false, 0);
    assert_false(sweep_pass(l)); /* all are met, but it does not end before sections of now have */
    lab_finish(&t);
    assert_true(sweep_pass(l));
    assert_true(sweep_pass(l));
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_pass_answers_only_for_purges_before_its_grace_period(void **state) {
    (void)state;
    guarded(swept_ahead, "sweep.mutate.swept_ahead");
}

/* A look-up that has found an item of a purged tag and not yet asked for it, while the sweeper takes the item out. */
static bool found_before(struct lab *l) {
    struct helper h = {.l = l, .key = "A"};
    struct lab_thread t;
    lab_set(l, 0, "X", "x", NULL, 0);
    lab_set(l, 1, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, false, 0);
    sweep_step(l->s, true);
    assert_true(l->s->maintain.sweep.active && l->s->maintain.sweep.at <= l->w[1]->open.segment);
    assert_true(lab_run(&t, "read.found", run_get, &h));
    sweep_pass(l);
    assert_int_equal(store_metric(l->s, STORE_METRIC_items_removed), 1);
    lab_finish(&t);
    return h.hit;
}

static void test_a_pass_ends_when_nobody_holds_what_it_took_out(void **state) {
    (void)state;
    guarded(found_before, "sweep.mutate.end_at_once");
}

/* Before a purge is answered readers are told to look for it. */
static bool unfiltered(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, false, 0);
    return lab_get(l, 0, "A", NULL);
}

/* The mark of a purge that comes while a pass is under way outlives that pass, for whose number it is too late. */
static void test_a_purge_is_marked_until_a_pass_of_its_own_has_ended(void **state) {
    (void)state;
    guarded(unfiltered, "purge.mutate.unfiltered");
    struct lab l;
    lab_open(&l, 2 << 20, 0);
    lab_set(&l, 0, "X", "x", NULL, 0);
    lab_purge(&l, 0, 1, &(uint64_t){77}, false, 0);
    sweep_step(l.s, true);
    assert_true(l.s->maintain.sweep.active);
    lab_purge(&l, 0, 1, tag, false, 0);
    assert_true(purge_filter_has(&l.s->purge, TAG));
    while (l.s->maintain.sweep.active) sweep_step(l.s, true);
    assert_true(purge_filter_has(&l.s->purge, TAG));
    assert_true(sweep_pass(&l));
    assert_false(purge_filter_has(&l.s->purge, TAG));
    lab_close(&l);
}

/* ------------------------------------------------------------------ items that move */

/* Leaves main's open segment at a low index and A, hit once, in a sealed segment further up. */
static void prepare_move(struct lab *l, const char *value, const uint64_t *tags, unsigned ntags) {
    lab_set(l, 0, "X", "x", NULL, 0);
    lab_get(l, 0, "X", NULL);
    lab_next_segment(l, 0);
    for (int i = 0; i < 4 && l->s->main_open.open.segment == SEGMENT_NONE; i++) evict_one(l->s);
    assert_true(l->s->main_open.open.segment != SEGMENT_NONE);
    do {
        lab_next_segment(l, 0);
    } while (l->w[0]->open.segment < l->s->main_open.open.segment + 1);
    lab_set(l, 0, "A", value, tags, ntags);
    lab_get(l, 0, "A", NULL);
    lab_next_segment(l, 0);
    assert_true(lab_segment(l, "A") > l->s->main_open.open.segment);
}

/* Evicts until A has moved or gone. */
static void move_it(struct lab *l) {
    struct store_key k = store_key(l->s, "A", 1);
    struct change c;
    uint64_t loc = 0;
    for (int i = 0; i < 50; i++) {
        change_begin(&c, l->w[2], &k); /* not in a section, so that a grace period may pass */
        uint64_t at = c.slot ? c.loc : 0;
        change_end(&c);
        if (i > 0 && at != loc) return;
        loc = at;
        evict_one(l->s);
    }
}

/* Whether the sweeper has passed main's open segment, but not A's. */
static void sweep_half(struct lab *l) {
    while (!l->s->maintain.sweep.active || l->s->maintain.sweep.at <= l->s->main_open.open.segment)
        assert_true(sweep_step(l->s, true));
}

static bool moved(struct lab *l, bool soft) {
    struct store_item it;
    prepare_move(l, "old", tag, 1);
    lab_purge(l, 1, 1, tag, soft, 1000);
    sweep_half(l);
    /* Nobody looks at it on the way, for that would take it out: only the move counts. */
    for (int i = 0; i < 50 && l->s->segs.queues[SEGMENT_SMALL].count; i++) evict_one(l->s);
    assert_true(sweep_pass(l));
    lab_shed(l, 1, TAG);
    return lab_get(l, 0, "A", &it) && !it.soft && !(it.bits & STORE_STALE);
}

static bool moved_hard(struct lab *l) {
    return moved(l, false);
}
static bool moved_soft(struct lab *l) {
    return moved(l, true);
}

static void test_items_that_move_during_a_pass_are_checked(void **state) {
    (void)state;
    guarded(moved_hard, "evict.mutate.copy_purged");
}

static void test_items_that_move_during_a_pass_take_a_soft_purge_along(void **state) {
    (void)state;
    guarded(moved_soft, "evict.mutate.copy_without_soft");
}

/* Untagged, with a tag from its key: a touch has to move it, to a segment that the pass has been to. */
static bool touched(struct lab *l) {
    uint64_t prefix = hash_tag("a:", 2);
    struct store_item it;
    lab_set(l, 2, "first", "x", NULL, 0);
    uint32_t low = l->w[2]->open.segment;
    lab_next_segment(l, 0);
    lab_set(l, 0, "a:b", "old", NULL, 0);
    assert_true(lab_segment(l, "a:b") > low);
    lab_purge(l, 1, 1, &prefix, true, 1000);
    while (!l->s->maintain.sweep.active || l->s->maintain.sweep.at <= low) assert_true(sweep_step(l->s, true));
    assert_true(l->s->maintain.sweep.at <= lab_segment(l, "a:b"));
    struct store_key k = store_key(l->s, "a:b", 3);
    store_enter(l->w[2]);
    assert_int_equal(store_touch(l->w[2], &k, 5000, NULL, NULL), STORE_OK);
    store_leave(l->w[2]);
    assert_int_equal(lab_segment(l, "a:b"), low);
    assert_true(sweep_pass(l));
    lab_shed(l, 1, prefix);
    return lab_get(l, 0, "a:b", &it) && !it.soft && !(it.bits & STORE_STALE);
}

static void test_a_touch_that_moves_takes_a_soft_purge_along(void **state) {
    (void)state;
    holds(touched, ':');
    breaks(touched, ':', "modify.mutate.touch_without_soft");
}

/* ------------------------------------------------------------------ wide conjunctions */

/* The table cannot file them: a sweep carries them out before the answer. */

#define WIDE (PURGE_RECORD_TAGS + 1)

static const uint64_t *wide_tags(void) {
    static uint64_t tags[WIDE];
    for (unsigned i = 0; i < WIDE; i++) tags[i] = TAG + i;
    return tags;
}

static void move_in_the_midst(void *arg) {
    struct lab *l = arg;
    if (l->s->maintain.sweep.at == l->s->main_open.open.segment + 1) {
        lab_at(NULL, NULL, NULL);
        move_it(l);
    }
}

static bool wide_moved(struct lab *l) {
    prepare_move(l, "old", wide_tags(), WIDE);
    lab_at("sweep.stepped", move_in_the_midst, l);
    lab_purge(l, 1, WIDE, wide_tags(), false, 0);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_conjunction_being_swept_finds_items_that_move(void **state) {
    (void)state;
    guarded(wide_moved, "sweep.mutate.moved_unseen");
}

static void count_in_the_midst(void *arg) {
    struct lab *l = arg;
    struct store_arith a = {.key = store_key(l->s, "A", 1), .delta = 1};
    uint64_t n;
    bool created;
    lab_at(NULL, NULL, NULL);
    store_enter(l->w[2]);
    store_arith(l->w[2], &a, &n, &created, NULL);
    store_leave(l->w[2]);
}

static bool wide_carried(struct lab *l) {
    prepare_move(l, "1", wide_tags(), WIDE);
    lab_at("sweep.stepped", count_in_the_midst, l);
    lab_purge(l, 1, WIDE, wide_tags(), false, 0);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_conjunction_being_swept_is_not_outrun_by_a_new_number(void **state) {
    (void)state;
    guarded(wide_carried, "change.mutate.no_fence");
}

static void test_after_the_sweep_items_live_on(void **state) {
    (void)state;
    struct lab l;
    struct store_arith a;
    uint64_t n;
    bool created;
    lab_open(&l, 2 << 20, 0);
    lab_set(&l, 0, "A", "1", wide_tags(), 5);
    lab_purge(&l, 1, WIDE, wide_tags(), false, 0);
    a = (struct store_arith){.key = store_key(l.s, "A", 1), .delta = 1};
    store_enter(l.w[0]);
    assert_int_equal(store_arith(l.w[0], &a, &n, &created, NULL), STORE_OK);
    store_leave(l.w[0]);
    assert_int_equal(n, 2);
    lab_close(&l);
}

/* ------------------------------------------------------------------ counted purges */

/* What a pass or an eviction under way takes out counts, from the moment that the purge can be seen. */

struct counted {
    struct lab *l;
    int64_t n;
};

static void run_counted(void *arg) {
    struct counted *c = arg;
    struct store_selector sel = {.ntags = 1, .tags = {TAG}};
    struct store_purge p = {.selectors = &sel, .nselectors = 1, .counted = true, .token = c};
    uint64_t number;
    assert_int_equal(store_purge(c->l->w[1], &p, &number), STORE_PENDING);
}

static void on_counted(void *arg, void *token, int64_t n, uint64_t bytes) {
    (void)arg;
    (void)bytes;
    ((struct counted *)token)->n = n;
}

static uint64_t purged(const struct lab *l) {
    return store_metric(l->s, STORE_METRIC_purged_items);
}

static void run_pass(void *arg) {
    struct helper *h = arg;
    uint64_t before = purged(h->l);
    while (purged(h->l) == before) sweep_step(h->l->s, true);
}
static void run_evictions(void *arg) {
    struct helper *h = arg;
    uint64_t before = purged(h->l);
    while (purged(h->l) == before) evict_one(h->l->s);
}

/* The purge has taken effect and is held before its answer; `taker`, whose pass is under way, meets the item. */
static bool miscounted(struct lab *l, void (*taker)(void *arg)) {
    struct counted counted = {.l = l, .n = -1};
    struct helper h = {.l = l};
    struct lab_thread purge;
    uint64_t other = TAG + 1;
    l->s->cfg.events.on_job = on_counted;
    lab_set(l, 0, "first", "x", NULL, 0);
    lab_next_segment(l, 0);
    lab_set(l, 0, "A", "old", tag, 1);
    lab_next_segment(l, 0);
    lab_purge(l, 1, 1, &other, false, 0); /* else a pass has nothing to look at */
    while (!l->s->maintain.sweep.active || l->s->maintain.sweep.at == 0) assert_true(sweep_step(l->s, true));
    assert_true(l->s->maintain.sweep.at <= lab_segment(l, "A"));
    assert_true(lab_run(&purge, "store.purge.applied", run_counted, &counted));
    taker(&h);
    lab_finish(&purge);
    assert_int_equal(counted.n, -1); /* not before a pass of its own */
    for (int i = 0; i < 3 && counted.n < 0; i++) assert_true(sweep_pass(l));
    assert_false(lab_get(l, 0, "A", NULL));
    return counted.n != 1;
}

static bool pass_miscounts(struct lab *l) {
    return miscounted(l, run_pass);
}
static bool eviction_miscounts(struct lab *l) {
    return miscounted(l, run_evictions);
}

static void test_a_counted_purge_counts_what_a_pass_has_met(void **state) {
    (void)state;
    guarded(pass_miscounts, "store.mutate.list_late");
}

static void test_a_counted_purge_counts_what_eviction_has_met(void **state) {
    (void)state;
    guarded(eviction_miscounts, "store.mutate.list_late");
}

/* ------------------------------------------------------------------ expiry */

static void touch_behind(void *arg) {
    struct lab *l = arg;
    struct store_key k = store_key(l->s, "Y", 1);
    lab_at(NULL, NULL, NULL);
    store_enter(l->w[1]);
    assert_int_equal(store_touch(l->w[1], &k, store_now(l->w[1]) + 20, NULL, NULL), STORE_OK);
    store_leave(l->w[1]);
}

static bool bound_kept(struct lab *l) {
    struct store_put p = {.key = store_key(l->s, "X", 1), .expiry = store_expiry(l->w[0], 10)};
    lab_put(l, 0, &p);
    lab_set(l, 0, "Y", "x", tag, 1);
    clock_manual_advance(&l->clock, 11 * SECOND);
    lab_at("sweep.walked", touch_behind, l);
    store_sweep_all(l->s); /* takes X out, and Y is touched behind its back */
    clock_manual_advance(&l->clock, 30 * SECOND);
    store_sweep_all(l->s);
    struct store_gauges g;
    store_gauges(l->s, &g);
    return g.items != 0;
}

static void test_a_touch_behind_the_sweeper_is_swept_in_time(void **state) {
    (void)state;
    guarded(bound_kept, "sweep.mutate.overwrite_bound");
}

static void store_briefly(void *arg) {
    struct lab *l = arg;
    struct store_put p = {.key = store_key(l->s, "A", 1), .value = "a", .size = 1};
    p.expiry = seconds_now(l->s) + 5;
    lab_at(NULL, NULL, NULL);
    assert_int_equal(lab_put(l, 0, &p), STORE_OK);
}

/* An item that is stored where the pass has been already is taken out in time by a later one. */
static bool expiry_forgotten(struct lab *l) {
    lab_at("sweep.passed", store_briefly, l);
    assert_true(sweep_pass(l));
    clock_manual_advance(&l->clock, 10 * SECOND);
    for (unsigned i = 0; i < 100; i++) (void)store_maintain(l->s);
    struct store_gauges g;
    store_gauges(l->s, &g);
    return g.items != 0;
}

static void test_an_expiry_behind_the_sweeper_is_not_forgotten(void **state) {
    (void)state;
    guarded(expiry_forgotten, "sweep.mutate.forget_late");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sweep_waits_for_stores_under_way),
        cmocka_unit_test(test_a_pass_answers_only_for_purges_before_its_grace_period),
        cmocka_unit_test(test_a_pass_ends_when_nobody_holds_what_it_took_out),
        cmocka_unit_test(test_a_purge_is_marked_until_a_pass_of_its_own_has_ended),
        cmocka_unit_test(test_items_that_move_during_a_pass_are_checked),
        cmocka_unit_test(test_items_that_move_during_a_pass_take_a_soft_purge_along),
        cmocka_unit_test(test_a_touch_that_moves_takes_a_soft_purge_along),
        cmocka_unit_test(test_a_conjunction_being_swept_finds_items_that_move),
        cmocka_unit_test(test_a_conjunction_being_swept_is_not_outrun_by_a_new_number),
        cmocka_unit_test(test_after_the_sweep_items_live_on),
        cmocka_unit_test(test_a_counted_purge_counts_what_a_pass_has_met),
        cmocka_unit_test(test_a_counted_purge_counts_what_eviction_has_met),
        cmocka_unit_test(test_a_touch_behind_the_sweeper_is_swept_in_time),
        cmocka_unit_test(test_an_expiry_behind_the_sweeper_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
