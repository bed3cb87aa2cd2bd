/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "cmd/packet.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"

void cmd_line(struct session *s, const char *text, size_t n) {
    char *out = conn_reserve(s->conn, n + 2);
    memcpy(out, text, n);
    out[n] = '\r';
    out[n + 1] = '\n';
    conn_commit(s->conn, n + 2);
}

void cmd_reply(struct session *s, const struct request *r, const char *text, size_t n) {
    if (!r->noreply) cmd_line(s, text, n);
}

static size_t format(char text[1024], const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static size_t format(char text[1024], const char *fmt, va_list ap) {
    const int n = vsnprintf(text, 1024, fmt, ap);
    CHECK(n >= 0);
    return n < 1024 ? (size_t)n : 1023;
}

void cmd_linef(struct session *s, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    const size_t n = format(text, fmt, ap);
    va_end(ap);
    cmd_line(s, text, n);
}

void cmd_reply_ok(struct session *s, const struct request *r) {
    if (cmd_is_packet(r))
        packet_done(s, r, 0);
    else
        cmd_reply_lit(s, r, "OK");
}

void cmd_reply_error(struct session *s, const struct request *r, enum binary_status status, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    const size_t n = format(text, fmt, ap);
    va_end(ap);
    if (!cmd_is_packet(r)) {
        cmd_reply(s, r, text, n);
        return;
    }
    const char *blank = memchr(text, ' ', n), *from = blank != NULL ? blank + 1 : text;
    packet_body(s, r, status, from, (size_t)(text + n - from), 0);
}
