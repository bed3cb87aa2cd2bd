/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_deadline - what time does to requests that other nodes are asked: deadlines, repeats, and the breaker, which
 * keeps a peer that does not answer from being waited for again and again. On the worker.
 */
#ifndef TAGCACHED_CMD_CMD_DEADLINE_H
#define TAGCACHED_CMD_CMD_DEADLINE_H

#include "cmd/cmd_link.h"

/* A record is under way: sees to it that its deadline is looked at. Cheap when that is so already. */
void cmd_deadline_watch(struct cmd_peers *p);
/* Has the input of f's session shown again in about ms milliseconds, to send again what is wanted. */
void cmd_deadline_again(struct cmd_peers *p, struct forward *f, unsigned ms);
/* Has `tick` called with each look at the deadlines, for as long as it returns true. There is one a worker. */
void cmd_deadline_tick(struct cmd_peers *p, bool (*tick)(struct cmd_worker *w));
/* The peer answers again, or its connection is another one: closes the breaker. */
void cmd_deadline_close(struct cmd_peers *p, struct cmd_link *l);

#endif
