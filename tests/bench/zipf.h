/* SPDX-License-Identifier: BSD-3-Clause
 *
 * zipf - ranks 1..n drawn with probability proportional to rank^-a, in constant time and space.
 *
 * Rejection-inversion (W. Hoermann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions", 1996). Read-only after init: threads share it, each with its own random state.
 */
#ifndef TAGCACHED_BENCH_ZIPF_H
#define TAGCACHED_BENCH_ZIPF_H

#include <stdint.h>

struct zipf {
    double a, first, last, accept;
    uint64_t n;
};

/* Prepares exponent a > 0 over n >= 1 ranks. */
void zipf_init(struct zipf *z, double a, uint64_t n);
/* A rank, 1..n. */
uint64_t zipf_draw(const struct zipf *z, uint64_t *rng);

#endif
