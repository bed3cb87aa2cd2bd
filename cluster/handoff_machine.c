/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The machine of handoff.h: its transfers, and which of them an input is for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/handoff_state.h"

const char *handoff_end_text(enum handoff_end e) {
    switch (e) {
    case HANDOFF_DONE: return "done";
    case HANDOFF_UNREACHABLE: return "the other node cannot be reached";
    case HANDOFF_NOT_READY: return "the other node was not ready in time";
    case HANDOFF_SILENT: return "the other node is silent";
    case HANDOFF_FULL: return "too many keys were written meanwhile";
    case HANDOFF_CHANGED: return "the ring has changed";
    case HANDOFF_BROKEN: return "the other node sent what makes no sense";
    case HANDOFF_ENDS: break;
    }
    return "for a reason that this release does not know";
}

/* FNV-1a (G. Fowler, L. Noll, K.-P. Vo), by words: it only has to differ when arcs do. */
uint64_t handoff_digest(const struct ringdiff *d, unsigned from, unsigned to) {
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (unsigned i = 0; i < d->n; i++) {
        if (d->arcs[i].from != from || d->arcs[i].to != to) continue;
        digest = (digest ^ d->arcs[i].first) * UINT64_C(0x100000001b3);
        digest = (digest ^ d->arcs[i].last) * UINT64_C(0x100000001b3);
    }
    return digest;
}

/* ------------------------------------------------------------------ life */

struct handoff *handoff_new(const struct handoff_config *cfg) {
    struct handoff *h = calloc(1, sizeof *h);
    if (h == NULL) return NULL;
    h->cfg = *cfg;
    return h;
}

static void free_transfers(struct handoff *h) {
    for (unsigned i = 0; i < h->n; i++) {
        if (h->transfers[i].part.gaining)
            handoff_gain_fini(&h->transfers[i]);
        else
            handoff_lose_fini(&h->transfers[i]);
    }
    free(h->transfers);
    h->transfers = NULL;
    h->n = 0;
}

void handoff_free(struct handoff *h) {
    if (h == NULL) return;
    free_transfers(h);
    free(h);
}

/* ------------------------------------------------------------------ a transfer */

void handoff_send(struct handoff *h, const struct transfer *t, const struct peer_handoff *m) {
    h->cfg.events.send(h->cfg.events.arg, t->part.member, t->part.gaining, m);
}

static struct handoff_progress progress_of(const struct transfer *t) {
    return (struct handoff_progress){.member = t->part.member,
                                     .gaining = t->part.gaining,
                                     .items = t->items,
                                     .bytes = t->bytes,
                                     .expected = t->expected,
                                     .begun_ns = t->begun_ns};
}

void handoff_begin(struct handoff *h, uint64_t now_ns, struct transfer *t, uint64_t expected) {
    t->state = TRANSFER_MOVING;
    t->begun_ns = t->heard_ns = now_ns;
    t->expected = expected;
    if (t->part.gaining) h->cfg.events.state(h->cfg.events.arg, t->part.member, MOVE_PULLING);
}

void handoff_finish(struct handoff *h, struct transfer *t, enum handoff_end how, bool tell) {
    if (t->state == TRANSFER_OVER) return;
    t->state = TRANSFER_OVER;
    if (t->part.gaining) h->cfg.events.state(h->cfg.events.arg, t->part.member, MOVE_NONE);
    if (how == HANDOFF_DONE)
        h->counters.done++;
    else
        h->counters.abandoned++;
    if (tell && t->linked && how != HANDOFF_DONE)
        handoff_send(h, t,
                     &(struct peer_handoff){
                         .kind = PEER_HANDOFF_ABORT, .ring_version = h->ring_version, .reason = (uint32_t)how});
    const struct handoff_progress p = progress_of(t);
    h->cfg.events.ended(h->cfg.events.arg, &p, how);
    if (t->part.gaining)
        handoff_gain_fini(t);
    else
        handoff_lose_fini(t);
}

static struct transfer *find(struct handoff *h, uint32_t member, bool gaining) {
    for (unsigned i = 0; i < h->n; i++) {
        struct transfer *t = &h->transfers[i];
        if (t->part.member == member && t->part.gaining == gaining && t->state != TRANSFER_OVER) return t;
    }
    return NULL;
}

/* ------------------------------------------------------------------ the ring changes */

void handoff_abandon(struct handoff *h, uint64_t now_ns, enum handoff_end why) {
    (void)now_ns;
    for (unsigned i = 0; i < h->n; i++) handoff_finish(h, &h->transfers[i], why, true);
}

