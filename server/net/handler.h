/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handler - what the layer above does with the bytes of a connection: the functions that a connection calls.
 */
#ifndef TAGCACHED_NET_HANDLER_H
#define TAGCACHED_NET_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;

/* What the layer above does with bytes. `session` is handler-owned memory of session_size bytes, zeroed, living as long
 * as the connection. All upcalls run on the connection's worker. */
struct net_handler {
    size_t session_size;
    /* A connection was accepted. False closes it. NULL: none is refused. */
    bool (*open)(struct conn *c, void *session);
    /*
     * Bytes have arrived: p[0..n). Consume complete requests from the front, append replies, return how many bytes were
     * consumed. What is left is shown again, with more behind it, as one run of memory (p may differ, and the bytes may
     * be overwritten in place by the handler). Stop early when conn_full(c), conn_parked(c) or conn_closing(c).
     */
    size_t (*input)(struct conn *c, void *session, char *p, size_t n);
    /* While conn_set_body is on, asked before each read, after everything buffered was consumed: makes room for bytes
     * of the body and returns where they are to be received, *n of them at most; NULL when they should go to `input`.
     * May park the connection. */
    char *(*body_space)(struct conn *c, void *session, size_t *n);
    /* n bytes were received there. */
    void (*body_received)(struct conn *c, void *session, size_t n);
    /* The output has drained and conn_set_producer is on: append more output (dumps, watchers, long replies). Called
     * again and again while it appends something; once it appends nothing, not before conn_kick. A far side that has
     * sent all it will (half-closed) is served until then. */
    void (*produce)(struct conn *c, void *session);
    /* No byte of a request under way has come for body_timeout_s. True: the handler gives it up; `input` is called
     * then, with what is kept, even if that is nothing. It may write. May be NULL. */
    bool (*stalled)(struct conn *c, void *session);
    /* The time given to conn_set_deadline has passed, and no deadline is set any more. It may write, close, or set
     * another one. False: the connection ends at once, and what waits to be sent is lost. NULL: no deadline is ever
     * set.
     */
    bool (*expired)(struct conn *c, void *session);
    /* The bytes of a conn_ref have been sent, or copied, or the connection died. NULL: the handler uses no conn_ref. */
    void (*release)(struct conn *c, uint64_t token);
    /* The connection ends: free what the session holds. */
    void (*close)(struct conn *c, void *session);
};

#endif
