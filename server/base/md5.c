/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/md5.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK 64
#define LANES_MAX 16
#define SHORT_MAX 55 /* a longer message needs a second block for its length */

#define BEGIN_A 0x67452301u
#define BEGIN_B 0xefcdab89u
#define BEGIN_C 0x98badcfeu
#define BEGIN_D 0x10325476u

/* The four functions of RFC 1321, 3.4; F and G in a form with one operation less. */
#define F(x, y, z) ((z) ^ ((x) & ((y) ^ (z))))
#define G(x, y, z) ((y) ^ ((z) & ((x) ^ (y))))
#define H(x, y, z) ((x) ^ (y) ^ (z))
#define I(x, y, z) ((y) ^ ((x) | ~(z)))

/* The steps of RFC 1321, 3.4: STEP(function, a, b, c, d, word, constant, rotation). The first 61 give `a` its last
 * value, and with it the first word of the digest. */
#define STEPS_61(STEP)                                                                                                 \
    STEP(F, a, b, c, d, 0, 0xd76aa478u, 7)                                                                             \
    STEP(F, d, a, b, c, 1, 0xe8c7b756u, 12)                                                                            \
    STEP(F, c, d, a, b, 2, 0x242070dbu, 17)                                                                            \
    STEP(F, b, c, d, a, 3, 0xc1bdceeeu, 22)                                                                            \
    STEP(F, a, b, c, d, 4, 0xf57c0fafu, 7)                                                                             \
    STEP(F, d, a, b, c, 5, 0x4787c62au, 12)                                                                            \
    STEP(F, c, d, a, b, 6, 0xa8304613u, 17)                                                                            \
    STEP(F, b, c, d, a, 7, 0xfd469501u, 22)                                                                            \
    STEP(F, a, b, c, d, 8, 0x698098d8u, 7)                                                                             \
    STEP(F, d, a, b, c, 9, 0x8b44f7afu, 12)                                                                            \
    STEP(F, c, d, a, b, 10, 0xffff5bb1u, 17)                                                                           \
    STEP(F, b, c, d, a, 11, 0x895cd7beu, 22)                                                                           \
    STEP(F, a, b, c, d, 12, 0x6b901122u, 7)                                                                            \
    STEP(F, d, a, b, c, 13, 0xfd987193u, 12)                                                                           \
    STEP(F, c, d, a, b, 14, 0xa679438eu, 17)                                                                           \
    STEP(F, b, c, d, a, 15, 0x49b40821u, 22)                                                                           \
    STEP(G, a, b, c, d, 1, 0xf61e2562u, 5)                                                                             \
    STEP(G, d, a, b, c, 6, 0xc040b340u, 9)                                                                             \
    STEP(G, c, d, a, b, 11, 0x265e5a51u, 14)                                                                           \
    STEP(G, b, c, d, a, 0, 0xe9b6c7aau, 20)                                                                            \
    STEP(G, a, b, c, d, 5, 0xd62f105du, 5)                                                                             \
    STEP(G, d, a, b, c, 10, 0x02441453u, 9)                                                                            \
    STEP(G, c, d, a, b, 15, 0xd8a1e681u, 14)                                                                           \
    STEP(G, b, c, d, a, 4, 0xe7d3fbc8u, 20)                                                                            \
    STEP(G, a, b, c, d, 9, 0x21e1cde6u, 5)                                                                             \
    STEP(G, d, a, b, c, 14, 0xc33707d6u, 9)                                                                            \
    STEP(G, c, d, a, b, 3, 0xf4d50d87u, 14)                                                                            \
    STEP(G, b, c, d, a, 8, 0x455a14edu, 20)                                                                            \
    STEP(G, a, b, c, d, 13, 0xa9e3e905u, 5)                                                                            \
    STEP(G, d, a, b, c, 2, 0xfcefa3f8u, 9)                                                                             \
    STEP(G, c, d, a, b, 7, 0x676f02d9u, 14)                                                                            \
    STEP(G, b, c, d, a, 12, 0x8d2a4c8au, 20)                                                                           \
    STEP(H, a, b, c, d, 5, 0xfffa3942u, 4)                                                                             \
    STEP(H, d, a, b, c, 8, 0x8771f681u, 11)                                                                            \
    STEP(H, c, d, a, b, 11, 0x6d9d6122u, 16)                                                                           \
    STEP(H, b, c, d, a, 14, 0xfde5380cu, 23)                                                                           \
    STEP(H, a, b, c, d, 1, 0xa4beea44u, 4)                                                                             \
    STEP(H, d, a, b, c, 4, 0x4bdecfa9u, 11)                                                                            \
    STEP(H, c, d, a, b, 7, 0xf6bb4b60u, 16)                                                                            \
    STEP(H, b, c, d, a, 10, 0xbebfbc70u, 23)                                                                           \
    STEP(H, a, b, c, d, 13, 0x289b7ec6u, 4)                                                                            \
    STEP(H, d, a, b, c, 0, 0xeaa127fau, 11)                                                                            \
    STEP(H, c, d, a, b, 3, 0xd4ef3085u, 16)                                                                            \
    STEP(H, b, c, d, a, 6, 0x04881d05u, 23)                                                                            \
    STEP(H, a, b, c, d, 9, 0xd9d4d039u, 4)                                                                             \
    STEP(H, d, a, b, c, 12, 0xe6db99e5u, 11)                                                                           \
    STEP(H, c, d, a, b, 15, 0x1fa27cf8u, 16)                                                                           \
    STEP(H, b, c, d, a, 2, 0xc4ac5665u, 23)                                                                            \
    STEP(I, a, b, c, d, 0, 0xf4292244u, 6)                                                                             \
    STEP(I, d, a, b, c, 7, 0x432aff97u, 10)                                                                            \
    STEP(I, c, d, a, b, 14, 0xab9423a7u, 15)                                                                           \
    STEP(I, b, c, d, a, 5, 0xfc93a039u, 21)                                                                            \
    STEP(I, a, b, c, d, 12, 0x655b59c3u, 6)                                                                            \
    STEP(I, d, a, b, c, 3, 0x8f0ccc92u, 10)                                                                            \
    STEP(I, c, d, a, b, 10, 0xffeff47du, 15)                                                                           \
    STEP(I, b, c, d, a, 1, 0x85845dd1u, 21)                                                                            \
    STEP(I, a, b, c, d, 8, 0x6fa87e4fu, 6)                                                                             \
    STEP(I, d, a, b, c, 15, 0xfe2ce6e0u, 10)                                                                           \
    STEP(I, c, d, a, b, 6, 0xa3014314u, 15)                                                                            \
    STEP(I, b, c, d, a, 13, 0x4e0811a1u, 21)                                                                           \
    STEP(I, a, b, c, d, 4, 0xf7537e82u, 6)

