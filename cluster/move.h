/* SPDX-License-Identifier: BSD-3-Clause
 *
 * move - the keys that a change of the ring brings to this node or takes from it, as the workers see them while items
 * are handed over (handoff.h).
 *
 * A donor is a node that had arcs before the change which are this node's now. Its state says what a worker does with a
 * request for a key of these arcs:
 *   MOVE_ASKED    the donor may still act as the owner: the request waits, and nothing of it is executed
 *   MOVE_LATE     this node is the owner. Every change of a key adds it to the written set before
 *   MOVE_PULLING  likewise, and a key that is neither here nor in the written set may be asked of the donor first
 *   MOVE_NONE     what is here is all there is
 * It only goes from the top to the bottom of this list, by the thread of the hand-off.
 *
 * Views share a move (each has a reference). All but the states and the written set is fixed once a view has it.
 */
#ifndef TAGCACHED_CLUSTER_MOVE_H
#define TAGCACHED_CLUSTER_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sync.h"
#include "cluster/cover.h"
#include "cluster/ring.h"
#include "cluster/ringdiff.h"
#include "cluster/written.h"

enum move_state {
    MOVE_NONE,    /* nothing comes from it */
    MOVE_ASKED,   /* it may still act for the keys: this node does not yet */
    MOVE_LATE,    /* it did not say in time that it does not: this node acts for them, and notes what it changes */
    MOVE_PULLING, /* items come, and this node may ask for one */
};

struct move_donor {
    uint32_t number; /* of the process that had the arcs; 0: it is gone, or is this node */
    uint32_t state;  /* enum move_state; atomic */
};

struct move {
    uint32_t refs;                  /* atomic */
    uint64_t ring_version;          /* of the ring that it leads to */
    struct ring *before;            /* the ring before the change */
    struct ringdiff *diff;          /* to that ring: `from` is an index of `before`, `to` one of the ring after */
    uint16_t self;                  /* this node's index in `before`; RING_NONE: it was not in it */
    uint16_t self_after;            /* and in the ring after */
    uint64_t since;                 /* what the ring after has as `since` (ring.h) of the arcs gained by this change */
    uint32_t gaining;               /* donors whose state is not MOVE_NONE; atomic: a quick look before all others */
    struct written *written;        /* what this node has changed; NULL: it gains nothing */
    const struct cover_cell *cover; /* for pulls (cover.h); outlives the workers */
    uint32_t *receiver;             /* by index of the ring after: the process that takes arcs of this node; 0: none */
    unsigned nreceivers;            /* members of the ring after */
    unsigned ndonors;               /* members of `before` */
    struct move_donor donor[];      /* by index of `before` */
};

/* Makes a move from one ring to the next: it has a copy of `before`, and the one reference is the caller's. No donor
 * has a number or a state yet. written_new's memory limit; 0: no written set. 0, or -ENOMEM. */
int move_new(const struct ring *before, const struct ring *after, uint16_t self, uint16_t self_after,
             uint64_t memory_limit, const struct cover_cell *cover, struct move **out);
struct move *move_get(struct move *m);
/* Gives a reference back; the last one frees it. NULL is allowed. Any thread. */
void move_put(struct move *m);

/* The index of a receiver by its number, or RING_NONE; that of a donor. */
unsigned move_receiver(const struct move *m, uint32_t number);
unsigned move_donor(const struct move *m, uint32_t number);
/* The index in the ring after of the member that takes a point from this node; RING_NONE: none does. *since: what the
 * ring before has as `since` of its arc (UINT64_MAX: none does). An item that is not newer was outdated when this node
 * had the arc (it had lost it before, and got it back), so nobody may have it. */
unsigned move_taker(const struct move *m, uint32_t point, uint64_t *since);

/* One thread: the hand-off's. */
void move_set_state(struct move *m, unsigned donor, enum move_state s);
static inline enum move_state move_state(const struct move *m, unsigned donor) {
    return (enum move_state)sync_load_acq(&m->donor[donor].state);
}
/* Whether anything is moving here at all. */
static inline bool move_gains(const struct move *m) {
    return sync_load(&m->gaining) != 0;
}

#endif
