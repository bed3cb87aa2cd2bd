/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_serve - a connection's life: reading, handing input to the handler, and deciding what comes next.
 *
 * One read, one upcall and one write a readiness. Whatever is left to do after that (output the socket did not take, a
 * handler that stopped early, a dump under way) goes round conn_drive, at most batches_per_event times before the
 * other connections have their turn. */
#include "net/conn_serve.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/conn_hold.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_state.h"
#include "net/listener.h"
#include "net/net_state.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/worker_state.h"

static uint64_t last_id; /* of any connection in the process; identity only */

static void conn_ready(struct conn *c, uint32_t what);

/* ------------------------------------------------------------------ life */

static void set_options(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static void set_peer(struct conn *c, const struct sockaddr_storage *ss) {
    c->family = ss->ss_family;
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)ss;
        memcpy(&c->addr, &in->sin_addr, sizeof in->sin_addr);
        c->port = in->sin_port;
    } else if (ss->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)ss;
        c->addr = in6->sin6_addr;
        c->port = in6->sin6_port;
    }
}

static size_t conn_bytes(const struct net_handler *h) {
    return (sizeof(struct conn) + h->session_size + SYNC_CACHE_LINE - 1) / SYNC_CACHE_LINE * SYNC_CACHE_LINE;
}

/* A connection of which nothing is known but its socket. NULL: no memory. */
static struct conn *conn_blank(struct net_worker *w, const struct net_handler *h, int fd) {
    struct conn *c = aligned_alloc(SYNC_CACHE_LINE, conn_bytes(h));
    if (c == NULL) return NULL;
    memset(c, 0, conn_bytes(h));
    c->head.room = &w->out->room;
    c->handler = h;
    c->worker = w;
    c->fd = fd;
    c->flags = CONN_QUIET;
    c->id = sync_add(&last_id, 1) + 1;
    return c;
}

struct conn *conn_new(struct net_worker *w, const struct net_listener *l, int fd, const struct sockaddr_storage *peer) {
    struct net *n = w->net;
    struct conn *c = conn_blank(w, l->handler, fd);
    if (c == NULL) return NULL;
    c->listener = l;
    if (n->tls != NULL && l->tls != NET_TLS_NONE && l->family != AF_UNIX) {
        c->ssl = tls_accept(n->tls, l->tls, fd);
        if (c->ssl == NULL) {
            free(c);
            return NULL;
        }
        c->flags |= CONN_TLS;
        c->tls_piece = tls_piece(n->tls);
    }
    if (l->family == AF_UNIX) {
        c->family = AF_UNIX;
        c->flags |= CONN_UNIX;
    } else {
        set_peer(c, peer);
        set_options(fd);
    }
    return c;
}

/* Closes the socket and frees what is left once the handler has nothing to do with it any more. */
static void conn_free(struct conn *c) {
    struct net *n = c->worker->net;
    if (c->link != NULL) conn_link_free(c);
    if (c->ssl != NULL) tls_close(c);
    close(c->fd);
    free(c->in);
    free(c->peer);
    free(c);
    net_conn_gone(n);
}

void conn_discard(struct conn *c) {
    conn_free(c);
}

/* ------------------------------------------------------------------ what the loop tells */

static void on_event(evutil_socket_t fd, short what, void *arg) {
    struct conn *c = arg;
    (void)fd;
    __builtin_prefetch(c->session); /* of thousands of connections each is cold when its turn comes */
    if (likely(what == (EV_READ | EV_ET)))
        conn_ready(c, NET_READ);
    else
        conn_ready(c, (what & EV_CLOSED) ? NET_READ | NET_LAST : (uint32_t)what & (NET_READ | NET_WRITE));
}

/* Asks the loop for exactly these events, which tells of them again if they are there already. */
static void conn_arm(struct conn *c, uint32_t what) {
    if (c->armed == what) return;
    if (c->armed != 0) event_del(&c->event);
    c->armed = (uint16_t)what;
    if (what == 0) return;
    /* Told of a readiness until it is used up, the kernel looks at each socket once more in the next round. TLS keeps
     * bytes to itself, so there a socket cannot be read until it has none. */
    const bool edge = what == NET_READ && c->ssl == NULL;
    const short events = (short)((uint32_t)EV_PERSIST | what | (edge ? EV_ET | EV_CLOSED : 0u));
    if (event_assign(&c->event, c->worker->base, c->fd, events, on_event, c) == 0 && event_add(&c->event, NULL) == 0)
        return;
    /* For want of memory only; the connection could not be served any more. */
    c->armed = 0;
    conn_drop_out(c);
    worker_again(c->worker, c);
}

