/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_transfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/sync.h"
#include "cmd/cmd.h"
#include "cmd/cmd_place.h"
#include "cmd/reply.h"
#include "net/conn.h"
#include "net/worker.h"
#include "proto/binary.h"
#include "proto/text.h"

#define REFUSAL_MAX 1024                  /* bytes of a packet with an error */
#define LINE_MAX_BYTES (2 * CMD_LINE_MAX) /* of an answer's line: it may hold a key of a client's line */

struct cmd_transfer {
    TAILQ_ENTRY(cmd_transfer) link; /* in the worker's list */
    struct cmd_worker *worker;
    struct cmd_link *peer; /* NULL: the member is gone */
    struct conn *conn;     /* NULL: it is being made */
    struct forward *user;  /* whose request it carries; NULL: nobody's */
    struct cmd_wish wish;
    char header[BINARY_HEADER]; /* of the packet */
    uint64_t left;              /* bytes of a value that have still to come, its ending included */
    bool get;                   /* a key of a get line: the client's END is not this answer's */
    bool packet;                /* a packet: so are the answers */
    bool asked;                 /* mn or noop was sent: everything is */
    bool answering;             /* some of the answer has gone to the client */
};

static const struct net_handler transfer_handler;
static const struct cmd_producer transfer_producer;

/* ------------------------------------------------------------------ links */

static void transfer_free(struct cmd_transfer *t) {
    struct cmd_peers *p = t->worker->peers;
    TAILQ_REMOVE(&p->transfers, t, link);
    if (t->peer != NULL) {
        t->peer->ntransfers--;
        cmd_forward_wake_one(&t->peer->transfers);
    }
    free(t);
}

void cmd_transfer_free_all(struct cmd_peers *p) {
    struct cmd_transfer *t;
    while ((t = TAILQ_FIRST(&p->transfers)) != NULL) {
        TAILQ_REMOVE(&p->transfers, t, link);
        free(t);
    }
}

void cmd_transfer_member_gone(struct cmd_link *l) {
    struct cmd_transfer *t;
    TAILQ_FOREACH(t, &l->worker->peers->transfers, link) {
        if (t->peer != l) continue;
        t->peer = NULL;
        if (t->conn != NULL && t->user == NULL) conn_close(t->conn);
    }
}

static void take_answer(struct net_worker *nw, void *arg) {
    struct cmd_transfer *t = arg;
    struct conn *c = t->wish.error == 0 ? conn_adopt(nw, t->wish.fd, t->wish.ssl, &transfer_handler) : NULL;
    if (c == NULL) {
        /* All that wait for one fail: there is none, or there would be others that are made. */
        struct cmd_link *l = t->peer;
        if (l != NULL) {
            struct forward *f;
            TAILQ_FOREACH(f, &l->transfers.list, wait) f->slot[f->next].state = FORWARD_DOWN;
            cmd_forward_wake(&l->transfers);
        }
        transfer_free(t);
        return;
    }
    *(struct cmd_transfer **)conn_session(c) = t;
    t->conn = c;
    sync_bump(&t->worker->metrics[CMD_METRIC_links_open], 1);
    if (t->peer == NULL)
        conn_close(c);
    else
        cmd_forward_wake_one(&t->peer->transfers);
}

static void dial(struct cmd_link *l) {
    struct cmd_worker *w = l->worker;
    const struct cmd_upcalls *up = &w->cmd->cfg.up;
    struct cmd_transfer *t = calloc(1, sizeof *t);
    if (t == NULL) return;
    t->worker = w;
    t->peer = l;
    l->ntransfers++;
    TAILQ_INSERT_TAIL(&w->peers->transfers, t, link);
    t->wish = (struct cmd_wish){.worker = up->worker(up->arg, w->index), .fn = take_answer, .arg = t};
    up->want_link(up->arg, w->index, l->number, CMD_LINK_TRANSFER, &t->wish);
}

/* One that nobody uses. NULL: there is none now. */
static struct cmd_transfer *idle_one(struct cmd_peers *p, const struct cmd_link *l) {
    struct cmd_transfer *t;
    TAILQ_FOREACH(t, &p->transfers, link)
    if (t->peer == l && t->conn != NULL && t->user == NULL && !conn_closing(t->conn)) return t;
    return NULL;
}

/* ------------------------------------------------------------------ beginning */

