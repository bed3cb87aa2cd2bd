/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_binary - the binary protocol: opcodes and the handlers that answer them, made from proto/binary.def.
 *
 * A packet becomes a request like a line (request.h), of the row of the text command that means the same, so batches,
 * routing, statistics, watchers and the log know of no second protocol. Its `line` is the packet but for the value, its
 * `body` the value. A handler of an opcode reads what else it needs from the extras, calls the function that gives the
 * text command its meaning (cmd_get.h, cmd_set.h, cmd_purge.h, cmd_stats.h), and words the outcome (packet.h).
 *
 * On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_BINARY_H
#define TAGCACHED_CMD_CMD_BINARY_H

#include "cmd/cmd_table.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"

struct cmd_binary_op {
    cmd_handler_fn *handler;   /* NULL: there is no such opcode */
    const struct cmd_row *row; /* of the text command that means the same */
};

/* By opcode. */
extern const struct cmd_binary_op cmd_binary_ops[256];

/* The row of the opcodes of SASL, which no text command is like. */
extern const struct cmd_row cmd_binary_sasl;

#define BINARY(name, opcode, like, handler, extras, key, value, marks, help) cmd_handler_fn handler;
#include "proto/binary.def"
#undef BINARY

/* Answers a login whose message is longer than any that could be right; its body is skipped. */
void cmd_binary_sasl_long(struct session *s, struct request *r);
/* Answers what parsing found wrong with a packet. */
void cmd_binary_error(struct session *s, struct request *r);

#endif
