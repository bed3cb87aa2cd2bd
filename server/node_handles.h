/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_handles - which threads of a node have a handle of its store besides the workers, whose handles come first
 * (store.h, `store_worker`).
 */
#ifndef TAGCACHED_NODE_HANDLES_H
#define TAGCACHED_NODE_HANDLES_H

enum node_handle {
    NODE_HANDLE_CLUSTER, /* the cluster's thread: purges that come from other nodes */
    NODE_HANDLE_HANDOFF, /* items that move from and to other nodes */
    NODE_HANDLE_HTTP,    /* the HTTP listener's thread */
    NODE_HANDLES
};

/* The number of such a handle in the store of a node with so many workers. */
static inline unsigned node_handle(unsigned workers, enum node_handle which) {
    return workers + (unsigned)which;
}

#endif
