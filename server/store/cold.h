/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cold - whether main has gone cold, and its trial then. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_COLD_H
#define TAGCACHED_STORE_COLD_H

#include <stdint.h>

#include "store/maintenance.h"

struct store;

void cold_init(struct cold *c);
/* Main's oldest segment, if main has gone cold and the segment has had its trial; else SEGMENT_NONE. */
uint32_t cold_segment(struct store *s);
/* A segment of compaction's takes its place in a queue behind another one: it is as much on trial. */
void cold_joined(struct store *s, uint32_t segment, uint32_t behind);
/* A segment leaves main, or its old end: its trial is over. */
void cold_left(struct store *s, uint32_t segment);

#endif
