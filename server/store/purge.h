/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge - which tags were purged, at which number: a table of fixed size, O(1) to write and to ask.
 *
 * An item is dead iff a hard purge of one of its tags (or of everything) has a number above its birth; soft purges
 * make it stale until their deadline, dead after it. What the table cannot keep becomes a floor of its bucket: the
 * item floor kills older items with a tag that hashes there (misses, never lies), the fill floor refuses older guarded
 * fills.
 *
 * Threads: purges run one at a time (the table's mutex). Everybody else reads without a lock. The order that makes it
 * safe: announce (pending), take the number, write it (which ends pending), raise `seq`, only then answer. Readers
 * ignore pending; a guarded fill takes it as "purged after". So whoever holds a birth above the number sees at least
 * the announcement.
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
#define PURGE_NUMBER(x) ((x) & ~PURGE_PENDING)
#define PURGE_WAYS 4
#define PURGE_RECORD_TAGS 16 /* tags of a conjunction that the table can file; wider ones are swept at once */
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
    uint64_t version; /* odd while it is being made into another */
    uint64_t pair;    /* 0: free */
    uint64_t hard, soft;
    uint32_t deadline, ntags;
    uint64_t tags[PURGE_RECORD_TAGS]; /* all of them, ascending */
};

/*
 * Which entries a reader need look for at all: a bit for each that the table can hold, set before the purge is
 * answered, forgotten when a sweep has carried it out. The many tags that nobody has purged lately cost a look at a
 * table a hundredth as large. Two generations: a pass that begins starts a new one, and its end ends the other.
 */
#define PURGE_MARK_BITS 64
struct purge_marks {
    uint64_t of[2];
};

struct purge_table {
    uint64_t seq;      /* number of the latest purge: nothing born above it needs a look-up */
    uint64_t conj_seq; /* of the latest conjunction */
    uint64_t star_hard, star_soft;
    uint32_t star_deadline;
    uint64_t fence;   /* guarded stores of tagged items born below it are refused (conjunctions not in the table) */
    uint64_t unfiled; /* number of the latest of those that a sweep has still to carry out; 0: none */
    uint64_t swept;   /* every purge up to this number has been carried out by a sweep */
    struct purge_bucket *buckets;
    struct purge_marks *marks; /* four bits for each bucket */
    uint32_t nbuckets, nmarks;
    unsigned fresh; /* the generation that is being marked; changed by the maintenance thread with the mutex */
    bool ending;    /* the other one ends with the pass under way; maintenance thread */
    struct purge_record *records;
    uint32_t nsets;
    uint64_t bytes, entries, floors;
    pthread_mutex_t lock;
};

/* A table of about `bytes`. 0 or -ENOMEM. */
int purge_init(struct purge_table *t, uint64_t bytes);
void purge_fini(struct purge_table *t);

enum purge_verdict { PURGE_FRESH, PURGE_SOFT, PURGE_DEAD };

/* Whether an item born at `birth` with these tags (prefix tags included) may be served at time `now`; on PURGE_SOFT
 * *deadline is the earliest one. Callers test `birth > seq` first: then it is fresh. Any thread. */
enum purge_verdict purge_check(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned ntags,
                               uint32_t now, uint32_t *deadline);
/* For items without any tag: only purges of everything count. */
enum purge_verdict purge_check_untagged(const struct purge_table *t, uint64_t birth, uint32_t now, uint32_t *deadline);

static inline struct purge_bucket *purge_bucket_of(const struct purge_table *t, uint64_t key) {
    return &t->buckets[(uint64_t)((uint32_t)(key >> 32)) * t->nbuckets >> 32];
}

/* The place of a key's mark: bit `*bit` of the generations' words. */
static inline struct purge_marks *purge_mark_of(const struct purge_table *t, uint64_t key, unsigned *bit) {
    uint64_t i = (uint64_t)((uint32_t)(key >> 32)) * (t->nbuckets * PURGE_WAYS) >> 32;
    *bit = i % PURGE_MARK_BITS;
    return &t->marks[i / PURGE_MARK_BITS];
}

/* False: what the table has of the key, floors included, is too old to concern an item that can still be found. Inside
 * a section that began before the item was looked up. */
static inline bool purge_marked(const struct purge_table *t, uint64_t key) {
    unsigned bit;
    const struct purge_marks *m = purge_mark_of(t, key, &bit);
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

/* Whether the table knows nothing of these tags that could concern an item born at `birth`: then it may be served. As a
 * rule so; if not, purge_check tells what it knows. The ntags hashes at `tags` may lie anywhere. Any thread, after
 * reading `seq`, inside a section that began before the item was looked up. */
static inline bool purge_unknown(const struct purge_table *t, uint64_t birth, const uint8_t *tags, unsigned ntags) {
    if (PURGE_NUMBER(sync_load_acq(&t->star_hard)) > birth || sync_load_acq(&t->star_soft) > birth) return false;
    if (ntags > 1 && sync_load_acq(&t->conj_seq) > birth) return false;
    for (unsigned i = 0; i < ntags; i++) {
        uint64_t tag;
        memcpy(&tag, tags + 8 * (size_t)i, 8);
        if (likely(!purge_marked(t, tag))) continue;
        const struct purge_bucket *b = purge_bucket_of(t, tag);
        /* The floor last: it is raised before an entry is shed. */
        if (purge_bucket_may_hold(b, tag) || sync_load_acq(&b->item_floor) > birth) return false;
    }
    return true;
}

/* The same for a reader who names tags that the item does not carry: those behind the first `nown`. Of such
 * a tag the table knows only what it still has, whatever sweeps have carried out, and for what it has let go of it has
 * the fill floor: what was born below that is PURGE_DEAD. Announced purges count for nothing. Any thread, after reading
 * `seq`; no section is needed for it. */
enum purge_verdict purge_check_read(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned nown,
                                    unsigned ntags, uint32_t now, uint32_t *deadline);

/* Whether a purge has overtaken a fill guarded by a version born at `birth`, which would leave `tags` on the item and
 * whose guarded version carries `carried`. The caller has taken the number of the new version before. Any thread. */
bool purge_overtook(const struct purge_table *t, uint64_t birth, const uint64_t *tags, unsigned ntags,
                    const uint64_t *carried, unsigned ncarried);

/* Applies one selector: takes its number from *counter and returns it. *sweep is set when the table could not file it:
 * the caller must sweep items that carry all its tags and were born below the number before it answers. */
uint64_t purge_apply(struct purge_table *t, uint64_t *counter, const struct store_selector *sel, bool soft,
                     uint32_t deadline, uint32_t now, bool *sweep);

/* A sweep pass begins: the number of the latest purge that is carried out when it ends. Maintenance thread. */
uint64_t purge_pass(struct purge_table *t);
/* That pass began after a grace period following its number, has met every item, and a grace period after that has
 * passed: nobody still holds an item that it took out, so what was marked before it is forgotten. Maintenance thread,
 * without the mutex. */
void purge_unmark(struct purge_table *t);
/* And so are the purges up to `number`. no_jobs: it has carried out every conjunction that could not be filed. The
 * table's mutex is held. */
void purge_swept(struct purge_table *t, uint64_t number, bool no_jobs);

#endif
