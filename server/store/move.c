/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/move.h"

#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/append.h"
#include "store/handle.h"
#include "store/job.h"
#include "store/segment.h"
#include "store/soonest.h"
#include "store/verdict.h"

unsigned move_next(struct store *s, uint32_t seg, uint32_t *at, struct move_record *out, unsigned max) {
    uint32_t used = sync_load_acq(&s->segs.seg[seg].used);
    unsigned n = 0;
    while (*at < used && n < max) {
        struct move_record *r = &out[n++];
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

uint64_t *move_slot(struct store *s, struct index_bucket *b, const struct move_record *r) {
    if (!r->piece) return index_find_loc(&s->ix, b, r->loc);
    struct owner o = {s, r->loc};
    return index_find(&s->ix, b, index_fp(&s->ix, r->hash), owns_piece, &o);
}

uint64_t move_look(struct store *s, const struct move_record *r, struct item *it) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r), seen = slot ? sync_load(slot) : 0;
    if (seen) item_read(it, segment_at(&s->segs, index_slot_loc(seen)));
    index_unlock_unchanged(b);
    return seen;
}

/* ------------------------------------------------------------------ moving */

/* Writes a soft purge into the decoded header that the copy is going to get: the sweep may have passed the segment that
 * the copy goes to. False: it has no field for the deadline. */
static bool apply_soft_to_copy(struct item *it, uint32_t deadline) {
    if (!(it->bits & ITEM_EXPIRY)) return false;
    it->bits = (uint8_t)((it->bits & ~(ITEM_STATE & ~ITEM_FETCHED)) | ITEM_STALE | ITEM_SOFT);
    if (it->expiry == 0 || it->expiry > deadline) it->expiry = deadline;
    return true;
}

bool move_allowed(struct store *s, struct index_bucket *b, uint64_t *slot, uint64_t loc, struct item *it) {
    struct store_worker *w = maintenance(s);
    uint32_t deadline;
    item_read(it, segment_at(&s->segs, loc));
    enum verdict v = verdict_of(w, it, &deadline);
    if (v == VERDICT_SOFT && !FAULT_POINT("evict.mutate.copy_without_soft") && !apply_soft_to_copy(it, deadline))
        v = VERDICT_PURGED;
    if (job_wants(s, it)) v = VERDICT_PURGED;
    if (v <= VERDICT_SOFT || FAULT_POINT("evict.mutate.copy_purged")) return true;
    if (v == VERDICT_EXPIRED) COUNT(w, expired, 1);
    if (v == VERDICT_EXPIRED && !(it->bits & ITEM_FETCHED)) COUNT(w, expired_unfetched, 1);
    if (v == VERDICT_PURGED) COUNT(w, purged_items, 1);
    if (v == VERDICT_PURGED) job_count(s, it);
    if (v == VERDICT_PURGED) COUNT(w, purged_bytes, item_record_bytes(it));
    index_remove(&s->ix, b, slot);
    account_removed(w, loc, it);
    return false;
}

void move_swing(struct store *s, uint64_t *slot, const struct item *old, uint64_t from, uint64_t to, unsigned freq) {
    struct store_worker *w = maintenance(s);
    uint8_t *p = segment_at(&s->segs, to);
    item_set_version(p, old->version);
    item_set_bits(p, old->bits);
    if (old->bits & ITEM_EXPIRY) item_set_expiry(p, old->expiry);
    soonest_note(s, segment_by_loc(s, to), old->expiry);
    index_swing(slot, to, freq);
    account_dead(w, from, item_record_bytes(old));
    COUNT(w, copied_items, 1);
}

uint64_t move_copy(struct store *s, uint64_t loc, uint32_t bytes, uint32_t target) {
    struct append rec;
    if (target != SEGMENT_NONE) {
        struct segment *g = &s->segs.seg[target];
        uint32_t used = sync_load(&g->used);
        if (used + bytes > s->segs.bytes) return 0;
        uint64_t to = segment_base(&s->segs, target) + used;
        item_copy_record(segment_at(&s->segs, to), segment_at(&s->segs, loc), bytes);
        sync_store_rel(&g->used, used + bytes);
        COUNT(maintenance(s), copied_bytes, bytes);
        return to;
    }
    if (!append_begin(maintenance(s), bytes, SEGMENT_MAIN, &rec)) return 0;
    item_copy_record(rec.p, segment_at(&s->segs, loc), bytes);
    append_end(maintenance(s), &rec);
    COUNT(maintenance(s), copied_bytes, bytes);
    return rec.loc;
}

/* A copy of a large item's record whose list names `to` instead of `from`. Returns 0 when there is no space. */
static uint64_t copy_head(struct store *s, uint64_t head, uint64_t from, uint64_t to, uint32_t target) {
    struct item it, copy;
    item_read(&it, segment_at(&s->segs, head));
    uint64_t loc = move_copy(s, head, item_record_bytes(&it), target);
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

/* Copies the piece without the lock, since it may be large; so its item may change or leave meanwhile. In the end one
 * of the two copies is dead. */
bool move_piece(struct store *s, const struct move_record *r, uint32_t target, bool forget) {
    const uint64_t copy = move_copy(s, r->loc, r->bytes, target);
    if (copy == 0) return false;
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r), dead = copy;
    bool ok = true;
    if (slot) {
        uint64_t from = index_slot_loc(sync_load(slot));
        struct item old;
        if (move_allowed(s, b, slot, from, &old)) {
            const uint64_t to = copy_head(s, from, r->loc, copy, target);
            ok = to != 0;
            unsigned freq = index_slot_freq(sync_load(slot));
            if (ok) move_swing(s, slot, &old, from, to, forget ? freq / 4 : freq);
            if (ok) dead = r->loc;
        }
    }
    account_dead(maintenance(s), dead, r->bytes);
    index_unlock(b);
    return ok;
}

bool move_item(struct store *s, const struct move_record *r, uint32_t target) {
    struct index_bucket *b = index_lock(&s->ix, r->hash);
    uint64_t *slot = move_slot(s, b, r);
    struct item it;
    bool ok = true;
    if (slot && move_allowed(s, b, slot, r->loc, &it)) {
        uint64_t to = move_copy(s, r->loc, r->bytes, target);
        ok = to != 0;
        if (ok) move_swing(s, slot, &it, r->loc, to, index_slot_freq(sync_load(slot)));
    }
    index_unlock(b);
    return ok;
}
