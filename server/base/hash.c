/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hash.h"

uint64_t hash_long(const void *key, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(key, n, seed);
}

uint64_t hash_tag(const void *name, size_t n) {
    uint64_t h = XXH3_64bits(name, n);
    return h ? h : 1;
}
