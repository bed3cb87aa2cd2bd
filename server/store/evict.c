/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - making room: S3-FIFO over segments (Yang et al., SOSP 2023), main by hits per byte. Maintenance thread.
 *
 * The oldest small segment: items hit at least once move to main; the others leave, and the ghost remembers those that
 * are not larger than usual: what is large must be asked for twice while it is in small.
 * The oldest main segment: the items with the most hits per byte, up to half of its live bytes, move to the end of
 * main with a quarter of their hits; the others leave. The threshold is a running average of each segment's own median,
 * so nothing is sorted. Small gives way while it has more than its tenth, unless main has gone cold (cold.c): then what
 * was hit during its trial moves on, and all else leaves. */
#include "store/move.h"

#define DENSITY_STEPS 16 /* of one doubling of hits per byte */
#define DENSITY_BINS 640
#define DENSITY_ZERO (DENSITY_BINS - 80) /* the bin of one hit per byte */
#define REMEMBERED 5                     /* steps above the average size up to which the ghost remembers: a quarter */
#define SCAN_MAX 64                      /* segments one call looks at */

/* ------------------------------------------------------------------ density */

static int log2_steps(uint64_t x) {
    int e = 63 - __builtin_clzll(x);
    unsigned frac = e >= 4 ? (unsigned)(x >> (e - 4)) & 15 : (unsigned)(x << (4 - e)) & 15;
    return e * DENSITY_STEPS + (int)frac;
}

/* The bytes that count: a large value goes with its pieces. */
static uint64_t weight(const struct item *it) {
    return item_record_bytes(it) + (item_large(it) ? item_size(it) : 0);
}

/* Hits per byte in steps; the lowest bin for no hit. */
static int density(unsigned freq, const struct item *it) {
    if (freq == 0) return 0;
    int d = DENSITY_ZERO + log2_steps(freq) - log2_steps(weight(it));
    return d < 1 ? 1 : d < DENSITY_BINS ? d : DENSITY_BINS - 1;
}

/* What is learned from a segment on its way out. */
struct census {
    enum segment_queue queue;
    bool trial;                        /* of main: what was hit during its trial stays */
    uint32_t live, bins[DENSITY_BINS]; /* of main: live bytes, by density */
};

/* Moves the running threshold by a segment's own: the density above which half of its live bytes lie. */
static void learn_density(struct store *s, const struct census *seen) {
    uint32_t sum = 0;
    int d = DENSITY_BINS;
    while (d > 0 && sum <= seen->live / 2) sum += seen->bins[--d];
    s->density = s->density_known ? 0.9 * s->density + 0.1 * d : d;
    s->density_known = true;
}

/* Whether eviction moves a record on. */
static bool worth_keeping(struct store *s, const struct record *r, const struct item *it, unsigned freq,
                          struct census *seen) {
    if (seen->queue == SEGMENT_SMALL) {
        int size = log2_steps(weight(it));
        s->leaving += s->leaving == 0 ? size : (size - s->leaving) / 1024;
        return freq > 0;
    }
    int d = density(freq, it);
    seen->bins[d] += r->bytes;
    seen->live += r->bytes;
    return freq > 0 && (seen->trial || d >= s->density);
}

/* Takes a live item out. Bucket locked. */
static void evict_item(struct store *s, struct index_bucket *b, uint64_t *slot, const struct record *r,
                       const struct item *it, enum segment_queue q) {
    struct store_worker *w = maintenance(s);
    account_unlink(w, index_slot_loc(sync_load(slot)), it);
    index_remove(&s->ix, b, slot);
    COUNT(w, evictions, 1);
    if (!(it->bits & ITEM_FETCHED)) COUNT(w, evicted_unfetched, 1);
    if (q == SEGMENT_SMALL && log2_steps(weight(it)) <= s->leaving + REMEMBERED)
        ghost_add(&s->ghost, r->hash, s->items_hint);
    if (sync_load(&s->watch_evictions) && s->cfg.events.on_evict)
        s->cfg.events.on_evict(s->cfg.events.arg, (const char *)it->p + it->key_at, it->key_len,
                               (it->bits & ITEM_FETCHED) != 0, it->expiry, item_size(it));
}

