/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/index.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/pages.h"

#define LINE_NEXT_MASK ((1ull << 28) - 1)
#define LINE_OWNER_SHIFT(i) (28 + 3 * (i))
#define WALK_MAX                                                                                                       \
    96 /* lines one look-up follows: a chain that changes under a reader must not lead it round for ever               \
        */

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

static void bucket_lock(struct index_bucket *b) {
    for (unsigned turns = 0;;) {
        uint64_t w = sync_load(&b->word);
        if (!(w & INDEX_LOCK) && sync_cas(&b->word, &w, w | INDEX_LOCK)) return;
        sync_wait(&turns);
    }
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

static void word_set_overflow(struct index_bucket *b, unsigned count, uint32_t head) {
    uint64_t w = sync_load(&b->word) & ((1ull << INDEX_COUNT_SHIFT) - 1);
    sync_store(&b->word, w | (uint64_t)count << INDEX_COUNT_SHIFT | (uint64_t)head << INDEX_HEAD_SHIFT);
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

/* Takes one of the bucket's overflow slots out (wanted, or any when NULL) and returns what it held. */
static uint64_t overflow_take(struct index *ix, struct index_bucket *b, const uint64_t *wanted) {
    uint64_t group = group_of(ix, b), word = sync_load(&b->word), got = 0;
    unsigned owner = owner_of(ix, b);
    struct sync_spin *l = stripe(ix, group);
    sync_spin_lock(l);
    for (uint32_t n = index_word_head(word); n && !got; n = index_line_next(&ix->lines[n])) {
        uint64_t lw = sync_load(&ix->lines[n].word);
        for (unsigned i = 0; i < INDEX_SLOTS && !got; i++) {
            uint64_t *s = &ix->lines[n].slot[i];
            if (wanted ? s == wanted : sync_load(s) && line_owner(lw, i) == owner) got = sync_exchange(s, 0);
        }
    }
    CHECK(got != 0);
    sync_spin_unlock(l);
    unsigned count = index_word_count(word) - 1;
    word_set_overflow(b, count, count ? index_word_head(word) : 0);
    return got;
}

void index_remove(struct index *ix, struct index_bucket *b, uint64_t *slot) {
    if (slot >= b->slot && slot < b->slot + INDEX_SLOTS) {
        bool more = index_word_count(sync_load(&b->word)) > 0;
        sync_store_rel(slot, more ? overflow_take(ix, b, NULL) : 0);
    } else {
        overflow_take(ix, b, slot);
    }
}

/* ------------------------------------------------------------------ growing and shrinking */

#define GROUP_MAX (INDEX_BUCKETS * (INDEX_SLOTS + INDEX_OVERFLOW_MAX))

/* Empties a locked bucket into out. */
static unsigned bucket_drain(struct index *ix, struct index_bucket *b, uint64_t *out) {
    unsigned n = index_collect(ix, b, out);
    for (unsigned i = 0; i < INDEX_SLOTS; i++) sync_store(&b->slot[i], 0);
    word_set_overflow(b, 0, 0);
    return n;
}

/* Frees the chain of a group whose buckets are all locked and drained. */
static void chain_drop(struct index *ix, uint64_t group) {
    struct sync_spin *l = stripe(ix, group);
    sync_spin_lock(l);
    for (uint32_t n = ix->heads[group]; n;) {
        uint32_t next = index_line_next(&ix->lines[n]);
        for (unsigned i = 0; i < INDEX_SLOTS; i++) sync_store(&ix->lines[n].slot[i], 0);
        index_line_give(ix, n);
        n = next;
    }
    ix->heads[group] = 0;
    sync_spin_unlock(l);
}

static void word_set_depth(struct index_bucket *b, unsigned depth) {
    uint64_t w = sync_load(&b->word) & ~(63ull << INDEX_DEPTH_SHIFT);
    sync_store(&b->word, w | (uint64_t)depth << INDEX_DEPTH_SHIFT);
}

static void group_lock(struct index *ix, uint64_t group) {
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) bucket_lock(&ix->buckets[group * INDEX_BUCKETS + i]);
}

static void group_unlock(struct index *ix, uint64_t group) {
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) index_unlock(&ix->buckets[group * INDEX_BUCKETS + i]);
}

