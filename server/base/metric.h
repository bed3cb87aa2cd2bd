/* SPDX-License-Identifier: BSD-3-Clause
 *
 * metric - counters kept as one row per thread and summed when somebody asks.
 *
 * A module declares its counters once, as METRIC(name, help) rows in its *.metrics.def, and makes an enum of them. Each
 * thread bumps its own row with sync_bump; a reader adds the rows up. (One shared counter costs tens of nanoseconds a
 * bump as soon as two threads use it.)
 */
#ifndef TAGCACHED_BASE_METRIC_H
#define TAGCACHED_BASE_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"

/* Sum of counter m over `rows` rows that lie `stride` bytes apart, the first at `first`. Any thread. */
static inline uint64_t metric_sum(const uint64_t *first, size_t stride, unsigned rows, unsigned m) {
    const char *row = (const char *)first;
    uint64_t sum = 0;
    for (unsigned i = 0; i < rows; i++, row += stride) sum += sync_load((const uint64_t *)(const void *)row + m);
    return sum;
}

#endif
