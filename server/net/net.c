/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/metric.h"
#include "net/acceptor.h"
#include "net/conn_serve.h"
#include "net/conn_state.h"
#include "net/listener.h"
#include "net/net_state.h"
#include "net/tls.h"
#include "net/worker_loop.h"
#include "net/worker_state.h"

/* ------------------------------------------------------------------ life */

static int workers_new(struct net *n) {
    n->workers = aligned_alloc(SYNC_CACHE_LINE, n->cfg.threads * sizeof *n->workers);
    if (n->workers == NULL) return -ENOMEM;
    memset(n->workers, 0, n->cfg.threads * sizeof *n->workers);
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        int r = worker_loop_init(&n->workers[i], n, i);
        if (r != 0) return r;
    }
    return 0;
}

static void lock_init(struct net *n) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&n->none_left, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&n->lock, NULL);
}

int net_new(const struct net_config *cfg, struct net **out, char *err, size_t err_size) {
    int r = -ENOMEM;
    if (err_size > 0) err[0] = 0;
    struct net *n = calloc(1, sizeof *n);
    if (n == NULL) return r;
    n->cfg = *cfg;
    if (n->cfg.batches_per_event == 0) n->cfg.batches_per_event = 1;
    n->accepting = 1;
    lock_init(n);
    if ((r = acceptor_init(n)) != 0) goto fail;
    if (cfg->tls != NULL && (r = tls_new(cfg->tls, &n->tls, err, err_size)) != 0) goto fail;
    if ((r = listener_open_all(n, err, err_size)) != 0) goto fail;
    if ((r = workers_new(n)) != 0) goto fail;
    /* What the caller's pointers led to has been used; nothing of it is looked at again. */
    n->cfg.listen = NULL;
    n->cfg.inherited = NULL;
    n->cfg.unix_path = n->cfg.admin_path = NULL;
    n->cfg.tls = NULL;
    *out = n;
    return 0;
fail:
    if (err_size > 0 && err[0] == 0) snprintf(err, err_size, "%s", strerror(-r));
    net_free(n);
    return r;
}

int net_start(struct net *n) {
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        struct net_worker *w = &n->workers[i];
        int r = pthread_create(&w->thread, NULL, worker_loop_run, w);
        if (r != 0) return -r;
        w->started = true;
        char name[16];
        snprintf(name, sizeof name, "%.8s-%u", n->cfg.thread_name != NULL ? n->cfg.thread_name : "worker", i % 10000);
        pthread_setname_np(w->thread, name);
    }
    int r = pthread_create(&n->acceptor, NULL, acceptor_run, n);
    if (r != 0) return -r;
    n->acceptor_started = true;
    char name[16];
    snprintf(name, sizeof name, "%.8s", n->cfg.thread_name != NULL ? n->cfg.thread_name : "");
    strcat(name, n->cfg.thread_name != NULL ? "-accept" : "acceptor");
    pthread_setname_np(n->acceptor, name);
    return 0;
}

/* Ends the acceptor and closes the sockets it listened on. */
static void stop_accepting(struct net *n) {
    if (n->acceptor_started) {
        sync_store_rel(&n->stopping, 1);
        loop_wake(&n->waker);
        pthread_join(n->acceptor, NULL);
        n->acceptor_started = false;
    }
    listener_close_all(n);
}

static void post_stop(struct net_worker *w, void *arg) {
    (void)arg;
    w->stop = true;
}

void net_stop(struct net *n) {
    stop_accepting(n);
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        struct net_worker *w = &n->workers[i];
        if (w->started) worker_post(w, &w->stop_post, post_stop, NULL);
    }
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        if (!n->workers[i].started) continue;
        pthread_join(n->workers[i].thread, NULL);
        n->workers[i].started = false;
    }
}

