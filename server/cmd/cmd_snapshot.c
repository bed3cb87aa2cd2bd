/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_snapshot.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sync.h"
#include "cmd/cmd_metrics.h"
#include "cmd/instance.h"
#include "cmd/observers.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unversioned"
#endif

void cmd_snapshot_take(struct cmd *cmd, struct cmd_snapshot *v) {
    memset(v, 0, sizeof *v);
    v->pid = (uint64_t)getpid();
    v->uptime_s = cmd_uptime_s(cmd);
    v->time = (uint64_t)clock_wall_s(cmd->cfg.clock);
    v->libevent = event_get_version();
    v->version = PACKAGE_VERSION;
    getrusage(RUSAGE_SELF, &v->usage);
    cmd->cfg.up.net_stats(cmd->cfg.up.arg, &v->net);
    store_gauges(cmd->store, &v->store);
    cmd_watch_stats(cmd, &v->watch);
    v->used_chunks = (v->store.bytes + CMD_SNAPSHOT_CHUNK - 1) / CMD_SNAPSHOT_CHUNK;
    uint64_t chunks = v->store.segments * (v->store.segment_bytes / CMD_SNAPSHOT_CHUNK);
    if (v->used_chunks > chunks) v->used_chunks = chunks; /* the gauges were read one after the other */
    for (unsigned i = 0; i < CMD_METRICS; i++) v->cmd[i] = cmd_metrics_sum(cmd, (enum cmd_metric)i);
    for (unsigned i = 0; i < STORE_METRICS; i++) v->items[i] = store_metric(cmd->store, (enum store_metric)i);
}

bool cmd_snapshot_cluster(struct cmd *cmd, struct cluster_gauges *out) {
    memset(out, 0, sizeof *out);
    if (cmd->cluster == NULL) return false;
    cmd->cluster->gauges(cmd->cluster->arg, out);
    return true;
}

/* ------------------------------------------------------------------ settings */

struct settings_to {
    struct cmd *cmd;
    void (*fn)(void *arg, const char *name, const char *value);
    void *arg;
};

/* Shows a setting; of those that commands may change, its present value. */
static void setting(void *arg, const char *name, const char *value) {
    const struct settings_to *to = arg;
    char now[24];
    if (strcmp(name, "maxbytes") == 0) {
        struct store_gauges g;
        store_gauges(to->cmd->store, &g);
        snprintf(now, sizeof now, "%" PRIu64, g.limit_bytes);
        value = now;
    } else if (strcmp(name, "detail_enabled") == 0) {
        value = (sync_load(&to->cmd->observed) & CMD_OBSERVE_DETAIL) != 0 ? "yes" : "no";
    } else if (strcmp(name, "track_sizes") == 0) {
        value = sync_load(&to->cmd->sizes_on) != 0 ? "yes" : "no";
    }
    to->fn(to->arg, name, value);
}

void cmd_snapshot_settings(struct cmd *cmd, void (*fn)(void *arg, const char *name, const char *value), void *arg) {
    struct settings_to to = {cmd, fn, arg};
    cmd->cfg.up.settings_each(cmd->cfg.up.arg, setting, &to);
}
