/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_write - the output side of a connection: built in the worker's buffer, sent with one call, and only what the
 * socket does not take is kept with the connection. */
#include "net/conn_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "net/conn_link.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_state.h"
#include "net/handler.h"
#include "net/socket.h"
#include "net/tls.h"
#include "net/worker_state.h"

#define NET_COPY_MAX 65536 /* unsent rests of references are copied and the references released, up to this in all */
#define NET_IOV_FULL (NET_IOV_MAX - 64)
#define KEPT_IOV_MAX 64      /* spans of one write of kept output */
#define CHUNK_MIN 4096       /* bytes of a chunk at least */
#define CHUNK_WASTE_MAX 2048 /* unused bytes that a full chunk may keep */

/* ------------------------------------------------------------------ chunks: output kept with the connection */

static void release(struct conn *c, uint64_t token) {
    if (token != 0) c->handler->release(c, token);
}

static void chunk_add(struct conn *c, struct conn_chunk *k) {
    k->next = NULL;
    if (c->out_tail != NULL)
        c->out_tail->next = k;
    else
        c->out_head = k;
    c->out_tail = k;
    c->out_own += k->cap;
    net_hold_buffer(c->worker, (int64_t)(sizeof *k + k->cap));
}

/* Gives the unused end of the last chunk back, now that another will follow it. */
static void chunk_trim(struct conn *c) {
    struct conn_chunk *t = c->out_tail;
    if (t == NULL || t->cap == 0 || t->cap - t->len <= CHUNK_WASTE_MAX) return;
    struct conn_chunk **link = &c->out_head;
    while (*link != t) link = &(*link)->next;
    struct conn_chunk *k = realloc(t, sizeof *t + t->len);
    if (k == NULL) return;
    net_hold_buffer(c->worker, (int64_t)k->len - (int64_t)k->cap);
    c->out_own -= k->cap - k->len;
    k->cap = k->len;
    k->p = k->data;
    *link = c->out_tail = k;
}

/* Room for n bytes in the last chunk; NULL when there is no memory. */
static char *chunk_room(struct conn *c, size_t n) {
    struct conn_chunk *t = c->out_tail;
    if (t != NULL && t->cap - t->len >= n && t->cap != 0) return t->data + t->len;
    chunk_trim(c);
    size_t cap = n > CHUNK_MIN ? n : CHUNK_MIN;
    struct conn_chunk *k = malloc(sizeof *k + cap);
    if (k == NULL) return NULL;
    *k = (struct conn_chunk){.p = k->data, .cap = cap};
    chunk_add(c, k);
    return k->data;
}

static bool chunk_copy(struct conn *c, const char *p, size_t n) {
    if (n == 0) return true;
    char *to = chunk_room(c, n);
    if (to == NULL) return false;
    memcpy(to, p, n);
    c->out_tail->len += n;
    c->out_pending += n;
    return true;
}

/* Keeps a reference, or a copy of it while little is kept. The token is released at once in the second case. */
static bool chunk_ref(struct conn *c, const char *p, size_t n, uint64_t token) {
    const size_t full = c->worker->out->full, most = full < NET_COPY_MAX ? full : NET_COPY_MAX;
    if (c->out_own + n <= most) {
        bool ok = chunk_copy(c, p, n);
        release(c, token);
        return ok;
    }
    struct conn_chunk *k = malloc(sizeof *k);
    if (k == NULL) {
        release(c, token);
        return false;
    }
    *k = (struct conn_chunk){.p = p, .len = n, .token = token};
    chunk_trim(c);
    chunk_add(c, k);
    c->out_pending += n;
    return true;
}

static void chunk_pop(struct conn *c) {
    struct conn_chunk *k = c->out_head;
    c->out_head = k->next;
    if (c->out_head == NULL) c->out_tail = NULL;
    c->out_own -= k->cap;
    net_hold_buffer(c->worker, -(int64_t)(sizeof *k + k->cap));
    release(c, k->token);
    free(k);
}

