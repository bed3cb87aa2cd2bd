/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ringdiff - which arcs change their owner between two rings: what to hand over, from whom and to whom.
 *
 * Members are the same if their ids are. A member that joins takes arcs from all others; where the number of points a
 * member changes with the number of members (from 99 to 100, say), arcs move between members that stay, too.
 *
 * A difference does not change once it is made, so any thread may read it; it keeps nothing of the two rings.
 */
#ifndef TAGCACHED_CLUSTER_RINGDIFF_H
#define TAGCACHED_CLUSTER_RINGDIFF_H

#include <stdint.h>

#include "cluster/ring.h"

/* The points first..last, both included, go from one member (its index in the old ring) to another (in the new one). */
struct ringdiff_arc {
    uint32_t first, last;
    uint16_t from, to;
};

struct ringdiff {
    unsigned n;
    struct ringdiff_arc *arcs;      /* ascending; neighbours of the same two members are one arc */
    uint64_t moved;                 /* points of all of them, of RING_CIRCLE */
    uint64_t moved_between_staying; /* of those, points whose old and new owner are both in both rings */
};

/* Compares two rings. 0, or -ENOMEM. */
int ringdiff_new(const struct ring *old, const struct ring *next, struct ringdiff **out);
void ringdiff_free(struct ringdiff *d); /* NULL is allowed */

/* Points that go from one member to another; RING_NONE instead of an index stands for all members. */
uint64_t ringdiff_points(const struct ringdiff *d, unsigned from, unsigned to);

#endif
