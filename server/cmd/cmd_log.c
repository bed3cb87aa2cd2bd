/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handler here is that of `verbosity`. */
#include "cmd/cmd_log.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/text.h"

#define BINARY_SILENCE_S 60 /* how long the log is not told again of clients of the binary protocol */
#define SHOWN_MAX 900       /* bytes of a command, escaped: what fits into a line of the log */

void cmd_log_adapt(struct cmd *cmd) {
    if (log_wanted(cmd->cfg.log, LOG_INFO))
        sync_or(&cmd->observed, CMD_OBSERVE_LOG);
    else
        sync_and(&cmd->observed, ~(uint32_t)CMD_OBSERVE_LOG);
}

/* What would end the quotes, or do things to a terminal, is shown as \xNN. */
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

void cmd_log_binary(struct session *s) {
    struct cmd *cmd = s->worker->cmd;
    uint64_t now = clock_boot_ns(cmd->cfg.clock) / 1000000000 + 1, told = sync_load(&cmd->binary_logged_s);
    if ((told != 0 && now - told < BINARY_SILENCE_S) || !sync_cas(&cmd->binary_logged_s, &told, now)) return;
    log_event(cmd->cfg.log, LOG_ALWAYS, "binary_protocol",
              "peer=%s reason=\"the client speaks memcached's binary protocol, which is not served\" "
              "set=\"PHP sessions: memcached.sess_binary_protocol=0; PHP Memcached: OPT_BINARY_PROTOCOL false; other "
              "clients: the text (ascii) or meta protocol\"",
              conn_peer(s->conn));
}

void cmd_verbosity(struct session *s, struct request *r) {
    struct cmd *cmd = s->worker->cmd;
    struct text_token words[2];
    uint32_t level;
    if (cmd_split(r, words, 2) < 2 || !text_u32(words[1].p, words[1].n, &level)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    if (cmd->cfg.log != NULL) {
        log_set_verbosity(cmd->cfg.log, level < LOG_INFO ? level : LOG_INFO);
        cmd_log_adapt(cmd);
    }
    cmd_reply_lit(s, r, "OK");
}
