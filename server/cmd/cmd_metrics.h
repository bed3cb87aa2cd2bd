/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_metrics - the counters of the commands, summed over the workers. Any thread.
 */
#ifndef TAGCACHED_CMD_CMD_METRICS_H
#define TAGCACHED_CMD_CMD_METRICS_H

#include <stdint.h>

#include "cmd/cmd_config.h"

struct cmd;

/* A counter since the start or the last reset. */
uint64_t cmd_metrics_sum(const struct cmd *cmd, enum cmd_metric m);
/* `stats reset`. */
void cmd_metrics_reset(struct cmd *cmd);

#endif
