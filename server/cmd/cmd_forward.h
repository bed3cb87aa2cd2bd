/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_forward - the record of requests that other nodes are asked, for one connection: what has become of each, and the
 * replies that have come. A request that is this node's own may be in it, too: its key is moving here, and the item has
 * to be pulled from the node that had the key (cmd_pull.h) before the request is run. At most one batch of a connection
 * is under way at a time.
 *
 * A record belongs to its session until all its requests are answered; if the connection ends before, or answers come
 * after their deadline, it lives until the last reply that points to it has come. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_FORWARD_H
#define TAGCACHED_CMD_CMD_FORWARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "cmd/cmd_moved.h"
#include "cmd/instance.h"

enum forward_state {
    FORWARD_HERE,      /* runs on this node */
    FORWARD_GIVEN,     /* its reply has come on a transfer link, and gone to the client */
    FORWARD_DONE,      /* its reply has come */
    FORWARD_WANTED,    /* to be sent */
    FORWARD_OUT,       /* sent */
    FORWARD_LARGE,     /* the owner says that it takes a transfer link */
    FORWARD_UNSENT,    /* the link broke before any of it was sent */
    FORWARD_LOST,      /* the link broke behind it */
    FORWARD_NOT_OWNER, /* who was asked does not own it */
    FORWARD_RETRY,     /* who was asked cannot say yet */
    FORWARD_MOVING,    /* runs on this node, but not before the former owner of its key acts for it no more */
    FORWARD_BEHIND,    /* a pull: who was asked does not know all purges that this node does */
    FORWARD_HELD,      /* a pull: its reply has come, and the store had no room for it */
    FORWARD_LATE,      /* failed: its deadline has passed */
    FORWARD_DOWN,      /* failed: its owner is down, or too busy */
    FORWARD_BROKEN,    /* failed: the link broke behind it, and it must not be repeated */
};

/* What a request is, as far as its answer goes. */
enum forward_kind {
    FORWARD_LINE,   /* a line, and its block */
    FORWARD_KEY,    /* a key of a get line */
    FORWARD_PACKET, /* a packet of the binary protocol */
};

/* Places in the input count from where the record's first request begins. */
struct forward_slot {
    uint32_t off, len;       /* its reply, in the record's buffer; behind the last key of a line END follows there.
                                FORWARD_OUT: off is where it begins in what was written to the link, modulo 2^32 */
    uint32_t name, name_len; /* where the key, or packet, is in the input; bytes of the key */
    uint32_t end;            /* where the request ends there */
    uint16_t member;         /* whom to ask, or who was asked: an index in the view */
    uint8_t state;           /* enum forward_state */
    uint8_t tries;           /* times that it was sent again */
    uint8_t kind;            /* enum forward_kind */
    uint8_t tail;            /* bytes of `len` that are END: 0 or FORWARD_END */
};

#define FORWARD_END 5 /* bytes of "END\r\n" */

TAILQ_HEAD(forward_list, forward);

/* Records that wait to be sent. */
struct forward_waiters {
    struct forward_list list;
    unsigned n;
};

struct forward {
    TAILQ_ENTRY(forward) age;      /* in the worker's list of those under way, oldest first; then of spare ones */
    TAILQ_ENTRY(forward) wait;     /* in `waits` */
    struct forward_waiters *waits; /* where it waits to be sent; NULL: nowhere */
    struct session *session;       /* NULL: nobody takes the answers any more */
    uint64_t ring_version;         /* by which the owners were found */
    uint64_t begun_ns;             /* when it was made */
    uint64_t deadline_ns;
    uint64_t again_ns;             /* in the worker's list of those to be sent again: when */
    unsigned count;                /* requests that it covers */
    unsigned next;                 /* the first that is not answered yet: the one that the input begins with */
    unsigned out;                  /* requests that are sent and not answered */
    unsigned entries;              /* places in links' queues that point here */
    bool attention;                /* some are neither here nor done */
    bool whole;                    /* all were other nodes', and a line begins behind them */
    uint64_t pulls;                /* bit i: slot i is a pull, whose request runs here afterwards */
    uint64_t g, asked_ns;          /* store_number() and the clock from before the latest pulls were sent */
    struct cmd_moved_parts parts;  /* what has come of a value that comes in parts, */
    unsigned parts_slot;           /* and whose it is */
    struct cmd_transfer *transfer; /* the transfer link that it uses, or NULL (cmd_transfer.c) */
    char *buf;                     /* the replies */
    uint32_t len, cap;
    struct forward_slot slot[CMD_BATCH];
};

/* What fails is told to the client by its row (cmd_route.c): whether a request in this state has been given up. */
static inline bool forward_failed(enum forward_state s) {
    return s >= FORWARD_LATE;
}

/* Whether a slot is a pull. */
static inline bool forward_pulls(const struct forward *f, unsigned slot) {
    return (f->pulls >> slot & 1) != 0;
}

/* A record for s, empty, its deadline running. NULL: no memory. */
struct forward *cmd_forward_new(struct session *s);
/* The session needs its record no more: all is answered, or the connection ends. */
void cmd_forward_end(struct session *s);
/* A place in a link's queue that pointed to f is gone. */
void cmd_forward_unref(struct cmd_peers *p, struct forward *f);
/* The reply of a request that is FORWARD_OUT is p[0..n). Without memory for it the request has failed. */
void cmd_forward_reply(struct cmd_peers *peers, struct forward *f, unsigned slot, const char *p, size_t n);
/* The same for the usual ones of the requests of the slots from `slot` on, of which at most `most` have been sent one
 * behind the other, the first one as `seq`: p[0..n) begins with what the link has brought (proto/link.h). Stops at the
 * first that is not whole, or not usual; where there are pulls none is. Returns how many bytes it took, *taken: of how
 * many requests. */
size_t cmd_forward_replies(struct cmd_peers *peers, struct forward *f, unsigned slot, unsigned most, uint32_t seq,
                           const char *p, size_t n, unsigned *taken);
/* Room for a reply of at most n bytes; NULL: no memory. And: the reply of a request has been written there, n bytes of
 * it; one that is FORWARD_WANTED need not be sent. Behind a line's last key this appends END. */
char *cmd_forward_room(struct forward *f, size_t n);
void cmd_forward_given(struct cmd_peers *peers, struct forward *f, unsigned slot, size_t n);
/* A request that is FORWARD_OUT has come to this, and got no reply; when it was the last one the session's input is
 * shown again. */
void cmd_forward_settle(struct forward *f, unsigned slot, enum forward_state state);
/* Puts it among those that wait, or takes it out again. */
void cmd_forward_wait(struct forward *f, struct forward_waiters *w);
void cmd_forward_wait_end(struct forward *f);
/* Its deadline begins anew. */
void cmd_forward_restart(struct cmd_peers *p, struct forward *f);
/* It is waited for half as long. */
void cmd_forward_hurry(struct cmd_peers *p, struct forward *f);
/* Has the input of the one that has waited longest shown again, or of all that wait there. */
void cmd_forward_wake_one(struct forward_waiters *w);
void cmd_forward_wake(struct forward_waiters *w);

#endif
