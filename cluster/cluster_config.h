/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_config - what a node gives its cluster's thread when it makes it: options, and what the thread asks of the
 * node (cluster.h).
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_CONFIG_H
#define TAGCACHED_CLUSTER_CLUSTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct audit;
struct clock;
struct handoff_store;
struct log;
struct move;
struct purging_batch;
struct ssl_st;
struct view;

/* How far a batch of purges is applied. */
enum cluster_applying {
    CLUSTER_APPLIED,     /* no request served from now on returns what it selects */
    CLUSTER_APPLYING,    /* it takes time: cluster_applied says when it is done */
    CLUSTER_APPLY_LATER, /* nothing has happened, there is no room for it: cluster_apply_again says when there is */
};

/* What the thread asks of the node. On the cluster's thread; none may block. */
struct cluster_upcalls {
    void *arg;
    /* The workers go by this view from now on: 0, it is the node's then, and cluster_view_done says when all do. Or
     * -errno: nothing has changed. */
    int (*view)(void *arg, struct view *v);
    /* Applies purges, in order: the next batch is shown when this one is applied. */
    enum cluster_applying (*apply)(void *arg, const struct purging_batch *batch);
    /* What is stored is dead from now on: what is tagged, or (everything) all of it. */
    void (*floor)(void *arg, bool everything);
    /* A number above the versions of all items that are stored. */
    uint64_t (*number)(void *arg);
    /* The answer to cluster_want_link: a connected socket and its TLS session (NULL: plain), or fd -1 and -errno. */
    void (*link)(void *arg, void *wish, int fd, struct ssl_st *ssl, int error);
    /* Requests of clients so far, about, and those of them that were passed on to another node. */
    void (*requests)(void *arg, uint64_t *clients, uint64_t *forwarded);
    /* Makes a connection to this node, as a client would that may change the cluster or not, and needs no password. A
     * non-blocking socket, or -errno. */
    int (*client)(void *arg, bool privileged);
    /* Another node has made a link for its requests, or for large values. The socket and session are the node's. */
    void (*serve)(void *arg, unsigned worker, bool transfer, int fd, struct ssl_st *ssl);
    /* The items that move: a hand-off's store (handoff.h), which the thread of the hand-off alone calls; `set_move`
     * says which move they belong to (NULL: none), `items` how many there are in the store, about. */
    void (*handoff)(void *arg, struct handoff_store *out);
    void (*set_move)(void *store_arg, struct move *m);
    uint64_t (*items)(void *store_arg);
    /* This node has left the cluster for good, as an operator wanted (`cluster leave`): the process may end. */
    void (*ended)(void *arg);
};

/* Texts and lists stay the caller's, and stay in place until cluster_free. */
struct cluster_config {
    const char *name;
    const char *ring_name;   /* "host:port"; NULL: the advertised host and */
    uint16_t client_port;    /* the port that clients use */
    const char *bind;        /* "host:port"; host "*" is every interface */
    const char *advertise;   /* "host:port"; NULL: of `bind`, or found out */
    const char *const *join; /* "host:port" each */
    unsigned njoin;
    const char *const *founders;
    unsigned nfounders;
    bool found;
    uint32_t weight;       /* 0: a witness */
    const char *key_file;  /* NULL: none */
    const char *state_dir; /* NULL: none */
    bool insecure;         /* addresses that others reach may go without a key, or with plain links */
    bool plain_links;
    unsigned voters, tag_lease_ms, serve_lease_s, eject_after_s;
    const char *key_tags;  /* NULL: off */
    char prefix_delimiter; /* 0: off */
    const char *strip_prefix;
    uint64_t memory_limit; /* bounds the log of purges, and the set of keys written while they move */
    unsigned handoff_rate_mib, drain_timeout_s;
    unsigned workers;
    const struct clock *clock;
    struct log *log;
    struct audit *audit; /* NULL: none */
    bool erase;          /* what a counted purge took out is overwritten before its count is told (--erase) */
    struct cluster_upcalls up;
};

#endif
