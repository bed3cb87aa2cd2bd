/* SPDX-License-Identifier: BSD-3-Clause
 *
 * index - from a key's hash to a place in the arena: linear hashing (Litwin 1980) by groups of eight 64-byte buckets.
 *
 * A bucket is seven slots and a word. A slot is location 40 bits, fingerprint 20, frequency 4. The word is lock,
 * sequence, depth, and where the bucket's overflow begins: lines of seven more slots, shared by the eight buckets of a
 * group. The table grows and shrinks by one group at a time while it serves; the fingerprint's bits are the hash bits
 * of the next splits, so splitting reads no item.
 *
 * Threads: look-ups take no lock and do not wait for one: they read, then check that the bucket's word still says the
 * same, its lock apart. Changes hold one bucket's lock, in its word; whoever finds it held for long sleeps on it. A
 * change keeps every entry findable at each moment: it is put to its new place first, then the word's sequence moves
 * on, then the old place is cleared; so only writing into a record in place (index_write_begin) makes readers wait, and
 * that is never done by the maintenance thread. Growing and shrinking is that thread's alone; it locks the buckets of
 * both groups. Lock order: bucket, then overflow stripe, then line pool.
 */
#ifndef TAGCACHED_STORE_INDEX_H
#define TAGCACHED_STORE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/sync.h"
#include "store/lowest.h"

#define INDEX_SLOTS 7
#define INDEX_BUCKETS 8 /* of a group */
#define INDEX_GROUP_SLOTS (INDEX_SLOTS * INDEX_BUCKETS)
#define INDEX_LOC_MASK ((1ull << 40) - 1)
#define INDEX_FP_BITS 20
#define INDEX_FP_MASK ((1u << INDEX_FP_BITS) - 1)
#define INDEX_FREQ_MAX 15
#define INDEX_LOAD 130        /* items for each hundred slots, above which it grows */
#define INDEX_OVERFLOW_MAX 63 /* overflow slots of one bucket */

/* word: lock 1 | awaited 1 | sequence 23 | depth 5 (beyond the initial) | overflow slots 6 | first overflow line 28 */
#define INDEX_LOCK 1ull
#define INDEX_AWAITED 2ull /* somebody sleeps until the lock is free */
#define INDEX_HELD (INDEX_LOCK | INDEX_AWAITED)
#define INDEX_SEQUENCE_SHIFT 2
#define INDEX_SEQUENCE_ONE (1ull << INDEX_SEQUENCE_SHIFT)
#define INDEX_SEQUENCE_MASK (((1ull << 23) - 1) << INDEX_SEQUENCE_SHIFT)
#define INDEX_WRITING INDEX_SEQUENCE_ONE /* odd: a record is being written to in place */
#define INDEX_DEPTH_SHIFT 25
#define INDEX_DEPTH_MASK (31ull << INDEX_DEPTH_SHIFT)
#define INDEX_COUNT_SHIFT 30
#define INDEX_COUNT_ONE (1ull << INDEX_COUNT_SHIFT)
#define INDEX_HEAD_SHIFT 36
#define INDEX_STRIPES 256

struct index_bucket {
    uint64_t slot[INDEX_SLOTS];
    uint64_t word;
} __attribute__((aligned(64)));

struct index_line {
    uint64_t slot[INDEX_SLOTS];
    uint64_t word; /* next line 28 | 7 owners of 3 bits from bit 28 */
} __attribute__((aligned(64)));