/* An item's record leaves the oldest segment of a queue: for main, or for good. */
static void evict_record(struct store *s, const struct record *r, struct census *seen) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r);
    struct item it;
    if (slot == NULL) {
        index_unlock_unchanged(b);
        return;
    }
    if (move_allowed(s, b, slot, r->loc, &it)) {
        unsigned freq = index_slot_freq(sync_load(slot));
        uint64_t to = 0;
        if (worth_keeping(s, r, &it, freq, seen)) to = move_copy(s, r->loc, r->bytes, SEGMENT_NONE);
        if (to) {
            move_swing(s, slot, &it, r->loc, to, freq / 4);
            segment_by_loc(s, to)->inherited += freq / 4;
        } else {
            evict_item(s, b, slot, r, &it, seen->queue);
        }
    }
    index_unlock(b);
}

/* The same for a piece; the hits of its item are lessened with the item's own record. */
static void evict_piece(struct store *s, const struct record *r, struct census *seen) {
    struct item it;
    uint64_t found = move_look(s, r, &it);
    if (found == 0) return;
    unsigned freq = index_slot_freq(found);
    if (worth_keeping(s, r, &it, freq, seen) && move_piece(s, r, SEGMENT_NONE)) {
        uint32_t to = s->main_open.open.segment;
        if (to != SEGMENT_NONE) s->segs.seg[to].inherited += freq;
        return;
    }
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r);
    if (slot && move_allowed(s, b, slot, index_slot_loc(sync_load(slot)), &it))
        evict_item(s, b, slot, r, &it, seen->queue);
    index_unlock(b);
}

/* ------------------------------------------------------------------ choosing */

uint32_t evict_oldest(struct store *s, enum segment_queue q) {
    sync_spin_lock(&s->segs.queue_lock);
    uint32_t i = s->segs.queues[q].head;
    for (unsigned n = 0; i != SEGMENT_NONE && n < SCAN_MAX && !segment_idle(s, &s->segs.seg[i]); n++)
        i = s->segs.seg[i].next;
    sync_spin_unlock(&s->segs.queue_lock);
    return i != SEGMENT_NONE && segment_idle(s, &s->segs.seg[i]) ? i : SEGMENT_NONE;
}

/* A segment that is one piece from end to end moves by changing queues. */
static bool keep_whole(struct store *s, uint32_t i, struct census *seen) {
    struct record r;
    struct item it;
    uint32_t at = segment_first(i);
    if (!sync_load(&s->segs.seg[i].whole) || move_next(s, i, &at, &r, 1) != 1) return false;
    uint64_t found = move_look(s, &r, &it);
    if (found == 0 || !worth_keeping(s, &r, &it, index_slot_freq(found), seen)) return false;
    segment_requeue(&s->segs, i, SEGMENT_MAIN);
    cold_left(s, i);
    s->segs.seg[i].inherited = index_slot_freq(found);
    s->segs.seg[i].born = s->segs.seg[i].since = sync_load(&s->segs.taken);
    return true;
}

static void evict_segment(struct store *s, uint32_t i) {
    struct record r[MOVE_BLOCK];
    const struct segment *g = &s->segs.seg[i];
    struct census seen = {.queue = (enum segment_queue)sync_load(&g->queue), .trial = g->trial};
    uint32_t at = segment_first(i);
    bool kept = keep_whole(s, i, &seen);
    for (unsigned n; !kept && (n = move_next(s, i, &at, r, MOVE_BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) (r[k].piece ? evict_piece : evict_record)(s, &r[k], &seen);
    if (seen.queue == SEGMENT_MAIN && !seen.trial) learn_density(s, &seen);
    if (kept) return;
    COUNT(maintenance(s), segments_evicted, 1);
    retire(s, i);
}

/* Which segment is to go; SEGMENT_NONE: none can. */
static uint32_t choose(struct store *s) {
    uint32_t exist = sync_load(&s->segs.exist), small_max = exist / 10 ? exist / 10 : 1;
    uint32_t nsmall = sync_load(&s->segs.queues[SEGMENT_SMALL].count) + 1;
    bool little = sync_load(&s->segs.queues[SEGMENT_MAIN].count) < 2;
    uint32_t cold = !little && nsmall > small_max ? cold_segment(s) : SEGMENT_NONE;
    if (cold != SEGMENT_NONE) return cold;
    enum segment_queue q = little || nsmall > small_max ? SEGMENT_SMALL : SEGMENT_MAIN;
    uint32_t i = evict_oldest(s, q);
    return i != SEGMENT_NONE ? i : evict_oldest(s, q == SEGMENT_SMALL ? SEGMENT_MAIN : SEGMENT_SMALL);
}

bool evict_one(struct store *s) {
    uint32_t i = choose(s);
    if (i == SEGMENT_NONE) {
        epoch_advance(&s->epoch);
        return false;
    }
    evict_segment(s, i);
    return true;
}