/* Sends what is answered when everything before it is. */
static void put_end(struct cmd_transfer *t) {
    static const char noop[BINARY_HEADER] = {(char)BINARY_REQUEST, BINARY_noop};
    t->asked = true;
    if (t->packet)
        conn_write(t->conn, noop, sizeof noop);
    else
        conn_write(t->conn, "mn\r\n", 4);
}

/* Sends the request, as far as it is here. */
static void put_request(struct cmd_transfer *t, const char *base, const struct request *r, bool block) {
    if (cmd_is_key(r)) {
        /* gat has given the item its ttl by now. */
        const bool cas = r->row->id == CMD_ID_gets || r->row->id == CMD_ID_gats;
        conn_write(t->conn, cas ? "gets " : "get ", cas ? 5 : 4);
        conn_write(t->conn, r->raw_key, r->raw_key_len);
        conn_write(t->conn, "\r\n", 2);
    } else if (block) {
        conn_write(t->conn, r->line, r->line_len);
        if (!t->packet) conn_write(t->conn, "\r\n", 2);
    } else {
        conn_write(t->conn, r->line, (size_t)(base + r->end - r->line));
    }
    t->asked = false;
    if (!block) put_end(t);
}

static bool is_store(const struct request *r) {
    return r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET;
}

bool cmd_transfer_begin(struct session *s, struct forward_slot *at, const char *base, const struct request *r,
                        bool *taken) {
    struct cmd_peers *p = s->worker->peers;
    struct forward *f = s->forward;
    const bool block = is_store(r) && r->body == NULL;
    struct cmd_link *l = cmd_link_is_down(p, at->member) ? NULL : cmd_link_to(p, at->member);
    struct cmd_transfer *t = l != NULL ? idle_one(p, l) : NULL;
    *taken = false;
    if (t == NULL && l != NULL) {
        if (l->ntransfers < LINK_TRANSFERS_MAX) dial(l);
        if (l->ntransfers == 0 || l->transfers.n >= LINK_TRANSFERS_WAITING_MAX) l = NULL;
    }
    if (l == NULL) {
        at->state = FORWARD_DOWN;
        return false;
    }
    if (t == NULL) {
        cmd_forward_restart(p, f);
        cmd_forward_wait(f, &l->transfers);
        conn_wait(s->conn);
        return true;
    }
    t->user = f;
    f->transfer = t;
    t->left = 0;
    t->get = cmd_is_key(r);
    t->packet = cmd_is_packet(r);
    t->answering = false;
    if (t->packet) memcpy(t->header, r->line, BINARY_HEADER);
    put_request(t, base, r, block);
    sync_bump(&s->worker->metrics[CMD_METRIC_forwards_sent], 1);
    conn_busy(t->conn, true);
    s->producer = &transfer_producer;
    conn_set_producer(s->conn, true);
    if (!block) {
        conn_wait(s->conn);
        return true;
    }
    *taken = true;
    s->phase = CMD_PHASE_RELAY;
    s->left = r->body_len + cmd_ending(r);
    conn_set_producer(t->conn, true);
    conn_set_body(s->conn, true);
    return true;
}

/* The client's request is answered, or given up: the record goes on. */
static void let_client_go(struct forward *f, enum forward_state state) {
    struct session *s = f->session;
    f->transfer = NULL;
    if (state == FORWARD_GIVEN) f->slot[f->next].len = 0;
    f->slot[f->next].state = (uint8_t)state;
    if (state != FORWARD_GIVEN) f->attention = true;
    s->producer = NULL;
    conn_set_producer(s->conn, false);
    conn_set_body(s->conn, false);
    if (s->phase == CMD_PHASE_RELAY) {
        /* Its block was taken off the input, so this is all there is to the batch. */
        s->phase = s->left > 0 ? CMD_PHASE_DISCARD_BODY : CMD_PHASE_LINE;
        cmd_forward_end(s);
    }
    conn_feed(s->conn);
}

void cmd_transfer_abandon(struct forward *f) {
    struct cmd_transfer *t = f->transfer;
    struct session *s = f->session;
    f->transfer = NULL;
    t->user = NULL;
    s->producer = NULL;
    conn_close(t->conn); /* which ends what the owner was about to do */
}

/* ------------------------------------------------------------------ a block on its way to the owner */

/* Whether the link takes no more for now: then the client is not read before it does. */
static bool link_is_full(struct session *s) {
    struct conn *c = s->forward->transfer->conn;
    if (!conn_full(c)) return false;
    conn_wait(s->conn);
    conn_kick(c);
    return true;
}

