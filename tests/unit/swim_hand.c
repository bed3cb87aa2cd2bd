/* SPDX-License-Identifier: BSD-3-Clause */
#include "swim_hand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define TEXTS 64

struct cluster_id hand_id(uint32_t number) {
    struct cluster_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

static uint32_t number_of(const struct cluster_id *id) {
    uint32_t number;
    memcpy(&number, id->bytes, sizeof number);
    return number;
}

struct peer_swim_update hand_update(uint32_t number, uint64_t incarnation, enum peer_swim_state state) {
    static char texts[TEXTS][2][24]; /* the last few stay valid */
    static unsigned turn;
    char(*text)[24] = texts[turn++ % TEXTS];
    snprintf(text[0], sizeof text[0], "c%u:1", number);
    snprintf(text[1], sizeof text[1], "h%u:2", number);
    return (struct peer_swim_update){.id = hand_id(number),
                                     .boot = 100,
                                     .incarnation = incarnation,
                                     .state = state,
                                     .name = text[0],
                                     .address = text[1]};
}

void hand_open(struct hand *h) {
    *h = (struct hand){.now = 1000 * SECOND, .outs = calloc(HAND_OUTS, sizeof *h->outs)};
    CHECK(h->outs != NULL);
    struct swim_config c = {.id = hand_id(1), .boot = 100, .name = "c1:1", .address = "h1:2", .seed = 7};
    swim_timing_default(&c.timing);
    h->s = swim_new(&c, h->now);
    CHECK(h->s != NULL);
}

void hand_close(struct hand *h) {
    swim_free(h->s);
    free(h->outs);
}

void hand_clear(struct hand *h) {
    h->nouts = 0;
}

static void emit(void *arg, const struct swim_out *out) {
    struct hand *h = arg;
    const struct members *m = swim_members(h->s);
    const struct member *subject = member_at(m, out->slot), *other = member_at(m, out->other);
    struct hand_out *o = &h->outs[h->nouts++ % HAND_OUTS];
    *o = (struct hand_out){.kind = out->kind,
                           .change = out->change,
                           .subject = subject != NULL ? number_of(&subject->id) : 0,
                           .other = other != NULL ? number_of(&other->id) : 0,
                           .link = out->link,
                           .boot = out->boot,
                           .at = h->now,
                           .number = out->number,
                           .reply = out->reply};
    if (out->address != NULL) snprintf(o->address, sizeof o->address, "%s", out->address);
    if (out->kind != SWIM_OUT_DATAGRAM) return;
    o->datagram = *out->datagram;
    CHECK(subject != NULL);
}

void hand_input(struct hand *h, const struct swim_in *in) {
    const struct swim_sink sink = {h, emit};
    swim_input(h->s, h->now, in, &sink);
}

static void datagram(struct hand *h, uint32_t from, const struct peer_swim *m) {
    const struct member *known = hand_member(h, from);
    hand_input(h, &(struct swim_in){.kind = SWIM_IN_DATAGRAM,
                                    .from = hand_id(from),
                                    .boot = known != NULL ? known->boot : 100,
                                    .datagram = m});
}

void hand_datagram(struct hand *h, uint32_t from, enum peer_swim_kind kind, uint32_t number, uint32_t target) {
    const struct peer_swim m = {.kind = kind, .number = number, .target = hand_id(target)};
    datagram(h, from, &m);
}

void hand_gossip(struct hand *h, uint32_t from, const struct peer_swim_update *u) {
    const struct peer_swim m = {.kind = PEER_SWIM_GOSSIP, .nupdates = 1, .updates = {*u}};
    datagram(h, from, &m);
}

void hand_push(struct hand *h, uint32_t from, const struct peer_swim_update *u) {
    const struct peer_sync part = {.last = true, .nupdates = 1, .updates = u};
    hand_input(h,
               &(struct swim_in){.kind = SWIM_IN_SYNC, .from = hand_id(from), .boot = 100, .link = 7, .sync = &part});
}

void hand_join(struct hand *h, uint32_t n) {
    for (uint32_t i = 2; i <= n; i++) {
        const struct peer_swim_update u = hand_update(i, 0, PEER_SWIM_ALIVE);
        const struct peer_sync part = {.reply = true, .last = i == n, .nupdates = 1, .updates = &u};
        hand_input(h, &(struct swim_in){.kind = SWIM_IN_SYNC, .from = hand_id(2), .boot = 100, .sync = &part});
    }
}

void hand_run(struct hand *h, uint64_t ns, bool answered) {
    const uint64_t end = h->now + ns;
    while (swim_next_ns(h->s) <= end) {
        const unsigned before = h->nouts;
        if (swim_next_ns(h->s) > h->now) h->now = swim_next_ns(h->s);
        hand_input(h, &(struct swim_in){.kind = SWIM_IN_TIME});
        for (unsigned i = before; answered && i < h->nouts; i++) {
            const struct hand_out o = h->outs[i % HAND_OUTS];
            if (o.kind == SWIM_OUT_DATAGRAM && o.datagram.kind == PEER_SWIM_PING)
                hand_datagram(h, o.subject, PEER_SWIM_ACK, o.datagram.number, 0);
        }
    }
    h->now = end;
}

unsigned hand_count(const struct hand *h, enum swim_out_kind kind, enum swim_change change, uint32_t subject) {
    unsigned n = 0;
    CHECK(h->nouts <= HAND_OUTS);
    for (unsigned i = 0; i < h->nouts; i++) {
        const struct hand_out *o = &h->outs[i];
        n += o->kind == kind && (kind != SWIM_OUT_CHANGED || o->change == change) &&
             (subject == 0 || o->subject == subject);
    }
    return n;
}

unsigned hand_changes(const struct hand *h, enum swim_change change, uint32_t subject) {
    return hand_count(h, SWIM_OUT_CHANGED, change, subject);
}

unsigned hand_datagrams(const struct hand *h, enum peer_swim_kind kind, uint32_t to) {
    unsigned n = 0;
    CHECK(h->nouts <= HAND_OUTS);
    for (unsigned i = 0; i < h->nouts; i++)
        n += h->outs[i].kind == SWIM_OUT_DATAGRAM && h->outs[i].datagram.kind == kind &&
             (to == 0 || h->outs[i].subject == to);
    return n;
}

const struct hand_out *hand_last(const struct hand *h, enum swim_out_kind kind, uint32_t subject) {
    CHECK(h->nouts <= HAND_OUTS);
    for (unsigned i = h->nouts; i-- > 0;)
        if (h->outs[i].kind == kind && (subject == 0 || h->outs[i].subject == subject)) return &h->outs[i];
    return NULL;
}

const struct peer_swim_update *hand_told(const struct hand *h, uint32_t subject) {
    const struct cluster_id id = hand_id(subject);
    CHECK(h->nouts <= HAND_OUTS);
    for (unsigned i = h->nouts; i-- > 0;) {
        const struct hand_out *o = &h->outs[i];
        for (unsigned k = 0; o->kind == SWIM_OUT_DATAGRAM && k < o->datagram.nupdates; k++)
            if (cluster_id_equal(&o->datagram.updates[k].id, &id)) return &o->datagram.updates[k];
    }
    return NULL;
}

const struct member *hand_member(const struct hand *h, uint32_t number) {
    const struct cluster_id id = hand_id(number);
    const struct members *m = swim_members(h->s);
    return member_at(m, member_find(m, &id));
}
