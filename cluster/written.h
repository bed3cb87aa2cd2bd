/* SPDX-License-Identifier: BSD-3-Clause
 *
 * written - the keys that this node has changed since it gained their arcs: of those it takes nothing any more from
 * the node that had them before (handoff.h).
 *
 * Whoever sets, deletes, touches or otherwise changes a key of a gained arc adds the key's hash before it takes the
 * lock of the key's bucket, and whoever stores an item that came from the former owner asks with that lock held. So
 * either the change comes later and replaces what was stored, or it is found here, also when it was a delete and
 * nothing of it is left in the store.
 *
 * A set of 64-bit hashes by open addressing with linear probing in a table of a fixed size. A hash is never taken out,
 * and two keys of one hash count as one, so an item too many may be refused and none too few. When the set is full it
 * has everything: nothing is taken over any more.
 *
 * Any thread, without locks.
 */
#ifndef TAGCACHED_CLUSTER_WRITTEN_H
#define TAGCACHED_CLUSTER_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#define WRITTEN_PARTS 100         /* of a node's memory it may take one in so many */
#define WRITTEN_BYTES_A_KEY 12    /* of its memory, for each key that it has room for */
#define WRITTEN_LEAST_BYTES 65536 /* what it has in any case */

struct written;

/* Makes the set of a node with this memory limit (bytes). Its pages become resident as they are used. NULL: no memory.
 */
struct written *written_new(uint64_t memory_limit);
void written_free(struct written *w); /* NULL is allowed; nobody uses it any more */

/* Adds a hash. False: there was no room, and from before this call returns written_has is true for all. */
bool written_add(struct written *w, uint64_t hash);
/* Whether the hash was added, or the set is full or closed. */
bool written_has(const struct written *w, uint64_t hash);
/* Whether it is full or closed: there is nothing to add or to ask for any more. */
bool written_is_full(const struct written *w);
/* Nothing is taken over any more: the set has everything, and its pages are given back. Others may use it meanwhile. */
void written_close(struct written *w);

/* How many hashes were added, and how many there is room for. */
uint64_t written_count(const struct written *w);
uint64_t written_room(const struct written *w);

#endif
