/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_handoff - the node's store as the hand-off sees it (cluster/handoff.h): walks it for the keys that another node
 * gained, shows items, stores those that come, drops those that have gone.
 *
 * Owned by node_cluster. Functions behind node_handoff_store are called by the thread of the hand-off, whose handle of
 * the store this is.
 */
#ifndef TAGCACHED_NODE_HANDOFF_H
#define TAGCACHED_NODE_HANDOFF_H

#include <stdint.h>

struct handoff_store;
struct move;
struct node_handoff;
struct store;

/* handle: of the store, this thread's. strip_prefix: what clients put before each key and do not hash; NULL: nothing.
 * NULL: no memory. */
struct node_handoff *node_handoff_new(struct store *s, unsigned handle, const char *strip_prefix);
/* When the thread has ended, before the store is freed. NULL is allowed. */
void node_handoff_free(struct node_handoff *n);

void node_handoff_store(struct node_handoff *n, struct handoff_store *out);
/* The move that items belong to from now on (cluster_config.h); it outlives that. The hand-off's thread. */
void node_handoff_set_move(void *n, struct move *m);
/* Items in the store, about. */
uint64_t node_handoff_items(void *n);

#endif
