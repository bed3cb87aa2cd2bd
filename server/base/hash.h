/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hash - the two hashes of the store, both XXH3 (64 bit).
 *
 * Keys are hashed with a random seed per node, so that nobody can aim at one bucket; tags without one, so that every
 * node and every restart agrees on them.
 */
#ifndef TAGCACHED_BASE_HASH_H
#define TAGCACHED_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* The hash of a key of n bytes under a seed. Any thread. */
uint64_t hash_key(const void *key, size_t n, uint64_t seed);
/* The hash of a tag's name, never 0 (0 marks an empty place in tables). Any thread. */
uint64_t hash_tag(const void *name, size_t n);

#endif