struct index {
    struct index_bucket *buckets; /* reserved address range; pages appear as groups do */
    struct index_line *lines;     /* likewise; line 0 is never used */
    uint32_t *heads;              /* first overflow line of each group; stripe lock */
    uint64_t groups;              /* read by everybody; changed by the maintenance thread */
    uint64_t mask;                /* one less than the next power of two above groups */
    uint64_t min_groups, max_groups, max_lines;
    uint64_t merges;  /* ever: items may have gone to a group of a lower number */
    uint64_t touched; /* groups whose pages may be there; maintenance thread */
    unsigned min_depth, fp_shift;
    bool hugepages;
    struct sync_spin stripes[INDEX_STRIPES];
    struct sync_spin pool;
    struct lowest free_lines; /* of those below line_limit; pool */
    uint64_t line_limit;      /* lines whose pages may be there; changed under pool */
    uint64_t lines_free;      /* how many of them are; likewise */
    uint64_t overflow_drops;  /* entries refused because a bucket's overflow was full */
};

/* Reserves address space for at most max_items items; commits min_items' worth lazily. 0 or -ENOMEM. */
int index_init(struct index *ix, uint64_t min_items, uint64_t max_items, bool hugepages);
void index_fini(struct index *ix);

static inline uint32_t index_fp(const struct index *ix, uint64_t hash) {
    return (uint32_t)(hash >> ix->fp_shift) & INDEX_FP_MASK;
}
static inline uint64_t index_slot_make(uint64_t loc, uint32_t fp, unsigned freq) {
    return loc | (uint64_t)fp << 40 | (uint64_t)freq << 60;
}
static inline uint64_t index_slot_loc(uint64_t slot) {
    return slot & INDEX_LOC_MASK;
}
static inline uint32_t index_slot_fp(uint64_t slot) {
    return (uint32_t)(slot >> 40) & INDEX_FP_MASK;
}
static inline unsigned index_slot_freq(uint64_t slot) {
    return (unsigned)(slot >> 60);
}
static inline unsigned index_word_count(uint64_t word) {
    return (unsigned)(word >> INDEX_COUNT_SHIFT) & 63;
}
static inline uint32_t index_word_head(uint64_t word) {
    return (uint32_t)(word >> INDEX_HEAD_SHIFT);
}
static inline unsigned index_word_depth(uint64_t word) {
    return (unsigned)(word >> INDEX_DEPTH_SHIFT) & 31;
}

/* Whether what a reader saw of a bucket since it read this word of it belongs together: nobody has changed it
 * meanwhile.
 */
static inline bool index_unchanged(const struct index_bucket *b, uint64_t word) {
    sync_fence_load();
    return likely(!(word & INDEX_WRITING)) && likely((sync_load(&b->word) | INDEX_HELD) == (word | INDEX_HELD));
}

/* The group a hash belongs to when there are so many. */
static inline uint64_t index_group(uint64_t hash, uint64_t groups) {
    uint64_t mask = (2ull << (63 - __builtin_clzll(groups))) - 1, g = (hash >> 3) & mask;
    return g < groups ? g : g & mask >> 1;
}

/* The same now, with the mask at hand. Number and mask may be of two moments: the bucket's depth tells then
 * (index_belongs). */
static inline struct index_bucket *index_bucket(const struct index *ix, uint64_t hash) {
    uint64_t mask = sync_load(&ix->mask), g = (hash >> 3) & mask;
    if (g >= sync_load_acq(&ix->groups)) g &= mask >> 1;
    return &ix->buckets[g * INDEX_BUCKETS + (hash & 7)];
}

/* Whether a bucket with this word holds the hash: false after a split moved it away (or the group is gone). */
static inline bool index_belongs(const struct index *ix, const struct index_bucket *b, uint64_t word, uint64_t hash) {
    uint64_t g = (uint64_t)(b - ix->buckets) / INDEX_BUCKETS;
    return ((hash >> 3) & ((1ull << (ix->min_depth + index_word_depth(word))) - 1)) == g;
}

