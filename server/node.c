/* SPDX-License-Identifier: BSD-3-Clause */
#include "node.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/audit.h"
#include "base/rand.h"
#include "cluster/statedir.h"
#include "cmd/cmd.h"
#include "net/net.h"
#include "node_audit.h"
#include "node_cluster.h"
#include "node_erase.h"
#include "node_handles.h"
#include "node_http.h"
#include "settings_cluster.h"
#include "store/store.h"

/* memcached counts an item's header and key into -I, so that a value of just that size is too large. */
#define ITEM_HEADER_ALLOWANCE 64

static uint64_t value_max(const struct settings *s) {
    return (uint64_t)s->item_size_max - ITEM_HEADER_ALLOWANCE;
}

/* What connections may hold: an eighth of the memory, 16 MiB at least. */
static uint64_t held_max(const struct settings *s) {
    const uint64_t eighth = (uint64_t)s->memory_limit / 8;
    return eighth > NET_HELD_DEFAULT ? eighth : NET_HELD_DEFAULT;
}

struct node {
    const struct settings *settings;
    struct log log;
    struct audit *audit; /* NULL: no --audit */
    struct store *store;
    struct cmd *cmd;
    struct net *net; /* workers exist from net_new on */
    struct node_peers peers;
    struct node_cluster *cluster; /* NULL: it stands alone */
    struct node_http *http;       /* NULL: no --http */
    struct node_erase *erase;     /* NULL: no --erase */
    int end_fd;
    uint32_t end; /* enum node_end; atomic */
    bool store_started;
};

/* ------------------------------------------------------------------ upcalls of the store */

static void on_room(void *arg) {
    struct node *n = arg;
    for (unsigned i = 0; i < net_threads(n->net); i++) worker_resume_all(net_worker_at(n->net, i));
    node_cluster_on_room(n->cluster);
}

static void on_evict(void *arg, const char *key, size_t key_len, bool fetched, uint32_t expiry, uint64_t size) {
    cmd_on_evict(((struct node *)arg)->cmd, key, key_len, fetched, expiry, size);
}

static void on_upload(void *arg, unsigned handle) {
    const struct node *n = arg;
    if (handle < (unsigned)n->settings->threads)
        cmd_on_upload(n->cmd, handle); /* else tc-handoff's, which tries again by itself */
}

static void on_job(void *arg, void *token, int64_t count, uint64_t bytes) {
    struct node *n = arg;
    if (node_cluster_on_job(n->cluster, token, count, bytes, n->erase)) return;
    if (n->erase != NULL)
        node_erase_end(n->erase, token, count, bytes);
    else
        cmd_on_job(n->cmd, token, count, bytes);
}

static void on_floors(void *arg, uint64_t floors) {
    log_event(&((struct node *)arg)->log, LOG_ALWAYS, "purge_floors",
              "count=%llu reason=\"the sweeper did not get on\"", (unsigned long long)floors);
}

/* ------------------------------------------------------------------ upcalls of the commands */

static void up_shutdown(void *arg, enum cmd_shutdown mode) {
    struct node *n = arg;
    uint64_t one = 1;
    sync_store_rel(&n->end, mode == CMD_SHUTDOWN_NOW ? NODE_END_NOW : NODE_END_GRACEFUL);
    ssize_t r = write(n->end_fd, &one, sizeof one);
    (void)r;
}

static bool up_refresh_certs(void *arg, char *err, size_t err_size) {
    return net_tls_reload(((struct node *)arg)->net, err, err_size);
}

