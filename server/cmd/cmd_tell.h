/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_tell - tells other nodes that keys are being changed of which they hold copies (proto/link.h, LINK_GONE), until
 * they have answered or the copies have ended. On the worker that tells.
 *
 * This goes over links of its own, one a worker and member, made when it is first needed: on a worker's other links a
 * message could stand behind a request that waits for the answer to such a message, and two nodes could wait for each
 * other. Nothing on these links ever waits.
 */
#ifndef TAGCACHED_CMD_CMD_TELL_H
#define TAGCACHED_CMD_CMD_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/instance.h"

#define TELL_AGAIN_MS 50 /* before a link that was refused, or broke, is made anew */

struct cmd_tells;

/* What the worker has to tell: nothing. `answered` is called when a member that was told of this closing (holders.h)
 * says that its copies are gone. NULL: no memory. */
struct cmd_tells *cmd_tell_new(struct cmd_worker *w,
                               void (*answered)(struct cmd *cmd, uint64_t closing, uint32_t member));
/* No connection is left. NULL is allowed. */
void cmd_tell_free(struct cmd_tells *t);

/* Tells a member that the key of this name was closed, until then. Without memory nothing is told, and the copies end
 * by themselves. */
void cmd_tell(struct cmd_tells *t, uint32_t member, uint64_t name, uint64_t closing, uint64_t until_ns);
/* To be called every few milliseconds while it returns true: something is not answered yet. */
bool cmd_tell_time(struct cmd_tells *t);

#endif
