/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_serve - a connection's life: it is made, read, handed to its handler, and ended. On the connection's worker,
 * except where another thread is named.
 */
#ifndef TAGCACHED_NET_CONN_SERVE_H
#define TAGCACHED_NET_CONN_SERVE_H

#include <stdint.h>
#include <sys/socket.h>

struct conn;
struct net_listener;
struct net_worker;

/* Makes a connection of an accepted socket, which it owns from here on. NULL: no memory (the socket stays open). */
struct conn *conn_new(struct net_worker *w, const struct net_listener *l, int fd, const struct sockaddr_storage *peer);
/* On its worker: begins to serve. */
void conn_begin(struct conn *c);
/* Serves a connection from the worker's list `again`. It may be gone afterwards. */
void conn_go_on(struct conn *c);
/* Ends it at once. Not from within an upcall. */
void conn_destroy(struct conn *c);
/* Serves it: `what` may have happened to its socket (NET_READ, NET_WRITE, NET_LAST; 0: nothing has). The connection may
 * be gone afterwards. */
void conn_step(struct conn *c, uint32_t what);
/* Closes its socket and frees it, when it never reached its worker. Any thread. */
void conn_discard(struct conn *c);
/* Closes it if no request is under way, else marks it so that it closes then. */
void conn_drain(struct conn *c);

#endif