/* The first `sent` bytes of the kept output are gone. */
static void chunks_advance(struct conn *c, size_t sent) {
    c->out_pending -= sent;
    c->owed -= sent < c->owed ? sent : c->owed;
    while (c->out_head != NULL) {
        struct conn_chunk *k = c->out_head;
        size_t left = k->len - k->off;
        if (sent < left) {
            k->off += sent;
            return;
        }
        sent -= left;
        chunk_pop(c);
    }
}

/* ------------------------------------------------------------------ the worker's buffer */

/* Bytes of the output being built. */
static inline size_t out_bytes(const struct net_out *o) {
    return (size_t)(o->room.next - o->buf) + o->ref_bytes;
}

/*
 * Half of what connections may hold goes to whoever comes first, in pieces that become smaller as it is used up; the
 * other half is for small pieces. So one that does not read keeps 256 KiB while few do, a hundredth of it when many do,
 * and what comes next is asked for, or looked up, once this has gone.
 */
void out_adapt(struct net_worker *w) {
    struct net_out *o = w->out;
    const uint64_t half = w->share / 2, held = sync_load(&w->buffer_bytes), left = held < half ? (half - held) / 8 : 0;
    const size_t piece = left > NET_PIECE_MIN ? (size_t)left : NET_PIECE_MIN;
    o->full = piece < NET_OUT_FULL ? piece : NET_OUT_FULL;
    w->read_max = piece < NET_READ_MAX ? piece : NET_READ_MAX;
    char *end = o->full == NET_OUT_FULL ? o->buf + NET_OUT_BYTES : o->buf + o->full;
    if (o->room.next <= end) o->room.end = end; /* else when what is being written has left: out_reset */
}

void net_hold_buffer(struct net_worker *w, int64_t bytes) {
    sync_store(&w->buffer_bytes, sync_load(&w->buffer_bytes) + (uint64_t)bytes);
    worker_hold(w, bytes);
    out_adapt(w);
}

void out_reset(struct net_worker *w) {
    struct net_out *o = w->out;
    o->room.owner = NULL;
    o->room.next = o->start = o->buf;
    o->ref_bytes = 0;
    o->niov = o->nref = 0;
    out_adapt(w);
}

/* Makes a span of the bytes that came since the last one. */
static void out_span(struct net_out *o) {
    if (o->room.next == o->start) return;
    o->iov[o->niov++] = (struct iovec){o->start, (size_t)(o->room.next - o->start)};
    o->start = o->room.next;
}

static __attribute__((noinline)) void out_release(struct conn *c, struct net_out *o) {
    for (unsigned i = 0; i < o->nref; i++) release(c, o->refs[i].token);
}

/* Moves all but the first `sent` bytes to the connection. */
static void out_keep(struct conn *c, struct net_out *o, size_t sent) {
    bool ok = true;
    unsigned ref = 0;
    out_span(o);
    for (unsigned i = 0; i < o->niov; i++) {
        const char *p = o->iov[i].iov_base;
        size_t n = o->iov[i].iov_len;
        size_t skip = sent < n ? sent : n;
        sent -= skip;
        bool owned = p >= o->buf && p < o->buf + NET_OUT_BYTES;
        uint64_t token = ref < o->nref && o->refs[ref].iov == i ? o->refs[ref++].token : 0;
        if (!ok || skip == n)
            release(c, token);
        else
            ok = owned ? chunk_copy(c, p + skip, n - skip) : chunk_ref(c, p + skip, n - skip, token);
    }
    out_reset(c->worker);
    if (!ok) conn_drop_out(c);
}

/* One attempt to send spans. Bytes, or -errno. */
static __attribute__((noinline)) ssize_t out_send_spans(struct conn *c, struct net_out *o) {
    if (c->ssl != NULL) return tls_write(c, o->buf, (size_t)(o->room.next - o->buf));
    out_span(o);
    struct msghdr m = {.msg_iov = o->iov, .msg_iovlen = o->niov};
    return net_sendmsg(c->fd, &m);
}

