/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Control messages, as they are once TLS has proven who sends them: unpacking within an arena of any size, and what
 * links, membership, configuration and purges read out of them. The first byte chooses the arena. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/moved_item.h"
#include "proto/peer_ask.h"
#include "proto/peer_config.h"
#include "proto/peer_handoff.h"
#include "proto/peer_link.h"
#include "proto/peer_purge.h"
#include "proto/peer_swim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What was read is packed and read again, to the same. */
static void check_hello(const struct peer_hello *h) {
    static unsigned char memory[PEER_ARENA_BYTES];
    uint8_t bytes[PEER_HELLO_BYTES_MAX];
    struct peer_arena a;
    struct peer_counts counts = {0};
    struct peer_hello back;
    Peer__Control *m;
    size_t n = peer_hello_pack(h, bytes, sizeof bytes);
    CHECK(n > 0);
    peer_arena_init(&a, memory, sizeof memory);
    CHECK(peer_control_unpack(&a, bytes, n, &counts, &m) == PEER_OK && peer_hello_read(m, &back));
    CHECK(counts.unknown_fields == 0 && back.boot == h->boot && cluster_id_equal(&back.node, &h->node));
    CHECK(strcmp(back.cluster_name, h->cluster_name) == 0 && strcmp(back.address, h->address) == 0);
}

static void check_refusal(const struct peer_refusal *r) {
    CHECK(strlen(r->setting) < sizeof r->setting && strlen(r->reason) < sizeof r->reason);
    for (const char *p = r->reason; *p != '\0'; p++) CHECK(*p >= ' ' && *p <= '~' && *p != '"');
}

static void check_ask(const Peer__Control *m) {
    struct peer_ask ask;
    struct peer_told told;
    if (peer_ask_read(m, &ask)) CHECK(strlen(ask.line) <= PEER_ASK_LINE_MAX && strpbrk(ask.line, "\r\n") == NULL);
    if (peer_told_read(m, &told)) CHECK(told.n <= PEER_TOLD_PART_MAX);
}

static void check_sync(const Peer__Control *m, struct peer_arena *a, struct peer_counts *counts) {
    struct peer_sync sync;
    if (!peer_sync_read(m, a, counts, &sync)) return;
    CHECK(sync.nupdates <= PEER_SYNC_UPDATES_MAX);
    for (unsigned i = 0; i < sync.nupdates; i++) {
        const struct peer_swim_update *u = &sync.updates[i];
        CHECK(u->boot != 0 && u->boot <= PEER_SWIM_NUMBER_MAX && u->incarnation <= PEER_SWIM_NUMBER_MAX);
        CHECK(u->state >= PEER_SWIM_ALIVE && u->state <= PEER_SWIM_LEFT && u->naccusers <= PEER_SWIM_ACCUSERS_MAX);
        CHECK(strlen(u->name) <= PEER_TEXT_MAX && strlen(u->address) <= PEER_ADDRESS_MAX);
    }
}

/* The first part of a message, and whatever comes as a second one. */
static void check_config(const Peer__Control *m, struct peer_counts *counts) {
    struct peer_config_reader reader = {0};
    struct peer_config c;
    for (unsigned i = 0; i < 2; i++)
        if (peer_config_read(&reader, m, counts, &c) == PEER_CONFIG_WHOLE) {
            CHECK(c.kind < PEER_CONFIG_KINDS && strlen(c.text) <= PEER_CONFIG_TEXT_MAX);
            uint64_t sum = 0; /* all of it can be read */
            for (uint32_t j = 0; j < c.nvalue; j++) sum += c.value[j];
            for (uint32_t j = 0; j < c.nsilent; j++) sum += c.silent[j].ms;
            (void)sum;
        }
    peer_config_reader_fini(&reader);
}

static void check_record(const uint8_t *record) {
    struct purge_selector selectors[PURGE_EVENT_SELECTORS_MAX];
    static uint64_t tags[PURGE_EVENT_SELECTORS_MAX * PURGE_EVENT_TAGS_MAX];
    unsigned n = purge_event_nselectors(record), sum = 0;
    CHECK(n <= PURGE_EVENT_SELECTORS_MAX);
    unsigned ntags = purge_event_selectors(record, selectors, tags);
    for (unsigned i = 0; i < n; i++) sum += selectors[i].ntags;
    CHECK(sum == ntags);
}

static void check_purge(const Peer__Control *m, struct peer_arena *a) {
    struct peer_purge p;
    size_t at = 0, bytes;
    if (!peer_purge_read(m, a, &p)) return;
    while (at < p.events_bytes && (bytes = purge_event_check(p.events + at, p.events_bytes - at)) > 0) {
        CHECK(bytes <= p.events_bytes - at && bytes <= PURGE_EVENT_MAX);
        check_record(p.events + at);
        at += bytes;
    }
}

static void check_handoff(const Peer__Control *m) {
    struct peer_handoff h;
    struct moved_item it;
    uint64_t sum = 0; /* all of it can be read */
    if (!peer_handoff_read(m, &h)) return;
    CHECK(h.kind < PEER_HANDOFF_KINDS && h.nseen <= PEER_PURGE_VECTOR_MAX && h.nitems <= PEER_HANDOFF_ITEMS_MAX);
    for (unsigned i = 0; i < h.nseen; i++) sum += h.seen_origin[i] + h.seen_sequence[i];
    for (size_t at = 0, n; at < h.nitems && (n = moved_item_read(h.items + at, h.nitems - at, &it)) > 0; at += n) {
        CHECK(n <= h.nitems - at && n >= moved_item_bytes(&it) && it.at + it.nvalue <= it.size);
        for (unsigned i = 0; i < it.nkey; i++) sum += (unsigned char)it.key[i];
        for (unsigned i = 0; i < it.nvalue; i++) sum += (unsigned char)it.value[i];
    }
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct peer_arena a;
    struct peer_counts counts = {0};
    struct peer_hello h;
    struct peer_refusal r;
    Peer__Control *m;
    uint64_t number;
    if (n == 0) return 0;
    size_t size = data[0] == 255 ? PEER_CONTROL_ARENA_BYTES : (size_t)data[0] * 64;
    unsigned char *exact = malloc(size ? size : 1); /* so that a sanitizer sees a step beyond it */
    CHECK(exact != NULL);
    peer_arena_init(&a, exact, size);
    if (peer_control_unpack(&a, data + 1, n - 1, &counts, &m) == PEER_OK) {
        enum peer_kind kind = peer_control_kind(m);
        CHECK((kind == PEER_NONE) == (counts.unknown_kinds == 1));
        if (peer_hello_read(m, &h)) check_hello(&h);
        if (peer_refusal_read(m, &r)) check_refusal(&r);
        CHECK(peer_ping_read(m, &number) == (kind == PEER_PING));
        CHECK(peer_pong_read(m, &number) == (kind == PEER_PONG));
        check_ask(m);
        check_sync(m, &a, &counts);
        check_config(m, &counts);
        check_purge(m, &a);
        check_handoff(m);
    }
    CHECK(a.used <= size);
    free(exact);
    return 0;
}
