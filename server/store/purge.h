/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge - which tags were purged, with which version: a table of fixed size, O(1) to write and to ask.
 *
 * An item is dead iff a hard purge of one of its tags (or of everything) has a version above its own; soft purges
 * make it stale until their deadline, dead after it.
 *
 * A key lies in one of two buckets (cuckoo hashing: R. Pagh, F. Rodler, 2001). An entry that a sweep has carried out
 * stays until its place is needed; then it raises the fill floor of its key's first bucket, which refuses older guarded
 * fills. When every place near is taken by entries that no sweep has carried out, a purge is told to wait. Only when
 * that does not help, one of them goes and raises the item floor too, which kills older items that have a tag of that
 * bucket (misses, never lies).
 *
 * Threads: purges run one at a time (the table's mutex). Everybody else reads without a lock. The order that makes it
 * safe: find places for all keys, announce (pending), take the version, write it (which ends pending), raise `seq`,
 * only then answer. Readers ignore pending; a guarded fill takes it as "purged after". So whoever holds a version above
 * the purge's sees at least the announcement.
 */
#ifndef TAGCACHED_STORE_PURGE_H
#define TAGCACHED_STORE_PURGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/check.h"
#include "base/sync.h"
#include "store/store.h"

#define PURGE_PENDING (1ull << 63)
#define PURGE_VERSION(x) ((x) & ~PURGE_PENDING)
#define PURGE_WAYS 4
#define PURGE_PAGE_SHIFT 12  /* memory is counted by pages of this many bytes, log2 */
#define PURGE_RECORD_TAGS 16 /* tags of a conjunction that the table can file; wider ones wait for a sweep */
#define PURGE_SET 8          /* conjunctions with further tags that one pair of tags may have */

struct purge_bucket {
    uint64_t hash[PURGE_WAYS]; /* 0: free */
    uint64_t fill_floor, item_floor;
    uint32_t deadline[PURGE_WAYS];
    uint64_t hard[PURGE_WAYS]; /* with PURGE_PENDING */
    uint64_t soft[PURGE_WAYS];
} __attribute__((aligned(128)));

/* A conjunction of more than two tags, found through its pair of smallest ones. */
struct purge_record {
    struct sync_sequence sequence; /* changes as it is made into another */
    uint64_t pair;                 /* 0: free */
    uint64_t hard, soft;
    uint32_t deadline, ntags;
    uint64_t tags[PURGE_RECORD_TAGS]; /* all of them, ascending */
};

/*
 * Which entries a reader need look for at all: a bit for each that the table can hold, set before the purge is
 * answered, forgotten when a sweep has carried it out. The many tags that nobody has purged lately cost a look at a
 * table a hundredth as large. Two generations: a pass that begins starts a new one, and its end ends the other.
 */
#define PURGE_FILTER_BITS 64
struct purge_filter {
    uint64_t of[2];
};

struct purge_table {
    uint64_t seq;      /* version of the latest purge: no item above it needs a look-up */
    uint64_t conj_seq; /* of the latest conjunction */
    uint64_t star_hard, star_soft;
    uint32_t star_deadline;
    uint64_t tagged;   /* of the latest purge of everything that carries a tag; with PURGE_PENDING */
    uint64_t star_seq; /* of the latest of these and of those of everything: what is above it need not ask for them */
    uint64_t fence;    /* guarded stores of tagged items below it are refused (conjunctions not in the table) */
    uint64_t unfiled;  /* version of the latest of those that a sweep has still to carry out; 0: none */
    uint64_t swept;    /* every purge up to this version has been carried out by a sweep */
    uint64_t moves;    /* entries that went from one of their buckets to the other */
    struct purge_bucket *buckets;
    struct purge_filter *filter; /* four bits for each bucket */
    uint32_t nbuckets, nfilter;
    unsigned fresh; /* the generation that bits are added to; changed by the maintenance thread with the mutex */
    bool ending;    /* the other one ends with the pass under way; maintenance thread */
    struct purge_record *records;
    uint32_t nsets;
    uint64_t *held;      /* a bit for each place and record: taken by the purge that is being prepared */
    bool shed;           /* waiting does not help: an entry that no sweep has carried out may go */
    uint64_t pass;       /* the latest purge when the latest pass began */
    uint64_t unswept[2]; /* entries with a version above `pass`; and those that the pass under way carries out */
    uint64_t entries, floors;
    void *memory; /* all of the above, page by page */
    size_t bytes;
    uint64_t *pages;  /* a bit for each page that was written to */
    uint64_t touched; /* bytes of those */
    pthread_mutex_t lock;
};

/* A table of at most `bytes`, which become resident page by page. 0 or -ENOMEM. */
int purge_init(struct purge_table *t, uint64_t bytes);
void purge_fini(struct purge_table *t);
/* Tags that it has places for. */
static inline uint64_t purge_capacity(const struct purge_table *t) {
    return (uint64_t)t->nbuckets * PURGE_WAYS;
}
/* Whether more than half of them hold what no sweep has carried out. Any thread. */
static inline bool purge_crowded(const struct purge_table *t) {
    return (sync_load(&t->unswept[0]) + sync_load(&t->unswept[1])) * 2 > purge_capacity(t);
}

enum purge_verdict { PURGE_FRESH, PURGE_SOFT, PURGE_DEAD };

/* Whether an item of this version with these tags (prefix tags included) may be served at time `now`; on PURGE_SOFT
 * *deadline is the earliest one. Callers test `version > seq` first: then it is fresh. Any thread. */
enum purge_verdict purge_check(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                               uint32_t now, uint32_t *deadline);
/* For items without any tag: only purges of everything count. */
enum purge_verdict purge_check_untagged(const struct purge_table *t, uint64_t version, uint32_t now,
                                        uint32_t *deadline);

/* Why an item of this version with these tags is not fresh, for operators: the version of the latest purge of
 * everything, or of everything that is tagged, or of the first of its tags that was purged since, which *tag names
 * then, or of several of its tags together. *tag is 0 but for one tag. 0: the table does not know (any more). Any
 * thread. */
uint64_t purge_cause(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                     uint64_t *tag);

/* The two buckets of a key. The first one has its floors. */
static inline struct purge_bucket *purge_first(const struct purge_table *t, uint64_t key) {
    return &t->buckets[(uint64_t)((uint32_t)(key >> 32)) * t->nbuckets >> 32];
}
static inline struct purge_bucket *purge_second(const struct purge_table *t, uint64_t key) {
    return &t->buckets[(uint64_t)((uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32)) * t->nbuckets >> 32];
}

/* The words of a key in both generations of the filter, and its bit in them. */
static inline struct purge_filter *purge_filter_word(const struct purge_table *t, uint64_t key, unsigned *bit) {
    uint64_t i = (uint64_t)((uint32_t)(key >> 32)) * (t->nbuckets * PURGE_WAYS) >> 32;
    *bit = i % PURGE_FILTER_BITS;
    return &t->filter[i / PURGE_FILTER_BITS];
}

/* False: what the table has of the key, floors included, is too old to concern an item that can still be found. Inside
 * a section that began before the item was looked up. */
static inline bool purge_filter_has(const struct purge_table *t, uint64_t key) {
    unsigned bit;
    const struct purge_filter *m = purge_filter_word(t, key, &bit);
    return ((sync_load(&m->of[0]) | sync_load(&m->of[1])) >> bit & 1) != 0;
}

/* False: the bucket has no entry of the key. (True wrongly one time in a milliard.) */
static inline bool purge_bucket_may_hold(const struct purge_bucket *b, uint64_t key) {
#if defined(__SSE2__) && !defined(SYNC_TSAN)
    /* The lower halves of the four keys. */
    const float *v = (const float *)(const void *)b->hash;
    __m128 four = _mm_shuffle_ps(_mm_load_ps(v), _mm_load_ps(v + 4), _MM_SHUFFLE(2, 0, 2, 0));
    __m128i same = _mm_cmpeq_epi32(_mm_castps_si128(four), _mm_set1_epi32((int)(uint32_t)key));
    bool there = _mm_movemask_epi8(same) != 0;
    sync_fence_load();
    return there;
#else
    bool there = false;
    for (unsigned k = 0; k < PURGE_WAYS; k++) there |= sync_load_acq(&b->hash[k]) == key;
    return there;
#endif
}

/* As purge_unknown, of tags by themselves, the first of which the filter has: looks into their buckets. (False wrongly
 * once in 500 million times, and when entries move meanwhile.) */
bool purge_unknown_rest(const struct purge_table *t, uint64_t version, const uint8_t *tags, unsigned ntags);

/* Whether the table knows nothing of these tags that could concern an item of this version: then it may be served. As a
 * rule so; if not, purge_check tells what it knows. The ntags hashes at `tags` may lie anywhere. Any thread, after
 * reading `seq`, inside a section that began before the item was looked up; or the maintenance thread. */
static inline bool purge_unknown(const struct purge_table *t, uint64_t version, const uint8_t *tags, unsigned ntags) {
    if (sync_load_acq(&t->star_seq) > version) return false;
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > version) return false;
    for (unsigned i = 0; i < ntags; i++) {
        uint64_t tag;
        memcpy(&tag, tags + 8 * (size_t)i, 8);
        if (unlikely(purge_filter_has(t, tag))) return purge_unknown_rest(t, version, tags + 8 * (size_t)i, ntags - i);
    }
    return true;
}

