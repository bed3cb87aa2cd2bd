/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_tick - what a worker does once a second for the connections that time can change. */
#include "net/conn_tick.h"

#include <errno.h>
#include <stdbool.h>

#include "base/log.h"
#include "net/conn.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_serve.h"
#include "net/conn_state.h"
#include "net/net_state.h"
#include "net/socket.h"
#include "net/worker_state.h"

/* Gives up the body of a connection that holds something, if its bytes have not come for too long. */
static void give_up_body(struct conn *c) {
    struct net_worker *w = c->worker;
    const struct net_handler *h = c->handler;
    if (w->now_s - c->last_s <= w->net->cfg.body_timeout_s || (c->flags & (CONN_DEAD | CONN_LINK))) return;
    if (h->stalled == NULL) return;
    /* Part of a line is kept while the client still has to send the rest. It is also kept while this server is busy
     * (parked), or while the client has yet to read: then the client owes nothing. */
    if (!(c->flags & CONN_BODY) && (c->in_len == 0 || c->out_head != NULL || (c->flags & CONN_PARKED))) return;
    if (!h->stalled(c, c->session)) return;
    conn_flush_out(w);
    worker_bump(w, NET_METRIC_body_timeouts, 1);
    log_event(w->net->cfg.log, LOG_INFO, "body_timeout", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    conn_feed(c);
}

/* Closes a connection that has been idle for too long. */
static void close_idle(struct conn *c) {
    struct net_worker *w = c->worker;
    const uint32_t limit = w->net->cfg.idle_timeout_s;
    if ((c->flags & (CONN_PARKED | CONN_PRODUCER | CONN_LINK)) || w->now_s - c->last_s <= limit) return;
    worker_bump(w, NET_METRIC_idle_kicks, 1);
    c->flags |= CONN_IDLED;
    log_event(w->net->cfg.log, LOG_INFO, "conn_idle", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    conn_destroy(c);
}

/*
 * Looks once more at the socket of a connection that was read, when it has been silent for a second. libevent says only
 * once that a socket has become readable. When a client's last bytes and the reset of its connection come together, the
 * one report covers both: the read takes the bytes and gets fewer than it asked for, so nothing reads again, and the
 * kernel has nothing more to report. Without this look the connection would stay for ever.
 */
static void look_for_reset(struct conn *c) {
    struct net_worker *w = c->worker;
    if (w->now_s - c->last_s < 2)
        return; /* a difference of 1 may be a few milliseconds: the clock counts whole seconds */
    if (c->ssl == NULL) {
        if (c->armed != NET_READ || (c->flags & (CONN_AGAIN | CONN_PARKED))) return; /* it will be read anyway */
        const ssize_t r = net_peek(c->fd);
        if (r != -EAGAIN && r != -EWOULDBLOCK) {
            if (r != -EINTR) conn_step(c, r > 0 ? NET_READ : NET_READ | NET_LAST);
            return;
        }
    }
    if (c->link != NULL) conn_link_trim(c);
    c->flags |= CONN_QUIET;
    TAILQ_REMOVE(&w->fresh, c, fresh);
}

/* Tells the handler that the time it has set has passed. */
static void expire(struct conn *c) {
    struct net_worker *w = c->worker;
    if (c->deadline_s == 0 || (int32_t)(w->now_s - c->deadline_s) < 0) return;
    conn_set_deadline(c, 0);
    if (c->handler->expired(c, c->session))
        conn_flush_out(w);
    else
        conn_destroy(c);
}

/* In each of these loops the connection may leave the list, or end, when it is looked at. */
void conn_tick_all(struct net_worker *w) {
    struct conn *c, *next;
    if (w->net->cfg.body_timeout_s != 0)
        for (c = TAILQ_FIRST(&w->holds); c != NULL; c = next) {
            next = TAILQ_NEXT(c, holds);
            give_up_body(c);
        }
    if (w->net->cfg.idle_timeout_s != 0)
        for (c = TAILQ_FIRST(&w->conns); c != NULL; c = next) {
            next = TAILQ_NEXT(c, all);
            close_idle(c);
        }
    if (w->deadlines != 0)
        for (c = TAILQ_FIRST(&w->conns); c != NULL; c = next) {
            next = TAILQ_NEXT(c, all);
            expire(c);
        }
    for (c = TAILQ_FIRST(&w->fresh); c != NULL; c = next) {
        next = TAILQ_NEXT(c, fresh);
        look_for_reset(c);
    }
}
