/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_http.h"
#include "node_handles.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/audit.h"
#include "base/sync.h"
#include "cmd/cmd.h"
#include "http/http.h"
#include "http/http_purge.h"
#include "http/monitor.h"
#include "http/tokens.h"
#include "net/net.h"
#include "settings.h"
#include "store/store.h"

/* Under load the workers that serve the cache come first; this one still gets a tenth of what one of them gets. */
#define NICENESS 10
#define BACKLOG 64

static const char refusal[] = "HTTP/1.1 503 Service Unavailable\r\n"
                              "Content-Length: 0\r\n"
                              "Retry-After: 1\r\n"
                              "Connection: close\r\n\r\n";

struct node_http {
    struct monitor monitor; /* first: the routes get it */
    struct node_http_parts parts;
    struct http *http;
    struct net *net;
    struct tokens *tokens;      /* NULL: no --http-tokens, and */
    struct http_purges *purges; /* NULL: nothing is purged by HTTP */
    const struct http_route *tables[3];
    uint32_t draining; /* atomic */
};

static void *context(void *arg, unsigned worker) {
    (void)worker;
    return ((struct node_http *)arg)->http;
}

static int make_http(struct node_http *nh) {
    const struct settings *s = nh->parts.settings;
    nh->tables[0] = monitor_routes;
    const int r = monitor_init(&nh->monitor, nh->parts.cmd, nh->parts.net, nh->parts.clock, &nh->draining);
    if (r != 0) return r;
    if (nh->purges != NULL) nh->tables[1] = http_purges_routes(nh->purges);
    const struct http_config cfg = {
        .routes = nh->tables,
        .routes_arg = nh,
        .hosts = (const char *const *)s->http_host.v,
        .nhosts = s->http_host.n,
        .actors = nh->tokens != NULL ? tokens_actors(nh->tokens) : NULL,
    };
    return http_new(&cfg, &nh->http);
}

static int make_purges(struct node_http *nh, char *err, size_t err_size) {
    const struct settings *s = nh->parts.settings;
    const struct http_purges_config cfg = {
        .cluster = cmd_cluster_calls(nh->parts.cmd),
        .store = store_worker(nh->parts.store, node_handle((unsigned)s->threads, NODE_HANDLE_HTTP)),
        .audit = nh->parts.audit,
        .clock = nh->parts.clock,
        .url_tag = s->http_url_tag,
        .erase = s->erase,
        .no_flush = !s->flush,
    };
    const int r = tokens_new(s->http_tokens, nh->parts.clock, &nh->tokens, err, err_size);
    return r == 0 ? http_purges_new(&cfg, &nh->purges) : r;
}

static int make_net(struct node_http *nh, char *err, size_t err_size) {
    const struct settings *s = nh->parts.settings;
    struct net_tls_config tls;
    const bool has_tls = settings_tls(s, &tls);
    struct net_listen *listen = calloc(s->http.n, sizeof *listen);
    if (listen == NULL) return -ENOMEM;
    int r = 0;
    for (unsigned i = 0; r == 0 && i < s->http.n; i++)
        r = settings_http_listen(s->http.v[i], &listen[i], err, err_size);
    const struct net_config cfg = {
        .threads = 1,
        .max_connections = HTTP_CONNS_MAX,
        .refuse_fast = true,
        .refusal = refusal,
        .niceness = NICENESS,
        .thread_name = "http",
        .backlog = BACKLOG,
        .batches_per_event = 1,
        .held_max = NET_HELD_DEFAULT * 2,
        .listen = listen,
        .nlisten = s->http.n,
        .tls = has_tls ? &tls : NULL,
        .handler = http_handler(),
        .context = context,
        .context_arg = nh,
        .clock = nh->parts.clock,
        .log = nh->parts.log,
    };
    if (r == 0) r = net_new(&cfg, &nh->net, err, err_size);
    free(listen);
    return r;
}

int node_http_new(const struct node_http_parts *parts, struct node_http **out, char *err, size_t err_size) {
    struct node_http *nh = calloc(1, sizeof *nh);
    if (nh == NULL) return -ENOMEM;
    nh->parts = *parts;
    int r = parts->settings->http_tokens != NULL ? make_purges(nh, err, err_size) : 0;
    if (r == 0) r = make_http(nh);
    if (r == 0) r = make_net(nh, err, err_size);
    if (r != 0) {
        node_http_free(nh);
        return r;
    }
    *out = nh;
    return 0;
}

int node_http_start(struct node_http *nh) {
    return net_start(nh->net);
}

void node_http_stop(struct node_http *nh) {
    if (nh == NULL) return;
    if (nh->net != NULL) net_stop(nh->net);
    if (nh->purges != NULL) http_purges_stop(nh->purges);
}

void node_http_free(struct node_http *nh) {
    if (nh == NULL) return;
    net_free(nh->net);
    http_free(nh->http);
    monitor_fini(&nh->monitor);
    http_purges_free(nh->purges);
    tokens_free(nh->tokens);
    free(nh);
}

bool node_http_reload(struct node_http *nh, char *err, size_t err_size) {
    char *changes = NULL;
    if (nh->tokens == NULL) return true;
    const int r = tokens_reload(nh->tokens, &changes, err, err_size);
    if (changes != NULL) audit_change(nh->parts.audit, "tokens", changes, NULL, NULL);
    if (r != 0) audit_change(nh->parts.audit, "tokens", "the file was read again", NULL, err);
    free(changes);
    return r == 0;
}

void node_http_draining(struct node_http *nh) {
    sync_store_rel(&nh->draining, 1);
}

struct net *node_http_net(struct node_http *nh) {
    return nh->net;
}
