/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A transfer as the donor sees it: answers BEGIN when its workers go by the ring, then each question for a chunk, as
 * fast as the rate allows; drops what is acknowledged. */
#include <stdlib.h>
#include <string.h>

#include "cluster/handoff_state.h"

/* What is read often goes first: how often an item must have been read lately, by pass. */
static const unsigned pass_freq[HANDOFF_PASSES] = {4, 1, 0};

void handoff_lose_fini(struct transfer *t) {
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) free(t->lose.sent[i].bytes);
    free(t->lose.keys);
    t->lose = (struct lose){0};
}

void handoff_lose_ready(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    if (t->state != TRANSFER_READY || h->settled != h->ring_version) return;
    t->lose.keys = malloc(HANDOFF_KEYS * sizeof *t->lose.keys);
    if (t->lose.keys == NULL) {
        handoff_finish(h, t, HANDOFF_NOT_READY, true);
        return;
    }
    const uint64_t expected = (uint64_t)(((unsigned __int128)h->items * t->part.share) >> 32);
    handoff_begin(h, now_ns, t, expected);
    handoff_send(h, t,
                 &(struct peer_handoff){
                     .kind = PEER_HANDOFF_READY, .ring_version = h->ring_version, .items_expected = expected});
}

/* ------------------------------------------------------------------ making a chunk */

enum search { FOUND, LATER, NOTHING };

static bool all_acknowledged(const struct lose *l) {
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++)
        if (l->sent[i].number != 0) return false;
    return true;
}

/* Looks for a key to send; goes on later after HANDOFF_SCANS steps, for other transfers wait, and at the end of a pass
 * when all that was sent, and what this chunk is filled with, is acknowledged and so dropped: else the next pass would
 * show it again. */
static enum search find_key(struct handoff *h, struct transfer *t, size_t filled, unsigned *scans) {
    struct lose *l = &t->lose;
    while (l->key == l->nkeys) {
        if (l->pass == HANDOFF_PASSES) return NOTHING;
        if (l->cursor.done) {
            l->held = filled == 0 && !all_acknowledged(l);
            if (l->held || filled > 0) return LATER;
            l->pass++;
            l->cursor = (struct handoff_cursor){0};
            continue;
        }
        if (++*scans > HANDOFF_SCANS) return LATER;
        l->key = 0;
        l->nkeys =
            h->cfg.store.scan(h->cfg.store.arg, t->part.member, &l->cursor, pass_freq[l->pass], l->keys, HANDOFF_KEYS);
    }
    return FOUND;
}

/* A chunk on its way into h->chunk: pieces of at most PEER_HANDOFF_ITEMS_MAX bytes, of whole records. */
struct filling {
    uint8_t *bytes;
    size_t n, piece; /* so far; where the present piece begins */
    size_t ends[HANDOFF_PIECES_MAX];
    unsigned nends;
    uint64_t shown_to; /* byte of its value up to which the record goes that was added last */
    bool last;         /* it goes to the end; or the item is gone */
    bool not_now;      /* it was not added: it would be cut, and is whole in a piece of its own */
};

static void show(void *to, const struct moved_item *it) {
    struct filling *f = to;
    const bool cut = it->at == 0 && it->nvalue < it->size;
    f->not_now = cut && f->n > f->piece && it->size <= PEER_HANDOFF_ITEMS_MAX - MOVED_ITEM_REST_MAX;
    if (f->not_now) return;
    f->n += moved_item_pack(it, f->bytes + f->n);
    f->shown_to = it->at + it->nvalue;
    f->last = moved_item_is_last(it);
}

/* Ends the present piece. False: there is no room for another one. */
static bool next_piece(struct filling *f) {
    if (f->n > f->piece) f->ends[f->nends++] = f->n;
    f->piece = f->n;
    return f->nends < HANDOFF_PIECES_MAX && HANDOFF_CHUNK_BYTES - f->n >= PEER_HANDOFF_ITEMS_MAX;
}

