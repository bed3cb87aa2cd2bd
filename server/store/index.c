/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/index.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/pages.h"

#define LINE_NEXT_MASK ((1ull << 28) - 1)
#define LINE_OWNER_SHIFT(i) (28 + 3 * (i))
#define WALK_MAX 96 /* lines one look-up follows */

static void set_groups(struct index *ix, uint64_t n) {
    sync_store_rel(&ix->mask, (2ull << (63 - __builtin_clzll(n))) - 1);
    sync_store_rel(&ix->groups, n);
}

int index_init(struct index *ix, uint64_t min_items, uint64_t max_items, bool hugepages) {
    memset(ix, 0, sizeof *ix);
    uint64_t groups = 1;
    while (groups * INDEX_GROUP_SLOTS < min_items) groups <<= 1;
    ix->min_groups = ix->touched = groups;
    set_groups(ix, groups);
    ix->min_depth = (unsigned)__builtin_ctzll(groups);
    ix->fp_shift = 3 + ix->min_depth;
    ix->max_groups = max_items / (INDEX_GROUP_SLOTS / 2) + groups;
    if (ix->max_groups > groups << INDEX_FP_BITS) ix->max_groups = groups << INDEX_FP_BITS;
    ix->max_lines = max_items / 3 + 65536; /* address space only */
    if (ix->max_lines > LINE_NEXT_MASK) ix->max_lines = LINE_NEXT_MASK;
    ix->line_limit = 1;
    ix->hugepages = hugepages;
    const size_t bytes = ix->max_groups * INDEX_BUCKETS * sizeof *ix->buckets;
    ix->buckets = pages_new(bytes);
    if (hugepages && ix->buckets) madvise(ix->buckets, bytes, MADV_HUGEPAGE);
    ix->lines = pages_new((ix->max_lines + 1) * sizeof *ix->lines);
    ix->heads = pages_new(ix->max_groups * sizeof *ix->heads);
    void *free_lines = pages_new(lowest_bytes((uint32_t)ix->max_lines + 1));
    if (free_lines) lowest_init(&ix->free_lines, (uint32_t)ix->max_lines + 1, free_lines);
    if (ix->buckets == NULL || ix->lines == NULL || ix->heads == NULL || free_lines == NULL) {
        index_fini(ix);
        return -ENOMEM;
    }
    return 0;
}

void index_fini(struct index *ix) {
    pages_free(ix->buckets, ix->max_groups * INDEX_BUCKETS * sizeof *ix->buckets);
    pages_free(ix->lines, (ix->max_lines + 1) * sizeof *ix->lines);
    pages_free(ix->heads, ix->max_groups * sizeof *ix->heads);
    pages_free(ix->free_lines.level[0], lowest_bytes((uint32_t)ix->max_lines + 1));
    ix->buckets = NULL;
    ix->lines = NULL;
    ix->heads = NULL;
    ix->free_lines.level[0] = NULL;
}

/* ------------------------------------------------------------------ locks */

/* Waits for a lock that is held for longer than anybody who runs would. */
static void bucket_sleep(struct index_bucket *b) {
    for (;;) {
        uint64_t w = sync_load(&b->word);
        if (!(w & INDEX_LOCK)) { /* taken as awaited: others may sleep on it, too */
            if (sync_cas(&b->word, &w, w | INDEX_HELD)) return;
        } else if ((w & INDEX_AWAITED) || sync_cas(&b->word, &w, w | INDEX_AWAITED)) {
            sync_sleep(index_futex(b), (uint32_t)(w | INDEX_AWAITED));
        }
    }
}

static void bucket_lock(struct index_bucket *b) {
    for (unsigned i = 0; i < SYNC_TURNS; i++) {
        uint64_t w = sync_load(&b->word);
        if (!(w & INDEX_LOCK) && sync_cas(&b->word, &w, w | INDEX_LOCK)) return;
        sync_pause();
    }
    bucket_sleep(b);
}

struct index_bucket *index_lock(struct index *ix, uint64_t hash) {
    for (;;) {
        struct index_bucket *b = index_bucket(ix, hash);
        bucket_lock(b);
        if (likely(index_belongs(ix, b, sync_load(&b->word), hash))) return b;
        index_unlock_unchanged(b);
    }
}

static uint64_t group_of(const struct index *ix, const struct index_bucket *b) {
    return (uint64_t)(b - ix->buckets) / INDEX_BUCKETS;
}

static unsigned owner_of(const struct index *ix, const struct index_bucket *b) {
    return (unsigned)(b - ix->buckets) % INDEX_BUCKETS;
}

/* ------------------------------------------------------------------ overflow lines */

