/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_view - the views of the cluster that the workers go by. Setting one is in cmd.h.
 */
#ifndef TAGCACHED_CMD_CMD_VIEW_H
#define TAGCACHED_CMD_CMD_VIEW_H

struct cmd;

/* Frees the last view, when no worker runs any more. */
void cmd_view_free(struct cmd *cmd);

<<<<<<< HEAD
=======
/* What the worker has in its store may be from before a ring: those of its keys that were elsewhere meanwhile, or all,
 * if this node knows no cluster yet, are not found from now on. Outside a section. */
void cmd_view_fence(struct cmd_worker *w);
/* Whether there is no cluster yet that the worker's keys could be of. */
bool cmd_view_waits(const struct cmd_worker *w);

>>>>>>> procs
#endif
