/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

uint64_t rand_secret(void) {
    uint64_t v;
    ssize_t n;
    do n = getrandom(&v, sizeof v, 0);
    while (n < 0 && errno == EINTR);
    CHECK(n == (ssize_t)sizeof v); /* requests up to 256 bytes are never short */
    return v;
}

/* splitmix64 (G. Steele and others, 2014): spreads a seed of few bits over the whole state. */
static uint64_t splitmix(uint64_t *x) {
    uint64_t z = *x += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void rand_init(struct rand *r, uint64_t seed) {
    for (unsigned i = 0; i < 4; i++) r->s[i] = splitmix(&seed);
}

static uint64_t rotl(uint64_t x, int k) {
    return x << k | x >> (64 - k);
}

/* xoshiro256** (D. Blackman and S. Vigna, 2018). */
uint64_t rand_next(struct rand *r) {
    uint64_t *s = r->s;
    uint64_t result = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rand_below(struct rand *r, uint64_t n) {
    CHECK(n > 0);
    uint64_t v = rand_next(r);
    if (v < n) { /* rarely: the first 2^64 mod n values, which are fewer than n, would favour small results */
        uint64_t reject = -n % n;
        while (v < reject) v = rand_next(r);
    }
    return v % n;
}