static struct sync_spin *stripe(struct index *ix, uint64_t group) {
    return &ix->stripes[group % INDEX_STRIPES];
}

static unsigned line_owner(uint64_t word, unsigned i) {
    return (unsigned)(word >> LINE_OWNER_SHIFT(i)) & 7;
}

static void line_put(struct index_line *l, unsigned i, unsigned owner, uint64_t slot) {
    uint64_t w = sync_load(&l->word);
    w = (w & ~(7ull << LINE_OWNER_SHIFT(i))) | (uint64_t)owner << LINE_OWNER_SHIFT(i);
    sync_store_rel(&l->word, w);
    sync_store_rel(&l->slot[i], slot);
}

/* Puts a slot into the group's chain; returns the chain's head, 0 if there is no memory. Stripe held. */
static uint32_t chain_put(struct index *ix, uint64_t group, unsigned owner, uint64_t slot) {
    uint32_t head = ix->heads[group];
    for (uint32_t n = head; n; n = index_line_next(&ix->lines[n]))
        for (unsigned i = 0; i < INDEX_SLOTS; i++)
            if (sync_load(&ix->lines[n].slot[i]) == 0) {
                line_put(&ix->lines[n], i, owner, slot);
                return head;
            }
    uint32_t fresh = index_line_take(ix);
    if (fresh == 0) return 0;
    line_put(&ix->lines[fresh], 0, owner, slot);
    if (head == 0) return ix->heads[group] = fresh;
    /* Behind the head, so that the head stays where the buckets' words say it is. */
    uint64_t next = sync_load(&ix->lines[head].word) & LINE_NEXT_MASK;
    sync_store_rel(&ix->lines[fresh].word, (sync_load(&ix->lines[fresh].word) & ~LINE_NEXT_MASK) | next);
    sync_store_rel(&ix->lines[head].word, (sync_load(&ix->lines[head].word) & ~LINE_NEXT_MASK) | fresh);
    return head;
}

/* ------------------------------------------------------------------ finding, under the lock */

uint64_t *index_find(struct index *ix, struct index_bucket *b, uint32_t fp, bool (*fn)(void *arg, uint64_t loc),
                     void *arg) {
    uint64_t word = sync_load(&b->word);
    for (unsigned m = index_match(b->slot, fp); m; m &= m - 1) {
        uint64_t *s = &b->slot[__builtin_ctz(m)], loc = index_slot_loc(sync_load(s));
        if (loc && fn(arg, loc)) return s;
    }
    if (index_word_count(word) == 0) return NULL;
    for (uint32_t n = index_word_head(word), k = 0; n && k < WALK_MAX; n = index_line_next(&ix->lines[n]), k++)
        for (unsigned m = index_match(ix->lines[n].slot, fp); m; m &= m - 1) {
            uint64_t *s = &ix->lines[n].slot[__builtin_ctz(m)], loc = index_slot_loc(sync_load(s));
            if (loc && fn(arg, loc)) return s;
        }
    return NULL;
}

uint64_t *index_find_loc(struct index *ix, struct index_bucket *b, uint64_t loc) {
    for (unsigned i = 0; i < INDEX_SLOTS; i++)
        if (index_slot_loc(sync_load(&b->slot[i])) == loc) return &b->slot[i];
    uint64_t word = sync_load(&b->word);
    if (index_word_count(word) == 0) return NULL;
    for (uint32_t n = index_word_head(word); n; n = index_line_next(&ix->lines[n]))
        for (unsigned i = 0; i < INDEX_SLOTS; i++)
            if (index_slot_loc(sync_load(&ix->lines[n].slot[i])) == loc) return &ix->lines[n].slot[i];
    return NULL;
}

unsigned index_collect(struct index *ix, struct index_bucket *b, uint64_t *out) {
    unsigned k = 0, owner = owner_of(ix, b);
    for (unsigned i = 0; i < INDEX_SLOTS; i++)
        if ((out[k] = sync_load(&b->slot[i])) != 0) k++;
    uint64_t word = sync_load(&b->word);
    if (index_word_count(word) == 0) return k;
    for (uint32_t n = index_word_head(word); n; n = index_line_next(&ix->lines[n])) {
        uint64_t lw = sync_load(&ix->lines[n].word);
        for (unsigned i = 0; i < INDEX_SLOTS; i++) {
            uint64_t s = sync_load(&ix->lines[n].slot[i]);
            if (s && line_owner(lw, i) == owner && k < INDEX_SLOTS + INDEX_OVERFLOW_MAX) out[k++] = s;
        }
    }
    return k;
}

