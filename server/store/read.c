/* SPDX-License-Identifier: BSD-3-Clause
 *
 * read - look-ups without a lock: find the slot, copy the header, check that the bucket's word is still the same. */
#include "base/check.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/sync.h"
#include "store/age.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/purge.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/tag.h"
#include "store/verdict.h"
#include "store/wake.h"

#define PREFETCH_TAGS 4 /* of one item */
#define CHAIN_MAX 96    /* lines one look-up follows: a chain that changes meanwhile must not lead it round for ever */

struct found {
    uint64_t *slot;
    uint64_t seen; /* what the slot held */
    uint8_t header[32];
};

/* If the slot holds the key. */
static inline __attribute__((always_inline)) bool try_slot(const struct store *s, const struct store_key *k,
                                                           uint64_t *slot, struct found *f) {
    f->slot = slot;
    f->seen = sync_load_acq(slot);
    return record_is(s, index_slot_loc(f->seen), k, f->header);
}

static inline bool try_bucket(const struct store *s, const struct store_key *k, uint32_t fp, struct index_bucket *b,
                              struct found *f) {
    for (unsigned m = index_match(b->slot, fp); m; m &= m - 1)
        if (try_slot(s, k, &b->slot[__builtin_ctz(m)], f)) return true;
    return false;
}

static __attribute__((noinline)) bool try_chain(const struct store *s, const struct store_key *k, uint32_t fp,
                                                uint64_t word, struct found *f) {
    uint32_t n = index_word_head(word);
    for (unsigned i = 0; n && i < CHAIN_MAX; i++) {
        struct index_line *l = &s->ix.lines[n];
        for (unsigned m = index_match(l->slot, fp); m; m &= m - 1)
            if (try_slot(s, k, &l->slot[__builtin_ctz(m)], f)) return true;
        n = index_line_next(l);
    }
    return false;
}

static inline bool still(const struct index_bucket *b, uint64_t word) {
    return index_unchanged(b, word) || FAULT_POINT("read.mutate.unchecked");
}

static bool try_all(const struct store *s, const struct store_key *k, uint32_t fp, struct index_bucket *b,
                    uint64_t word, struct found *f) {
    return try_bucket(s, k, fp, b, f) || (index_word_count(word) > 0 && try_chain(s, k, fp, word, f));
}

/* Looks with the bucket's lock held, after many looks without it failed: the bucket changes all the time, or a thread
 * that was writing to a record in place does not run. */
static __attribute__((noinline)) bool find_locked(struct store *s, const struct store_key *k, struct found *f) {
    struct index_bucket *b = index_lock(&s->ix, k->hash);
    bool hit = try_all(s, k, index_fp(&s->ix, k->hash), b, sync_load(&b->word), f);
    index_unlock_unchanged(b);
    return hit;
}

/* Finds the key's record, wherever it is, and copies its header as it was at one moment. */
static __attribute__((noinline)) bool find_slow(struct store *s, const struct store_key *k, struct found *f) {
    const uint32_t fp = index_fp(&s->ix, k->hash);
    struct index_bucket *b = k->bucket;
    for (unsigned turns = 0; turns < SYNC_TURNS; turns++) {
        uint64_t word = sync_load_acq(&b->word);
        (void)FAULT_POINT("read.word");
        bool hit = try_all(s, k, fp, b, word, f);
        if (still(b, word)) {
            if (hit) return true;
            if (index_belongs(&s->ix, b, word, k->hash) || FAULT_POINT("read.mutate.unchecked")) return false;
            b = index_bucket(&s->ix, k->hash);
        }
        sync_pause();
    }
    return find_locked(s, k, f);
}

/* The same. As a rule one slot of the bucket has the fingerprint, and is the key's; if none has it, the key may be
 * among the bucket's overflow. */
static inline __attribute__((always_inline)) bool find(struct store *s, const struct store_key *k, struct found *f) {
    struct index_bucket *b = k->bucket;
    uint64_t *slot = k->slot;
    const uint64_t word = sync_load_acq(&b->word);
    (void)FAULT_POINT("read.word");
    if (slot == NULL) {
        const uint32_t fp = index_fp(&s->ix, k->hash);
        const unsigned m = index_match(b->slot, fp);
        if (m == 0) return (try_chain(s, k, fp, word, f) && likely(still(b, word))) || find_slow(s, k, f);
        slot = &b->slot[__builtin_ctz(m)];
    }
    return (likely(try_slot(s, k, slot, f)) && likely(still(b, word))) || find_slow(s, k, f);
}

/* The purge table may know something of the item's tags: asks it. False, and counted: a purge has taken the item. Sets
 * out->soft if the item is softly purged. */
