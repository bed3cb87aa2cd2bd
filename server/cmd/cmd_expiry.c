/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_expiry.h"

#include "base/log.h"
#include "base/sync.h"
#include "cmd/instance.h"
#include "cmd/session.h"
#include "store/store.h"

#define LONG_AGO 1000000000 /* unix time, in 2001: nobody who speaks of a moment means an earlier one */

int64_t cmd_expiry_ttl(const struct session *s, uint32_t expiry) {
    if (expiry == 0) return -1;
    int64_t left = store_ttl(expiry, store_now(s->worker->store));
    return left < 0 ? 0 : left;
}

void cmd_expiry_passed(struct session *s, int64_t exptime) {
    struct cmd *cmd = s->worker->cmd;
    cmd_bump(s, CMD_METRIC_store_expired_at_birth);
    if (sync_load(&cmd->expiry_logged) || sync_exchange(&cmd->expiry_logged, true)) return;
    log_event(cmd->cfg.log, LOG_ALWAYS, "expired_at_birth",
              "exptime=%lld reason=\"%s\" counted_as=store_expired_at_birth", (long long)exptime,
              exptime < LONG_AGO ? "seconds to live were probably meant, but so many are taken as unix time, which has "
                                   "passed: -o relative_ttl_max raises the limit"
                                 : "taken as unix time, it has passed: the clocks of client and server may differ");
}
