/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net - the sockets of one node: listeners, one thread that accepts, and the workers that serve.
 *
 * Owned by the node. net_new binds (so that a privileged port can be had before privileges are dropped), net_start
 * makes the threads, net_stop ends every connection and joins them, net_free drops the rest. N of them live in one
 * process.
 *
 * Threads: one acceptor, `threads` workers (worker.h). Connections are dealt to the workers in turn and stay there.
 */
#ifndef TAGCACHED_NET_NET_H
#define TAGCACHED_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/net_config.h"
#include "net/worker.h"

struct net;

/* ------------------------------------------------------------------ life */

/* Makes a net and binds its sockets. Returns 0 or -errno with a sentence in err. */
int net_new(const struct net_config *cfg, struct net **out, char *err, size_t err_size);
/* Starts the threads. 0 or -errno; after an error call net_stop or net_free. */
int net_start(struct net *n);
/* Ends accepting, then waits up to timeout_ms for the connections to finish: each is closed as soon as it has no
 * request under way. Returns true if all have. Any thread but a worker; then call net_stop. */
bool net_drain(struct net *n, unsigned timeout_ms);
/* Ends every connection and joins the threads. May be called twice, or without net_start. */
void net_stop(struct net *n);
/* Frees it, running what was still posted to workers on the calling thread. Nobody may post any more. */
void net_free(struct net *n);

/* ------------------------------------------------------------------ looking around; any thread */

unsigned net_threads(const struct net *n);
struct net_worker *net_worker_at(struct net *n, unsigned i);
/* The TCP port of the i-th listening socket, or 0 if there is none (i past the end, or a UNIX socket). */
unsigned net_port(const struct net *n, unsigned i);
/* Listening sockets. */
unsigned net_listeners(const struct net *n);
/* The i-th one's file descriptor, i < net_listeners; -1 once it is closed. */
int net_listener_fd(const struct net *n, unsigned i);
/* Writes "WHAT INET: <port>" lines (INET6 for IPv6), one for each socket that is no UNIX socket. */
void net_print_ports(const struct net *n, const char *what, FILE *f);

struct net_gauges {
    uint64_t curr_connections, max_connections;
    uint64_t structures;   /* connections in memory */
    uint64_t buffer_bytes; /* held by connections: unfinished input and unsent output */
    uint64_t cert_time;    /* unix time of the last load of certificates; 0 without TLS */
    bool accepting;
};
void net_gauges(const struct net *n, struct net_gauges *g);
/* Sum of a counter since the start or the last reset. */
uint64_t net_metric(const struct net *n, enum net_metric m);
/* `stats reset`. */
void net_metrics_reset(struct net *n);

/* Loads the certificates again; connections accepted from now on get them. True; or false with a sentence in err, the
 * old ones staying in use. Any thread, one at a time. */
bool net_tls_reload(struct net *n, char *err, size_t err_size);
/* Has every worker look at the clock and at its connections now, which else happens each second. For tests. */
void net_tick(struct net *n);

#endif
