/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_body - storage requests whose block is too large to wait for in the input: the line is kept and the block
 * uploaded, then the request is run.
 *
 * On the session's worker, but for cmd_body_turn.
 */
#ifndef TAGCACHED_CMD_CMD_BODY_H
#define TAGCACHED_CMD_CMD_BODY_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Begins to receive the block of r, body_len bytes. What is wrong with the line, or with the length, is answered at
 * once. */
void cmd_body_begin(struct session *s, struct request *r);
/* Takes bytes of it from the input; returns how many were used. */
size_t cmd_body_input(struct session *s, const char *p, size_t n);
/* Where the next bytes of it are to be received, *n of them at most; NULL: they go to the input. */
char *cmd_body_space(struct session *s, size_t *n);
/* n bytes were received there. */
void cmd_body_received(struct session *s, size_t n);
/* No byte of a block has come for too long. True: its request is refused, now or when input is shown again. */
bool cmd_body_stalled(struct session *s);
/* The connection ends before the block does. */
void cmd_body_abort(struct session *s);

/* Some of a worker's uploads got their turn, or have to be given up. Any thread. */
void cmd_body_turn(struct cmd *cmd, unsigned worker);

#endif
