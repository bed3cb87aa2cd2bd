/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_purge.h"

#include <string.h>

#include "proto/peer.pb-c.h"

#define SEEN_BYTES 20
#define RUN_BYTES 28
#define LACK_BYTES 12

/* ------------------------------------------------------------------ numbers in little-endian */

static uint8_t *put(uint8_t *to, uint64_t v, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++) to[i] = (uint8_t)(v >> 8 * i);
    return to + bytes;
}

static uint64_t get(const uint8_t **from, unsigned bytes) {
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)(*from)[i] << 8 * i;
    *from += bytes;
    return v;
}

/* ------------------------------------------------------------------ packing */

/* Room for n records; false: the arena is full. An empty array needs none. */
static bool make_room(struct peer_arena *a, unsigned n, unsigned bytes, ProtobufCBinaryData *out) {
    *out = (ProtobufCBinaryData){0};
    if (n == 0) return true;
    out->data = peer_arena_alloc(a, (size_t)n * bytes);
    out->len = (size_t)n * bytes;
    return out->data != NULL;
}

static bool pack_arrays(const struct peer_purge *m, struct peer_arena *scratch, Peer__Purge *p) {
    if (!make_room(scratch, m->nvector, SEEN_BYTES, &p->vector) || !make_room(scratch, m->nruns, RUN_BYTES, &p->runs) ||
        !make_room(scratch, m->nlacks, LACK_BYTES, &p->lacks))
        return false;
    uint8_t *to = p->vector.data;
    for (unsigned i = 0; i < m->nvector; i++)
        to = put(put(put(to, m->vector[i].origin, 4), m->vector[i].sequence, 8), m->vector[i].star, 8);
    to = p->runs.data;
    for (unsigned i = 0; i < m->nruns; i++) {
        const struct peer_purge_run *r = &m->runs[i];
        to = put(put(to, r->via.number, 4), r->via.counter, 8);
        to = put(put(put(to, r->origin, 4), r->sequence, 8), r->count, 4);
    }
    to = p->lacks.data;
    for (unsigned i = 0; i < m->nlacks; i++) to = put(put(to, m->lacks[i].member, 4), m->lacks[i].sequence, 8);
    return true;
}

size_t peer_purge_pack(const struct peer_purge *m, struct peer_arena *scratch, uint8_t *to, size_t size) {
    Peer__Purge p = PEER__PURGE__INIT;
    Peer__Control c = PEER__CONTROL__INIT;
    p.kind = (uint32_t)m->kind;
    p.flags = m->flags;
    p.version = m->version;
    p.epoch = m->epoch;
    p.origin = m->origin;
    p.stream = m->stream;
    p.sequence = m->sequence;
    p.star = m->star;
    p.boot = m->boot;
    p.active_epoch = m->active_epoch;
    p.members = m->members;
    p.events = peer_bytes(m->events, m->events_bytes);
    if (!pack_arrays(m, scratch, &p)) return 0;
    c.payload_case = PEER__CONTROL__PAYLOAD_PURGE;
    c.purge = &p;
    return peer_control_pack(&c, to, size);
}

/* ------------------------------------------------------------------ reading */

/* How many records an array has. False: no whole number of them, or more than max. */
static bool count(const ProtobufCBinaryData *d, unsigned bytes, unsigned max, unsigned *n) {
    if (d->len % bytes != 0 || d->len / bytes > max) return false;
    *n = (unsigned)(d->len / bytes);
    return true;
}

static bool read_vector(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    if (!count(&p->vector, SEEN_BYTES, PEER_PURGE_VECTOR_MAX, &out->nvector)) return false;
    struct peer_purge_seen *to = peer_arena_alloc(a, out->nvector * sizeof *to + 1);
    if (to == NULL) return false;
    out->vector = to;
    const uint8_t *from = p->vector.data;
    for (unsigned i = 0; i < out->nvector; i++) {
        to[i].origin = (uint32_t)get(&from, 4);
        to[i].sequence = get(&from, 8);
        to[i].star = get(&from, 8);
    }
    return true;
}

static bool read_runs(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    if (!count(&p->runs, RUN_BYTES, PEER_PURGE_RUNS_MAX, &out->nruns)) return false;
    struct peer_purge_run *to = peer_arena_alloc(a, out->nruns * sizeof *to + 1);
    if (to == NULL) return false;
    out->runs = to;
    const uint8_t *from = p->runs.data;
    for (unsigned i = 0; i < out->nruns; i++) {
        to[i].via.number = (uint32_t)get(&from, 4);
        to[i].via.counter = get(&from, 8);
        to[i].origin = (uint32_t)get(&from, 4);
        to[i].sequence = get(&from, 8);
        to[i].count = (uint32_t)get(&from, 4);
    }
    return true;
}

static bool read_lacks(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    if (!count(&p->lacks, LACK_BYTES, PEER_PURGE_LACKS_MAX, &out->nlacks)) return false;
    struct peer_purge_lack *to = peer_arena_alloc(a, out->nlacks * sizeof *to + 1);
    if (to == NULL) return false;
    out->lacks = to;
    const uint8_t *from = p->lacks.data;
    for (unsigned i = 0; i < out->nlacks; i++) {
        to[i].member = (uint32_t)get(&from, 4);
        to[i].sequence = get(&from, 8);
    }
    return true;
}

bool peer_purge_read(const Peer__Control *c, struct peer_arena *a, struct peer_counts *counts, struct peer_purge *out) {
    *out = (struct peer_purge){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_PURGE) return false;
    const Peer__Purge *p = c->purge;
    if (p->kind == 0 || p->kind >= PEER_PURGE_KINDS) {
        counts->unknown_kinds++;
        return false;
    }
    out->kind = (enum peer_purge_kind)p->kind;
    out->flags = p->flags;
    out->version = p->version;
    out->epoch = p->epoch;
    out->origin = p->origin;
    out->stream = p->stream;
    out->sequence = p->sequence;
    out->star = p->star;
    out->boot = p->boot;
    out->active_epoch = p->active_epoch;
    out->members = p->members;
    out->events = p->events.data;
    out->events_bytes = p->events.len;
    return out->events_bytes <= PEER_PURGE_EVENTS_MAX && read_vector(p, a, out) && read_runs(p, a, out) &&
           read_lacks(p, a, out);
}
