/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/packet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"

void packet_done(struct session *s, const struct request *r, uint64_t cas) {
    if (packet_quiet(r)) return;
    binary_put_answer(conn_reserve(s->conn, BINARY_HEADER), r->line, BINARY_OK, 0, 0, 0, cas);
    conn_commit(s->conn, BINARY_HEADER);
}

void packet_body(struct session *s, const struct request *r, enum binary_status status, const void *p, size_t n,
                 uint64_t cas) {
    char *out = conn_reserve(s->conn, BINARY_HEADER + n);
    binary_put_answer(out, r->line, status, 0, 0, (uint32_t)n, cas);
    memcpy(out + BINARY_HEADER, p, n);
    conn_commit(s->conn, BINARY_HEADER + n);
}

void packet_error(struct session *s, const struct request *r, enum binary_status status) {
    const char *text = binary_status_text(status);
    CHECK(text != NULL); /* a status of ours */
    packet_body(s, r, status, text, strlen(text), 0);
}

void packet_no_memory(struct session *s, const struct request *r, const char *what) {
    char text[64];
    const int n = snprintf(text, sizeof text, "%s %s", binary_status_text(BINARY_NO_MEMORY), what);
    CHECK(n > 0 && n < (int)sizeof text);
    packet_body(s, r, BINARY_NO_MEMORY, text, (size_t)n, 0);
}

void packet_miss(struct session *s, const struct request *r) {
    if (packet_quiet(r)) return;
    if ((packet_row(r)->marks & BINARY_WITH_KEY) == 0) {
        packet_error(s, r, BINARY_NOT_FOUND);
        return;
    }
    char head[BINARY_HEADER];
    binary_put_answer(head, r->line, BINARY_NOT_FOUND, 0, (uint16_t)r->raw_key_len, r->raw_key_len, 0);
    conn_write(s->conn, head, sizeof head);
    conn_write(s->conn, r->raw_key, r->raw_key_len);
}

size_t packet_line(const struct request *r, char *out, size_t max) {
    char rest[64] = "";
    size_t n = (size_t)snprintf(out, max, "%s", r->row->name);
    if (r->error != CMD_OK || packet_row(r)->key == BINARY_KEY_NONE || r->raw_key_len == 0) return n;
    const size_t more = r->row->class == CMD_CLASS_STORE
                            ? (size_t)snprintf(rest, sizeof rest, " %" PRIu32 " %" PRId64 " %" PRIu64, r->flags,
                                               r->exptime, r->body_len)
                            : 0;
    const size_t room = max - n - 1 - more, key = r->raw_key_len < room ? r->raw_key_len : room;
    out[n++] = ' ';
    memcpy(out + n, r->raw_key, key);
    memcpy(out + n + key, rest, more);
    return n + key + more;
}
