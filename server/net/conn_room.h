/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_room - where a connection's output is built. Handlers reach it by the inline functions of conn_write.h.
 */
#ifndef TAGCACHED_NET_CONN_ROOM_H
#define TAGCACHED_NET_CONN_ROOM_H

struct conn;

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

#endif
