/* SPDX-License-Identifier: BSD-3-Clause */
#include "captured.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/moved_item.h"
#include "proto/peer_ask.h"
#include "proto/peer_config.h"
#include "proto/peer_handoff.h"
#include "proto/peer_link.h"
#include "proto/peer_purge.h"
#include "proto/peer_swim.h"

#define ID(first)                                                                                                      \
    {                                                                                                                  \
        { (first), 2, 3 }                                                                                              \
    }
#define A_LINE 40 /* bytes on a line of a file */

static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena scratch;
static uint8_t bytes[PEER_CONTROL_MAX];

/* ------------------------------------------------------------------ files */

/* Writes bytes[0..n) unless there is such a file. 1, 0: there is, -1: it could not, which was said. */
static int write_file(const char *folder, const char *name, size_t n) {
    char path[1000];
    snprintf(path, sizeof path, "%s/%u_%s.hex", folder, PEER_WIRE_HIGHEST, name);
    if (access(path, F_OK) == 0) return 0;
    FILE *f = n > 0 ? fopen(path, "w") : NULL;
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be written\n", path);
        return -1;
    }
    fprintf(f, "# %s, as captured.c has it\n", name);
    for (size_t i = 0; i < n; i++) fprintf(f, "%02x%s", bytes[i], i % A_LINE == A_LINE - 1 || i == n - 1 ? "\n" : "");
    return fclose(f) == 0 ? 1 : -1;
}

static void fill(void *arg, void *to, size_t n) {
    (void)arg;
    memset(to, 0, n);
}

struct datagram *captured_datagrams(const struct cluster_id *self, uint64_t boot) {
    struct keyring k = {0};
    char err[200];
    if (!keyring_read(&k, CAPTURED_KEY, strlen(CAPTURED_KEY), err, sizeof err)) return NULL;
    return datagram_new(&(struct datagram_config){
        .cluster_name = CAPTURED_CLUSTER, .self = *self, .boot = boot, .keyring = &k, .random = {fill, NULL}});
}

/* ------------------------------------------------------------------ links, commands passed on */

static const struct peer_hello hello = {.lowest = PEER_WIRE_LOWEST,
                                        .highest = PEER_WIRE_HIGHEST,
                                        .cluster_name = CAPTURED_CLUSTER,
                                        .node = ID(1),
                                        .boot = 100,
                                        .wanted = ID(9),
                                        .ring_name = "a:11211",
                                        .address = "a:21211",
                                        .tag_marker = "|#|",
                                        .tag_prefix = ':',
                                        .ring_strip_prefix = "prod.",
                                        .ring_version = 77,
                                        .worker = 3,
                                        .link = PEER_LINK_DATA};
static const struct peer_refusal refusal = {"--key-tags", "start all nodes with the same --key-tags"};
static const struct peer_ask ask = {77, true, "cluster purges 4-101"};
static const struct peer_told told = {77, true, "END\r\n", 5};

static int write_links(const char *folder) {
    const int first = write_file(folder, "control_hello", peer_hello_pack(&hello, bytes, sizeof bytes));
    if (first < 0) return -1;
    const int written[] = {
        first,
        write_file(folder, "control_refusal", peer_refusal_pack(&refusal, bytes, sizeof bytes)),
        write_file(folder, "control_ping", peer_ping_pack(UINT64_C(0x0102030405060708), bytes, sizeof bytes)),
        write_file(folder, "control_pong", peer_pong_pack(UINT64_C(0x0102030405060708), bytes, sizeof bytes)),
        write_file(folder, "control_ask", peer_ask_pack(&ask, bytes, sizeof bytes)),
        write_file(folder, "control_told", peer_told_pack(&told, bytes, sizeof bytes)),
    };
    int n = 0;
    for (unsigned i = 0; i < sizeof written / sizeof *written; i++) n = written[i] < 0 || n < 0 ? -1 : n + written[i];
    return n;
}

/* ------------------------------------------------------------------ membership */

