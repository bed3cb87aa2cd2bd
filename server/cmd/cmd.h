/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd - the commands: request bytes in, reply bytes out. Everything a client can ask of one node.
 *
 * A struct cmd belongs to the node, which wires it: it hands cmd_handler() and the worker contexts to the net layer,
 * and cmd_on_job / cmd_on_evict to the store as events. No globals: N of them may live in one process.
 *
 * Threads: cmd_new, cmd_free by the node while no worker runs; the handler's upcalls on the connection's own worker;
 * cmd_on_job and cmd_on_evict on the store's maintenance thread; all others from any.
 */
#ifndef TAGCACHED_CMD_CMD_H
#define TAGCACHED_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "cmd/cmd_config.h"
#include "net/conn.h"
#include "net/worker.h"
#include "store/store.h"

struct cmd;

/* Makes the commands of one node. Returns 0, -ENOMEM, -EINVAL, or -errno of reading the auth file. */
int cmd_new(const struct cmd_config *cfg, struct cmd **out);
/* Has purges reach other nodes, and `cluster` answered. Before any connection; `cluster` outlives the cmd. */
void cmd_set_cluster(struct cmd *cmd, const struct cmd_cluster *cluster);
/* What was set, or NULL: the node stands alone. */
const struct cmd_cluster *cmd_cluster_calls(const struct cmd *cmd);
/* Frees it; no connection may be left. */
void cmd_free(struct cmd *cmd);

/* The context of worker i for net_new: what worker_context() of that worker must return. */
void *cmd_worker_context(struct cmd *cmd, unsigned i);
/* Ends the section of the store that such a context has kept open: the net's let_go. On its worker. */
void cmd_let_go(void *context);
/* The upcalls of every connection. The same for all instances; lives for ever. */
const struct net_handler *cmd_handler(void);
/* The same with some requests timed (cmd_latency.h). */
const struct net_handler *cmd_timed_handler(void);
/* The same for a connection that the node has made to itself for an operator: it needs no password, and may change the
 * cluster or not. */
const struct net_handler *cmd_guest_handler(bool privileged);
/* The same for a connection on which another node sends and fetches large values, as its clients would: it needs no
 * password, and each request may be of either protocol. */
const struct net_handler *cmd_peer_handler(void);

/* ------------------------------------------------------------------ a cluster */

struct view;
/* Has the workers go by this view of the cluster from now on; it is taken over. NULL: there is no cluster, all keys are
 * this node's. When no worker looks at the one before any more it is freed, and done(arg) called, on a worker's thread,
 * if `done` is not NULL. One call at a time: not before the last one is done. Any thread; after net_new. 0;
 * -ENOMEM: nothing has changed, and the view stays the caller's. */
int cmd_set_view(struct cmd *cmd, struct view *v, void (*done)(void *arg), void *arg);
/* The answer to a wish for a link (cmd_config.h): a connected, non-blocking socket, on which names were exchanged, and
 * its TLS session, or NULL; or -errno. Any thread. */
void cmd_on_link(struct cmd_wish *wish, int fd, struct ssl_st *ssl, int error);
struct purging_batch;
/* The store has carried out a batch of the cluster's purges under this number. Any thread. */
void cmd_on_purged(struct cmd *cmd, uint64_t number, const struct purging_batch *b);
/* Serves another node on such a socket, which it has connected. On the thread of worker w. False: no memory. */
bool cmd_serve_link(struct cmd *cmd, struct net_worker *w, int fd, struct ssl_st *ssl, enum cmd_link_kind kind);

/* For struct store_events, `cmd` being the arg: a purge that took time has ended, whose token is a struct cmd_ended, of
 * the commands or of whoever else purges. */
void cmd_on_job(void *cmd, void *token, int64_t n, uint64_t bytes);
/* Likewise: some of a worker's uploads got their turn, or have to be given up. */
void cmd_on_upload(void *cmd, unsigned worker);
/* Likewise: a live item leaves for want of room. */
void cmd_on_evict(void *cmd, const char *key, size_t key_len, bool fetched, uint32_t expiry, uint64_t size);

/* Sum of a counter over all workers since the start or the last `stats reset`. */
uint64_t cmd_metric(const struct cmd *cmd, enum cmd_metric m);
/* Reads the auth file again (SIGHUP). 0, or -errno and the old one stays. Any thread. */
int cmd_reload_auth(struct cmd *cmd);

#endif