unsigned index_collect_locked(struct index *ix, uint64_t group, unsigned i, uint64_t *out) {
    struct index_bucket *b = &ix->buckets[group * INDEX_BUCKETS + i];
    bucket_lock(b);
    unsigned n = index_collect(ix, b, out);
    index_unlock_unchanged(b);
    return n;
}

/* ------------------------------------------------------------------ changing, under the lock */

/* Where its overflow begins from now on, and how much it is; what readers saw of it before no longer holds. */
static void word_set_overflow(struct index_bucket *b, unsigned count, uint32_t head) {
    uint64_t w = index_word_step(sync_load(&b->word), 2) & ((1ull << INDEX_COUNT_SHIFT) - 1);
    sync_store_rel(&b->word, w | (uint64_t)count << INDEX_COUNT_SHIFT | (uint64_t)head << INDEX_HEAD_SHIFT);
    sync_fence_store();
}

bool index_insert(struct index *ix, struct index_bucket *b, uint64_t slot) {
    for (unsigned i = 0; i < INDEX_SLOTS; i++)
        if (sync_load(&b->slot[i]) == 0) {
            sync_store_rel(&b->slot[i], slot);
            return true;
        }
    uint64_t group = group_of(ix, b);
    unsigned count = index_word_count(sync_load(&b->word));
    if (count == INDEX_OVERFLOW_MAX) {
        sync_add(&ix->overflow_drops, 1);
        return false;
    }
    struct sync_spin *l = stripe(ix, group);
    sync_spin_lock(l);
    uint32_t head = chain_put(ix, group, owner_of(ix, b), slot);
    sync_spin_unlock(l);
    if (head == 0) return false;
    word_set_overflow(b, count + 1, head);
    return true;
}

/* One of the bucket's overflow slots. Stripe held. */
static uint64_t *overflow_any(struct index *ix, const struct index_bucket *b) {
    const unsigned owner = owner_of(ix, b);
    for (uint32_t n = index_word_head(sync_load(&b->word)); n; n = index_line_next(&ix->lines[n])) {
        uint64_t lw = sync_load(&ix->lines[n].word);
        for (unsigned i = 0; i < INDEX_SLOTS; i++)
            if (sync_load(&ix->lines[n].slot[i]) && line_owner(lw, i) == owner) return &ix->lines[n].slot[i];
    }
    CHECK(!"a bucket has as many overflow slots as its word says");
    return NULL;
}

/* A slot of the bucket itself is filled from its overflow, so that look-ups seldom go there: put there first, then
 * told, then taken from where it was. */
void index_remove(struct index *ix, struct index_bucket *b, uint64_t *slot) {
    const uint64_t word = sync_load(&b->word);
    const unsigned count = index_word_count(word);
    const bool own = slot >= b->slot && slot < b->slot + INDEX_SLOTS;
    if (count == 0) {
        sync_store_rel(slot, 0);
        return;
    }
    struct sync_spin *l = stripe(ix, group_of(ix, b));
    sync_spin_lock(l);
    if (own) {
        uint64_t *from = overflow_any(ix, b);
        sync_store_rel(slot, sync_load(from));
        slot = from;
    }
    word_set_overflow(b, count - 1, count > 1 ? index_word_head(word) : 0);
    sync_store_rel(slot, 0);
    sync_spin_unlock(l);
}

/* ------------------------------------------------------------------ growing and shrinking */

/* How a group shall lie: the slots of each bucket, and what of it goes into the group's chain. */
struct layout {
    uint64_t slot[INDEX_BUCKETS][INDEX_SLOTS];
    uint64_t over[INDEX_BUCKETS][2 * (INDEX_SLOTS + INDEX_OVERFLOW_MAX)];
    unsigned nover[INDEX_BUCKETS];
    uint32_t head; /* of the new chain */
};

/* An entry more for a bucket, in a free slot or the chain. */
static void layout_add(struct layout *l, unsigned bucket, uint64_t entry) {
    for (unsigned i = 0; i < INDEX_SLOTS; i++)
        if (l->slot[bucket][i] == 0) {
            l->slot[bucket][i] = entry;
            return;
        }
    l->over[bucket][l->nover[bucket]++] = entry;
}

/* Entries in the bucket's own slots. */
static unsigned bucket_own(const struct index_bucket *b) {
    unsigned n = 0;
    for (unsigned i = 0; i < INDEX_SLOTS; i++) n += sync_load(&b->slot[i]) != 0;
    return n;
}

/* Lays out a group as it is, without the entries that `goes` says (at this depth); those are added to `other`, if not
 * NULL. What is in a slot stays in that slot. Buckets locked. */
