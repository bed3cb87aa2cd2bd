/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_binary_get - the opcodes of get, gat and touch. Their handlers are declared by cmd_binary.h.
 */
#ifndef TAGCACHED_CMD_CMD_BINARY_GET_H
#define TAGCACHED_CMD_CMD_BINARY_GET_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Answers r[0..n) as far as their path is CMD_PATH_GETS, as the first one's is; returns how many it answered. Inside
 * the section, while nothing is observed. */
unsigned cmd_binary_get_run(struct session *s, struct request *r, unsigned n) __attribute__((noinline));

/* The same, up to the first key that is not found, or whose item is not newer than `since`. */
unsigned cmd_binary_get_run_here(struct session *s, struct request *r, unsigned n, uint64_t since)
    __attribute__((noinline));

#endif
