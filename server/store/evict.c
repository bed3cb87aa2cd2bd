/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - making room: S3-FIFO over segments (Yang et al., SOSP 2023), main by hits per byte. Maintenance thread.
 *
 * The oldest small segment: items hit at least once move to main, the others leave and are remembered by the ghost.
 * The oldest main segment: the items with the most hits per byte, up to half of its live bytes, move to the end of
 * main with half their hits; the others leave. The threshold is a running average of each segment's own median, so
 * nothing is sorted. */
#include "store/internal.h"

#define BLOCK 32         /* records looked up together, so that their cache misses overlap */
#define DENSITY_STEPS 16 /* of one doubling of hits per byte */
#define DENSITY_BINS 1024
#define DENSITY_ZERO (DENSITY_BINS - 64) /* the bin of one hit per byte */
#define SCAN_MAX 64                      /* segments one call looks at */

struct record {
    uint64_t loc, hash;
    uint32_t bytes; /* of the record */
    uint64_t slot;  /* what the index holds for it; 0: dead, or a piece not looked up */
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
        r->slot = 0;
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

/* Looks the slots of a block up. */
static void look_up(struct store *s, struct record *r, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        struct index_bucket *b = index_lock(&s->ix, r[i].hash);
        uint64_t *slot = locked_slot(s, b, &r[i]);
        r[i].slot = slot ? sync_load(slot) : 0;
        index_unlock_unchanged(b);
    }
}

/* ------------------------------------------------------------------ density */

static int log2_steps(uint64_t x) {
    int e = 63 - __builtin_clzll(x);
    unsigned frac = e >= 4 ? (unsigned)(x >> (e - 4)) & 15 : (unsigned)(x << (4 - e)) & 15;
    return e * DENSITY_STEPS + (int)frac;
}

/* Hits per byte in steps; the lowest bin for no hit. */
static int density(unsigned freq, uint64_t bytes) {
    if (freq == 0) return 0;
    int d = DENSITY_ZERO + log2_steps(freq) - log2_steps(bytes);
    return d < 1 ? 1 : d < DENSITY_BINS ? d : DENSITY_BINS - 1;
}

/* The bytes that count for a record's density: a piece goes with its whole value. */
static uint64_t record_weight(struct store *s, const struct record *r) {
    if (!r->piece) return r->bytes;
    struct item it;
    item_read(&it, segment_at(&s->segs, index_slot_loc(r->slot)));
    return item_size(&it) + item_record_bytes(&it);
}

/* Moves the running threshold by this segment's own: the density above which half of its live bytes lie. */
static void learn_density(struct store *s, uint32_t seg) {
    uint64_t bins[DENSITY_BINS] = {0}, live = 0, sum = 0;
    struct record r[BLOCK];
    uint32_t at = segment_first(seg);
    for (unsigned n; (n = next_records(s, seg, &at, r, BLOCK)) > 0;) {
        look_up(s, r, n);
        for (unsigned i = 0; i < n; i++) {
            if (r[i].slot == 0) continue;
            bins[density(index_slot_freq(r[i].slot), record_weight(s, &r[i]))] += r[i].bytes;
            live += r[i].bytes;
        }
    }
    int d = DENSITY_BINS;
    while (d > 0 && sum * 2 <= live) sum += bins[--d];
    s->density = s->density_known ? 0.9 * s->density + 0.1 * d : d;
    s->density_known = true;
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

/* Moves one live record forward. halve: as eviction does; else its hits stay (compaction). False: no room. */
static bool move(struct store *s, const struct record *r, uint32_t target, bool halve) {
    uint64_t to = copy_bytes(s, r->loc, r->bytes, target);
    if (to == 0) return false;
    (void)FAULT_POINT("evict.copied");
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r);
    bool ok = true;
    if (slot) {
        uint64_t from = index_slot_loc(sync_load(slot));
        unsigned freq = index_slot_freq(sync_load(slot));
        struct item old;
        if (still_live(s, b, slot, from, &old)) {
            if (r->piece) to = copy_head(s, from, r->loc, to, target);
            ok = to != 0;
            if (ok) swing(s, slot, &old, from, to, halve && !r->piece ? freq / 2 : freq);
        }
    }
    index_unlock(b);
    return ok;
}