static void up_net_stats(void *arg, struct cmd_net_stats *out) {
    const struct net *net = ((struct node *)arg)->net;
    const struct settings *settings = ((struct node *)arg)->settings;
    struct net_gauges g;
    net_gauges(net, &g);
    *out = (struct cmd_net_stats){
        .threads = net_threads(net),
        .max_connections = g.max_connections,
        .curr_connections = g.curr_connections,
        .total_connections = net_metric(net, NET_METRIC_total_connections),
        .rejected_connections = net_metric(net, NET_METRIC_rejected_connections),
        .connection_structures = g.structures,
        .accepting = g.accepting,
        .listen_disabled = net_metric(net, NET_METRIC_listen_disabled_num),
        .listen_disabled_us = net_metric(net, NET_METRIC_listen_disabled_us),
        .bytes_read = net_metric(net, NET_METRIC_bytes_read),
        .bytes_written = net_metric(net, NET_METRIC_bytes_written),
        .buffer_bytes = g.buffer_bytes,
        .body_timeouts = net_metric(net, NET_METRIC_body_timeouts),
        .holders_closed = net_metric(net, NET_METRIC_holders_closed),
        .idle_timeout = settings->idle_timeout > 0,
        .ssl_session_cache = settings->tls && settings->ssl_session_cache,
        .idle_kicks = net_metric(net, NET_METRIC_idle_kicks),
        .ssl_handshake_errors = net_metric(net, NET_METRIC_ssl_handshake_errors),
        .ssl_proto_errors = net_metric(net, NET_METRIC_ssl_proto_errors),
        .ssl_new_sessions = net_metric(net, NET_METRIC_ssl_new_sessions),
        .cert_time = g.cert_time,
    };
}

static void up_net_reset(void *arg) {
    net_metrics_reset(((struct node *)arg)->net);
}

static struct net_worker *up_worker(void *arg, unsigned i) {
    return net_worker_at(((struct node *)arg)->net, i);
}

static void up_listeners_each(void *arg, void (*fn)(void *fn_arg, int fd), void *fn_arg) {
    const struct net *net = ((struct node *)arg)->net;
    for (unsigned i = 0; i < net_listeners(net); i++) fn(fn_arg, net_listener_fd(net, i));
}

struct each {
    const struct node *node;
    void (*fn)(void *arg, const char *name, const char *value);
    void *arg;
};

/* What may have changed since it was set is told as it is now. */
static void each_setting(void *arg, const char *name, const char *value) {
    const struct each *e = arg;
    char now[32];
    if (strcmp(name, "verbosity") == 0) {
        snprintf(now, sizeof now, "%u", sync_load(&e->node->log.verbosity));
        value = now;
    } else if (strcmp(name, "tcpport") == 0 && net_port(e->node->net, 0) != 0) {
        snprintf(now, sizeof now, "%u", net_port(e->node->net, 0));
        value = now;
    }
    e->fn(e->arg, name, value);
}

static void up_settings_each(void *arg, void (*fn)(void *fn_arg, const char *name, const char *value), void *fn_arg) {
    struct each e = {arg, fn, fn_arg};
    settings_each(e.node->settings, each_setting, &e);
}

static void up_want_link(void *arg, unsigned i, uint32_t member, enum cmd_link_kind kind, struct cmd_wish *wish) {
    const struct node *n = arg;
    if (n->cluster != NULL)
        node_cluster_want_link(n->cluster, i, member, kind, wish);
    else
        n->peers.want_link(n->peers.arg, i, member, kind, wish);
}

static void up_ring_differs(void *arg, uint32_t member, uint64_t version) {
    const struct node *n = arg;
    if (n->cluster != NULL)
        node_cluster_ring_differs(n->cluster, member, version);
    else
        n->peers.ring_differs(n->peers.arg, member, version);
}

/* ------------------------------------------------------------------ life */

static int make_store(struct node *n, const struct clock *clock) {
    const struct settings *s = n->settings;
    struct store_config cfg = {
        .memory_limit = (uint64_t)s->memory_limit,
        .item_size_max = value_max(s),
        .workers = (unsigned)s->threads,
        .handles = (unsigned)s->threads + NODE_HANDLES,
        .evict = s->evict,
        .prefix_delimiter = s->prefix_tags,
        .sweep_cpu_percent = (unsigned)s->sweep_cpu_percent,
        .relative_ttl_max = s->relative_ttl_max,
        .hugepages = s->hugepages,
        .erase = s->erase,
        .seed = rand_secret(),
        .clock = clock,
        .events = {.arg = n,
                   .on_room = on_room,
                   .on_evict = on_evict,
                   .on_job = on_job,
                   .on_floors = on_floors,
                   .on_upload = on_upload},
    };
    return store_new(&cfg, &n->store);
}

