/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_handle - from a request to its handler: a line's is its command's, a packet's its opcode's. On the session's
 * worker.
 */
#ifndef TAGCACHED_CMD_CMD_HANDLE_H
#define TAGCACHED_CMD_CMD_HANDLE_H

#include "base/check.h"
#include "cmd/cmd_binary.h"
#include "cmd/request.h"
#include "cmd/session.h"

static inline void cmd_handle(struct session *s, struct request *r) {
    if (unlikely(cmd_is_packet(r)))
        cmd_binary_ops[(uint8_t)r->line[1]].handler(s, r);
    else
        r->row->handler(s, r);
}

#endif
