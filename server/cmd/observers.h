/* SPDX-License-Identifier: BSD-3-Clause
 *
 * observers - whether anybody wants to be told of what happens: watchers, detailed statistics, the log.
 *
 * cmd->observed holds a bit for each kind of thing that somebody wants to be told of. When nobody does, a look at it is
 * the only cost. The functions that tell are in cmd_watch.h, cmd_detail.h and cmd_log.h.
 */
#ifndef TAGCACHED_CMD_OBSERVERS_H
#define TAGCACHED_CMD_OBSERVERS_H

#include "base/check.h"
#include "base/sync.h"
#include "cmd/session.h"

enum cmd_observer_bit {
#define STREAM(name, constant, help) CMD_OBSERVER_BIT_##constant,
#define EMPTY(name)
#include "cmd/watch.def"
#undef STREAM
    CMD_OBSERVER_BIT_DETAIL,
    CMD_OBSERVER_BIT_LOG,
    CMD_OBSERVER_BIT_LEASE,
};

enum cmd_observer {
#define STREAM(name, constant, help) CMD_OBSERVE_##constant = 1 << CMD_OBSERVER_BIT_##constant,
#include "cmd/watch.def"
#undef STREAM
    CMD_OBSERVE_STREAMS = (1 << CMD_OBSERVER_BIT_DETAIL) - 1, /* all that `watch` can ask for */
    CMD_OBSERVE_DETAIL = 1 << CMD_OBSERVER_BIT_DETAIL,        /* `stats detail on` */
    CMD_OBSERVE_LOG = 1 << CMD_OBSERVER_BIT_LOG,              /* the log's verbosity is LOG_INFO or more */
    CMD_OBSERVE_LEASE = 1 << CMD_OBSERVER_BIT_LEASE, /* of a worker: a lease has ended, all requests go to their
                                                        handlers (cmd_lease.h) */
#undef EMPTY
};

/* Whether somebody wants to be told of one of these (CMD_OBSERVE_..). */
static inline bool cmd_observed(const struct session *s, unsigned which) {
    return unlikely((sync_load(&s->worker->cmd->observed) & which) != 0);
}

#endif
