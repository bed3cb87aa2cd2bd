/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node_http - a node's HTTP listener (--http): a net of its own with one thread (server/http says why), and the
 * instance that answers.
 *
 * Owned by the node. Threads: as the node's functions.
 */
#ifndef TAGCACHED_NODE_HTTP_H
#define TAGCACHED_NODE_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct audit;
struct clock;
struct cmd;
struct log;
struct net;
struct node_http;
struct settings;
struct store;

/* What it works on, which outlives it. */
struct node_http_parts {
    const struct settings *settings;
    const struct clock *clock;
    struct log *log;
    struct cmd *cmd;
    struct net *net; /* that serves the cache */
    struct store *store;
    struct audit *audit; /* or NULL */
};

/* Makes it and binds its sockets. 0, or -errno with a sentence in err. */
int node_http_new(const struct node_http_parts *parts, struct node_http **out, char *err, size_t err_size);
/* Starts its thread. 0 or -errno. */
int node_http_start(struct node_http *nh);
/* Ends its connections and its thread. NULL is allowed. */
void node_http_stop(struct node_http *nh);
/* NULL is allowed. */
void node_http_free(struct node_http *nh);

/* Reads the tokens again. False with a sentence in err: they stay as they were. Any thread, one at a time. */
bool node_http_reload(struct node_http *nh, char *err, size_t err_size);
/* The node accepts no more and ends: /readyz says so. Any thread. */
void node_http_draining(struct node_http *nh);
/* Its sockets. */
struct net *node_http_net(struct node_http *nh);

#endif
