/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_parse - from input bytes to an array of requests, keys hashed and their buckets on the way into the cache.
 *
 * Runs on the session's worker, inside a section of the store. Changes nothing but the batch, and the session's `need`
 * and `scanned`, which tell how much of an unfinished request has been looked at already.
 */
#ifndef TAGCACHED_CMD_CMD_PARSE_H
#define TAGCACHED_CMD_CMD_PARSE_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Parses complete requests of p[0..n) into the worker's batch, at most CMD_BATCH, and returns how many. None: more
 * bytes are needed (or n is 0). A request that cannot be followed by others (a block that is not all here, or is
 * refused) is the last of its batch. */
unsigned cmd_parse(struct session *s, char *p, size_t n);
/* Parses p[0..n), one request of a command that is about one key (no get line), into *r. False: it is none, or it is
 * not all there. */
bool cmd_parse_one(struct session *s, struct request *r, char *p, size_t n);

#endif
