/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_codec.h"

#include <stdalign.h>
#include <string.h>

#include "base/check.h"
#include "proto/peer.pb-c.h"

/* ------------------------------------------------------------------ memory */

static void *arena_alloc(void *arg, size_t size) {
    return peer_arena_alloc(arg, size);
}

/* Everything is freed by the reset. */
static void arena_free(void *arg, void *p) {
    (void)arg;
    (void)p;
}

void peer_arena_init(struct peer_arena *a, void *bytes, size_t size) {
    *a = (struct peer_arena){
        .allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = a}, .bytes = bytes, .size = size};
}

void peer_arena_reset(struct peer_arena *a) {
    a->used = 0;
}

void *peer_arena_alloc(struct peer_arena *a, size_t size) {
    size_t pad = -(uintptr_t)(a->bytes + a->used) % alignof(max_align_t);
    size_t left = a->size - a->used;
    if (pad > left || size > left - pad) return NULL;
    void *p = a->bytes + a->used + pad;
    a->used += pad + size;
    return p;
}

/* ------------------------------------------------------------------ unpacking */

static uint64_t unknown_in(const ProtobufCMessage *m);

/* A field that is a message, or a repeated one. peer.proto has no message inside itself, so this ends. */
static uint64_t unknown_in_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) {
    const char *at = (const char *)m;
    uint64_t unknown = 0;
    if (f->type != PROTOBUF_C_TYPE_MESSAGE) return 0;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)(const void *)(at + f->quantifier_offset);
        ProtobufCMessage *const *all = *(ProtobufCMessage *const *const *)(const void *)(at + f->offset);
        for (size_t i = 0; i < n; i++) unknown += unknown_in(all[i]);
        return unknown;
    }
    /* Of a oneof only the member that is set has a pointer there. */
    if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(const uint32_t *)(const void *)(at + f->quantifier_offset) != f->id)
        return 0;
    const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)(const void *)(at + f->offset);
    return inner != NULL ? unknown_in(inner) : 0;
}

static uint64_t unknown_in(const ProtobufCMessage *m) {
    uint64_t unknown = m->n_unknown_fields;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) unknown += unknown_in_field(m, &m->descriptor->fields[i]);
    return unknown;
}

static ProtobufCMessage *unpack(struct peer_arena *a, const ProtobufCMessageDescriptor *what, const void *bytes,
                                size_t n, struct peer_counts *counts) {
    ProtobufCMessage *m = protobuf_c_message_unpack(what, &a->allocator, n, bytes);
    if (m != NULL) counts->unknown_fields += unknown_in(m);
    return m;
}

enum peer_status peer_datagram_unpack(struct peer_arena *a, const void *bytes, size_t n, struct peer_counts *counts,
                                      Peer__Datagram **out) {
    if (n > PEER_DATAGRAM_MAX) return PEER_TOO_LONG;
    ProtobufCMessage *m = unpack(a, &peer__datagram__descriptor, bytes, n, counts);
    if (m == NULL) return PEER_BROKEN;
    *out = (Peer__Datagram *)m;
    return PEER_OK;
}

enum peer_status peer_control_unpack(struct peer_arena *a, const void *bytes, size_t n, struct peer_counts *counts,
                                     Peer__Control **out) {
    if (n > PEER_CONTROL_MAX) return PEER_TOO_LONG;
    ProtobufCMessage *m = unpack(a, &peer__control__descriptor, bytes, n, counts);
    if (m == NULL) return PEER_BROKEN;
    *out = (Peer__Control *)m;
    if (peer_control_kind(*out) == PEER_NONE) counts->unknown_kinds++;
    return PEER_OK;
}

enum peer_kind peer_control_kind(const Peer__Control *m) {
    switch (m->payload_case) {
    case PEER__CONTROL__PAYLOAD_HELLO: return PEER_HELLO;
    case PEER__CONTROL__PAYLOAD_REFUSAL: return PEER_REFUSAL;
    case PEER__CONTROL__PAYLOAD_PING: return PEER_PING;
    case PEER__CONTROL__PAYLOAD_PONG: return PEER_PONG;
    case PEER__CONTROL__PAYLOAD_SYNC: return PEER_SYNC;
    case PEER__CONTROL__PAYLOAD_CONFIG: return PEER_CONFIG;
    case PEER__CONTROL__PAYLOAD_PURGE: return PEER_PURGE;
    case PEER__CONTROL__PAYLOAD_ASK: return PEER_ASK;
    case PEER__CONTROL__PAYLOAD_TOLD: return PEER_TOLD;
    case PEER__CONTROL__PAYLOAD_HANDOFF: return PEER_HANDOFF;
    default: return PEER_NONE;
    }
}

void peer_datagram_versions(const Peer__Datagram *m, uint32_t *lowest, uint32_t *highest) {
    *lowest = m->lowest;
    *highest = m->highest;
}

/* ------------------------------------------------------------------ packing */

static size_t pack(const ProtobufCMessage *m, uint8_t *to, size_t size) {
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n > size) return 0;
    CHECK(protobuf_c_message_pack(m, to) == n);
    return n;
}

size_t peer_datagram_pack(const Peer__Datagram *m, uint8_t *to, size_t size) {
    return pack(&m->base, to, size < PEER_DATAGRAM_MAX ? size : PEER_DATAGRAM_MAX);
}

size_t peer_control_pack(const Peer__Control *m, uint8_t *to, size_t size) {
    return pack(&m->base, to, size < PEER_CONTROL_MAX ? size : PEER_CONTROL_MAX);
}

/* ------------------------------------------------------------------ fields */

ProtobufCBinaryData peer_bytes(const void *bytes, size_t n) {
    return (ProtobufCBinaryData){.len = n, .data = (uint8_t *)(uintptr_t)bytes};
}

ProtobufCBinaryData peer_text(const char *text) {
    return peer_bytes(text, strlen(text));
}

ProtobufCBinaryData peer_id(const struct cluster_id *id) {
    return peer_bytes(id->bytes, cluster_id_is_zero(id) ? 0 : sizeof id->bytes);
}

bool peer_text_read(const ProtobufCBinaryData *from, char *to, size_t size) {
    to[0] = '\0';
    if (from->len >= size) return false;
    for (size_t i = 0; i < from->len; i++)
        if (from->data[i] <= ' ' || from->data[i] == 0x7f) return false;
    if (from->len > 0) memcpy(to, from->data, from->len);
    to[from->len] = '\0';
    return true;
}

bool peer_id_read(const ProtobufCBinaryData *from, struct cluster_id *to) {
    memset(to, 0, sizeof *to);
    if (from->len == 0) return true;
    if (from->len != sizeof to->bytes) return false;
    memcpy(to->bytes, from->data, sizeof to->bytes);
    return true;
}
