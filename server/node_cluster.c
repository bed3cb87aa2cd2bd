/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_cluster.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/hostport.h"
#include "base/log.h"
#include "base/openssl.h"
#include "base/sync.h"
#include "cluster/cluster.h"
#include "cluster/purging.h"
#include "cluster/view.h"
#include "cmd/cmd.h"
#include "net/conn.h"
#include "net/net.h"
#include "net/worker.h"
#include "node_erase.h"
#include "node_handles.h"
#include "node_handoff.h"
#include "settings.h"
#include "settings_cluster.h"
#include "store/store.h"

#define CLUSTER_PORT_ABOVE 10000 /* the client port, by default */

#define FILED_TAGS 2 /* a selector of so many tags always has a place in the store's table */

/* A counted purge that the store carries out. */
struct count {
    struct cmd_ended ended; /* first: it is found by it */
    LIST_ENTRY(count) entry;
    struct node_cluster *nc;
    struct purge_via via;
    bool applies; /* it is not applied before its end: the table may not have been able to file one of its selectors */
};

struct node_cluster {
    struct node_parts parts;
    struct cluster *cluster;
    struct store_worker *handle;  /* the store's handle of the cluster's thread */
    struct node_handoff *handoff; /* has that of the hand-off's */
    struct cmd_cluster calls;     /* what the commands ask */
    char bind[HOSTPORT_MAX + 1];
    uint32_t stopped;            /* atomic: the cluster's thread has ended */
    pthread_mutex_t counts_lock; /* guards: */
    LIST_HEAD(, count) counts;
    uint32_t waits; /* atomic: purges wait for the store to make room */
};

/* ------------------------------------------------------------------ what the cluster asks of the node */

static void on_view_done(void *arg) {
    struct cluster *c = ((struct node_cluster *)arg)->cluster;
    if (c != NULL) cluster_view_done(c);
}

static int up_view(void *arg, struct view *v) {
    struct node_cluster *nc = arg;
    return cmd_set_view(nc->parts.cmd, v, on_view_done, nc);
}

static void read_batch(const struct purging_batch *b, struct store_selector *out) {
    for (unsigned i = 0; i < b->nselectors; i++) {
        const struct purge_selector *s = &b->selectors[i];
        out[i].all = s->ntags == 0;
        out[i].ntags = s->ntags;
        memcpy(out[i].tags, s->tags, s->ntags * sizeof *s->tags);
    }
}

_Static_assert(PURGING_BATCH_SELECTORS <= STORE_SELECTORS_MAX, "a batch is one purge");
_Static_assert(PURGE_EVENT_TAGS_MAX <= STORE_SELECTOR_TAGS_MAX, "what a node sends fits into the store's selectors");

static void count_begin(struct node_cluster *nc, struct count *counted) {
    pthread_mutex_lock(&nc->counts_lock);
    LIST_INSERT_HEAD(&nc->counts, counted, entry);
    pthread_mutex_unlock(&nc->counts_lock);
}

/* The count that is under way under this token, which is not under way any more: the caller frees it. NULL: none. */
static struct count *count_take(struct node_cluster *nc, void *token) {
    struct count *n;
    pthread_mutex_lock(&nc->counts_lock);
    LIST_FOREACH(n, &nc->counts, entry)
    if (n == token) break;
    if (n != NULL) LIST_REMOVE(n, entry);
    pthread_mutex_unlock(&nc->counts_lock);
    return n;
}

/* The last copy here is gone. */
static void on_counted(struct cmd_ended *e, int64_t items, uint64_t bytes) {
    struct count *counted = (struct count *)e;
    const struct node_cluster *nc = counted->nc;
    if (sync_load_acq(&nc->stopped) == 0) cluster_counted(nc->cluster, counted->via, items, bytes);
    free(counted);
}