static const struct peer_swim_update updates[] = {
    {.id = ID(1),
     .boot = 5,
     .incarnation = 6,
     .state = PEER_SWIM_SUSPECT,
     .naccusers = 2,
     .accusers = {ID(0x32), ID(0x33)},
     .name = "a:11211",
     .address = "a:21211"},
    {.id = ID(4), .boot = 7, .incarnation = 8, .state = PEER_SWIM_LEFT, .ended_s = 99, .name = "", .address = ""}};

static int write_membership(const char *folder) {
    static const char *const names[] = {NULL,
                                        "datagram_swim_ping",
                                        "datagram_swim_ack",
                                        "datagram_swim_nack",
                                        "datagram_swim_ping_req",
                                        "datagram_swim_gossip",
                                        "datagram_swim_other"};
    static const struct peer_sync sync = {.reply = true, .last = true, .nupdates = 2, .updates = updates};
    uint8_t payload[DATAGRAM_PAYLOAD_MAX];
    peer_arena_reset(&scratch);
    int n = write_file(folder, "control_sync", peer_sync_pack(&sync, &scratch, bytes, sizeof bytes));
    for (unsigned kind = PEER_SWIM_PING; n >= 0 && kind <= PEER_SWIM_OTHER; kind++) {
        struct peer_swim m = {.kind = kind, .number = 0x01020304, .target = ID(1), .nupdates = 2};
        /* What pings carry: version 12, a hash, a lag of 20 ms, a release. */
        static const uint8_t meta[] = "\x0c\0\0\0\0\0\0\0\1\2\3\4\5\6\7\x08\x14\0\0\0"
                                      "0.1.0";
        m.nmeta = sizeof meta - 1;
        memcpy(m.meta, meta, m.nmeta);
        memcpy(m.updates, updates, sizeof updates);
        struct datagram *d = captured_datagrams(&CAPTURED_SENDER, CAPTURED_BOOT);
        if (d == NULL) return -1;
        peer_arena_reset(&scratch);
        const size_t packed = peer_swim_pack(&m, &scratch, payload, sizeof payload);
        const int written = write_file(folder, names[kind],
                                       packed == 0 ? 0 : datagram_seal(d, PEER_WIRE_HIGHEST, payload, packed, bytes));
        n = written < 0 ? -1 : n + written;
        datagram_free(d);
    }
    return n;
}

/* ------------------------------------------------------------------ the configuration */

static const uint8_t value[] = "a packed configuration";
static const struct peer_silent silent[] = {{7, 1500}, {9, 2}};
#define VALUE .value = value, .nvalue = sizeof value - 1
#define BALLOT .ballot = {3, 4, ID(1)}

static const struct {
    const char *name;
    struct peer_config m;
} configs[] = {
    {"control_config_news", {.kind = PEER_CONFIG_NEWS, .has_lease = true}},
    {"control_config_fetch", {.kind = PEER_CONFIG_FETCH}},
    {"control_config_push", {.kind = PEER_CONFIG_PUSH, VALUE}},
    {"control_config_prepare", {.kind = PEER_CONFIG_PREPARE, BALLOT}},
    {"control_config_promise",
     {.kind = PEER_CONFIG_PROMISE,
      BALLOT,
      .active = true,
      .accepted = {1, 2, ID(0x33)},
      VALUE,
      .silent = silent,
      .nsilent = 2}},
    {"control_config_accept", {.kind = PEER_CONFIG_ACCEPT, BALLOT, VALUE}},
    {"control_config_accepted", {.kind = PEER_CONFIG_ACCEPTED, BALLOT}},
    {"control_config_reject", {.kind = PEER_CONFIG_REJECT, BALLOT}},
    {"control_config_join", {.kind = PEER_CONFIG_JOIN, .weight = 2, .keeps_state = true}},
    {"control_config_join_refused", {.kind = PEER_CONFIG_JOIN_REFUSED, .boot = 8, .text = "b:11211 is in use"}},
    {"control_config_request", {.kind = PEER_CONFIG_REQUEST, .request = 1, .number = 11, .argument = 12, .token = 13}},
    {"control_config_answer", {.kind = PEER_CONFIG_ANSWER, .token = 13, .text = "no member"}},
    {"control_config_found_ask", {.kind = PEER_CONFIG_FOUND_ASK, .eligible = true, .keeps_state = true, .weight = 2}},
    {"control_config_found_bind", {.kind = PEER_CONFIG_FOUND_BIND}},
    {"control_config_found_bound", {.kind = PEER_CONFIG_FOUND_BOUND}},
    {"control_config_found_busy", {.kind = PEER_CONFIG_FOUND_BUSY}},
    {"control_config_found_free", {.kind = PEER_CONFIG_FOUND_FREE}},
};

