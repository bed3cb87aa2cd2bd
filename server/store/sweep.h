/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sweep - the sweeper: takes out what has expired or was purged, segment by segment. Maintenance thread, but for what
 * says otherwise.
 */
#ifndef TAGCACHED_STORE_SWEEP_H
#define TAGCACHED_STORE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "store/item.h"
#include "store/segment.h"

struct store;
struct store_job;

/* The pass under way, or the latest one. */
struct sweep {
    bool active;
    bool ending;            /* every segment was met: the pass ends when a grace period has passed */
    uint32_t at;            /* next segment */
    uint64_t version;       /* purges up to here are done when the pass ends */
    uint64_t grace;         /* the pass begins, or ends, when this grace period has passed */
    uint64_t began_ns;      /* when the pass began */
    uint64_t next_ns;       /* when the next step may be taken */
    uint64_t group;         /* next index group to pack */
    uint64_t removed;       /* items ever taken out that it has packed groups for */
    uint64_t progress_ns;   /* when it got on last, or no purge waited for it */
    uint64_t floors;        /* of the purge table, as told last */
    uint64_t floors_ns;     /* when */
    struct store_job *jobs; /* those this pass serves */
};

/* One step; false if there is nothing to do now. Without `hurry` it keeps to its share of a core unless somebody waits
 * for it or the purge table fills up. */
bool sweep_step(struct store *s, bool hurry);
/* When there is something to do next, as far as is known, or a look is due; UINT64_MAX: never. Times of the clock. */
uint64_t sweep_due_ns(struct store *s, uint64_t now);
/* Whether purges need the sweeper to get on. Any thread. */
bool sweep_urgent(const struct store *s);
/* Packs the overflow lines of some index groups. */
void sweep_index(struct store *s);

/* An item with this expiry is about to be visible in a segment, or has just got it in place. Any thread. */
void sweep_expiry(struct store *s, struct segment *g, uint32_t expiry);
/* Whether the pass under way is to take this item out; counts it. Bucket locked: the caller does it now. */
bool sweep_wants(struct store *s, const struct item *it);
/* An item that a purge has killed is taken out: it counts for the job of that purge if one waits for its own pass. */
void sweep_count(struct store *s, const struct item *it);

#endif