static enum cluster_applying up_apply(void *arg, const struct purging_batch *b) {
    struct node_cluster *nc = arg;
    struct store_selector selectors[PURGING_BATCH_SELECTORS];
    struct count *counted = b->counted ? calloc(1, sizeof *counted) : NULL;
    bool applies = false;
    uint64_t version;
    read_batch(b, selectors);
    const struct store_purge p = {.selectors = selectors,
                                  .nselectors = b->nselectors,
                                  .soft = b->soft,
                                  .counted = counted != NULL,
                                  .soft_ttl_s = b->ttl_s,
                                  .token = counted != NULL ? (void *)counted : nc};
    if (counted != NULL) {
        counted->ended.ended = on_counted;
        counted->nc = nc;
        counted->via = b->via;
        for (unsigned i = 0; i < b->nselectors; i++) counted->applies |= b->selectors[i].ntags > FILED_TAGS;
        count_begin(nc, counted);
    }
    if (counted != NULL) applies = counted->applies; /* the store may end it, and with it `counted`, at once */
    sync_store_seq(&nc->waits, 1);                   /* room that is made from here on is told */
    const enum store_status st = store_purge(nc->handle, &p, &version);
    if (counted != NULL && st != STORE_PENDING) {
        if (st == STORE_OK) cluster_counted(nc->cluster, b->via, 0, 0);
        free(count_take(nc, counted));
    }
    if (st == STORE_AGAIN || st == STORE_NO_MEMORY) return CLUSTER_APPLY_LATER;
    sync_store_seq(&nc->waits, 0);
    cmd_on_purged(nc->parts.cmd, version, b);
    /* What is filed at once is applied: only its count takes time. */
    return st == STORE_OK || (counted != NULL && !applies) ? CLUSTER_APPLIED : CLUSTER_APPLYING;
}

/* `*` has a place of its own in the table of purges, so it never has to wait. */
static void up_floor(void *arg, bool everything) {
    struct node_cluster *nc = arg;
    const struct store_selector all = {.all = true};
    const struct store_purge p = {.selectors = &all, .nselectors = 1, .token = nc};
    uint64_t version;
    if (!everything) {
        (void)store_purge_tagged(nc->handle);
        return;
    }
    const enum store_status st = store_purge(nc->handle, &p, &version);
    CHECK(st == STORE_OK);
}

static uint64_t up_number(void *arg) {
    return store_number(((struct node_cluster *)arg)->parts.store);
}

static void up_link(void *arg, void *wish, int fd, struct ssl_st *ssl, int error) {
    (void)arg;
    if (wish != NULL) {
        cmd_on_link(wish, fd, ssl, error);
        return;
    }
    if (ssl != NULL) openssl.SSL_free(ssl);
    if (fd >= 0) close(fd);
}

static void up_requests(void *arg, uint64_t *clients, uint64_t *forwarded) {
    const struct cmd *cmd = ((struct node_cluster *)arg)->parts.cmd;
    const uint64_t here = cmd_metric(cmd, CMD_METRIC_cmd_get) + cmd_metric(cmd, CMD_METRIC_cmd_set) +
                          cmd_metric(cmd, CMD_METRIC_cmd_touch);
    const uint64_t received = cmd_metric(cmd, CMD_METRIC_forwards_received);
    *forwarded = cmd_metric(cmd, CMD_METRIC_forwards_sent);
    *clients = (here > received ? here - received : 0) + *forwarded;
}

/* A connection of this node to itself on its way to a worker. */
struct guest {
    struct net_post post;
    int fd;
    bool privileged;
};

static void seat_guest(struct net_worker *w, void *arg) {
    struct guest *g = arg;
    (void)conn_adopt(w, g->fd, NULL, cmd_guest_handler(g->privileged));
    free(g);
}

static int up_client(void *arg, bool privileged) {
    struct node_cluster *nc = arg;
    struct guest *g = calloc(1, sizeof *g);
    int ends[2];
    if (g == NULL) return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
        free(g);
        return -errno;
    }
    g->fd = ends[0];
    g->privileged = privileged;
    worker_post(net_worker_at(nc->parts.net, 0), &g->post, seat_guest, g);
    return ends[1];
}

/* A link of another node on its way to a worker. */
struct arrival {
    struct net_post post;
    struct cmd *cmd;
    enum cmd_link_kind kind;
    int fd;
    struct ssl_st *ssl;
};

static void arrive(struct net_worker *w, void *arg) {
    struct arrival *a = arg;
    (void)cmd_serve_link(a->cmd, w, a->fd, a->ssl, a->kind);
    free(a);
}

