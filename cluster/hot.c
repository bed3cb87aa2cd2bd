/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/hot.h"

#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define COLUMN_BITS 12

_Static_assert(1 << COLUMN_BITS == HOT_COLUMNS, "a column is so many bits of the hash");
_Static_assert(COLUMN_BITS *HOT_ROWS <= 64, "each row has bits of its own");

void hot_init(struct hot *h, unsigned sample, uint64_t seed, uint64_t now_ns) {
    h->sample = sample;
    h->halved_ns = now_ns;
    rand_init(&h->rand, seed);
    h->skip = hot_draw(h);
}

uint32_t hot_draw(struct hot *h) {
    return (uint32_t)rand_below(&h->rand, 2 * h->sample - 1); /* with the one behind it: h->sample on average */
}

static uint32_t *cell(struct hot *h, unsigned row, uint64_t hash) {
    return &h->cell[row][hash >> (64 - COLUMN_BITS * (row + 1)) & (HOT_COLUMNS - 1)];
}

/* What the sketch knows of a key: never less than its count. */
static uint32_t estimate(struct hot *h, uint64_t hash) {
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < HOT_ROWS; i++)
        if (*cell(h, i, hash) < least) least = *cell(h, i, hash);
    return least;
}

void hot_age(struct hot *h, uint64_t now_ns) {
    if (likely(now_ns < h->halved_ns + SECOND_NS)) return;
    const uint64_t seconds = (now_ns - h->halved_ns) / SECOND_NS;
    const unsigned shift = seconds < 31 ? (unsigned)seconds : 31;
    h->halved_ns += seconds * SECOND_NS;
    h->total = seconds < 63 ? h->total >> seconds : 0;
    for (unsigned i = 0; i < HOT_ROWS; i++)
        for (unsigned k = 0; k < HOT_COLUMNS; k++) h->cell[i][k] >>= shift;
    unsigned n = 0;
    for (unsigned i = 0; i < h->ntop; i++) {
        h->top[i].count >>= shift;
        if (h->top[i].count > 0) h->top[n++] = h->top[i];
    }
    h->ntop = n;
    h->least >>= shift;
}

static inline bool is_same(const struct hot_key *k, uint64_t hash, const char *key, size_t len) {
    return k->hash == hash && k->len == len && memcmp(k->key, key, len) == 0;
}

/* The key's place among those known by name, or that of the one that makes room for it; NULL: it has too few. */
static struct hot_key *place(struct hot *h, uint64_t hash, const char *key, size_t len, uint32_t count) {
    uint8_t *hint = &h->hint[hash % HOT_HINTS];
    unsigned at = h->ntop, least = 0;
    if (*hint < h->ntop && is_same(&h->top[*hint], hash, key, len)) return &h->top[*hint];
    if (h->ntop == HOT_TOP && count <= h->least) return NULL;
    for (unsigned i = 0; i < h->ntop && at == h->ntop; i++) {
        if (is_same(&h->top[i], hash, key, len)) at = i;
        if (h->top[i].count < h->top[least].count) least = i;
    }
    if (at == HOT_TOP) {
        h->least = h->top[least].count;
        if (count <= h->least) return NULL;
        at = least;
    } else if (at == h->ntop) {
        h->ntop++;
    }
    *hint = (uint8_t)at;
    return &h->top[at];
}

void hot_count(struct hot *h, uint64_t hash, const char *key, size_t len, uint64_t now_ns) {
    if (len > HOT_KEY_MAX) return;
    hot_age(h, now_ns);
    h->total++;
    for (unsigned i = 0; i < HOT_ROWS; i++) ++*cell(h, i, hash);
    const uint32_t count = estimate(h, hash);
    struct hot_key *k = place(h, hash, key, len, count);
    if (k == NULL) return;
    k->hash = hash;
    k->count = count;
    k->len = (uint8_t)len;
    memcpy(k->key, key, len);
}

/* A count of a steady rate r is between r, right after it was halved, and 2 r a second later. */
uint64_t hot_rate(const struct hot *h, uint64_t count, uint64_t now_ns) {
    const uint64_t since_ns = now_ns > h->halved_ns ? now_ns - h->halved_ns : 0;
    return count * h->sample * SECOND_NS / (SECOND_NS + since_ns);
}

bool hot_is_hot(struct hot *h, uint64_t hash, uint64_t now_ns) {
    hot_age(h, now_ns);
    const uint64_t count = estimate(h, hash);
    return count * 100 > h->total * HOT_SHARE_PERCENT && hot_rate(h, count, now_ns) > HOT_RATE;
}
