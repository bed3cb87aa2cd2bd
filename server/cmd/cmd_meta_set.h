/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta_set - ms. Its handler is declared by cmd_table.h.
 */
#ifndef TAGCACHED_CMD_CMD_META_SET_H
#define TAGCACHED_CMD_CMD_META_SET_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/meta.h"

/* Answers r[0..n) as far as their path is CMD_PATH_MS, as the first one's is; returns how many it answered (one that
 * finds no room is left to its handler). With `since` above 0 only as far as what a set replaces is newer than that.
 * Inside the section, while nothing is observed. */
unsigned cmd_meta_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) __attribute__((noinline));

/* Reads the flags of an ms line into the worker's `meta` and finds its key. False: they are wrong, and that is
 * answered. */
bool cmd_meta_set_valid(struct session *s, struct request *r);

#endif