/* Adds the record of the key that is next, or a part of it. False: the chunk is full. */
static bool add(struct handoff *h, struct transfer *t, struct filling *f) {
    struct lose *l = &t->lose;
    size_t room = PEER_HANDOFF_ITEMS_MAX - (f->n - f->piece);
    if (room < MOVED_ITEM_REST_MAX + HANDOFF_LEAST_PART) {
        if (!next_piece(f)) return false;
        room = PEER_HANDOFF_ITEMS_MAX;
    }
    f->last = true;
    f->not_now = false;
    (void)h->cfg.store.read(h->cfg.store.arg, &l->keys[l->key], l->value_at, (uint32_t)(room - MOVED_ITEM_REST_MAX),
                            show, f);
    if (f->not_now) return next_piece(f);
    l->value_at = f->last ? 0 : f->shown_to;
    l->key += f->last;
    return true;
}

static enum search fill(struct handoff *h, struct transfer *t, struct filling *f) {
    unsigned scans = 0;
    enum search s;
    while ((s = find_key(h, t, f->n, &scans)) == FOUND)
        if (!add(h, t, f)) break;
    (void)next_piece(f);
    return s;
}

/* ------------------------------------------------------------------ answering */

static void send_pieces(struct handoff *h, const struct transfer *t, uint64_t number, const struct filling *f) {
    for (unsigned i = 0; i < f->nends; i++) {
        const size_t from = i == 0 ? 0 : f->ends[i - 1];
        handoff_send(h, t,
                     &(struct peer_handoff){.kind = PEER_HANDOFF_ITEMS,
                                            .chunk = number,
                                            .items = f->bytes + from,
                                            .nitems = f->ends[i] - from,
                                            .last = i + 1 == f->nends});
    }
}

/* Keeps what goes out until it is acknowledged. False: no memory. */
static bool keep(struct lose *l, uint64_t number, const struct filling *f) {
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) {
        struct lose_chunk *c = &l->sent[i];
        if (c->number != 0) continue;
        c->bytes = malloc(f->n);
        if (c->bytes == NULL) return false;
        memcpy(c->bytes, f->bytes, f->n);
        c->n = f->n;
        c->number = number;
        return true;
    }
    return false;
}

static void charge(struct handoff *h, uint64_t now_ns, size_t bytes) {
    const uint64_t earliest = now_ns - HANDOFF_LATE_MS * HANDOFF_MS;
    if (now_ns > HANDOFF_LATE_MS * HANDOFF_MS && h->send_ns < earliest) h->send_ns = earliest;
    h->send_ns += bytes * UINT64_C(1000000000) / h->cfg.rate;
}

/* Answers what the receiver wanted first. False: not yet, the search for items has to go on. */
static bool answer(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct lose *l = &t->lose;
    struct filling f = {.bytes = h->chunk};
    struct cover own;
    const uint64_t number = l->want[0].number;
    h->cfg.events.cover(h->cfg.events.arg, &own);
    const bool covers = cover_covers(&own, &l->want[0].cover);
    enum search s = FOUND;
    if (covers) s = fill(h, t, &f);
    if (covers && s == LATER && f.n == 0) return false;
    l->want[0] = l->want[--l->nwant];
    if (!covers) {
        handoff_send(h, t, &(struct peer_handoff){.kind = PEER_HANDOFF_BEHIND, .chunk = number});
    } else if (f.n == 0) {
        if (l->end == 0) l->end = number;
        handoff_send(h, t, &(struct peer_handoff){.kind = PEER_HANDOFF_END, .chunk = number});
    } else if (keep(l, number, &f)) {
        charge(h, now_ns, f.n);
        t->bytes += f.n;
        h->counters.sent_bytes += f.n;
        send_pieces(h, t, number, &f);
    } else {
        handoff_finish(h, t, HANDOFF_BROKEN, true);
    }
    return true;
}