size_t cmd_transfer_relay(struct session *s, const char *p, size_t n) {
    struct cmd_transfer *t = s->forward->transfer;
    size_t take = n < s->left ? n : (size_t)s->left;
    if (link_is_full(s)) return 0;
    if (take > CONN_RESERVE_MAX) take = CONN_RESERVE_MAX;
    memcpy(conn_reserve(t->conn, take), p, take);
    cmd_transfer_received(s, take);
    return take;
}

char *cmd_transfer_space(struct session *s, size_t *n) {
    struct cmd_transfer *t = s->forward->transfer;
    if (s->left == 0) return NULL;
    if (link_is_full(s)) return NULL;
    *n = s->left < CONN_RESERVE_MAX ? (size_t)s->left : CONN_RESERVE_MAX;
    return conn_reserve(t->conn, *n);
}

void cmd_transfer_received(struct session *s, size_t n) {
    struct cmd_transfer *t = s->forward->transfer;
    if (n > 0) conn_commit(t->conn, n);
    s->left -= n;
    if (s->left > 0 || t->asked) return;
    put_end(t);
    conn_set_body(s->conn, false);
    conn_wait(s->conn); /* for the answer */
}

/* The link's output has drained: more of the block may come. */
static void transfer_produce(struct conn *c, void *session) {
    struct cmd_transfer *t = *(struct cmd_transfer **)session;
    if (t->user != NULL && !t->asked)
        conn_resume(t->user->session->conn);
    else
        conn_set_producer(c, false);
}

/* ------------------------------------------------------------------ the answer on its way to the client */

/* The client's output has drained: more of the answer may come. */
static void client_produce(struct session *s) {
    if (s->forward != NULL && s->forward->transfer != NULL) conn_resume(s->forward->transfer->conn);
}

static void client_end(struct session *s) {
    (void)s; /* the record's end ends the link (cmd_transfer_abandon) */
}

static const struct cmd_producer transfer_producer = {client_produce, client_end};

/* The bytes of the value that a line announces, its ending included; 0: it announces none. */
static uint64_t value_bytes(const char *line, size_t n) {
    struct text_token w[5];
    uint64_t size = 0;
    if (n > 6 && memcmp(line, "VALUE ", 6) == 0)
        return text_split(line, n - 2, w, 5) >= 4 && text_u64(w[3].p, w[3].n, &size) ? size + 2 : 0;
    if (n > 3 && memcmp(line, "VA ", 3) == 0)
        return text_split(line, n - 2, w, 5) >= 2 && text_u64(w[1].p, w[1].n, &size) ? size + 2 : 0;
    return 0;
}

/* The answer is complete. */
static void finish(struct cmd_transfer *t) {
    struct forward *f = t->user;
    t->user = NULL;
    conn_busy(t->conn, false);
    let_client_go(f, FORWARD_GIVEN);
    if (t->peer == NULL)
        conn_close(t->conn);
    else
        cmd_forward_wake_one(&t->peer->transfers);
}

/* The owner has refused before it had all, and that is answered: the rest of the block goes nowhere. */
static void refused(struct cmd_transfer *t) {
    struct forward *f = t->user;
    t->user = NULL;
    let_client_go(f, FORWARD_GIVEN);
    conn_close(t->conn);
}

/* A line of the answer, its ending included. False: the link ends. */
static bool take_line(struct cmd_transfer *t, const char *line, size_t n) {
    struct session *s = t->user->session;
    if (t->asked && n == 4 && memcmp(line, "MN\r\n", 4) == 0) {
        finish(t);
        return true;
    }
    if (t->get && n == 5 && memcmp(line, "END\r\n", 5) == 0) return true;
    conn_write(s->conn, line, n);
    t->answering = true;
    t->left = value_bytes(line, n);
    if (t->left > 0) conn_set_body(t->conn, true);
    if (t->asked) return true;
    refused(t);
    return false;
}

/* Takes what stands at the beginning of p, a line; returns how many bytes that was. 0: it is not all here. SIZE_MAX:
 * the link ends. */
static size_t take_text(struct cmd_transfer *t, const char *p, size_t n) {
    const char *nl = memchr(p, '\n', n);
    if (nl == NULL) {
        if (n > LINE_MAX_BYTES) conn_close(t->conn);
        return 0;
    }
    const size_t len = (size_t)(nl + 1 - p);
    return take_line(t, p, len) ? len : SIZE_MAX;
}

