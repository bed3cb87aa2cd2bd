/* SPDX-License-Identifier: BSD-3-Clause
 *
 * compact - giving segments back: empty ones, partly dead ones by moving what lives. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_COMPACT_H
#define TAGCACHED_STORE_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

#include "store/segment.h"

struct store;

struct compact {
    struct segment_list retired; /* waiting to become free; their sealed_at is the grace period they wait for */
    uint32_t stuck;              /* of those only a pin holds back, as of the latest look */
    uint32_t at, dead_at;        /* where the next look for a partly dead segment, for dead ones begins */
    uint32_t target[2];          /* of each queue the segment that is being filled, or SEGMENT_NONE */
};

void compact_init(struct compact *c);
/* Whether nobody writes to a segment any more. */
bool compact_quiet(struct store *s, const struct segment *g);
/* Moves what lives in a segment that is a quarter dead elsewhere and retires it; false if there is none such among the
 * next ones, or no segment to move it to. */
bool compact_one(struct store *s);
/* Retires those of the next segments in which nothing lives; false if there was none. */
bool compact_free_dead(struct store *s);
/* A sealed segment of which everything is unlinked leaves its queue and waits for its grace period and its pins. */
void compact_retire(struct store *s, uint32_t segment);
/* Frees the retired segments for which both have passed; false if there was none. */
bool compact_reap(struct store *s);

#endif
