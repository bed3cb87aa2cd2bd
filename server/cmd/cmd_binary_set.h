/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_binary_set - the opcodes of set, add, replace, append and prepend; increment, decrement; delete. Their handlers
 * are declared by cmd_binary.h.
 */
#ifndef TAGCACHED_CMD_CMD_BINARY_SET_H
#define TAGCACHED_CMD_CMD_BINARY_SET_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Answers r[0..n) as far as their path is CMD_PATH_SETS, as the first one's is; returns how many it answered (one that
 * finds no room is left to its handler). `since` as for cmd_set_run. Inside the section, while nothing is observed. */
unsigned cmd_binary_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) __attribute__((noinline));

#endif
