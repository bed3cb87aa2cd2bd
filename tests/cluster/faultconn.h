/* SPDX-License-Identifier: BSD-3-Clause
 *
 * faultconn - a pipelined connection of the fault load to one node, which is made anew for as long as it breaks.
 *
 * Requests are answered in the order in which they were sent. A connection that breaks loses the requests that were not
 * answered, and says so of each. One thread, one epoll instance.
 */
#ifndef TAGCACHED_TESTS_FAULTCONN_H
#define TAGCACHED_TESTS_FAULTCONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULTCONN_UNANSWERED 1024 /* requests that may wait for their answers, a power of two */

/* What the load has to know when the answer comes; faultconn looks only at `sent_ns`. */
struct faultconn_request {
    uint8_t kind;
    uint8_t about; /* the owner that a steady read is for, the kind of a purge */
    uint32_t key;  /* the first key */
    uint32_t count;
    uint64_t event;   /* when a purge was asked for, a database was read; a plain store's serial */
    uint64_t horizon; /* of a read */
    uint64_t sent_ns;
};

struct faultconn;

struct faultconn_answer {
    const char *line; /* without its end, and a NUL behind it */
    const char *data; /* of a VA: n bytes */
    size_t n;
};

struct faultconn_upcalls {
    void (*answered)(void *owner, struct faultconn *c, const struct faultconn_request *r,
                     const struct faultconn_answer *a);
    void (*lost)(void *owner, struct faultconn *c, const struct faultconn_request *r);
};

struct faultconn {
    const struct faultconn_upcalls *up;
    void *owner;
    struct sockaddr_in to;
    unsigned node; /* which node it leads to; the owner's */
    int epoll, fd; /* fd -1: there is none, and the next one is made at `again_ns` */
    bool is_open, is_blocked;
    uint64_t again_ns;
    char *out, *in;
    size_t out_n, out_room, in_n, in_room;
    struct faultconn_request waiting[FAULTCONN_UNANSWERED];
    unsigned first, nwaiting;
};

/* A connection to a node; nothing is sent before the next faultconn_tick. */
void faultconn_init(struct faultconn *c, const struct faultconn_upcalls *up, void *owner, int epoll,
                    const struct sockaddr_in *to, unsigned node);
void faultconn_fini(struct faultconn *c);
/* Whether a request may be sent: it is open, and fewer than `most` wait. */
bool faultconn_has_room(const struct faultconn *c, unsigned most);
/* Adds a request of n bytes to what is sent by the next faultconn_flush. There must be room for it. */
void faultconn_ask(struct faultconn *c, const struct faultconn_request *r, const char *bytes, size_t n);
void faultconn_flush(struct faultconn *c);
/* Tries to connect when it is time to. */
void faultconn_tick(struct faultconn *c, uint64_t now_ns);
/* What epoll has told. */
void faultconn_ready(struct faultconn *c, uint32_t events, uint64_t now_ns);
/* Since when the oldest request waits; 0: none does. */
uint64_t faultconn_waits_since(const struct faultconn *c);

#endif