/* Takes a record's item out for good. */
static void drop(struct store *s, const struct record *r, bool ghost) {
    struct store_worker *w = maintenance(s);
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = locked_slot(s, b, r);
    struct item it;
    if (slot) {
        uint64_t loc = index_slot_loc(sync_load(slot));
        if (still_live(s, b, slot, loc, &it)) {
            account_unlink(w, loc, &it);
            index_remove(&s->ix, b, slot);
            COUNT(w, evictions, 1);
            if (!(it.bits & ITEM_FETCHED)) COUNT(w, evicted_unfetched, 1);
            if (ghost) ghost_add(&s->ghost, r->hash, s->items_hint / 10 * 9);
            if (sync_load(&s->watch_evictions) && s->cfg.events.on_evict)
                s->cfg.events.on_evict(s->cfg.events.arg, (const char *)it.p + it.key_at, it.key_len,
                                       (it.bits & ITEM_FETCHED) != 0, it.expiry, item_size(&it));
        }
    }
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
static bool keep_whole(struct store *s, uint32_t i, enum segment_queue q) {
    struct record r;
    uint32_t at = segment_first(i);
    if (!sync_load(&s->segs.seg[i].whole) || next_records(s, i, &at, &r, 1) != 1) return false;
    look_up(s, &r, 1);
    if (r.slot == 0 || index_slot_freq(r.slot) == 0) return false;
    if (q == SEGMENT_MAIN && density(index_slot_freq(r.slot), record_weight(s, &r)) < s->density) return false;
    segment_requeue(&s->segs, i, SEGMENT_MAIN);
    struct index_bucket *b = index_lock(&s->ix, r.hash);
    uint64_t *slot = locked_slot(s, b, &r);
    if (slot) index_swing(slot, index_slot_loc(sync_load(slot)), index_slot_freq(sync_load(slot)) / 2);
    index_unlock(b);
    return true;
}

static void evict_segment(struct store *s, uint32_t i) {
    enum segment_queue q = (enum segment_queue)sync_load(&s->segs.seg[i].queue);
    struct record r[BLOCK];
    uint32_t at = segment_first(i);
    if (q == SEGMENT_MAIN) learn_density(s, i);
    if (keep_whole(s, i, q)) return;
    for (unsigned n; (n = next_records(s, i, &at, r, BLOCK)) > 0;) {
        look_up(s, r, n);
        for (unsigned k = 0; k < n; k++) {
            unsigned freq = index_slot_freq(r[k].slot);
            bool keep = r[k].slot && freq > 0;
            if (keep && q == SEGMENT_MAIN) keep = density(freq, record_weight(s, &r[k])) >= s->density;
            if (r[k].slot && !(keep && move(s, &r[k], SEGMENT_NONE, true))) drop(s, &r[k], q == SEGMENT_SMALL);
        }
    }
    COUNT(maintenance(s), segments_evicted, 1);
    retire(s, i);
}

bool evict_one(struct store *s) {
    uint32_t exist = sync_load(&s->segs.exist), small_max = exist / 10 ? exist / 10 : 1;
    uint32_t nsmall = sync_load(&s->segs.queues[SEGMENT_SMALL].count) + 1;
    bool small_first = nsmall > small_max || sync_load(&s->segs.queues[SEGMENT_MAIN].count) < 2;
    enum segment_queue q = small_first ? SEGMENT_SMALL : SEGMENT_MAIN;
    uint32_t i = oldest(s, q);
    if (i == SEGMENT_NONE) i = oldest(s, q == SEGMENT_SMALL ? SEGMENT_MAIN : SEGMENT_SMALL);
    if (i == SEGMENT_NONE) {
        epoch_advance(&s->epoch);
        return false;
    }
    evict_segment(s, i);
    return true;
}

/* ------------------------------------------------------------------ compaction */

/* Segments of main at most half live that together fit one: copied together, in the first one's place. */
static unsigned compaction_set(struct store *s, uint32_t *set, unsigned max) {
    struct segments *g = &s->segs;
    uint32_t sum = 0, touched = sync_load(&g->touched);
    unsigned n = 0;
    for (unsigned k = 0; k < 4 * SCAN_MAX && k < touched && n < max; k++) {
        if (++s->compact_at >= touched) s->compact_at = 0;
        struct segment *c = &g->seg[s->compact_at];
        uint32_t live = segment_live_bytes(c);
        if (sync_load_acq(&c->state) != SEGMENT_SEALED || sync_load(&c->queue) != SEGMENT_MAIN) continue;
        if (live > g->bytes / 2 || sum + live > g->bytes / 16 * 15 || sync_load(&c->whole) || !idle(s, c)) continue;
        sum += live;
        set[n++] = s->compact_at;
    }
    return n;
}

static bool compact_segment(struct store *s, uint32_t i, uint32_t target) {
    struct record r[BLOCK];
    uint32_t at = segment_first(i);
    for (unsigned n; (n = next_records(s, i, &at, r, BLOCK)) > 0;) {
        look_up(s, r, n);
        for (unsigned k = 0; k < n; k++)
            if (r[k].slot && !move(s, &r[k], target, false)) return false;
    }
    return true;
}

bool compact_one(struct store *s) {
    uint32_t set[8], target;
    unsigned n = compaction_set(s, set, 8);
    if (n < 2) return false;
    target = segment_take(&s->segs, SEGMENT_MAIN, maintenance(s)->now, 0);
    if (target == SEGMENT_NONE) return false;
    sync_store(&s->segs.seg[target].opened, sync_load(&s->segs.seg[set[0]].opened));
    unsigned done = 0;
    while (done < n && compact_segment(s, set[done], target)) done++;
    segment_seal(&s->segs, target, sync_load(&s->epoch.now) + 1);
    segment_requeue_after(&s->segs, target, set[0]);
    for (unsigned i = 0; i < done; i++) retire(s, set[i]);
    COUNT(maintenance(s), segments_compacted, done);
    return done > 0;
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
