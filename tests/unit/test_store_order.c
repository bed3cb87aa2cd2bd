/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every order of steps that the store's promises rest on, shown by holding a thread at the very place where it hurts.
 * Each scenario runs twice: with the store as it is, where the promise must hold, and with one rule broken on purpose,
 * where the same scenario must see it broken: so the scenario is known to test that rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_lab.h"

#define TAG 0x1234567800000001ull
#define SECOND 1000000000ull

static const uint64_t tag[1] = {TAG};

/* Returns true if it saw the promise broken. */
typedef bool scenario(struct lab *l);

static void holds(scenario *f, char prefix) {
    struct lab l;
    lab_open(&l, 2 << 20, prefix);
    lab_mutate(NULL);
    assert_false(f(&l));
    lab_close(&l);
}

static void breaks(scenario *f, char prefix, const char *mutation) {
    struct lab l;
    lab_open(&l, 2 << 20, prefix);
    lab_mutate(mutation);
    if (!f(&l)) fail_msg("%s goes unnoticed", mutation);
    lab_mutate(NULL);
    lab_at(NULL, NULL, NULL);
    store_free(l.s);
}

static void guarded(scenario *f, const char *mutation) {
    holds(f, 0);
    breaks(f, 0, mutation);
}

/* What a helper thread does, as worker 1. */
struct helper {
    struct lab *l;
    const char *key, *value;
    const uint64_t *tags;
    unsigned ntags;
    uint64_t guard;
    uint32_t ttl;
    bool soft, hit;
    enum store_status st;
};

static void run_purge(void *arg) {
    struct helper *h = arg;
    lab_purge(h->l, 1, h->ntags, h->tags, h->soft, h->ttl);
}
static void run_set(void *arg) {
    struct helper *h = arg;
    h->st = lab_set(h->l, 1, h->key, h->value, h->tags, h->ntags);
}
static void run_fill(void *arg) {
    struct helper *h = arg;
    h->st = lab_fill(h->l, 1, h->key, h->value, h->guard, h->tags, h->ntags);
}
static void run_get(void *arg) {
    struct helper *h = arg;
    h->hit = lab_get(h->l, 1, h->key, NULL);
}
static void run_sweep(void *arg) {
    struct helper *h = arg;
    store_sweep_all(h->l->s);
}

/* The worker's next number will be a new one. */
static void drop_block(struct lab *l, unsigned worker) {
    l->w[worker]->number_next = l->w[worker]->number_end;
}

static uint64_t passes(struct lab *l) {
    return store_metric(l->s, STORE_METRIC_sweep_passes);
}

/* Steps the sweeper until a pass ends; false if it does not. */
static bool sweep_pass(struct lab *l) {
    uint64_t before = passes(l);
    for (int i = 0; i < 1000 && passes(l) == before; i++) sweep_step(l->s, true);
    return passes(l) != before;
}

/* ------------------------------------------------------------------ purges and numbers */

/* A fill that takes its number after a purge took its own, and looks before the purge is written. */
static const uint64_t *announced_tags;
static unsigned announced_ntags;
static bool announced_soft;

static bool announced(struct lab *l) {
    struct helper h = {.l = l, .tags = announced_tags, .ntags = announced_ntags, .soft = announced_soft};
    struct lab_thread t;
    struct store_item it;
    uint64_t token = lab_token(l, 0, "A"), one = TAG;
    assert_true(lab_run(&t, "purge.numbered", run_purge, &h));
    drop_block(l, 0);
    lab_fill(l, 0, "A", "late", token, announced_ntags ? announced_tags : &one, announced_ntags ? announced_ntags : 1);
    lab_finish(&t);
    return lab_get(l, 0, "A", &it) && it.size == 4 && !it.soft && !(it.bits & STORE_STALE);
}

static void test_a_purge_is_announced_before_it_takes_its_number(void **state) {
    (void)state;
    static uint64_t tags[17];
    for (unsigned i = 0; i < 17; i++) tags[i] = TAG + i;
    announced_tags = tags;
    for (int soft = 0; soft < 2; soft++) {
        announced_soft = soft;
        static const unsigned counts[] = {0, 1, 2, 3, 17}; /* everything, a tag, a pair, a record, not filed */
        for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
            announced_ntags = counts[i];
            holds(announced, 0);
            if (counts[i] <= 1) breaks(announced, 0, "purge.mutate.no_announcement");
        }
    }
}

