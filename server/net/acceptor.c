/* SPDX-License-Identifier: BSD-3-Clause */
#include "net/acceptor.h"

#include <errno.h>
#include <event2/listener.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/pages.h"
#include "net/conn_serve.h"
#include "net/conn_state.h"
#include "net/listener.h"
#include "net/net_state.h"
#include "net/worker.h"
#include "net/worker_loop.h"
#include "net/worker_state.h"

#define RETRY_MS 10      /* how long to leave connections alone when there is no descriptor or memory for one */
#define ACCEPT_BATCH 256 /* accepted from one socket before the next one's turn */

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ------------------------------------------------------------------ what it does beside accepting */

static void trim(struct net *n) {
    if (sync_exchange(&n->trim, 0) == 0) return;
    pages_trim_heap();
    sync_bump(&n->metrics[NET_METRIC_heap_trims], 1);
}

static void start_ticker(struct net *n) {
    const struct timeval second = {1, 0};
    if (sync_load_acq(&n->ticks) && !event_pending(&n->ticker, EV_TIMEOUT, NULL)) event_add(&n->ticker, &second);
}

static void on_second(evutil_socket_t fd, short what, void *arg) {
    struct net *n = arg;
    (void)fd;
    (void)what;
    /* Off first: a worker that stops resting from here on turns it on again and wakes us. */
    sync_store_seq(&n->ticks, 0);
    for (unsigned i = 0; i < n->cfg.threads; i++) {
        if (sync_load_seq(&n->workers[i].resting)) continue;
        worker_loop_tick(&n->workers[i]);
        sync_store_seq(&n->ticks, 1);
    }
    start_ticker(n);
}

/* ------------------------------------------------------------------ when connections have to wait */

static bool at_limit(const struct net *n) {
    return sync_load(&n->nconns) >= n->cfg.max_connections;
}

/* Under the lock, so that a connection that closes either is counted out before or wakes us after. */
static void set_accepting(struct net *n, uint32_t on) {
    pthread_mutex_lock(&n->lock);
    sync_store(&n->accepting, on);
    pthread_mutex_unlock(&n->lock);
}

static void watch_listeners(struct net *n, bool on) {
    for (unsigned i = 0; i < n->nlisteners; i++) {
        struct net_listener *l = &n->listeners[i];
        l->taken = 0;
        (void)(on ? evconnlistener_enable(l->accepts) : evconnlistener_disable(l->accepts));
    }
}

/* Leaves connections in the backlog until the time has passed, or (retry NULL) until one ends. */
static void pause_accepting(struct net *n, const struct timeval *retry) {
    if (n->paused) return;
    n->paused = true;
    n->paused_at_us = now_us();
    watch_listeners(n, false);
    sync_bump(&n->metrics[NET_METRIC_listen_disabled_num], 1);
    log_event(n->cfg.log, LOG_NOTICE, "accept_paused", "connections=%u", sync_load(&n->nconns));
    if (retry != NULL) event_add(&n->retry, retry);
    set_accepting(n, 0); /* from here on whoever closes a connection wakes us */
    if (retry == NULL && !at_limit(n)) loop_wake(&n->waker);
}

static void resume_accepting(struct net *n) {
    if (!n->paused || (at_limit(n) && !n->cfg.refuse_fast)) return;
    n->paused = false;
    event_del(&n->retry);
    set_accepting(n, 1);
    sync_bump(&n->metrics[NET_METRIC_listen_disabled_us], now_us() - n->paused_at_us);
    watch_listeners(n, true);
}

/* The pause is over, or the other listeners have had their turn. */
static void on_retry(evutil_socket_t fd, short what, void *arg) {
    struct net *n = arg;
    (void)fd;
    (void)what;
    if (n->paused)
        resume_accepting(n);
    else
        watch_listeners(n, true);
}

/* ------------------------------------------------------------------ accepting */

