/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/peer_config.h"

#include <stdlib.h>
#include <string.h>

#include "proto/peer.pb-c.h"

int peer_ballot_compare(const struct peer_ballot *a, const struct peer_ballot *b) {
    if (a->counter != b->counter) return a->counter < b->counter ? -1 : 1;
    if (a->boot != b->boot) return a->boot < b->boot ? -1 : 1;
    return memcmp(&a->node, &b->node, sizeof a->node);
}

/* ---- packing */

unsigned peer_config_parts(const struct peer_config *m) {
    return m->nvalue == 0 ? 1 : (m->nvalue + PEER_CONFIG_PART - 1) / PEER_CONFIG_PART;
}

static void pack_head(const struct peer_config *m, Peer__Config *to) {
    to->cluster = peer_id(&m->cluster);
    to->version = m->version;
    to->hash = m->hash;
    to->ballot_counter = m->ballot.counter;
    to->ballot_boot = m->ballot.boot;
    to->ballot_node = peer_id(&m->ballot.node);
    to->accepted_counter = m->accepted.counter;
    to->accepted_boot = m->accepted.boot;
    to->accepted_node = peer_id(&m->accepted.node);
    to->active = m->active;
    to->has_lease = m->has_lease;
    to->keeps_state = m->keeps_state;
    to->eligible = m->eligible;
    to->boot = m->boot;
    to->weight = m->weight;
    to->request = m->request;
    to->number = m->number;
    to->argument = m->argument;
    to->token = m->token;
    to->text = peer_text(m->text);
}

static bool pack_silent(const struct peer_config *m, struct peer_arena *scratch, Peer__Config *to) {
    if (m->nsilent == 0) return true;
    uint32_t *numbers = peer_arena_alloc(scratch, m->nsilent * sizeof *numbers);
    uint32_t *ms = peer_arena_alloc(scratch, m->nsilent * sizeof *ms);
    if (numbers == NULL || ms == NULL) return false;
    for (uint32_t i = 0; i < m->nsilent; i++) {
        numbers[i] = m->silent[i].number;
        ms[i] = m->silent[i].ms;
    }
    to->n_silent_number = to->n_silent_ms = m->nsilent;
    to->silent_number = numbers;
    to->silent_ms = ms;
    return true;
}

size_t peer_config_pack(const struct peer_config *m, unsigned part, struct peer_arena *scratch, uint8_t *to,
                        size_t size) {
    Peer__Config config = PEER__CONFIG__INIT;
    Peer__Control control = PEER__CONTROL__INIT;
    const uint32_t at = part * PEER_CONFIG_PART;
    config.kind = m->kind;
    if (part == 0) {
        pack_head(m, &config);
        if (!pack_silent(m, scratch, &config)) return 0;
    }
    if (m->nvalue > 0) {
        const uint32_t left = m->nvalue - at;
        config.value_bytes = m->nvalue;
        config.value_at = at;
        config.value = peer_bytes(m->value + at, left < PEER_CONFIG_PART ? left : PEER_CONFIG_PART);
    }
    control.payload_case = PEER__CONTROL__PAYLOAD_CONFIG;
    control.config = &config;
    return peer_control_pack(&control, to, size);
}

/* ---- reading */

static void forget(struct peer_config_reader *r) {
    free(r->value);
    free(r->silent);
    memset(r, 0, sizeof *r);
}

void peer_config_reader_fini(struct peer_config_reader *r) {
    forget(r);
}

/* A sentence from another node goes into logs and answers: what could break a line becomes a dot. */
static bool read_text(const ProtobufCBinaryData *from, char *to, size_t size) {
    if (from->len >= size) return false;
    for (size_t i = 0; i < from->len; i++) {
        const uint8_t b = from->data[i];
        to[i] = b < ' ' || b == '"' || b >= 0x7f ? '.' : (char)b;
    }
    to[from->len] = '\0';
    return true;
}

