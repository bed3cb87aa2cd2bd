/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_snapshot - all that statistics and metrics show, as of one moment: `stats` and /metrics are made of it, so they
 * cannot differ. Any thread; takes no lock that a request for a key takes.
 */
#ifndef TAGCACHED_CMD_CMD_SNAPSHOT_H
#define TAGCACHED_CMD_CMD_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "cluster/cluster_gauges.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_watch.h"
#include "store/store.h"

#define CMD_SNAPSHOT_CHUNK 32 /* bytes of what `stats slabs` calls a chunk */

struct cmd;

struct cmd_snapshot {
    uint64_t pid, uptime_s, time, used_chunks;
    const char *libevent, *version;
    struct rusage usage;
    struct cmd_net_stats net;
    struct store_gauges store;
    struct cmd_watch_stats watch;
    uint64_t cmd[CMD_METRICS];
    uint64_t items[STORE_METRICS];
};

void cmd_snapshot_take(struct cmd *cmd, struct cmd_snapshot *v);
/* The gauges of the cluster's thread. False: this node stands alone, *out is zeros. */
bool cmd_snapshot_cluster(struct cmd *cmd, struct cluster_gauges *out);
/* Shows each setting as it is now, in the order of `stats settings`. */
void cmd_snapshot_settings(struct cmd *cmd, void (*fn)(void *arg, const char *name, const char *value), void *arg);

#endif
