/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_latencies - what a worker has measured of how long requests take (cmd_latency.h). Types only. The worker's thread
 * writes it; the histograms may be read by any.
 */
#ifndef TAGCACHED_CMD_CMD_LATENCIES_H
#define TAGCACHED_CMD_CMD_LATENCIES_H

#include <stdint.h>

#include "base/histogram.h"

/* The kinds of commands that are told apart. */
enum cmd_latency {
#define LATENCY(name) CMD_LATENCY_##name,
#include "cmd/latency.def"
#undef LATENCY
    CMD_LATENCIES
};

struct session;

struct cmd_latencies {
    const struct session *session; /* whose answer is awaited; NULL: none is */
    uint64_t since_ns;
    enum cmd_latency kind; /* of the command that it has asked */
    struct histogram of[CMD_LATENCIES];
    struct histogram purge_apply; /* of a node that stands alone: every purge, from when it was asked for */
};

#endif