static void post_begin(struct net_worker *w, void *arg) {
    struct conn *c = arg;
    if (w->stop)
        conn_discard(c);
    else
        conn_begin(c);
}

static void refuse(struct net *n, int fd) {
    const char *text = n->cfg.refusal != NULL ? n->cfg.refusal : "ERROR Too many open connections\r\n";
    sync_bump(&n->metrics[NET_METRIC_rejected_connections], 1);
    ssize_t r = send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)r;
    close(fd);
    log_event(n->cfg.log, LOG_NOTICE, "conn_refused", "fd=%d limit=%u", fd, n->cfg.max_connections);
}

static void failed(struct net *n, int error) {
    const struct timeval retry = {0, RETRY_MS * 1000};
    log_event(n->cfg.log, LOG_NOTICE, "accept_failed", "error=\"%s\"", strerror(error));
    pause_accepting(n, &retry);
}

static void on_accept(struct evconnlistener *lev, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg) {
    struct net_listener *l = arg;
    struct net *n = l->net;
    struct sockaddr_storage peer = {0};
    (void)lev;
    memcpy(&peer, addr, (size_t)len < sizeof peer ? (size_t)len : sizeof peer);
    if (at_limit(n)) {
        refuse(n, fd);
    } else {
        struct net_worker *w = &n->workers[n->next_worker++ % n->cfg.threads];
        struct conn *c = conn_new(w, l, fd, &peer);
        if (c == NULL) {
            close(fd);
            failed(n, ENOMEM);
            return;
        }
        net_conn_come(n);
        worker_post(w, &c->post, post_begin, c);
    }
    if (at_limit(n) && !n->cfg.refuse_fast) {
        pause_accepting(n, NULL);
    } else if (++l->taken >= ACCEPT_BATCH) {
        /* libevent goes on with a socket until nobody waits there: the others come next. */
        const struct timeval soon = {0, 0};
        evconnlistener_disable(l->accepts);
        event_add(&n->retry, &soon);
    }
}

/* accept(2) failed for a reason that will last. */
static void on_accept_error(struct evconnlistener *lev, void *arg) {
    (void)lev;
    failed(((struct net_listener *)arg)->net, EVUTIL_SOCKET_ERROR());
}

static void on_wake(void *arg) {
    struct net *n = arg;
    if (sync_load_acq(&n->stopping)) {
        event_base_loopbreak(n->base);
        return;
    }
    trim(n);
    start_ticker(n);
    if (n->paused && !event_pending(&n->retry, EV_TIMEOUT, NULL)) resume_accepting(n);
}

/* ------------------------------------------------------------------ the thread */

int acceptor_init(struct net *n) {
    n->waker.fd = -1;
    n->base = loop_new();
    if (n->base == NULL) return -ENOMEM;
    if (evtimer_assign(&n->retry, n->base, on_retry, n) != 0 || evtimer_assign(&n->ticker, n->base, on_second, n) != 0)
        return -ENOMEM;
    return loop_waker_init(&n->waker, n->base, on_wake, n);
}

void acceptor_fini(struct net *n) {
    if (n->base == NULL) return;
    loop_waker_fini(&n->waker);
    event_base_free(n->base);
    n->base = NULL;
}

void *acceptor_run(void *net) {
    struct net *n = net;
    net_give_way(n);
    for (unsigned i = 0; i < n->nlisteners; i++) {
        struct net_listener *l = &n->listeners[i];
        l->accepts = evconnlistener_new(n->base, on_accept, l, LEV_OPT_CLOSE_ON_EXEC, 0, l->fd);
        CHECK(l->accepts != NULL);
        evconnlistener_set_error_cb(l->accepts, on_accept_error);
    }
    event_base_loop(n->base, EVLOOP_NO_EXIT_ON_EMPTY);
    for (unsigned i = 0; i < n->nlisteners; i++) evconnlistener_free(n->listeners[i].accepts);
    event_del(&n->retry);
    event_del(&n->ticker);
    return NULL;
}
