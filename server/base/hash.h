/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hash - the two hashes of the store, both XXH3 (64 bit).
 *
 * Keys are hashed with a random seed per node, so that nobody can aim at one bucket; tags without one, so that every
 * node and every restart agrees on them. A key's hash is computed in line: it is a fifth of what finding one costs.
 */
#ifndef TAGCACHED_BASE_HASH_H
#define TAGCACHED_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_SHORT 32 /* bytes of a key up to which it is hashed in line */

/* hash_key of any key: out of line. */
uint64_t hash_long(const void *key, size_t n, uint64_t seed);

/* The hash of a key of n bytes under a seed. Any thread. */
static inline uint64_t hash_key(const void *key, size_t n, uint64_t seed) {
    return n <= HASH_SHORT ? XXH3_64bits_withSeed(key, n, seed) : hash_long(key, n, seed);
}

/* The hash of a tag's name, never 0 (0 marks an empty place in tables). Any thread. */
uint64_t hash_tag(const void *name, size_t n);

#endif
