/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - making room: S3-FIFO over segments (Yang et al., SOSP 2023), main by hits per byte. Maintenance thread.
 *
 * The oldest small segment: items hit at least once move to main; the others leave, and the ghost remembers those that
 * are not larger than usual: what is large must be asked for twice while it is in small.
 * The oldest main segment: the items with the most hits per byte, up to half of its live bytes, move to the end of
 * main with a quarter of their hits; the others leave. The threshold is a running average of each segment's own median,
 * so nothing is sorted. Small gives way while it has more than its tenth, unless main has gone cold: if its oldest
 * segment was hit less than a third as often as small's are, since it was filled, it goes first, and twice as many hits
 * are asked of what stays. */
#include "store/internal.h"

#define BLOCK 32         /* records looked up together, so that their cache misses overlap */
#define DENSITY_STEPS 16 /* of one doubling of hits per byte */
#define DENSITY_BINS 640
#define DENSITY_ZERO (DENSITY_BINS - 80) /* the bin of one hit per byte */
#define REMEMBERED 5                     /* steps above the average size up to which the ghost remembers: a quarter */
#define PEEK_EVERY 8                     /* evictions from small between two looks at main */
#define COLD 3
#define SCAN_MAX 64      /* segments one call looks at */
#define COMPACT_SCAN 256 /* and one that chooses among them */

struct record {
    uint64_t loc, hash;
    uint32_t bytes; /* of the record */
    bool piece;
};

/* ------------------------------------------------------------------ walking */

/* Fills out with the next records of a segment from *at on; returns how many. */
static unsigned next_records(struct store *s, uint32_t seg, uint32_t *at, struct record *out, unsigned max) {
    uint32_t used = sync_load_acq(&s->segs.seg[seg].used);
    unsigned n = 0;
    while (*at < used && n < max) {
        struct record *r = &out[n++];
        r->loc = segment_base(&s->segs, seg) + *at;
        uint8_t *p = segment_at(&s->segs, r->loc);
        r->piece = item_is_piece(p);
        if (r->piece) {
            r->hash = item_piece_owner(p);
            r->bytes = ITEM_PIECE_HEADER + item_piece_bytes(p);
        } else {
            struct item it;
            item_read(&it, p);
            r->hash = hash_key(p + it.key_at, it.key_len, s->cfg.seed);
            r->bytes = item_record_bytes(&it);
        }
        __builtin_prefetch(index_bucket(&s->ix, r->hash));
        *at += r->bytes;
    }
    return n;
}

struct owner {
    struct store *s;
    uint64_t piece; /* the location looked for */
    uint64_t hash;
};

static bool owns_piece(void *arg, uint64_t loc) {
    struct owner *o = arg;
    uint8_t *p = segment_at(&o->s->segs, loc);
    if (item_is_piece(p)) return false;
    struct item it;
    item_read(&it, p);
    if (!item_large(&it)) return false;
    for (unsigned i = 0; i < item_pieces(&it); i++) {
        uint64_t at;
        uint32_t bytes;
        item_piece(&it, i, &at, &bytes);
        if (at == o->piece) return true;
    }
    return false;
}

/* The slot of the item that a record belongs to, its bucket locked. */
static uint64_t *locked_slot(struct store *s, struct index_bucket *b, const struct record *r) {
    if (!r->piece) return index_find_loc(&s->ix, b, r->loc);
    struct owner o = {s, r->loc, r->hash};
    return index_find(&s->ix, b, index_fp(&s->ix, r->hash), owns_piece, &o);
}

/* The slot of a record as it is now, and the record of its item; 0: dead. */
static uint64_t look_up(struct store *s, const struct record *r, struct item *it) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r), seen = slot ? sync_load(slot) : 0;
    if (seen) item_read(it, segment_at(&s->segs, index_slot_loc(seen)));
    index_unlock_unchanged(b);
    return seen;
}

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
    double threshold;                  /* of main: the density asked for */
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
    return freq > 0 && d >= seen->threshold;
}

