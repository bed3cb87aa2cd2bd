/* SPDX-License-Identifier: BSD-3-Clause
 *
 * idmap - a table from node ids to whatever is kept for a node: open addressing with linear probing, at most half full.
 *
 * One thread at a time.
 */
#ifndef TAGCACHED_CLUSTER_IDMAP_H
#define TAGCACHED_CLUSTER_IDMAP_H

#include <stdint.h>

#include "proto/cluster_id.h"

struct idmap_entry {
    struct cluster_id id;
    void *value; /* NULL: the slot is empty */
};

/* All zeros is an empty table; `seed` should be random, so that nobody can choose ids that collide. */
struct idmap {
    uint64_t seed;
    unsigned n;     /* entries */
    unsigned slots; /* a power of two, or 0 */
    struct idmap_entry *v;
};

/* Frees the table, not the values. */
void idmap_fini(struct idmap *m);
/* The value, or NULL. */
void *idmap_get(const struct idmap *m, const struct cluster_id *id);
/* Enters a value (not NULL), in the place of an earlier one. 0 or -ENOMEM, the table is unchanged then. */
int idmap_put(struct idmap *m, const struct cluster_id *id, void *value);
/* Takes an entry out. Its value, or NULL. */
void *idmap_remove(struct idmap *m, const struct cluster_id *id);
/* Each value in turn: *at is 0 at first. NULL: there are no more. The table must not change meanwhile. */
void *idmap_next(const struct idmap *m, unsigned *at);

#endif
