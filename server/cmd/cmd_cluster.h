/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_cluster - what clients and operators ask of the cluster: `cluster ...`, `stats cluster`, and the list of nodes
 * for clients that discover them. Without a cluster all of it says so.
 *
 * Changes are accepted on a listener of this name (the admin socket of a state directory is one) and from users whose
 * line in the password file ends in `:admin`; not simply from loopback, since web applications can be made to speak to
 * it. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_CLUSTER_H
#define TAGCACHED_CMD_CMD_CLUSTER_H

#include "cmd/cmd_stat_line.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/net_config.h"

#define CMD_ADMIN_LISTENER NET_ADMIN

/* The group `cluster` of `stats`. */
void cmd_cluster_stats(const struct cmd_stat_line *to);

/* Whether a key is the one that old discovering clients get: it is answered like `config get cluster`. */
bool cmd_cluster_is_discovery(const struct session *s, const struct request *r);
/* Answers it, as a get of that key. */
void cmd_cluster_discover(struct session *s, const struct request *r);

#endif