/* What receivers said before this node knew their ring. */
static void take_early(struct handoff *h, uint64_t now_ns) {
    unsigned kept = 0;
    for (unsigned i = 0; i < h->nearly; i++) {
        const struct handoff_early e = h->early[i];
        if (e.ring_version > h->ring_version) {
            h->early[kept++] = e;
            continue;
        }
        const struct peer_handoff m = {.kind = PEER_HANDOFF_BEGIN, .ring_version = e.ring_version, .digest = e.digest};
        handoff_receive(h, now_ns, e.member, false, &m);
    }
    h->nearly = kept;
}

int handoff_change(struct handoff *h, uint64_t now_ns, uint64_t ring_version, const struct handoff_part *parts,
                   unsigned n) {
    handoff_abandon(h, now_ns, HANDOFF_CHANGED);
    free_transfers(h);
    h->ring_version = ring_version;
    if (n > 0 && (h->transfers = calloc(n, sizeof *h->transfers)) == NULL) return -ENOMEM;
    h->n = n;
    for (unsigned i = 0; i < n; i++) {
        struct transfer *t = &h->transfers[i];
        t->part = parts[i];
        t->state = parts[i].gaining ? TRANSFER_ASKED : TRANSFER_IDLE;
        t->heard_ns = now_ns;
        if (parts[i].gaining) t->gain.tail = &t->gain.first;
    }
    take_early(h, now_ns);
    return 0;
}

void handoff_settled(struct handoff *h, uint64_t now_ns, uint64_t ring_version, uint64_t items) {
    h->settled = ring_version;
    h->items = items;
    for (unsigned i = 0; i < h->n; i++)
        if (!h->transfers[i].part.gaining) handoff_lose_ready(h, now_ns, &h->transfers[i]);
}

/* ------------------------------------------------------------------ links and messages */

void handoff_up(struct handoff *h, uint64_t now_ns, uint32_t member) {
    struct transfer *t = find(h, member, true);
    (void)now_ns;
    if (t == NULL || !handoff_gain_waits(t)) return;
    t->linked = true;
    handoff_send(
        h, t,
        &(struct peer_handoff){.kind = PEER_HANDOFF_BEGIN, .ring_version = h->ring_version, .digest = t->part.digest});
}

void handoff_lost(struct handoff *h, uint64_t now_ns, uint32_t member, bool gaining) {
    struct transfer *t = find(h, member, gaining);
    if (t != NULL && handoff_gain_waits(t) && t->linked)
        t->dial_ns = now_ns + (t->state == TRANSFER_ASKED ? HANDOFF_DIAL_MS : HANDOFF_READY_MS) * HANDOFF_MS;
    else if (t != NULL && (gaining || t->linked))
        handoff_finish(h, t, HANDOFF_UNREACHABLE, false);
    if (t != NULL) t->linked = false;
    if (gaining) return;
    for (unsigned i = h->nearly; i-- > 0;)
        if (h->early[i].member == member) h->early[i] = h->early[--h->nearly];
}

static void refuse(struct handoff *h, uint32_t member, enum handoff_end why) {
    h->cfg.events.send(
        h->cfg.events.arg, member, false,
        &(struct peer_handoff){.kind = PEER_HANDOFF_ABORT, .ring_version = h->ring_version, .reason = (uint32_t)why});
}

/* BEGIN of a ring that this node will hear of. The last one of a receiver counts. */
static void note_early(struct handoff *h, uint32_t member, const struct peer_handoff *m) {
    unsigned i = 0;
    while (i < h->nearly && h->early[i].member != member) i++;
    if (i == HANDOFF_EARLY_MAX) {
        refuse(h, member, HANDOFF_NOT_READY);
        return;
    }
    const bool known = i < h->nearly && h->early[i].ring_version >= m->ring_version;
    h->early[i] = (struct handoff_early){member, m->ring_version, m->digest};
    h->nearly += i == h->nearly;
    if (!known) h->cfg.events.newer(h->cfg.events.arg, member, m->ring_version);
}

/* BEGIN: of the ring of now, of one that this node will hear of, or of an old one. */
static void on_begin(struct handoff *h, uint64_t now_ns, uint32_t member, const struct peer_handoff *m) {
    struct transfer *t = find(h, member, false);
    if (m->ring_version > h->ring_version) {
        note_early(h, member, m);
    } else if (m->ring_version < h->ring_version || t == NULL || t->state != TRANSFER_IDLE ||
               t->part.digest != m->digest) {
        refuse(h, member, HANDOFF_CHANGED);
        if (t != NULL && m->ring_version == h->ring_version) handoff_finish(h, t, HANDOFF_CHANGED, false);
    } else {
        t->linked = true;
        t->state = TRANSFER_READY;
        handoff_lose_ready(h, now_ns, t);
    }
}

