/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_router - which route a request is for, and which Host is one of ours. Pure; any thread.
 */
#ifndef TAGCACHED_HTTP_HTTP_ROUTER_H
#define TAGCACHED_HTTP_HTTP_ROUTER_H

#include <stdbool.h>

#include "http/http_route.h"

/* The first route of the tables (http_config.routes) whose path and methods fit; fills in what its path leaves open.
 * NULL: there is none; *methods are those that routes of that path take, 0: none has the path. */
const struct http_route *http_router_find(const struct http_route *const *tables, const struct http_request *r,
                                          struct text_token match[HTTP_MATCHES_MAX], unsigned *methods);

/* Whether a Host, with or without a port, is localhost, a literal address or one of the names; an empty one is. A page
 * in a browser can have its name lead to this machine (DNS rebinding), but not make the browser send another Host. */
bool http_router_is_own_host(struct text_token host, char *const *names, unsigned n);

#endif
