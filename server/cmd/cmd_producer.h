/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_producer - answers that are written as the client takes them. The connection is parked until the answer is
 * complete, so those behind it wait their turn. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_PRODUCER_H
#define TAGCACHED_CMD_CMD_PRODUCER_H

#include "cmd/session.h"

/* Installs a producer for an answer to come, and parks the connection until cmd_producer_end. */
void cmd_producer_begin(struct session *s, const struct cmd_producer *p, void *state);
/* The answer is complete: removes the producer (without calling its end) and goes on with the connection. */
void cmd_producer_end(struct session *s);

#endif
