/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_forward_answer - what a client is told of requests that other nodes have answered, or have not. A record
 * remembers of each request what its answer has to fit (a key, a packet's header), so that the answers of a batch can
 * be given without reading its requests again. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_FORWARD_ANSWER_H
#define TAGCACHED_CMD_CMD_FORWARD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/cmd_forward.h"
#include "cmd/request.h"
#include "cmd/session.h"

/* The slot's request is r, of a batch parsed from base; `origin` is where the record's first request begins. */
void cmd_forward_note(struct forward_slot *at, const struct request *r, const char *base, const char *origin);
/* Whether it is a store whose block is too large to wait for. */
bool cmd_forward_has_block_to_come(const struct request *r);
/* Where the record's first request would begin: p is where the first that is not answered yet does. */
const char *cmd_forward_origin(const struct forward *f, const char *p);
/* Answers r, which is the slot's and another node's, from its reply, or says that it has failed. */
void cmd_forward_answer(struct session *s, struct forward *f, struct forward_slot *at, struct request *r,
                        const char *origin);
/* Answers all requests of the session's record and ends it, if all replies have come, are what was asked for, and are
 * CONN_RESERVE_MAX bytes at most, and nobody wants to be told of requests. p: the input, which begins with the first of
 * them. Returns their bytes; 0: it has done nothing. */
size_t cmd_forward_answer_whole(struct session *s, const char *p);
/* Tells who watches, or the log, of a request that cmd_run does not tell of. */
void cmd_forward_tell(struct session *s, const struct request *r);

#endif
