/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_parse - from input bytes to an array of requests, keys hashed and their buckets on the way into the cache.
 *
 * Runs on the session's worker, inside a section of the store. Changes nothing but the batch, and what the session
 * notes about an unfinished request so that bytes are not looked at again and again.
 */
#ifndef TAGCACHED_CMD_CMD_PARSE_H
#define TAGCACHED_CMD_CMD_PARSE_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Parses complete requests of p[0..n) into the worker's batch, at most CMD_BATCH, and returns how many. None: more
 * bytes are needed (or n is 0). A request that cannot be followed by others (a block that is not all here, or is
 * refused) is the last of its batch. */
unsigned cmd_parse(struct session *s, char *p, size_t n);

#endif
