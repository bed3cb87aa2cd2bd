/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The opcodes that are about no item: noop, version, quit, flush, stat, verbosity. */
#include <string.h>

#include "cmd/cmd_binary.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_log.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_stats.h"
#include "cmd/packet.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"
#include "proto/text.h"

void cmd_binary_noop(struct session *s, struct request *r) {
    packet_done(s, r, 0);
}

void cmd_binary_version(struct session *s, struct request *r) {
    packet_body(s, r, BINARY_OK, CMD_MEMCACHED, sizeof CMD_MEMCACHED - 1, 0);
}

void cmd_binary_quit(struct session *s, struct request *r) {
    packet_done(s, r, 0);
    conn_close(s->conn);
}

void cmd_binary_flush(struct session *s, struct request *r) {
    const char *extras = packet_extras(r);
    cmd_purge_all(s, r, r->raw_key > extras ? binary_u32(extras) : 0); /* the extras may be left out */
}

/* The key is the name of a group as it stands, and behind detail one blank and a word: the others take no words. */
void cmd_binary_stat(struct session *s, struct request *r) {
    static const char detail[] = "detail ";
    const size_t n = r->raw_key_len, first = sizeof detail - 2;
    struct text_token words[2] = {{r->raw_key, n}};
    if (n > first && memcmp(r->raw_key, detail, first + 1) == 0) {
        words[0].n = first;
        words[1] = (struct text_token){r->raw_key + first + 1, n - first - 1};
    }
    cmd_stats_show(s, r, words, n == 0 ? 0 : words[1].p != NULL ? 2 : 1);
}

void cmd_binary_verbosity(struct session *s, struct request *r) {
    cmd_log_set(s->worker->cmd, binary_u32(packet_extras(r)));
    packet_done(s, r, 0);
}
