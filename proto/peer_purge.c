/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_purge.h"

#include <string.h>

#include "proto/peer.pb-c.h"

/* ------------------------------------------------------------------ packing */

/* A list of n numbers of the arena in a field of the message. False: the arena is full. */
#define LIST(field, n)                                                                                                 \
    ((n) == 0 || ((p.field = peer_arena_alloc(scratch, (n) * sizeof *p.field)) != NULL && (p.n_##field = (n))))

size_t peer_purge_pack(const struct peer_purge *m, struct peer_arena *scratch, uint8_t *to, size_t size) {
    Peer__Purge p = PEER__PURGE__INIT;
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
    p.everything = m->everything;
    p.events = peer_bytes(m->events, m->events_bytes);
    if (!LIST(vector_origin, m->nvector) || !LIST(vector_sequence, m->nvector) || !LIST(vector_star, m->nvector) ||
        !LIST(run_number, m->nruns) || !LIST(run_counter, m->nruns) || !LIST(run_origin, m->nruns) ||
        !LIST(run_sequence, m->nruns) || !LIST(run_count, m->nruns) || !LIST(lack_member, m->nlacks) ||
        !LIST(lack_sequence, m->nlacks))
        return 0;
    for (unsigned i = 0; i < m->nvector; i++) {
        p.vector_origin[i] = m->vector[i].origin;
        p.vector_sequence[i] = m->vector[i].sequence;
        p.vector_star[i] = m->vector[i].star;
    }
    for (unsigned i = 0; i < m->nruns; i++) {
        p.run_number[i] = m->runs[i].via.number;
        p.run_counter[i] = m->runs[i].via.counter;
        p.run_origin[i] = m->runs[i].origin;
        p.run_sequence[i] = m->runs[i].sequence;
        p.run_count[i] = m->runs[i].count;
    }
    for (unsigned i = 0; i < m->nlacks; i++) {
        p.lack_member[i] = m->lacks[i].member;
        p.lack_sequence[i] = m->lacks[i].sequence;
    }
    Peer__Control c = PEER__CONTROL__INIT;
    c.payload_case = PEER__CONTROL__PAYLOAD_PURGE;
    c.purge = &p;
    return peer_control_pack(&c, to, size);
}

/* ------------------------------------------------------------------ reading */

static bool read_vector(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    const size_t n = p->n_vector_origin;
    if (n > PEER_PURGE_VECTOR_MAX || p->n_vector_sequence != n || p->n_vector_star != n) return false;
    struct peer_purge_seen *v = n > 0 ? peer_arena_alloc(a, n * sizeof *v) : NULL;
    if (n > 0 && v == NULL) return false;
    for (size_t i = 0; i < n; i++)
        v[i] = (struct peer_purge_seen){p->vector_origin[i], p->vector_sequence[i], p->vector_star[i]};
    out->vector = v;
    out->nvector = (unsigned)n;
    return true;
}

static bool read_runs(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    const size_t n = p->n_run_number;
    if (n > PEER_PURGE_RUNS_MAX || p->n_run_counter != n || p->n_run_origin != n || p->n_run_sequence != n ||
        p->n_run_count != n)
        return false;
    struct peer_purge_run *r = n > 0 ? peer_arena_alloc(a, n * sizeof *r) : NULL;
    if (n > 0 && r == NULL) return false;
    for (size_t i = 0; i < n; i++)
        r[i] = (struct peer_purge_run){
            {p->run_number[i], p->run_counter[i]}, p->run_origin[i], p->run_sequence[i], p->run_count[i]};
    out->runs = r;
    out->nruns = (unsigned)n;
    return true;
}

static bool read_lacks(const Peer__Purge *p, struct peer_arena *a, struct peer_purge *out) {
    const size_t n = p->n_lack_member;
    if (n > PEER_PURGE_LACKS_MAX || p->n_lack_sequence != n) return false;
    struct peer_purge_lack *l = n > 0 ? peer_arena_alloc(a, n * sizeof *l) : NULL;
    if (n > 0 && l == NULL) return false;
    for (size_t i = 0; i < n; i++) l[i] = (struct peer_purge_lack){p->lack_member[i], p->lack_sequence[i]};
    out->lacks = l;
    out->nlacks = (unsigned)n;
    return true;
}

bool peer_purge_read(const Peer__Control *c, struct peer_arena *a, struct peer_purge *out) {
    *out = (struct peer_purge){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_PURGE) return false;
    const Peer__Purge *p = c->purge;
    if (p->kind == 0 || p->kind >= PEER_PURGE_KINDS || p->events.len > PEER_PURGE_EVENTS_MAX) return false;
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
    out->everything = p->everything;
    out->events = p->events.data;
    out->events_bytes = p->events.len;
    return read_vector(p, a, out) && read_runs(p, a, out) && read_lacks(p, a, out);
}