/* A bit for each slot whose fingerprint matches (an empty slot may match too: its location is 0). */
static inline unsigned index_match(const uint64_t *slot, uint32_t fp) {
#if defined(__SSE2__) && !defined(SYNC_TSAN)
    /* The upper halves of the eight words hold frequency, fingerprint and the location's top byte. */
    const float *v = (const float *)(const void *)slot;
    __m128 lo = _mm_shuffle_ps(_mm_load_ps(v), _mm_load_ps(v + 4), _MM_SHUFFLE(3, 1, 3, 1));
    __m128 hi = _mm_shuffle_ps(_mm_load_ps(v + 8), _mm_load_ps(v + 12), _MM_SHUFFLE(3, 1, 3, 1));
    __m128i mask = _mm_set1_epi32(0x0fffff00), want = _mm_set1_epi32((int)(fp << 8));
    __m128i a = _mm_cmpeq_epi32(_mm_and_si128(_mm_castps_si128(lo), mask), want);
    __m128i b = _mm_cmpeq_epi32(_mm_and_si128(_mm_castps_si128(hi), mask), want);
    return ((unsigned)_mm_movemask_ps(_mm_castsi128_ps(a)) | (unsigned)_mm_movemask_ps(_mm_castsi128_ps(b)) << 4) &
           0x7f;
#else
    unsigned m = 0;
    for (unsigned i = 0; i < INDEX_SLOTS; i++)
        if (index_slot_fp(sync_load(&slot[i])) == fp) m |= 1u << i;
    return m;
#endif
}

/* The next line of a chain; 0 at its end. */
static inline uint32_t index_line_next(const struct index_line *l) {
    return (uint32_t)sync_load_acq(&l->word) & ((1u << 28) - 1);
}

/* Whether it is to grow, holding so many items (INDEX_LOAD). Any thread. */
static inline bool index_to_grow(const struct index *ix, uint64_t items) {
    const uint64_t groups = sync_load(&ix->groups);
    return groups < ix->max_groups && items * 100 > groups * INDEX_GROUP_SLOTS * INDEX_LOAD;
}

/* ------------------------------------------------------------------ under the bucket's lock */

/* Locks the bucket that holds the hash. */
struct index_bucket *index_lock(struct index *ix, uint64_t hash);
/* The same, where it is likely to be `b`. */
static inline void index_unlock_unchanged(struct index_bucket *b);
static inline struct index_bucket *index_lock_at(struct index *ix, struct index_bucket *b, uint64_t hash) {
    uint64_t word = sync_load(&b->word);
    if (!(word & INDEX_LOCK) && sync_cas(&b->word, &word, word | INDEX_LOCK)) {
        if (index_belongs(ix, b, word, hash)) return b;
        index_unlock_unchanged(b);
    }
    return index_lock(ix, hash);
}
/* The same word, its sequence n steps on. */
static inline uint64_t index_word_step(uint64_t word, uint64_t n) {
    return (word & ~INDEX_SEQUENCE_MASK) | ((word + n * INDEX_SEQUENCE_ONE) & INDEX_SEQUENCE_MASK);
}
/* The futex of a bucket's lock: the half of its word that holds it. */
static inline const uint32_t *index_futex(const struct index_bucket *b) {
    const uint32_t *half = (const uint32_t *)(const void *)&b->word;
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? half : half + 1;
}
static inline void index_release_lock(struct index_bucket *b, uint64_t word, uint64_t steps) {
    sync_store_rel(&b->word, index_word_step(word & ~INDEX_HELD, steps));
    if (unlikely((word & INDEX_AWAITED) != 0)) sync_wake(index_futex(b));
}
/* Unlocks it; its sequence moves on, so that readers of the meantime look again. */
static inline void index_unlock(struct index_bucket *b) {
    index_release_lock(b, sync_load(&b->word), 2);
}
/* Unlocks it after nothing was changed: readers need not look again. */
static inline void index_unlock_unchanged(struct index_bucket *b) {
    index_release_lock(b, sync_load(&b->word), 0);
}
/* Around changes of a record in place, of more than one byte: readers wait meanwhile. Lock held; a worker's, for a few
 * instructions. */
