/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_stat_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "net/conn.h"

#define NAME_MAX_BYTES 200

struct cmd_stat_line cmd_stat_line_to(struct session *s, const struct request *r) {
    struct cmd_stat_line to = {.s = s, .packets = cmd_is_packet(r)};
    if (to.packets) memcpy(to.request, r->line, BINARY_HEADER);
    return to;
}

size_t cmd_stat_line_head(const struct cmd_stat_line *to, char *out, const char *name, uint32_t value) {
    const size_t n = name != NULL ? strlen(name) : 0;
    binary_put_answer(out, to->request, BINARY_OK, 0, (uint16_t)n, (uint32_t)n + value, 0);
    if (n > 0) memcpy(out + BINARY_HEADER, name, n);
    return BINARY_HEADER + n;
}

void cmd_stat_line_text(const struct cmd_stat_line *to, const char *prefix, const char *name, const char *text,
                        size_t n) {
    char full[NAME_MAX_BYTES];
    const int len = snprintf(full, sizeof full, "%s%s", prefix, name);
    CHECK(len > 0 && len < (int)sizeof full); /* names are ours */
    if (to->packets) {
        char *out = conn_reserve(to->s->conn, BINARY_HEADER + sizeof full);
        conn_commit(to->s->conn, cmd_stat_line_head(to, out, full, (uint32_t)n));
        conn_write(to->s->conn, text, n);
        return;
    }
    conn_write(to->s->conn, "STAT ", 5);
    conn_write(to->s->conn, full, (size_t)len);
    conn_write(to->s->conn, " ", 1);
    conn_write(to->s->conn, text, n);
    conn_write(to->s->conn, "\r\n", 2);
}

void cmd_stat_line_U(const struct cmd_stat_line *to, const char *prefix, const char *name, uint64_t v) {
    char text[24];
    cmd_stat_line_text(to, prefix, name, text, (size_t)sprintf(text, "%" PRIu64, v));
}

void cmd_stat_line_S(const struct cmd_stat_line *to, const char *prefix, const char *name, const char *v) {
    cmd_stat_line_text(to, prefix, name, v, strlen(v));
}

void cmd_stat_line_T(const struct cmd_stat_line *to, const char *prefix, const char *name, struct timeval v) {
    char text[48];
    cmd_stat_line_text(to, prefix, name, text, (size_t)sprintf(text, "%ld.%06ld", (long)v.tv_sec, (long)v.tv_usec));
}

void cmd_stat_line_end(const struct cmd_stat_line *to) {
    if (to->packets)
        conn_commit(to->s->conn, cmd_stat_line_head(to, conn_reserve(to->s->conn, BINARY_HEADER), NULL, 0));
    else
        cmd_line_lit(to->s, "END");
}

void cmd_stat_line_error(const struct cmd_stat_line *to, enum binary_status status, const char *line) {
    const struct request r = {.line = to->request};
    if (to->packets)
        packet_error(to->s, &r, status);
    else
        cmd_line(to->s, line, strlen(line));
}
