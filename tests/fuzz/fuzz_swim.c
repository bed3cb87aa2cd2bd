/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Membership behind the seal: datagrams and parts of push-pulls as packed bytes, from members and from strangers, with
 * the time going on in between. Each record of the input is: what (1 byte), sender (1), length (1), so many bytes. */
#include <string.h>

#include "base/check.h"
#include "cluster/swim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena arena, scratch;
static struct peer_counts counts;

static struct cluster_id id_of(uint8_t number) {
    return (struct cluster_id){{number, 'm'}};
}

/* Whatever the machine sends fits and is read back. */
static void emit(void *arg, const struct swim_out *out) {
    static uint8_t wire[PEER_DATAGRAM_MAX];
    static struct peer_swim back;
    const struct swim *s = *(struct swim **)arg;
    Peer__Datagram *d = NULL;
    if (out->kind != SWIM_OUT_DATAGRAM) return;
    CHECK(member_at(swim_members(s), out->slot) != NULL);
    peer_arena_reset(&scratch);
    const size_t bytes = peer_swim_pack(out->datagram, &scratch, wire, sizeof wire);
    CHECK(bytes > 0 && peer_datagram_unpack(&scratch, wire, bytes, &counts, &d) == PEER_OK);
    CHECK(peer_swim_read(d, &scratch, &counts, &back) && back.nupdates == out->datagram->nupdates);
}

static struct swim *start(const struct swim_sink *sink) {
    struct swim_config c = {.id = id_of(0), .boot = 100, .name = "c0:1", .address = "h0:1", .seed = 1};
    struct peer_swim_update members[5] = {{.boot = 0}};
    for (uint8_t i = 0; i < 5; i++)
        members[i] = (struct peer_swim_update){
            .id = id_of(i), .boot = 100, .state = PEER_SWIM_ALIVE, .name = "c:1", .address = i % 2 ? "h:1" : "h:2"};
    swim_timing_default(&c.timing);
    struct swim *s = swim_new(&c, 0);
    CHECK(s != NULL);
    const struct peer_sync part = {.last = true, .reply = true, .nupdates = 5, .updates = members};
    swim_input(s, 0, &(struct swim_in){.kind = SWIM_IN_SYNC, .from = id_of(1), .boot = 100, .sync = &part}, sink);
    return s;
}

static void record(struct swim *s, uint64_t now, uint8_t what, uint8_t sender, const uint8_t *bytes, size_t n,
                   const struct swim_sink *sink) {
    static struct peer_swim m;
    struct peer_sync part;
    Peer__Datagram *d = NULL;
    Peer__Control *c = NULL;
    struct swim_in in = {.kind = SWIM_IN_TIME, .from = id_of(sender), .boot = 100, .number = sender};
    peer_arena_reset(&arena);
    if (what % 4 == 0 && peer_datagram_unpack(&arena, bytes, n, &counts, &d) == PEER_OK &&
        peer_swim_read(d, &arena, &counts, &m)) {
        in.kind = SWIM_IN_DATAGRAM;
        in.datagram = &m;
    } else if (what % 4 == 1 && peer_control_unpack(&arena, bytes, n, &counts, &c) == PEER_OK &&
               peer_sync_read(c, &arena, &counts, &part)) {
        in.kind = SWIM_IN_SYNC;
        in.sync = &part;
    } else if (what % 4 == 2) {
        in.kind = sender % 2 ? SWIM_IN_PONG_TCP : SWIM_IN_FAILED_TCP;
    }
    swim_input(s, now, &in, sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct swim *s = NULL;
    const struct swim_sink sink = {&s, emit};
    uint64_t now = 0;
    peer_arena_init(&arena, memory, sizeof memory);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
    struct swim *started = start(&(struct swim_sink){&started, emit});
    s = started;
    for (size_t at = 0, bytes; at + 3 <= n && at < 4096; at += 3 + bytes) {
        bytes = data[at + 2];
        if (bytes > n - at - 3) bytes = n - at - 3;
        now += (uint64_t)(data[at] / 4) * 50000000;
        record(s, now, data[at], data[at + 1], data + at + 3, bytes, &sink);
        if (swim_next_ns(s) <= now) swim_input(s, now, &(struct swim_in){.kind = SWIM_IN_TIME}, &sink);
        CHECK(members_count(swim_members(s)) <= MEMBERS_MAX && swim_awareness(s) <= SWIM_AWARENESS_MAX);
    }
    swim_free(s);
    return 0;
}
