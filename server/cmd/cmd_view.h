/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_view - the views of the cluster that the workers go by. Setting one is in cmd.h.
 */
#ifndef TAGCACHED_CMD_CMD_VIEW_H
#define TAGCACHED_CMD_CMD_VIEW_H

struct cmd;

/* Frees the last view, when no worker runs any more. */
void cmd_view_free(struct cmd *cmd);

#endif
