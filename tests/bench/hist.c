/* SPDX-License-Identifier: BSD-3-Clause */
#include "hist.h"

#include <inttypes.h>
#include <math.h>

/* The middle of a bin. */
static double bin_value(unsigned i) {
    if (i < 64) return (double)i;
    unsigned e = (i >> 6) + 5;
    return (double)((1ull << e) + ((uint64_t)(i & 63) << (e - 6)) + (1ull << (e - 6)) / 2);
}

void hist_merge(struct hist *to, const struct hist *from) {
    for (unsigned i = 0; i < HIST_BINS; i++) to->n[i] += from->n[i];
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max) to->max = from->max;
}

double hist_quantile(const struct hist *h, double p) {
    if (!h->count) return 0;
    uint64_t want = (uint64_t)ceil(p * (double)h->count), seen = 0;
    for (unsigned i = 0; i < HIST_BINS; i++)
        if ((seen += h->n[i]) >= want) return fmin(bin_value(i), (double)h->max);
    return (double)h->max;
}

uint64_t hist_above(const struct hist *h, uint64_t v) {
    uint64_t n = 0;
    for (unsigned i = hist_bin(v) + 1; i < HIST_BINS; i++) n += h->n[i];
    return n;
}

void hist_print_bins_us(const struct hist *h, FILE *f) {
    const char *before = "[";
    for (unsigned i = 0; i < HIST_BINS; i++) {
        if (h->n[i] == 0) continue;
        fprintf(f, "%s[%.1f,%" PRIu64 "]", before, bin_value(i) / 1e3, h->n[i]);
        before = ",";
    }
    fputs(h->count == 0 ? "[]" : "]", f);
}

void hist_print_us(const struct hist *h, FILE *f) {
    fprintf(f,
            "{\"count\":%" PRIu64 ",\"avg\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"p9999\":%.1f,"
            "\"max\":%.1f,\"over_1ms\":%" PRIu64 ",\"over_5ms\":%" PRIu64 "}",
            h->count, h->count ? (double)h->sum / (double)h->count / 1e3 : 0, hist_quantile(h, .5) / 1e3,
            hist_quantile(h, .9) / 1e3, hist_quantile(h, .99) / 1e3, hist_quantile(h, .999) / 1e3,
            hist_quantile(h, .9999) / 1e3, (double)h->max / 1e3, hist_above(h, 1000000), hist_above(h, 5000000));
}
