/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The machine that agrees on the configuration, behind the TLS record: control messages as packed bytes, from members,
 * founders and strangers, with the time going on in between. The first byte says how the node begins; then each record
 * is: what (1 byte), sender (1), length (2), so many bytes. Some records put the node's own cluster, version and ballot
 * into the message, so that it gets further than the first comparison. */
#include <string.h>

#include "base/check.h"
#include "proto/peer_config.h"
#include "tests/unit/config_lab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { WHAT_FITS = 0x80, SENDERS = 8, LONGEST = 3000 };

static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
static uint8_t frame[PEER_CONTROL_MAX];

static void begin(struct lab *l, uint8_t how) {
    struct config_options o = lab_options(how % 4);
    struct configuration c;
    o.found = true;
    o.keeps_state = how & 4;
    lab_configuration(&c, 4);
    c.seats_by_name = how & 8;
    lab_begin(l, &o, how & 16 ? NULL : &c, !(how & 32) && !(how & 16));
    configuration_fini(&c);
}

/* Whatever the machine sends fits, and what it writes is read back. */
static void look_at_outs(struct lab *l) {
    struct peer_arena scratch;
    for (unsigned i = 0; i < l->outs.n; i++) {
        const struct config_out *o = &l->outs.out[i];
        struct config_record r = {0};
        char err[200];
        peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
        if (o->kind == CONFIG_OUT_SEND || o->kind == CONFIG_OUT_SEEDS)
            CHECK(peer_config_pack(&o->message, 0, &scratch, frame, sizeof frame) > 0);
        if (o->kind == CONFIG_OUT_WRITE) CHECK(config_record_unpack(o->record, o->nrecord, &r, err, sizeof err) == 0);
        config_record_fini(&r);
    }
    lab_clear(l);
}

static void make_fit(const struct lab *l, unsigned sender, struct peer_config *m) {
    const struct peer_config own = lab_message(l, m->kind);
    m->cluster = own.cluster;
    m->version = own.version;
    m->hash = own.hash;
    m->ballot.node = m->kind == PEER_CONFIG_PREPARE || m->kind == PEER_CONFIG_ACCEPT ? lab_peer(sender).id
                                                                                     : config_self(l->config)->id;
}

static void message(struct lab *l, struct peer_config_reader *reader, uint8_t what, unsigned sender,
                    const uint8_t *bytes, size_t n) {
    struct peer_arena arena;
    struct peer_counts counts = {0};
    struct peer_config m;
    Peer__Control *c = NULL;
    peer_arena_init(&arena, memory, sizeof memory);
    if (peer_control_unpack(&arena, bytes, n, &counts, &c) != PEER_OK) return;
    if (peer_control_kind(c) != PEER_CONFIG || peer_config_read(reader, c, &counts, &m) != PEER_CONFIG_WHOLE) return;
    if (what & WHAT_FITS) make_fit(l, sender, &m);
    lab_hear(l, sender, &m);
}

/* Something that is no message. */
static void other(struct lab *l, uint8_t what, unsigned sender, const uint8_t *bytes, size_t n) {
    const enum config_request_kind kind =
        (enum config_request_kind)(1 + (n > 0 ? bytes[0] % (CONFIG_REQUESTS - 1) : 0));
    struct config_in in = {
        .kind = CONFIG_IN_HEARD, .from = lab_peer(sender), .number = sender + 1, .flag = what & 0x40};
    switch (what % 8) {
    case 4: in.kind = CONFIG_IN_LEASE; break;
    case 5: in.kind = CONFIG_IN_PONG; break;
    case 6: in.kind = CONFIG_IN_ORIGIN; break;
    case 7: lab_request(l, kind, lab_peer(sender).name, n > 1 ? bytes[1] : 0, 1); return;
    default: break;
    }
    lab_input(l, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct lab l;
    struct peer_config_reader reader = {0};
    if (n == 0) return 0;
    begin(&l, data[0]);
    for (size_t at = 1, bytes; at + 4 <= n && at < 16384; at += 4 + bytes) {
        const uint8_t what = data[at];
        const unsigned sender = data[at + 1] % SENDERS;
        bytes = data[at + 2] | (size_t)data[at + 3] << 8;
        if (bytes > LONGEST) bytes = LONGEST;
        if (bytes > n - at - 4) bytes = n - at - 4;
        lab_pass(&l, (what >> 3 & 7) * 60);
        if (what % 8 < 3)
            message(&l, &reader, what, sender, data + at + 4, bytes);
        else
            other(&l, what, sender, data + at + 4, bytes);
        look_at_outs(&l);
        const struct configuration *c = config_current(l.config);
        CHECK(c == NULL || (c->nvoters % 2 == 1 && c->norigins <= CONFIGURATION_ORIGINS_MAX));
    }
    peer_config_reader_fini(&reader);
    lab_end(&l);
    return 0;
}
