/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_reply - writing answers (http_route.h). */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "http/http_route.h"
#include "http/http_state.h"
#include "net/conn.h"

#define TEXT_MAX 1000 /* bytes of an answer of http_reply_text */

static const struct {
    unsigned code;
    const char *reason;
} statuses[HTTP_STATUSES] = {
#define STATUS(code, reason) {code, reason},
#include "http/http.statuses.def"
#undef STATUS
};

const char *http_dialect_name(enum http_dialect dialect) {
    static const char *const names[HTTP_DIALECTS] = {
#define DIALECT(name) [HTTP_DIALECT_##name] = #name,
#include "http/http.dialects.def"
#undef DIALECT
    };
    return names[dialect];
}

static enum http_status status_of(unsigned code) {
    enum http_status i = 0;
    while (i < HTTP_STATUSES && statuses[i].code != code) i++;
    CHECK(i < HTTP_STATUSES); /* routes answer with what has a row */
    return i;
}

uint64_t http_requests(const struct http *h, enum http_dialect dialect, unsigned status) {
    return sync_load(&h->requests[dialect][status_of(status)]);
}

void http_statuses_each(void (*fn)(void *arg, unsigned status), void *arg) {
    for (unsigned i = 0; i < HTTP_STATUSES; i++) fn(arg, statuses[i].code);
}

void http_reply_reason(struct http_exchange *x, unsigned status, const char *reason, const char *type,
                       const char *headers, const char *body, size_t n) {
    struct http_session *s = x->session;
    const enum http_status i = status_of(status);
    char line[256];
    CHECK(!s->replied);
    s->replied = true;
    sync_bump(&x->http->requests[x->route != NULL ? x->route->dialect : HTTP_DIALECT_own][i], 1);
    int len =
        snprintf(line, sizeof line, "HTTP/1.1 %u %.200s\r\n", status, reason != NULL ? reason : statuses[i].reason);
    conn_write(s->conn, line, (size_t)len);
    if (type != NULL) {
        len = snprintf(line, sizeof line, "Content-Type: %.200s\r\n", type);
        conn_write(s->conn, line, (size_t)len);
    }
    if (headers != NULL) conn_write(s->conn, headers, strlen(headers));
    if (status != 204) {
        len = snprintf(line, sizeof line, "Content-Length: %zu\r\n", n);
        conn_write(s->conn, line, (size_t)len);
    }
    len = snprintf(line, sizeof line,
                   "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
                   s->keep_alive ? "keep-alive" : "close");
    conn_write(s->conn, line, (size_t)len);
    if (!s->head_only && n > 0) conn_write(s->conn, body, n);
}

void http_reply(struct http_exchange *x, unsigned status, const char *type, const char *headers, const char *body,
                size_t n) {
    http_reply_reason(x, status, NULL, type, headers, body, n);
}

void http_reply_text(struct http_exchange *x, unsigned status, const char *fmt, ...) {
    char text[TEXT_MAX + 2];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, TEXT_MAX + 1, fmt, ap);
    va_end(ap);
    if (n > TEXT_MAX) n = TEXT_MAX;
    text[n++] = '\n';
    http_reply(x, status, "text/plain; charset=utf-8", NULL, text, (size_t)n);
}