/* A purge's answer comes after its number is known to readers. */
static bool sequence_raised(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, false, 0);
    return lab_get(l, 1, "A", NULL);
}

static void test_a_purge_is_visible_before_it_is_answered(void **state) {
    (void)state;
    guarded(sequence_raised, "purge.mutate.no_seq");
}

/* A pass that runs while a purge has its number but is not written covers nothing of it. */
static bool pass_during_purge(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread purger, sweeper;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_run(&purger, "purge.numbered", run_purge, &h));
    assert_true(lab_run(&sweeper, "sweep.passed", run_sweep, &h));
    lab_finish(&purger);
    lab_finish(&sweeper);
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_pass_covers_only_purges_that_are_written(void **state) {
    (void)state;
    guarded(pass_during_purge, "sweep.mutate.any_number");
}

/* The same, with the sequence raised before the purge is written. */
static bool pass_between(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread purger, sweeper;
    lab_set(l, 0, "A", "old", tag, 1);
    if (!lab_run(&purger, "purge.mutated", run_purge, &h)) {
        lab_finish(&purger);
        return pass_during_purge(l);
    }
    assert_true(lab_run(&sweeper, "sweep.passed", run_sweep, &h));
    lab_finish(&purger);
    lab_finish(&sweeper);
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_purge_is_written_before_the_sequence_is_raised(void **state) {
    (void)state;
    guarded(pass_between, "purge.mutate.seq_first");
}

/* A store that begins after a purge's answer is not hurt by it, whichever thread's numbers are older. */
static bool blocks_dropped(struct lab *l) {
    lab_set(l, 0, "other", "x", NULL, 0);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_set(l, 0, "A", "new", tag, 1);
    return !lab_get(l, 0, "A", NULL);
}

static void test_number_blocks_are_dropped_after_a_purge(void **state) {
    (void)state;
    guarded(blocks_dropped, "number.mutate.keep_block");
}

/* An id handed out twice lets a client win `cas` against a value it never read. */
static bool number_invented(struct lab *l) {
    struct store_item mine;
    lab_set(l, 1, "other", "x", NULL, 0); /* worker 1's block is the older one */
    lab_set(l, 0, "A", "first", NULL, 0);
    lab_set(l, 1, "A", "second", NULL, 0);
    assert_true(lab_get(l, 1, "A", &mine));
    lab_delete(l, 0, "A");
    lab_set(l, 0, "A", "third", NULL, 0);
    return lab_fill(l, 1, "A", "fourth", mine.cas, NULL, 0) == STORE_OK;
}

static void test_a_number_is_never_invented(void **state) {
    (void)state;
    guarded(number_invented, "number.mutate.invent");
}

/* ------------------------------------------------------------------ fills */

/* A refused fill gives the present version a new number: not one above a purge of its own tags. */
static bool refusal(struct lab *l, bool soft) {
    struct store_item it;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_get(l, 0, "A", &it));
    struct helper h = {.l = l, .key = "A", .value = "late", .tags = tag, .ntags = 1, .guard = it.cas};
    struct lab_thread t;
    assert_true(lab_run(&t, "store.put.written", run_fill, &h));
    lab_purge(l, 0, 1, tag, soft, 0);
    lab_finish(&t);
    assert_int_not_equal(h.st, STORE_OK);
    return lab_get(l, 0, "A", &it) && !it.soft && !(it.bits & STORE_STALE);
}

static bool refusal_hard(struct lab *l) {
    return refusal(l, false);
}
static bool refusal_soft(struct lab *l) {
    return refusal(l, true);
}
static bool refusal_pending(struct lab *l) {
    struct store_item it;
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread t;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_get(l, 0, "A", &it));
    assert_true(lab_run(&t, "purge.numbered", run_purge, &h));
    drop_block(l, 0);
    assert_int_not_equal(lab_fill(l, 0, "A", "late", it.cas, tag, 1), STORE_OK);
    lab_finish(&t);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_refusal_does_not_carry_the_old_value_over_a_purge(void **state) {
    (void)state;
    guarded(refusal_hard, "store.mutate.refuse_blindly");
    guarded(refusal_soft, "store.mutate.refuse_blindly");
    guarded(refusal_pending, "store.mutate.refuse_blindly");
}

static bool guard_asked(struct lab *l) {
    uint64_t token = lab_token(l, 0, "A");
    lab_purge(l, 1, 1, tag, false, 0);
    lab_fill(l, 0, "A", "late", token, tag, 1);
    return lab_has(l, 0, "A", "late");
}

