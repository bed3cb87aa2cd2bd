/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/change.h"

#include "base/check.h"
#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/append.h"
#include "store/ghost.h"
#include "store/number.h"
#include "store/purge.h"
#include "store/record.h"
#include "store/soonest.h"
#include "store/state.h"
#include "store/tag.h"
#include "store/wake.h"

#define VERSION_TOP (1ull << 62) /* above every version: asks purge_overtook for announcements only */

/* Decodes the record that matches: it is the present one of the key. */
static inline __attribute__((always_inline)) bool decode_same(struct change *c, uint64_t loc) {
    uint8_t header[32];
    if (!record_is(c->w->s, loc, c->key, header)) return false;
    c->loc = loc;
    item_decode(&c->old, header, segment_at(&c->w->s->segs, loc));
    return true;
}

static bool same_key(void *arg, uint64_t loc) {
    return decode_same(arg, loc);
}

/* The slot of the key's record, or NULL. */
static inline __attribute__((always_inline)) uint64_t *find_slot(struct change *c) {
    struct index *ix = &c->w->s->ix;
    uint64_t *const likely_one = c->key->slot;
    if (likely_one != NULL && likely(c->b == c->key->bucket && decode_same(c, index_slot_loc(sync_load(likely_one)))))
        return likely_one;
    const uint32_t fp = index_fp(ix, c->key->hash);
    for (unsigned m = index_match(c->b->slot, fp); m; m &= m - 1) {
        uint64_t *slot = &c->b->slot[__builtin_ctz(m)];
        if (decode_same(c, index_slot_loc(sync_load(slot)))) return slot;
    }
    return index_word_count(sync_load(&c->b->word)) == 0 ? NULL : index_find(ix, c->b, fp, same_key, c);
}

void change_unlink(struct change *c) {
    const bool early = FAULT_POINT("change.mutate.dead_first");
    if (early) account_removed(c->w, c->loc, &c->old);
    (void)FAULT_POINT("change.unlinking");
    index_remove(&c->w->s->ix, c->b, c->slot);
    if (!early) account_removed(c->w, c->loc, &c->old);
    c->slot = NULL;
}

/* A record that may not be served any more is taken out by whoever meets it with the lock. */
static __attribute__((noinline)) void unlink_dead(struct change *c) {
    if (c->verdict == VERDICT_EXPIRED) {
        COUNT(c->w, expired, 1);
        if (!(c->old.bits & ITEM_FETCHED)) COUNT(c->w, expired_unfetched, 1);
    } else {
        COUNT(c->w, purged_items, 1);
        COUNT(c->w, purged_bytes, account_bytes(&c->old));
    }
    change_unlink(c);
}

static inline __attribute__((always_inline)) void begin(struct change *c, struct store_worker *w,
                                                        const struct store_key *k) {
    struct store *s = w->s;
    c->w = w;
    c->key = k;
    c->verdict = VERDICT_LIVE;
    c->deadline = 0;
    c->b = index_lock_at(&s->ix, k->bucket, k->hash);
    c->slot = find_slot(c);
    if (c->slot == NULL) {
        c->old.bits = 0; /* nothing stale, nothing won */
        return;
    }
    c->verdict = verdict_of(w, &c->old, &c->deadline);
    if (c->verdict == VERDICT_PURGED || c->verdict == VERDICT_EXPIRED) unlink_dead(c);
}

void change_begin(struct change *c, struct store_worker *w, const struct store_key *k) {
    c->nread = 0;
    begin(c, w, k);
}

void change_end(struct change *c) {
    index_unlock(c->b);
}

void change_end_unchanged(struct change *c) {
    index_unlock_unchanged(c->b);
}

static inline enum segment_queue queue_of(const struct change *c) {
    if (c->slot) return (enum segment_queue)sync_load(&segment_by_loc(c->w->s, c->loc)->queue);
    if (!ghost_has(&c->w->s->ghost, c->key->hash)) return SEGMENT_SMALL;
    COUNT(c->w, ghost_hits, 1);
    return SEGMENT_MAIN;
}

/* The record at loc has given way to one of so many bytes in its slot. pieces: its pieces are dead, too. */
static __attribute__((noinline)) void replaced_large(struct store_worker *w, uint64_t loc, uint64_t bytes,
                                                     const struct item *old, bool pieces) {
    COUNT(w, bytes_added, bytes);
    COUNT(w, bytes_removed, account_bytes(old));
    if (pieces) account_pieces_dead(w, old);
    account_dead(w, loc, item_record_bytes(old));
}