/* Bytes have come, or may have. */
static void conn_touch(struct conn *c) {
    if (!(c->flags & CONN_QUIET)) return;
    c->flags &= ~(uint32_t)CONN_QUIET;
    TAILQ_INSERT_TAIL(&c->worker->fresh, c, fresh);
    worker_stir(c->worker);
}

/* ------------------------------------------------------------------ ending */

void conn_destroy(struct conn *c) {
    struct net_worker *w = c->worker;
    w->current = c;
    conn_drop_out(c);
    if (c->flags & CONN_OPEN) {
        c->handler->close(c, c->session);
        conn_drop_out(c); /* should it have written */
    }
    w->current = NULL;
    conn_flush_out(w); /* of another one that the handler wrote to */
    log_event(w->net->cfg.log, LOG_INFO, "conn_closed", "fd=%d id=%llu", c->fd, (unsigned long long)c->id);
    conn_arm(c, 0);
    if (c->flags & CONN_AGAIN) TAILQ_REMOVE(&w->again, c, again);
    if (!(c->flags & CONN_QUIET)) TAILQ_REMOVE(&w->fresh, c, fresh);
    if ((c->flags & (CONN_PARKED | CONN_WAITING)) == CONN_PARKED) worker_unpark(w, c);
    if (c->flags & CONN_HOLDS) TAILQ_REMOVE(&w->holds, c, holds);
    TAILQ_REMOVE(&w->conns, c, all);
    conn_set_deadline(c, 0);
    net_hold_buffer(w, -(int64_t)c->in_cap - (int64_t)c->held);
    worker_hold(w, -(int64_t)conn_bytes(c->handler));
    worker_bump(w, NET_METRIC_closed_connections, 1);
    conn_free(c);
}

/* ------------------------------------------------------------------ reading */

static ssize_t sock_read(struct conn *c, char *p, size_t n) {
    if (c->ssl != NULL) return tls_read(c, p, n);
    return net_recv(c->fd, p, n);
}

/* Accounts what a read of `asked` bytes gave. True if there are bytes. When there are fewer than asked, that was all,
 * and the kernel tells when there is more; but it does not tell of an end that it has told of. */
static __attribute__((noinline)) bool read_result(struct conn *c, ssize_t r, size_t asked) {
    if (r == -EINTR || (r > 0 && c->ssl == NULL && ((size_t)r == asked || (c->flags & CONN_LAST))))
        c->flags |= CONN_MORE;
    if (likely(r > 0)) {
        worker_bump(c->worker, NET_METRIC_bytes_read, (uint64_t)r);
        c->last_s = c->worker->now_s;
        c->flags |= CONN_MOVED;
        return true;
    }
    if (r == 0)
        c->flags |= CONN_EOF;
    else if (r != -EAGAIN && r != -EWOULDBLOCK && r != -EINTR)
        conn_drop_out(c);
    return false;
}

/* Reads a body's bytes to where the handler wants them, and what follows them into the worker's buffer. */
static size_t read_body(struct conn *c, char *space, size_t want, char **p) {
    struct net_worker *w = c->worker;
    size_t asked = want;
    ssize_t r;
    if (c->ssl != NULL) {
        r = tls_read(c, space, want);
    } else {
        struct iovec iov[2] = {{space, want}, {w->in + NET_KEPT_MAX, w->read_max}};
        bool both = want < w->read_max;
        r = readv(c->fd, iov, both ? 2 : 1);
        if (r < 0) r = -errno;
        asked += both ? w->read_max : 0;
    }
    *p = w->in + NET_KEPT_MAX;
    if (!read_result(c, r, asked)) return 0;
    size_t got = (size_t)r < want ? (size_t)r : want;
    c->handler->body_received(c, c->session, got);
    return (size_t)r - got;
}