/* New hits of a segment for each segment taken since it was. */
static double hit_rate(struct store *s, uint32_t i) {
    const struct segment *g = &s->segs.seg[i];
    struct record r[BLOCK];
    uint32_t at = segment_first(i), hits = 0;
    for (unsigned n; (n = next_records(s, i, &at, r, BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) {
            struct item it;
            hits += index_slot_freq(look_up(s, &r[k], &it));
        }
    return (hits > g->inherited ? hits - g->inherited : 0) / ((double)(sync_load(&s->segs.taken) - g->born) + 1);
}

/* ------------------------------------------------------------------ moving and dropping */

/* A soft purge becomes the copy's own state: the sweep may have passed the segment it goes to. Only in the decoded
 * header, which the copy is given. False: there is no room for the deadline. */
static bool fold_copy(struct item *it, uint32_t deadline) {
    if (!(it->bits & ITEM_EXPIRY)) return false;
    it->bits = (uint8_t)((it->bits & ~(ITEM_STATE & ~ITEM_FETCHED)) | ITEM_STALE | ITEM_SOFT);
    if (it->expiry == 0 || it->expiry > deadline) it->expiry = deadline;
    return true;
}

/* Whether an item may be copied on; a dead one is taken out. Bucket locked. */
static bool still_live(struct store *s, struct index_bucket *b, uint64_t *slot, uint64_t loc, struct item *it) {
    struct store_worker *w = maintenance(s);
    uint32_t deadline;
    item_read(it, segment_at(&s->segs, loc));
    enum verdict v = item_verdict(w, it, &deadline);
    if (v == ITEM_SOFTLY && !FAULT_POINT("evict.mutate.copy_unfolded") && !fold_copy(it, deadline)) v = ITEM_PURGED;
    if (sweep_wants(s, it)) v = ITEM_PURGED;
    if (v <= ITEM_SOFTLY || FAULT_POINT("evict.mutate.copy_purged")) return true;
    if (v == ITEM_EXPIRED) COUNT(w, expired, 1);
    if (v == ITEM_EXPIRED && !(it->bits & ITEM_FETCHED)) COUNT(w, expired_unfetched, 1);
    if (v == ITEM_PURGED) COUNT(w, purged_items, 1);
    if (v == ITEM_PURGED) sweep_count(s, it);
    if (v == ITEM_PURGED) COUNT(w, purged_bytes, item_record_bytes(it));
    account_unlink(w, loc, it);
    index_remove(&s->ix, b, slot);
    return false;
}

/* The slot swings from one record to its copy; what changed in place meanwhile comes along. Bucket locked. */
static void swing(struct store *s, uint64_t *slot, const struct item *old, uint64_t from, uint64_t to, unsigned freq) {
    struct store_worker *w = maintenance(s);
    uint8_t *p = segment_at(&s->segs, to);
    struct item it;
    item_set_birth(p, old->birth);
    item_set_bits(p, old->bits);
    if (old->bits & ITEM_EXPIRY) item_set_expiry(p, old->expiry);
    segment_expiry(segment_by_loc(s, to), old->expiry);
    item_read(&it, p);
    account_link(w, to, &it);
    account_unlink(w, from, old);
    index_swing(slot, to, freq);
    COUNT(w, copied_items, 1);
    COUNT(w, copied_bytes, item_record_bytes(&it));
}

/* Copies a record's bytes to main, or into the compaction's target. Returns 0 when there is no room. */
static uint64_t copy_bytes(struct store *s, uint64_t loc, uint32_t bytes, uint32_t target) {
    struct room room;
    if (target != SEGMENT_NONE) {
        struct segment *g = &s->segs.seg[target];
        uint32_t used = sync_load(&g->used);
        if (used + bytes > s->segs.bytes) return 0;
        uint64_t to = segment_base(&s->segs, target) + used;
        item_copy_record(segment_at(&s->segs, to), segment_at(&s->segs, loc), bytes);
        sync_store_rel(&g->used, used + bytes);
        return to;
    }
    if (!room_take(maintenance(s), bytes, SEGMENT_MAIN, &room)) return 0;
    item_copy_record(room.p, segment_at(&s->segs, loc), bytes);
    room_done(maintenance(s), &room);
    return room.loc;
}

/* A copy of a large item's record whose list names `to` instead of `from`. Returns 0 when there is no room. */
static uint64_t copy_head(struct store *s, uint64_t head, uint64_t from, uint64_t to, uint32_t target) {
    struct item it, copy;
    item_read(&it, segment_at(&s->segs, head));
    uint64_t loc = copy_bytes(s, head, item_record_bytes(&it), target);
    if (loc == 0) return 0;
    item_read(&copy, segment_at(&s->segs, loc));
    for (unsigned i = 0; i < item_pieces(&copy); i++) {
        uint64_t at;
        uint32_t bytes;
        item_piece(&copy, i, &at, &bytes);
        if (at == from) item_write_piece(copy.p + copy.value_at + 8 + i * ITEM_PIECE_ENTRY, to, bytes);
    }
    return loc;
}

/* Moves a piece, if it is live. False: no room. It is copied without the lock, since it may be large, so its item may
 * meanwhile have changed or left. */
static bool move_piece(struct store *s, const struct record *r, uint32_t target) {
    uint64_t to = copy_bytes(s, r->loc, r->bytes, target);
    if (to == 0) return false;
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r);
    bool ok = true;
    if (slot) {
        uint64_t from = index_slot_loc(sync_load(slot));
        struct item old;
        if (still_live(s, b, slot, from, &old)) {
            to = copy_head(s, from, r->loc, to, target);
            ok = to != 0;
            if (ok) swing(s, slot, &old, from, to, index_slot_freq(sync_load(slot)));
        }
    }
    index_unlock(b);
    return ok;
}

/* Moves the record of an item, if it is live, with its hits. False: no room. */
static bool move_item(struct store *s, const struct record *r, uint32_t target) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r);
    struct item it;
    bool ok = true;
    if (slot && still_live(s, b, slot, r->loc, &it)) {
        uint64_t to = copy_bytes(s, r->loc, r->bytes, target);
        ok = to != 0;
        if (ok) swing(s, slot, &it, r->loc, to, index_slot_freq(sync_load(slot)));
    }
    index_unlock(b);
    return ok;
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
    uint64_t *slot = locked_slot(s, b, r);
    struct item it;
    if (slot == NULL) {
        index_unlock_unchanged(b);
        return;
    }
    if (still_live(s, b, slot, r->loc, &it)) {
        unsigned freq = index_slot_freq(sync_load(slot));
        uint64_t to = 0;
        if (worth_keeping(s, r, &it, freq, seen)) to = copy_bytes(s, r->loc, r->bytes, SEGMENT_NONE);
        if (to) {
            swing(s, slot, &it, r->loc, to, freq / 4);
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
    uint64_t found = look_up(s, r, &it);
    if (found == 0) return;
    unsigned freq = index_slot_freq(found);
    if (worth_keeping(s, r, &it, freq, seen) && move_piece(s, r, SEGMENT_NONE)) {
        if (s->main_open.segment != SEGMENT_NONE) s->segs.seg[s->main_open.segment].inherited += freq;
        return;
    }
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r);
    if (slot && still_live(s, b, slot, index_slot_loc(sync_load(slot)), &it))
        evict_item(s, b, slot, r, &it, seen->queue);
    index_unlock(b);
}