static inline void replaced(struct store_worker *w, uint64_t loc, uint64_t bytes, const struct item *old, bool pieces) {
    if (unlikely(item_large(old))) {
        replaced_large(w, loc, bytes, old, pieces);
        return;
    }
    const uint32_t before = old->value_at + (old->len & ITEM_LEN_MASK);
    COUNT(w, bytes_added, bytes);
    COUNT(w, bytes_removed, before);
    account_dead(w, loc, before);
}

/* Puts the new record at loc into the old one's slot, or a free one. False: the index has none. Accounting is the
 * caller's. */
static inline bool change_slot(struct change *c, const struct segment *g, uint64_t loc) {
    struct store *s = c->w->s;
    if (c->slot) {
        index_relocate(c->slot, loc);
    } else {
        unsigned freq = sync_load(&g->queue) == SEGMENT_MAIN;
        if (!index_insert(&s->ix, c->b, index_slot_make(loc, index_fp(&s->ix, c->key->hash), freq))) return false;
        c->slot = index_find_loc(&s->ix, c->b, loc);
    }
    c->loc = loc;
    c->verdict = VERDICT_LIVE;
    return true;
}

/* As change_link; same_pieces: the new record has the pieces of the old one, which go on living. */
static bool link_record(struct change *c, uint64_t loc, uint64_t version, bool same_pieces) {
    struct store_worker *w = c->w;
    uint8_t *p = segment_at(&w->s->segs, loc);
    struct item it;
    (void)FAULT_POINT("store.versioned");
    item_set_version(p, version);
    item_read(&it, p);
    struct segment *g = segment_by_loc(w->s, loc);
    soonest_note(w->s, g, it.expiry);
    const bool had = c->slot != NULL;
    const uint64_t was = c->loc;
    if (!change_slot(c, g, loc)) {
        account_dead(w, loc, item_record_bytes(&it));
        return false;
    }
    if (had) {
        replaced(w, was, account_bytes(&it), &c->old, !same_pieces || FAULT_POINT("change.mutate.pieces_dead"));
    } else {
        account_added(w, &it);
    }
    (void)FAULT_POINT("change.accounting");
    c->old = it;
    return true;
}

bool change_link(struct change *c, uint64_t loc, uint64_t version) {
    return link_record(c, loc, version, false);
}

bool change_rewrite(struct change *c, const struct rewrite *r, uint64_t version) {
    const struct item *o = &c->old;
    struct item_spec spec = {.key = (const char *)o->p + o->key_at,
                             .key_len = o->key_len,
                             .tags = r->tags ? (const void *)r->tags : o->p + o->tags_at,
                             .ntags = r->tags ? (uint8_t)r->ntags : o->ntags,
                             .expiry = r->expiry,
                             .flags = r->flags,
                             .len = o->len,
                             .value_bytes = item_value_bytes(o),
                             .bits = r->bits & ITEM_STATE};
    if (r->has_cas || ((o->bits & ITEM_CAS) && !r->drop_cas)) {
        spec.bits |= ITEM_CAS;
        spec.cas = r->has_cas ? r->cas : o->cas;
    }
    if (item_moved(o)) item_spec_move(&spec);
    item_spec_layout(&spec);
    struct append rec;
    if (!append_begin(c->w, item_spec_bytes(&spec), queue_of(c), &rec)) return false;
    memcpy(item_write(rec.p, &spec), o->p + o->value_at, spec.value_bytes);
    append_end(c->w, &rec);
    return link_record(c, rec.loc, version, true);
}

bool change_state(struct change *c, uint8_t bits, uint32_t expiry, uint64_t version) {
    struct item *o = &c->old;
    bool new_id = version != o->version;
    if ((expiry != 0 && !(o->bits & ITEM_EXPIRY)) || (new_id && (o->bits & ITEM_CAS))) {
        struct rewrite r = {.bits = bits, .expiry = expiry, .flags = o->flags, .drop_cas = new_id};
        return change_rewrite(c, &r, version);
    }
    const uint8_t state = (uint8_t)((o->bits & ~ITEM_STATE) | (bits & ITEM_STATE));
    if (expiry == o->expiry && !new_id) {
        item_set_bits(o->p, state); /* one byte: readers see it as it was or as it is */
    } else {
        index_write_begin(c->b);
        if (expiry != o->expiry) item_set_expiry(o->p, expiry);
        item_set_bits(o->p, state);
        (void)FAULT_POINT("change.writing");
        if (new_id) item_set_version(o->p, version);
        index_write_end(c->b);
        soonest_note(c->w->s, segment_by_loc(c->w->s, c->loc), expiry); /* after: see sweep_segment */
    }
    item_read(o, o->p);
    return true;
}

