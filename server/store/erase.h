/* SPDX-License-Identifier: BSD-3-Clause
 *
 * erase - overwrites what is dead (store_config.erase): records and pieces of values that were purged, replaced,
 * deleted, evicted, moved or have expired. README.md, "Erasing", says why it may. Maintenance thread, but for what says
 * otherwise.
 */
#ifndef TAGCACHED_STORE_ERASE_H
#define TAGCACHED_STORE_ERASE_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* Makes what a store needs that erases. 0 or -ENOMEM. */
int erase_init(struct store *s);
void erase_fini(struct store *s);

/* A pass of the sweeper has ended: a round is to follow. */
void erase_wanted(struct store *s);
/* One step of a round; false if there is nothing to do now. */
bool erase_step(struct store *s);
/* When there is something to do next, but for what others do first; UINT64_MAX: nothing. */
uint64_t erase_due_ns(const struct store *s);
/* Whether somebody waits for the end of a round. */
bool erase_urgent(const struct store *s);

#endif
