/* SPDX-License-Identifier: BSD-3-Clause */
#include "zipf.h"

#include <math.h>

#include "rng.h"

/* The integral of x^-a from 1, written so that a = 1 needs no case of its own. */
static double integral(double a, double x) {
    double l = log(x), t = (1 - a) * l;
    return (fabs(t) > 1e-8 ? expm1(t) / t : 1 + t / 2) * l;
}

static double integral_inverse(double a, double x) {
    double t = x * (1 - a);
    if (t < -1) t = -1;
    return exp((fabs(t) > 1e-8 ? log1p(t) / t : 1 - t / 2) * x);
}

void zipf_init(struct zipf *z, double a, uint64_t n) {
    z->a = a;
    z->n = n;
    z->first = integral(a, 1.5) - 1;
    z->last = integral(a, (double)n + 0.5);
    z->accept = 2 - integral_inverse(a, integral(a, 2.5) - exp(-a * log(2)));
}

uint64_t zipf_draw(const struct zipf *z, uint64_t *rng) {
    for (;;) {
        double u = z->last + rng_unit(rng) * (z->first - z->last);
        double x = integral_inverse(z->a, u);
        double k = floor(x + 0.5);
        if (k < 1)
            k = 1;
        else if (k > (double)z->n)
            k = (double)z->n;
        if (k - x <= z->accept || u >= integral(z->a, k + 0.5) - exp(-z->a * log(k))) return (uint64_t)k;
    }
}
