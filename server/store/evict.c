/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - freeing segments: S3-FIFO over segments (Yang et al., SOSP 2023), main by hits per byte. Maintenance thread.
 *
 * The oldest small segment: items hit at least once move to main; the others leave, and the ghost remembers those that
 * are not larger than usual: what is large must be asked for twice while it is in small.
 * The oldest main segment: the items with the most hits per byte, up to half of its live bytes, move to the end of
 * main with a quarter of their hits; the others leave. The threshold is a running average of each segment's own median,
 * so nothing is sorted. Small gives way while it has more than its tenth, unless main has gone cold (cold.c): then what
 * was hit during its trial moves on, and all else leaves.
 *
 * Progress. Whatever was hit, eviction carries on no more than its credit allows: half of the bytes that it goes
 * through, and a reserve that pays for stretches where more than half is worth keeping. So going through n segments
 * frees at least a third of n, once the reserve is used up (records leave a quarter of a segment unused at most). The
 * reserve is not spent while one store waits: allowance.h. */
#include "store/evict.h"

#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/allowance.h"
#include "store/cold.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/move.h"
#include "store/retire.h"
#include "store/segment.h"
#include "store/state.h"

#define DENSITY_STEPS 16 /* of one doubling of hits per byte */
#define DENSITY_BINS 640
#define DENSITY_ZERO (DENSITY_BINS - 80) /* the bin of one hit per byte */
#define REMEMBERED 5                     /* steps above the average size up to which the ghost remembers: a quarter */
#define CARRIED_PART 2                   /* of a segment gone through, one part in so many is added to the credit */
#define RESERVE_PART 2                   /* of all segments, one in so many is the most that the credit can be; */
#define RESERVE_MOST (256u << 20)        /* or so many bytes */

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

/* What eviction learns from the items of a segment. */
struct census {
    enum segment_queue queue;
    bool trial;                        /* of main: what was hit during its trial stays */
    uint32_t live, bins[DENSITY_BINS]; /* of main: live bytes, by density */
};

/* Moves the running threshold by a segment's own: the density above which half of its live bytes lie. */
static void learn_density(struct store *s, const struct census *seen) {
    struct evict *own = &s->maintain.evict;
    uint32_t sum = 0;
    int d = DENSITY_BINS;
    if (seen->live == 0) return;
    while (d > 0 && sum <= seen->live / 2) sum += seen->bins[--d];
    own->density = own->density_known ? 0.9 * own->density + 0.1 * d : d;
    own->density_known = true;
}

/* ------------------------------------------------------------------ what may be carried on */

/* The most that the credit can be. */
static uint64_t reserve(const struct store *s) {
    uint64_t n = (uint64_t)sync_load(&s->segs.exist) * s->segs.bytes / RESERVE_PART;
    return n < RESERVE_MOST ? n : RESERVE_MOST;
}

/* A segment is about to be gone through. */
static void earn_credit(struct store *s) {
    struct evict *own = &s->maintain.evict;
    const uint64_t most = reserve(s);
    own->credit += s->segs.bytes / CARRIED_PART;
    if (own->credit > most || !own->credit_begun) own->credit = most;
    own->credit_begun = true;
    allowance_earn(s, &own->allowance);
}

/* Pays for a record to be carried on. False: there is no credit left for it, so it has to leave. */
static bool pay(struct store *s, const struct move_record *r) {
    struct evict *own = &s->maintain.evict;
    if (FAULT_POINT("evict.mutate.no_credit")) return true;
    if (own->credit < r->bytes || !allowance_has(s, &own->allowance, r->bytes)) {
        COUNT(maintenance(s), evicted_over_credit, 1);
        return false;
    }
    own->credit -= r->bytes;
    allowance_spend(&own->allowance, r->bytes);
    return true;
}

/* Whether a record decides about its item when its turn comes: of a large one the first piece alone does, since that
 * never lies in an open segment while others of its pieces go round a queue. */
static bool decides(const struct move_record *r, const struct item *it) {
    uint64_t first;
    uint32_t bytes;
    if (!item_large(it)) return true;
    if (!r->piece) return false;
    item_piece(it, 0, &first, &bytes);
    return first == r->loc;
}

/* Whether eviction moves a record on. */
static bool worth_keeping(struct store *s, const struct move_record *r, const struct item *it, unsigned freq,
                          struct census *seen) {
    struct evict *own = &s->maintain.evict;
    if (!decides(r, it)) return pay(s, r);
    if (seen->queue == SEGMENT_SMALL) {
        int size = log2_steps(weight(it));
        own->leaving += own->leaving == 0 ? size : (size - own->leaving) / 1024;
        return freq > 0 && pay(s, r);
    }
    int d = density(freq, it);
    seen->bins[d] += r->bytes;
    seen->live += r->bytes;
    return freq > 0 && (seen->trial || d >= own->density) && pay(s, r);
}

/* The hits that an item keeps when one of its records is carried on: a quarter, if that record decides about the item.
 */
static unsigned hits_left(const struct move_record *r, const struct item *it, unsigned freq) {
    return decides(r, it) && !(r->piece && FAULT_POINT("evict.mutate.hits_stay")) ? freq / 4 : freq;
}

/* ------------------------------------------------------------------ records */

