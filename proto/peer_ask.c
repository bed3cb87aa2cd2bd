/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_ask.h"

#include <string.h>

#include "proto/peer.pb-c.h"

size_t peer_ask_pack(const struct peer_ask *a, uint8_t *to, size_t size) {
    Peer__Ask m = PEER__ASK__INIT;
    Peer__Control c = PEER__CONTROL__INIT;
    m.number = a->number;
    m.privileged = a->privileged;
    m.line = peer_text(a->line);
    c.payload_case = PEER__CONTROL__PAYLOAD_ASK;
    c.ask = &m;
    return peer_control_pack(&c, to, size);
}

bool peer_ask_read(const Peer__Control *c, struct peer_ask *out) {
    if (c->payload_case != PEER__CONTROL__PAYLOAD_ASK) return false;
    const Peer__Ask *m = c->ask;
    if (m->line.len == 0 || m->line.len > PEER_ASK_LINE_MAX) return false;
    for (size_t i = 0; i < m->line.len; i++)
        if (m->line.data[i] == 0 || m->line.data[i] == '\r' || m->line.data[i] == '\n') return false;
    out->number = m->number;
    out->privileged = m->privileged;
    memcpy(out->line, m->line.data, m->line.len);
    out->line[m->line.len] = 0;
    return true;
}

size_t peer_told_pack(const struct peer_told *t, uint8_t *to, size_t size) {
    Peer__Told m = PEER__TOLD__INIT;
    Peer__Control c = PEER__CONTROL__INIT;
    m.number = t->number;
    m.last = t->last;
    m.text = peer_bytes(t->text, t->n);
    c.payload_case = PEER__CONTROL__PAYLOAD_TOLD;
    c.told = &m;
    return peer_control_pack(&c, to, size);
}

bool peer_told_read(const Peer__Control *c, struct peer_told *out) {
    if (c->payload_case != PEER__CONTROL__PAYLOAD_TOLD || c->told->text.len > PEER_TOLD_PART_MAX) return false;
    *out = (struct peer_told){c->told->number, c->told->last, c->told->text.data, c->told->text.len};
    return true;
}
