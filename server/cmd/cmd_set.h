/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_set - set, add, replace, append, prepend, cas; incr, decr; delete. Their handlers are declared by cmd_table.h.
 */
#ifndef TAGCACHED_CMD_CMD_SET_H
#define TAGCACHED_CMD_CMD_SET_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

/* Answers r[0..n) as far as their path is CMD_PATH_SET, as the first one's is; returns how many it answered (one that
 * finds no room is left to its handler). With `since` above 0 only as far as what a set replaces is newer than that.
 * Inside the section, while nothing is observed. */
unsigned cmd_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) __attribute__((noinline));

/* Answers a store that found no room, or too large a value, and deletes what was stored before when it was a set. Of an
 * ms the flags have been read. */
void cmd_set_refuse(struct session *s, const struct request *r, enum store_status status);

#endif
