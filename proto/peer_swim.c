/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_swim.h"

#include <string.h>

#include "proto/peer.pb-c.h"

/* Bytes of a number as a varint. */
static size_t varint_bytes(uint64_t v) {
    size_t n = 1;
    for (; v >= 128; v >>= 7) n++;
    return n;
}

/* Bytes of a field with n bytes in it; absent when empty. */
static size_t field_bytes(size_t n) {
    return n == 0 ? 0 : 1 + varint_bytes(n) + n;
}

size_t peer_swim_update_bytes(const struct peer_swim_update *u) {
    const size_t inner = field_bytes(sizeof u->id) + 1 + varint_bytes(u->boot) + 1 + varint_bytes(u->incarnation) + 2 +
                         1 + varint_bytes(u->ended_s) + field_bytes(u->naccusers * sizeof u->id) +
                         field_bytes(strlen(u->name)) + field_bytes(strlen(u->address));
    return field_bytes(inner);
}

/* ------------------------------------------------------------------ packing */

static void update_pack(const struct peer_swim_update *u, Peer__SwimUpdate *to) {
    peer__swim_update__init(to);
    to->id = peer_id(&u->id);
    to->boot = u->boot;
    to->incarnation = u->incarnation;
    to->state = u->state;
    to->accusers = peer_bytes(u->accusers, u->naccusers * sizeof u->accusers[0]);
    to->name = peer_text(u->name);
    to->address = peer_text(u->address);
    to->ended_s = u->ended_s;
}

/* The updates as the generated code wants them; NULL: the arena is full. */
static Peer__SwimUpdate **updates_pack(const struct peer_swim_update *updates, unsigned n, struct peer_arena *scratch) {
    Peer__SwimUpdate **all = peer_arena_alloc(scratch, (n + 1) * sizeof(Peer__SwimUpdate *));
    Peer__SwimUpdate *each = peer_arena_alloc(scratch, (n + 1) * sizeof(Peer__SwimUpdate));
    if (all == NULL || each == NULL) return NULL;
    for (unsigned i = 0; i < n; i++) {
        update_pack(&updates[i], &each[i]);
        all[i] = &each[i];
    }
    return all;
}

size_t peer_swim_pack(const struct peer_swim *m, struct peer_arena *scratch, uint8_t *to, size_t size) {
    Peer__Swim swim = PEER__SWIM__INIT;
    Peer__Datagram d = PEER__DATAGRAM__INIT;
    d.lowest = PEER_WIRE_LOWEST;
    d.highest = PEER_WIRE_HIGHEST;
    d.swim = &swim;
    swim.kind = m->kind;
    swim.number = m->number;
    swim.target = peer_id(&m->target);
    swim.meta = peer_bytes(m->meta, m->nmeta);
    swim.n_updates = m->nupdates;
    swim.updates = updates_pack(m->updates, m->nupdates, scratch);
    return swim.updates != NULL ? peer_datagram_pack(&d, to, size) : 0;
}

size_t peer_sync_pack(const struct peer_sync *m, struct peer_arena *scratch, uint8_t *to, size_t size) {
    Peer__Sync sync = PEER__SYNC__INIT;
    Peer__Control c = PEER__CONTROL__INIT;
    c.payload_case = PEER__CONTROL__PAYLOAD_SYNC;
    c.sync = &sync;
    sync.reply = m->reply;
    sync.last = m->last;
    sync.n_updates = m->nupdates;
    sync.updates = updates_pack(m->updates, m->nupdates, scratch);
    return sync.updates != NULL ? peer_control_pack(&c, to, size) : 0;
}

/* ------------------------------------------------------------------ reading */

/* A text of at most max bytes, copied into the arena; NULL: longer, a byte that no name has, or the arena is full. */
static const char *text_read(const ProtobufCBinaryData *from, size_t max, struct peer_arena *a) {
    if (from->len == 0) return "";
    char *text = from->len <= max ? peer_arena_alloc(a, from->len + 1) : NULL;
    return text != NULL && peer_text_read(from, text, from->len + 1) ? text : NULL;
}

static bool update_read(const Peer__SwimUpdate *u, struct peer_arena *a, struct peer_swim_update *out) {
    const size_t id_bytes = sizeof out->id;
    *out = (struct peer_swim_update){
        .boot = u->boot, .incarnation = u->incarnation, .state = (enum peer_swim_state)u->state, .ended_s = u->ended_s};
    if (u->boot == 0 || u->boot > PEER_SWIM_NUMBER_MAX || u->incarnation > PEER_SWIM_NUMBER_MAX) return false;
    if (!peer_id_read(&u->id, &out->id) || cluster_id_is_zero(&out->id)) return false;
    if (u->accusers.len % id_bytes != 0 || u->accusers.len > sizeof out->accusers) return false;
    out->naccusers = (unsigned)(u->accusers.len / id_bytes);
    if (u->accusers.len > 0) memcpy(out->accusers, u->accusers.data, u->accusers.len);
    out->name = text_read(&u->name, PEER_TEXT_MAX, a);
    out->address = text_read(&u->address, PEER_ADDRESS_MAX, a);
    return out->name != NULL && out->address != NULL && (out->name[0] == '\0') == (out->address[0] == '\0');
}

/* Reads n updates into `out`, and how many of them have a state that is known; false: one breaks a bound. */
static bool updates_read(Peer__SwimUpdate *const *updates, size_t n, struct peer_arena *a, struct peer_counts *counts,
                         struct peer_swim_update *out, unsigned *read) {
    *read = 0;
    for (size_t i = 0; i < n; i++) {
        if (updates[i]->state < PEER_SWIM_ALIVE || updates[i]->state > PEER_SWIM_LEFT) {
            counts->unknown_kinds++;
            continue;
        }
        if (!update_read(updates[i], a, &out[*read])) return false;
        ++*read;
    }
    return true;
}

bool peer_swim_read(const Peer__Datagram *d, struct peer_arena *a, struct peer_counts *counts, struct peer_swim *out) {
    const Peer__Swim *m = d->swim;
    if (m == NULL) return false;
    if (m->n_updates > PEER_SWIM_UPDATES_MAX || m->meta.len > sizeof out->meta) return false;
    const bool known = m->kind >= PEER_SWIM_PING && m->kind <= PEER_SWIM_OTHER;
    if (!known) counts->unknown_kinds++;
    out->kind = known ? (enum peer_swim_kind)m->kind : PEER_SWIM_UNKNOWN;
    out->number = m->number;
    out->nmeta = (unsigned)m->meta.len;
    if (m->meta.len > 0) memcpy(out->meta, m->meta.data, m->meta.len);
    return peer_id_read(&m->target, &out->target) &&
           updates_read(m->updates, m->n_updates, a, counts, out->updates, &out->nupdates);
}

bool peer_sync_read(const Peer__Control *c, struct peer_arena *a, struct peer_counts *counts, struct peer_sync *out) {
    *out = (struct peer_sync){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_SYNC) return false;
    const Peer__Sync *m = c->sync;
    if (m->n_updates > PEER_SYNC_UPDATES_MAX) return false;
    struct peer_swim_update *updates = peer_arena_alloc(a, (m->n_updates + 1) * sizeof *updates);
    if (updates == NULL) return false;
    out->reply = m->reply;
    out->last = m->last;
    out->updates = updates;
    return updates_read(m->updates, m->n_updates, a, counts, updates, &out->nupdates);
}
