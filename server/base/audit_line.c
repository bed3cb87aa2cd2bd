/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/audit_line.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DIGEST_BYTES 16
#define DIGEST_MARK "b2:"

/* What is being written: bytes that do not fit are counted only. */
struct out {
    char *to;
    size_t n, size;
};

static void put(struct out *o, const char *p, size_t n) {
    if (o->n + n <= o->size) memcpy(o->to + o->n, p, n);
    o->n += n;
}

static void put_text(struct out *o, const char *text) {
    put(o, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void putf(struct out *o, const char *fmt, ...) {
    char text[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    put_text(o, text);
}

/* ------------------------------------------------------------------ strings */

/* Bytes of the UTF-8 sequence at p[0..n), RFC 3629; 0: it is none. */
static size_t utf8(const unsigned char *p, size_t n) {
    const size_t length = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (length == 0 || length > n) return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static void put_string(struct out *o, const char *p, size_t n) {
    put(o, "\"", 1);
    for (size_t i = 0; i < n;) {
        const unsigned char c = (unsigned char)p[i];
        const size_t wide = c < 0x80 ? 0 : utf8((const unsigned char *)p + i, n - i);
        if (wide > 0)
            put(o, p + i, wide);
        else if (c == '"' || c == '\\')
            putf(o, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            putf(o, "\\u%04x", c);
        else
            put(o, p + i, 1);
        i += wide > 0 ? wide : 1;
    }
    put(o, "\"", 1);
}

static void member(struct out *o, const char *name, const char *text) {
    putf(o, ",\"%s\":", name);
    if (text == NULL || text[0] == '\0')
        put_text(o, "null");
    else
        put_string(o, text, strlen(text));
}

static void number(struct out *o, const char *name, int64_t value) {
    if (value < 0)
        putf(o, ",\"%s\":null", name);
    else
        putf(o, ",\"%s\":%" PRId64, name, value);
}

/* ------------------------------------------------------------------ lists */

/* A selector whose tags are replaced by their hashes; what joins them stays. */
static void put_hashed(struct out *o, const unsigned char *key, const char *p, size_t n) {
    put(o, "\"", 1);
    for (size_t at = 0; at <= n;) {
        const char *plus = memchr(p + at, '+', n - at);
        const size_t length = plus != NULL ? (size_t)(plus - p) - at : n - at;
        unsigned char hash[DIGEST_BYTES];
        char text[2 * DIGEST_BYTES + 1];
        crypto_generichash(hash, sizeof hash, (const unsigned char *)p + at, length, key, AUDIT_KEY_BYTES);
        if (at > 0) put(o, "+", 1);
        if (length == 1 && n == 1 && p[0] == '*')
            put(o, "*", 1);
        else
            putf(o, DIGEST_MARK "%s", sodium_bin2hex(text, sizeof text, hash, sizeof hash));
        at += length + 1;
    }
    put(o, "\"", 1);
}

static void list(struct out *o, const char *name, const char *p, size_t n, const unsigned char *key) {
    bool first = true;
    putf(o, ",\"%s\":[", name);
    for (size_t at = 0; at < n;) {
        size_t end = at;
        while (end < n && p[end] != ',' && p[end] != ' ') end++;
        if (end > at && !first) put(o, ",", 1);
        if (end > at && key != NULL)
            put_hashed(o, key, p + at, end - at);
        else if (end > at)
            put_string(o, p + at, end - at);
        first = first && end == at;
        at = end + 1;
    }
    put(o, "]", 1);
}

/* ------------------------------------------------------------------ the line */

/* A time as a string; 0: null. */
static void put_time(struct out *o, const char *name, int64_t wall_ms) {
    const time_t s = (time_t)(wall_ms / 1000);
    struct tm t;
    char text[40];
    gmtime_r(&s, &t);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &t);
    if (wall_ms == 0)
        putf(o, "\"%s\":null", name);
    else
        putf(o, "\"%s\":\"%s.%03dZ\"", name, text, (int)(wall_ms % 1000));
}

static void put_gone(struct out *o, const struct audit_event *e) {
    put_text(o, ",\"gone\":[");
    for (unsigned i = 0; i < e->ngone; i++) {
        const struct audit_gone *g = &e->gone[i];
        put_text(o, i > 0 ? ",{\"node\":" : "{\"node\":");
        put_string(o, g->node, strlen(g->node));
        number(o, "items", g->items);
        number(o, "bytes", g->bytes);
        put(o, ",", 1);
        put_time(o, "at", g->wall_ms);
        put(o, "}", 1);
    }
    put_text(o, "],");
    put_time(o, "erased_at", e->erased_ms);
}

static void put_actor(struct out *o, const struct audit_event *e) {
    put_text(o, ",\"actor\":{\"kind\":");
    put_string(o, e->kind, strlen(e->kind));
    member(o, "token", e->token);
    member(o, "dialect", e->dialect);
    member(o, "addr", e->addr);
    member(o, "agent", e->agent);
    put(o, "}", 1);
}

size_t audit_line_write(const struct audit_event *e, int64_t wall_ms, const char *node, const unsigned char *key,
                        char *to, size_t size) {
    struct out o = {to, 0, size};
    put(&o, "{", 1);
    put_time(&o, "ts", wall_ms);
    put_text(&o, ",\"v\":1");
    member(&o, "id", e->id);
    member(&o, "event", e->event);
    member(&o, "stage", e->stage);
    member(&o, "mode", e->mode);
    list(&o, "selectors", e->selectors, e->n, key);
    number(&o, "ttl", e->ttl_s);
    put_actor(&o, e);
    member(&o, "node", node);
    if (e->members > 0) {
        putf(&o, ",\"acked\":%u,\"members\":%u", e->acked, e->members);
        list(&o, "pending", e->pending, e->pending != NULL ? strlen(e->pending) : 0, NULL);
    }
    if (e->ms >= 0) putf(&o, ",\"ms\":%.3f", e->ms);
    number(&o, "items", e->items);
    number(&o, "bytes", e->bytes);
    if (strcmp(e->stage, "swept") == 0) put_gone(&o, e);
    if (e->detail != NULL) member(&o, "detail", e->detail);
    member(&o, "reason", e->reason);
    member(&o, "error", e->error);
    put(&o, "}\n", 2);
    return o.n;
}