static bool would_block(ssize_t r) {
    return r == -EAGAIN || r == -EWOULDBLOCK || r == -EINTR || r == -ENOBUFS || r == -ENOMEM;
}

/* The buffer did not go out whole: n bytes did, or -errno. */
static __attribute__((noinline)) void out_failed(struct net_worker *w, struct conn *c, ssize_t n) {
    struct net_out *o = w->out;
    if (n < 0 && !would_block(n)) {
        out_release(c, o);
        out_reset(w);
        conn_drop_out(c);
    } else {
        if (n > 0) worker_bump(w, NET_METRIC_bytes_written, (uint64_t)n);
        worker_bump(w, NET_METRIC_output_blocked, 1);
        out_keep(c, o, n > 0 ? (size_t)n : 0);
    }
    if (c != w->current) worker_again(w, c); /* nobody else will arm or end it */
}

void conn_flush_out(struct net_worker *w) {
    struct net_out *o = w->out;
    struct conn *c = o->room.owner;
    if (c == NULL) return;
    const bool plain = o->niov == 0 && c->ssl == NULL;
    const size_t total = likely(plain) ? (size_t)(o->room.next - o->buf) : out_bytes(o);
    if (total != 0) {
        ssize_t n = likely(plain) ? net_send(c->fd, o->buf, total) : out_send_spans(c, o);
        if (unlikely(n != (ssize_t)total)) {
            out_failed(w, c, n);
            return;
        }
        worker_bump(w, NET_METRIC_bytes_written, total);
    }
    if (likely(plain)) {
        o->room.owner = NULL;
        o->room.next = o->buf;
    } else {
        out_release(c, o);
        out_reset(w);
    }
}

void conn_drop_out(struct conn *c) {
    c->flags |= CONN_DEAD | CONN_CLOSING;
    if (c->link != NULL) conn_link_drop(c);
    struct net_out *o = c->worker->out;
    if (o->room.owner == c) {
        out_release(c, o);
        out_reset(c->worker);
    }
    while (c->out_head != NULL) chunk_pop(c);
    c->out_pending = c->owed = 0;
}

