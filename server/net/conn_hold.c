/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_hold - what connections hold: unfinished input that is kept, how much all of them may hold together, and which
 * of them give way when it is more (README.md, "Clients that stall"). */
#include "net/conn_hold.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/conn_out.h"
#include "net/conn_state.h"
#include "net/net_state.h"
#include "net/worker_state.h"

/* ------------------------------------------------------------------ input kept with the connection */

static bool resize(struct conn *c, size_t cap) {
    char *p = realloc(c->in, cap + NET_PADDING);
    if (p == NULL) return false;
    net_hold_buffer(c->worker, (int64_t)cap - (int64_t)c->in_cap);
    c->in = p;
    c->in_cap = (uint32_t)cap;
    return true;
}

bool conn_keep(struct conn *c, const char *p, size_t n) {
    if (n == 0) {
        if (c->in == NULL) return true;
        net_hold_buffer(c->worker, -(int64_t)c->in_cap);
        free(c->in);
        c->in = NULL;
        c->in_cap = c->in_off = c->in_len = 0;
        return true;
    }
    if (c->in != NULL && p >= c->in && p < c->in + c->in_cap) {
        c->in_off = (uint32_t)(p - c->in);
    } else {
        if (n > c->in_cap && !resize(c, n)) return false;
        memcpy(c->in, p, n);
        c->in_off = 0;
    }
    c->in_len = (uint32_t)n;
    return true;
}

bool conn_keep_room(struct conn *c) {
    if (c->in_off > 0) {
        memmove(c->in, c->in + c->in_off, c->in_len);
        c->in_off = 0;
    }
    const size_t most = c->worker->read_max;
    if (c->in_cap - c->in_len >= most / 4) return true;
    return resize(c, c->in_len + most);
}

/* ------------------------------------------------------------------ what all hold together */

static inline bool over_share(const struct net_worker *w) {
    return sync_load(&w->buffer_bytes) > w->share;
}

/* Puts it where it belongs on the list of connections that hold something, or takes it off. */
static void list_holder(struct conn *c) {
    struct net_worker *w = c->worker;
    const bool holds = c->in_cap > 0 || c->out_head != NULL || c->held > 0 || (c->flags & CONN_BODY) != 0;
    const bool listed = (c->flags & CONN_HOLDS) != 0, moved = (c->flags & CONN_MOVED) != 0;
    if (listed && (moved || !holds)) TAILQ_REMOVE(&w->holds, c, holds);
    if (holds && (moved || !listed)) TAILQ_INSERT_TAIL(&w->holds, c, holds);
    if (holds) worker_stir(w);
    c->flags = (c->flags & ~(uint32_t)(CONN_HOLDS | CONN_MOVED)) | (holds ? CONN_HOLDS : 0);
}

/* Ends a connection that is not being served, or is about to be done with: what it holds is free at once. */
static void give_up(struct conn *c) {
    struct net_worker *w = c->worker;
    worker_bump(w, NET_METRIC_holders_closed, 1);
    log_event(w->net->cfg.log, LOG_INFO, "conn_gave_way", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    conn_drop_out(c);
    (void)conn_keep(c, NULL, 0);
    net_hold_buffer(w, -(int64_t)c->held); /* the handler frees it when it hears of the end, in a moment */
    c->held = 0;
    worker_again(w, c);
}

/* Whether it is the client that it waits for: those that wait for this server hold only for as long as that takes. */
static bool awaits_client(const struct conn *c) {
    if (c->flags & (CONN_DEAD | CONN_LINK)) return false;
    return c->out_head != NULL || (c->flags & CONN_BODY) || !(c->flags & CONN_PARKED);
}

/* Connections hold more than they may: those whose bytes have not moved for longest end, but not `spare`. */
static __attribute__((noinline)) void give_way(struct net_worker *w, const struct conn *spare) {
    for (struct conn *c = TAILQ_FIRST(&w->holds); c != NULL; c = TAILQ_NEXT(c, holds)) {
        if (!over_share(w)) return;
        if (c != spare && c->in_cap + c->held + c->out_pending > 0 && awaits_client(c)) give_up(c);
    }
}

void conn_account(struct conn *c) {
    struct net_worker *w = c->worker;
    list_holder(c);
    if (likely(!over_share(w))) return;
    give_way(w, NULL);
    /* All wait for this server: then the one that comes on top ends. */
    if (over_share(w) && (c->flags & CONN_HOLDS)) give_up(c);
}

void conn_hold(struct conn *c, size_t n) {
    net_hold_buffer(c->worker, (int64_t)n - (int64_t)c->held);
    c->held = (uint32_t)n;
    list_holder(c);
    if (over_share(c->worker)) give_way(c->worker, c->worker->current);
}