/* The same of a packet: its header, and, when the owner has refused before it had all, the error in it. */
static size_t take_packet(struct cmd_transfer *t, const char *p, size_t n) {
    struct session *s = t->user->session;
    if (n < BINARY_HEADER) return 0;
    const uint32_t body = binary_u32(p + 8);
    if ((uint8_t)p[0] != BINARY_ANSWER || (!t->asked && body > REFUSAL_MAX)) {
        conn_close(t->conn);
        return 0;
    }
    if (t->asked && p[1] == BINARY_noop) {
        finish(t);
        return BINARY_HEADER;
    }
    const size_t take = BINARY_HEADER + (t->asked ? 0 : body);
    if (n < take) return 0;
    conn_write(s->conn, p, take);
    t->answering = true;
    if (t->asked) {
        t->left = body;
        if (body > 0) conn_set_body(t->conn, true);
        return take;
    }
    refused(t);
    return SIZE_MAX;
}

/* Whether the client takes no more for now: then the link is not read before it does. */
static bool client_is_full(const struct cmd_transfer *t) {
    struct conn *c = t->user->session->conn;
    if (!conn_full(c)) return false;
    conn_wait(t->conn);
    conn_kick(c);
    return true;
}

static size_t transfer_input(struct conn *c, void *session, char *p, size_t n) {
    struct cmd_transfer *t = *(struct cmd_transfer **)session;
    size_t used = 0;
    while (used < n && t->user != NULL && !conn_closing(c)) {
        struct session *s = t->user->session;
        if (client_is_full(t)) break;
        if (t->left > 0) {
            const size_t take = n - used < t->left ? n - used : (size_t)t->left;
            conn_write(s->conn, p + used, take);
            t->left -= take;
            used += take;
            if (t->left == 0) conn_set_body(c, false);
            continue;
        }
        const size_t took = t->packet ? take_packet(t, p + used, n - used) : take_text(t, p + used, n - used);
        if (took == SIZE_MAX) return n;
        if (took == 0) break;
        used += took;
    }
    if (t->user == NULL && used < n) { /* more than was asked for */
        conn_close(c);
        return n;
    }
    return used;
}

static char *transfer_space(struct conn *c, void *session, size_t *n) {
    struct cmd_transfer *t = *(struct cmd_transfer **)session;
    (void)c;
    if (t->user == NULL || t->left == 0) return NULL;
    struct conn *client = t->user->session->conn;
    if (client_is_full(t)) return NULL;
    *n = t->left < CONN_RESERVE_MAX ? (size_t)t->left : CONN_RESERVE_MAX;
    return conn_reserve(client, *n);
}

static void transfer_received(struct conn *c, void *session, size_t n) {
    struct cmd_transfer *t = *(struct cmd_transfer **)session;
    conn_commit(t->user->session->conn, n);
    t->left -= n;
    if (t->left == 0) conn_set_body(c, false);
}

/* ------------------------------------------------------------------ the link ends */

/* Answers a store whose block was on its way: of a packet's header the link has kept what an answer repeats. */
static void write_lost(const struct cmd_transfer *t, struct session *s) {
    const struct request r = {.line = t->header, .path = t->packet ? CMD_PATH_PACKET : CMD_PATH_HANDLER};
    cmd_bump(s, CMD_METRIC_forward_errors);
    cmd_reply_error(s, &r, BINARY_TEMPORARY, "SERVER_ERROR connection to owner lost, may have been done");
}

static void transfer_close(struct conn *c, void *session) {
    struct cmd_transfer *t = *(struct cmd_transfer **)session;
    (void)c;
    if (t == NULL) return;
    struct forward *f = t->user;
    sync_bump(&t->worker->metrics[CMD_METRIC_links_open], (uint64_t)-1);
    t->conn = NULL;
    t->user = NULL;
    if (f != NULL) {
        struct session *s = f->session;
        if (t->answering) {
            conn_close(s->conn); /* the rest of its answer will never come */
            f->transfer = NULL;
            s->producer = NULL;
        } else {
            if (s->phase == CMD_PHASE_RELAY) write_lost(t, s);
            let_client_go(f, FORWARD_LOST);
        }
    }
    transfer_free(t);
}

static const struct net_handler transfer_handler = {
    .session_size = sizeof(struct cmd_transfer *),
    .input = transfer_input,
    .body_space = transfer_space,
    .body_received = transfer_received,
    .produce = transfer_produce,
    .close = transfer_close,
};