/* The same for a reader who names tags that the item does not carry: those behind the first `nown`. Of such
 * a tag the table knows only what it still has, whatever sweeps have carried out, and for what it has let go of it has
 * the fill floor: what is below that is PURGE_DEAD. Announced purges count for nothing. Any thread, after reading
 * `seq`; no section is needed for it. As to those tags, and conjunctions with them, the item is of version `others`:
 * its own, or 0 if it was moved here. */
enum purge_verdict purge_check_read(const struct purge_table *t, uint64_t version, uint64_t others,
                                    const uint64_t *tags, unsigned nown, unsigned ntags, uint32_t now,
                                    uint32_t *deadline);

/* Whether a purge has overtaken a fill that is guarded by this version. The fill would leave `tags` on the item; the
 * item that guards it carries `carried`. The caller has taken the fill's own version before. Any thread. */
bool purge_overtook(const struct purge_table *t, uint64_t version, const uint64_t *tags, unsigned ntags,
                    const uint64_t *carried, unsigned ncarried);

/* ------------------------------------------------------------------ purging: the table's mutex is held */

/* Where the version of a purge of one key is written. */
struct purge_cell {
    uint64_t *hard, *soft;
    uint32_t *deadline;
    uint32_t held; /* its bit in the table's `held`, or PURGE_UNHELD */
    bool sign;     /* it only says "look on": hard, whatever the purge is */
};
#define PURGE_UNHELD UINT32_MAX
#define PURGE_PLAN_CELLS (3 * STORE_SELECTORS_MAX)

