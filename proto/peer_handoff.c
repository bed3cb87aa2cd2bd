/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_handoff.h"

#include "proto/peer.pb-c.h"

size_t peer_handoff_pack(const struct peer_handoff *m, uint8_t *to, size_t size) {
    Peer__Handoff h = PEER__HANDOFF__INIT;
    h.kind = (uint32_t)m->kind;
    h.ring_version = m->ring_version;
    h.digest = m->digest;
    h.items_expected = m->items_expected;
    h.chunk = m->chunk;
    h.version = m->version;
    h.epoch = m->epoch;
    h.floor_epoch = m->floor_epoch;
    h.retire_version = m->retire_version;
    h.n_seen_origin = h.n_seen_sequence = m->nseen;
    h.seen_origin = (uint64_t *)(uintptr_t)m->seen_origin; /* protobuf-c only reads them */
    h.seen_sequence = (uint64_t *)(uintptr_t)m->seen_sequence;
    h.items = peer_bytes(m->items, m->nitems);
    h.last = m->last;
    h.reason = m->reason;
    Peer__Control c = PEER__CONTROL__INIT;
    c.payload_case = PEER__CONTROL__PAYLOAD_HANDOFF;
    c.handoff = &h;
    return peer_control_pack(&c, to, size);
}

bool peer_handoff_read(const Peer__Control *c, struct peer_handoff *out) {
    *out = (struct peer_handoff){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_HANDOFF) return false;
    const Peer__Handoff *h = c->handoff;
    if (h->kind == 0 || h->kind >= PEER_HANDOFF_KINDS || h->items.len > PEER_HANDOFF_ITEMS_MAX ||
        h->n_seen_origin > PEER_PURGE_VECTOR_MAX || h->n_seen_sequence != h->n_seen_origin)
        return false;
    *out = (struct peer_handoff){
        .kind = (enum peer_handoff_kind)h->kind,
        .ring_version = h->ring_version,
        .digest = h->digest,
        .items_expected = h->items_expected,
        .chunk = h->chunk,
        .version = h->version,
        .epoch = h->epoch,
        .floor_epoch = h->floor_epoch,
        .retire_version = h->retire_version,
        .nseen = (unsigned)h->n_seen_origin,
        .seen_origin = h->seen_origin,
        .seen_sequence = h->seen_sequence,
        .items = h->items.data,
        .nitems = h->items.len,
        .last = h->last,
        .reason = h->reason,
    };
    return true;
}
