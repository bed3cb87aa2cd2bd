/* SPDX-License-Identifier: BSD-3-Clause
 *
 * histogram - how often something took how long, in buckets with fixed bounds (histogram.def).
 *
 * One thread adds to a histogram; any thread may read it, and adds several up to have the sum of several threads.
 */
#ifndef TAGCACHED_BASE_HISTOGRAM_H
#define TAGCACHED_BASE_HISTOGRAM_H

#include <stdint.h>

#include "base/sync.h"

enum {
#define BOUND(ns, le) HISTOGRAM_BOUND_##ns,
#include "base/histogram.def"
#undef BOUND
    HISTOGRAM_BOUNDS
};

struct histogram {
    uint64_t count[HISTOGRAM_BOUNDS + 1]; /* of each bucket alone; the last one has no bound */
    uint64_t sum_ns;
};

/* Adds one observation. The histogram's own thread. */
static inline void histogram_add(struct histogram *h, uint64_t ns) {
    static const uint64_t bounds[HISTOGRAM_BOUNDS] = {
#define BOUND(bound, le) bound,
#include "base/histogram.def"
#undef BOUND
    };
    unsigned i = 0;
    while (i < HISTOGRAM_BOUNDS && ns > bounds[i]) i++;
    sync_bump(&h->count[i], 1);
    sync_bump(&h->sum_ns, ns);
}

/* Adds to *sum what another thread's histogram holds now. */
static inline void histogram_sum(struct histogram *sum, const struct histogram *h) {
    for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++) sum->count[i] += sync_load(&h->count[i]);
    sum->sum_ns += sync_load(&h->sum_ns);
}

#endif
