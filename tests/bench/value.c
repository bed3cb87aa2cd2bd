/* SPDX-License-Identifier: BSD-3-Clause */
#include "value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum shape { SHAPE_FIXED, SHAPE_UNIFORM, SHAPE_LOGNORMAL };

/* The standard normal's quantile p, by bisection of erfc: used 65536 times at start, so it need not be fast. */
static double normal_quantile(double p) {
    double lo = -9, hi = 9;
    for (int i = 0; i < 60; i++) {
        double mid = (lo + hi) / 2;
        if (0.5 * erfc(-mid / sqrt(2)) < p)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static bool parse_shape(const char *spec, enum shape *shape, double *a, double *b) {
    char end;
    *b = 0;
    if (sscanf(spec, "uniform:%lf:%lf%c", a, b, &end) == 2) {
        *shape = SHAPE_UNIFORM;
        return *a >= 0 && *b >= *a;
    }
    if (sscanf(spec, "lognormal:%lf:%lf%c", a, b, &end) == 2) {
        *shape = SHAPE_LOGNORMAL;
        return *a > 0 && *b >= 0;
    }
    *shape = SHAPE_FIXED;
    return sscanf(spec, "%lf%c", a, &end) == 1 && *a >= 0;
}

static double quantile(enum shape shape, double a, double b, double q) {
    switch (shape) {
    case SHAPE_UNIFORM: return floor(a + q * (b - a + 1));
    case SHAPE_LOGNORMAL: return a * exp(b * normal_quantile(q));
    default: return a;
    }
}

bool value_init(struct value_model *v, uint64_t seed, const char *spec, uint32_t min, uint32_t max, size_t longest) {
    enum shape shape;
    double a, b;
    *v = (struct value_model){.seed = rng_mix(seed + 0x1234567), .size_max = longest};
    if (!parse_shape(spec, &shape, &a, &b)) return false;
    v->sizes = malloc(65536 * sizeof *v->sizes);
    if (!v->sizes) return false;
    for (unsigned i = 0; i < 65536; i++) {
        double s = quantile(shape, a, b, (i + 0.5) / 65536);
        if (shape == SHAPE_LOGNORMAL) s = fmin(fmax(s, min), max);
        if (s > UINT32_MAX) s = UINT32_MAX;
        v->sizes[i] = (uint32_t)s;
        if (v->sizes[i] > v->size_max) v->size_max = v->sizes[i];
    }
    v->text = malloc(v->size_max + VALUE_OFFSETS);
    if (!v->text) return false;
    uint64_t rng = v->seed;
    for (size_t i = 0; i < v->size_max + VALUE_OFFSETS; i++) v->text[i] = (char)('!' + (rng_next(&rng) >> 32) % 94);
    return true;
}

void value_fini(struct value_model *v) {
    free(v->sizes);
    free(v->text);
    *v = (struct value_model){0};
}
