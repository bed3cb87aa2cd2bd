/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/link.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define ROUNDS_AT_ONCE 4        /* reads of one link before the others have their turn */
#define KEPT_OUTPUT (16 * 1024) /* what an empty output buffer may keep */

/* ------------------------------------------------------------------ output */

void link_flush_soon(struct link *l) {
    struct transport *t = l->t;
    if (l->dirty) return;
    l->dirty = true;
    l->dirty_next = t->dirty;
    t->dirty = l;
    event_active(&t->flush, EV_TIMEOUT, 0);
}

bool link_send(struct link *l, const void *bytes, size_t n) {
    struct transport *t = l->t;
    if (!outbuf_frame(&l->out, bytes, n)) {
        transport_state_bump(t, TRANSPORT_METRIC_messages_dropped, 1);
        return false;
    }
    transport_state_bump(t, TRANSPORT_METRIC_messages_sent, 1);
    link_flush_soon(l);
    return true;
}

/* All was sent. */
static void sent_all(struct link *l) {
    l->out.start = l->out.end = 0;
    if (l->out.room > KEPT_OUTPUT) outbuf_fini(&l->out);
    event_del(&l->on_write);
    if (l->state != LINK_DRAINING) return;
    if (!l->finished) stream_finish(&l->s);
    l->finished = true;
    if (l->ended) link_end(l, 0);
}

void link_flush(struct link *l) {
    if (l->state != LINK_HELLO && l->state != LINK_UP && l->state != LINK_DRAINING) return;
    while (l->out.start < l->out.end) {
        ssize_t n = stream_write(&l->s, l->out.p + l->out.start, l->out.end - l->out.start);
        if (n == -EAGAIN) {
            if (l->s.want_write) event_add(&l->on_write, NULL);
            return;
        }
        if (n == -EINTR) continue;
        if (n < 0) {
            link_end(l, (int)n);
            return;
        }
        l->out.start += (size_t)n;
        transport_state_bump(l->t, TRANSPORT_METRIC_control_bytes_sent, (uint64_t)n);
    }
    sent_all(l);
}

/* ------------------------------------------------------------------ input */

/* Hands the frames at p to the handshake. The bytes that make no whole frame yet, as their number; or -1: the link is
 * not read any more. */
static ssize_t take_frames(struct link *l, const char *p, size_t n) {
    const char *end = p + n;
    while (end - p >= OUTBUF_HEADER) {
        const unsigned char *h = (const unsigned char *)p;
        size_t length = outbuf_length(h);
        size_t most = l->state == LINK_HELLO ? PEER_HELLO_BYTES_MAX : PEER_CONTROL_MAX;
        if (length == 0 || length > most) {
            if (l->state == LINK_HELLO && l->s.ssl == NULL && h[0] == 0x16 && h[1] == 3) { /* how TLS begins */
                l->t->up->spoke_tls(l);
            } else {
                transport_state_bump(l->t, TRANSPORT_METRIC_protocol_errors, 1);
                link_end(l, -EPROTO);
            }
            return -1;
        }
        if ((size_t)(end - p) < OUTBUF_HEADER + length) break;
        l->t->up->frame(l, p + OUTBUF_HEADER, length);
        p += OUTBUF_HEADER + length;
        if (l->state == LINK_DEAD) return -1;
    }
    return end - p;
}

/* Keeps the n bytes at p, the beginning of a frame, until there is more. */
static bool keep(struct link *l, const char *p, size_t n) {
    char *in = n > 0 ? malloc(n) : NULL;
    if (n > 0 && in == NULL) return false;
    if (n > 0) memcpy(in, p, n);
    free(l->in);
    l->in = in;
    l->in_n = n;
    return true;
}

/* The other side sends nothing more. */
static void on_end(struct link *l) {
    l->ended = true;
    if (l->state == LINK_UP)
        link_drain(l); /* what waits may still be read over there */
    else if (l->state != LINK_DRAINING)
        link_end(l, -ECONNRESET);
    else if (l->finished)
        link_end(l, 0);
    if (l->state != LINK_DEAD) event_del(&l->on_read); /* it would tell of the end again and again */
}

/* One read. False: there is nothing more for now. */
static bool read_once(struct link *l) {
    struct transport *t = l->t;
    size_t kept = l->in_n;
    if (kept > 0) memcpy(t->scratch, l->in, kept);
    ssize_t n = stream_read(&l->s, t->scratch + kept, TRANSPORT_SCRATCH - kept);
    if (n == -EAGAIN || n == -EINTR) return false;
    if (n == 0) on_end(l);
    if (n < 0) link_end(l, (int)n);
    if (n <= 0) return false;
    l->heard_ns = transport_state_now(t);
    l->pinged = false;
    transport_state_bump(t, TRANSPORT_METRIC_control_bytes_received, (uint64_t)n);
    ssize_t left = take_frames(l, t->scratch, kept + (size_t)n);
    if (left < 0) return false;
    if (keep(l, t->scratch + kept + (size_t)n - left, (size_t)left)) return true;
    link_end(l, -ENOMEM);
    return false;
}

