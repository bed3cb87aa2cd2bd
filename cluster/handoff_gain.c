/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A transfer as the receiver sees it: asks for chunks, stores what comes, acknowledges. */
#include <stdlib.h>
#include <string.h>

#include "cluster/handoff_state.h"
#include "cluster/mutation.h"

void handoff_gain_fini(struct transfer *t) {
    struct gain_piece *next;
    for (struct gain_piece *p = t->gain.first; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    t->gain.first = NULL;
    t->gain.tail = &t->gain.first;
}

static struct gain_chunk *chunk_of(struct gain *g, uint64_t number) {
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++)
        if (number != 0 && g->asked[i].number == number) return &g->asked[i];
    return NULL;
}

/* ------------------------------------------------------------------ asking */

/* Shows what this node knows now; the number g is from before (cover.h). False: nothing may be taken over now. */
static bool ask(struct handoff *h, uint64_t now_ns, struct transfer *t, struct gain_chunk *c) {
    uint64_t origin[PEER_PURGE_VECTOR_MAX], sequence[PEER_PURGE_VECTOR_MAX];
    struct cover cover;
    h->cfg.events.cover(h->cfg.events.arg, &cover);
    if (!cover.usable) return false;
    for (unsigned i = 0; i < cover.n; i++) {
        origin[i] = cover.seen[i].origin;
        sequence[i] = cover.seen[i].sequence;
    }
    *c = (struct gain_chunk){.number = ++t->gain.number, .g = cover.g, .asked_ns = now_ns};
    handoff_send(h, t,
                 &(struct peer_handoff){.kind = PEER_HANDOFF_NEXT,
                                        .chunk = c->number,
                                        .version = cover.version,
                                        .epoch = cover.epoch,
                                        .floor_epoch = cover.floor_epoch,
                                        .retire_version = cover.retire_version,
                                        .nseen = cover.n,
                                        .seen_origin = origin,
                                        .seen_sequence = sequence});
    return true;
}

/* Asks for as many chunks as may be under way. */
static void ask_all(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct gain *g = &t->gain;
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) {
        if (g->asked[i].number != 0 || ask(h, now_ns, t, &g->asked[i])) continue;
        g->again_ns = now_ns + HANDOFF_BEHIND_MS * HANDOFF_MS;
        return;
    }
}

/* ------------------------------------------------------------------ storing */

static void count(struct handoff *h, struct transfer *t, enum handoff_import how) {
    switch (how) {
    case HANDOFF_KEPT:
        h->counters.received++;
        t->items++;
        break;
    case HANDOFF_WRITTEN: h->counters.refused_written++; break;
    case HANDOFF_PURGED: h->counters.refused_purged++; break;
    case HANDOFF_PRESENT: h->counters.refused_present++; break;
    case HANDOFF_AGAIN: break;
    }
}

/* Stores records of a piece, as many as a step may. False: there is no room just now; or (the transfer is over) one
 * makes no sense. */
static bool store_some(struct handoff *h, struct transfer *t, struct gain_piece *p, const struct gain_chunk *c) {
    struct moved_item it;
    for (unsigned i = 0; i < HANDOFF_STEP_ITEMS && p->at < p->n; i++) {
        const size_t n = moved_item_read(p->bytes + p->at, p->n - p->at, &it);
        if (n == 0) {
            handoff_finish(h, t, HANDOFF_BROKEN, true);
            return false;
        }
        /* The parts of a value were read one after the other: what was purged since the first counts. */
        if (it.at == 0) t->gain.value_g = c->g;
        const uint64_t as_of = MUTATED(MUTATION_PULL_NO_GUARD) ? UINT64_MAX : t->gain.value_g;
        const enum handoff_import how = h->cfg.store.import(h->cfg.store.arg, t->part.member, &it, as_of, c->asked_ns);
        if (how == HANDOFF_AGAIN) return false;
        if (moved_item_is_last(&it)) count(h, t, how);
        p->at += n;
    }
    return true;
}

static void acknowledge(struct handoff *h, struct transfer *t, uint64_t number) {
    struct gain_chunk *c = chunk_of(&t->gain, number);
    if (c != NULL) c->number = 0;
    handoff_send(h, t, &(struct peer_handoff){.kind = PEER_HANDOFF_ACK, .chunk = number});
}

/* Goes on with the first piece that has come. */
static void take_piece(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct gain *g = &t->gain;
    struct gain_piece *p = g->first;
    if (!store_some(h, t, p, chunk_of(g, p->chunk))) {
        g->again_ns = now_ns + HANDOFF_BEHIND_MS * HANDOFF_MS;
        return;
    }
    if (p->at < p->n) return;
    if (p->last) acknowledge(h, t, p->chunk);
    if ((g->first = p->next) == NULL) g->tail = &g->first;
    free(p);
}

