/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_link.h"

#include <string.h>

#include "proto/peer.pb-c.h"

/* An envelope around a message on the stack. */
#define ENVELOPE(kind, field, message)                                                                                 \
    {                                                                                                                  \
        .base = PROTOBUF_C_MESSAGE_INIT(&peer__control__descriptor), .payload_case = PEER__CONTROL__PAYLOAD_##kind,    \
        .field = (message),                                                                                            \
    }

size_t peer_hello_pack(const struct peer_hello *h, uint8_t *to, size_t size) {
    Peer__Hello m = PEER__HELLO__INIT;
    m.lowest = h->lowest;
    m.highest = h->highest;
    m.cluster_name = peer_text(h->cluster_name);
    m.node_id = peer_id(&h->node);
    m.boot = h->boot;
    m.wanted_id = peer_id(&h->wanted);
    m.ring_name = peer_text(h->ring_name);
    m.address = peer_text(h->address);
    m.tag_marker = peer_text(h->tag_marker);
    m.tag_prefix = peer_bytes(&h->tag_prefix, h->tag_prefix != 0);
    m.ring_strip_prefix = peer_text(h->ring_strip_prefix);
    m.ring_version = h->ring_version;
    m.worker = h->worker;
    m.link = h->link;
    Peer__Control c = ENVELOPE(HELLO, hello, &m);
    return peer_control_pack(&c, to, size);
}

bool peer_hello_read(const Peer__Control *c, struct peer_hello *out) {
    *out = (struct peer_hello){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_HELLO) return false;
    const Peer__Hello *m = c->hello;
    out->lowest = m->lowest;
    out->highest = m->highest;
    out->boot = m->boot;
    out->ring_version = m->ring_version;
    out->worker = m->worker;
    out->link = m->link;
    if (m->tag_prefix.len > 1) return false;
    if (m->tag_prefix.len == 1) out->tag_prefix = (char)m->tag_prefix.data[0];
    return peer_text_read(&m->cluster_name, out->cluster_name, sizeof out->cluster_name) &&
           peer_id_read(&m->node_id, &out->node) && peer_id_read(&m->wanted_id, &out->wanted) &&
           peer_text_read(&m->ring_name, out->ring_name, sizeof out->ring_name) &&
           peer_text_read(&m->address, out->address, sizeof out->address) &&
           peer_text_read(&m->tag_marker, out->tag_marker, sizeof out->tag_marker) &&
           peer_text_read(&m->ring_strip_prefix, out->ring_strip_prefix, sizeof out->ring_strip_prefix) &&
           out->cluster_name[0] != '\0' && !cluster_id_is_zero(&out->node) && out->boot != 0 && out->lowest > 0 &&
           out->lowest <= out->highest;
}

size_t peer_refusal_pack(const struct peer_refusal *r, uint8_t *to, size_t size) {
    Peer__Refusal m = PEER__REFUSAL__INIT;
    m.setting = peer_text(r->setting);
    m.reason = peer_text(r->reason);
    Peer__Control c = ENVELOPE(REFUSAL, refusal, &m);
    return peer_control_pack(&c, to, size);
}

static void read_sentence(const ProtobufCBinaryData *from, char *to, size_t size) {
    size_t n = from->len < size ? from->len : size - 1;
    for (size_t i = 0; i < n; i++) {
        uint8_t b = from->data[i];
        to[i] = (char)(b < ' ' || b > '~' || b == '"' ? '.' : b);
    }
    to[n] = '\0';
}

bool peer_refusal_read(const Peer__Control *c, struct peer_refusal *out) {
    *out = (struct peer_refusal){0};
    if (c->payload_case != PEER__CONTROL__PAYLOAD_REFUSAL) return false;
    read_sentence(&c->refusal->setting, out->setting, sizeof out->setting);
    read_sentence(&c->refusal->reason, out->reason, sizeof out->reason);
    return true;
}

size_t peer_ping_pack(uint64_t number, uint8_t *to, size_t size) {
    Peer__Ping m = PEER__PING__INIT;
    m.number = number;
    Peer__Control c = ENVELOPE(PING, ping, &m);
    return peer_control_pack(&c, to, size);
}

size_t peer_pong_pack(uint64_t number, uint8_t *to, size_t size) {
    Peer__Pong m = PEER__PONG__INIT;
    m.number = number;
    Peer__Control c = ENVELOPE(PONG, pong, &m);
    return peer_control_pack(&c, to, size);
}

bool peer_ping_read(const Peer__Control *c, uint64_t *number) {
    bool is = c->payload_case == PEER__CONTROL__PAYLOAD_PING;
    *number = is ? c->ping->number : 0;
    return is;
}

bool peer_pong_read(const Peer__Control *c, uint64_t *number) {
    bool is = c->payload_case == PEER__CONTROL__PAYLOAD_PONG;
    *number = is ? c->pong->number : 0;
    return is;
}
