/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hist - a histogram of nanoseconds: 64 steps to each power of two, so a quantile is off by less than 1.6 %.
 *
 * One writer; merge copies after the writer has stopped.
 */
#ifndef TAGCACHED_BENCH_HIST_H
#define TAGCACHED_BENCH_HIST_H

#include <stdint.h>
#include <stdio.h>

#define HIST_BINS (64 * 44)

struct hist {
    uint64_t n[HIST_BINS], count, sum, max;
};

static inline unsigned hist_bin(uint64_t v) {
    if (v < 64) return (unsigned)v;
    unsigned e = 63u - (unsigned)__builtin_clzll(v);
    unsigned i = ((e - 5) << 6) + (unsigned)((v >> (e - 6)) & 63);
    return i < HIST_BINS ? i : HIST_BINS - 1;
}

static inline void hist_add(struct hist *h, uint64_t v) {
    h->n[hist_bin(v)]++;
    h->count++;
    h->sum += v;
    if (v > h->max) h->max = v;
}

/* Adds what `from` holds to `to`. */
void hist_merge(struct hist *to, const struct hist *from);
/* The value that the share p (0..1) of all does not exceed; 0 of an empty one. */
double hist_quantile(const struct hist *h, double p);
/* How many exceed v, to the histogram's precision. */
uint64_t hist_above(const struct hist *h, uint64_t v);
/* [[microseconds,count],...] of the bins that are not empty, nothing after it: for who merges histograms elsewhere. */
void hist_print_bins_us(const struct hist *h, FILE *f);
/* {"count":..,"avg":..,"p50":..,...,"max":..} in microseconds, nothing after it. */
void hist_print_us(const struct hist *h, FILE *f);

#endif