static void link_read(struct link *l) {
    for (unsigned i = 0; i < ROUNDS_AT_ONCE; i++)
        if (!read_once(l)) break;
    if (l->state == LINK_DEAD) return;
    if (stream_pending(&l->s)) event_active(&l->on_read, EV_READ, 0);
    if (l->out.start < l->out.end) link_flush(l); /* TLS may have waited for bytes in order to send */
}

/* ------------------------------------------------------------------ setting up */

static void shake(struct link *l) {
    int e = stream_handshake(&l->s);
    if (e == -EAGAIN) {
        if (l->s.want_write)
            event_add(&l->on_write, NULL);
        else
            event_del(&l->on_write);
        return;
    }
    event_del(&l->on_write);
    enum psk_use use = l->use;
    if (e == 0 && l->s.ssl != NULL && !psk_is_proven(l->s.ssl, &use)) e = -EPROTO;
    if (e == -EPROTO) l->t->up->tls_failed(l);
    if (e != 0) {
        link_end(l, e);
        return;
    }
    l->use = use;
    link_set_state(l, LINK_HELLO);
    l->t->up->ready(l);
    if (l->state == LINK_HELLO) link_read(l); /* what came behind the handshake is in TLS already */
}

static void begin_tls(struct link *l) {
    struct transport *t = l->t;
    l->deadline_ns = transport_state_now(t) + TRANSPORT_HANDSHAKE_MS * MS;
    link_set_state(l, LINK_SHAKING);
    transport_state_due(t, l->deadline_ns);
    if (t->psk != NULL) {
        l->s.ssl = l->dialled ? psk_dial(t->psk, l->use, l->s.fd) : psk_accept(t->psk, l->s.fd);
        if (l->s.ssl == NULL) {
            link_end(l, -ENOMEM);
            return;
        }
    }
    event_add(&l->on_read, NULL);
    shake(l);
}

static void on_event(evutil_socket_t fd, short what, void *arg);

static void watch(struct link *l) {
    event_assign(&l->on_read, l->t->cfg.base, l->s.fd, EV_READ | EV_PERSIST, on_event, l);
    event_assign(&l->on_write, l->t->cfg.base, l->s.fd, EV_WRITE | EV_PERSIST, on_event, l);
}

static void unwatch(struct link *l) {
    if (l->s.fd < 0) return;
    event_del(&l->on_read);
    event_del(&l->on_write);
}

/* TCP waits twice as long after each retransmission: after an outage of three seconds it would be silent for three
 * more. A link that is dialled anew is up within a round trip. */
static void set_unacked(int fd, int ms) {
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static void set_up_socket(int fd) {
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    set_unacked(fd, TRANSPORT_UNACKED_MS);
}

/* Begins to connect to one address. 0 or -errno. */
static int connect_to(struct link *l, const struct address *to) {
    l->remote = *to;
    address_text(to, l->where);
    l->s.fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->s.fd < 0) return -errno;
    watch(l);
    set_up_socket(l->s.fd);
    if (connect(l->s.fd, &to->any, to->len) != 0 && errno != EINPROGRESS) return -errno;
    return event_add(&l->on_write, NULL) == 0 ? 0 : -ENOMEM;
}

/* Tries the addresses that are left, until one can be connected to. */
static void connect_next(struct link *l, int err) {
    for (;;) {
        const struct address *to = &l->remote;
        if (l->peer != NULL && l->next_address < l->peer->naddresses)
            to = &l->peer->addresses[(l->peer->in_use + l->next_address) % l->peer->naddresses];
        else if (l->peer != NULL || l->next_address > 0)
            break;
        l->next_address++;
        unwatch(l);
        stream_close(&l->s);
        err = connect_to(l, to);
        if (err != 0) continue;
        l->deadline_ns = transport_state_now(l->t) + TRANSPORT_CONNECT_MS * MS;
        transport_state_due(l->t, l->deadline_ns);
        return;
    }
    link_end(l, err);
}

void link_dial(struct link *l) {
    l->begun_ns = transport_state_now(l->t);
    link_set_state(l, LINK_CONNECTING);
    transport_state_bump(l->t, TRANSPORT_METRIC_links_dialled, 1);
    connect_next(l, -EHOSTUNREACH);
}

void link_hurry(struct link *l) {
    if (l->state == LINK_WAITING) l->start_ns = 0;
    if (l->state != LINK_CONNECTING || l->hurried || l->next_address == 0) return;
    l->hurried = true;
    l->next_address--;
    connect_next(l, -ETIMEDOUT);
}

