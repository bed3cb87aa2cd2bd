/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A transfer as the donor sees it: answers BEGIN when its workers go by the ring, then each question for a chunk, as
 * fast as the rate allows; drops what is acknowledged. A chunk is one message. */
#include <stdlib.h>
#include <string.h>

#include "cluster/handoff_state.h"

/* What is read often goes first: how often an item must have been read lately, by pass. */
static const unsigned pass_freq[HANDOFF_PASSES] = {4, 1, 0};

void handoff_lose_fini(struct transfer *t) {
    struct lose *l = &t->lose;
    struct lose_chunk *next;
    for (struct lose_chunk *c = l->dropping; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) free(l->sent[i]);
    free(l->making);
    free(l->keys);
    *l = (struct lose){0};
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

enum search { FOUND, LATER, ENOUGH, NOTHING };

static bool all_dropped(const struct lose *l) {
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++)
        if (l->sent[i] != NULL) return false;
    return l->dropping == NULL;
}

/* Looks for a key to send; goes on LATER after a step of the scan. At the end of a pass the chunk is ENOUGH as it is,
 * and before the next one all that was sent is acknowledged and dropped: else that pass would show it again. */
static enum search find_key(struct handoff *h, struct transfer *t, bool *scanned) {
    struct lose *l = &t->lose;
    while (l->key == l->nkeys) {
        if (l->pass == HANDOFF_PASSES) return NOTHING;
        if (l->cursor.done) {
            if (l->making->n > 0) return ENOUGH;
            l->held = !all_dropped(l);
            if (l->held) return LATER;
            l->pass++;
            l->cursor = (struct handoff_cursor){0};
            continue;
        }
        if (*scanned) return LATER;
        *scanned = true;
        l->key = 0;
        l->nkeys =
            h->cfg.store.scan(h->cfg.store.arg, t->part.member, &l->cursor, pass_freq[l->pass], l->keys, HANDOFF_KEYS);
    }
    return FOUND;
}

/* Where a record is added. */
struct adding {
    struct lose_chunk *chunk;
    uint64_t shown_to; /* byte of its value up to which the record goes */
    bool last;         /* it goes to the end; or the item is gone */
    bool not_now;      /* it was not added: it would be cut, and is whole in a chunk of its own */
};

static void show(void *to, const struct moved_item *it) {
    struct adding *a = to;
    struct lose_chunk *c = a->chunk;
    const bool cut = it->at == 0 && it->nvalue < it->size;
    a->not_now = cut && c->n > 0 && it->size <= PEER_HANDOFF_ITEMS_MAX - MOVED_ITEM_REST_MAX;
    if (a->not_now) return;
    c->n += moved_item_pack(it, c->bytes + c->n);
    a->shown_to = it->at + it->nvalue;
    a->last = moved_item_is_last(it);
}

/* Adds the record of the key that is next, or a part of it. False: the chunk is full. */
static bool add(struct handoff *h, struct transfer *t) {
    struct lose *l = &t->lose;
    struct adding a = {.chunk = l->making, .last = true};
    const size_t room = PEER_HANDOFF_ITEMS_MAX - l->making->n;
    if (room < MOVED_ITEM_REST_MAX + HANDOFF_LEAST_PART) return false;
    (void)h->cfg.store.read(h->cfg.store.arg, &l->keys[l->key], l->value_at, (uint32_t)(room - MOVED_ITEM_REST_MAX),
                            show, &a);
    if (a.not_now) return false;
    l->value_at = a.last ? 0 : a.shown_to;
    l->key += a.last;
    return true;
}

/* ------------------------------------------------------------------ answering */

static void charge(struct handoff *h, uint64_t now_ns, size_t bytes) {
    const uint64_t earliest = now_ns - HANDOFF_LATE_MS * HANDOFF_MS;
    if (now_ns > HANDOFF_LATE_MS * HANDOFF_MS && h->send_ns < earliest) h->send_ns = earliest;
    h->send_ns += bytes * UINT64_C(1000000000) / h->cfg.rate;
}

/* What the receiver wanted first is answered. */
static void answered(struct lose *l) {
    l->want[0] = l->want[--l->nwant];
    l->making = NULL;
}

/* Begins with what the receiver wanted first. False: it must not have it, and has been told so; or there is no memory.
 * What this node has applied now it has applied for good, so the chunk may take its time. */
static bool begin_chunk(struct handoff *h, struct transfer *t) {
    struct lose *l = &t->lose;
    struct cover own;
    const uint64_t number = l->want[0].number;
    h->cfg.events.cover(h->cfg.events.arg, &own);
    if (!cover_covers(&own, &l->want[0].cover)) {
        answered(l);
        handoff_send(h, t, &(struct peer_handoff){.kind = PEER_HANDOFF_BEHIND, .chunk = number});
        return false;
    }
    struct lose_chunk *c = l->making = malloc(sizeof *c);
    if (c == NULL) {
        handoff_finish(h, t, HANDOFF_BROKEN, true);
        return false;
    }
    c->next = NULL;
    c->number = number;
    c->n = c->at = 0;
    c->owed = false;
    return true;
}