static void layout_group(struct index *ix, uint64_t group, int depth, struct layout *l, struct layout *other) {
    uint64_t entry[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    memset(l->slot, 0, sizeof l->slot);
    memset(l->nover, 0, sizeof l->nover);
    for (unsigned b = 0; b < INDEX_BUCKETS; b++) {
        struct index_bucket *bucket = &ix->buckets[group * INDEX_BUCKETS + b];
        for (unsigned i = 0; i < INDEX_SLOTS; i++) {
            uint64_t e = sync_load(&bucket->slot[i]);
            if (e && depth >= 0 && index_slot_fp(e) >> depth & 1)
                layout_add(other, b, e);
            else
                l->slot[b][i] = e;
        }
        const unsigned own = bucket_own(bucket), n = index_collect(ix, bucket, entry);
        for (unsigned i = own; i < n; i++) {
            const bool goes = depth >= 0 && index_slot_fp(entry[i]) >> depth & 1;
            layout_add(goes ? other : l, b, entry[i]);
        }
    }
}

/* Frees the lines of a chain that no word leads to any more. */
static void chain_give(struct index *ix, uint32_t head) {
    for (uint32_t n = head; n;) {
        uint32_t next = index_line_next(&ix->lines[n]);
        for (unsigned i = 0; i < INDEX_SLOTS; i++) sync_store(&ix->lines[n].slot[i], 0);
        index_line_give(ix, n);
        n = next;
    }
}

/* Builds the chain of a layout in lines of its own. False: there are not enough, and nothing is taken. */
static bool layout_chain(struct index *ix, struct layout *l) {
    struct index_line *line = NULL;
    unsigned used = INDEX_SLOTS;
    l->head = 0;
    for (unsigned b = 0; b < INDEX_BUCKETS; b++)
        for (unsigned i = 0; i < l->nover[b]; i++) {
            if (used == INDEX_SLOTS) {
                uint32_t n = index_line_take(ix);
                if (n == 0) {
                    chain_give(ix, l->head);
                    return false;
                }
                line = &ix->lines[n];
                sync_store(&line->word, l->head);
                l->head = n;
                used = 0;
            }
            line_put(line, used++, b, l->over[b][i]);
        }
    return true;
}

static void word_set_depth(struct index_bucket *b, unsigned depth) {
    uint64_t w = index_word_step(sync_load(&b->word), 2) & ~INDEX_DEPTH_MASK;
    sync_store_rel(&b->word, w | (uint64_t)depth << INDEX_DEPTH_SHIFT);
    sync_fence_store();
}

/* Gives a group this layout, whose chain is built, while readers go on: first the depth, so that whoever misses what
 * has been put elsewhere looks there; then what comes into slots from the old chain; then the new chain. */
static void layout_apply(struct index *ix, uint64_t group, const struct layout *l, unsigned depth) {
    for (unsigned b = 0; b < INDEX_BUCKETS; b++) {
        struct index_bucket *bucket = &ix->buckets[group * INDEX_BUCKETS + b];
        word_set_depth(bucket, depth);
        for (unsigned i = 0; i < INDEX_SLOTS; i++) {
            const uint64_t is = sync_load(&bucket->slot[i]), want = l->slot[b][i];
            if (index_slot_loc(is) != index_slot_loc(want)) sync_store_rel(&bucket->slot[i], want);
        }
        word_set_overflow(bucket, l->nover[b], l->nover[b] ? l->head : 0);
    }
    ix->heads[group] = l->head;
}

static unsigned group_depth(const struct index *ix, uint64_t group) {
    return index_word_depth(sync_load(&ix->buckets[group * INDEX_BUCKETS].word));
}

static void group_lock(struct index *ix, uint64_t group) {
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) bucket_lock(&ix->buckets[group * INDEX_BUCKETS + i]);
}

static void group_unlock(struct index *ix, uint64_t group) {
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) index_unlock(&ix->buckets[group * INDEX_BUCKETS + i]);
}

/* Two layouts are large; only the maintenance thread of a store makes any. */
static __thread struct layout layouts[2];

