/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The mover's links: frames as on control links, on a connection that the transport has given away. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/erase.h"
#include "cluster/mover_state.h"

#define READS_AT_ONCE 8 /* of one link before the others have their turn */

static void end(struct mover_link *l, bool tell) {
    if (l->dead) return;
    l->dead = true;
    event_del(&l->on_read);
    event_del(&l->on_write);
    stream_close(&l->s);
    if (tell && !l->finishing) mover_link_ended(l->m, l->member, l->gaining);
}

static void free_link(struct mover_link *l) {
    TAILQ_REMOVE(&l->m->links, l, entry);
    outbuf_fini(&l->out);
    free(l);
}

struct mover_link *mover_link_find(struct mover *m, uint32_t member, bool gaining) {
    struct mover_link *l;
    TAILQ_FOREACH(l, &m->links, entry)
    if (l->member == member && l->gaining == gaining && !l->dead && !l->finishing) return l;
    return NULL;
}

/* ------------------------------------------------------------------ sending */

static void note_sent(struct mover_link *l, size_t n) {
    l->out.start += n;
    l->owed -= n < l->owed ? n : l->owed;
}

static void flush(struct mover_link *l) {
    if (l->broken) end(l, true);
    while (!l->dead && l->out.start < l->out.end) {
        const ssize_t n = stream_write(&l->s, l->out.p + l->out.start, l->out.end - l->out.start);
        if (n == -EAGAIN) {
            if (l->s.want_write) event_add(&l->on_write, NULL);
            return;
        }
        if (n == -EINTR) continue;
        if (n < 0)
            end(l, true);
        else
            note_sent(l, (size_t)n);
    }
    if (l->dead) return;
    event_del(&l->on_write);
    outbuf_fini(&l->out);
    if (l->finishing && !l->finished) stream_finish(&l->s);
    l->finished = l->finishing;
}

void mover_link_send(struct mover_link *l, const struct peer_handoff *msg) {
    const size_t n = peer_handoff_pack(msg, l->m->packed, PEER_CONTROL_MAX);
    if (n == 0 || !outbuf_frame(&l->out, l->m->packed, n)) l->broken = true;
}

void mover_link_finish(struct mover_link *l) {
    l->finishing = true;
}

void mover_link_flush_all(struct mover *m) {
    struct mover_link *l, *next;
    TAILQ_FOREACH(l, &m->links, entry) flush(l);
    for (l = TAILQ_FIRST(&m->links); l != NULL; l = next) {
        next = TAILQ_NEXT(l, entry);
        if (l->dead) free_link(l);
    }
}

/* ------------------------------------------------------------------ receiving */

/* One frame. False: nobody sends this. */
static bool take_frame(struct mover_link *l, const uint8_t *p, size_t n) {
    struct mover *m = l->m;
    Peer__Control *c;
    struct peer_handoff msg;
    if (l->finishing || l->broken) return true;
    peer_arena_reset(&m->arena);
    if (peer_control_unpack(&m->arena, p, n, &m->counts, &c) != PEER_OK) return false;
    if (peer_control_kind(c) == PEER_NONE) return true; /* of a later release */
    if (!peer_handoff_read(c, &msg)) return false;
    mover_received(m, l->member, l->gaining, &msg);
    return true;
}

/* Hands over the whole frames of `in`; keeps the beginning of the next. False: they make no sense. */
static bool take_frames(struct mover_link *l) {
    size_t at = 0;
    while (!l->dead && l->n - at >= OUTBUF_HEADER) {
        const uint8_t *h = l->in + at;
        const size_t length = outbuf_length(h);
        if (length == 0 || length > PEER_CONTROL_MAX) return false;
        if (l->n - at < OUTBUF_HEADER + length) break;
        if (!take_frame(l, h + OUTBUF_HEADER, length)) return false;
        at += OUTBUF_HEADER + length;
    }
    l->n -= at;
    memmove(l->in, l->in + at, l->n);
    return true;
}

static void read_some(struct mover_link *l) {
    for (unsigned i = 0; i < READS_AT_ONCE && !l->dead && !l->broken; i++) {
        const ssize_t n = stream_read(&l->s, l->in + l->n, sizeof l->in - l->n);
        if (n == -EAGAIN || n == -EINTR) break;
        if (n <= 0) {
            end(l, true);
            return;
        }
        l->n += (size_t)n;
        if (!take_frames(l)) end(l, true);
    }
    if (!l->dead && stream_pending(&l->s)) event_active(&l->on_read, EV_READ, 0);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    struct mover_link *l = arg;
    struct mover *m = l->m;
    (void)fd;
    if (what & EV_READ) read_some(l);
    mover_round(m); /* sends what waits for room, too */
}

/* ------------------------------------------------------------------ life */

void mover_link_new(struct mover *m, uint32_t member, bool gaining, struct stream s) {
    struct mover_link *l = calloc(1, sizeof *l);
    struct mover_link *before = mover_link_find(m, member, gaining);
    if (before != NULL) end(before, true); /* its process dials anew: it knows that the earlier one is broken */
    if (l == NULL) {
        stream_close(&s);
        mover_link_ended(m, member, gaining);
        return;
    }
    l->m = m;
    l->member = member;
    l->gaining = gaining;
    l->s = s;
    event_assign(&l->on_read, m->base, s.fd, EV_READ | EV_PERSIST, on_event, l);
    event_assign(&l->on_write, m->base, s.fd, EV_WRITE | EV_PERSIST, on_event, l);
    TAILQ_INSERT_TAIL(&m->links, l, entry);
    event_add(&l->on_read, NULL);
    if (stream_pending(&l->s)) event_active(&l->on_read, EV_READ, 0); /* came together with the hello */
}

void mover_link_close_finishing(struct mover *m) {
    struct mover_link *l;
    TAILQ_FOREACH(l, &m->links, entry)
    if (l->finishing) end(l, false);
}

void mover_link_free_all(struct mover *m) {
    struct mover_link *l;
    while ((l = TAILQ_FIRST(&m->links)) != NULL) {
        l->finishing = true;
        end(l, false);
        free_link(l);
    }
}

/* ------------------------------------------------------------------ erasing */

void mover_link_mark(struct mover *m) {
    struct mover_link *l;
    TAILQ_FOREACH(l, &m->links, entry) l->owed = l->out.end - l->out.start;
}

bool mover_link_owes(const struct mover *m) {
    const struct mover_link *l;
    bool any = false;
    TAILQ_FOREACH(l, &m->links, entry) any |= l->owed > 0 && !l->dead;
    return any;
}

void mover_link_erase(struct mover *m) {
    struct mover_link *l;
    TAILQ_FOREACH(l, &m->links, entry) {
        erase_bytes(l->in + l->n, sizeof l->in - l->n);
        erase_bytes(l->out.p, l->out.start);
        erase_bytes(l->out.p + l->out.end, l->out.room - l->out.end);
    }
}