static void test_a_fill_asks_for_purges_since_its_token(void **state) {
    (void)state;
    guarded(guard_asked, "store.mutate.no_guard");
}

static bool fill_floor(struct lab *l) {
    uint64_t token = lab_token(l, 0, "A"), other = TAG ^ 9 << 16, third = TAG ^ 10 << 16;
    struct store_item it;
    lab_set(l, 0, "B", "x", &other, 1);
    assert_true(lab_get(l, 0, "B", &it));
    lab_purge(l, 1, 1, tag, false, 0);
    store_sweep_all(l->s);
    lab_shed(l, 1, TAG);
    lab_fill(l, 0, "A", "late", token, tag, 1);
    /* A live item has proved its own tags; the others are refused. */
    assert_true(lab_get(l, 0, "B", NULL));
    assert_int_equal(lab_fill(l, 0, "B", "y", it.cas, &other, 1), STORE_OK);
    assert_true(lab_get(l, 0, "B", &it));
    if (it.birth < l->s->purge.seq) fail();
    uint64_t both[2] = {other, third};
    assert_int_equal(lab_fill(l, 0, "B", "z", it.cas, both, 2), STORE_OK); /* it has a new number by now */
    return lab_has(l, 0, "A", "late");
}

static void test_what_the_table_lets_go_of_refuses_older_fills(void **state) {
    (void)state;
    guarded(fill_floor, "purge.mutate.no_fill_floor");
}

static bool fill_floor_foreign(struct lab *l) {
    uint64_t other = TAG ^ 9 << 16, both[2] = {other, TAG};
    struct store_item it;
    lab_set(l, 0, "B", "x", &other, 1);
    assert_true(lab_get(l, 0, "B", &it));
    lab_purge(l, 1, 1, tag, false, 0);
    store_sweep_all(l->s);
    lab_shed(l, 1, TAG);
    bool stored = lab_fill(l, 0, "B", "late", it.cas, both, 2) == STORE_OK;
    if (!stored) {
        /* Reading again and retrying succeeds. */
        assert_true(lab_get(l, 0, "B", &it));
        assert_int_equal(lab_fill(l, 0, "B", "good", it.cas, both, 2), STORE_OK);
    }
    return stored;
}

static void test_a_fill_with_a_tag_its_item_had_not_is_refused(void **state) {
    (void)state;
    guarded(fill_floor_foreign, "purge.mutate.no_fill_floor");
}

static bool item_floor(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_shed(l, 1, TAG);
    bool broken = lab_get(l, 0, "A", NULL);
    lab_set(l, 0, "A", "new", tag, 1);
    assert_true(lab_get(l, 0, "A", NULL));
    return broken;
}

static void test_what_is_let_go_of_unswept_kills_older_items(void **state) {
    (void)state;
    guarded(item_floor, "purge.mutate.no_item_floor");
}

