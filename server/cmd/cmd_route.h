/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_route - a batch of requests in a cluster: whose keys they are, and what becomes of those that are not this
 * node's.
 *
 * Requests from the first one on that is another node's are sent there (cmd_link.h), and the connection waits; nothing
 * behind that request is run. When all are answered the same bytes are shown again: now this node's requests are run
 * and the others take their replies from the record (cmd_forward.h), in order; if none is this node's, the batch does
 * not come here again (cmd_forward_answer.h). On the session's worker, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_ROUTE_H
#define TAGCACHED_CMD_CMD_ROUTE_H

#include <stddef.h>

#include "cmd/session.h"

/* Runs the worker's batch, `count` requests that were parsed from p; returns how many are answered. Fewer: the worker's
 * `retry` or `end_batch` is set, or the connection is halted. */
unsigned cmd_route(struct session *s, const char *p, unsigned count);

#endif
