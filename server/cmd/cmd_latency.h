/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_latency - how long requests take, from when their bytes were read until their answer was written, by sampling.
 *
 * One in CMD_LATENCY_SAMPLE of the times that a worker has read a client's bytes is timed, and counts for the kind of
 * its first command. What is written then is the answer to all that was read, so a client that pipelines sees how long
 * its whole batch took. A request whose answer comes later (another node has the key, a purge is confirmed) is timed
 * until it comes. Only the connections of cmd_timed_handler are timed; the others pay nothing, not even a test.
 *
 * On the session's worker, but for cmd_latency_sum.
 */
#ifndef TAGCACHED_CMD_CMD_LATENCY_H
#define TAGCACHED_CMD_CMD_LATENCY_H

#include <stddef.h>

#include "cmd/cmd_latencies.h"

#define CMD_LATENCY_SAMPLE 64

struct cmd;
struct session;

/* cmd_input, timed. */
size_t cmd_latency_input(struct session *s, char *p, size_t n);
/* The connection closes. */
void cmd_latency_close(const struct session *s);

/* What all workers have measured of one kind, and of purges. Any thread. */
void cmd_latency_sum(const struct cmd *cmd, enum cmd_latency kind, struct histogram *out);
void cmd_latency_sum_purges(const struct cmd *cmd, struct histogram *out);

#endif
