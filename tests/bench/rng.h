/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rng - the benchmark tools' random numbers: a counter through a 64-bit finaliser (splitmix64), the same on every
 * machine for a seed. State is one word owned by the caller; threads use one each.
 */
#ifndef TAGCACHED_BENCH_RNG_H
#define TAGCACHED_BENCH_RNG_H

#include <stdint.h>

/* A bijection that scatters every bit of x. */
static inline uint64_t rng_mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* The next 64 bits. */
static inline uint64_t rng_next(uint64_t *state) {
    return rng_mix(*state += 0x9e3779b97f4a7c15ull);
}

/* The next number in [0, 1). */
static inline double rng_unit(uint64_t *state) {
    return (double)(rng_next(state) >> 11) * 0x1p-53;
}

#endif