static int write_configuration(const char *folder) {
    int n = 0;
    for (unsigned i = 0; n >= 0 && i < sizeof configs / sizeof *configs; i++) {
        struct peer_config m = configs[i].m;
        m.cluster = (struct cluster_id)ID(0xfe);
        m.version = 12;
        m.hash = 0xabcdef;
        peer_arena_reset(&scratch);
        const int written = write_file(folder, configs[i].name, peer_config_pack(&m, 0, &scratch, bytes, sizeof bytes));
        n = written < 0 ? -1 : n + written;
    }
    return n;
}

/* ------------------------------------------------------------------ purges */

static const struct peer_purge_seen vector[] = {{4, 100, 7}, {6, 3, 0}};
static const struct peer_purge_run runs[] = {{{4, 88}, 4, 101, 2}};
static const struct peer_purge_lack lacks[] = {{9, 50}};
static uint8_t events[PURGE_EVENT_MAX];
#define VECTOR .vector = vector, .nvector = 2
#define RUNS .runs = runs, .nruns = 1

static const struct {
    const char *name;
    bool events;
    struct peer_purge m;
} purges[] = {
    {"control_purge_submit", true, {.kind = PEER_PURGE_SUBMIT, .sequence = 5}},
    {"control_purge_answer", false, {.kind = PEER_PURGE_ANSWER, .sequence = 5, .flags = PEER_PURGE_FULL, RUNS}},
    {"control_purge_status",
     false,
     {.kind = PEER_PURGE_STATUS, .origin = 4, .sequence = 101, .star = 103, .members = 3, .lacks = lacks, .nlacks = 1}},
    {"control_purge_events",
     true,
     {.kind = PEER_PURGE_EVENTS,
      .flags = PEER_PURGE_HORIZON | PEER_PURGE_PULLED,
      .origin = 4,
      .stream = 1,
      .sequence = 101,
      .star = 7}},
    {"control_purge_ack",
     false,
     {.kind = PEER_PURGE_ACK, .flags = PEER_PURGE_GAP | PEER_PURGE_ACTIVE, .origin = 4, .stream = 1, .sequence = 101}},
    {"control_purge_poll", false, {.kind = PEER_PURGE_POLL, .flags = PEER_PURGE_BEGUN, .boot = 5, VECTOR}},
    {"control_purge_poll_answer",
     false,
     {.kind = PEER_PURGE_POLL_ANSWER, .flags = PEER_PURGE_BEGUN | PEER_PURGE_ACTIVE, .active_epoch = 3, VECTOR}},
    {"control_purge_pull", false, {.kind = PEER_PURGE_PULL, VECTOR}},
    /* with leases */
    {"control_purge_ack_lease",
     false,
     {.kind = PEER_PURGE_ACK,
      .flags = PEER_PURGE_ACTIVE | PEER_PURGE_HOLD | PEER_PURGE_HOLD_ALL,
      .origin = 4,
      .stream = 1,
      .sequence = 101,
      .lacks = lacks,
      .nlacks = 1}},
    {"control_purge_status_lease",
     false,
     {.kind = PEER_PURGE_STATUS, .origin = 4, .sequence = 101, .everything = 99, .star = 103, .members = 3}},
    {"control_purge_poll_answer_lease",
     false,
     {.kind = PEER_PURGE_POLL_ANSWER,
      .flags = PEER_PURGE_BEGUN | PEER_PURGE_ACTIVE | PEER_PURGE_GRANTED,
      .stream = 6,
      .active_epoch = 3,
      VECTOR}},
    {"control_purge_count", false, {.kind = PEER_PURGE_COUNT, .sequence = 43, RUNS}},
};