static int make_cmd(struct node *n, const struct node_config *nc) {
    const struct settings *s = n->settings;
    struct cmd_config cfg = {
        .store = n->store,
        .clock = nc->clock,
        .workers = (unsigned)s->threads,
        .seed = rand_secret(),
        .erase = s->erase,
        .audit = n->audit,
        .log = &n->log,
        .key_tags = settings_key_tags(s),
        .prefix_delimiter = s->prefix_tags,
        .stats_delimiter = s->stats_delimiter != 0 ? s->stats_delimiter : ':',
        .stats_detail = s->stats_delimiter != 0,
        .auth_file = s->auth_file,
        .sasl = s->sasl,
        .protocol = (uint8_t)s->protocol,
        .no_cas = !s->cas,
        .no_flush = !s->flush,
        .no_dump = !s->dump,
        .no_watch = !s->watch,
        .shutdown = s->shutdown,
        .track_sizes = s->track_sizes,
        .hot_copies = s->hot_copies == 0 && (nc->peers != NULL || s->cluster != NULL),
        .item_size_max = value_max(s),
        .requests_per_event = (unsigned)s->batches_per_event,
        .peer_timeout_ms = (unsigned)s->peer_timeout,
        .up = {n, up_shutdown, up_refresh_certs, up_net_stats, up_net_reset, up_worker, up_listeners_each,
               up_settings_each, NULL, NULL},
    };
    if (nc->peers != NULL) n->peers = *nc->peers;
    if (nc->peers != NULL || s->cluster != NULL) {
        cfg.up.want_link = up_want_link;
        cfg.up.ring_differs = up_ring_differs;
    }
    return cmd_new(&cfg, &n->cmd);
}

static void *worker_cmd(void *arg, unsigned i) {
    return cmd_worker_context(((struct node *)arg)->cmd, i);
}

/* The addresses of -l; without any, every interface. NULL: no memory. */
static struct net_listen *addresses(const struct settings *s, unsigned *count) {
    char why[256];
    *count = s->listen.n > 0 ? s->listen.n : 1;
    struct net_listen *l = calloc(*count, sizeof *l);
    if (l == NULL) return NULL;
    unsigned kept = 0;
    for (unsigned i = 0; i < *count; i++) {
        if (net_listen_parse(s->listen.n > 0 ? s->listen.v[i] : "*", &l[kept], why, sizeof why) != 0) l[kept].port = 0;
        /* -p 0: only addresses that name their port are listened on. */
        if (l[kept].port >= 0 || s->port != 0) kept++;
    }
    *count = kept;
    return l;
}

/* Without CA certificates nobody's certificate is good: who must show one is refused. As memcached, this starts. */
static void warn_no_ca(struct node *n, const struct net_config *cfg) {
    if (cfg->tls == NULL || cfg->tls->ca_cert != NULL) return;
    bool asks = cfg->tls->verify_mode != 0;
    for (unsigned i = 0; i < cfg->nlisten; i++) asks |= cfg->listen[i].tls == NET_TLS_MUTUAL;
    if (asks)
        log_event(&n->log, LOG_ALWAYS, "tls_no_ca",
                  "reason=\"clients are asked for certificates, but there is no -o ssl_ca_cert=FILE to check them by: "
                  "none is accepted\"");
}

