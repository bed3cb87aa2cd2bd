/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_hold - the owner's side of hot-key copies: gives copies to other nodes, and has whoever changes a key wait until
 * none is served any more (cluster/holders.h). Only with --hot-copies.
 *
 * A change of a key of which a copy may be held waits before it does anything: its connection waits for a job
 * (cmd_job.h), while the holders are told (cmd_tell.h), and is run from the start when the last one has answered, or
 * the copies have ended. So nothing of it has to be held back: all commands, a link's frames and large values alike are
 * simply run later.
 */
#ifndef TAGCACHED_CMD_CMD_HOLD_H
#define TAGCACHED_CMD_CMD_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "cluster/holders.h"
#include "cmd/instance.h"
#include "cmd/request.h"
#include "cmd/session.h"

/* The table, if the options say that there is one. 0 or -ENOMEM. */
int cmd_hold_new(struct cmd *cmd);
/* No connection is left. */
void cmd_hold_free(struct cmd *cmd);

/* Whether a change of this key has to ask cmd_hold_waits. */
static inline bool cmd_hold_may(const struct cmd_worker *w, uint64_t hash) {
    return unlikely(w->nheld > 0) && holders_may_hold(w->held, hash);
}
/* The whole of cmd_hold_waits. */
bool cmd_hold_looks(struct session *s, const struct request *r);
/* Whether a request that is about to be run changes a key of which copies are held: then it waits, the worker's `retry`
 * is set, and nothing of it may be done. Cheap while no copies are held. */
static inline bool cmd_hold_waits(struct session *s, const struct request *r) {
    const struct cmd_worker *w = s->worker;
    return unlikely(w->nheld > 0 || s->job != NULL) && w->held != NULL && cmd_hold_looks(s, r);
}
/* A key is changed for which nobody can wait: its holders are told. */
void cmd_hold_forget(struct cmd_worker *w, const struct store_key *k);
/* All keys may have another owner now: their holders are told. On a worker. */
void cmd_hold_close(struct cmd_worker *w);
/* Calls fn(arg) once, on a worker, when none of the copies is left that were told of: now, or later. One at a time. On
 * worker w, which has a view. */
void cmd_hold_when_recalled(struct cmd_worker *w, void (*fn)(void *arg), void *arg);
/* A member that was told of this closing of a key (holders.h) says that its copy is gone. On any worker. */
void cmd_hold_gone(struct cmd *cmd, uint64_t closing, uint32_t member);

/* Writes the answer to a member that asks for a copy of r's key, on its link; nothing, if it gets none now. The
 * requests on the link go by this worker's view, and the section is entered. */
void cmd_hold_give(struct session *s, const struct request *r, uint32_t member);

/* How many nodes hold a copy of a key, as far as is known. Any worker. */
unsigned cmd_hold_count(struct cmd *cmd, uint64_t hash);

#endif