bool index_split(struct index *ix) {
    uint64_t n = ix->groups;
    if (n >= ix->max_groups) return false;
    const unsigned level = 63 - (unsigned)__builtin_clzll(n), depth = level - ix->min_depth;
    const uint64_t from = n - (1ull << level);
    struct layout *lo = &layouts[0], *hi = &layouts[1];
    group_lock(ix, from);
    group_lock(ix, n);
    const uint32_t old = ix->heads[from];
    layout_group(ix, n, -1, hi, NULL); /* nothing */
    layout_group(ix, from, (int)depth, lo, hi);
    bool ok = layout_chain(ix, hi);
    if (ok && !layout_chain(ix, lo)) {
        chain_give(ix, hi->head);
        ok = false;
    }
    if (ok) {
        layout_apply(ix, n, hi, depth + 1);
        if (ix->touched < n + 1) ix->touched = n + 1;
        set_groups(ix, n + 1);
        (void)FAULT_POINT("index.split");
        layout_apply(ix, from, lo, depth + 1);
        chain_give(ix, old);
    }
    group_unlock(ix, n);
    group_unlock(ix, from);
    return ok;
}

/* The group's buckets belong to nobody any more: readers and writers go to where everything is now. */
static void group_abandon(struct index *ix, uint64_t group) {
    const uint32_t old = ix->heads[group];
    for (unsigned b = 0; b < INDEX_BUCKETS; b++) {
        struct index_bucket *bucket = &ix->buckets[group * INDEX_BUCKETS + b];
        word_set_depth(bucket, 0);
        word_set_overflow(bucket, 0, 0);
        for (unsigned i = 0; i < INDEX_SLOTS; i++) sync_store(&bucket->slot[i], 0);
    }
    ix->heads[group] = 0;
    chain_give(ix, old);
}

bool index_merge(struct index *ix) {
    const uint64_t last = ix->groups - 1;
    if (last < ix->min_groups) return false;
    const unsigned level = 63 - (unsigned)__builtin_clzll(last), depth = level - ix->min_depth;
    const uint64_t to = last - (1ull << level);
    struct layout *lo = &layouts[0], *hi = &layouts[1];
    group_lock(ix, to);
    group_lock(ix, last);
    const uint32_t old = ix->heads[to];
    layout_group(ix, to, -1, lo, NULL);
    layout_group(ix, last, -1, hi, NULL);
    bool ok = true;
    for (unsigned b = 0; b < INDEX_BUCKETS; b++) {
        for (unsigned i = 0; i < INDEX_SLOTS; i++)
            if (hi->slot[b][i]) layout_add(lo, b, hi->slot[b][i]);
        for (unsigned i = 0; i < hi->nover[b]; i++) layout_add(lo, b, hi->over[b][i]);
        ok &= lo->nover[b] <= INDEX_OVERFLOW_MAX / 2; /* the bucket must not be full at once */
    }
    if (ok && layout_chain(ix, lo)) {
        layout_apply(ix, to, lo, depth);
        sync_store_rel(&ix->merges, ix->merges + 1);
        set_groups(ix, last);
        (void)FAULT_POINT("index.merge");
        group_abandon(ix, last);
        chain_give(ix, old);
    } else {
        ok = false;
    }
    group_unlock(ix, last);
    group_unlock(ix, to);
    return ok;
}

bool index_compact(struct index *ix, uint64_t group) {
    struct sync_spin *l = stripe(ix, group);
    unsigned lines = 0, used = 0;
    uint32_t high = index_line_high(ix);
    bool move = false;
    sync_spin_lock(l);
    for (uint32_t n = ix->heads[group]; n; n = index_line_next(&ix->lines[n])) {
        lines++;
        move |= n >= high;
        for (unsigned i = 0; i < INDEX_SLOTS; i++) used += sync_load(&ix->lines[n].slot[i]) != 0;
    }
    sync_spin_unlock(l);
    if ((used + INDEX_SLOTS - 1) / INDEX_SLOTS >= lines && !move) return false;

    struct layout *now = &layouts[0];
    group_lock(ix, group);
    const uint32_t old = ix->heads[group];
    layout_group(ix, group, -1, now, NULL);
    const bool ok = layout_chain(ix, now);
    if (ok) {
        layout_apply(ix, group, now, group_depth(ix, group));
        (void)FAULT_POINT("index.compact");
        chain_give(ix, old);
    }
    group_unlock(ix, group);
    return ok;
}

void index_release(struct index *ix) {
    uint64_t page = 4096 / (INDEX_BUCKETS * sizeof *ix->buckets), from = (ix->groups + page - 1) / page * page;
    if (ix->touched > from)
        madvise(&ix->buckets[from * INDEX_BUCKETS], (ix->touched - from) * INDEX_BUCKETS * sizeof *ix->buckets,
                MADV_DONTNEED);
    if (ix->touched > from) ix->touched = from;
}

uint64_t index_bytes(const struct index *ix) {
    return sync_load(&ix->groups) * (INDEX_BUCKETS * sizeof(struct index_bucket) + sizeof *ix->heads) +
           sync_load(&ix->line_limit) * sizeof(struct index_line);
}