static void up_serve(void *arg, unsigned worker, bool transfer, int fd, struct ssl_st *ssl) {
    struct node_cluster *nc = arg;
    struct arrival *a = calloc(1, sizeof *a);
    if (a == NULL) {
        up_link(nc, NULL, fd, ssl, 0);
        return;
    }
    *a = (struct arrival){
        .cmd = nc->parts.cmd, .kind = transfer ? CMD_LINK_TRANSFER : CMD_LINK_DATA, .fd = fd, .ssl = ssl};
    struct net_worker *w = net_worker_at(nc->parts.net, worker % net_threads(nc->parts.net));
    worker_post(w, &a->post, arrive, a);
}

static void up_handoff(void *arg, struct handoff_store *out) {
    node_handoff_store(((struct node_cluster *)arg)->handoff, out);
}

static void up_ended(void *arg) {
    const struct node_parts *p = &((struct node_cluster *)arg)->parts;
    p->ended(p->arg);
}

/* ------------------------------------------------------------------ what the commands ask of the cluster */

static void call_purge(void *arg, struct cluster_purge *p) {
    cluster_purge(((struct node_cluster *)arg)->cluster, p);
}

static void call_flush_later(void *arg, uint32_t seconds) {
    cluster_flush_later(((struct node_cluster *)arg)->cluster, seconds);
}

static void call_ask(void *arg, struct cluster_question *q) {
    cluster_ask(((struct node_cluster *)arg)->cluster, q);
}

static void call_gauges(void *arg, struct cluster_gauges *out) {
    cluster_gauges(((struct node_cluster *)arg)->cluster, out);
}

static size_t call_discovery(void *arg, char *to, size_t size) {
    return cluster_discovery(((struct node_cluster *)arg)->cluster, to, size);
}

void node_cluster_want_link(struct node_cluster *nc, unsigned worker, uint32_t member, enum cmd_link_kind kind,
                            struct cmd_wish *wish) {
    cluster_want_link(nc->cluster, worker, member, kind == CMD_LINK_TRANSFER, wish);
}

void node_cluster_ring_differs(struct node_cluster *nc, uint32_t member, uint64_t version) {
    cluster_ring_differs(nc->cluster, member, version);
}

bool node_cluster_on_job(struct node_cluster *nc, void *token, int64_t items, uint64_t bytes,
                         struct node_erase *erase) {
    if (nc == NULL) return false;
    struct count *counted = token == nc ? NULL : count_take(nc, token);
    if (token != nc && counted == NULL) return false;
    const bool told = sync_load_acq(&nc->stopped) == 0;
    if (told && (counted == NULL || counted->applies)) cluster_applied(nc->cluster);
    if (counted != NULL && erase != NULL)
        node_erase_end(erase, &counted->ended, items, bytes);
    else if (counted != NULL)
        on_counted(&counted->ended, items, bytes);
    return true;
}

void node_cluster_erase(struct node_cluster *nc, void (*done)(void *arg), void *arg) {
    cluster_erase(nc->cluster, done, arg);
}

void node_cluster_on_room(struct node_cluster *nc) {
    if (nc != NULL && sync_load_acq(&nc->stopped) == 0 && sync_load_seq(&nc->waits) != 0)
        cluster_apply_again(nc->cluster);
}

/* ------------------------------------------------------------------ life */

/* Where other nodes reach this one, unless the operator says: the host that clients are served on, if it is one. */
static void default_bind(const struct node_parts *p, char out[HOSTPORT_MAX + 1]) {
    struct net_listen l = {.host = ""};
    char why[256];
    if (p->settings->listen.n == 1) (void)net_listen_parse(p->settings->listen.v[0], &l, why, sizeof why);
    const unsigned port = net_port(p->net, 0) + CLUSTER_PORT_ABOVE;
    hostport_text(l.host[0] != 0 ? l.host : "*", (uint16_t)(port <= UINT16_MAX ? port : 0), out);
}

