/* SPDX-License-Identifier: BSD-3-Clause
 *
 * retire - segments in which nothing is linked any more, until they are free: each waits for a grace period and for its
 * pins. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_RETIRE_H
#define TAGCACHED_STORE_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/maintenance.h"

struct store;

void retire_init(struct retire *r);
/* A sealed segment of which everything is unlinked leaves its queue and waits for its grace period and its pins. */
void retire_segment(struct store *s, uint32_t segment);
/* Frees the retired segments for which both have passed; false if there was none. */
bool retire_reap(struct store *s);
/* Whether somebody holds a pin on a segment. */
bool retire_is_pinned(const struct store *s, uint32_t segment);

#endif
