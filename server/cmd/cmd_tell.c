/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_tell.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/worker.h"
#include "proto/link.h"

#define MS UINT64_C(1000000)

/* What a member is told, and has not answered. */
struct message {
    TAILQ_ENTRY(message) entry;
    uint64_t name;
    uint64_t closing;  /* for which its answer counts */
    uint64_t until_ns; /* the copies end by themselves */
};

TAILQ_HEAD(messages, message);

/* A member that is told. */
struct told {
    TAILQ_ENTRY(told) entry;
    struct cmd_tells *all;
    uint32_t member;
    struct conn *conn; /* NULL: none */
    bool dialling;
    uint64_t retry_ns;        /* not to be dialled before */
    uint32_t seq, answered;   /* of the next message, of the next answer, on this connection */
    struct messages messages; /* the oldest first; all of them are sent, or there is no connection */
    struct cmd_wish wish;
};

struct cmd_tells {
    struct cmd_worker *worker;
    void (*answered)(struct cmd *cmd, uint64_t closing, uint32_t member);
    TAILQ_HEAD(, told) members;
};

static const struct net_handler handler;

static uint64_t now_ns(const struct cmd_tells *t) {
    return clock_boot_ns(t->worker->cmd->cfg.clock);
}

struct cmd_tells *cmd_tell_new(struct cmd_worker *w,
                               void (*answered)(struct cmd *cmd, uint64_t closing, uint32_t member)) {
    struct cmd_tells *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    t->worker = w;
    t->answered = answered;
    TAILQ_INIT(&t->members);
    return t;
}

static void drop(struct told *m, struct message *y) {
    TAILQ_REMOVE(&m->messages, y, entry);
    free(y);
}

void cmd_tell_free(struct cmd_tells *t) {
    if (t == NULL) return;
    for (struct told *m; (m = TAILQ_FIRST(&t->members)) != NULL;) {
        for (struct message *y; (y = TAILQ_FIRST(&m->messages)) != NULL;) drop(m, y);
        TAILQ_REMOVE(&t->members, m, entry);
        free(m);
    }
    free(t);
}

/* ------------------------------------------------------------------ sending */

static void send(struct told *m, const struct message *y) {
    const struct link_header h = {sizeof y->name, m->seq++, LINK_GONE, 0, 0};
    char *out = conn_reserve(m->conn, LINK_HEADER + sizeof y->name);
    link_put(out, &h);
    memcpy(out + LINK_HEADER, &y->name, sizeof y->name);
    conn_commit(m->conn, LINK_HEADER + sizeof y->name);
    conn_busy(m->conn, true);
    conn_link_send(m->conn);
}

/* On the worker: the answer to the wish for a link. */
static void take_link(struct net_worker *nw, void *arg) {
    struct told *m = arg;
    const struct message *y;
    m->dialling = false;
    struct conn *c = m->wish.error == 0 ? conn_adopt(nw, m->wish.fd, m->wish.ssl, &handler) : NULL;
    if (c == NULL || !conn_link_begin(c, true)) {
        m->retry_ns = now_ns(m->all) + TELL_AGAIN_MS * MS;
        return;
    }
    *(struct told **)conn_session(c) = m;
    m->conn = c;
    m->seq = m->answered = 0;
    TAILQ_FOREACH(y, &m->messages, entry) send(m, y);
}

static void dial(struct told *m) {
    struct cmd_worker *w = m->all->worker;
    const struct cmd_upcalls *up = &w->cmd->cfg.up;
    if (m->dialling || m->conn != NULL || now_ns(m->all) < m->retry_ns) return;
    m->dialling = true;
    m->wish = (struct cmd_wish){.worker = up->worker(up->arg, w->index), .fn = take_link, .arg = m};
    up->want_link(up->arg, w->index, m->member, CMD_LINK_DATA, &m->wish);
}

static struct told *told_of(struct cmd_tells *t, uint32_t member) {
    struct told *m;
    TAILQ_FOREACH(m, &t->members, entry)
    if (m->member == member) return m;
    m = calloc(1, sizeof *m);
    if (m == NULL) return NULL;
    m->all = t;
    m->member = member;
    TAILQ_INIT(&m->messages);
    TAILQ_INSERT_TAIL(&t->members, m, entry);
    return m;
}

void cmd_tell(struct cmd_tells *t, uint32_t member, uint64_t name, uint64_t closing, uint64_t until_ns) {
    struct told *m = told_of(t, member);
    struct message *y = m == NULL ? NULL : malloc(sizeof *y);
    if (y == NULL) return;
    *y = (struct message){.name = name, .closing = closing, .until_ns = until_ns};
    TAILQ_INSERT_TAIL(&m->messages, y, entry);
    if (m->conn != NULL)
        send(m, y);
    else
        dial(m);
}

bool cmd_tell_time(struct cmd_tells *t) {
    const uint64_t now = now_ns(t);
    bool waits = false;
    struct told *m, *next;
    for (m = TAILQ_FIRST(&t->members); m != NULL; m = next) {
        next = TAILQ_NEXT(m, entry);
        /* What is sent keeps its place until it is answered, or the connection ends. */
        for (struct message *y; m->conn == NULL && (y = TAILQ_FIRST(&m->messages)) != NULL && y->until_ns <= now;)
            drop(m, y);
        const struct message *last = TAILQ_LAST(&m->messages, messages);
        waits |= last != NULL && last->until_ns > now;
        if (last != NULL) dial(m);
        if (last != NULL || m->conn != NULL || m->dialling) continue;
        TAILQ_REMOVE(&t->members, m, entry); /* it may be a member no more */
        free(m);
    }
    return waits;
}

/* ------------------------------------------------------------------ answers */

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    struct told *m = *(struct told **)session;
    size_t used = 0;
    while (n - used >= LINK_HEADER) {
        struct link_header h;
        link_read(&h, p + used);
        unsigned answers = 1u + h.flags;
        if (h.bytes != 0 || h.kind != LINK_DONE || h.seq != m->answered || answers > m->seq - m->answered) {
            log_event(m->all->worker->cmd->cfg.log, LOG_ALWAYS, "link_out_of_step", "member=%u worker=%u", m->member,
                      m->all->worker->index);
            conn_close(c);
            return n;
        }
        for (; answers > 0; answers--, m->answered++) {
            struct message *y = TAILQ_FIRST(&m->messages);
            m->all->answered(m->all->worker->cmd, y->closing, m->member);
            drop(m, y);
        }
        used += LINK_HEADER;
    }
    if (TAILQ_EMPTY(&m->messages)) conn_busy(c, false);
    return used;
}

/* What was not answered is sent again over the next link: to be told twice does no harm. */
static void on_close(struct conn *c, void *session) {
    struct told *m = *(struct told **)session;
    (void)c;
    if (m == NULL) return;
    m->conn = NULL;
    m->retry_ns = now_ns(m->all) + TELL_AGAIN_MS * MS;
}

static const struct net_handler handler = {
    .session_size = sizeof(struct told *),
    .input = on_input,
    .close = on_close,
};
