/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn - what handlers and others ask of a connection. What it leads to is done in conn_serve.c, when the connection
 * has its turn: here flags are set, and the worker is told (worker_again). */
#include "net/conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/conn_state.h"
#include "net/listener.h"
#include "net/net_state.h"
#include "net/worker_state.h"

/* ------------------------------------------------------------------ what handlers ask for */

void conn_close(struct conn *c) {
    c->flags |= CONN_CLOSING;
    if (c != c->worker->current) worker_again(c->worker, c);
}

void conn_finish(struct conn *c) {
    c->flags |= CONN_FINISH;
    if (c != c->worker->current) worker_again(c->worker, c);
}

bool conn_closing(const struct conn *c) {
    return (c->flags & CONN_CLOSING) != 0;
}

void conn_park(struct conn *c) {
    struct net_worker *w = c->worker;
    if (c->flags & CONN_PARKED) return;
    c->flags |= CONN_PARKED;
    log_event(w->net->cfg.log, LOG_DEBUG, "conn_parked", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    worker_park(w, c);
}

void conn_wait(struct conn *c) {
    if (c->flags & CONN_PARKED) return;
    c->flags |= CONN_PARKED | CONN_WAITING;
    log_event(c->worker->net->cfg.log, LOG_DEBUG, "conn_parked", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
}

bool conn_parked(const struct conn *c) {
    return (c->flags & CONN_PARKED) != 0;
}

bool conn_halted(const struct conn *c) {
    return (c->flags & (CONN_CLOSING | CONN_PARKED)) != 0 || conn_full(c);
}

void conn_resume(struct conn *c) {
    struct net_worker *w = c->worker;
    if (!(c->flags & CONN_PARKED)) return;
    if (!(c->flags & CONN_WAITING)) worker_unpark(w, c);
    c->flags &= ~(uint32_t)(CONN_PARKED | CONN_WAITING);
    c->flags |= CONN_FEED;
    log_event(w->net->cfg.log, LOG_DEBUG, "conn_resumed", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    if (c != w->current) worker_again(w, c);
}

void conn_feed(struct conn *c) {
    conn_resume(c);
    c->flags |= CONN_FEED;
    worker_again(c->worker, c);
}

void conn_set_body(struct conn *c, bool on) {
    if (on)
        c->flags |= CONN_BODY;
    else
        c->flags &= ~(uint32_t)CONN_BODY;
}

void conn_busy(struct conn *c, bool busy) {
    if (busy)
        c->flags |= CONN_BUSY;
    else
        c->flags &= ~(uint32_t)CONN_BUSY;
    if (!busy && (c->flags & CONN_DRAIN)) worker_again(c->worker, c); /* it may end now */
}

void conn_set_deadline(struct conn *c, unsigned seconds) {
    struct net_worker *w = c->worker;
    w->deadlines -= c->deadline_s != 0;
    c->deadline_s = 0;
    if (seconds == 0) return;
    w->deadlines++;
    worker_stir(w); /* which reads the clock, if it was at rest */
    c->deadline_s = w->now_s + seconds;
}

void conn_set_producer(struct conn *c, bool on) {
    if (on)
        c->flags |= CONN_PRODUCER | CONN_WANTED;
    else
        c->flags &= ~(uint32_t)(CONN_PRODUCER | CONN_WANTED);
    if (c != c->worker->current) worker_again(c->worker, c);
}

void conn_kick(struct conn *c) {
    if (!(c->flags & CONN_PRODUCER)) return;
    c->flags |= CONN_WANTED;
    if (c != c->worker->current) worker_again(c->worker, c);
}

/* ------------------------------------------------------------------ facts */

void *conn_session(struct conn *c) {
    return c->session;
}

struct net_worker *conn_worker(struct conn *c) {
    return c->worker;
}

int conn_fd(const struct conn *c) {
    return c->fd;
}

uint64_t conn_id(const struct conn *c) {
    return c->id;
}

static void peer_format(const struct conn *c, char *out, size_t n) {
    char a[INET6_ADDRSTRLEN] = "";
    if (c->family == AF_UNIX)
        snprintf(out, n, "unix:%s", c->listener != NULL && c->listener->path != NULL ? c->listener->path : "");
    else if (c->family == AF_INET)
        snprintf(out, n, "%s:%u", inet_ntop(AF_INET, &c->addr, a, sizeof a), ntohs(c->port));
    else
        snprintf(out, n, "[%s]:%u", inet_ntop(AF_INET6, &c->addr, a, sizeof a), ntohs(c->port));
}

const char *conn_peer(struct conn *c) {
    if (c->peer == NULL) {
        char s[sizeof(struct sockaddr_un) + 8];
        peer_format(c, s, sizeof s);
        c->peer = strdup(s);
    }
    return c->peer != NULL ? c->peer : "";
}

bool conn_is_unix(const struct conn *c) {
    return (c->flags & CONN_UNIX) != 0;
}

bool conn_is_tls(const struct conn *c) {
    return c->ssl != NULL;
}

const char *conn_listener(const struct conn *c) {
    return c->listener != NULL ? c->listener->tag : "";
}

enum net_protocol conn_protocol(const struct conn *c) {
    return c->listener != NULL ? c->listener->protocol : NET_PROTOCOL_DEFAULT;
}

uint64_t conn_idle_s(const struct conn *c) {
    const uint32_t now = worker_boot_s(c->worker);
    return now > c->last_s ? now - c->last_s : 0; /* a worker at rest does not look at the clock */
}

enum conn_end conn_end(const struct conn *c) {
    if (c->flags & CONN_IDLED) return CONN_END_IDLE;
    const bool meant = (c->flags & (CONN_EOF | CONN_CLOSING | CONN_DRAIN)) != 0 || c->worker->stop;
    return meant ? CONN_END_NORMAL : CONN_END_ERROR;
}

const char *conn_state_name(const struct conn *c) {
    if (c == c->worker->current) return "conn_parse_cmd";
    if (c->flags & CONN_CLOSING) return "conn_closing";
    if (c->out_head != NULL) return "conn_mwrite";
    if (c->flags & CONN_PARKED) return "conn_io_queue";
    if (c->flags & CONN_PRODUCER) return "conn_watch";
    return "conn_read";
}
