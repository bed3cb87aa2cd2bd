/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_binary - the binary protocol: opcodes and the handlers that answer them, made from proto/binary.def; packets to
 * requests.
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

#include "base/check.h"
#include "cmd/cmd_table.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"

/* ------------------------------------------------------------------ opcodes */

struct cmd_binary_op {
    cmd_handler_fn *handler;   /* NULL: there is no such opcode */
    const struct cmd_row *row; /* of the text command that means the same */
};

/* By opcode. */
extern const struct cmd_binary_op cmd_binary_ops[256];

#define BINARY(name, opcode, like, handler, extras, key, value, marks, help) cmd_handler_fn handler;
#include "proto/binary.def"
#undef BINARY

/* Runs the handler of a request of either protocol. */
static inline void cmd_binary_handle(struct session *s, struct request *r) {
    if (unlikely(cmd_is_packet(r)))
        cmd_binary_ops[(uint8_t)r->line[1]].handler(s, r);
    else
        r->row->handler(s, r);
}

/* Answers what parsing found wrong with a packet. */
void cmd_binary_error(struct session *s, struct request *r);

/* ------------------------------------------------------------------ parsing */

/* As cmd_parse, cmd_parse_one and cmd_parse_block_kept (cmd_parse.h, cmd_parse_block.h), of packets. */
unsigned cmd_binary_parse(struct session *s, char *p, size_t n);
bool cmd_binary_parse_one(struct session *s, struct request *r, char *p, size_t n);
void cmd_binary_parse_kept(struct session *s, const char *head, size_t n, struct request *r);

#endif