static bool read_head(const Peer__Config *m, struct peer_config *out) {
    out->version = m->version;
    out->hash = m->hash;
    out->ballot.counter = m->ballot_counter;
    out->ballot.boot = m->ballot_boot;
    out->accepted.counter = m->accepted_counter;
    out->accepted.boot = m->accepted_boot;
    out->active = m->active;
    out->has_lease = m->has_lease;
    out->keeps_state = m->keeps_state;
    out->eligible = m->eligible;
    out->boot = m->boot;
    out->weight = m->weight;
    out->request = m->request;
    out->number = m->number;
    out->argument = m->argument;
    out->token = m->token;
    return peer_id_read(&m->cluster, &out->cluster) && peer_id_read(&m->ballot_node, &out->ballot.node) &&
           peer_id_read(&m->accepted_node, &out->accepted.node) && read_text(&m->text, out->text, sizeof out->text);
}

static bool read_silent(struct peer_config_reader *r, const Peer__Config *m, struct peer_config *out) {
    if (m->n_silent_number != m->n_silent_ms || m->n_silent_number > PEER_CONFIG_SILENT_MAX) return false;
    if (m->n_silent_number == 0) return true;
    r->silent = malloc(m->n_silent_number * sizeof *r->silent);
    if (r->silent == NULL) return false;
    for (size_t i = 0; i < m->n_silent_number; i++)
        r->silent[i] = (struct peer_silent){m->silent_number[i], m->silent_ms[i]};
    out->silent = r->silent;
    out->nsilent = (uint32_t)m->n_silent_number;
    return true;
}

/* The first part: everything but, perhaps, the rest of the value. */
static enum peer_config_result read_first(struct peer_config_reader *r, const Peer__Config *m,
                                          struct peer_config *out) {
    *out = (struct peer_config){.kind = (enum peer_config_kind)m->kind};
    if (!read_head(m, out) || !read_silent(r, m, out) || m->value_bytes > PEER_CONFIG_VALUE_MAX || m->value_at != 0 ||
        m->value.len > m->value_bytes)
        return PEER_CONFIG_BROKEN;
    out->nvalue = m->value_bytes;
    if (m->value.len == m->value_bytes) {
        out->value = m->value.len > 0 ? m->value.data : NULL;
        return PEER_CONFIG_WHOLE;
    }
    if (m->value.len == 0 || (r->value = malloc(m->value_bytes)) == NULL) return PEER_CONFIG_BROKEN;
    memcpy(r->value, m->value.data, m->value.len);
    r->have = (uint32_t)m->value.len;
    r->head = *out;
    return PEER_CONFIG_MORE;
}

static enum peer_config_result read_further(struct peer_config_reader *r, const Peer__Config *m,
                                            struct peer_config *out) {
    if (m->kind != (uint32_t)r->head.kind || m->value_bytes != r->head.nvalue || m->value_at != r->have ||
        m->value.len == 0 || m->value.len > r->head.nvalue - r->have)
        return PEER_CONFIG_BROKEN;
    memcpy(r->value + r->have, m->value.data, m->value.len);
    r->have += (uint32_t)m->value.len;
    if (r->have < r->head.nvalue) return PEER_CONFIG_MORE;
    *out = r->head;
    out->value = r->value;
    return PEER_CONFIG_WHOLE;
}

enum peer_config_result peer_config_read(struct peer_config_reader *r, const Peer__Control *c,
                                         struct peer_counts *counts, struct peer_config *out) {
    if (c->payload_case != PEER__CONTROL__PAYLOAD_CONFIG) return PEER_CONFIG_BROKEN;
    const bool further = r->head.nvalue > 0 && r->have < r->head.nvalue;
    if (!further) {
        forget(r); /* the last message is done with */
        if (c->config->kind == 0 || c->config->kind >= PEER_CONFIG_KINDS) {
            counts->unknown_kinds++;
            return PEER_CONFIG_SKIPPED;
        }
    }
    const enum peer_config_result result = further ? read_further(r, c->config, out) : read_first(r, c->config, out);
    if (result == PEER_CONFIG_BROKEN) forget(r);
    return result;
}
