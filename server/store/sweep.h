/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sweep - the sweeper: takes out what has expired or was purged, segment by segment. Maintenance thread, but for what
 * says otherwise.
 */
#ifndef TAGCACHED_STORE_SWEEP_H
#define TAGCACHED_STORE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* One step; false if there is nothing to do now. Without `hurry` it keeps to its share of a core unless somebody waits
 * for it or the purge table fills up. */
bool sweep_step(struct store *s, bool hurry);
/* When there is something to do next, as far as is known, or a look is due; UINT64_MAX: never. Times of the clock. */
uint64_t sweep_due_ns(struct store *s, uint64_t now);
/* Whether purges need the sweeper to get on. Any thread. */
bool sweep_urgent(const struct store *s);
/* Packs the overflow lines of some index groups. */
void sweep_index(struct store *s);

#endif