bool index_split(struct index *ix) {
    uint64_t n = ix->groups;
    if (n >= ix->max_groups) return false;
    unsigned level = 63 - (unsigned)__builtin_clzll(n), depth = level - ix->min_depth;
    uint64_t from = n - (1ull << level);
    static __thread uint64_t moved[INDEX_BUCKETS][INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    unsigned count[INDEX_BUCKETS];
    group_lock(ix, from);
    group_lock(ix, n);
    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        count[i] = bucket_drain(ix, &ix->buckets[from * INDEX_BUCKETS + i], moved[i]);
    chain_drop(ix, from);
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) {
        struct index_bucket *lo = &ix->buckets[from * INDEX_BUCKETS + i], *hi = &ix->buckets[n * INDEX_BUCKETS + i];
        word_set_depth(lo, depth + 1);
        word_set_depth(hi, depth + 1);
        for (unsigned k = 0; k < count[i]; k++)
            /* The lines that held these slots have just been freed, so there is room for them. */
            CHECK(index_insert(ix, index_slot_fp(moved[i][k]) >> depth & 1 ? hi : lo, moved[i][k]));
    }
    if (ix->touched < n + 1) ix->touched = n + 1;
    set_groups(ix, n + 1);
    group_unlock(ix, n);
    group_unlock(ix, from);
    return true;
}

bool index_merge(struct index *ix) {
    uint64_t last = ix->groups - 1;
    if (last < ix->min_groups) return false;
    unsigned level = 63 - (unsigned)__builtin_clzll(last), depth = level - ix->min_depth;
    uint64_t to = last - (1ull << level);
    static __thread uint64_t moved[2][INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    group_lock(ix, to);
    group_lock(ix, last);
    unsigned most = 0;
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) {
        unsigned sum = index_collect(ix, &ix->buckets[to * INDEX_BUCKETS + i], moved[0]) +
                       index_collect(ix, &ix->buckets[last * INDEX_BUCKETS + i], moved[1]);
        if (sum > most) most = sum;
    }
    /* Merging needs lines before it frees any; refuse when the pool might run out or a bucket might overflow. */
    bool ok = most <= INDEX_SLOTS + INDEX_OVERFLOW_MAX / 2 && ix->line_limit + GROUP_MAX / INDEX_SLOTS < ix->max_lines;
    for (unsigned i = 0; ok && i < INDEX_BUCKETS; i++) {
        struct index_bucket *lo = &ix->buckets[to * INDEX_BUCKETS + i], *hi = &ix->buckets[last * INDEX_BUCKETS + i];
        unsigned n = index_collect(ix, hi, moved[1]);
        for (unsigned k = 0; k < INDEX_SLOTS; k++) sync_store(&hi->slot[k], 0);
        word_set_overflow(hi, 0, 0);
        word_set_depth(lo, depth);
        word_set_depth(hi, 0); /* belongs to nobody: readers and writers go back to the merged group */
        for (unsigned k = 0; k < n; k++) CHECK(index_insert(ix, lo, moved[1][k]));
    }
    if (ok) {
        chain_drop(ix, last);
        sync_store_rel(&ix->merges, ix->merges + 1);
        set_groups(ix, last);
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

    static __thread uint64_t moved[INDEX_BUCKETS][INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    unsigned count[INDEX_BUCKETS];
    group_lock(ix, group);
    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        count[i] = bucket_drain(ix, &ix->buckets[group * INDEX_BUCKETS + i], moved[i]);
    chain_drop(ix, group);
    for (unsigned i = 0; i < INDEX_BUCKETS; i++)
        for (unsigned k = 0; k < count[i]; k++)
            CHECK(index_insert(ix, &ix->buckets[group * INDEX_BUCKETS + i], moved[i][k]));
    group_unlock(ix, group);
    return true;
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
