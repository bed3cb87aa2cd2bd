/* SPDX-License-Identifier: BSD-3-Clause
 *
 * evict - freeing segments: which one goes and what of it stays. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_EVICT_H
#define TAGCACHED_STORE_EVICT_H

#include <stdbool.h>

struct store;

/* Frees a segment; false if none can be now. */
bool evict_one(struct store *s);

#endif
