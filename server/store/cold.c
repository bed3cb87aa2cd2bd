/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cold - whether main has gone cold: its oldest segments are hardly hit any more, while what comes in is. Then what is
 * asked for has changed, and hits of before say nothing. The oldest part of main is put on trial: their hits are
 * forgotten, and what is not hit again until its segment's turn comes, leaves. Main goes before small as long as that
 * holds. Maintenance thread.
 * Two rates are compared, both in hits of a segment for each segment taken meanwhile: that is the clock here. An item's
 * count of hits ends at INDEX_FREQ_MAX, so the rate of main looks lower than it is. That is why the margin is wide, and
 * why each further step looks at the segments on trial first, whose counts began at 0. */
#include "store/cold.h"

#include "base/sync.h"
#include "store/index.h"
#include "store/move.h"
#include "store/segment.h"
#include "store/state.h"

#define LOOK_EVERY 8  /* evictions between two looks, and segments taken that a rate has to rest on at least */
#define HITS_LEAST 16 /* hits that main would have had to have meanwhile, were it as warm as small */
#define COLD 10       /* so many times less */
#define TRIAL_PART 8  /* of main: on trial at a time */
#define TRIALS_STEP 2 /* segments put on trial for each that is evicted */
#define WATCH_AT 16   /* far enough from main's old end to be there still at the next look */
#define SCAN 64       /* segments looked at for the next one */

void cold_init(struct cold *c) {
    *c = (struct cold){.watched = SEGMENT_NONE, .tried = SEGMENT_NONE};
}

static uint32_t age(const struct store *s, const struct segment *g) {
    return sync_load(&s->segs.taken) - g->since;
}

/* The hits that the items of a segment have now; if asked to, they are forgotten. */
static uint32_t hits_of(struct store *s, uint32_t i, bool forget) {
    struct move_record r[MOVE_BLOCK];
    uint32_t at = segment_first(i), hits = 0;
    for (unsigned n; (n = move_next(s, i, &at, r, MOVE_BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) {
            struct index_bucket *b = index_lock(&s->ix, r[k].hash);
            uint64_t *slot = move_slot(s, b, &r[k]), seen = slot ? sync_load(slot) : 0;
            hits += index_slot_freq(seen);
            if (seen && forget) index_swing(slot, index_slot_loc(seen), 0);
            index_unlock_unchanged(b);
        }
    return hits;
}

/* New hits of a segment for each segment taken since they count. */
static double rate(struct store *s, uint32_t i) {
    const struct segment *g = &s->segs.seg[i];
    uint32_t hits = hits_of(s, i, false);
    return (hits > g->inherited ? hits - g->inherited : 0) / (age(s, g) + 1.0);
}

/* From now on only further hits count. */
static void count_from_now(struct store *s, uint32_t i, uint32_t hits) {
    s->segs.seg[i].inherited = hits;
    s->segs.seg[i].since = sync_load(&s->segs.taken);
}

/* The nth segment from main's old end. */
static uint32_t main_at(struct store *s, unsigned n) {
    sync_spin_lock(&s->segs.queue_lock);
    uint32_t i = s->segs.queues[SEGMENT_MAIN].head;
    for (; n > 0 && i != SEGMENT_NONE; n--) i = s->segs.seg[i].next;
    sync_spin_unlock(&s->segs.queue_lock);
    return i;
}

/* Watches a segment near main's old end; true when it was hit so much less than small's oldest that main seems cold. */
static bool suspect(struct store *s, double small) {
    struct cold *own = &s->maintain.cold;
    bool cold = false;
    if (own->watched != SEGMENT_NONE) {
        uint32_t waited = age(s, &s->segs.seg[own->watched]);
        if (waited < LOOK_EVERY || small * waited < HITS_LEAST) return false;
        cold = rate(s, own->watched) * COLD < small;
    }
    own->watched = main_at(s, WATCH_AT);
    if (own->watched != SEGMENT_NONE) count_from_now(s, own->watched, hits_of(s, own->watched, false));
    return cold;
}

static bool on_trial_long_enough(const struct store *s, uint32_t i) {
    return i != SEGMENT_NONE && s->segs.seg[i].trial && age(s, &s->segs.seg[i]) >= LOOK_EVERY;
}

static void look(struct store *s) {
    struct cold *own = &s->maintain.cold;
    uint32_t small = segment_oldest(&s->segs, &s->epoch, SEGMENT_SMALL),
             main = segment_oldest(&s->segs, &s->epoch, SEGMENT_MAIN);
    if (small == SEGMENT_NONE || main == SEGMENT_NONE) return;
    if (!own->cold)
        own->cold = suspect(s, rate(s, small));
    else if (on_trial_long_enough(s, main))
        own->cold = rate(s, main) * COLD < rate(s, small);
}

/* The first segment that is not on trial, usually behind the latest one that was put there. SEGMENT_NONE: not found
 * soon enough. */
static uint32_t next_for_trial(struct store *s) {
    const struct cold *own = &s->maintain.cold;
    const struct segment *seg = s->segs.seg;
    sync_spin_lock(&s->segs.queue_lock);
    uint32_t i = s->segs.queues[SEGMENT_MAIN].head;
    if (own->tried != SEGMENT_NONE && i != SEGMENT_NONE && seg[i].trial) i = own->tried;
    for (unsigned n = 0; n < SCAN && i != SEGMENT_NONE && seg[i].trial; n++) i = seg[i].next;
    sync_spin_unlock(&s->segs.queue_lock);
    return i != SEGMENT_NONE && seg[i].trial ? SEGMENT_NONE : i;
}

static void try_segment(struct store *s, uint32_t i) {
    struct cold *own = &s->maintain.cold;
    if (own->watched == i) own->watched = SEGMENT_NONE; /* what was counted of it is forgotten */
    s->segs.seg[i].trial = true;
    own->on_trial++;
}

static void extend_trial(struct store *s) {
    struct cold *own = &s->maintain.cold;
    uint32_t most = sync_load(&s->segs.queues[SEGMENT_MAIN].count) / TRIAL_PART;
    if (most < LOOK_EVERY) most = LOOK_EVERY;
    for (unsigned k = 0; k < TRIALS_STEP && own->on_trial < most; k++) {
        uint32_t i = next_for_trial(s);
        if (i == SEGMENT_NONE) return;
        hits_of(s, i, true);
        count_from_now(s, i, 0);
        try_segment(s, i);
        own->tried = i;
    }
}

void cold_left(struct store *s, uint32_t i) {
    struct cold *own = &s->maintain.cold;
    if (s->segs.seg[i].trial) own->on_trial--;
    s->segs.seg[i].trial = false;
    if (own->watched == i) own->watched = SEGMENT_NONE;
    if (own->tried == i) own->tried = SEGMENT_NONE;
}

void cold_joined(struct store *s, uint32_t i, uint32_t behind) {
    cold_left(s, i);
    s->segs.seg[i].since = s->segs.seg[behind].since;
    if (s->segs.seg[behind].trial) try_segment(s, i);
}

uint32_t cold_segment(struct store *s) {
    struct cold *own = &s->maintain.cold;
    if (own->look_in-- == 0) {
        look(s);
        own->look_in = LOOK_EVERY - 1;
    }
    if (!own->cold) return SEGMENT_NONE;
    extend_trial(s);
    uint32_t i = segment_oldest(&s->segs, &s->epoch, SEGMENT_MAIN);
    return on_trial_long_enough(s, i) ? i : SEGMENT_NONE;
}
