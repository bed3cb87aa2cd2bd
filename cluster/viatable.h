/* SPDX-License-Identifier: BSD-3-Clause
 *
 * viatable - finds a purge by its via: from (member number, counter) to 48 bits of the caller's.
 *
 * Open addressing with linear probing, 16 bytes an entry, at most three quarters full. Removing moves the entries
 * behind the hole (Knuth, The Art of Computer Programming 3, 6.4, algorithm R), so there are no tombstones. One thread.
 */
#ifndef TAGCACHED_CLUSTER_VIATABLE_H
#define TAGCACHED_CLUSTER_VIATABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/purge_event.h"

#define VIATABLE_VALUE_MAX ((UINT64_C(1) << 48) - 1)

struct viatable {
    struct viatable_entry *entries;
    uint64_t mask; /* entries - 1; a power of two less 1 */
    uint64_t used;
};

/* Makes it ready for `expected` entries; more make it grow. 0 or -ENOMEM. */
int viatable_init(struct viatable *t, uint64_t expected);
void viatable_fini(struct viatable *t);
/* Sets the value of a via, whether it has one or not. 0 or -ENOMEM. */
int viatable_set(struct viatable *t, struct purge_via via, uint64_t value);
/* Whether the via is there; its value then. */
bool viatable_get(const struct viatable *t, struct purge_via via, uint64_t *value);
/* Removes the via if it has this value; else nothing happens. */
void viatable_remove(struct viatable *t, struct purge_via via, uint64_t value);
void viatable_clear(struct viatable *t);

#endif