/* One attempt to send kept output. Bytes, or -errno; *tried receives how many were offered. */
static ssize_t kept_send(struct conn *c, size_t *tried) {
    struct conn_chunk *k = c->out_head;
    if (c->ssl != NULL) {
        *tried = k->len - k->off;
        return tls_write(c, k->p + k->off, *tried);
    }
    struct iovec iov[KEPT_IOV_MAX];
    unsigned n = 0;
    *tried = 0;
    for (; k != NULL && n < KEPT_IOV_MAX; k = k->next) {
        if (k->len == k->off) continue; /* reserved, nothing committed */
        iov[n++] = (struct iovec){(void *)(uintptr_t)(k->p + k->off), k->len - k->off};
        *tried += k->len - k->off;
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    return net_sendmsg(c->fd, &m);
}

void conn_send_kept(struct conn *c) {
    while (c->out_head != NULL) {
        if (c->out_pending == 0) { /* reserved, nothing committed */
            chunks_advance(c, 0);
            return;
        }
        if (c->ssl != NULL && c->out_head->len == c->out_head->off) {
            chunk_pop(c);
            continue;
        }
        size_t tried;
        ssize_t n = kept_send(c, &tried);
        if (n < 0) {
            if (!would_block(n)) conn_drop_out(c);
            return;
        }
        worker_bump(c->worker, NET_METRIC_bytes_written, (uint64_t)n);
        c->last_s = c->worker->now_s;
        c->flags |= CONN_MOVED;
        chunks_advance(c, (size_t)n);
        if ((size_t)n < tried) return;
    }
}

/* ------------------------------------------------------------------ what handlers call */

/* Makes the worker's buffer this connection's. False: its output is kept with it, or discarded. */
static bool out_take(struct conn *c) {
    struct net_worker *w = c->worker;
    conn_flush_out(w);
    if (c->out_head != NULL || (c->flags & CONN_DEAD)) return false;
    w->out->room.owner = c;
    return true;
}

char *conn_reserve_slow(struct conn *c, size_t n) {
    CHECK(n <= CONN_RESERVE_MAX);
    if (c->link != NULL) return conn_link_reserve(c, n);
    struct net_worker *w = c->worker;
    if (!(c->flags & CONN_DEAD) && c->out_head == NULL && out_take(c)) return w->out->buf;
    if (!(c->flags & CONN_DEAD)) {
        char *p = chunk_room(c, n);
        if (p != NULL) return p;
        conn_drop_out(c);
    }
    if (c != w->current) worker_again(w, c);
    return w->scratch;
}

void conn_commit_slow(struct conn *c, size_t n) {
    if (c->out_tail == NULL) return; /* what nobody will get */
    c->out_tail->len += n;
    c->out_pending += n;
}

void conn_write(struct conn *c, const void *p, size_t n) {
    const char *from = p;
    while (n > 0) {
        size_t k = n < CONN_RESERVE_MAX ? n : CONN_RESERVE_MAX;
        memcpy(conn_reserve(c, k), from, k);
        conn_commit(c, k);
        from += k;
        n -= k;
    }
}

size_t conn_write_some(struct conn *c, const void *p, size_t n) {
    const struct conn_room *r = &c->worker->out->room;
    size_t done = 0;
    if (c->link != NULL) {
        conn_write(c, p, n);
        return n;
    }
    while (done < n) {
        const size_t full = c->worker->out->full, piece = full < CONN_RESERVE_MAX ? full : CONN_RESERVE_MAX;
        const size_t k = n - done < piece ? n - done : piece;
        if (c->flags & CONN_DEAD) return n;
        if ((r->owner != c || k > (size_t)(r->end - r->next)) && !out_take(c)) break;
        memcpy(r->next, (const char *)p + done, k);
        conn_commit(c, k);
        done += k;
    }
    return done;
}

/* TLS copies every byte anyway, and wants pieces as large as can be: so the output is one run of bytes, until the
 * socket takes no more. So it is with a link's. */
static __attribute__((noinline)) void ref_copied(struct conn *c, const char *p, size_t n, uint64_t token) {
    const size_t done = conn_write_some(c, p, n);
    if (done == n)
        release(c, token);
    else if (!chunk_ref(c, p + done, n - done, token))
        conn_drop_out(c);
}

void conn_ref(struct conn *c, const void *p, size_t n, uint64_t token) {
    struct net_out *o = c->worker->out;
    if (n == 0 || (c->flags & CONN_DEAD)) {
        release(c, token);
        return;
    }
    if (unlikely(c->ssl != NULL || c->link != NULL)) {
        ref_copied(c, p, n, token);
        return;
    }
    /* Three spans: the bytes before it, itself, the bytes after it. */
    bool mine = o->room.owner == c && o->niov + 3 <= NET_IOV_MAX;
    if (unlikely(!mine) && (c->out_head != NULL || !out_take(c))) {
        if (c->flags & CONN_DEAD)
            release(c, token);
        else if (!chunk_ref(c, p, n, token))
            conn_drop_out(c);
        return;
    }
    out_span(o);
    if (token != 0) o->refs[o->nref++] = (struct net_ref){token, o->niov};
    o->iov[o->niov++] = (struct iovec){(void *)(uintptr_t)p, n};
    o->ref_bytes += n;
}

bool conn_full(const struct conn *c) {
    const struct net_out *o = c->worker->out;
    if (likely(o->room.owner == c)) return out_bytes(o) >= o->full || o->niov >= NET_IOV_FULL;
    if (c->link != NULL) return conn_link_tell(c) >= CONN_LINK_FULL || (c->flags & CONN_DEAD);
    return c->out_head != NULL || (c->flags & CONN_DEAD);
}

size_t conn_pending(const struct conn *c) {
    const struct net_out *o = c->worker->out;
    if (c->link != NULL) return conn_link_tell(c);
    return c->out_pending + (o->room.owner == c ? out_bytes(o) : 0);
}
