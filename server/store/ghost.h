/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ghost - fingerprints of what left the small queue not long ago (S3-FIFO, Yang et al., SOSP 2023).
 *
 * Lines of 64 bytes, each a ring of 40 fingerprints of 12 bits: 1.6 bytes an item. Sized to nine tenths of the number
 * of items held; while it is being resized the table of before is still asked.
 *
 * Threads: the maintenance thread adds and resizes; workers ask, inside a section, without a lock: a torn answer is
 * one wrong guess about one item's queue.
 */
#ifndef TAGCACHED_STORE_GHOST_H
#define TAGCACHED_STORE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

struct ghost_line;

struct ghost_table {
    uint64_t nlines, added;
    struct ghost_line *lines;
};

struct ghost {
    struct ghost_table *now, *before; /* NULL until something left */
    struct ghost_table *dead;         /* unlinked, to be freed after a grace period */
    uint64_t bytes;
};

/* Starts empty; costs nothing until something is added. */
void ghost_init(struct ghost *g);
void ghost_fini(struct ghost *g);
/* Whether a key of this hash left recently (1 in 100 wrongly yes). Workers, inside a section. */
bool ghost_has(const struct ghost *g, uint64_t hash);
/* Adds one; `items` is how many are held. Maintenance thread. */
void ghost_add(struct ghost *g, uint64_t hash, uint64_t items);
/* Frees what was unlinked; after a grace period. Maintenance thread. */
void ghost_reap(struct ghost *g);
/* Bytes of all tables. Any thread. */
uint64_t ghost_bytes(const struct ghost *g);

#endif