/* ------------------------------------------------------------------ choosing */

static bool idle(struct store *s, const struct segment *g) {
    return sync_load(&g->uploads) == 0 && sync_load(&s->epoch.now) >= g->sealed_at &&
           epoch_passed(&s->epoch, g->sealed_at);
}

/* The oldest segment of a queue that nobody writes to. */
static uint32_t oldest(struct store *s, enum segment_queue q) {
    sync_spin_lock(&s->segs.queue_lock);
    uint32_t i = s->segs.queues[q].head;
    for (unsigned n = 0; i != SEGMENT_NONE && n < SCAN_MAX && !idle(s, &s->segs.seg[i]); n++) i = s->segs.seg[i].next;
    sync_spin_unlock(&s->segs.queue_lock);
    return i != SEGMENT_NONE && idle(s, &s->segs.seg[i]) ? i : SEGMENT_NONE;
}

void retire(struct store *s, uint32_t i) {
    struct segment *g = &s->segs.seg[i];
    CHECK(segment_live_items(g) == 0);
    if (s->compacting[sync_load(&g->queue)] == i) s->compacting[sync_load(&g->queue)] = SEGMENT_NONE;
    segment_unqueue(&s->segs, i);
    sync_store_rel(&g->state, SEGMENT_RETIRED);
    g->sealed_at = epoch_advance(&s->epoch);
    g->next = SEGMENT_NONE;
    g->prev = s->retired.tail;
    if (s->retired.tail == SEGMENT_NONE)
        s->retired.head = i;
    else
        s->segs.seg[s->retired.tail].next = i;
    s->retired.tail = i;
    s->retired.count++;
}

