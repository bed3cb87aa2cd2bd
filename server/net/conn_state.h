/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_state - a connection as the files of this folder see it: types only. It belongs to its worker's thread; the
 * acceptor makes it and hands it over with worker_post.
 */
#ifndef TAGCACHED_NET_CONN_STATE_H
#define TAGCACHED_NET_CONN_STATE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "net/conn_room.h"
#include "net/post.h"

struct conn_link;
struct net_handler;
struct net_listener;
struct net_worker;
struct ssl_st;

/* What a loop tells of a socket. */
enum {
    NET_READ = EV_READ,
    NET_WRITE = EV_WRITE,
    NET_LAST = EV_CLOSED, /* the far side has sent all it will, or the connection is broken */
};

enum conn_flag {
    CONN_OPEN = 1 << 0, /* handler->open has said yes */
    CONN_UNIX = 1 << 1,
    CONN_CLOSING = 1 << 2,  /* no more input; closes once the output has drained */
    CONN_DEAD = 1 << 3,     /* the socket failed: output is discarded */
    CONN_PARKED = 1 << 4,   /* input waits for conn_resume */
    CONN_PRODUCER = 1 << 5, /* conn_set_producer is on */
    CONN_WANTED = 1 << 6,   /* ...and produce should be called */
    CONN_EOF = 1 << 7,      /* the far side has sent all it will */
    CONN_FEED = 1 << 8,     /* input must be called again with what is kept, even if that is nothing */
    CONN_AGAIN = 1 << 9,    /* on the worker's list of connections to go on with */
    CONN_BODY = 1 << 10,    /* conn_set_body is on */
    CONN_MORE = 1 << 11,    /* bytes may wait of which the kernel will not tell (again) */
    CONN_TLS = 1 << 12,
    CONN_TLS_WANT = 1 << 13,   /* reading needs the socket to become writable */
    CONN_TLS_UP = 1 << 14,     /* the handshake is done */
    CONN_TLS_BROKEN = 1 << 15, /* no good-bye can be said */
    CONN_DRAIN = 1 << 16,      /* close when no request is under way */
    CONN_LAST = 1 << 17,       /* NET_LAST was told: reading goes on until the end is met */
    CONN_QUIET = 1 << 18,      /* not on the worker's list of those read of late: nothing is left in its socket */
    CONN_HOLDS = 1 << 19,      /* on the worker's list of connections that hold something */
    CONN_MOVED = 1 << 20,      /* and bytes have come or gone since it was put there */
    CONN_WAITING = 1 << 21,    /* parked, but not for room: not on the worker's list of those */
    CONN_IDLED = 1 << 22,      /* closed for having been idle */
    CONN_BUSY = 1 << 24,       /* conn_busy is on */
    CONN_LINK = 1 << 23,       /* conn_link_begin: its output has a buffer of its own */
    CONN_FINISH = 1 << 25,     /* conn_finish: the end of the output is to be told of, once it has drained */
};

/* Flags with which a connection cannot take the short way through conn_ready. */
#define CONN_SLOW ((((CONN_QUIET << 1) - 1) & ~(CONN_OPEN | CONN_UNIX)) | CONN_LINK | CONN_FINISH)

/* A piece of output kept with a connection: bytes of its own, or a reference. */
struct conn_chunk {
    struct conn_chunk *next;
    const char *p; /* data, or somebody else's memory */
    size_t off, len;
    size_t cap; /* of data; 0 for a reference */
    uint64_t token;
    char data[];
};

/* Everything that a plain request looks at comes first, in one cache line; libevent's part follows. */
struct conn {
    struct conn_head head;
    const struct net_handler *handler;
    struct net_worker *worker;
    struct ssl_st *ssl;
    struct conn_chunk *out_head, *out_tail;
    int fd;
    uint32_t flags;  /* enum conn_flag */
    uint32_t in_len; /* bytes of unfinished input */
    uint32_t last_s; /* when the last byte came, seconds of the worker's time */
    struct event event;
    uint32_t in_off, in_cap;
    uint32_t held;      /* bytes that the handler keeps (conn_hold) */
    uint16_t armed;     /* what the loop is asked for: NET_READ, NET_WRITE; 0: it does not watch the socket */
    uint16_t family;    /* AF_INET, AF_INET6, AF_UNIX */
    char *in;           /* unfinished input: in[in_off .. in_off + in_len) */
    size_t out_pending; /* bytes in the chunks */
    size_t owed;        /* of them, those that worker_erase waits for */
    size_t out_own;     /* of them, room in chunks that are no references */
    const struct net_listener *listener; /* NULL: no listener accepted it */
    uint64_t id;
    uint32_t tls_piece;  /* largest piece for SSL_write */
    uint32_t deadline_s; /* conn_set_deadline: when, seconds of the worker's time; 0: there is none */
    in_port_t port;      /* the far side, network order */
    char *peer;          /* made when first asked for */
    struct in6_addr addr;
    struct conn_link *link; /* of a connection between two nodes: its output; else NULL */
    TAILQ_ENTRY(conn) all, again, parked, fresh, holds, round;
    struct net_post post; /* hands it over from the acceptor */
    uint64_t session[];   /* the handler's */
};

#endif
