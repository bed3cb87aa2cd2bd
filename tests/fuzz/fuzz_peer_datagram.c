/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Datagrams: the bytes of the network, which must be refused before they are opened, and what is behind the seal of
 * one. An even first byte: the input is what was sealed; odd: it is laid over a sealed datagram, from the place that
 * the second byte says. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/datagram.h"
#include "proto/peer_swim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fill(void *arg, void *to, size_t n) {
    (void)arg;
    memset(to, 7, n);
}

static const struct cluster_id ids[2] = {{{0xa}}, {{0xb}}};

static struct datagram *make(unsigned i) {
    struct keyring k;
    keyring_without_key(&k);
    struct datagram *d = datagram_new(&(struct datagram_config){
        .cluster_name = "shop", .self = ids[i], .boot = 5, .keyring = &k, .random = {fill, NULL}});
    CHECK(d != NULL && datagram_know(d, &ids[1 - i], 5, 1) == 0);
    return d;
}

/* What was read is packed and read again, to the same. */
static void check_swim(const struct peer_swim *swim) {
    static unsigned char memory[2 * PEER_ARENA_BYTES];
    struct peer_arena a;
    struct peer_counts counts = {0};
    struct peer_swim back;
    Peer__Datagram *m;
    uint8_t bytes[DATAGRAM_PAYLOAD_MAX];
    CHECK(swim->nupdates <= PEER_SWIM_UPDATES_MAX && swim->nmeta <= PEER_SWIM_META_MAX);
    peer_arena_init(&a, memory, sizeof memory);
    size_t n = peer_swim_pack(swim, &a, bytes, sizeof bytes);
    if (n == 0) return; /* packed in a longer way than it came */
    CHECK(peer_datagram_unpack(&a, bytes, n, &counts, &m) == PEER_OK && peer_swim_read(m, &a, &counts, &back));
    CHECK(back.kind == swim->kind && back.number == swim->number && back.nupdates == swim->nupdates);
    for (unsigned i = 0; i < back.nupdates; i++)
        CHECK(cluster_id_equal(&back.updates[i].id, &swim->updates[i].id) &&
              strcmp(back.updates[i].name, swim->updates[i].name) == 0);
}

static void unpack(const uint8_t *data, size_t n) {
    static unsigned char memory[PEER_ARENA_BYTES];
    struct peer_arena a;
    struct peer_counts counts = {0};
    Peer__Datagram *m;
    uint32_t lowest, highest;
    peer_arena_init(&a, memory, sizeof memory);
    if (peer_datagram_unpack(&a, data, n, &counts, &m) == PEER_OK) {
        struct peer_swim swim;
        peer_datagram_versions(m, &lowest, &highest);
        if (peer_swim_read(m, &a, &counts, &swim)) check_swim(&swim);
    }
    CHECK(a.used <= sizeof memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    uint8_t wire[DATAGRAM_MAX + 100], payload[DATAGRAM_PAYLOAD_MAX];
    size_t payload_n, sealed;
    struct datagram_sender from;
    if (n < 2) return 0;
    struct datagram *a = make(0), *b = make(1);
    size_t rest = n - 2 < DATAGRAM_PAYLOAD_MAX ? n - 2 : DATAGRAM_PAYLOAD_MAX;
    if (data[0] % 2 == 0) {
        sealed = datagram_seal(a, 1, data + 2, rest, wire);
        CHECK(datagram_open(b, wire, sealed, payload, &payload_n, &from) == DATAGRAM_OPENED);
        CHECK(payload_n == rest && memcmp(payload, data + 2, rest) == 0);
        CHECK(datagram_open(b, wire, sealed, payload, &payload_n, &from) == DATAGRAM_REPLAYED);
        unpack(payload, payload_n);
    } else {
        uint8_t before[sizeof wire];
        sealed = datagram_seal(a, 1, "", 0, wire);
        memcpy(before, wire, sealed);
        memcpy(wire + data[1] % DATAGRAM_OVERHEAD, data + 2, rest);
        size_t end = data[1] % DATAGRAM_OVERHEAD + rest;
        bool same = end <= sealed && memcmp(before, wire, sealed) == 0;
        if (end < sealed) end = sealed;
        enum datagram_verdict v = datagram_open(b, wire, end, payload, &payload_n, &from);
        CHECK((v == DATAGRAM_OPENED) == same);
    }
    datagram_free(a);
    datagram_free(b);
    return 0;
}
