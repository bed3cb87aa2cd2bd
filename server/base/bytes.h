/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bytes - comparing and copying short runs of bytes in line: keys, which are too short for a call to pay. Any thread.
 */
#ifndef TAGCACHED_BASE_BYTES_H
#define TAGCACHED_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

static inline bool bytes_same_16(const void *a, const void *b) {
    __m128i x = _mm_loadu_si128((const __m128i *)a), y = _mm_loadu_si128((const __m128i *)b);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(x, y)) == 0xffff;
}
#endif

/* Whether n bytes are the same. */
static inline bool bytes_same(const void *a, const void *b, size_t n) {
    const char *p = a, *q = b;
    uint64_t x, y;
#if defined(__SSE2__)
    if (n >= 16) {
        for (size_t i = 0; i + 16 < n; i += 16)
            if (!bytes_same_16(p + i, q + i)) return false;
        return bytes_same_16(p + n - 16, q + n - 16);
    }
#endif
    if (n >= 8) {
        for (size_t i = 0; i + 8 < n; i += 8) {
            memcpy(&x, p + i, 8);
            memcpy(&y, q + i, 8);
            if (x != y) return false;
        }
        memcpy(&x, p + n - 8, 8);
        memcpy(&y, q + n - 8, 8);
        return x == y;
    }
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i]) return false;
    return true;
}

/* Copies n bytes between places that do not overlap. */
static inline void bytes_copy(void *to, const void *from, size_t n) {
    char *p = to;
    const char *q = from;
    if (n >= 16 && n <= 32) {
        memcpy(p, q, 16);
        memcpy(p + n - 16, q + n - 16, 16);
    } else if (n >= 8 && n < 16) {
        memcpy(p, q, 8);
        memcpy(p + n - 8, q + n - 8, 8);
    } else {
        memcpy(p, q, n);
    }
}

#endif
