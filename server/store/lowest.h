/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lowest - a set of numbers whose lowest member is found at once: a bitmap, a bitmap of its words that are not 0, and
 * so on. Five levels reach 2^30. No locks of its own.
 */
#ifndef TAGCACHED_STORE_LOWEST_H
#define TAGCACHED_STORE_LOWEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOWEST_LEVELS 5
#define LOWEST_NONE UINT32_MAX

struct lowest {
    uint64_t *level[LOWEST_LEVELS]; /* [0]: a bit for each number; above: a bit for each word that is not 0 */
};

/* Bytes of memory that numbers below n need. */
static inline size_t lowest_bytes(uint32_t n) {
    size_t words = 0;
    for (uint64_t k = n, l = 0; l < LOWEST_LEVELS; l++) words += k = (k + 63) / 64;
    return words * sizeof(uint64_t);
}

/* The empty set of numbers below n, in zeroed memory. */
static inline void lowest_init(struct lowest *s, uint32_t n, void *memory) {
    uint64_t *p = memory;
    for (uint64_t k = n, l = 0; l < LOWEST_LEVELS; l++) {
        s->level[l] = p;
        p += k = (k + 63) / 64;
    }
}

static inline bool lowest_has(const struct lowest *s, uint32_t n) {
    return s->level[0][n / 64] >> n % 64 & 1;
}

static inline void lowest_add(struct lowest *s, uint32_t n) {
    for (unsigned l = 0; l < LOWEST_LEVELS; l++, n /= 64) {
        uint64_t *w = &s->level[l][n / 64], before = *w;
        *w |= 1ull << n % 64;
        if (before) return;
    }
}

static inline void lowest_remove(struct lowest *s, uint32_t n) {
    for (unsigned l = 0; l < LOWEST_LEVELS; l++, n /= 64) {
        uint64_t *w = &s->level[l][n / 64];
        *w &= ~(1ull << n % 64);
        if (*w) return;
    }
}

/* The lowest member, or LOWEST_NONE. */
static inline uint32_t lowest_first(const struct lowest *s) {
    uint32_t n = 0;
    if (s->level[LOWEST_LEVELS - 1][0] == 0) return LOWEST_NONE;
    for (unsigned l = LOWEST_LEVELS; l-- > 0;) n = n * 64 + (uint32_t)__builtin_ctzll(s->level[l][n]);
    return n;
}

#endif
