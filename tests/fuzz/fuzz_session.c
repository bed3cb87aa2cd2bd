/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A whole conversation: the first byte seeds how the rest is cut into pieces. The answers must be the same as to the
 * whole in one piece. Store and commands are the real ones. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/fuzz/fake_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 40000 /* below the length from which lines of keys are answered as they arrive */

static struct fake_node *node_new(void) {
    struct fake_options o = {.memory = 4 << 20, .item_size_max = 300000, .prefix_delimiter = ':'};
    return fake_node_new(&o);
}

/* Commands whose answers tell of more than the conversation. */
static bool tells_more(const char *p, size_t n) {
    static const char *const words[] = {"stats", "watch", "lru_crawler", "shutdown"};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (memmem(p, n, words[i], strlen(words[i])) != NULL) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > INPUT_MAX) return 0;
    const char *p = (const char *)data + 1;
    const size_t n = size - 1;
    struct fake_node *a = node_new(), *b = node_new();
    struct conn *whole = fake_open(a), *cut = fake_open(b);
    fake_feed(whole, p, n);
    uint32_t seed = data[0] * 2654435761u + 1;
    for (size_t at = 0; at < n;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = data[0] == 0 ? 1 : 1 + (seed >> 16) % (data[0] * 4u);
        if (piece > n - at) piece = n - at;
        fake_feed(cut, p + at, piece);
        at += piece;
    }
    size_t na, nb;
    const char *pa = fake_output(whole, &na), *pb = fake_output(cut, &nb);
    if (!tells_more(p, n)) {
        CHECK(na == nb && (na == 0 || memcmp(pa, pb, na) == 0));
        CHECK(fake_closed(whole) == fake_closed(cut));
    }
    fake_node_free(a);
    fake_node_free(b);
    return 0;
}