/* Of which version the present record is as to tags that it does not carry. */
static uint64_t version_for_others(const struct change *c) {
    return item_moved(&c->old) && !FAULT_POINT("change.mutate.moved_unseen") ? 0 : c->old.version;
}

enum purge_verdict change_check_more(const struct change *c, const uint64_t *tags, unsigned n, uint32_t *deadline) {
    uint64_t had[TAG_ALL_MAX], sorted[TAG_ALL_MAX]; /* those that it carries first */
    const unsigned nhad = tag_all(c->w->s, &c->old, had);
    unsigned nown = 0, at = n;
    CHECK(n <= TAG_ALL_MAX);
    for (unsigned i = 0; i < n; i++) sorted[tag_holds(had, nhad, &tags[i], 1) ? nown++ : --at] = tags[i];
    return purge_check_read(&c->w->s->purge, c->old.version, version_for_others(c), sorted, nown, n, c->w->now,
                            deadline);
}

enum carry change_carry(struct change *c, const uint64_t *tags, unsigned n, uint32_t *deadline) {
    const struct purge_table *t = &c->w->s->purge;
    if (FAULT_POINT("change.mutate.carry_blindly")) return CARRY_LIVE;
    if (purge_overtook(t, VERSION_TOP, tags, n, NULL, 0)) return CARRY_DEAD;
    /* While a sweep carries out a conjunction that the table could not file, an older item that it may select must not
     * get away with a new version, nor into a segment that the sweep has passed. */
    if (n > 1 && sync_load_acq(&t->unfiled) > c->old.version && !FAULT_POINT("change.mutate.no_fence"))
        return CARRY_DEAD;
    enum purge_verdict v = unlikely(item_moved(&c->old)) ? change_check_more(c, tags, n, deadline)
                                                         : purge_check(t, c->old.version, tags, n, c->w->now, deadline);
    return v == PURGE_FRESH ? CARRY_LIVE : v == PURGE_SOFT ? CARRY_SOFT : CARRY_DEAD;
}

enum carry change_carry_own(struct change *c, uint32_t *deadline) {
    const struct purge_table *t = &c->w->s->purge;
    uint64_t all[TAG_READ_MAX];
    uint32_t read_deadline;
    const unsigned nown = tag_all(c->w->s, &c->old, all), n = tag_unite(all, nown, c->read, c->nread);
    enum carry carry = change_carry(c, all, nown, deadline);
    if (n == nown || carry == CARRY_DEAD || FAULT_POINT("change.mutate.read_unasked")) return carry;
    /* A purge of tags that the reader names may be known already and not yet be in `seq`. */
    if (purge_overtook(t, VERSION_TOP, all, n, NULL, 0)) return CARRY_DEAD;
    enum purge_verdict v =
        purge_check_read(t, c->old.version, version_for_others(c), all, nown, n, c->w->now, &read_deadline);
    if (v == PURGE_FRESH) return CARRY_LIVE;
    *deadline = read_deadline; /* of all tags, the item's own too */
    return v == PURGE_SOFT ? CARRY_SOFT : CARRY_DEAD;
}

/* The old item's state bits and expiry as a new record with its content has them. */
void change_carry_state(const struct change *c, enum carry carry, uint32_t deadline, uint8_t *bits, uint32_t *expiry) {
    *bits = item_softly_stale(c->old.bits) ? c->old.bits & (ITEM_SOFT | ITEM_STALE | ITEM_WON) : 0;
    if (carry != CARRY_SOFT) return;
    *bits = ITEM_SOFT | ITEM_STALE;
    if (*expiry == 0 || *expiry > deadline) *expiry = deadline;
}

/* The old record turned out dead after all. */
void change_drop(struct change *c) {
    if (c->slot == NULL) return;
    COUNT(c->w, purged_items, 1);
    COUNT(c->w, purged_bytes, account_bytes(&c->old));
    change_unlink(c);
}

void change_show(const struct change *c, struct store_item *out) {
    if (out == NULL) return;
    uint8_t *p = segment_at(&c->w->s->segs, c->loc), header[32];
    item_copy_header(header, p); /* a reader may just be noting in it that the item was read */
    record_show(header, p, c->loc, out);
    out->soft |= c->verdict == VERDICT_SOFT;
}