/* A segment that is one piece from end to end moves by changing queues. */
static bool keep_whole(struct store *s, uint32_t i, struct census *seen) {
    struct record r;
    struct item it;
    uint32_t at = segment_first(i);
    if (!sync_load(&s->segs.seg[i].whole) || next_records(s, i, &at, &r, 1) != 1) return false;
    uint64_t found = look_up(s, &r, &it);
    if (found == 0 || !worth_keeping(s, &r, &it, index_slot_freq(found), seen)) return false;
    segment_requeue(&s->segs, i, SEGMENT_MAIN);
    s->segs.seg[i].inherited = index_slot_freq(found);
    s->segs.seg[i].born = sync_load(&s->segs.taken);
    return true;
}

static void evict_segment(struct store *s, uint32_t i, bool cold) {
    struct record r[BLOCK];
    struct census seen = {.queue = (enum segment_queue)sync_load(&s->segs.seg[i].queue)};
    uint32_t at = segment_first(i);
    seen.threshold = s->density + (cold ? DENSITY_STEPS : 0);
    bool kept = keep_whole(s, i, &seen);
    for (unsigned n; !kept && (n = next_records(s, i, &at, r, BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++) (r[k].piece ? evict_piece : evict_record)(s, &r[k], &seen);
    if (seen.queue == SEGMENT_MAIN) learn_density(s, &seen);
    if (kept) return;
    COUNT(maintenance(s), segments_evicted, 1);
    retire(s, i);
}

/* Whether main's oldest segment, which is the older one, was hit so much less than small's that it goes first. Looks at
 * both now and then, and while it is so. */
static bool main_is_cold(struct store *s) {
    if (s->peek_in > 0) {
        s->peek_in--;
        return false;
    }
    uint32_t small = oldest(s, SEGMENT_SMALL), main = oldest(s, SEGMENT_MAIN);
    bool cold = small != SEGMENT_NONE && main != SEGMENT_NONE && s->segs.seg[main].born < s->segs.seg[small].born &&
                hit_rate(s, main) * COLD < hit_rate(s, small);
    s->peek_in = cold ? 0 : PEEK_EVERY;
    return cold;
}

bool evict_one(struct store *s) {
    uint32_t exist = sync_load(&s->segs.exist), small_max = exist / 10 ? exist / 10 : 1;
    uint32_t nsmall = sync_load(&s->segs.queues[SEGMENT_SMALL].count) + 1;
    bool little = sync_load(&s->segs.queues[SEGMENT_MAIN].count) < 2;
    bool cold = !little && nsmall > small_max && main_is_cold(s);
    enum segment_queue q = little || (nsmall > small_max && !cold) ? SEGMENT_SMALL : SEGMENT_MAIN;
    uint32_t i = oldest(s, q);
    if (i == SEGMENT_NONE) i = oldest(s, q == SEGMENT_SMALL ? SEGMENT_MAIN : SEGMENT_SMALL);
    if (i == SEGMENT_NONE) {
        epoch_advance(&s->epoch);
        return false;
    }
    evict_segment(s, i, cold);
    return true;
}

/* ------------------------------------------------------------------ compaction */

/* Of the next segments the one with the most dead bytes, if they are a quarter of it. Each step takes so many away for
 * good, so there is an end to it. */
static uint32_t deadest(struct store *s) {
    struct segments *g = &s->segs;
    uint32_t best = SEGMENT_NONE, most = g->bytes / 4, touched = sync_load(&g->touched);
    for (unsigned k = 0; k < COMPACT_SCAN && k < touched; k++) {
        if (++s->compact_at >= touched) s->compact_at = 0;
        struct segment *c = &g->seg[s->compact_at];
        if (sync_load_acq(&c->state) != SEGMENT_SEALED || sync_load(&c->whole)) continue;
        uint32_t dead = sync_load(&c->used) - segment_live_bytes(c);
        if (dead < most || !idle(s, c) || s->compacting[sync_load(&c->queue)] == s->compact_at) continue;
        most = dead;
        best = s->compact_at;
    }
    return best;
}

/* Opens a segment for what compaction moves, right behind the one that it begins with. */
static uint32_t open_target(struct store *s, enum segment_queue q, uint32_t behind) {
    uint32_t i = segment_take(&s->segs, q, maintenance(s)->now, SEGMENT_OVERDRAW);
    s->compacting[q] = i;
    if (i == SEGMENT_NONE) return i;
    sync_store(&s->segs.seg[i].opened, sync_load(&s->segs.seg[behind].opened));
    segment_seal(&s->segs, i, sync_load(&s->epoch.now) + 1);
    segment_requeue_after(&s->segs, i, behind);
    s->segs.seg[i].born = s->segs.seg[behind].born;
    return i;
}

/* Moves a live record to the target. False: no room there. */
static bool compact_record(struct store *s, const struct record *r, uint32_t target) {
    struct item it;
    if (target == SEGMENT_NONE) return false;
    if (r->piece) return !look_up(s, r, &it) || move_piece(s, r, target);
    return move_item(s, r, target);
}

/* Moves what is live in the deadest segment to one that such records share, one for each queue. It is in its queue from
 * the start, where the first of them were, and may itself be evicted. */
bool compact_one(struct store *s) {
    uint32_t i = deadest(s), at;
    if (i == SEGMENT_NONE) return false;
    enum segment_queue q = (enum segment_queue)sync_load(&s->segs.seg[i].queue);
    struct record r[BLOCK];
    at = segment_first(i);
    for (unsigned n; (n = next_records(s, i, &at, r, BLOCK)) > 0;)
        for (unsigned k = 0; k < n; k++)
            if (!compact_record(s, &r[k], s->compacting[q]) && !compact_record(s, &r[k], open_target(s, q, i)))
                return false;
    if (s->compacting[q] != SEGMENT_NONE) s->segs.seg[s->compacting[q]].inherited += s->segs.seg[i].inherited;
    retire(s, i);
    COUNT(maintenance(s), segments_compacted, 1);
    return true;
}

/* Sealed segments without a live record, of either queue, need no walk at all. */
bool free_dead(struct store *s) {
    bool any = false;
    for (unsigned k = 0; k < SCAN_MAX; k++) {
        if (++s->dead_at >= sync_load(&s->segs.touched)) s->dead_at = 0;
        struct segment *g = &s->segs.seg[s->dead_at];
        if (sync_load_acq(&g->state) != SEGMENT_SEALED || segment_live_items(g) || !idle(s, g)) continue;
        /* Idle, so whoever appended to it has linked or given up: looked at once more, in that order. */
        if (segment_live_items(g)) continue;
        retire(s, s->dead_at);
        COUNT(maintenance(s), segments_expired, 1);
        any = true;
    }
    return any;
}

static bool is_pinned(const struct store *s, uint32_t i) {
    for (unsigned w = 0; w <= s->cfg.workers; w++)
        if (sync_load_seq(&s->workers[w].pins[i])) return true;
    return false;
}

bool reap(struct store *s) {
    bool any = false;
    s->stuck = 0;
    for (uint32_t i = s->retired.head, next; i != SEGMENT_NONE; i = next) {
        struct segment *g = &s->segs.seg[i];
        next = g->next;
        /* The later ones wait even longer. */
        if (!epoch_passed(&s->epoch, g->sealed_at) && !FAULT_POINT("evict.mutate.no_grace")) break;
        if (is_pinned(s, i) && !FAULT_POINT("evict.mutate.no_pins")) {
            s->stuck++;
            continue;
        }
        *(g->prev == SEGMENT_NONE ? &s->retired.head : &s->segs.seg[g->prev].next) = g->next;
        *(g->next == SEGMENT_NONE ? &s->retired.tail : &s->segs.seg[g->next].prev) = g->prev;
        s->retired.count--;
        segment_free(&s->segs, i);
        any = true;
    }
    return any;
}
