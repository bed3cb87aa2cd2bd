/* SPDX-License-Identifier: BSD-3-Clause
 *
 * value - what the load programs store: sizes and bytes that follow from a seed, a key's number and a version, so that
 * whatever comes back can be checked without remembering it.
 *
 * A value is a stretch of one fixed random text, beginning where its hash says. Read-only after init; threads share it.
 */
#ifndef TAGCACHED_BENCH_VALUE_H
#define TAGCACHED_BENCH_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rng.h"

#define VALUE_OFFSETS 65536 /* places in the text where a value may begin */

struct value_model {
    uint64_t seed;
    size_t size_max;
    char *text;      /* size_max + VALUE_OFFSETS bytes */
    uint32_t *sizes; /* 65536 quantiles of the size distribution */
};

/*
 * Prepares sizes as `spec` says: "N", "uniform:A:B" or "lognormal:MEDIAN:SIGMA", held within min..max, and the text, of
 * which at least `longest` bytes can be asked for. False when the spec makes no sense or memory is out.
 */
bool value_init(struct value_model *v, uint64_t seed, const char *spec, uint32_t min, uint32_t max, size_t longest);
void value_fini(struct value_model *v);

/* What size and bytes of key `id` follow from. Mix a version in for values that change. */
static inline uint64_t value_hash(const struct value_model *v, uint64_t id) {
    return rng_mix(id * 0x9e3779b97f4a7c15ull + v->seed);
}

static inline uint32_t value_size(const struct value_model *v, uint64_t hash) {
    return v->sizes[(hash >> 20) & 0xffff];
}

static inline const char *value_bytes(const struct value_model *v, uint64_t hash) {
    return v->text + (hash & (VALUE_OFFSETS - 1));
}

#endif
