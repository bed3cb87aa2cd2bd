/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/monitor.h"

#include <stdlib.h>
#include <string.h>

#include "base/sync.h"
#include "http/exposition.h"
#include "http/metrics.h"

/* Which format is asked for: by ?format=text or ?format=openmetrics, else by the Accept header. */
static bool wants_open_metrics(const struct http_request *r) {
    struct text_token format;
    if (http_request_query(r, "format", &format)) return http_request_is(format, "openmetrics");
    const struct text_token accept = http_request_first(r, "Accept");
    return exposition_wants_open_metrics(accept.p, accept.n);
}

static void run_metrics(struct http_exchange *x) {
    const struct monitor *m = x->routes_arg;
    struct exposition e = {.open_metrics = wants_open_metrics(x->request)};
    metrics_write(&e, m->cmd, x->http);
    if (e.failed)
        http_reply_text(x, 503, "there is no memory for the metrics");
    else
        http_reply(x, 200, exposition_content_type(e.open_metrics), NULL, e.p, e.n);
    free(e.p);
}

const struct http_route monitor_routes[] = {
    {.methods = 1u << HTTP_GET, .path = "/metrics", .run = run_metrics},
    {0},
};
