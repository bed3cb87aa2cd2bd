/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The opcodes that are about no item: noop, version, quit, flush, stat, verbosity. */
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

void cmd_binary_stat(struct session *s, struct request *r) {
    struct text_token words[3];
    const unsigned n = text_split(r->raw_key, r->raw_key_len, words, 3);
    cmd_stats_show(s, r, words, n);
}

void cmd_binary_verbosity(struct session *s, struct request *r) {
    cmd_log_set(s->worker->cmd, binary_u32(packet_extras(r)));
    packet_done(s, r, 0);
}
