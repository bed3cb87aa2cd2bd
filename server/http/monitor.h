/* SPDX-License-Identifier: BSD-3-Clause
 *
 * monitor - what monitoring and orchestration ask: /metrics, /healthz, /readyz.
 *
 * Owned by the node. Threads: monitor_init and monitor_fini by the owner, while the listener's thread does not run; the
 * routes on that thread.
 */
#ifndef TAGCACHED_HTTP_MONITOR_H
#define TAGCACHED_HTTP_MONITOR_H

#include <stdint.h>

#include "http/http_route.h"

struct clock;
struct cmd;
struct monitor_beat;
struct net;

/* What the routes work on: the first member of what http_config.routes_arg points to. */
struct monitor {
    struct cmd *cmd;
    struct net *net; /* that serves the cache */
    const struct clock *clock;
    const uint32_t *draining;   /* atomic: 1 once the node is ending */
    struct monitor_beat *beats; /* one for each of its workers */
    char *page;                 /* memory for a page of metrics, kept: given back each time, it would be unmapped and */
    size_t page_max;            /* mapped again, which disturbs the process's other threads */
};

/* 0 or -ENOMEM. What it points to outlives it. */
int monitor_init(struct monitor *m, struct cmd *cmd, struct net *net, const struct clock *clock,
                 const uint32_t *draining);
/* After the workers of the net have ended. */
void monitor_fini(struct monitor *m);

/* A table of routes (http_config.routes). */
extern const struct http_route monitor_routes[];

#endif
