/* SPDX-License-Identifier: BSD-3-Clause
 *
 * read - look-ups without a lock: find the slot, copy the header, check that the bucket's word is still the same. */
#include "store/internal.h"

#define CHAIN_MAX 96 /* lines one look-up follows: a chain that changes meanwhile must not lead it round for ever */

struct found {
    uint64_t *slot;
    uint64_t seen; /* what the slot held */
    uint8_t *p;    /* the record */
};

/* If the slot holds the key. */
static inline bool try_slot(const struct store *s, const struct store_key *k, uint64_t *slot, struct found *f) {
    uint64_t seen = sync_load_acq(slot), loc = index_slot_loc(seen);
    uint8_t *p = segment_at(&s->segs, loc);
    if (loc == 0 || p[6] != k->len || !item_same_bytes(p + item_key_at(p), k->p, k->len)) return false;
    *f = (struct found){slot, seen, p};
    return true;
}

static bool try_chain(const struct store *s, const struct store_key *k, uint32_t fp, uint64_t word, struct found *f) {
    uint32_t n = index_word_head(word);
    for (unsigned i = 0; n && i < CHAIN_MAX; i++) {
        struct index_line *l = &s->ix.lines[n];
        for (unsigned m = index_match(l->slot, fp); m; m &= m - 1)
            if (try_slot(s, k, &l->slot[__builtin_ctz(m)], f)) return true;
        n = index_line_next(l);
    }
    return false;
}

/* Finds the key's record and copies its header as it was at one moment. */
static inline bool find(const struct store *s, const struct store_key *k, struct found *f, uint8_t header[32]) {
    uint32_t fp = index_fp(&s->ix, k->hash);
    for (;; sync_pause()) {
        struct index_bucket *b = index_bucket(&s->ix, k->hash);
        uint64_t word = sync_load_acq(&b->word);
        if (unlikely(word & INDEX_LOCK)) continue;
        (void)FAULT_POINT("read.word");
        bool hit = false;
        for (unsigned m = index_match(b->slot, fp); m && !hit; m &= m - 1)
            hit = try_slot(s, k, &b->slot[__builtin_ctz(m)], f);
        if (!hit && unlikely(index_word_count(word))) hit = try_chain(s, k, fp, word, f);
        if (hit) item_copy_header(header, f->p);
        sync_fence_load();
        if (unlikely(sync_load(&b->word) != word) && !FAULT_POINT("read.mutate.unchecked")) continue;
        if (hit) return true;
        if (FAULT_POINT("read.mutate.unchecked") || likely(index_belongs(&s->ix, b, word, k->hash))) return false;
    }
}

static inline bool find_item(struct store_worker *w, const struct store_key *k, struct found *f,
                             struct store_item *out) {
    uint8_t header[32];
    struct item it;
    if (!find(w->s, k, f, header)) return false;
    item_decode(&it, header, f->p);
    bool soft = item_softened(it.bits) && !(it.bits & ITEM_WON);
    if (unlikely(expired(it.expiry, w->now))) {
        COUNT(w, get_expired, 1);
        return false;
    }
    if (unlikely(it.birth <= sync_load_acq(&w->s->purge.seq))) {
        uint32_t deadline;
        struct item copy = it; /* so that the common way keeps its own in registers */
        enum verdict v = item_verdict_slow(w, &copy, &deadline);
        if (v > ITEM_SOFTLY) {
            COUNT(w, get_purged, 1);
            return false;
        }
        soft |= v == ITEM_SOFTLY;
    }
    item_show(&it, index_slot_loc(f->seen), soft, out);
    return true;
}

bool store_get(struct store_worker *w, const struct store_key *k, struct store_item *out) {
    struct found f;
    if (!find_item(w, k, &f, out)) return false;
    index_bump(f.slot, f.seen);
    return true;
}

bool store_peek(struct store_worker *w, const struct store_key *k, struct store_item *out) {
    struct found f;
    return find_item(w, k, &f, out);
}

void store_note_fetch(struct store_worker *w, const struct store_key *k, const struct store_item *it) {
    if (it->bits & STORE_FETCHED) return;
    struct change c;
    change_begin(&c, w, k);
    if (c.slot && c.loc == it->loc) item_set_bits(c.old.p, c.old.bits | ITEM_FETCHED);
    change_end(&c);
}

struct store_key store_key(const struct store *s, const char *p, size_t len) {
    return (struct store_key){p, len, hash_key(p, len, s->cfg.seed)};
}

void store_prefetch_bucket(const struct store_worker *w, const struct store_key *k) {
    __builtin_prefetch(index_bucket(&w->s->ix, k->hash));
}

void store_prefetch_item(const struct store_worker *w, const struct store_key *k) {
    const struct index_bucket *b = index_bucket(&w->s->ix, k->hash);
    unsigned m = index_match(b->slot, index_fp(&w->s->ix, k->hash));
    if (m == 0) {
        uint64_t word = sync_load(&b->word);
        if (index_word_count(word)) __builtin_prefetch(&w->s->ix.lines[index_word_head(word)]);
        return;
    }
    const uint8_t *p = segment_at(&w->s->segs, index_slot_loc(sync_load(&b->slot[__builtin_ctz(m)])));
    __builtin_prefetch(p);
    __builtin_prefetch(p + 64);
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
    uint32_t opened = sync_load(&segment_by_loc(w->s, it->loc)->opened);
    return w->now > opened ? w->now - opened : 0;
}

void store_item_tags(const struct store_item *it, uint64_t *out) {
    /* The tags lie right before the key. */
    memcpy(out, it->key - 8 * (size_t)it->ntags, 8 * (size_t)it->ntags);
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
    if (held == 1 && sync_load(&w->s->segs.seg[i].state) == SEGMENT_RETIRED) store_kick(w->s);
}