/* A purge that has places for all its keys. */
struct purge_plan {
    unsigned ncells;
    bool conjunction;
    bool star;  /* one of its selectors is everything */
    bool sweep; /* the table cannot file one of its selectors: a sweep has to carry it out */
    struct purge_cell cells[PURGE_PLAN_CELLS];
};

/* Finds places for all selectors of a purge. False: there are none before a sweep has carried out more; nothing has
 * happened then. Else purge_commit has to follow. */
bool purge_prepare(struct purge_table *t, const struct store_selector *sel, unsigned nsel, struct purge_plan *plan);

/* Takes the purge's version from *counter, writes it where it was planned, and returns it. *version (may be NULL) has
 * it before anybody can see the purge. now: the store's time. */
uint64_t purge_commit(struct purge_table *t, uint64_t *counter, const struct purge_plan *plan, bool soft,
                      uint32_t deadline, uint32_t now, uint64_t *version);

/* A hard purge of everything that carries a tag, in which a reader's or a fill's tags count as they do for others.
 * Returns its version, taken from *counter. */
uint64_t purge_commit_tagged(struct purge_table *t, uint64_t *counter);

/* The place of a key, made if need be, in *c; held until purge_release. */
enum purge_place { PURGE_PLACED, PURGE_FULL, PURGE_NEVER /* the purge itself has taken all that there are */ };
enum purge_place purge_place(struct purge_table *t, uint64_t key, struct purge_cell *c);
/* Whether the place, or record, of this bit is held: it is neither moved nor let go of then. Holds it, or no longer. */
static inline bool purge_held(const struct purge_table *t, uint32_t i) {
    return (t->held[i / 64] >> i % 64 & 1) != 0;
}
void purge_hold(struct purge_table *t, uint32_t i);
void purge_release(struct purge_table *t, uint32_t i);
/* n bytes at p, of the table's memory, are about to be written to: they count from now on. */
void purge_touch(struct purge_table *t, const void *p, size_t n);
/* Raises a floor, without going back. */
static inline void purge_raise(uint64_t *floor, uint64_t to) {
    if (to > *floor) sync_store_rel(floor, to);
}

/* The table keys of: "this tag is the smaller one of some conjunction", a pair, "this pair has wider conjunctions". */
uint64_t purge_signpost_key(uint64_t tag);
uint64_t purge_pair_key(uint64_t lo, uint64_t hi);
uint64_t purge_more_key(uint64_t pair);
/* Sorts hashes, ascending. */
void purge_sort(uint64_t *tags, unsigned n);

/* ------------------------------------------------------------------ sweeping */

/* A sweep pass begins: the version of the latest purge that is carried out when it ends. Maintenance thread. */
uint64_t purge_pass(struct purge_table *t);
/* That pass began after a grace period following its version, has met every item, and a grace period after that has
 * passed: nobody still holds an item that it took out, so bits that were added before it are cleared. Maintenance
 * thread, without the mutex. */
void purge_filter_clear(struct purge_table *t);
/* And so are the purges up to `version`. no_jobs: it has carried out every conjunction that could not be filed. The
 * table's mutex is held. */
void purge_swept(struct purge_table *t, uint64_t version, bool no_jobs);

#endif
