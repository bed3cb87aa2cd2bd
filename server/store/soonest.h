/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soonest - the second before which no item of a segment, and none of the store, expires: without it the sweeper would
 * have to look. Any thread lowers it; each pass of the sweeper takes it anew (sweep.c).
 */
#ifndef TAGCACHED_STORE_SOONEST_H
#define TAGCACHED_STORE_SOONEST_H

#include <stdint.h>

#include "store/segment.h"

struct store;

/* An item with this expiry is about to be visible in a segment, or has just got it in place. Any thread. */
void soonest_note(struct store *s, struct segment *g, uint32_t expiry);
/* The store has items that expire at this second, of which a segment tells already. Any thread. */
void soonest_lower(struct store *s, uint32_t expiry);

#endif
