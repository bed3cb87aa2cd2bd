/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn - one client connection: bytes in, bytes out. Knows no command.
 *
 * A connection belongs to one worker thread for life; every function here is called by that thread only, unless it
 * says otherwise. The protocol above it is a struct net_handler. An idle connection holds no buffers: input is read
 * into the worker's own buffer, and only what a request leaves unfinished is kept with the connection; output is built
 * in the worker's own buffer and leaves with one gathered write a batch.
 */
#ifndef TAGCACHED_NET_CONN_H
#define TAGCACHED_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct conn;
struct net_worker;

#define CONN_RESERVE_MAX 65536 /* bytes one conn_reserve may ask for */

/* What the layer above does with bytes. `session` is handler-owned memory of session_size bytes, zeroed, living as long
 * as the connection. All upcalls run on the connection's worker. */
struct net_handler {
    size_t session_size;
    /* A connection was accepted. False closes it. */
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
    /* The bytes of a conn_ref have been sent, or copied, or the connection died. */
    void (*release)(struct conn *c, uint64_t token);
    /* The connection ends: free what the session holds. */
    void (*close)(struct conn *c, void *session);
};

/* ------------------------------------------------------------------ output */

/* The room in a worker's output buffer. It belongs to the connection that is being served, until another one's handler
 * writes. */
struct conn_room {
    struct conn *owner; /* NULL: nobody */
    char *next, *end;   /* free: next .. end */
};

/* What every connection begins with. */
struct conn_head {
    struct conn_room *room; /* its worker's */
};

char *conn_reserve_slow(struct conn *c, size_t n);
void conn_commit_slow(struct conn *c, size_t n);

/* Room for n bytes (n <= CONN_RESERVE_MAX) at the end of the output, in one run. Never NULL: when the buffer is full
 * it is written out, and what the socket does not take is kept with the connection. */
static inline char *conn_reserve(struct conn *c, size_t n) {
    const struct conn_room *r = ((const struct conn_head *)c)->room;
    if (__builtin_expect(r->owner == c && n <= (size_t)(r->end - r->next), 1)) return r->next;
    return conn_reserve_slow(c, n);
}

/* The first n of the reserved bytes count. */
static inline void conn_commit(struct conn *c, size_t n) {
    struct conn_room *r = ((const struct conn_head *)c)->room;
    if (__builtin_expect(r->owner == c, 1))
        r->next += n;
    else
        conn_commit_slow(c, n);
}

/* Appends n bytes by reserving, in as many runs as it takes. */
void conn_write(struct conn *c, const void *p, size_t n);
/* Appends p[0..n) as far as the socket takes it, and a piece more; returns how much of it that was. Less than n: output
 * is kept with the connection, and this is no time to append more than an answer's end. */
size_t conn_write_some(struct conn *c, const void *p, size_t n);
/* Appends memory of somebody else without copying; `token` goes to handler->release once it is no longer needed.
 * token 0: memory that lives for ever, nothing is released. What the socket does not take is copied, up to 64 KiB
 * for the connection. */
void conn_ref(struct conn *c, const void *p, size_t n, uint64_t token);
/* True when enough output waits that the handler should stop until it has drained (back-pressure). */
bool conn_full(const struct conn *c);
/* Whether what was just appended is kept with the connection, since its socket takes no more (or is gone). */
static inline bool conn_stuck(const struct conn *c) {
    return ((const struct conn_head *)c)->room->owner != c;
}
/* True when the handler should consume no more for now: conn_full, conn_parked or conn_closing. */
bool conn_halted(const struct conn *c);
/* Bytes of output not yet handed to the kernel. */
size_t conn_pending(const struct conn *c);

/* ------------------------------------------------------------------ life */

/* Serves a socket that no listener accepted, with a handler of its own: one that this process has connected (or is
 * about to have: EINPROGRESS), or one end of a pair. On the worker's thread. The connection owns the socket, which must
 * be non-blocking, from here on. NULL: no memory, or handler->open said no; the socket is closed then. */
struct conn *conn_adopt(struct net_worker *w, int fd, const struct net_handler *handler);

/* ------------------------------------------------------------------ state */

/* Sends what waits, then closes. */
void conn_close(struct conn *c);
bool conn_closing(const struct conn *c);
/* Stops input until conn_resume; unconsumed bytes are kept. Used while an answer is being worked out elsewhere, or no
 * memory is free just now. */
void conn_park(struct conn *c);
bool conn_parked(const struct conn *c);
/* The same for what only conn_resume ends: it is not resumed when memory is found for others. */
void conn_wait(struct conn *c);
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
