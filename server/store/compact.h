/* SPDX-License-Identifier: BSD-3-Clause
 *
 * compact - giving up segments: empty ones, and partly dead ones by moving what lives. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_COMPACT_H
#define TAGCACHED_STORE_COMPACT_H

#include <stdbool.h>

#include "store/maintenance.h"

struct store;

void compact_init(struct compact *c);
/* Moves what lives in a segment that is a quarter dead elsewhere and retires it; false if there is none such among the
 * next ones, no segment to move it to, or stores have to get room by eviction first (allowance.h). */
bool compact_one(struct store *s);
/* Retires those of the next segments in which nothing lives; false if there was none. */
bool compact_free_dead(struct store *s);

#endif
