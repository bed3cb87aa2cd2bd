/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_purge - carries out the purges that come over HTTP, on this node or the whole cluster, and answers them in their
 * dialect (dialect.h). Its instance has the table of routes for http_config.
 *
 * A request is one purge, or, of more than 64 selectors, several that are under way together; it is answered when all
 * are. On the listener's thread, but for what the cluster's and the audit's threads call back. Owned by the node.
 */
#ifndef TAGCACHED_HTTP_HTTP_PURGE_H
#define TAGCACHED_HTTP_HTTP_PURGE_H

#include <stdbool.h>
#include <stdint.h>

#include "http/http_route.h"

struct audit;
struct clock;
struct cmd_cluster;
struct http_purges;
struct store_worker;

struct http_purges_config {
    const struct cmd_cluster *cluster; /* NULL: the node stands alone, and */
    struct store_worker *store;        /* a handle of the listener's thread's own purges it */
    struct audit *audit;               /* NULL: none. Outlives all purges */
    const struct clock *clock;
    const char *url_tag; /* --http-url-tag; NULL: URLs are not purged */
    bool erase;          /* a counted purge ends when what it took out is overwritten (--erase) */
    bool no_flush;       /* -F: purges of everything are refused */
};

/* Makes one. 0 or -ENOMEM. */
int http_purges_new(const struct http_purges_config *cfg, struct http_purges **out);
/* The listener has ended: what waits for the audit is not begun any more. */
void http_purges_stop(struct http_purges *p);
/* Frees it; the listener has ended. A purge that this node alone still carries out may end later. NULL is allowed. */
void http_purges_free(struct http_purges *p);
/* Its routes; they live as long as it does. */
const struct http_route *http_purges_routes(const struct http_purges *p);

#endif
