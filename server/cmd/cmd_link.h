/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_link - the asking side of links to other nodes: one connection for each worker and peer, made when it is first
 * needed. Requests go out in order and are answered in order (proto/link.h); deadlines, bounds and the breaker are kept
 * here. What is asked is up to cmd_route.c.
 *
 * On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_LINK_H
#define TAGCACHED_CMD_CMD_LINK_H

#include "cluster/view.h"
#include "cmd/cmd_forward.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/post.h"

#define LINK_OUT_MAX 4096             /* requests of a worker that a peer has not answered */
#define LINK_UNSENT_MAX (1u << 20)    /* bytes that wait to be sent to it */
#define LINK_WAITING_MAX 1024         /* connections that wait to send more; then it counts as down */
#define LINK_REPLIES_MAX (16u << 20)  /* bytes of replies of a worker that wait for the rest of their batch */
#define LINK_EXPIRIES_MAX 3           /* deadlines missed in a row that open the breaker */
#define LINK_PING_MS 100              /* how often an open breaker is tried, */
#define LINK_PINGS_MAX 60             /* and so many times; then the connection is closed */
#define LINK_RETRY_MS 2               /* before what is moving is asked again */
#define LINK_MOVING_MS 1000           /* so long a deadline does not count while a move is to begin */
#define LINK_RING_MS 20               /* before what went to a wrong owner is sent again by the same ring */
#define LINK_REPEATS_MAX 2            /* times that is done */
#define LINK_TRANSFERS_MAX 4          /* transfer links of a worker to a peer */
#define LINK_TRANSFERS_WAITING_MAX 64 /* records that wait for one */
#define LINK_LOOK_MS 10               /* how often deadlines are looked at */
#define LINK_REDIAL_MS 50             /* before it is tried again to connect, in the background, */
#define LINK_FAILED_MS 1000           /* and if it is so soon after a failure nobody waits for it */

/* Requests that are not answered. */
struct link_entry {
    struct forward *f; /* NULL: a ping, or */
    uint32_t copy;     /* the number of an ask for a copy (cmd_copy.h); 0: none */
    uint8_t slot, n;   /* of the record's slots the first one, and how many */
};

enum link_step { LINK_STEP_NONE, LINK_STEP_DIALLING, LINK_STEP_UP };

struct cmd_link {
    struct cmd_worker *worker;
    struct conn *conn;              /* NULL: none */
    uint32_t number;                /* the member's */
    uint16_t member;                /* its index in the view */
    uint8_t step;                   /* enum link_step */
    bool gone;                      /* the member is in no view any more: freed when what was asked for has come */
    bool open;                      /* the breaker: nothing is asked but a ping now and then */
    bool redialling;                /* DIALLING: soon after a failure, so nobody waits for it */
    unsigned expired;               /* deadlines missed in a row */
    unsigned pings;                 /* since the breaker opened */
    uint64_t ping_ns;               /* of the last ping */
    uint64_t failed_ns;             /* when it could not be connected to; 0: it was since then */
    uint64_t ring_sent;             /* the version that the peer was told last */
    bool ring_known;                /* it was told one on this connection */
    bool copies;                    /* the peer has answered on this connection as one that knows of copies, */
    bool member_told;               /* and was told who asks */
    uint64_t ring_logged;           /* the version of its ring in the last line of the log */
    uint32_t head, tail;            /* seq of the oldest request that is not answered, and of the next one */
    struct link_entry *queue;       /* those requests (cmd_link_queue.h), a ring of `cap` */
    uint32_t cap, first, past;      /* counting on and on: the oldest entry, and behind the last */
    uint32_t erase_upto;            /* requests before this seq are waited for by cmd_erase */
    uint64_t written;               /* bytes appended to the connection */
    struct forward_waiters waiting; /* for room in the queue, or for a connection */
    struct cmd_wish wish;
    unsigned ntransfers;              /* transfer links there are, or that are being made */
    struct forward_waiters transfers; /* records that wait for one */
};

/* A worker's links and records. */
struct cmd_peers {
    struct cmd_worker *worker;
    const struct view *view;
    struct cmd_link **links;      /* by the members' indexes; NULL: not needed yet */
    struct forward_list live;     /* records with a session, oldest first */
    struct forward_waiters again; /* those of them that will be sent again soon */
    struct forward_waiters crowd; /* ... that wait for memory of replies */
    struct forward_list spare;
    TAILQ_HEAD(, cmd_transfer) transfers; /* the transfer links to all members */
    unsigned nspare;
    unsigned nopen;       /* links with an open breaker */
    uint64_t reply_bytes; /* held by records */
    uint64_t looked_ns;   /* when deadlines were last looked at */
    bool alarmed;
    bool (*tick)(struct cmd_worker *w); /* called with each look while it returns true; NULL: nobody wants it */
    struct cmd_copies *copies;          /* of other nodes' keys (cmd_copy.h) */
    /* Scratch of cmd_route.c. */
    uint16_t owner[CMD_BATCH];
    uint64_t since[CMD_BATCH];
    uint16_t donor[CMD_BATCH];    /* of this node's keys: from whom they are moving here (view_donors) */
    uint8_t turn[CMD_BATCH];      /* ... and when their requests may be run: enum cmd_turn */
    char decoded[CMD_BATCH][256]; /* keys that came in base64 */
    char padding[64];             /* may be read behind the last of them */
};

/* ------------------------------------------------------------------ life */

/* A worker's links, without any. NULL: no memory. */
struct cmd_peers *cmd_link_peers_new(struct cmd_worker *w);
void cmd_link_peers_free(struct cmd_peers *p);
/* Makes the links those of another view; those of members that are gone are closed. `links`: as many as it has members,
 * all NULL; they are taken over. */
void cmd_link_view(struct cmd_peers *p, const struct view *v, struct cmd_link **links);

/* ------------------------------------------------------------------ asking */

/* Sends all requests that are FORWARD_WANTED; r[i] is that of slot `next + i`. Those whose owner is down become
 * FORWARD_DOWN. False: nothing was sent, and the record waits until there is room, or a connection. */
bool cmd_link_send(struct forward *f, const char *base, const struct request *r, unsigned n);
/* Asks a member for a copy of a key of p[0..n), behind what was sent to it; the answer goes to cmd_copy_take with this
 * number, or never comes. False: it cannot be asked now. */
bool cmd_link_ask_copy(struct cmd_peers *p, unsigned member, const char *key, size_t n, uint32_t number);
/* No record is under way: a drain need not wait for links on which nothing is asked. */
void cmd_link_rest(struct cmd_peers *p);
/* Appends a ping. The link is up. */
void cmd_link_ping(struct cmd_link *l);
/* Whether the member is not to be asked: it is down, its breaker is open, or it could not be connected to of late. */
bool cmd_link_is_down(struct cmd_peers *p, unsigned member);
/* Its part of the worker's state, made when it is first asked for. NULL: no memory. */
struct cmd_link *cmd_link_to(struct cmd_peers *p, unsigned member);
/* A reply on the link to this member was not what was asked for: closes it. */
void cmd_link_distrust(struct cmd_peers *p, unsigned member);

/* ------------------------------------------------------------------ for the files cmd_link_*.c */

/* Has it connected, unless that is under way, or failed just now. */
void cmd_link_dial(struct cmd_link *l);
/* Whether it could not be connected to in the last `ms`. */
bool cmd_link_has_failed(const struct cmd_link *l, unsigned ms);
/* Of a member that is in no view any more, when nothing points to it. */
void cmd_link_free(struct cmd_link *l);
/* Of its connection: takes replies. */
const struct net_handler *cmd_link_handler(void);

#endif