/*
 * One read. *p and the result are all the input there is now, kept bytes first. Short kept input is moved in front of
 * the new in the worker's buffer (so that a read is a large one); long kept input is read behind, where it is, so that
 * a slow sender of a long line is not copied for every byte.
 */
static size_t read_input(struct conn *c, char **p) {
    struct net_worker *w = c->worker;
    size_t kept = c->in_len;
    if (kept == 0 && (c->flags & CONN_BODY)) {
        size_t want = 0;
        char *space = c->handler->body_space(c, c->session, &want);
        if (space != NULL && want > 0) {
            size_t n = read_body(c, space, want, p);
            if (n > 0) c->flags |= CONN_FEED;
            return n;
        }
    }
    if (kept <= NET_KEPT_MAX) {
        const size_t asked = w->read_max;
        ssize_t r = sock_read(c, w->in + NET_KEPT_MAX, asked);
        if (!read_result(c, r, asked)) return kept;
        *p = w->in + NET_KEPT_MAX - kept;
        if (kept > 0) memcpy(*p, c->in + c->in_off, kept);
        c->flags |= CONN_FEED;
        return kept + (size_t)r;
    }
    if (kept >= NET_INPUT_MAX || !conn_keep_room(c)) {
        worker_bump(w, NET_METRIC_input_overflows, 1);
        conn_drop_out(c);
        return 0;
    }
    size_t asked = c->in_cap - c->in_len;
    ssize_t r = sock_read(c, c->in + c->in_len, asked);
    if (read_result(c, r, asked)) {
        kept += (size_t)r;
        c->flags |= CONN_FEED;
    }
    *p = c->in;
    return kept;
}

/* ------------------------------------------------------------------ going on */

/* Nothing is under way that a drain has to wait for. */
static bool conn_idle(const struct conn *c, size_t kept) {
    if ((c->flags & CONN_BUSY) || (c->link != NULL && conn_pending(c) > 0)) return false;
    return kept == 0 && !(c->flags & (CONN_PARKED | CONN_BODY)) && c->out_head == NULL &&
           (c->flags & (CONN_PRODUCER | CONN_WANTED)) != (CONN_PRODUCER | CONN_WANTED);
}

/* One upcall, if there is one to make. What it consumes is taken off *p, *n. */
static bool conn_upcall(struct conn *c, char **p, size_t *n) {
    const struct net_handler *h = c->handler;
    if ((c->flags & (CONN_FEED | CONN_PARKED)) == CONN_FEED) {
        c->flags &= ~(uint32_t)CONN_FEED;
        size_t used = h->input(c, c->session, *p, *n);
        worker_let_go(c->worker); /* what is read again in this round is read anew: only conn_ready's short way keeps */
        CHECK(used <= *n);
        *p += used;
        *n -= used;
        if (*n > 0 && conn_full(c)) c->flags |= CONN_FEED; /* it stopped for want of room */
        return true;
    }
    if ((c->flags & (CONN_PRODUCER | CONN_WANTED)) == (CONN_PRODUCER | CONN_WANTED)) {
        c->flags &= ~(uint32_t)CONN_WANTED;
        h->produce(c, c->session);
        if (conn_pending(c) > 0 || (c->flags & CONN_DEAD)) c->flags |= CONN_WANTED;
        return true;
    }
    return false;
}

/* Whether it is a link whose socket takes no more just now. */
static inline bool link_blocked(const struct conn *c) {
    return c->link != NULL && c->link->blocked;
}

/* What the kernel should tell of now. */
static uint32_t conn_wants(const struct conn *c) {
    if (c->out_head != NULL) return NET_WRITE;
    const uint32_t write = link_blocked(c) ? NET_WRITE : 0;
    if ((c->flags & CONN_EOF) || (write != 0 && !c->link->reads_on)) return write;
    if (c->flags & CONN_PARKED) return write | (c->armed & NET_READ); /* taken back only if bytes do come */
    if (write != 0) return NET_READ | NET_WRITE;
    return (c->flags & CONN_TLS_WANT) ? NET_READ | NET_WRITE : NET_READ;
}