#define STEPS_LAST(STEP)                                                                                               \
    STEP(I, d, a, b, c, 11, 0xbd3af235u, 10)                                                                           \
    STEP(I, c, d, a, b, 2, 0x2ad7d2bbu, 15)                                                                            \
    STEP(I, b, c, d, a, 9, 0xeb86d391u, 21)

/* --- one message ------------------------------------------------------------------------------------------------- */

static uint32_t load_le32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_le32(uint8_t *p, uint32_t x) {
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(x >> 8 * i);
}

#define STEP_ONE(f, a, b, c, d, k, t, s)                                                                               \
    (a) += f(b, c, d) + m[k] + (t);                                                                                    \
    (a) = ((a) << (s) | (a) >> (32 - (s))) + (b);

static void block(uint32_t state[4], const uint8_t *p) {
    uint32_t m[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (unsigned i = 0; i < 16; i++) m[i] = load_le32(p + 4 * i);
    STEPS_61(STEP_ONE)
    STEPS_LAST(STEP_ONE)
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

static void digest(const void *bytes, size_t n, uint32_t state[4]) {
    const uint8_t *p = bytes;
    uint8_t last[2 * BLOCK] = {0};
    size_t rest = n % BLOCK, nlast = rest <= SHORT_MAX ? BLOCK : 2 * BLOCK;
    uint64_t bits = (uint64_t)n * 8;
    state[0] = BEGIN_A;
    state[1] = BEGIN_B;
    state[2] = BEGIN_C;
    state[3] = BEGIN_D;
    for (size_t i = 0; i + BLOCK <= n; i += BLOCK) block(state, p + i);
    if (rest) memcpy(last, p + n - rest, rest);
    last[rest] = 0x80;
    store_le32(last + nlast - 8, (uint32_t)bits);
    store_le32(last + nlast - 4, (uint32_t)(bits >> 32));
    for (size_t i = 0; i < nlast; i += BLOCK) block(state, last + i);
}

void md5(const void *bytes, size_t n, uint8_t out[MD5_BYTES]) {
    uint32_t state[4];
    digest(bytes, n, state);
    for (unsigned i = 0; i < 4; i++) store_le32(out + 4 * i, state[i]);
}

uint32_t md5_first_of_one(const void *bytes, size_t n) {
    uint32_t state[4];
    digest(bytes, n, state);
    return state[0];
}

/* --- many short keys --------------------------------------------------------------------------------------------- */

/* first_of_lanes is defined once for each width of a vector by md5_lanes.h. */
typedef void lanes_fn(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

/* Sliding windows: 64 bytes of `keep` from BLOCK - len are 0xff for the bytes of a key and 0 behind; those of `end`
 * have 0x80 behind the key's last byte and 0 elsewhere. */
static const uint8_t keep[2 * BLOCK] = {[0 ... BLOCK - 1] = 0xff};
static const uint8_t end[2 * BLOCK] = {[BLOCK] = 0x80};

typedef uint32_t vec4 __attribute__((vector_size(16)));

/* The 16 bytes from byte `at` of the block that a key of len bytes makes, its length aside. */
static inline __attribute__((always_inline)) vec4 row(const char *key, uint32_t len, unsigned at) {
    vec4 bytes, kept, ended;
    memcpy(&bytes, key + at, sizeof bytes);
    memcpy(&kept, keep + BLOCK - len + at, sizeof kept);
    memcpy(&ended, end + BLOCK - len + at, sizeof ended);
    return (bytes & kept) | ended;
}

/* A step on two vectors, whose chains of dependent instructions run side by side. */
#define STEP_TWO(f, a, b, c, d, k, t, s)                                                                               \
    a##0 += f(b##0, c##0, d##0) + m[0][k] + (t);                                                                       \
    a##1 += f(b##1, c##1, d##1) + m[1][k] + (t);                                                                       \
    a##0 = (a##0 << (s) | a##0 >> (32 - (s))) + b##0;                                                                  \
    a##1 = (a##1 << (s) | a##1 >> (32 - (s))) + b##1;

#define LANES_NAME lanes_portable
#define LANES_TARGET
#define LANES_WIDTH 4
#include "base/md5_lanes.h"

#if defined(__x86_64__)
#define LANES_NAME lanes_avx2
#define LANES_TARGET __attribute__((target("avx2")))
#define LANES_WIDTH 8
#include "base/md5_lanes.h"
#endif

#else /* a big-endian machine: one after the other */

static void lanes_portable(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]) {
    for (unsigned i = 0; i < n; i++) out[i] = md5_first_of_one(key[i], len[i]);
}

#endif

#define NARROW 8 /* keys that lanes_portable takes */

/* Groups the short keys into as many as lie side by side, in `wide` lanes or in the narrow ones if there are no more
 * than fit; the others go one by one, and so do one or two. */
static void first_of_many(lanes_fn *wide, unsigned width, const char *const key[], const uint32_t len[], unsigned n,
                          uint32_t out[]) {
    for (unsigned i = 0; i < n;) {
        const char *keys[LANES_MAX];
        uint32_t lens[LANES_MAX], outs[LANES_MAX];
        unsigned at[LANES_MAX], have = 0;
        for (; i < n && have < width; i++) {
            if (len[i] > SHORT_MAX) {
                out[i] = md5_first_of_one(key[i], len[i]);
                continue;
            }
            keys[have] = key[i];
            lens[have] = len[i];
            at[have++] = i;
        }
        if (have > NARROW) {
            wide(keys, lens, have, outs);
        } else if (have > 2) {
            lanes_portable(keys, lens, have, outs);
        } else {
            for (unsigned j = 0; j < have; j++) outs[j] = md5_first_of_one(keys[j], lens[j]);
        }
        for (unsigned j = 0; j < have; j++) out[at[j]] = outs[j];
    }
}

void md5_first_portable(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]) {
    first_of_many(lanes_portable, NARROW, key, len, n, out);
}

void md5_first(const char *const key[], const uint32_t len[], unsigned n, uint32_t out[]) {
#if defined(__x86_64__)
    if (n > NARROW && __builtin_cpu_supports("avx2")) {
        first_of_many(lanes_avx2, LANES_MAX, key, len, n, out);
        return;
    }
#endif
    md5_first_portable(key, len, n, out);
}