/* Sends the chunk, and keeps it until it is acknowledged. */
static void send_chunk(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct lose *l = &t->lose;
    struct lose_chunk *c = l->making;
    unsigned i = 0;
    while (l->sent[i] != NULL) i++; /* on_next has seen to it that one is free */
    l->sent[i] = c;
    answered(l);
    charge(h, now_ns, c->n);
    t->bytes += c->n;
    h->counters.sent_bytes += c->n;
    handoff_send(h, t,
                 &(struct peer_handoff){
                     .kind = PEER_HANDOFF_ITEMS, .chunk = c->number, .items = c->bytes, .nitems = c->n, .last = true});
}

static void send_end(struct handoff *h, struct transfer *t) {
    struct lose *l = &t->lose;
    const uint64_t number = l->making->number;
    free(l->making);
    answered(l);
    if (l->end == 0) l->end = number;
    handoff_send(h, t, &(struct peer_handoff){.kind = PEER_HANDOFF_END, .chunk = number});
}

/* Goes on with the chunk, and sends it once it is full or there is no more to come. */
static void make(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    bool scanned = false;
    for (unsigned i = 0; i < HANDOFF_STEP_ITEMS; i++) {
        const enum search s = find_key(h, t, &scanned);
        if (s == LATER) return;
        if (s == FOUND && add(h, t)) continue;
        if (s == NOTHING && t->lose.making->n == 0)
            send_end(h, t);
        else
            send_chunk(h, now_ns, t);
        return;
    }
}

/* ------------------------------------------------------------------ dropping */

/* The receiver has dealt with these: they are nobody's here any more. */
static void drop_some(struct handoff *h, struct transfer *t) {
    struct lose *l = &t->lose;
    struct lose_chunk *c = l->dropping;
    struct moved_item it;
    size_t n = 0;
    for (unsigned i = 0; i < HANDOFF_STEP_ITEMS && c->at < c->n; i++, c->at += n) {
        n = moved_item_read(c->bytes + c->at, c->n - c->at, &it);
        if (!moved_item_is_last(&it)) continue;
        h->cfg.store.drop(h->cfg.store.arg, &it);
        h->counters.sent++;
        t->items++;
    }
    if (c->at < c->n) return;
    l->dropping = c->next;
    l->held = false;
    free(c);
}

/* Whether a chunk is wanted, and may be gone on with as soon as the rate allows. */
static bool is_wanted(const struct lose *l) {
    return l->nwant > 0 && !l->held;
}

bool handoff_lose_step(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    struct lose *l = &t->lose;
    if (l->dropping != NULL) {
        drop_some(h, t);
        return true;
    }
    if (!is_wanted(l) || now_ns < h->send_ns) return false;
    if (l->making != NULL || begin_chunk(h, t)) make(h, now_ns, t);
    return true;
}

/* ------------------------------------------------------------------ messages */

static bool on_next(struct transfer *t, const struct peer_handoff *m) {
    struct lose *l = &t->lose;
    unsigned open = l->nwant;
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) open += l->sent[i] != NULL;
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
    return true;
}

/* The receiver has dealt with all of a chunk, or has heard that there is no more. */
static bool on_ack(struct handoff *h, struct transfer *t, uint64_t number) {
    struct lose *l = &t->lose;
    if (number != 0 && number == l->end) {
        handoff_finish(h, t, HANDOFF_DONE, false);
        return true;
    }
    for (unsigned i = 0; i < HANDOFF_CHUNKS; i++) {
        struct lose_chunk *c = l->sent[i];
        if (c == NULL || c->number != number) continue;
        c->next = l->dropping;
        l->dropping = c;
        l->sent[i] = NULL;
        return true;
    }
    return false;
}

void handoff_lose_message(struct handoff *h, struct transfer *t, const struct peer_handoff *m) {
    bool sense = false;
    if (t->state == TRANSFER_MOVING && m->kind == PEER_HANDOFF_NEXT) sense = on_next(t, m);
    if (t->state == TRANSFER_MOVING && m->kind == PEER_HANDOFF_ACK) sense = on_ack(h, t, m->chunk);
    if (!sense) handoff_finish(h, t, HANDOFF_BROKEN, true);
}

/* ------------------------------------------------------------------ time */

static uint64_t deadline_of(const struct transfer *t) {
    return t->heard_ns + (t->state == TRANSFER_IDLE ? HANDOFF_BEGIN_MS : HANDOFF_SILENT_MS) * HANDOFF_MS;
}

void handoff_lose_time(struct handoff *h, uint64_t now_ns, struct transfer *t) {
    if (now_ns >= deadline_of(t))
        handoff_finish(h, t, t->state == TRANSFER_IDLE ? HANDOFF_NOT_READY : HANDOFF_SILENT, true);
}

uint64_t handoff_lose_next_ns(const struct handoff *h, const struct transfer *t) {
    const uint64_t deadline = deadline_of(t);
    if (t->state != TRANSFER_MOVING) return deadline;
    if (t->lose.dropping != NULL) return 0;
    return is_wanted(&t->lose) && h->send_ns < deadline ? h->send_ns : deadline;
}
