/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_cluster - joins a node's parts to its cluster: the cluster's thread (cluster/cluster.h) on one side, the store,
 * the commands and the workers on the other.
 *
 * Owned by the node. Threads: as the node's functions, unless they say otherwise.
 */
#ifndef TAGCACHED_NODE_CLUSTER_H
#define TAGCACHED_NODE_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/cmd_config.h"

struct audit;
struct clock;
struct cmd;
struct log;
struct net;
struct node_cluster;
struct node_erase;
struct settings;
struct store;

/* The parts of the node that are joined; they outlive it. */
struct node_parts {
    const struct settings *settings;
    const struct clock *clock;
    struct log *log;
    struct audit *audit; /* NULL: none */
    struct store *store;
    struct cmd *cmd;
    struct net *net;
    void *arg;
    void (*ended)(void *arg); /* the node has left the cluster for good. On the cluster's thread */
};

/* Makes the cluster of a node whose sockets are bound. 0, or -errno with a sentence in err. */
int node_cluster_new(const struct node_parts *parts, struct node_cluster **out, char *err, size_t err_size);
/* 0 or -errno. */
int node_cluster_start(struct node_cluster *nc);
/* Ends the cluster's thread. The workers still run. */
void node_cluster_stop(struct node_cluster *nc);
/* Answers all that was still asked of it. After the workers have ended, before they are freed. NULL is allowed. */
void node_cluster_close(struct node_cluster *nc);
/* After the store was freed. NULL is allowed. */
void node_cluster_free(struct node_cluster *nc);

/* This node's name among them. */
const char *node_cluster_name(const struct node_cluster *nc);
/* Reads the key file again (SIGHUP). */
void node_cluster_reload(struct node_cluster *nc);

/* The commands' wish for a link, and news of a peer's ring (cmd_config.h). A worker's thread. */
void node_cluster_want_link(struct node_cluster *nc, unsigned worker, uint32_t member, enum cmd_link_kind kind,
                            struct cmd_wish *wish);
void node_cluster_ring_differs(struct node_cluster *nc, uint32_t member, uint64_t version);
/* A purge that took time has ended (struct store_events), and took out so many items if it counts them; false: it was
 * not the cluster's. erase: puts the count off; NULL: nobody does. The store's thread, or whoever frees the store. */
bool node_cluster_on_job(struct node_cluster *nc, void *token, int64_t items, uint64_t bytes, struct node_erase *erase);
/* Has the memory that items move through between nodes overwritten (cluster_erase). */
void node_cluster_erase(struct node_cluster *nc, void (*done)(void *arg), void *arg);
/* The store has made room: what waited for it is tried again. The store's thread. */
void node_cluster_on_room(struct node_cluster *nc);

#endif
