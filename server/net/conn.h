/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn - one client connection: bytes in, bytes out. Knows no command.
 *
 * A connection belongs to one worker thread for life; every function here is called by that thread only, unless it
 * says otherwise. The protocol above it is a struct net_handler (handler.h); what a handler writes goes through
 * conn_write.h. An idle connection holds no buffers: input is read into the worker's own buffer, and only what a
 * request leaves unfinished is kept with the connection; output is built in the worker's own buffer and leaves with
 * one gathered write a batch.
 */
#ifndef TAGCACHED_NET_CONN_H
#define TAGCACHED_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/conn_write.h"
#include "net/handler.h"
#include "net/net_config.h"

struct conn;
struct net_worker;
struct ssl_st;

/* ------------------------------------------------------------------ life */

/* Serves a socket that no listener accepted, with a handler of its own: one that this process has connected (or is
 * about to have: EINPROGRESS), or one end of a pair. ssl: its TLS session, whose handshake is done and whose bytes go
 * through fd; NULL: it is plain. On the worker's thread. The connection owns both, and the socket must be non-blocking,
 * from here on. NULL: no memory, or handler->open said no; both are gone then. */
struct conn *conn_adopt(struct net_worker *w, int fd, struct ssl_st *ssl, const struct net_handler *handler);

/* ------------------------------------------------------------------ state */

/* Sends what waits, then closes. */
void conn_close(struct conn *c);
bool conn_closing(const struct conn *c);
/* Sends what waits, then says that nothing more comes, and goes on reading until the far side ends: so that a client
 * that is still sending gets to read its answer, instead of the reset by which the kernel answers to a closed socket.
 * The handler throws away what comes, writes no more, and sets a deadline. */
void conn_finish(struct conn *c);
/* Stops input until conn_resume; unconsumed bytes are kept. Used while an answer is being worked out elsewhere, or no
 * memory is free just now. */
void conn_park(struct conn *c);
/* The same for what only conn_resume ends: it is not resumed when memory is found for others. */
void conn_wait(struct conn *c);
bool conn_parked(const struct conn *c);
/* True when the handler should consume no more for now: conn_full, conn_parked or conn_closing. */
bool conn_halted(const struct conn *c);
/* Goes on with a parked connection, on its worker; the handler's input is called again with what was kept (even if
 * that is nothing). */
void conn_resume(struct conn *c);
/* Has `input` called soon, outside the present upcall, with what is kept, even if that is nothing; ends parking. */
void conn_feed(struct conn *c);
/* Says whether a body is under way whose bytes go elsewhere than to the connection: `body_space` tells where, `stalled`
 * hears of it when they do not come, and a drain waits for its end. */
void conn_set_body(struct conn *c, bool on);
/* Says that the handler keeps n bytes for what this connection asks or is answered, instead of what it said before.
 * Counted with what connections hold; 0 before it closes. */
void conn_hold(struct conn *c, size_t n);
/* Says whether answers are awaited on it, as one that this node has opened to another: a drain waits for them. */
void conn_busy(struct conn *c, bool busy);
/* Has the handler's `expired` called when so many seconds have passed, give or take one; 0: not at all. A later call
 * takes the place of an earlier one. While a connection has a deadline, a worker walks through all it has each second:
 * for listeners that have few. */
void conn_set_deadline(struct conn *c, unsigned seconds);
/* Whether `produce` is wanted whenever the output has drained. Input goes on meanwhile unless parked. */
void conn_set_producer(struct conn *c, bool on);
/* Asks the kernel for output readiness: `produce` will be called soon, outside the present upcall. */
void conn_kick(struct conn *c);

/* ------------------------------------------------------------------ facts */

void *conn_session(struct conn *c);
struct net_worker *conn_worker(struct conn *c);
/* The file descriptor, for logs (memcached names connections by it). */
int conn_fd(const struct conn *c);
/* A number that no other connection of this process had. */
uint64_t conn_id(const struct conn *c);
/* "ip:port", "[ip6]:port" or "unix:path" of the far side; lives as long as the connection. */
const char *conn_peer(struct conn *c);
bool conn_is_unix(const struct conn *c);
bool conn_is_tls(const struct conn *c);
/* The name of the listener that accepted it, given as tag[...] on -l, or "". */
const char *conn_listener(const struct conn *c);
/* What that listener's connections speak, given as proto[...] on -l. */
enum net_protocol conn_protocol(const struct conn *c);
/* Seconds since the last byte arrived, or output that had to wait was taken. */
uint64_t conn_idle_s(const struct conn *c);
/* Why the connection ends, as far as this layer knows; to be asked by the handler's `close`. */
enum conn_end {
    CONN_END_NORMAL, /* the far side has sent all it will, the handler closed it, or the node ends */
    CONN_END_ERROR,  /* it broke, or sent what was never consumed */
    CONN_END_IDLE,   /* idle for longer than allowed */
};
enum conn_end conn_end(const struct conn *c);
/* Which step the connection is in, as `stats conns` names it (conn_read, conn_write, ...). */
const char *conn_state_name(const struct conn *c);

#endif