static __attribute__((noinline)) bool not_purged(struct store_worker *w, const struct found *f,
                                                 struct store_item *out) {
    struct item it;
    uint32_t deadline;
    item_decode(&it, f->header, segment_at(&w->s->segs, out->loc));
    enum verdict v = verdict_slow(w, &it, &deadline);
    if (v > VERDICT_SOFT) {
        COUNT(w, get_purged, 1);
        return false;
    }
    out->soft |= v == VERDICT_SOFT;
    return true;
}

/* Whether an item that was there before the latest purge may be served. */
static inline bool survives(struct store_worker *w, const struct found *f, struct store_item *out) {
    if (likely(w->s->cfg.prefix_delimiter == 0)) { /* the item's own tags are all there are; they lie before its key */
        const uint8_t *tags = (const uint8_t *)out->key - 8 * (size_t)out->ntags;
        if (likely(purge_unknown(&w->s->purge, out->version, tags, out->ntags))) {
            COUNT(w, tag_lookups, out->ntags);
            return true;
        }
    }
    return not_purged(w, f, out);
}

static inline __attribute__((always_inline)) bool find_item(struct store_worker *w, const struct store_key *k,
                                                            struct found *f, struct store_item *out) {
    if (!find(w->s, k, f)) return false;
    (void)FAULT_POINT("read.found");
    const uint64_t loc = index_slot_loc(f->seen);
    record_show(f->header, segment_at(&w->s->segs, loc), loc, out);
    if (unlikely(verdict_expired(out->expiry, w->now))) {
        COUNT(w, get_expired, 1);
        return false;
    }
    return likely(out->version > sync_load_acq(&w->s->purge.seq)) || survives(w, f, out);
}

bool store_get(struct store_worker *w, const struct store_key *k, struct store_item *out) {
    struct found f;
    if (!find_item(w, k, &f, out)) return false;
    index_bump(f.slot, f.seen);
    return true;
}

bool store_get_read(struct store_worker *w, const struct store_key *k, const uint64_t *read, unsigned nread, bool count,
                    struct store_item *out) {
    struct found f;
    struct item it;
    uint32_t deadline;
    if (!find_item(w, k, &f, out)) return false;
    item_decode(&it, f.header, segment_at(&w->s->segs, out->loc));
    enum verdict v = verdict_for_reader(w, &it, read, nread, &deadline);
    if (v > VERDICT_SOFT) {
        COUNT(w, get_purged, 1);
        return false;
    }
    out->soft |= v == VERDICT_SOFT;
    if (count) index_bump(f.slot, f.seen);
    return true;
}

bool store_peek(struct store_worker *w, const struct store_key *k, struct store_item *out) {
    struct found f;
    return find_item(w, k, &f, out);
}

enum store_found store_explain(struct store_worker *w, const struct store_key *k, struct store_item *out,
                               struct store_cause *cause) {
    struct found f;
    struct item it;
    uint32_t deadline;
    *cause = (struct store_cause){0};
    if (!find(w->s, k, &f)) return STORE_ABSENT;
    const uint64_t loc = index_slot_loc(f.seen);
    record_show(f.header, segment_at(&w->s->segs, loc), loc, out);
    item_decode(&it, f.header, segment_at(&w->s->segs, loc));
    const enum verdict v = verdict_of(w, &it, &deadline);
    if (v == VERDICT_SOFT || v == VERDICT_PURGED) cause->number = verdict_cause(w, &it, &cause->tag);
    switch (v) {
    case VERDICT_LIVE: return STORE_LIVE;
    case VERDICT_SOFT: return STORE_SOFT_PURGED;
    case VERDICT_PURGED: return STORE_HARD_PURGED;
    case VERDICT_EXPIRED: break;
    }
    return STORE_ABSENT;
}

/* Without the bucket's lock, which the maintenance thread may hold: if the item is written anew meanwhile, the bit
 * stays with the old record, and the next reader sets it in the new one. */
void store_note_fetch(struct store_worker *w, const struct store_item *it) {
    if (!(it->bits & STORE_FETCHED)) item_note_fetched(segment_at(&w->s->segs, it->loc));
}

static inline void set_key(const struct store *s, struct store_key *k, const char *p, size_t len, uint64_t hash) {
    k->p = p;
    k->len = len;
    k->hash = hash;
    k->bucket = index_bucket(&s->ix, hash);
    k->slot = NULL;
}

/* Apart from store_key_hash, which so needs no stack frame for the usual keys. */
static __attribute__((noinline)) void hash_long_key(const struct store *s, struct store_key *k, const char *p,
                                                    size_t len) {
    set_key(s, k, p, len, hash_long(p, len, s->cfg.seed));
    __builtin_prefetch(k->bucket);
}

void store_key_hash(const struct store *s, struct store_key *k, const char *p, size_t len) {
    if (unlikely(len > HASH_SHORT)) {
        hash_long_key(s, k, p, len);
        return;
    }
    set_key(s, k, p, len, hash_key(p, len, s->cfg.seed));
    __builtin_prefetch(k->bucket);
}