/* Takes a live item out. Bucket locked. */
static void evict_item(struct store *s, struct index_bucket *b, uint64_t *slot, const struct move_record *r,
                       const struct item *it, enum segment_queue q) {
    struct store_worker *w = maintenance(s);
    const uint64_t loc = index_slot_loc(sync_load(slot));
    index_remove(&s->ix, b, slot);
    account_removed(w, loc, it);
    COUNT(w, evictions, 1);
    if (!(it->bits & ITEM_FETCHED)) COUNT(w, evicted_unfetched, 1);
    if (q == SEGMENT_SMALL && log2_steps(weight(it)) <= s->maintain.evict.leaving + REMEMBERED)
        ghost_add(&s->ghost, r->hash, s->maintain.items);
    if (sync_load(&s->watch_evictions) && s->cfg.events.on_evict)
        s->cfg.events.on_evict(s->cfg.events.arg, (const char *)it->p + it->key_at, it->key_len,
                               (it->bits & ITEM_FETCHED) != 0, it->expiry, item_size(it));
}

/* An item's record leaves the oldest segment of a queue: for main, or for good. */
static void evict_record(struct store *s, const struct move_record *r, struct census *seen) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    (void)FAULT_POINT("evict.locked");
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
            unsigned left = hits_left(r, &it, freq);
            move_swing(s, slot, &it, r->loc, to, left);
            (void)FAULT_POINT("evict.moved");
            segment_by_loc(s, to)->inherited += left;
        } else {
            evict_item(s, b, slot, r, &it, seen->queue);
        }
    }
    index_unlock(b);
}

/* The item of a piece, and what its slot holds; 0 if there is none. One that is dead is taken out. */
static uint64_t live_owner(struct store *s, const struct move_record *r, struct item *it) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r), seen = 0;
    if (slot && move_allowed(s, b, slot, index_slot_loc(sync_load(slot)), it)) seen = sync_load(slot);
    index_unlock(b);
    return seen;
}

static void evict_owner(struct store *s, const struct move_record *r, enum segment_queue q) {
    struct item it;
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r);
    if (slot && move_allowed(s, b, slot, index_slot_loc(sync_load(slot)), &it)) evict_item(s, b, slot, r, &it, q);
    index_unlock(b);
}

/* A segment that is one piece from end to end moves to the end of main by changing queues. */
static void move_whole(struct store *s, const struct move_record *r, unsigned left) {
    const uint32_t i = segment_of(&s->segs, r->loc);
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r);
    if (slot) index_swing(slot, index_slot_loc(sync_load(slot)), left);
    index_unlock_unchanged(b);
    segment_requeue(&s->segs, i, SEGMENT_MAIN);
    cold_left(s, i);
    s->segs.seg[i].inherited = left;
    s->segs.seg[i].taken = s->segs.seg[i].since = sync_load(&s->segs.taken);
}

/* A piece leaves likewise, or its whole item for good. True: its segment was moved as it is. */
static bool evict_piece(struct store *s, const struct move_record *r, struct census *seen) {
    struct item it;
    uint64_t found = live_owner(s, r, &it);
    if (found == 0) return false;
    const unsigned freq = index_slot_freq(found), left = hits_left(r, &it, freq);
    if (worth_keeping(s, r, &it, freq, seen)) {
        if (sync_load(&segment_by_loc(s, r->loc)->whole)) {
            move_whole(s, r, left);
            return true;
        }
        if (move_piece(s, r, SEGMENT_NONE, left != freq)) {
            uint32_t to = s->main_open.open.segment;
            if (to != SEGMENT_NONE) s->segs.seg[to].inherited += left;
            return false;
        }
    }
    evict_owner(s, r, seen->queue);
    return false;
}

/* ------------------------------------------------------------------ choosing */

static void evict_segment(struct store *s, uint32_t i) {
    struct move_record r[MOVE_BLOCK];
    const struct segment *g = &s->segs.seg[i];
    struct census seen = {.queue = (enum segment_queue)sync_load(&g->queue), .trial = g->trial};
    uint32_t at = segment_first(i);
    bool moved = false;
    earn_credit(s);
    for (unsigned n; !moved && (n = move_next(s, i, &at, r, MOVE_BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) {
            if (r[k].piece)
                moved = evict_piece(s, &r[k], &seen);
            else
                evict_record(s, &r[k], &seen);
        }
    if (seen.queue == SEGMENT_MAIN && !seen.trial) learn_density(s, &seen);
    if (moved) return;
    COUNT(maintenance(s), segments_evicted, 1);
    retire_segment(s, i);
}

/* Which segment is to go; SEGMENT_NONE: none can. */
static uint32_t choose(struct store *s) {
    uint32_t exist = sync_load(&s->segs.exist), small_max = exist / 10 ? exist / 10 : 1;
    uint32_t nsmall = sync_load(&s->segs.queues[SEGMENT_SMALL].count) + 1;
    bool little = sync_load(&s->segs.queues[SEGMENT_MAIN].count) < 2;
    uint32_t cold = !little && nsmall > small_max ? cold_segment(s) : SEGMENT_NONE;
    if (cold != SEGMENT_NONE) return cold;
    enum segment_queue q = little || nsmall > small_max ? SEGMENT_SMALL : SEGMENT_MAIN;
    uint32_t i = segment_oldest(&s->segs, &s->epoch, q);
    return i != SEGMENT_NONE ? i
                             : segment_oldest(&s->segs, &s->epoch, q == SEGMENT_SMALL ? SEGMENT_MAIN : SEGMENT_SMALL);
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