static inline void index_write_begin(struct index_bucket *b) {
    sync_store(&b->word, index_word_step(sync_load(&b->word), 1));
    sync_fence_store();
}
static inline void index_write_end(struct index_bucket *b) {
    sync_store_rel(&b->word, index_word_step(sync_load(&b->word), 1));
}

/* Calls fn for each slot with the fingerprint until it returns true; returns that slot or NULL. Lock held. */
uint64_t *index_find(struct index *ix, struct index_bucket *b, uint32_t fp, bool (*fn)(void *arg, uint64_t loc),
                     void *arg);
/* The slot that holds this very location, or NULL. Lock held. */
uint64_t *index_find_loc(struct index *ix, struct index_bucket *b, uint64_t loc);
/* Puts a new slot in. False if the bucket's overflow is full or no memory for a line is left. Lock held. */
bool index_insert(struct index *ix, struct index_bucket *b, uint64_t slot);
/* Takes a slot out. Lock held. */
void index_remove(struct index *ix, struct index_bucket *b, uint64_t *slot);
/* Puts another location in place, with the hits that were counted until now. Lock held. */
static inline void index_relocate(uint64_t *slot, uint64_t loc) {
    sync_store_rel(slot, (sync_load(slot) & ~INDEX_LOC_MASK) | loc);
}
/* Puts another location and frequency in place. Lock held (a frequency bump may be going on: it is then lost). */
static inline void index_swing(uint64_t *slot, uint64_t loc, unsigned freq) {
    sync_store_rel(slot, index_slot_make(loc, index_slot_fp(sync_load(slot)), freq));
}
/* Whether the bucket takes no further slot until the index has grown. Lock held. */
static inline bool index_bucket_full(const struct index_bucket *b) {
    return index_word_count(sync_load(&b->word)) == INDEX_OVERFLOW_MAX;
}
/* Copies all slots of the bucket out (at most INDEX_SLOTS + INDEX_OVERFLOW_MAX); returns how many. Lock held. */
unsigned index_collect(struct index *ix, struct index_bucket *b, uint64_t *out);

/* Locks bucket `i` of a group, copies its slots out and unlocks it; none if the group is gone. */
unsigned index_collect_locked(struct index *ix, uint64_t group, unsigned i, uint64_t *out);

/* Counts a hit: failure is ignored, and at the highest count nothing is written. Without the lock. */
static inline void index_bump(uint64_t *slot, uint64_t seen) {
    if (index_slot_freq(seen) < INDEX_FREQ_MAX) {
        (void)sync_cas_relaxed(slot, seen, seen + (1ull << 60));
    }
}

/* ------------------------------------------------------------------ the pool of overflow lines (line.c) */

/* An empty line, or 0. Any thread. */
uint32_t index_line_take(struct index *ix);
/* A line that no chain holds any more. Any thread. */
void index_line_give(struct index *ix, uint32_t line);
/* Lines from this one on should be moved, since enough lower ones are free. */
uint32_t index_line_high(struct index *ix);

/* ------------------------------------------------------------------ maintenance thread */

/* Splits, merges the next group. False if there is no address space, or it is as small as it can be. */
bool index_split(struct index *ix);
bool index_merge(struct index *ix);
/* Packs the overflow lines of a group if that saves one, or if they lie high while many lower ones are free. True if it
 * did. (Lines are only ever freed after the words of all eight buckets of their group lead elsewhere, so that a reader
 * on its way along a chain is sure to notice.) */
bool index_compact(struct index *ix, uint64_t group);
/* Gives back some pages of lines of which none is used, the highest first; the lowest free line is always taken first,
 * so these become more as items leave. True if there may be more. */
bool index_trim(struct index *ix);
/* Gives the pages of merged groups back. Only after a grace period since the last merge: a late writer may still hold
 * the old number of groups. */
void index_release(struct index *ix);
/* Bytes committed. Any thread. */
uint64_t index_bytes(const struct index *ix);

#endif
