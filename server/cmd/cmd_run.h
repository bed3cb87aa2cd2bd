/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_run - running requests on this node, once they are parsed. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_RUN_H
#define TAGCACHED_CMD_CMD_RUN_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Prefetches the items of the keys of r[0..n), then what is known of their tags: each step for all keys
 * before the next, so that the memory of the first has arrived by then. */
void cmd_run_prefetch(struct cmd_worker *w, struct request *r, unsigned n);
/* Makes up for what was left out because the batch was taken for another node's (struct batch, `far`): from then on
 * the keys of r[0..n) are hashed. */
void cmd_run_near(struct cmd_worker *w, struct request *r, unsigned n);

/* Runs r[0..n) in order; returns how many were run. Fewer: the worker's `retry` is set and r[i] is to be run again, or
 * its `end_batch`, or the connection is halted. */
unsigned cmd_run(struct session *s, struct request *r, unsigned n);

/* Runs those of r[0..n) that need no look at the ring: gets of an item that was stored since the ring is as it is, and
 * sets that replace one, up to the first other request. Returns how many; as with cmd_run, it may be fewer. */
unsigned cmd_run_here(struct session *s, struct request *r, unsigned n);

/* Tells the watchers and the log of a command's line. The line of a get is not kept: each of its keys is told as a
 * command. */
void cmd_run_tell(struct session *s, const struct request *r);

#endif
