/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_binary.h"

#include "cmd/cmd_set.h"
#include "cmd/cmd_table.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/binary.h"
#include "store/store.h"

/* ------------------------------------------------------------------ opcodes */

/* No text command is like those of SASL. */
#define CMD_ID_sasl CMD_IDS
const struct cmd_row cmd_binary_sasl = {.name = "sasl", .name_len = 4, .class = CMD_CLASS_OUT, .id = CMD_ID_sasl};

const struct cmd_binary_op cmd_binary_ops[256] = {
#define BINARY(name, opcode, like, handler, extras, key, value, marks, help)                                           \
    [opcode] = {handler, CMD_ID_##like == CMD_ID_sasl ? &cmd_binary_sasl : &cmd_rows[CMD_ID_##like]},
#include "proto/binary.def"
#undef BINARY
};

void cmd_binary_error(struct session *s, struct request *r) {
    switch ((enum cmd_error)r->error) {
    case CMD_ERROR: packet_error(s, r, BINARY_UNKNOWN); return; /* its body is skipped */
    case CMD_ERROR_TAGS: cmd_reply_error(s, r, BINARY_INVALID, CMD_TOO_MANY_TAGS); return;
    case CMD_ERROR_TOO_LARGE: cmd_set_refuse(s, r, STORE_TOO_LARGE); return;
    case CMD_ERROR_TIMEOUT: cmd_set_refuse(s, r, STORE_NO_MEMORY); return;
    case CMD_ERROR_AUTH_LONG: cmd_binary_sasl_long(s, r); return; /* likewise */
    case CMD_ERROR_AUTH: packet_error(s, r, BINARY_AUTH_FAILED); break;
    case CMD_ERROR_LENGTHS: packet_error(s, r, BINARY_UNKNOWN); break;
    case CMD_ERROR_CLOSE: break;
    default: packet_error(s, r, BINARY_INVALID); break;
    }
    cmd_end(s, CMD_END_ERROR);
}
