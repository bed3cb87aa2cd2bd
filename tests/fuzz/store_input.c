/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the bytes mean: keys, tags, times, values. */
#include <stdio.h>

#include "base/hash.h"
#include "store/seconds.h"
#include "store_run.h"

unsigned byte(void) {
    return run.p < run.end ? *run.p++ : 0;
}

bool coin(unsigned of) {
    return byte() % of == 0;
}

uint8_t few_tags(void) {
    unsigned a = byte(), b = byte();
    return (uint8_t)(a & b);
}

unsigned key_name(unsigned key, char out[16]) {
    static const char *const prefix[4] = {"", "p:", "p:q:", "other"};
    return (unsigned)snprintf(out, 16, "%s%u", prefix[key % 4], key);
}

struct store_key key_of(unsigned key) {
    static char name[4][16];
    static unsigned turn;
    char *p = name[turn++ % 4];
    unsigned n = key_name(key, p);
    return store_key(run.lab.s, p, n);
}

uint64_t tag_hash(unsigned t) {
    if (t == 6) return hash_tag("p:", 2);
    if (t == 7) return hash_tag("p:q:", 4);
    char name = (char)('a' + t);
    return hash_tag(&name, 1);
}

unsigned tags_of(uint8_t mask, uint64_t *out) {
    unsigned n = 0;
    for (unsigned t = 0; t < MODEL_TAGS; t++)
        if (mask >> t & 1) out[n++] = tag_hash(t);
    return n;
}

uint32_t expiry(void) {
    unsigned b = byte();
    return b < 128 ? 0 : seconds_now(run.lab.s) + b % 40;
}

uint64_t make_value(void) {
    unsigned kind = byte(), seed = byte();
    if (kind < 100) return (uint64_t)snprintf((char *)run.value, VALUE_MAX, "%u%s", seed * 37, kind % 8 ? "" : " ");
    uint64_t n = kind < 200   ? seed
                 : kind < 240 ? seed * 30
                 : kind < 248 ? 8000 + seed * 8
                 : kind < 254 ? seed * 250
                              : seed * 1500;
    for (uint64_t i = 0; i < n; i++) run.value[i] = (uint8_t)(seed + i * 11 + kind);
    return n;
}
