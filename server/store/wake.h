/* SPDX-License-Identifier: BSD-3-Clause
 *
 * wake - waking the maintenance thread, and telling those who wait for what it has made free.
 */
#ifndef TAGCACHED_STORE_WAKE_H
#define TAGCACHED_STORE_WAKE_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* Wakes the maintenance thread. Any thread. */
void wake_maintenance(struct store *s);
/* Whether so many segments (or half of all, if that is less) are free; if not, the maintenance thread is woken and sees
 * to it. Any thread. */
bool wake_for_segments(struct store *s, uint32_t segments);
/* Tells whoever found no free segment, no place for a purge, or a full bucket of the index to try again. Maintenance
 * thread. */
void wake_waiting(struct store *s);

#endif
