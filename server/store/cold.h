/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cold - whether main has gone cold, and its trial then. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_COLD_H
#define TAGCACHED_STORE_COLD_H

#include <stdbool.h>
#include <stdint.h>

struct store;

struct cold {
    bool cold;         /* main is */
    unsigned look_in;  /* evictions until main's oldest segment is compared with small's again */
    uint32_t watched;  /* the segment of main that is, or SEGMENT_NONE */
    uint32_t tried;    /* the latest that was put on trial, or SEGMENT_NONE */
    uint32_t on_trial; /* segments */
};

void cold_init(struct cold *c);
/* Main's oldest segment, if main has gone cold and the segment has had its trial; else SEGMENT_NONE. */
uint32_t cold_segment(struct store *s);
/* A segment of compaction's takes its place in a queue behind another one: it is as much on trial. */
void cold_joined(struct store *s, uint32_t segment, uint32_t behind);
/* A segment leaves main, or its old end: its trial is over. */
void cold_left(struct store *s, uint32_t segment);

#endif