static int make_net(struct node *n, const struct node_config *nc, char *err, size_t err_size) {
    const struct settings *s = n->settings;
    struct net_tls_config tls;
    const bool has_tls = settings_tls(s, &tls);
    struct net_config cfg = {
        .threads = (unsigned)s->threads,
        .max_connections = (unsigned)s->max_connections,
        .refuse_fast = s->maxconns_fast,
        .backlog = (int)s->backlog,
        .batches_per_event = (unsigned)s->batches_per_event,
        .idle_timeout_s = (unsigned)s->idle_timeout,
        .body_timeout_s = (unsigned)s->body_timeout,
        .held_max = held_max(s),
        .default_port = s->port > 0 ? (int)s->port : 0,
        .unix_path = nc->ninherited == 0 ? s->unix_path : NULL,
        .unix_mask = (unsigned)s->unix_mask,
        .inherited = nc->inherited,
        .ninherited = nc->ninherited,
        .tls = has_tls ? &tls : NULL,
        .handler = s->http.n > 0 ? cmd_timed_handler() : cmd_handler(),
        .context = worker_cmd,
        .context_arg = n,
        .let_go = cmd_let_go,
        .clock = nc->clock,
        .log = &n->log,
    };
    struct net_listen *listen = NULL;
    char admin[PATH_MAX];
    if (s->cluster != NULL && s->state_dir != NULL) {
        const int r = statedir_make(s->state_dir, err, err_size);
        if (r != 0) return r;
        snprintf(admin, sizeof admin, "%s/" STATEDIR_ADMIN, s->state_dir);
        cfg.admin_path = admin;
    }
    if (nc->ninherited == 0 && s->unix_path == NULL) {
        listen = addresses(s, &cfg.nlisten);
        if (listen == NULL) return -ENOMEM;
        cfg.listen = listen;
    }
    if (cfg.nlisten == 0 && cfg.ninherited == 0 && cfg.unix_path == NULL) {
        free(listen);
        snprintf(err, err_size,
                 "nothing to listen on: -p 0 turns TCP off; name a UNIX socket (-s), or a port with -l host:port");
        return -EINVAL;
    }
    int r = net_new(&cfg, &n->net, err, err_size);
    if (r == 0) warn_no_ca(n, &cfg);
    free(listen);
    return r;
}

static int make_http(struct node *n, const struct node_config *cfg, char *err, size_t err_size) {
    const struct node_http_parts parts = {n->settings, cfg->clock, &n->log, n->cmd, n->net, n->store, n->audit};
    return n->settings->http.n == 0 ? 0 : node_http_new(&parts, &n->http, err, err_size);
}

static void on_left(void *arg) {
    up_shutdown(arg, CMD_SHUTDOWN_GRACEFUL);
}

static int make_cluster(struct node *n, const struct node_config *cfg, char *err, size_t err_size) {
    const struct node_parts parts = {n->settings, cfg->clock, &n->log, n->audit, n->store, n->cmd, n->net, n, on_left};
    return n->settings->cluster == NULL ? 0 : node_cluster_new(&parts, &n->cluster, err, err_size);
}

static int make_erase(struct node *n, const struct node_config *cfg) {
    const struct node_erase_parts parts = {.store = n->store,
                                           .net = n->net,
                                           .cmd = n->cmd,
                                           .erase_cluster = n->cluster != NULL ? node_cluster_erase : NULL,
                                           .cluster = n->cluster,
                                           .clock = cfg->clock};
    return n->settings->erase ? node_erase_new(&parts, &n->erase) : 0;
}

int node_new(const struct node_config *cfg, struct node **out, char *err, size_t err_size) {
    if (err_size > 0) err[0] = 0;
    struct node *n = calloc(1, sizeof *n);
    int r = -ENOMEM;
    if (n == NULL) return r;
    if ((r = settings_check_cluster(cfg->settings, err, err_size)) != 0) {
        free(n);
        return r;
    }
    n->settings = cfg->settings;
    log_init(&n->log, cfg->log_fd, (unsigned)cfg->settings->verbose);
    n->end_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (n->end_fd < 0) {
        r = -errno;
        goto fail;
    }
    if ((r = node_audit_new(n->settings, cfg->clock, &n->log, &n->audit, err, err_size)) != 0) goto fail;
    if ((r = make_store(n, cfg->clock)) != 0) {
        snprintf(err, err_size, "cannot set up the store of %lld bytes: %s", (long long)cfg->settings->memory_limit,
                 strerror(-r));
        goto fail;
    }
    if ((r = make_cmd(n, cfg)) != 0) {
        if (cfg->settings->auth_file != NULL)
            snprintf(err, err_size, "cannot read the password file %s: %s", cfg->settings->auth_file, strerror(-r));
        goto fail;
    }
    if ((r = make_net(n, cfg, err, err_size)) != 0) goto fail;
    if ((r = make_cluster(n, cfg, err, err_size)) != 0) goto fail;
    if (n->audit != NULL && n->cluster != NULL) audit_name(n->audit, node_cluster_name(n->cluster));
    if ((r = make_erase(n, cfg)) != 0) goto fail;
    if ((r = make_http(n, cfg, err, err_size)) != 0) goto fail;
    *out = n;
    return 0;
fail:
    if (err_size > 0 && err[0] == 0) snprintf(err, err_size, "%s", strerror(-r));
    node_free(n);
    return r;
}

