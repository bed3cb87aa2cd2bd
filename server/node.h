/* SPDX-License-Identifier: BSD-3-Clause
 *
 * node - one whole server as an instance: the store, the commands and the net, wired together.
 *
 * N of them live in one process; nothing is shared between them. Owned by main, or by a test. Threads: node_new,
 * node_start, node_stop and node_free by the owner; the rest by any thread but the node's own.
 */
#ifndef TAGCACHED_NODE_H
#define TAGCACHED_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/cmd_config.h"
#include "settings.h"

struct node;
struct net;
struct store;
struct cmd;

/* How a node's workers get links to other nodes (cmd_config.h says what the calls mean). */
struct node_peers {
    void *arg;
    void (*want_link)(void *arg, unsigned worker, uint32_t member, enum cmd_link_kind kind, struct cmd_wish *wish);
    void (*ring_differs)(void *arg, uint32_t member, uint64_t version);
};

struct node_config {
    const struct settings *settings; /* not changed; outlives the node */
    const struct clock *clock;
    int log_fd;           /* where the log goes; -1: nowhere */
    const int *inherited; /* sockets that listen already (socket activation), used instead of those of the settings */
    unsigned ninherited;
    const struct node_peers *peers; /* NULL: it has none */
};
/* Makes a node and binds its sockets. Returns 0, or -errno with a sentence in err. */
int node_new(const struct node_config *cfg, struct node **out, char *err, size_t err_size);
/* Starts to serve. 0 or -errno. */
int node_start(struct node *n);
/* Ends every connection and thread. May be called twice. */
void node_stop(struct node *n);
void node_free(struct node *n);

enum node_end { NODE_RUNS, NODE_END_NOW, NODE_END_GRACEFUL };

/* A descriptor that becomes readable when a client asks the node to end (shutdown). Any thread. */
int node_end_fd(const struct node *n);
/* How a client has asked it to end; NODE_RUNS: none has. Any thread. */
enum node_end node_end(const struct node *n);
/* Accepts no more and lets requests under way end, at most timeout_ms. True if all did. */
bool node_drain(struct node *n, unsigned timeout_ms);
/* Reads the password file and the certificates again (SIGHUP). What cannot be read is logged, and the old one stays.
 * True if all was read. */
bool node_reload(struct node *n);

/* The port of the i-th listening socket; 0: none. */
unsigned node_port(const struct node *n, unsigned i);
/* The same of the HTTP listeners (--http). */
unsigned node_http_port(const struct node *n, unsigned i);
/* Writes the ports to a file, by way of a temporary one: "TCP INET: <port>", INET6 for IPv6, HTTP for --http. 0 or
 * -errno.
 */
int node_write_ports(const struct node *n, const char *path);
struct log *node_log(struct node *n);
/* The parts, for tests and statistics. */
struct net *node_net(struct node *n);
struct store *node_store(struct node *n);
struct cmd *node_cmd(struct node *n);

#endif