/* A body that was being received when its tags were purged. */
static bool upload_purged(struct lab *l) {
    static char body[20000];
    struct store_put p = {.key = store_key(l->s, "A", 1), .size = sizeof body, .tags = tag, .ntags = 1};
    assert_true(sizeof body > store_inline_max(l->s));
    assert_int_equal(store_upload_begin(l->w[0], sizeof body, &p.upload), STORE_OK);
    for (bool purged = false; store_upload_left(p.upload); purged = true) {
        assert_int_equal(lab_upload_some(l->w[0], p.upload, body, sizeof body, sizeof body), STORE_OK);
        if (!purged) lab_purge(l, 1, 1, tag, false, 0);
    }
    struct store_item it;
    memset(&it, 0xff, sizeof it);
    store_enter(l->w[0]);
    assert_int_equal(store_put(l->w[0], &p, &it), STORE_OK);
    store_leave(l->w[0]);
    assert_int_equal(it.size, sizeof body); /* the answer may show it, stored and purged at once */
    assert_true(it.cas == it.birth && it.birth < l->s->number);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_body_whose_tags_are_purged_while_it_comes_in_is_not_kept(void **state) {
    (void)state;
    guarded(upload_purged, "store.mutate.upload_blindly");
}

/* Everything that carries a value on under a new number, while a purge has its number but is not written. */
enum carrier { INCR, APPEND, INVALIDATE, CLEAR, ADD_TAG, WIN, META_WIN, CARRIERS };
static enum carrier carrier;

static void carry_on(struct lab *l) {
    struct store_worker *w = l->w[0];
    struct store_key k = store_key(l->s, "A", 1);
    struct store_item it;
    uint64_t n;
    bool created;
    enum store_win win;
    store_enter(w);
    switch (carrier) {
    case INCR: store_arith(w, &(struct store_arith){.key = k, .delta = 1}, &n, &created, NULL); break;
    case APPEND:
        store_put(w, &(struct store_put){.key = k, .mode = STORE_APPEND, .value = "5", .size = 1}, NULL);
        break;
    case INVALIDATE: store_delete(w, &(struct store_delete){.key = k, .invalidate = true}, NULL); break;
    case CLEAR: store_delete(w, &(struct store_delete){.key = k, .clear = true}, NULL); break;
    case ADD_TAG: store_tag_add(w, &k, 4711); break;
    case WIN: store_win(w, &k, &it); break;
    case META_WIN: store_meta_get(w, &(struct store_meta_get){.key = k}, &it, &win, &created, NULL); break;
    case CARRIERS: break;
    }
    store_leave(w);
}

static bool carried(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread t;
    lab_set(l, 0, "A", "1", tag, 1);
    if (carrier >= WIN) lab_purge(l, 2, 1, tag, true, 100); /* there has to be something to win */
    assert_true(lab_run(&t, "purge.numbered", run_purge, &h));
    drop_block(l, 0);
    carry_on(l);
    lab_finish(&t);
    return lab_get(l, 0, "A", NULL);
}

static void test_nothing_carries_a_value_over_a_purge_under_way(void **state) {
    (void)state;
    for (carrier = INCR; carrier < CARRIERS; carrier++) guarded(carried, "change.mutate.carry_blindly");
}

/* ------------------------------------------------------------------ soft and hard */

static bool hard_then_soft(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_set(l, 0, "B", "x", tag, 1);
    lab_purge(l, 1, 1, tag, true, 0);
    struct store_item it;
    assert_true(lab_get(l, 0, "B", &it) && it.soft);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_soft_purge_does_not_bring_back_what_a_hard_one_killed(void **state) {
    (void)state;
    guarded(hard_then_soft, "purge.mutate.one_number");
}

static void test_a_hard_purge_kills_what_a_soft_one_made_stale(void **state) {
    (void)state;
    for (int swept = 0; swept < 2; swept++) {
        struct lab l;
        struct store_item it;
        lab_open(&l, 2 << 20, 0);
        lab_set(&l, 0, "A", "old", tag, 1);
        lab_purge(&l, 1, 1, tag, true, 0);
        if (swept) store_sweep_all(l.s);
        assert_true(lab_get(&l, 0, "A", &it) && it.soft);
        lab_purge(&l, 1, 1, tag, false, 0);
        assert_false(lab_get(&l, 0, "A", NULL));
        lab_set(&l, 0, "A", "new", tag, 1);
        assert_true(lab_get(&l, 0, "A", &it) && !it.soft);
        lab_close(&l);
    }
}

/* A second soft purge after the first one's deadline: a reader must not meet the old number with the new deadline. */
static bool deadline_renewed(struct lab *l) {
    struct helper h = {.l = l, .key = "A"};
    struct lab_thread t;
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, true, 5);
    clock_manual_advance(&l->clock, 6 * SECOND);
    assert_true(lab_run(&t, "purge.look.soft", run_get, &h));
    lab_purge(l, 0, 1, tag, true, 60);
    lab_finish(&t);
    return h.hit;
}

static void test_a_deadline_that_has_passed_stays_passed(void **state) {
    (void)state;
    guarded(deadline_renewed, "purge.mutate.torn");
}

/* ------------------------------------------------------------------ sweeping */

/* A store held between its number and its link (and before its record is there to walk over), while everything else
 * goes on. */
static bool sweep_waits(struct lab *l) {
    struct helper h = {.l = l, .key = "A", .value = "old", .tags = tag, .ntags = 1};
    struct lab_thread t;
    assert_true(lab_run(&t, "store.put.numbered", run_set, &h));
    lab_purge(l, 0, 1, tag, false, 0);
    sweep_pass(l);
    sweep_pass(l);
    lab_shed(l, 0, TAG);
    lab_finish(&t);
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
    assert_true(l->s->sweep.running && l->s->sweep.at <= l->w[1]->open.segment);
    assert_true(lab_run(&t, "store.put.numbered", run_set, &h));
    lab_purge(l, 0, 1, tag, false, 0);
    assert_true(sweep_pass(l));
    lab_finish(&t);
    assert_true(sweep_pass(l));
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_pass_answers_only_for_purges_before_its_grace_period(void **state) {
    (void)state;
    guarded(swept_ahead, "sweep.mutate.swept_ahead");
}

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
    while (!l->s->sweep.running || l->s->sweep.at <= l->s->main_open.open.segment) assert_true(sweep_step(l->s, true));
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
    guarded(moved_soft, "evict.mutate.copy_unfolded");
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
    while (!l->s->sweep.running || l->s->sweep.at <= low) assert_true(sweep_step(l->s, true));
    assert_true(l->s->sweep.at <= lab_segment(l, "a:b"));
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
    breaks(touched, ':', "modify.mutate.touch_unfolded");
}

/* ---- conjunctions that the table cannot file: a sweep carries them out before the answer */

#define WIDE (PURGE_RECORD_TAGS + 1)

static const uint64_t *wide_tags(void) {
    static uint64_t tags[WIDE];
    for (unsigned i = 0; i < WIDE; i++) tags[i] = TAG + i;
    return tags;
}

static void move_in_the_midst(void *arg) {
    struct lab *l = arg;
    if (l->s->sweep.at == l->s->main_open.open.segment + 1) {
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

/* ---- a counted purge: what a pass or an eviction under way takes out counts, also before the job is listed */

static void run_counted(void *arg) {
    struct helper *h = arg;
    struct store_selector sel = {.ntags = 1, .tags = {TAG}};
    struct store_purge p = {.selectors = &sel, .nselectors = 1};
    store_purge_counted(h->l->w[1], &p, h);
}

static int64_t counted_items;
static void on_counted(void *arg, void *token, int64_t n) {
    (void)arg;
    (void)token;
    counted_items = n;
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

/* The purge has taken effect, and is held before its job is listed; `taker`, whose pass is under way, meets the item.
 */
static bool miscounted(struct lab *l, void (*taker)(void *arg)) {
    struct helper h = {.l = l};
    struct lab_thread purge, take;
    uint64_t other = TAG + 1;
    l->s->cfg.events.on_job = on_counted;
    counted_items = -1;
    lab_set(l, 0, "first", "x", NULL, 0);
    lab_next_segment(l, 0);
    lab_set(l, 0, "A", "old", tag, 1);
    lab_next_segment(l, 0);
    lab_purge(l, 1, 1, &other, false, 0); /* else a pass has nothing to look at */
    while (!l->s->sweep.running || l->s->sweep.at == 0) assert_true(sweep_step(l->s, true));
    assert_true(l->s->sweep.at <= lab_segment(l, "A"));
    assert_true(lab_run(&purge, "store.purge.applied", run_counted, &h));
    bool waits = lab_run(&take, "sweep.waits", taker, &h);
    lab_finish(&purge);
    lab_finish(&take);
    for (int i = 0; i < 3 && counted_items < 0; i++) assert_true(sweep_pass(l));
    assert_false(lab_get(l, 0, "A", NULL));
    return !waits || counted_items != 1;
}

static bool pass_miscounts(struct lab *l) {
    return miscounted(l, run_pass);
}
static bool eviction_miscounts(struct lab *l) {
    return miscounted(l, run_evictions);
}

static void test_a_counted_purge_counts_what_a_pass_has_met(void **state) {
    (void)state;
    guarded(pass_miscounts, "sweep.mutate.count_at_once");
}

static void test_a_counted_purge_counts_what_eviction_has_met(void **state) {
    (void)state;
    guarded(eviction_miscounts, "sweep.mutate.count_at_once");
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

/* ---- pieces that serve two versions */

static void free_what_looks_dead(void *arg) {
    struct lab *l = arg;
    lab_at(NULL, NULL, NULL);
    for (unsigned i = 0; i < 10; i++) (void)free_dead(l->s);
}

/* A large value whose record is written anew, since it gets an expiry, while segments are looked through for dead ones:
 * its pieces stay where they are. */
static bool pieces_given_away(struct lab *l) {
    static char body[100000];
    struct store_put p = {.key = store_key(l->s, "A", 1), .size = sizeof body};
    struct store_item it;
    p.upload = lab_upload(l, 0, body, sizeof body);
    store_enter(l->w[0]);
    assert_int_equal(store_put(l->w[0], &p, &it), STORE_OK);
    store_leave(l->w[0]);
    for (int i = 0; i < 2; i++) (void)epoch_advance(&l->s->epoch); /* whoever might have written there has ended */

    lab_at("change.accounting", free_what_looks_dead, l);
    store_enter(l->w[0]);
    assert_int_equal(store_touch(l->w[0], &p.key, store_now(l->w[0]) + 1000, NULL, NULL), STORE_OK);
    store_leave(l->w[0]);
    lab_at(NULL, NULL, NULL);
    for (uint32_t i = 0; i < l->s->segs.touched; i++)
        if (l->s->segs.seg[i].state == SEGMENT_RETIRED && segment_live_items(&l->s->segs.seg[i]) > 0) return true;
    return false;
}

static void test_pieces_of_a_rewritten_item_stay(void **state) {
    (void)state;
    guarded(pieces_given_away, "change.mutate.out_first");
}

/* ---- the soonest expiry of a segment */

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

/* ------------------------------------------------------------------ flush_all with a delay */

static bool flushed_twice(struct lab *l) {
    struct helper h = {.l = l, .key = "other"};
    struct lab_thread t;
    lab_set(l, 0, "old", "x", NULL, 0);
    store_flush_at(l->w[0], store_clock(l->s) + 10);
    clock_manual_advance(&l->clock, 10 * SECOND);
    assert_true(lab_run(&t, "store.flush_due", run_get, &h));
    assert_false(lab_get(l, 0, "old", NULL)); /* carries it out */
    lab_set(l, 0, "A", "new", NULL, 0);
    lab_finish(&t);
    return !lab_get(l, 0, "A", NULL);
}

static void test_a_due_flush_is_carried_out_once(void **state) {
    (void)state;
    guarded(flushed_twice, "store.mutate.flush_again");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_purge_is_announced_before_it_takes_its_number),
        cmocka_unit_test(test_a_purge_is_visible_before_it_is_answered),
        cmocka_unit_test(test_a_pass_covers_only_purges_that_are_written),
        cmocka_unit_test(test_a_purge_is_written_before_the_sequence_is_raised),
        cmocka_unit_test(test_number_blocks_are_dropped_after_a_purge),
        cmocka_unit_test(test_a_number_is_never_invented),
        cmocka_unit_test(test_a_refusal_does_not_carry_the_old_value_over_a_purge),
        cmocka_unit_test(test_a_fill_asks_for_purges_since_its_token),
        cmocka_unit_test(test_what_the_table_lets_go_of_refuses_older_fills),
        cmocka_unit_test(test_a_fill_with_a_tag_its_item_had_not_is_refused),
        cmocka_unit_test(test_what_is_let_go_of_unswept_kills_older_items),
        cmocka_unit_test(test_a_body_whose_tags_are_purged_while_it_comes_in_is_not_kept),
        cmocka_unit_test(test_nothing_carries_a_value_over_a_purge_under_way),
        cmocka_unit_test(test_a_soft_purge_does_not_bring_back_what_a_hard_one_killed),
        cmocka_unit_test(test_a_hard_purge_kills_what_a_soft_one_made_stale),
        cmocka_unit_test(test_a_deadline_that_has_passed_stays_passed),
        cmocka_unit_test(test_a_sweep_waits_for_stores_under_way),
        cmocka_unit_test(test_a_pass_answers_only_for_purges_before_its_grace_period),
        cmocka_unit_test(test_items_that_move_during_a_pass_are_checked),
        cmocka_unit_test(test_items_that_move_during_a_pass_take_a_soft_purge_along),
        cmocka_unit_test(test_a_touch_that_moves_takes_a_soft_purge_along),
        cmocka_unit_test(test_a_conjunction_being_swept_finds_items_that_move),
        cmocka_unit_test(test_a_counted_purge_counts_what_a_pass_has_met),
        cmocka_unit_test(test_a_counted_purge_counts_what_eviction_has_met),
        cmocka_unit_test(test_a_conjunction_being_swept_is_not_outrun_by_a_new_number),
        cmocka_unit_test(test_after_the_sweep_items_live_on),
        cmocka_unit_test(test_pieces_of_a_rewritten_item_stay),
        cmocka_unit_test(test_a_touch_behind_the_sweeper_is_swept_in_time),
        cmocka_unit_test(test_memory_is_not_reused_while_somebody_reads),
        cmocka_unit_test(test_a_pinned_segment_stays),
        cmocka_unit_test(test_a_look_up_survives_a_split),
        cmocka_unit_test(test_a_due_flush_is_carried_out_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