int node_start(struct node *n) {
    int r = n->audit != NULL ? audit_start(n->audit) : 0;
    if (r == 0) r = store_start(n->store);
    if (r != 0) return r;
    n->store_started = true;
    r = net_start(n->net);
    if (r == 0 && n->cluster != NULL) r = node_cluster_start(n->cluster);
    return r == 0 && n->http != NULL ? node_http_start(n->http) : r;
}

void node_stop(struct node *n) {
    node_http_stop(n->http);
    node_erase_stop(n->erase);
    if (n->cluster != NULL) node_cluster_stop(n->cluster);
    if (n->net != NULL) net_stop(n->net);
    audit_stop(n->audit);
    if (n->store_started) store_stop(n->store);
    n->store_started = false;
}

void node_free(struct node *n) {
    if (n == NULL) return;
    node_stop(n);
    node_cluster_close(n->cluster);
    net_free(n->net); /* runs what the store's thread and /healthz had still posted */
    node_http_free(n->http);
    if (n->cmd != NULL) cmd_free(n->cmd);
    if (n->store != NULL) store_free(n->store);
    node_erase_free(n->erase);
    node_cluster_free(n->cluster);
    audit_free(n->audit); /* purges that end with the store still tell it */
    if (n->end_fd >= 0) close(n->end_fd);
    log_fini(&n->log);
    free(n);
}

/* ------------------------------------------------------------------ running */

int node_end_fd(const struct node *n) {
    return n->end_fd;
}

enum node_end node_end(const struct node *n) {
    return (enum node_end)sync_load_acq(&n->end);
}

bool node_drain(struct node *n, unsigned timeout_ms) {
    if (n->http != NULL) node_http_draining(n->http);
    return net_drain(n->net, timeout_ms);
}

bool node_reload(struct node *n) {
    char err[512];
    bool ok = true;
    if (n->settings->auth_file != NULL) {
        int r = cmd_reload_auth(n->cmd);
        if (r != 0) log_event(&n->log, LOG_ALWAYS, "auth_reload_failed", "error=\"%s\"", strerror(-r));
        ok = r == 0;
    }
    if (n->settings->tls && !net_tls_reload(n->net, err, sizeof err)) {
        log_event(&n->log, LOG_ALWAYS, "tls_reload_failed", "error=\"%s\"", err);
        ok = false;
    }
    if (n->settings->tls && n->http != NULL && !net_tls_reload(node_http_net(n->http), err, sizeof err)) {
        log_event(&n->log, LOG_ALWAYS, "tls_reload_failed", "listener=http error=\"%s\"", err);
        ok = false;
    }
    if (n->http != NULL && !node_http_reload(n->http, err, sizeof err)) {
        log_event(&n->log, LOG_ALWAYS, "tokens_reload_failed", "error=\"%s\"", err);
        ok = false;
    }
    audit_reopen(n->audit);
    if (n->cluster != NULL) node_cluster_reload(n->cluster);
    return ok;
}

unsigned node_port(const struct node *n, unsigned i) {
    return net_port(n->net, i);
}

unsigned node_http_port(const struct node *n, unsigned i) {
    return n->http != NULL ? net_port(node_http_net(n->http), i) : 0;
}

int node_write_ports(const struct node *n, const char *path) {
    char tmp[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.lck", path) >= sizeof tmp) return -ENAMETOOLONG;
    FILE *f = fopen(tmp, "we");
    if (f == NULL) return -errno;
    net_print_ports(n->net, "TCP", f);
    if (n->http != NULL) net_print_ports(node_http_net(n->http), "HTTP", f);
    if (fclose(f) == 0 && rename(tmp, path) == 0) return 0;
    int r = -errno;
    unlink(tmp);
    return r;
}

struct log *node_log(struct node *n) {
    return &n->log;
}

struct net *node_net(struct node *n) {
    return n->net;
}

struct store *node_store(struct node *n) {
    return n->store;
}

struct cmd *node_cmd(struct node *n) {
    return n->cmd;
}
