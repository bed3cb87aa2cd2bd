/* SPDX-License-Identifier: BSD-3-Clause
 *
 * monitor - what monitoring and orchestration ask: /metrics, /healthz, /readyz.
 */
#ifndef TAGCACHED_HTTP_MONITOR_H
#define TAGCACHED_HTTP_MONITOR_H

#include <stddef.h>

#include "http/http_route.h"

struct cmd;

/* What the routes work on. It must be the first member of what http_config.routes_arg points to. */
struct monitor {
    struct cmd *cmd;
    const uint32_t *draining; /* atomic: 1 once the node is ending */
};

/* A table of routes (http_config.routes). */
extern const struct http_route monitor_routes[];

#endif