enum store_status change_no_segment(const struct store *s) {
    return s->cfg.evict && !sync_load(&s->exhausted) ? STORE_AGAIN : STORE_NO_MEMORY;
}

/* Whether the key has a slot of the index, or may have one. The lock is held until then, so nobody else takes it. */
static inline bool slot_to_be_had(const struct change *c) {
    return c->slot != NULL || !index_bucket_full(c->b);
}

/* Whether a full bucket is one because the index has not grown yet. Else the keys were chosen to fill it. */
static bool index_is_behind(const struct store *s) {
    return index_to_grow(&s->ix, store_items(s)) && !FAULT_POINT("change.mutate.never_wait");
}

enum store_status change_no_room(const struct change *c) {
    struct store *s = c->w->s;
    if (slot_to_be_had(c)) return change_no_segment(s);
    if (!index_is_behind(s)) return STORE_NO_MEMORY;
    sync_store(&s->index_waits, true);
    wake_maintenance(s);
    return STORE_AGAIN;
}

bool change_append(struct change *c, uint32_t bytes, struct append *rec) {
    return slot_to_be_had(c) && append_begin(c->w, bytes, queue_of(c), rec);
}

/* Forced inline: most changes are a set, and all of a set is one function. */
static inline __attribute__((always_inline)) bool place(struct change *c, struct item_spec *spec, const char *value,
                                                        struct append *rec) {
    item_spec_layout(spec);
    if (unlikely(!slot_to_be_had(c)) || !append_begin(c->w, item_spec_bytes(spec), queue_of(c), rec)) return false;
    uint8_t *to = item_write(rec->p, spec);
    if (spec->value_bytes) memcpy(to, value, spec->value_bytes);
    return true;
}

enum store_status change_write(struct change *c, struct item_spec *spec, const char *value, bool carried) {
    struct append rec;
    if (carried && item_moved(&c->old)) item_spec_move(spec);
    if (!place(c, spec, value, &rec)) return change_no_room(c);
    uint64_t version = number_take(c->w, c->slot ? c->old.version : 0);
    (void)FAULT_POINT("store.put.versioned");
    if (carried) {
        uint32_t deadline = 0;
        enum carry carry = change_carry_own(c, &deadline);
        if (carry == CARRY_DEAD || (carry == CARRY_SOFT && !(spec->bits & ITEM_EXPIRY))) {
            append_cancel(c->w, &rec);
            change_drop(c);
            return STORE_NOT_FOUND;
        }
        if (carry == CARRY_SOFT) {
            uint8_t bits;
            change_carry_state(c, carry, deadline, &bits, &spec->expiry);
            item_set_bits(rec.p, (uint8_t)((spec->bits & ~ITEM_STATE) | bits));
            item_set_expiry(rec.p, spec->expiry);
        }
    }
    append_end(c->w, &rec);
    (void)FAULT_POINT("store.put.checked");
    return change_link(c, rec.loc, version) ? STORE_OK : STORE_NO_MEMORY;
}

enum store_status change_set(struct store_worker *w, const struct store_key *k, struct item_spec *spec,
                             const char *value, uint64_t since, struct store_item *out) {
    struct change c;
    struct append rec;
    enum store_status st = STORE_OK;
    begin(&c, w, k);
    if (since > 0 && unlikely(c.slot == NULL || c.old.version <= since)) {
        change_end_unchanged(&c);
        return STORE_NOT_FOUND;
    }
    if (unlikely(!place(&c, spec, value, &rec))) {
        st = change_no_room(&c);
    } else {
        const bool had = c.slot != NULL;
        const uint64_t version = number_take(w, had ? c.old.version : 0), was = c.loc;
        (void)FAULT_POINT("store.put.versioned");
        append_end(w, &rec);
        (void)FAULT_POINT("store.put.checked");
        item_set_version(rec.p, version);
        if (spec->expiry) soonest_note(w->s, rec.g, spec->expiry);
        if (unlikely(!change_slot(&c, rec.g, rec.loc))) {
            account_dead(w, rec.loc, rec.bytes);
            st = STORE_NO_MEMORY;
        } else {
            if (likely(had)) {
                replaced(w, was, rec.bytes, &c.old, true);
            } else {
                COUNT(w, items_added, 1);
                COUNT(w, bytes_added, rec.bytes);
            }
            COUNT(w, total_items, 1);
            change_show(&c, out);
        }
    }
    change_end(&c);
    return st;
}