static int write_purges(const char *folder) {
    static const uint64_t tags[] = {0x1111, 0x2222, 0x3333};
    static const struct purge_selector selectors[] = {{1, tags}, {2, tags + 1}};
    static const struct purge_event event = {{4, 88}, true, true, 30, 2, selectors};
    const size_t nevents = purge_event_write(&event, events);
    int n = 0;
    for (unsigned i = 0; n >= 0 && i < sizeof purges / sizeof *purges; i++) {
        struct peer_purge m = purges[i].m;
        m.version = 12;
        m.epoch = 3;
        if (purges[i].events) m.events = events;
        if (purges[i].events) m.events_bytes = nevents;
        peer_arena_reset(&scratch);
        const int written = write_file(folder, purges[i].name, peer_purge_pack(&m, &scratch, bytes, sizeof bytes));
        n = written < 0 ? -1 : n + written;
    }
    return n;
}

/* ------------------------------------------------------------------ items on the move */

static const uint64_t seen_origin[] = {4, 6}, seen_sequence[] = {100, 3};
#define COVER                                                                                                          \
    .version = 12, .epoch = 3, .floor_epoch = 2, .retire_version = 11, .nseen = 2, .seen_origin = seen_origin,         \
    .seen_sequence = seen_sequence

static const struct {
    const char *name;
    bool items;
    struct peer_handoff m;
} handoffs[] = {
    {"control_handoff_begin", false, {.kind = PEER_HANDOFF_BEGIN, .ring_version = 77, .digest = 0xabcdef}},
    {"control_handoff_ready", false, {.kind = PEER_HANDOFF_READY, .ring_version = 77, .items_expected = 1000}},
    {"control_handoff_next", false, {.kind = PEER_HANDOFF_NEXT, .chunk = 5, COVER}},
    {"control_handoff_items", true, {.kind = PEER_HANDOFF_ITEMS, .chunk = 5, .last = true}},
    {"control_handoff_behind", false, {.kind = PEER_HANDOFF_BEHIND, .chunk = 5}},
    {"control_handoff_end", false, {.kind = PEER_HANDOFF_END, .chunk = 5}},
    {"control_handoff_ack", false, {.kind = PEER_HANDOFF_ACK, .chunk = 5}},
    {"control_handoff_abort", false, {.kind = PEER_HANDOFF_ABORT, .ring_version = 77, .reason = 2}},
};

static int write_handoffs(const char *folder) {
    static const struct moved_item whole = {.key = "key",
                                            .nkey = 3,
                                            .value = "value",
                                            .nvalue = 5,
                                            .size = 5,
                                            .version = 9,
                                            .flags = 7,
                                            .ttl_s = 60,
                                            .ntags = 2,
                                            .tags = {0x1111, 0x2222}};
    static const struct moved_item part = {.key = "large",
                                           .nkey = 5,
                                           .value = "part",
                                           .nvalue = 4,
                                           .size = 300000,
                                           .at = 1000,
                                           .version = 10,
                                           .has_cas = true,
                                           .cas = 88,
                                           .bits = 1,
                                           .ttl_s = MOVED_ITEM_TTL_NEVER};
    uint8_t records[200];
    const size_t first = moved_item_pack(&whole, records), nrecords = first + moved_item_pack(&part, records + first);
    int n = 0;
    for (unsigned i = 0; n >= 0 && i < sizeof handoffs / sizeof *handoffs; i++) {
        struct peer_handoff m = handoffs[i].m;
        if (handoffs[i].items) m.items = records;
        if (handoffs[i].items) m.nitems = nrecords;
        const int written = write_file(folder, handoffs[i].name, peer_handoff_pack(&m, bytes, sizeof bytes));
        n = written < 0 ? -1 : n + written;
    }
    return n;
}

int captured_write(const char *folder) {
    static int (*const parts[])(const char *) = {write_links, write_membership, write_configuration, write_purges,
                                                 write_handoffs};
    int n = 0;
    peer_arena_init(&scratch, memory, sizeof memory);
    for (unsigned i = 0; n >= 0 && i < sizeof parts / sizeof *parts; i++) {
        const int written = parts[i](folder);
        n = written < 0 ? -1 : n + written;
    }
    return n;
}
