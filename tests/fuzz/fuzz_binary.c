/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A conversation in the binary protocol: the first byte seeds how the rest is cut into pieces, and says whether a login
 * is asked for. What comes back must be whole packets, and the same as to the whole in one piece. Store and commands
 * are the real ones. */
#include <string.h>

#include "base/check.h"
#include "proto/binary.h"
#include "tests/fuzz/fake_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 100000

static struct fake_node *node_new(bool sasl) {
    struct fake_options o = {.memory = 4 << 20, .item_size_max = 300000, .prefix_delimiter = ':', .sasl = sasl};
    return fake_node_new(&o);
}

/* Checks that p[0..n) is packets; whether one of them is of an opcode whose answers tell of more than the
 * conversation. */
static bool tells_more(const char *p, size_t n) {
    bool more = false;
    for (size_t at = 0; at < n;) {
        struct binary_header h;
        CHECK(n - at >= BINARY_HEADER && (uint8_t)p[at] == BINARY_ANSWER);
        binary_read(&h, p + at);
        CHECK((size_t)h.key + h.extras <= h.body && h.body <= n - at - BINARY_HEADER);
        more |= h.opcode == BINARY_stat;
        at += BINARY_HEADER + h.body;
    }
    return more;
}

/* Feeds p[0..n) in pieces drawn from the seed. */
static void feed_cut(struct conn *c, const char *p, size_t n, uint8_t seed) {
    uint32_t x = seed * 2654435761u + 1;
    for (size_t at = 0; at < n;) {
        x = x * 1664525u + 1013904223u;
        size_t piece = seed == 0 ? 1 : 1 + (x >> 16) % (seed * 8u);
        if (piece > n - at) piece = n - at;
        fake_feed(c, p + at, piece);
        at += piece;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char noop[BINARY_HEADER] = {(char)BINARY_REQUEST, BINARY_noop};
    if (size < 2 || size > INPUT_MAX) return 0;
    const char *p = (const char *)data + 1;
    const bool sasl = data[0] == 0xff;
    struct fake_node *a = node_new(sasl), *b = node_new(sasl);
    struct conn *whole = fake_open(a), *cut = fake_open(b);
    size_t na, nb;
    if (!sasl) { /* so that any first byte of the rest is one of a packet */
        fake_feed(whole, noop, sizeof noop);
        fake_feed(cut, noop, sizeof noop);
    }
    fake_feed(whole, p, size - 1);
    feed_cut(cut, p, size - 1, data[0]);
    const char *pa = fake_output(whole, &na), *pb = fake_output(cut, &nb);
    const bool binary = !sasl || (na > 0 && (uint8_t)pa[0] == BINARY_ANSWER);
    if (binary && !tells_more(pa, na) && !tells_more(pb, nb)) {
        CHECK(na == nb && (na == 0 || memcmp(pa, pb, na) == 0));
        CHECK(fake_closed(whole) == fake_closed(cut));
    }
    fake_node_free(a);
    fake_node_free(b);
    return 0;
}