void handoff_receive(struct handoff *h, uint64_t now_ns, uint32_t member, bool gaining, const struct peer_handoff *m) {
    if (m->kind == PEER_HANDOFF_BEGIN) {
        if (!gaining) on_begin(h, now_ns, member, m);
        return;
    }
    struct transfer *t = find(h, member, gaining);
    if (t == NULL || !t->linked) return; /* it is over here: what was under way is nothing any more */
    if (m->kind != PEER_HANDOFF_BEHIND) t->heard_ns = now_ns; /* who is behind for ever counts as silent */
    if (m->kind == PEER_HANDOFF_ABORT)
        handoff_finish(
            h, t, m->reason > HANDOFF_DONE && m->reason < HANDOFF_ENDS ? (enum handoff_end)m->reason : HANDOFF_ENDS,
            false);
    else if (gaining)
        handoff_gain_message(h, now_ns, t, m);
    else
        handoff_lose_message(h, t, m);
}

/* ------------------------------------------------------------------ time */

void handoff_time(struct handoff *h, uint64_t now_ns) {
    for (unsigned i = 0; i < h->n; i++) {
        struct transfer *t = &h->transfers[i];
        if (t->state == TRANSFER_OVER) continue;
        if (t->part.gaining)
            handoff_gain_time(h, now_ns, t);
        else
            handoff_lose_time(h, now_ns, t);
    }
    for (unsigned i = 0; i < h->n; i++) { /* those that have something to do have their turns */
        struct transfer *t = &h->transfers[h->turn++ % h->n];
        if (t->state != TRANSFER_MOVING) continue;
        if (t->part.gaining ? handoff_gain_step(h, now_ns, t) : handoff_lose_step(h, now_ns, t)) return;
    }
}

uint64_t handoff_next_ns(const struct handoff *h) {
    uint64_t next = UINT64_MAX;
    for (unsigned i = 0; i < h->n; i++) {
        const struct transfer *t = &h->transfers[i];
        if (t->state == TRANSFER_OVER) continue;
        const uint64_t due = t->part.gaining ? handoff_gain_next_ns(t) : handoff_lose_next_ns(h, t);
        if (due < next) next = due;
    }
    return next;
}

/* ------------------------------------------------------------------ looking around */

unsigned handoff_progress(const struct handoff *h, struct handoff_progress *out, unsigned max) {
    unsigned n = 0;
    for (unsigned i = 0; i < h->n; i++) {
        if (h->transfers[i].state == TRANSFER_OVER) continue;
        if (n < max) out[n] = progress_of(&h->transfers[i]);
        n++;
    }
    return n;
}

void handoff_totals(const struct handoff *h, uint64_t *items, uint64_t *expected) {
    *items = *expected = 0;
    for (unsigned i = 0; i < h->n; i++) {
        const struct transfer *t = &h->transfers[i];
        *items += t->items;
        *expected += t->state == TRANSFER_OVER ? t->items : t->expected;
    }
}

const struct handoff_counters *handoff_counters(const struct handoff *h) {
    return &h->counters;
}

/* ------------------------------------------------------------------ erasing */

/* Marks the donor's chunks, or (mark is false) says whether some are marked. */
static bool look_at_chunks(struct lose *l, bool mark) {
    bool any = false;
    for (unsigned k = 0; k < HANDOFF_CHUNKS + 1; k++) {
        struct lose_chunk *c = k < HANDOFF_CHUNKS ? l->sent[k] : l->making;
        if (c != NULL) any |= c->owed |= mark;
    }
    for (struct lose_chunk *c = l->dropping; c != NULL; c = c->next) any |= c->owed |= mark;
    return any;
}

void handoff_mark(struct handoff *h) {
    for (unsigned i = 0; i < h->n; i++) {
        struct transfer *t = &h->transfers[i];
        if (!t->part.gaining) (void)look_at_chunks(&t->lose, true);
        for (unsigned k = 0; t->part.gaining && k < HANDOFF_CHUNKS; k++)
            t->gain.asked[k].owed = t->gain.asked[k].number != 0;
    }
}

bool handoff_owes(struct handoff *h) {
    bool any = false;
    for (unsigned i = 0; i < h->n; i++) {
        struct transfer *t = &h->transfers[i];
        if (t->state == TRANSFER_OVER) continue;
        if (!t->part.gaining) any |= look_at_chunks(&t->lose, false);
        for (unsigned k = 0; t->part.gaining && k < HANDOFF_CHUNKS; k++)
            any |= t->gain.asked[k].owed && t->gain.asked[k].number != 0;
    }
    return any;
}
