/* SPDX-License-Identifier: BSD-3-Clause
 *
 * session - what the commands know of one connection, and what a handler may ask of it.
 *
 * A handler is
 *
 *     void cmd_xxx(struct session *s, struct request *r);
 *
 * and finds its row in proto/cmd.def. It reads the words of its line with cmd_split, does its work through
 * s->worker->store and appends its whole reply with cmd_reply & co, or conn_* of s->conn. Handlers of class OUT run
 * outside any section and open their own (store_enter/store_leave) when they look at items; those of the other classes
 * run inside the batch's. A handler that meets STORE_AGAIN must have written nothing, calls cmd_retry_later and
 * returns: the request is run again from the start once there is room. A purge that takes time is handled alike
 * (cmd_purge.c): its handler is run again when the purge has ended, and finds the outcome in the session. A handler
 * that must wait for something else calls conn_park and goes on later through a callback on its worker (worker_post).
 *
 * Threads: a session belongs to one worker for life.
 */
#ifndef TAGCACHED_CMD_SESSION_H
#define TAGCACHED_CMD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sync.h"
#include "cmd/instance.h"
#include "net/conn.h"

/* Something that writes to a connection whenever its output has drained: a dump, a watcher. The owner allocates
 * session->produce_state; `end` frees it when the connection closes or the producer is replaced. */
struct cmd_producer {
    void (*produce)(struct session *s);
    void (*end)(struct session *s);
};

/* What the next bytes of the input are. */
enum cmd_phase {
    CMD_PHASE_LINE,         /* a command line, or a packet */
    CMD_PHASE_KEYS,         /* keys: in the middle of a get line */
    CMD_PHASE_DISCARD_LINE, /* the rest of a line that is answered already */
    CMD_PHASE_DISCARD_BODY, /* `left` bytes of a refused block */
    CMD_PHASE_BODY,         /* a large block, which is being uploaded */
    CMD_PHASE_RELAY,        /* `left` bytes of a large block that go to another node (cmd_transfer.c) */
    CMD_PHASE_BEGIN,        /* the first byte, which says what protocol is spoken */
};

/* Who is at the other end of a connection. */
enum cmd_role {
    CMD_ROLE_CLIENT,
    CMD_ROLE_PEER,     /* another node, which asks in frames (cmd_serve.c) */
    CMD_ROLE_TRANSFER, /* another node, which sends or fetches a large value as a client would (cmd_serve.c) */
};

/* Why a handler closed a connection. */
enum cmd_end { CMD_END_NORMAL, CMD_END_ERROR, CMD_END_SHUTDOWN };

/* Zeroed by the net layer. Small: one per connection, idle ones too. */
struct session {
    struct conn *conn;
    struct cmd_worker *worker;
    uint8_t phase;                       /* enum cmd_phase */
    bool authenticated;                  /* true from the start without -Y; set by cmd_auth_set */
    bool admin;                          /* it may change the cluster: see cmd_cluster.c */
    bool binary;                         /* it speaks the binary protocol: requests are packets */
    bool sasl_begun;                     /* the next step of SASL brings the password */
    bool refuse;                         /* CMD_PHASE_LINE: the block that is waited for has not come in time */
    uint8_t keys_row;                    /* CMD_PHASE_KEYS: enum cmd_id of the line */
    uint8_t ended;                       /* enum cmd_end: why it was closed from here */
    uint8_t role;                        /* enum cmd_role */
    uint8_t recent;                      /* bit i: the batch before the last i held keys of other nodes */
    uint32_t keys_expiry;                /* CMD_PHASE_KEYS: the expiry of gat */
    uint32_t scanned;                    /* CMD_PHASE_LINE: so many bytes hold no newline */
    uint64_t need;                       /* CMD_PHASE_LINE: fewer bytes than this are of no use yet */
    uint64_t left;                       /* CMD_PHASE_DISCARD_BODY, CMD_PHASE_RELAY */
    struct cmd_upload *upload;           /* CMD_PHASE_BODY (cmd_body.c) */
    struct cmd_job *job;                 /* what the first requests wait for, or NULL (cmd_job.h) */
    struct forward *forward;             /* requests that other nodes are asked, or NULL (cmd_route.c) */
    const struct cmd_producer *producer; /* NULL: none */
    void *produce_state;
};

/* Asks for the request to be run again when there is room. Nothing may have been written. */
static inline void cmd_retry_later(struct session *s) {
    s->worker->retry = true;
}

/* Closes the connection once its replies are sent. */
static inline void cmd_end(struct session *s, enum cmd_end why) {
    s->ended = (uint8_t)why;
    conn_close(s->conn);
}

static inline void cmd_bump(struct session *s, enum cmd_metric m) {
    sync_bump(&s->worker->metrics[m], 1);
}

#endif