static void on_connected(struct link *l) {
    int err = 0;
    socklen_t len = sizeof err;
    if (getsockopt(l->s.fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0) err = errno;
    if (err != 0) {
        connect_next(l, -err);
        return;
    }
    event_del(&l->on_write);
    struct peer *p = l->peer;
    if (p != NULL && l->next_address <= p->naddresses) p->in_use = (p->in_use + l->next_address - 1) % p->naddresses;
    begin_tls(l);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    struct link *l = arg;
    struct transport *t = l->t;
    (void)fd;
    transport_state_enter(t);
    switch (l->state) {
    case LINK_CONNECTING: on_connected(l); break;
    case LINK_SHAKING: shake(l); break;
    case LINK_HELLO:
    case LINK_UP:
    case LINK_DRAINING:
        if (what & EV_WRITE) link_flush(l);
        if (what & EV_READ && l->state != LINK_DEAD && !l->ended) link_read(l);
        break;
    case LINK_WAITING:
    case LINK_DEAD: break;
    }
    transport_state_leave(t);
}

static struct link *link_make(struct transport *t) {
    struct link *l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->t = t;
    l->s.fd = -1;
    l->next = t->links;
    t->links = l;
    return l;
}

struct link *link_new(struct transport *t, const struct address *remote, enum psk_use use) {
    struct link *l = link_make(t);
    if (l == NULL) return NULL;
    l->dialled = true;
    l->use = use;
    if (remote != NULL) {
        l->remote = *remote;
        address_text(remote, l->where);
    }
    return l;
}

void link_accept(struct transport *t, int fd, const struct address *remote) {
    struct link *l = link_make(t);
    transport_state_bump(t, TRANSPORT_METRIC_links_accepted, 1);
    if (l == NULL) {
        close(fd);
        return;
    }
    set_up_socket(fd);
    l->s.fd = fd;
    l->remote = *remote;
    address_text(remote, l->where);
    l->begun_ns = transport_state_now(t);
    watch(l);
    begin_tls(l);
}

/* ------------------------------------------------------------------ ends */

bool link_is_handshake(const struct link *l) {
    return l->state == LINK_CONNECTING || l->state == LINK_SHAKING || l->state == LINK_HELLO;
}

void link_set_state(struct link *l, enum link_state state) {
    struct transport *t = l->t;
    unsigned *under_way = l->dialled ? &t->ours : &t->theirs;
    bool before = link_is_handshake(l);
    l->state = state;
    bool after = link_is_handshake(l);
    if (after && !before) ++*under_way;
    if (before && !after) {
        --*under_way;
        transport_state_due(t, 0); /* another one may begin */
    }
    if (!l->dialled && before != after) t->up->theirs_changed(t);
}

void link_drain(struct link *l) {
    if (l->state == LINK_DRAINING || l->state == LINK_DEAD) return;
    if (l->state == LINK_UP) l->t->up->down(l);
    if (l->state == LINK_DEAD) return;
    link_set_state(l, LINK_DRAINING);
    l->deadline_ns = transport_state_now(l->t) + TRANSPORT_DRAIN_MS * MS;
    transport_state_due(l->t, l->deadline_ns);
    link_flush(l);
}

void link_end(struct link *l, int err) {
    enum link_state was = l->state;
    if (was == LINK_DEAD) return;
    if (was == LINK_UP) l->t->up->down(l);
    if (l->state == LINK_DEAD) return; /* the upcall ended it */
    unwatch(l);
    stream_close(&l->s);
    link_set_state(l, LINK_DEAD);
    l->t->ndead++;
    l->t->up->ended(l, was, err);
}

struct stream link_give(struct link *l) {
    struct stream s = l->s;
    unwatch(l);
    /* By the others the receiver may take as long as its client does, and what breaks does not begin anew. */
    if (l->kind != PEER_LINK_DATA) set_unacked(s.fd, 0);
    l->s = (struct stream){.fd = -1};
    link_set_state(l, LINK_DEAD);
    l->t->ndead++;
    return s;
}

/* ------------------------------------------------------------------ time */

static uint64_t tick_up(struct link *l, uint64_t now) {
    if (now >= l->heard_ns + TRANSPORT_SILENCE_MS * MS) {
        link_end(l, -ETIMEDOUT);
        return UINT64_MAX;
    }
    if (now >= l->used_ns + TRANSPORT_IDLE_MS * MS) {
        link_drain(l);
        return l->deadline_ns;
    }
    if (now >= l->heard_ns + TRANSPORT_PING_MS * MS && !l->pinged) {
        uint8_t ping[64];
        l->pinged = true;
        link_send(l, ping, peer_ping_pack(now, ping, sizeof ping));
    }
    uint64_t idle = l->used_ns + TRANSPORT_IDLE_MS * MS;
    uint64_t silent = l->heard_ns + (l->pinged ? TRANSPORT_SILENCE_MS : TRANSPORT_PING_MS) * MS;
    return idle < silent ? idle : silent;
}

uint64_t link_tick(struct link *l, uint64_t now) {
    switch (l->state) {
    case LINK_CONNECTING:
        if (now >= l->deadline_ns) connect_next(l, -ETIMEDOUT);
        return l->state == LINK_CONNECTING ? l->deadline_ns : UINT64_MAX;
    case LINK_SHAKING:
    case LINK_HELLO:
    case LINK_DRAINING:
        if (now < l->deadline_ns) return l->deadline_ns;
        link_end(l, -ETIMEDOUT);
        return UINT64_MAX;
    case LINK_UP: return tick_up(l, now);
    case LINK_WAITING:
    case LINK_DEAD: break;
    }
    return UINT64_MAX;
}
