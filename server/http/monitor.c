/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/monitor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/sync.h"
#include "cmd/cmd_snapshot.h"
#include "http/exposition.h"
#include "http/http_gzip.h"
#include "http/metrics.h"
#include "net/net.h"
#include "net/worker.h"

#define STUCK_NS 5000000000ull /* how long a worker may take to look at a message */
#define BEAT_NS 1000000000ull  /* between two messages to a worker: a flood of questions does not reach it */
#define LAG_MS 1000            /* how far behind the purges a node may be that is ready */

/* A message to a worker, by which it shows that it still runs. */
struct monitor_beat {
    struct net_post post;
    uint64_t sent_ns;
    uint32_t came; /* atomic: 1 once it has arrived, and at first */
};

/* Lines of text, as far as they fit. */
struct lines {
    char p[1024];
    size_t n;
};

static void add(struct lines *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct lines *l, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(l->p + l->n, sizeof l->p - l->n, fmt, ap);
    va_end(ap);
    if (n > 0 && (size_t)n < sizeof l->p - l->n) l->n += (size_t)n;
}

/* 200, or 503 if there are lines, each of which says what is wrong. */
static void reply(struct http_exchange *x, const struct lines *l, const char *good) {
    const char *const text = l->n > 0 ? l->p : good;
    http_reply(x, l->n > 0 ? 503 : 200, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

/* ------------------------------------------------------------------ /metrics */

/* Which format is asked for: by ?format=text or ?format=openmetrics, else by the Accept header. */
static bool wants_open_metrics(const struct http_request *r) {
    struct text_token format;
    if (http_request_query(r, "format", &format)) return http_request_is(format, "openmetrics");
    const struct text_token accept = http_request_first(r, "Accept");
    return exposition_wants_open_metrics(accept.p, accept.n);
}

static void run_metrics(struct http_exchange *x) {
    struct monitor *m = x->routes_arg;
    struct exposition e = {.p = m->page, .max = m->page_max, .open_metrics = wants_open_metrics(x->request)};
    metrics_write(&e, m->cmd, x->http);
    m->page = e.p;
    m->page_max = e.max;
    const char *const type = exposition_content_type(e.open_metrics);
    size_t size = 0;
    char *const small = !e.failed && http_gzip_wanted(x->request) ? http_gzip(e.p, e.n, &size) : NULL;
    if (e.failed)
        http_reply_text(x, 503, "there is no memory for the metrics");
    else if (small != NULL)
        http_reply(x, 200, type, "Content-Encoding: gzip\r\nVary: Accept, Accept-Encoding\r\n", small, size);
    else
        http_reply(x, 200, type, "Vary: Accept, Accept-Encoding\r\n", e.p, e.n);
    free(small);
}

/* ------------------------------------------------------------------ /healthz */

static void beat(struct net_worker *w, void *arg) {
    (void)w;
    sync_store_rel(&((struct monitor_beat *)arg)->came, 1);
}

/* Whoever asks has each worker sent a message that has seen the last one, a second after that at the earliest. Nothing
 * is waited for, so a worker that does not run is told of by a later answer. */
static void run_health(struct http_exchange *x) {
    struct monitor *m = x->routes_arg;
    struct lines l = {.n = 0};
    const uint64_t now = clock_boot_ns(m->clock);
    for (unsigned i = 0; i < net_threads(m->net); i++) {
        struct monitor_beat *b = &m->beats[i];
        if (sync_load_acq(&b->came) != 0) {
            if (b->sent_ns != 0 && now - b->sent_ns < BEAT_NS) continue;
            sync_store(&b->came, 0);
            b->sent_ns = now;
            worker_post(net_worker_at(m->net, i), &b->post, beat, b);
        } else if (now - b->sent_ns > STUCK_NS) {
            add(&l, "worker %u has looked at nothing for %" PRIu64 " s\n", i, (now - b->sent_ns) / 1000000000);
        }
    }
    reply(x, &l, "healthy\n");
}

/* ------------------------------------------------------------------ /readyz */

static void check_cluster(struct lines *l, const struct cluster_gauges *g) {
    const struct cluster_ready *r = &g->ready;
    if (!r->joined) add(l, "joining: %s\n", g->state);
    if (r->drained) add(l, "draining: an operator has taken this node out of the ring\n");
    if (r->lag_ms > LAG_MS) add(l, "purges: one has been known for %" PRIu64 " ms and is not applied\n", r->lag_ms);
    if (r->joined && !r->leased) add(l, "lease: %s\n", g->state);
    if (!r->active) add(l, "voter: not active yet in epoch %" PRIu64 "\n", g->epoch);
}

static void run_ready(struct http_exchange *x) {
    const struct monitor *m = x->routes_arg;
    struct cluster_gauges g;
    struct lines l = {.n = 0};
    if (sync_load_acq(m->draining) != 0) add(&l, "draining: this node accepts no more connections, and ends\n");
    if (cmd_snapshot_cluster(m->cmd, &g)) check_cluster(&l, &g);
    reply(x, &l, "ready\n");
}

/* ------------------------------------------------------------------ life */

int monitor_init(struct monitor *m, struct cmd *cmd, struct net *net, const struct clock *clock,
                 const uint32_t *draining) {
    *m = (struct monitor){.cmd = cmd, .net = net, .clock = clock, .draining = draining};
    m->beats = calloc(net_threads(net), sizeof *m->beats);
    if (m->beats == NULL) return -ENOMEM;
    for (unsigned i = 0; i < net_threads(net); i++) m->beats[i].came = 1;
    return 0;
}

void monitor_fini(struct monitor *m) {
    free(m->beats);
    free(m->page);
    *m = (struct monitor){0};
}

const struct http_route monitor_routes[] = {
    {.methods = 1u << HTTP_GET, .path = "/metrics", .run = run_metrics},
    {.methods = 1u << HTTP_GET, .path = "/healthz", .run = run_health},
    {.methods = 1u << HTTP_GET, .path = "/readyz", .run = run_ready},
    {0},
};