static bool conn_has_upcall(const struct conn *c) {
    return (c->flags & (CONN_FEED | CONN_PARKED)) == CONN_FEED ||
           (c->flags & (CONN_PRODUCER | CONN_WANTED)) == (CONN_PRODUCER | CONN_WANTED);
}

/* Sends what a link has, if that is much or the last. False: nothing may be done before the socket takes more. */
static bool link_may_go_on(struct conn *c) {
    if (conn_pending(c) == 0 || !(conn_full(c) || (c->flags & CONN_CLOSING))) return true;
    conn_link_send_now(c);
    return !c->link->blocked || c->link->reads_on || (c->flags & CONN_CLOSING);
}

/* Says to the far side that nothing more comes. */
static void tell_end(struct conn *c) {
    c->flags &= ~(uint32_t)CONN_FINISH;
    if (c->ssl != NULL) tls_say_goodbye(c);
    (void)shutdown(c->fd, SHUT_WR);
}

/* Sends, upcalls, sends, until there is nothing left to do or it is the others' turn; then says what to wait for.
 * p[0..n) is the input not consumed yet. The connection may be gone afterwards. */
static __attribute__((noinline)) void conn_drive(struct conn *c, char *p, size_t n) {
    struct net_worker *w = c->worker;
    worker_let_go(w);
    for (unsigned batches = 0;; batches++) {
        if (w->out->room.owner == c) conn_flush_out(w);
        if (c->flags & CONN_DEAD) goto end;
        if (c->out_head != NULL) break;
        if (unlikely(c->link != NULL) && !link_may_go_on(c)) break;
        if (c->flags & CONN_CLOSING) goto end;
        if (unlikely(c->flags & CONN_FINISH)) tell_end(c);
        if (batches >= w->net->cfg.batches_per_event && conn_has_upcall(c)) {
            worker_bump(w, NET_METRIC_turns_given, 1);
            worker_again(w, c);
            break;
        }
        if (conn_upcall(c, &p, &n)) continue;
        if ((c->flags & (CONN_EOF | CONN_PARKED)) == CONN_EOF) goto end;
        if ((c->flags & (CONN_MORE | CONN_PARKED)) == CONN_MORE) worker_again(w, c);
        if ((c->flags & CONN_DRAIN) && !(c->flags & CONN_MORE) && conn_idle(c, n)) goto end;
        break;
    }
    if (!conn_keep(c, p, n)) goto end;
    conn_account(c);
    if (c->flags & CONN_DEAD) goto end;
    conn_arm(c, conn_wants(c));
    w->current = NULL;
    conn_flush_out(w); /* of another one that the handler wrote to */
    return;
end:
    conn_destroy(c);
}

/* Whether bytes may be read: nothing that waits to be sent comes first. */
static bool may_read(const struct conn *c) {
    if (c->out_head != NULL || (c->flags & (CONN_EOF | CONN_CLOSING))) return false;
    return !link_blocked(c) || c->link->reads_on;
}

__attribute__((noinline)) void conn_step(struct conn *c, uint32_t what) {
    struct net_worker *w = c->worker;
    char *p = c->in != NULL ? c->in + c->in_off : w->in;
    size_t n = c->in_len;
    worker_let_go(w);
    w->current = c;
    if (what & NET_LAST) c->flags |= CONN_LAST;
    if (c->flags & CONN_TLS_WANT) {
        c->flags &= ~(uint32_t)CONN_TLS_WANT;
        what |= NET_READ;
    }
    if (c->out_head != NULL) {
        conn_send_kept(c);
        if (c->out_head == NULL && (c->flags & CONN_PRODUCER)) c->flags |= CONN_WANTED;
    }
    if (link_blocked(c)) conn_link_send_now(c);
    if ((what & NET_READ) && (c->flags & CONN_PARKED)) {
        conn_arm(c, 0); /* what has come is told of when it is armed again */
    } else if ((what & NET_READ) && (c->flags & CONN_FEED)) {
        c->flags |= CONN_MORE;
    } else if ((what & NET_READ) && may_read(c)) {
        c->flags &= ~(uint32_t)CONN_MORE;
        n = read_input(c, &p);
    }
    conn_drive(c, p, n);
}

