/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - freeing segments: which one goes and what of it stays. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_EVICT_H
#define TAGCACHED_STORE_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include "store/segment.h"

struct store;

struct evict {
    double density; /* running average of the median hits per byte of main segments, log2 */
    bool density_known;
    bool credit_begun;
    uint64_t credit; /* bytes that may still be carried on */
    double leaving;  /* running average of the size of what leaves small, log2 */
};

/* Frees a segment; false if none can be now. */
bool evict_one(struct store *s);
/* The oldest segment of a queue that nobody writes to, or SEGMENT_NONE. */
uint32_t evict_oldest(struct store *s, enum segment_queue q);

#endif
