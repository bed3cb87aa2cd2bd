/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http - the HTTP listener of one node: metrics, health, and what else the tables of routes answer.
 *
 * Owned by the node. The listener is a net of its own (net/net.h) with one worker: it accepts HTTP_CONNS_MAX
 * connections at most, with http_handler as handler and the instance as context of the worker. Threads: http_new and
 * http_free by the owner while that net does not run; the handler's upcalls on its worker; all others from any.
 */
#ifndef TAGCACHED_HTTP_HTTP_H
#define TAGCACHED_HTTP_HTTP_H

#include <stdint.h>

#include "http/http_route.h"
#include "net/handler.h"

#define HTTP_CONNS_MAX 64   /* connections at once */
#define HTTP_PER_ADDRESS 16 /* of them, of one address */
#define HTTP_REQUEST_S 10   /* seconds in which a whole request has to come, and its answer has to be taken */
#define HTTP_IDLE_S 60      /* seconds that a connection may wait between two requests */

struct histogram;
struct http;

struct http_config {
    /* Tables of routes, each of which ends with an empty row (path NULL), as zero-terminated list; looked through in
     * order, the first row that fits is taken. They outlive the instance. */
    const struct http_route *const *routes;
    void *routes_arg; /* the routes' own: http_exchange.routes_arg */
    /* Names that the Host header may have beside localhost and literal addresses when no token is given (--http-host);
     * copied. */
    const char *const *hosts;
    unsigned nhosts;
    const struct http_actors *actors; /* NULL: nobody has a token. Outlives the instance */
};

/* Makes one. 0 or -ENOMEM. */
int http_new(const struct http_config *cfg, struct http **out);
/* Frees it; no connection may be left. NULL is allowed. */
void http_free(struct http *h);

/* The upcalls of its connections. The same for all instances; lives for ever. */
const struct net_handler *http_handler(void);

/* Requests answered in that dialect with that status. */
uint64_t http_requests(const struct http *h, enum http_dialect dialect, unsigned status);
/* Counts purges that a route has begun; and how long one took, in a node that stands alone. The listener's thread. */
void http_note_purges(struct http *h, unsigned n);
void http_note_applied(struct http *h, uint64_t ns);
/* Those purges; adds those times to *sum. */
uint64_t http_purges(const struct http *h);
void http_sum_applied(const struct http *h, struct histogram *sum);
/* Calls fn with each status that an answer can have. */
void http_statuses_each(void (*fn)(void *arg, unsigned status), void *arg);

#endif
