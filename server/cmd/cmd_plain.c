/* SPDX-License-Identifier: BSD-3-Clause
 *
 * version, verbosity, quit. */
#include "cmd/cmd_internal.h"

void cmd_version(struct session *s, struct request *r) {
    (void)r;
    cmd_line_lit(s, "VERSION " CMD_MEMCACHED);
}

void cmd_verbosity(struct session *s, struct request *r) {
    struct text_token words[2];
    uint32_t level;
    if (cmd_split(r, words, 2) < 2 || !text_u32(words[1].p, words[1].n, &level)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    s->worker->cmd->cfg.up.set_verbose(s->worker->cmd->cfg.up.arg, level > 2 ? 2 : level);
    cmd_reply_lit(s, r, "OK");
}

void cmd_quit(struct session *s, struct request *r) {
    (void)r;
    conn_close(s->conn);
}