/* Whether it is the usual case: bytes have come, nothing was kept, nothing is to be sent first. */
static inline bool conn_plain(const struct conn *c, uint32_t what) {
    return likely((c->flags & (CONN_SLOW | CONN_HOLDS)) == 0 && what == NET_READ);
}

/* The socket is ready. The usual case goes the short way: the handler consumes and answers all. */
static void conn_ready(struct conn *c, uint32_t what) {
    struct net_worker *w = c->worker;
    w->room_seen = sync_load_acq(&w->room);
    if (!conn_plain(c, what)) {
        conn_touch(c);
        if (!conn_plain(c, what)) {
            conn_step(c, what);
            return;
        }
    }
    w->current = c;
    if (likely(w->out->room.owner == NULL)) w->out->room.owner = c; /* it will write most likely */
    char *p = w->in + NET_KEPT_MAX;
    const size_t asked = w->read_max;
    ssize_t r = net_recv(c->fd, p, asked);
    if (unlikely(r <= 0)) {
        (void)read_result(c, r, asked);
        conn_drive(c, p, 0);
        return;
    }
    if (unlikely((size_t)r == asked)) c->flags |= CONN_MORE;
    worker_bump(w, NET_METRIC_bytes_read, (uint64_t)r);
    c->last_s = w->now_s;
    size_t n = c->handler->input(c, c->session, p, (size_t)r);
    CHECK(n <= (size_t)r);
    if (likely(n == (size_t)r && (c->flags & CONN_SLOW) == 0)) {
        conn_flush_out(w);
        if (likely((c->flags & CONN_SLOW) == 0 && c->out_head == NULL)) {
            w->current = NULL;
            return;
        }
    } else if (n < (size_t)r && conn_full(c)) {
        c->flags |= CONN_FEED;
    }
    conn_drive(c, p + n, (size_t)r - n);
}

void conn_go_on(struct conn *c) {
    c->worker->room_seen = sync_load_acq(&c->worker->room);
    conn_step(c, (c->flags & CONN_MORE) ? NET_READ : 0);
}

/* On its worker: opens it. False: the handler said no, and it is gone. */
static bool conn_enter(struct conn *c) {
    struct net_worker *w = c->worker;
    TAILQ_INSERT_TAIL(&w->conns, c, all);
    worker_hold(w, (int64_t)conn_bytes(c->handler));
    conn_touch(c);
    c->last_s = w->now_s;
    worker_bump(w, NET_METRIC_total_connections, 1);
    if (log_wanted(w->net->cfg.log, LOG_INFO))
        log_event(w->net->cfg.log, LOG_INFO, "conn_new", "fd=%d id=%llu peer=%s%s", c->fd, (unsigned long long)c->id,
                  conn_peer(c), c->ssl != NULL ? " tls=yes" : "");
    if (c->handler->open != NULL && !c->handler->open(c, c->session)) {
        conn_destroy(c);
        return false;
    }
    c->flags |= CONN_OPEN;
    if (w->draining) c->flags |= CONN_DRAIN;
    return true;
}

void conn_begin(struct conn *c) {
    struct net_worker *w = c->worker;
    w->current = c;
    w->room_seen = sync_load_acq(&w->room);
    if (conn_enter(c)) conn_drive(c, w->in, 0);
}

struct conn *conn_adopt(struct net_worker *w, int fd, struct ssl_st *ssl, const struct net_handler *handler) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    struct conn *c = conn_blank(w, handler, fd);
    if (c == NULL || (ssl != NULL && !tls_adopt(c, ssl))) {
        if (ssl != NULL) tls_discard(ssl);
        free(c);
        close(fd);
        return NULL;
    }
    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.ss_family == AF_UNIX) {
        c->family = AF_UNIX;
        c->flags |= CONN_UNIX;
    } else {
        set_peer(c, &peer);
        set_options(fd);
    }
    net_conn_come(w->net);
    struct conn *const serving = w->current;
    w->current = c;
    const bool open = conn_enter(c);
    w->current = serving;
    if (!open) return NULL;
    worker_again(w, c); /* which arms it, and serves what has come */
    return c;
}

void conn_drain(struct conn *c) {
    c->flags |= CONN_DRAIN;
    conn_step(c, NET_READ); /* a request may have come already */
}