/* Answers in turn, as fast as the rate allows. */
static void serve(struct handoff *h, uint64_t now_ns) {
    for (unsigned i = 0; i < h->n && now_ns >= h->send_ns; i++) {
        struct transfer *t = &h->transfers[h->turn++ % h->n];
        if (t->part.gaining || t->state != TRANSFER_MOVING || t->lose.nwant == 0 || t->lose.held) continue;
        if (answer(h, now_ns, t)) i = 0; /* whoever comes next may have its turn again */
    }
}

/* ------------------------------------------------------------------ messages */

static bool on_next(struct handoff *h, uint64_t now_ns, struct transfer *t, const struct peer_handoff *m) {
    struct lose *l = &t->lose;
    unsigned open = l->nwant;
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) open += l->sent[i].number != 0;
    if (open >= HANDOFF_CHUNKS || m->chunk == 0) return false;
    struct lose_want *w = &l->want[l->nwant++];
    *w = (struct lose_want){.number = m->chunk,
                            .cover = {.usable = true,
                                      .version = m->version,
                                      .epoch = m->epoch,
                                      .floor_epoch = m->floor_epoch,
                                      .retire_version = m->retire_version,
                                      .n = m->nseen}};
    for (unsigned i = 0; i < m->nseen; i++)
        w->cover.seen[i] = (struct cover_seen){m->seen_origin[i], m->seen_sequence[i]};
    serve(h, now_ns);
    return true;
}

/* The receiver has dealt with all of a chunk: its items are nobody's here any more. */
static bool on_ack(struct handoff *h, uint64_t now_ns, struct transfer *t, uint64_t number) {
    struct lose *l = &t->lose;
    struct moved_item it;
    if (number != 0 && number == l->end) {
        handoff_finish(h, t, HANDOFF_DONE, false);
        return true;
    }
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) {
        struct lose_chunk *c = &l->sent[i];
        if (number == 0 || c->number != number) continue;
        for (size_t at = 0, n; at < c->n && (n = moved_item_read(c->bytes + at, c->n - at, &it)) > 0; at += n) {
            if (!moved_item_is_last(&it)) continue;
            h->cfg.store.drop(h->cfg.store.arg, &it);
            h->counters.sent++;
            t->items++;
        }
        free(c->bytes);
        *c = (struct lose_chunk){0};
        l->held = false;
        serve(h, now_ns);
        return true;
    }
    return false;
}

void handoff_lose_message(struct handoff *h, uint64_t now_ns, struct transfer *t, const struct peer_handoff *m) {
    bool sense = false;
    if (t->state == TRANSFER_MOVING && m->kind == PEER_HANDOFF_NEXT) sense = on_next(h, now_ns, t, m);
    if (t->state == TRANSFER_MOVING && m->kind == PEER_HANDOFF_ACK) sense = on_ack(h, now_ns, t, m->chunk);
    if (!sense) handoff_finish(h, t, HANDOFF_BROKEN, true);
}

/* ------------------------------------------------------------------ time */

static uint64_t deadline_of(const struct transfer *t) {
    return t->heard_ns + (t->state == TRANSFER_IDLE ? HANDOFF_BEGIN_MS : HANDOFF_SILENT_MS) * HANDOFF_MS;
}

void handoff_lose_time(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    if (now_ns >= deadline_of(t))
        handoff_finish(h, t, t->state == TRANSFER_IDLE ? HANDOFF_NOT_READY : HANDOFF_SILENT, true);
    else
        serve(h, now_ns);
}

uint64_t handoff_lose_next_ns(const struct handoff *h, const struct transfer *t) {
    const uint64_t deadline = deadline_of(t);
    const bool waits = t->state == TRANSFER_MOVING && t->lose.nwant > 0 && !t->lose.held;
    return waits && h->send_ns < deadline ? h->send_ns : deadline;
}
