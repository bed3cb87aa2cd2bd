/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_metrics.h"

#include "base/sync.h"
#include "cmd/instance.h"

static uint64_t sum(const struct cmd *cmd, enum cmd_metric m) {
    uint64_t v = 0;
    for (unsigned i = 0; i < cmd->nworkers; i++) v += sync_load(&cmd->workers[i].metrics[m]);
    return v;
}

uint64_t cmd_metrics_sum(const struct cmd *cmd, enum cmd_metric m) {
    return sum(cmd, m) - sync_load(&cmd->base[m]);
}

void cmd_metrics_reset(struct cmd *cmd) {
    for (unsigned m = 0; m < CMD_METRICS; m++) {
        if (m == CMD_METRIC_links_open) continue; /* it counts what there is now */
        sync_store(&cmd->base[m], sum(cmd, (enum cmd_metric)m));
    }
}
