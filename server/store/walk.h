/* SPDX-License-Identifier: BSD-3-Clause
 *
 * walk - the order in which the groups of an index are visited while it grows and shrinks. Any thread, in a section.
 */
#ifndef TAGCACHED_STORE_WALK_H
#define TAGCACHED_STORE_WALK_H

#include <stdbool.h>

#include "store/index.h"
#include "store/store.h"

#define WALK_GROUPS 512 /* at most, in one call of a walk */

/* Whether cursor->group is to be visited now; false: the walk is done. An entry that is in the index all the time is in
 * one of the groups as that is visited. */
bool walk_here(const struct index *ix, struct store_cursor *c);
/* The group was visited. */
void walk_on(const struct index *ix, struct store_cursor *c);

#endif
