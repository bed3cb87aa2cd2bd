/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/conn_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/fault.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_state.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/worker_state.h"

#define CAP_MIN 16384                 /* bytes of the buffer to begin with */
#define CAP_KEEP (2 * CONN_LINK_FULL) /* a larger one is given back as soon as it is empty, others when idle */

bool conn_link_begin(struct conn *c, bool reads_on) {
    CHECK(c->link == NULL && c->out_head == NULL);
    c->link = calloc(1, sizeof *c->link);
    if (c->link == NULL) {
        conn_drop_out(c);
        worker_again(c->worker, c);
        return false;
    }
    c->link->room.owner = c;
    c->link->reads_on = reads_on;
    c->head.room = &c->link->room;
    c->flags |= CONN_LINK;
    return true;
}

void conn_link_send(struct conn *c) {
    struct conn_link *l = c->link;
    if (l->queued || l->blocked) return;
    l->queued = true;
    TAILQ_INSERT_TAIL(&c->worker->links, c, round);
}

/* ------------------------------------------------------------------ the buffer */

/* Makes room for n bytes behind what waits. False: no memory. */
static bool grow(struct conn *c, size_t n) {
    struct conn_link *l = c->link;
    const size_t have = conn_link_waiting(l);
    if (l->start > 0 && l->cap - have >= n) {
        memmove(l->buf, l->buf + l->start, have);
    } else {
        size_t cap = l->cap < CAP_MIN ? CAP_MIN : l->cap * 2;
        while (cap - have < n) cap *= 2;
        char *p = FAULT_POINT("link.no_memory") ? NULL : malloc(cap);
        if (p == NULL) return false;
        if (have > 0) memcpy(p, l->buf + l->start, have);
        worker_hold(c->worker, (int64_t)cap - (int64_t)l->cap);
        free(l->buf);
        l->buf = p;
        l->cap = cap;
    }
    l->start = 0;
    l->room.next = l->buf + have;
    l->room.end = l->buf + l->cap;
    return true;
}

char *conn_link_reserve(struct conn *c, size_t n) {
    struct conn_link *l = c->link;
    if (!(c->flags & CONN_DEAD) && grow(c, n)) return l->room.next;
    if (!(c->flags & CONN_DEAD)) conn_drop_out(c);
    if (c != c->worker->current) worker_again(c->worker, c);
    return c->worker->scratch;
}

void conn_link_trim(struct conn *c) {
    struct conn_link *l = c->link;
    if (l->buf == NULL || conn_link_waiting(l) > 0) return;
    worker_hold(c->worker, -(int64_t)l->cap);
    free(l->buf);
    l->buf = l->room.next = l->room.end = NULL;
    l->cap = l->start = 0;
}

void conn_link_drop(struct conn *c) {
    struct conn_link *l = c->link;
    l->room.owner = NULL; /* what is committed from here on is nowhere */
    l->room.next = l->room.end = l->buf;
    l->start = 0;
    l->owed = 0;
    l->blocked = false;
}

void conn_link_free(struct conn *c) {
    struct conn_link *l = c->link;
    if (l->queued) TAILQ_REMOVE(&c->worker->links, c, round);
    conn_link_drop(c);
    conn_link_trim(c);
    free(l);
    c->link = NULL;
}

size_t conn_link_tell(const struct conn *c) {
    return conn_link_waiting(c->link);
}

char *conn_link_at(struct conn *c, size_t at) {
    struct conn_link *l = c->link;
    return l->room.owner == NULL ? c->worker->scratch : l->buf + l->start + at;
}

void conn_link_rewind(struct conn *c, size_t at) {
    struct conn_link *l = c->link;
    if (l->room.owner == NULL || l->buf == NULL) return;
    CHECK(at <= conn_link_waiting(l));
    l->room.next = l->buf + l->start + at;
}

uint64_t conn_link_sent(const struct conn *c) {
    return c->link->sent;
}

/* ------------------------------------------------------------------ sending */

void conn_link_send_now(struct conn *c) {
    struct conn_link *l = c->link;
    if (l->buf == NULL || (c->flags & CONN_DEAD)) return;
    l->blocked = false;
    while (conn_link_waiting(l) > 0) {
        const size_t n = conn_link_waiting(l);
        const char *p = l->buf + l->start;
        const ssize_t r = c->ssl != NULL ? tls_write(c, p, n) : net_send(c->fd, p, n);
        if (r == -EINTR) continue;
        if (r < 0 && r != -EAGAIN && r != -EWOULDBLOCK && r != -ENOBUFS && r != -ENOMEM) {
            conn_drop_out(c);
            return;
        }
        if (r > 0) {
            l->start += (size_t)r;
            l->sent += (uint64_t)r;
            worker_bump(c->worker, NET_METRIC_bytes_written, (uint64_t)r);
            c->last_s = c->worker->now_s;
            c->flags |= CONN_MOVED;
        }
        if (r < 0 || (size_t)r < n) {
            worker_bump(c->worker, NET_METRIC_output_blocked, 1);
            l->blocked = true;
            return;
        }
    }
    l->start = 0;
    l->room.next = l->buf;
    if (l->cap > CAP_KEEP) conn_link_trim(c);
}

void conn_link_round(struct net_worker *w) {
    struct conn *c;
    while ((c = TAILQ_FIRST(&w->links)) != NULL) {
        TAILQ_REMOVE(&w->links, c, round);
        c->link->queued = false;
        if (c->link->blocked) continue;
        conn_link_send_now(c);
        if (c->link->blocked || (c->flags & CONN_DEAD)) worker_again(w, c); /* to be armed, or ended */
    }
}
