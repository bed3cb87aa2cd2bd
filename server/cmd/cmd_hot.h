/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_hot - which keys are asked for most: samples of each worker's gets (cluster/hot.h), of all that come to this
 * node, and of those that it asks other nodes for. Whose a key is is found out when somebody looks. The whole cost for
 * a request that is not in the sample is a count of its batch.
 *
 * A worker counts; whoever answers `stats hotkeys` reads, under the worker's lock, which is held for some hundred
 * instructions.
 */
#ifndef TAGCACHED_CMD_CMD_HOT_H
#define TAGCACHED_CMD_CMD_HOT_H

#include "base/check.h"
#include "base/sync.h"
#include "cluster/hot.h"
#include "cmd/cmd_stat_line.h"
#include "cmd/instance.h"
#include "cmd/session.h"

struct cmd_hot {
    struct sync_spin lock; /* guards what others read of the two: counts and names */
    struct hot seen, asked;
};

/* Gives all workers theirs. 0 or -ENOMEM. */
int cmd_hot_new(struct cmd *cmd);
void cmd_hot_free(struct cmd *cmd);

/* Some of the worker's batch are in the sample. */
void cmd_hot_pick(struct session *s, struct request *r, unsigned n);
/* The requests r[0..n) are about to be run, or routed: counts those gets that are in the sample, unless they were shown
 * before. Inside the section. */
static inline void cmd_hot_see(struct session *s, struct request *r, unsigned n) {
    struct hot *h = &s->worker->hot->seen;
    if (likely(h->skip >= n))
        h->skip -= n;
    else
        cmd_hot_pick(s, r, n);
}

/* Counts a sample of the worker's. */
void cmd_hot_count(struct cmd_worker *w, struct hot *h, const struct store_key *k, uint64_t now_ns);
/* Whether a key is hot by the worker's samples. */
bool cmd_hot_is_hot(struct cmd_worker *w, struct hot *h, uint64_t hash, uint64_t now_ns);

/* The group `hotkeys` of `stats`. */
void cmd_hot_stats(const struct cmd_stat_line *to);

#endif
