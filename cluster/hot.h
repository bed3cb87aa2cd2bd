/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hot - which keys are asked for most: a count-min sketch (G. Cormode, S. Muthukrishnan, 2005) of a sample of the
 * requests, and the keys with the highest counts by name. Counts are halved each second, so they tell of the last few.
 *
 * Pure: the time and the seed are given to it. One thread counts; whoever else reads uses a lock of the caller's.
 */
#ifndef TAGCACHED_CLUSTER_HOT_H
#define TAGCACHED_CLUSTER_HOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/rand.h"

#define HOT_SAMPLE 32       /* one request in so many is counted, on average, where a hot key is to be found fast */
#define HOT_ROWS 4          /* of the sketch */
#define HOT_COLUMNS 4096    /* a power of two */
#define HOT_TOP 64          /* keys that are known by name */
#define HOT_SHARE_PERCENT 1 /* a key is hot if it has more than this part of the requests, */
#define HOT_RATE 500        /* and more than so many a second */
#define HOT_KEY_MAX 250     /* bytes of a key */

struct hot_key {
    uint64_t hash;
    uint32_t count; /* of samples, as of now */
    uint8_t len;
    char key[HOT_KEY_MAX];
};

#define HOT_HINTS 256 /* a power of two */

struct hot {
    unsigned sample;    /* one request in so many is counted */
    uint64_t halved_ns; /* when the counts were last halved, or would have been */
    uint64_t total;     /* samples; halved likewise */
    uint32_t skip;      /* requests that come before the next one that is counted */
    struct rand rand;
    unsigned ntop;
    uint32_t least;              /* when there are HOT_TOP: none has a lower count */
    uint8_t hint[HOT_HINTS];     /* by hash: where the key may be */
    struct hot_key top[HOT_TOP]; /* in no order */
    uint32_t cell[HOT_ROWS][HOT_COLUMNS];
};

/* Begins without any counts; *h is all zeros. */
void hot_init(struct hot *h, unsigned sample, uint64_t seed, uint64_t now_ns);

/* How many requests to leave out before the next one is counted; draws it anew. */
uint32_t hot_draw(struct hot *h);
/* n requests come: which of them is the next to be counted (0..n-1), or n: none of them. What comes behind that one is
 * asked for in another call. The gaps are random, so that no rhythm of the requests is mistaken for a hot key. */
static inline unsigned hot_next(struct hot *h, unsigned n) {
    if (likely(h->skip >= n)) {
        h->skip -= n;
        return n;
    }
    const unsigned i = h->skip;
    h->skip = hot_draw(h);
    return i;
}

/* Counts a sample of a key of at most HOT_KEY_MAX bytes; equal keys have equal hashes. */
void hot_count(struct hot *h, uint64_t hash, const char *key, size_t len, uint64_t now_ns);

/* Whether a key is hot. */
bool hot_is_hot(struct hot *h, uint64_t hash, uint64_t now_ns);
/* Brings all counts up to date. */
void hot_age(struct hot *h, uint64_t now_ns);
/* Requests a second that a count stands for, as of the last hot_age. */
uint64_t hot_rate(const struct hot *h, uint64_t count, uint64_t now_ns);

#endif