/* Whether something is to be stored, or another chunk to be asked for. */
static bool has_work(const struct gain *g) {
    bool ask = false;
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) ask |= g->asked[i].number == 0;
    return g->first != NULL || g->end != 0 || ask;
}

bool handoff_gain_step(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct gain *g = &t->gain;
    if (!has_work(g) || now_ns < g->again_ns) return false;
    if (h->cfg.events.full(h->cfg.events.arg)) {
        handoff_finish(h, t, HANDOFF_FULL, true);
    } else if (g->first != NULL) {
        take_piece(h, now_ns, t);
    } else if (g->end != 0) {
        acknowledge(h, t, g->end);
        handoff_finish(h, t, HANDOFF_DONE, false);
    } else {
        ask_all(h, now_ns, t);
    }
    return true;
}

/* ------------------------------------------------------------------ messages */

/* A piece of a chunk that was asked for; not more than a chunk has. False: nobody sends this. */
static bool on_items(struct handoff *h, struct transfer *t, const struct peer_handoff *m) {
    struct gain_chunk *c = chunk_of(&t->gain, m->chunk);
    if (c == NULL || t->gain.end != 0 || m->nitems == 0 || m->nitems > HANDOFF_CHUNK_BYTES - c->bytes) return false;
    for (const struct gain_piece *p = t->gain.first; p != NULL; p = p->next)
        if (p->chunk == m->chunk && p->last) return false;
    struct gain_piece *p = malloc(sizeof *p + m->nitems);
    if (p == NULL) return false;
    *p = (struct gain_piece){.chunk = m->chunk, .last = m->last, .n = m->nitems};
    memcpy(p->bytes, m->items, m->nitems);
    *t->gain.tail = p;
    t->gain.tail = &p->next;
    c->bytes += m->nitems;
    t->bytes += m->nitems;
    h->counters.received_bytes += m->nitems;
    return true;
}

void handoff_gain_message(struct handoff *h, uint64_t now_ns, struct transfer *t, const struct peer_handoff *m) {
    struct gain *g = &t->gain;
    struct gain_chunk *c = chunk_of(g, m->chunk);
    bool sense = true;
    if (handoff_gain_waits(t)) {
        sense = m->kind == PEER_HANDOFF_READY && m->ring_version == h->ring_version;
        if (sense) handoff_begin(h, now_ns, t, m->items_expected);
    } else if (m->kind == PEER_HANDOFF_ITEMS) {
        sense = on_items(h, t, m);
    } else if (m->kind == PEER_HANDOFF_BEHIND) {
        sense = c != NULL && c->bytes == 0;
        if (sense) c->number = 0;
        g->again_ns = now_ns + HANDOFF_BEHIND_MS * HANDOFF_MS;
    } else if (m->kind == PEER_HANDOFF_END) {
        sense = c != NULL && c->bytes == 0;
        if (sense && g->end == 0) g->end = m->chunk;
    } else {
        sense = false;
    }
    if (!sense) handoff_finish(h, t, HANDOFF_BROKEN, true);
}

/* ------------------------------------------------------------------ time */

/* How long it waits for READY, in this state. */
static uint64_t ready_ns(const struct transfer *t) {
    return t->heard_ns + (t->state == TRANSFER_ASKED ? HANDOFF_READY_MS : HANDOFF_BEGIN_MS) * HANDOFF_MS;
}

/* No READY yet. */
static void wait_time(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    if (t->state == TRANSFER_ASKED && now_ns >= ready_ns(t)) {
        t->state = TRANSFER_LATE;
        h->cfg.events.state(h->cfg.events.arg, t->part.member, MOVE_LATE);
    }
    if (now_ns >= ready_ns(t)) {
        handoff_finish(h, t, HANDOFF_NOT_READY, true);
    } else if (t->dial_ns != 0 && now_ns >= t->dial_ns) {
        t->dial_ns = 0;
        h->cfg.events.dial(h->cfg.events.arg, t->part.member);
    }
}

void handoff_gain_time(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    if (handoff_gain_waits(t))
        wait_time(h, now_ns, t);
    else if (now_ns >= t->heard_ns + HANDOFF_SILENT_MS * HANDOFF_MS)
        handoff_finish(h, t, HANDOFF_SILENT, true);
}

uint64_t handoff_gain_next_ns(const struct transfer *t) {
    const struct gain *g = &t->gain;
    if (handoff_gain_waits(t)) return t->dial_ns != 0 && t->dial_ns < ready_ns(t) ? t->dial_ns : ready_ns(t);
    const uint64_t silent = t->heard_ns + HANDOFF_SILENT_MS * HANDOFF_MS;
    return has_work(g) && g->again_ns < silent ? g->again_ns : silent;
}
