/* SPDX-License-Identifier: BSD-3-Clause
 *
 * exposition - writes metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 (which Prometheus
 * prefers; open_metrics_spec.md). One metric family after the other, each followed by its samples.
 *
 * They differ in little: OpenMetrics names a family of counters without _total, tells the unit, ends with # EOF, and
 * has no counter whose samples do not end in _total; those that memcached_exporter has are of type `unknown` there.
 */
#ifndef TAGCACHED_HTTP_EXPOSITION_H
#define TAGCACHED_HTTP_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

struct histogram;

enum exposition_type {
    EXPOSITION_COUNTER, /* the name ends in _total */
    EXPOSITION_ODD,     /* a counter whose name does not */
    EXPOSITION_GAUGE,
    EXPOSITION_HISTOGRAM, /* of seconds; the name ends in _seconds */
};

/* What has been written. Zeros to begin with, but for open_metrics, and memory that was used before. */
struct exposition {
    char *p; /* from malloc; the caller's to free, or to use again */
    size_t n, max;
    bool open_metrics;
    bool failed;      /* there was no memory: it is incomplete */
    const char *name; /* of the family */
};

/* The Content-Type of what is written. */
const char *exposition_content_type(bool open_metrics);
/* Whether an Accept header, which may be empty, asks for OpenMetrics rather than for text. */
bool exposition_wants_open_metrics(const char *accept, size_t n);

/* Begins a family. The name is the whole one, with _total if it is a counter; a literal. */
void exposition_family(struct exposition *e, const char *name, enum exposition_type type, const char *help);

/* One sample of the family. labels: name="value",... as they are to be written, or NULL. The value: _U a number; _S a
 * number as text; _T a time in seconds; _N nanoseconds, written as seconds; _F any number. */
void exposition_U(struct exposition *e, const char *labels, uint64_t v);
void exposition_S(struct exposition *e, const char *labels, const char *v);
void exposition_T(struct exposition *e, const char *labels, struct timeval v);
void exposition_N(struct exposition *e, const char *labels, uint64_t ns);
void exposition_F(struct exposition *e, const char *labels, double v);
/* All samples of a histogram, with the buckets from the bound `first` to `last` of base/histogram.def. */
void exposition_buckets(struct exposition *e, const char *labels, const struct histogram *h, unsigned first,
                        unsigned last);

/* There are no more families. */
void exposition_end(struct exposition *e);

/* Writes name="value" with the value's quotes, backslashes and line ends escaped; cut to fit into out[0..size). */
void exposition_label(char *out, size_t size, const char *name, const char *value);

#endif
