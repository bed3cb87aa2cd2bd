/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_link_state - a link's output as the files of this folder see it (conn_link.c). On the connection's worker.
 */
#ifndef TAGCACHED_NET_CONN_LINK_STATE_H
#define TAGCACHED_NET_CONN_LINK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/conn_room.h"

struct conn;
struct net_worker;

struct conn_link {
    struct conn_room room; /* in buf; the owner is the connection, or nobody once it is dead */
    char *buf;             /* NULL: none, while nothing waits */
    size_t cap, start;     /* bytes of buf; the first unsent one */
    uint64_t sent;         /* bytes that the kernel took */
    uint64_t owed;         /* as many are waited for by worker_erase */
    bool queued;           /* on the worker's list of those to send at the end of the round */
    bool blocked;          /* the socket takes no more just now */
    bool reads_on;         /* it is read while it is blocked */
};

/* Bytes that wait to be sent. */
static inline size_t conn_link_waiting(const struct conn_link *l) {
    return l->buf == NULL ? 0 : (size_t)(l->room.next - l->buf) - l->start;
}
/* conn_reserve of a link. */
char *conn_link_reserve(struct conn *c, size_t n);
/* Sends now what the socket takes. */
void conn_link_send_now(struct conn *c);
/* Gives up all output. */
void conn_link_drop(struct conn *c);
/* Gives the buffer back if nothing waits in it. */
void conn_link_trim(struct conn *c);
/* Frees it, when the connection ends. */
void conn_link_free(struct conn *c);
/* Sends for all that asked for it in this round. */
void conn_link_round(struct net_worker *w);

#endif
