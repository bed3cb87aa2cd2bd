/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Control messages, as they are once TLS has proven who sends them: unpacking within an arena of any size, and what
 * links read out of them. The first byte chooses the arena. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/peer_link.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
    struct peer_arena a;
    struct peer_counts counts = {0};
    struct peer_hello h;
    struct peer_refusal r;
    Peer__Control *m;
    uint64_t number;
    if (n == 0) return 0;
    size_t size = data[0] == 255 ? sizeof memory : (size_t)data[0] * 64;
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
    }
    CHECK(a.used <= size);
    free(exact);
    return 0;
}