static int fill_config(struct node_cluster *nc, struct cluster_config *cfg, char *err, size_t err_size) {
    const struct settings *s = nc->parts.settings;
    struct hostport at;
    if (s->cluster_bind != NULL)
        snprintf(nc->bind, sizeof nc->bind, "%s", s->cluster_bind);
    else
        default_bind(&nc->parts, nc->bind);
    if (!hostport_read(nc->bind, &at)) {
        snprintf(err, err_size,
                 "the client port + %d is no port: say where other nodes reach this one, "
                 "--cluster-bind HOST:PORT",
                 CLUSTER_PORT_ABOVE);
        return -EINVAL;
    }
    *cfg = (struct cluster_config){
        .name = s->cluster,
        .ring_name = s->ring_name,
        .client_port = (uint16_t)net_port(nc->parts.net, 0),
        .bind = nc->bind,
        .advertise = s->cluster_advertise,
        .join = (const char *const *)s->join.v,
        .njoin = s->join.n,
        .founders = (const char *const *)s->founders.v,
        .nfounders = s->founders.n,
        .found = s->found,
        .weight = settings_weight(s),
        .key_file = s->cluster_key,
        .state_dir = s->state_dir,
        .insecure = s->insecure_cluster,
        .plain_links = s->cluster_links == 1,
        .voters = (unsigned)s->voters,
        .tag_lease_ms = (unsigned)s->tag_lease,
        .serve_lease_s = (unsigned)s->serve_lease,
        .eject_after_s = (unsigned)s->eject_after,
        .key_tags = settings_key_tags(s),
        .prefix_delimiter = s->prefix_tags,
        .strip_prefix = s->ring_strip_prefix,
        .memory_limit = (uint64_t)s->memory_limit,
        .handoff_rate_mib = (unsigned)s->handoff_rate,
        .drain_timeout_s = (unsigned)s->drain_timeout,
        .workers = (unsigned)s->threads,
        .clock = nc->parts.clock,
        .log = nc->parts.log,
        .audit = nc->parts.audit,
        .erase = s->erase,
        .up = {nc, up_view, up_apply, up_floor, up_number, up_link, up_requests, up_client, up_serve, up_handoff,
               node_handoff_set_move, node_handoff_items, up_ended},
    };
    return 0;
}

int node_cluster_new(const struct node_parts *parts, struct node_cluster **out, char *err, size_t err_size) {
    struct cluster_config cfg;
    struct node_cluster *nc = calloc(1, sizeof *nc);
    if (nc == NULL) return -ENOMEM;
    nc->parts = *parts;
    LIST_INIT(&nc->counts);
    pthread_mutex_init(&nc->counts_lock, NULL);
    const unsigned threads = (unsigned)parts->settings->threads;
    nc->handle = store_worker(parts->store, node_handle(threads, NODE_HANDLE_CLUSTER));
    nc->handoff =
        node_handoff_new(parts->store, node_handle(threads, NODE_HANDLE_HANDOFF), parts->settings->ring_strip_prefix);
    int r = nc->handoff == NULL ? -ENOMEM : fill_config(nc, &cfg, err, err_size);
    if (r == 0) r = cluster_new(&cfg, &nc->cluster, err, err_size);
    if (r != 0) {
        node_handoff_free(nc->handoff);
        free(nc);
        return r;
    }
    nc->calls = (struct cmd_cluster){nc,
                                     cluster_leases(nc->cluster),
                                     cluster_cover(nc->cluster),
                                     call_purge,
                                     call_flush_later,
                                     call_ask,
                                     call_gauges,
                                     call_discovery};
    cmd_set_cluster(parts->cmd, &nc->calls);
    *out = nc;
    return 0;
}

int node_cluster_start(struct node_cluster *nc) {
    return cluster_start(nc->cluster);
}

const char *node_cluster_name(const struct node_cluster *nc) {
    return cluster_ring_name(nc->cluster);
}

void node_cluster_reload(struct node_cluster *nc) {
    cluster_reload(nc->cluster);
}

void node_cluster_stop(struct node_cluster *nc) {
    cluster_stop(nc->cluster);
    sync_store_rel(&nc->stopped, 1);
}

void node_cluster_close(struct node_cluster *nc) {
    if (nc == NULL) return;
    cluster_free(nc->cluster);
    node_handoff_free(nc->handoff);
    nc->cluster = NULL;
    nc->handoff = NULL;
}

void node_cluster_free(struct node_cluster *nc) {
    if (nc == NULL) return;
    node_cluster_close(nc);
    pthread_mutex_destroy(&nc->counts_lock);
    free(nc);
}
