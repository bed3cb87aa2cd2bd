/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handle - what a thread uses the store through: its section, its open segment, its block of versions, its counters.
 *
 * One thread at a time uses a handle. Of what lies in it the maintenance thread reads `pins`, `dead` and `metrics`.
 */
#ifndef TAGCACHED_STORE_HANDLE_H
#define TAGCACHED_STORE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sync.h"
#include "store/store.h"

/* Where records are appended. What does not fit into the rest of a segment goes to the next one meanwhile, since most
 * are smaller: else a large one would leave much of it unused. */
struct opened {
    uint32_t segment, next; /* or SEGMENT_NONE */
    uint32_t used, tries;   /* of the segment: as of the latest record that did not fit; how many since it grew */
};

struct store_worker {
    struct store *s;
    struct epoch_record *epoch;
    unsigned index;
    uint32_t now;                     /* store time of the section */
    uint64_t now_ns;                  /* the clock that it was read from */
    bool inside;                      /* a section is open */
    struct opened open;               /* small segments it appends to */
    uint64_t number_next, number_end; /* the versions that it has reserved */
    uint32_t *pins;                   /* of each segment */
    uint32_t *dead;                   /* of each segment, bytes that it has said to be dead (account.h) */
    uint64_t metrics[STORE_METRICS];
} __attribute__((aligned(64)));

/* Counts; name is that of a row of store.metrics.def. */
#define COUNT(w, name, n) sync_bump(&(w)->metrics[STORE_METRIC_##name], (n))

#endif