void net_free(struct net *n) {
    if (n == NULL) return;
    stop_accepting(n);
    for (unsigned i = 0; n->workers != NULL && i < n->cfg.threads; i++) {
        worker_loop_posts(&n->workers[i]);
        worker_loop_fini(&n->workers[i]);
    }
    free(n->workers);
    acceptor_fini(n);
    for (unsigned i = 0; i < n->nlisteners; i++) free(n->listeners[i].path);
    free(n->listeners);
    tls_free(n->tls);
    pthread_cond_destroy(&n->none_left);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

/* ------------------------------------------------------------------ draining */

static void post_drain(struct net_worker *w, void *arg) {
    struct conn *c, *next;
    (void)arg;
    w->draining = true;
    for (c = TAILQ_FIRST(&w->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, all);
        conn_drain(c);
    }
}

bool net_drain(struct net *n, unsigned timeout_ms) {
    struct timespec until;
    stop_accepting(n);
    for (unsigned i = 0; i < n->cfg.threads; i++)
        worker_post(&n->workers[i], &n->workers[i].drain_post, post_drain, NULL);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&n->lock);
    int r = 0;
    while (n->nconns != 0 && r == 0) r = pthread_cond_timedwait(&n->none_left, &n->lock, &until);
    bool none = n->nconns == 0;
    pthread_mutex_unlock(&n->lock);
    return none;
}

/* ------------------------------------------------------------------ looking around */

unsigned net_threads(const struct net *n) {
    return n->cfg.threads;
}

struct net_worker *net_worker_at(struct net *n, unsigned i) {
    CHECK(i < n->cfg.threads);
    return &n->workers[i];
}

unsigned net_listeners(const struct net *n) {
    return n->nlisteners;
}

int net_listener_fd(const struct net *n, unsigned i) {
    return sync_load(&n->listeners[i].fd);
}

unsigned net_port(const struct net *n, unsigned i) {
    return i < n->nlisteners ? n->listeners[i].port : 0;
}

void net_print_ports(const struct net *n, const char *what, FILE *f) {
    for (unsigned i = 0; i < n->nlisteners; i++)
        if (n->listeners[i].family != AF_UNIX)
            fprintf(f, "%s %s: %u\n", what, n->listeners[i].family == AF_INET6 ? "INET6" : "INET",
                    n->listeners[i].port);
}

void net_gauges(const struct net *n, struct net_gauges *g) {
    *g = (struct net_gauges){
        .structures = sync_load(&n->nconns),
        .max_connections = n->cfg.max_connections,
        .accepting = sync_load(&n->accepting) != 0,
        .cert_time = n->tls != NULL ? tls_loaded_at(n->tls) : 0,
    };
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        /* Closed first: the difference may be old, but not negative. */
        uint64_t closed = sync_load_acq(&n->workers[i].metrics[NET_METRIC_closed_connections]);
        g->curr_connections += sync_load(&n->workers[i].metrics[NET_METRIC_total_connections]) - closed;
        g->buffer_bytes += sync_load(&n->workers[i].buffer_bytes);
    }
}

static uint64_t metric_total(const struct net *n, enum net_metric m) {
    return sync_load(&n->metrics[m]) + metric_sum(n->workers[0].metrics, sizeof *n->workers, n->cfg.threads, m);
}

uint64_t net_metric(const struct net *n, enum net_metric m) {
    uint64_t total = metric_total(n, m), base = sync_load(&n->base_counts[m]);
    return total > base ? total - base : 0;
}

void net_metrics_reset(struct net *n) {
    for (unsigned m = 0; m < NET_METRICS; m++) sync_store(&n->base_counts[m], metric_total(n, m));
}

bool net_tls_reload(struct net *n, char *err, size_t err_size) {
    if (n->tls == NULL) {
        snprintf(err, err_size, "TLS is off: start with -Z");
        return false;
    }
    return tls_reload(n->tls, err, err_size);
}

void net_tick(struct net *n) {
    for (unsigned i = 0; i < n->cfg.threads; i++) worker_loop_tick(&n->workers[i]);
}