void store_prefetch_item(const struct store_worker *w, struct store_key *k) {
    struct index_bucket *b = k->bucket;
    unsigned m = index_match(b->slot, index_fp(&w->s->ix, k->hash));
    if (unlikely(m == 0)) {
        uint64_t word = sync_load(&b->word);
        if (index_word_count(word)) __builtin_prefetch(&w->s->ix.lines[index_word_head(word)]);
        return;
    }
    k->slot = &b->slot[__builtin_ctz(m)];
    const uint8_t *p = segment_at(&w->s->segs, index_slot_loc(sync_load(k->slot)));
    __builtin_prefetch(p); /* header and key; most values are small enough to come along */
    __builtin_prefetch(p + 64);
    __builtin_prefetch(p + 128);
}

/* Only to bring memory near, so it need not be what it is in a moment. */
SYNC_UNSANITIZED void store_prefetch_tags(const struct store_worker *w, const struct store_key *k) {
    const struct store *s = w->s;
    if (k->slot == NULL) return;
    const uint8_t *p = segment_at(&s->segs, index_slot_loc(*k->slot));
    if (!(p[7] & ITEM_TAGS)) return;
    __builtin_prefetch(p + 192); /* so far behind lies the value then */
    const unsigned at = item_count_at(p, item_tags_at(p)), n = p[at] < PREFETCH_TAGS ? p[at] : PREFETCH_TAGS;
    for (unsigned i = 0; i < n; i++) {
        uint64_t tag;
        memcpy(&tag, p + at + 1 + 8 * i, 8);
        if (!purge_filter_has(&s->purge, tag)) continue;
        __builtin_prefetch(purge_first(&s->purge, tag));
        __builtin_prefetch(purge_second(&s->purge, tag));
    }
}

bool store_purged(const struct store_worker *w) {
    return sync_load(&w->s->purge.seq) != 0;
}

/* ------------------------------------------------------------------ what was found */

static void reread(const struct store_worker *w, const struct store_item *it, struct item *out) {
    item_read(out, segment_at(&w->s->segs, it->loc));
}

unsigned store_item_spans(const struct store_worker *w, const struct store_item *it, struct iovec *iov, unsigned from,
                          unsigned max) {
    struct item r;
    reread(w, it, &r);
    unsigned n = item_large(&r) ? item_pieces(&r) : it->size > 0;
    for (unsigned i = from; i < n && i - from < max; i++) {
        if (!item_large(&r)) {
            iov[0] = (struct iovec){r.p + r.value_at, (size_t)it->size};
            continue;
        }
        uint64_t loc;
        uint32_t bytes;
        item_piece(&r, i, &loc, &bytes);
        iov[i - from] = (struct iovec){segment_at(&w->s->segs, loc + ITEM_PIECE_HEADER), bytes};
    }
    return n;
}

uint32_t store_item_age(const struct store_worker *w, const struct store_item *it) {
    const uint32_t then = age_second(&w->s->ages, it->version);
    return w->now > then ? w->now - then : 0;
}

void store_item_tags(const struct store_item *it, uint64_t *out) {
    /* The tags lie right before the key. */
    memcpy(out, it->key - 8 * (size_t)it->ntags, 8 * (size_t)it->ntags);
}

bool store_item_selected(const struct store_worker *w, const struct store_item *it, const struct store_selector *sel) {
    uint64_t tags[TAG_ALL_MAX];
    store_item_tags(it, tags);
    const unsigned n = tag_prefixes(w->s, it->key, it->key_len, tags, it->ntags);
    return tag_holds(tags, n, sel->tags, sel->ntags);
}

/* ------------------------------------------------------------------ pins */

uint64_t store_pin(struct store_worker *w, const void *bytes) {
    struct store *s = w->s;
    uint32_t i = segment_of(&s->segs, segment_loc(&s->segs, bytes));
    uint32_t held = sync_load(&w->pins[i]);
    if (held == 0) {
        if (sync_load(&s->pinned) > sync_load(&s->segs.limit) / 8) return 0;
        sync_add(&s->pinned, 1);
    }
    /* Before the section ends: whoever retires the segment waits for the section, then looks at the pins. */
    sync_store_seq(&w->pins[i], held + 1);
    return (uint64_t)i + 1;
}

void store_unpin(struct store_worker *w, uint64_t token) {
    uint32_t i = (uint32_t)(token - 1), held = sync_load(&w->pins[i]);
    CHECK(held > 0);
    sync_store_rel(&w->pins[i], held - 1);
    if (held == 1) sync_sub(&w->s->pinned, 1);
    if (held == 1 && sync_load(&w->s->segs.seg[i].state) == SEGMENT_RETIRED) wake_maintenance(w->s);
}
