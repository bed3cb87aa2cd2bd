/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_write - what a handler writes to a connection. On the connection's worker.
 *
 * Output is built in the worker's own buffer and leaves with one gathered write a batch; what the socket
 * does not take is kept with the connection.
 */
#ifndef TAGCACHED_NET_CONN_WRITE_H
#define TAGCACHED_NET_CONN_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/conn_room.h"

#define CONN_RESERVE_MAX 65536 /* bytes one conn_reserve may ask for */

/* What conn_reserve and conn_commit do when the worker's buffer is full, or is another connection's. Only for them. */
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
/* Bytes of output not yet handed to the kernel. */
size_t conn_pending(const struct conn *c);

#endif
