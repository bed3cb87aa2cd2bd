/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
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

void cmd_linef(struct session *s, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    cmd_line(s, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}
