/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handler here is that of `verbosity`. */
#include "cmd/cmd_log.h"

#include <stdio.h>

#include "base/log.h"
#include "base/sync.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/text.h"

#define SHOWN_MAX 900 /* bytes of a command, escaped: what fits into a line of the log */

void cmd_log_adapt(struct cmd *cmd) {
    if (log_wanted(cmd->cfg.log, LOG_INFO))
        sync_or(&cmd->observed, CMD_OBSERVE_LOG);
    else
        sync_and(&cmd->observed, ~(uint32_t)CMD_OBSERVE_LOG);
}

/* Writes bytes that would end the quotes, or control a terminal, as \xNN. */
static const char *escape(char out[SHOWN_MAX + 1], const char *p, size_t n) {
    size_t at = 0;
    for (size_t i = 0; i < n && at + 4 <= SHOWN_MAX; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            at += (size_t)sprintf(out + at, "\\x%02x", c);
        else
            out[at++] = (char)c;
    }
    out[at] = 0;
    return out;
}

void cmd_log_command(struct session *s, const char *p, size_t n) {
    char text[SHOWN_MAX + 1];
    log_event(s->worker->cmd->cfg.log, LOG_INFO, "command", "fd=%d line=\"%s\"", conn_fd(s->conn), escape(text, p, n));
}

void cmd_log_set(struct cmd *cmd, uint32_t level) {
    if (cmd->cfg.log == NULL) return;
    log_set_verbosity(cmd->cfg.log, level < LOG_INFO ? level : LOG_INFO);
    cmd_log_adapt(cmd);
}

void cmd_verbosity(struct session *s, struct request *r) {
    struct text_token words[2];
    uint32_t level;
    if (cmd_split(r, words, 2) < 2 || !text_u32(words[1].p, words[1].n, &level)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    cmd_log_set(s->worker->cmd, level);
    cmd_reply_lit(s, r, "OK");
}
