/* SPDX-License-Identifier: BSD-3-Clause
 *
 * HTTP requests, one after the other: read at once and piece by piece with the same outcome, and what is read keeps the
 * promises of http_request.h. The first byte says how large the pieces are. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "http/exposition.h"
#include "http/http_parser.h"
#include "http/http_router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct http_request request;
static char *bytes; /* where the request lies: a place of just its size */

/* Feeds p[0..n), step bytes more each time. */
static enum http_parsed feed(const char *p, size_t n, size_t step, size_t *used, struct http_refusal *refusal) {
    struct http_parser ps = {0};
    for (size_t at = step;; at += step) {
        if (at > n) at = n;
        free(bytes);
        bytes = malloc(at > 0 ? at : 1);
        CHECK(bytes != NULL);
        memcpy(bytes, p, at);
        const enum http_parsed how = http_parser_feed(&ps, bytes, at, &request, used, refusal);
        if (how != HTTP_PARSED_MORE || at == n) return how;
    }
}

static bool inside(struct text_token t, const char *p, size_t n) {
    return t.n == 0 || (t.p >= p && t.p + t.n <= p + n);
}

/* No slice has a byte that ends a line, or lies elsewhere. */
static void check_text(struct text_token t, size_t used) {
    CHECK(inside(t, bytes, used));
    for (size_t i = 0; i < t.n; i++) CHECK(t.p[i] != '\r' && t.p[i] != '\n' && t.p[i] != 0);
}

static void check_request(size_t used) {
    static const struct http_route routes[] = {{.methods = 3, .path = "/a/*/b/**"}, {.methods = 4, .path = "/**"}, {0}};
    static const struct http_route *const tables[] = {routes, NULL};
    struct text_token match[HTTP_MATCHES_MAX] = {{NULL, 0}}, value;
    char out[64];
    unsigned methods;
    CHECK(request.nheaders <= HTTP_HEADERS_MAX && request.body.n <= HTTP_BODY_MAX);
    for (unsigned i = 0; i < request.nheaders; i++) {
        CHECK(request.headers[i].name.n > 0);
        check_text(request.headers[i].name, used);
        check_text(request.headers[i].value, used);
    }
    CHECK(request.path.n > 0 && request.path.p[0] == '/');
    if (request.path.n > 1) check_text(request.path, used);
    check_text(request.query, used);
    check_text(request.host, used);
    CHECK(inside(request.body, bytes, used));
    (void)http_router_find(tables, &request, match, &methods);
    (void)http_router_is_own_host(request.host, NULL, 0);
    if (http_request_query(&request, "wait", &value)) check_text(value, used);
    CHECK(http_request_decode(request.path, true, out, sizeof out) <= (long)sizeof out);
    value = http_request_first(&request, "Accept");
    (void)exposition_wants_open_metrics(value.p, value.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) return 0;
    const char *p = (const char *)data + 1, *const end = (const char *)data + n;
    const size_t step = data[0] % 64 + 1;
    while (p < end) {
        struct http_refusal a = {0}, b = {0};
        size_t used = 0, again = 0;
        const size_t left = (size_t)(end - p);
        const enum http_parsed pieces = feed(p, left, step, &again, &b);
        const enum http_parsed whole = feed(p, left, left, &used, &a);
        CHECK(whole == pieces && a.status == b.status && used == again);
        if (whole == HTTP_PARSED_REFUSED) CHECK(a.status >= 400 && a.status <= 505 && a.why != NULL);
        if (whole != HTTP_PARSED_REQUEST) break;
        CHECK(used > 0 && used <= left);
        check_request(used);
        p += used;
    }
    return 0;
}
