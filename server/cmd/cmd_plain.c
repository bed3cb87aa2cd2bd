/* SPDX-License-Identifier: BSD-3-Clause
 *
 * version, quit. */
#include "cmd/cmd_config.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "net/conn.h"

void cmd_version(struct session *s, struct request *r) {
    (void)r;
    cmd_line_lit(s, "VERSION " CMD_MEMCACHED);
}

void cmd_quit(struct session *s, struct request *r) {
    (void)r;
    conn_close(s->conn);
}
