/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_log - what the commands write to the log: each command (-vv).
 */
#ifndef TAGCACHED_CMD_CMD_LOG_H
#define TAGCACHED_CMD_CMD_LOG_H

#include "cmd/session.h"

/* Brings CMD_OBSERVE_LOG in line with the log's verbosity. Any thread. */
void cmd_log_adapt(struct cmd *cmd);
/* Logs a command: p[0..n) is its line. */
void cmd_log_command(struct session *s, const char *p, size_t n);
/* Sets the log's verbosity. Any thread. */
void cmd_log_set(struct cmd *cmd, uint32_t level);

#endif
