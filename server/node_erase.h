/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_erase - with --erase, when a purge that counts has ended on this node: the threads overwrite what their buffers
 * have held, when what was under way has left them; then the store overwrites what is dead in it. Then the purge's end
 * is told, which is when the last copy on this node is gone.
 *
 * In that order, because what a thread still had on its way may end up in the store, refused and dead. The heap
 * overwrites by itself what is freed (base/erase.h). Owned by the node.
 */
#ifndef TAGCACHED_NODE_ERASE_H
#define TAGCACHED_NODE_ERASE_H

#include <stdint.h>

struct clock;
struct cmd;
struct cmd_ended;
struct net;
struct node_cluster;
struct node_erase;
struct store;

/* The parts of the node, which outlive it. */
struct node_erase_parts {
    struct store *store;
    struct net *net;
    struct cmd *cmd;
    /* Has the cluster's part of the node do the same; done(done_arg) behind it. NULL: there is none. */
    void (*erase_cluster)(struct node_cluster *cluster, void (*done)(void *done_arg), void *done_arg);
    struct node_cluster *cluster;
    const struct clock *clock;
};

/* 0 or -ENOMEM. */
int node_erase_new(const struct node_erase_parts *parts, struct node_erase **out);
/* The threads have ended, or are about to: nothing more begins, ends are told as soon as they may be. */
void node_erase_stop(struct node_erase *ne);
/* All that was asked of it has ended: after the store was freed. NULL is allowed. */
void node_erase_free(struct node_erase *ne);

/* Tells the end of a purge, e->ended(e, n, bytes), when nothing is left of what was dead or under way by now. On any
 * thread. e stays in place until then. */
void node_erase_end(struct node_erase *ne, struct cmd_ended *e, int64_t n, uint64_t bytes);

#endif
