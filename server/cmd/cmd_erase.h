/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_erase - overwrites what the commands hold of values beside the store (--erase): replies of other nodes, copies of
 * their hot keys, keys that were decoded.
 */
#ifndef TAGCACHED_CMD_CMD_ERASE_H
#define TAGCACHED_CMD_CMD_ERASE_H

#include <stdbool.h>
#include <stdint.h>

struct cmd;

/* Overwrites what worker i holds that it does not need. True: requests to other nodes are under way that were when this
 * was called first, whose replies may hold what is to go; it has to be called again. first: this is that call;
 * since_ns: the node's clock then. On the worker's thread. */
bool cmd_erase(struct cmd *cmd, unsigned i, bool first, uint64_t since_ns);

#endif
