/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_router.h"

#include <arpa/inet.h>
#include <string.h>

/* ------------------------------------------------------------------ routes */

static bool path_fits(const char *pattern, struct text_token path, struct text_token match[HTTP_MATCHES_MAX]) {
    const char *p = path.p, *const end = p + path.n;
    unsigned n = 0;
    for (;; pattern++) {
        if (*pattern == 0) return p == end;
        if (*pattern != '*') {
            if (p == end || *p++ != *pattern) return false;
            continue;
        }
        if (n == HTTP_MATCHES_MAX) return false;
        const bool rest = pattern[1] == '*';
        const char *stop = rest || p == end ? end : memchr(p, '/', (size_t)(end - p));
        if (stop == NULL) stop = end;
        if (stop == p) return false;
        match[n++] = (struct text_token){p, (size_t)(stop - p)};
        p = stop;
        if (rest) return true;
    }
}

const struct http_route *http_router_find(const struct http_route *const *tables, const struct http_request *r,
                                          struct text_token match[HTTP_MATCHES_MAX], unsigned *methods) {
    *methods = 0;
    for (; *tables != NULL; tables++)
        for (const struct http_route *route = *tables; route->path != NULL; route++) {
            const unsigned takes = route->methods | ((route->methods & 1u << HTTP_GET) != 0 ? 1u << HTTP_HEAD : 0);
            if (!path_fits(route->path, r->path, match)) continue;
            if ((takes & 1u << r->method) != 0) return route;
            *methods |= takes;
        }
    return NULL;
}

/* ------------------------------------------------------------------ hosts */

/* host without :port; what stands in brackets loses them. */
static struct text_token without_port(struct text_token host) {
    if (host.n > 0 && host.p[0] == '[') {
        const char *close = memchr(host.p, ']', host.n);
        const size_t behind = close != NULL ? (size_t)(close + 1 - host.p) : 0;
        if (close == NULL || (behind < host.n && host.p[behind] != ':')) return (struct text_token){host.p, 0};
        return (struct text_token){host.p, behind};
    }
    const char *colon = host.n > 0 ? memchr(host.p, ':', host.n) : NULL;
    return colon != NULL ? (struct text_token){host.p, (size_t)(colon - host.p)} : host;
}

static bool is_address(struct text_token host) {
    char text[INET6_ADDRSTRLEN + 2];
    struct in6_addr to;
    if (host.n >= sizeof text) return false;
    const bool six = host.n > 2 && host.p[0] == '[';
    memcpy(text, host.p + six, host.n - 2 * six);
    text[host.n - 2 * six] = 0;
    return inet_pton(six ? AF_INET6 : AF_INET, text, &to) == 1;
}

bool http_router_is_own_host(struct text_token host, char *const *names, unsigned n) {
    if (host.n == 0) return true;
    const struct text_token name = without_port(host);
    if (name.n == 0) return false;
    if (http_request_is(name, "localhost") || is_address(name)) return true;
    for (unsigned i = 0; i < n; i++)
        if (http_request_is(name, names[i])) return true;
    return false;
}
