/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "http/http_quality.h"

#define FIRST_BYTES 65536 /* more than there usually is */
#define OPEN_METRICS "application/openmetrics-text"

const char *exposition_content_type(bool open_metrics) {
    return open_metrics ? OPEN_METRICS "; version=1.0.0; charset=utf-8" : "text/plain; version=0.0.4; charset=utf-8";
}

bool exposition_wants_open_metrics(const char *accept, size_t n) {
    const unsigned open = http_quality(accept, n, OPEN_METRICS);
    return open > 0 && open >= http_quality(accept, n, "text/plain");
}

/* ------------------------------------------------------------------ bytes */

static void put(struct exposition *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct exposition *e, const char *fmt, ...) {
    for (unsigned attempt = 0; !e->failed && attempt < 2; attempt++) {
        va_list ap;
        const size_t room = e->max - e->n;
        va_start(ap, fmt);
        const int n = vsnprintf(e->p != NULL ? e->p + e->n : NULL, room, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < room) {
            e->n += (size_t)n;
            return;
        }
        const size_t max = e->max == 0 ? FIRST_BYTES : e->max * 2 + (n > 0 ? (size_t)n : 0);
        char *p = realloc(e->p, max);
        e->failed = n < 0 || p == NULL;
        if (p == NULL) return;
        e->p = p;
        e->max = max;
    }
}

/* ------------------------------------------------------------------ families */

static bool ends_with(const char *name, size_t n, const char *end) {
    const size_t m = strlen(end);
    return n >= m && memcmp(name + n - m, end, m) == 0;
}

void exposition_family(struct exposition *e, const char *name, enum exposition_type type, const char *help) {
    static const char *const plain[] = {"counter", "counter", "gauge", "histogram"}, *const open[] = {
                                                                                         "counter", "unknown", "gauge",
                                                                                         "histogram"};
    size_t n = strlen(name);
    e->name = name;
    if (!e->open_metrics) {
        put(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, plain[type]);
        return;
    }
    if (type == EXPOSITION_COUNTER) n -= strlen("_total");
    put(e, "# TYPE %.*s %s\n", (int)n, name, open[type]);
    if (ends_with(name, n, "_seconds")) put(e, "# UNIT %.*s seconds\n", (int)n, name);
    if (ends_with(name, n, "_bytes")) put(e, "# UNIT %.*s bytes\n", (int)n, name);
    put(e, "# HELP %.*s %s\n", (int)n, name, help);
}

static void sample(struct exposition *e, const char *suffix, const char *labels, const char *value) {
    if (labels != NULL)
        put(e, "%s%s{%s} %s\n", e->name, suffix, labels, value);
    else
        put(e, "%s%s %s\n", e->name, suffix, value);
}

void exposition_S(struct exposition *e, const char *labels, const char *v) {
    sample(e, "", labels, v);
}

void exposition_U(struct exposition *e, const char *labels, uint64_t v) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, v);
    sample(e, "", labels, text);
}

void exposition_T(struct exposition *e, const char *labels, struct timeval v) {
    char text[48];
    snprintf(text, sizeof text, "%ld.%06ld", (long)v.tv_sec, (long)v.tv_usec);
    sample(e, "", labels, text);
}

static void seconds(char text[48], uint64_t ns) {
    snprintf(text, 48, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}

void exposition_N(struct exposition *e, const char *labels, uint64_t ns) {
    char text[48];
    seconds(text, ns);
    sample(e, "", labels, text);
}

void exposition_F(struct exposition *e, const char *labels, double v) {
    char text[48];
    snprintf(text, sizeof text, "%.9g", v);
    sample(e, "", labels, text);
}

void exposition_buckets(struct exposition *e, const char *labels, const struct histogram *h, unsigned first,
                        unsigned last) {
    static const char *const le[HISTOGRAM_BOUNDS] = {
#define BOUND(ns, le) le,
#include "base/histogram.def"
#undef BOUND
    };
    const char *const mine = labels != NULL ? labels : "", *const comma = labels != NULL ? "," : "";
    char text[48];
    uint64_t n = 0;
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        n += h->count[i];
        if (i >= first && i <= last) put(e, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", e->name, mine, comma, le[i], n);
    }
    n += h->count[HISTOGRAM_BOUNDS];
    put(e, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", e->name, mine, comma, n);
    seconds(text, h->sum_ns);
    sample(e, "_sum", labels, text);
    snprintf(text, sizeof text, "%" PRIu64, n);
    sample(e, "_count", labels, text);
}

void exposition_end(struct exposition *e) {
    if (e->open_metrics) put(e, "# EOF\n");
}

void exposition_label(char *out, size_t size, const char *name, const char *value) {
    size_t n = (size_t)snprintf(out, size, "%s=\"", name);
    for (; *value != 0 && n + 4 < size; value++) {
        if (*value == '"' || *value == '\\' || *value == '\n') out[n++] = '\\';
        out[n++] = *value == '\n' ? 'n' : *value;
    }
    snprintf(out + n, size - n, "\"");
}
