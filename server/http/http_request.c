/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_request.h"

#include <string.h>
#include <strings.h>

bool http_request_is(struct text_token text, const char *word) {
    return strlen(word) == text.n && strncasecmp(text.p, word, text.n) == 0;
}

const char *http_request_method(enum http_method m) {
    static const char *const names[HTTP_METHODS] = {
        [HTTP_GET] = "GET",
        [HTTP_HEAD] = "HEAD",
        [HTTP_POST] = "POST",
        [HTTP_DELETE] = "DELETE",
        [HTTP_PURGE] = "PURGE",
        [HTTP_PURGEKEYS] = "PURGEKEYS",
        [HTTP_PURGETAGS] = "PURGETAGS",
        [HTTP_BAN] = "BAN",
    };
    return names[m];
}

bool http_request_header(const struct http_request *r, const char *name, unsigned *at, struct text_token *value) {
    for (unsigned i = *at; i < r->nheaders; i++) {
        if (!http_request_is(r->headers[i].name, name)) continue;
        *at = i + 1;
        *value = r->headers[i].value;
        return true;
    }
    return false;
}

struct text_token http_request_first(const struct http_request *r, const char *name) {
    struct text_token value = {NULL, 0};
    unsigned at = 0;
    (void)http_request_header(r, name, &at, &value);
    return value;
}

bool http_request_query(const struct http_request *r, const char *name, struct text_token *value) {
    const size_t length = strlen(name);
    const char *p = r->query.p;
    if (p == NULL) return false;
    const char *const end = p + r->query.n;
    while (p < end) {
        const char *stop = memchr(p, '&', (size_t)(end - p));
        if (stop == NULL) stop = end;
        const size_t n = (size_t)(stop - p);
        if (n >= length && memcmp(p, name, length) == 0 && (n == length || p[length] == '=')) {
            const size_t skip = n == length ? n : length + 1;
            *value = (struct text_token){p + skip, n - skip};
            return true;
        }
        p = stop + 1;
    }
    return false;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long http_request_decode(struct text_token text, bool plus, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            if (text.n - i < 3) return -1;
            const int high = hex_digit(text.p[i + 1]), low = hex_digit(text.p[i + 2]);
            if (high < 0 || low < 0) return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (n == size) return -1;
        out[n++] = c;
    }
    return (long)n;
}
