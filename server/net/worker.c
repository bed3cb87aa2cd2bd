/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker - the loop of one thread: events, what others post, and the connections that are to go on.
 *
 * There is no timer in the base and its time cache is off, so that a round of the loop reads no clock; a timerfd ticks
 * once a second instead. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/net_internal.h"

/* ------------------------------------------------------------------ from other threads */

unsigned worker_index(const struct net_worker *w) {
    return w->index;
}

void *worker_context(const struct net_worker *w) {
    return w->context;
}

void worker_wake(struct net_worker *w) {
    uint64_t one = 1;
    ssize_t n = write(w->wake_fd, &one, sizeof one); /* fails only when the count is full: it is awake then */
    (void)n;
}

int worker_post(struct net_worker *w, void (*fn)(struct net_worker *w, void *arg), void *arg) {
    struct net_post *p = malloc(sizeof *p);
    if (p == NULL) return -ENOMEM;
    p->fn = fn;
    p->arg = arg;
    struct net_post *head = sync_load(&w->posts);
    do p->next = head;
    while (!sync_cas(&w->posts, &head, p));
    /* `p` may be gone by now. Who finds the list empty wakes the worker; the others ride along. */
    if (head == NULL) worker_wake(w);
    return 0;
}

void worker_resume_all(struct net_worker *w) {
    sync_spin_lock(&w->room_lock);
    sync_store_seq(&w->room, w->room + 1);
    sync_spin_unlock(&w->room_lock);
    if (sync_load_seq(&w->nparked) != 0 && sync_exchange(&w->resume, 1) == 0) worker_wake(w);
}

/* ------------------------------------------------------------------ on the worker's thread */

void worker_run_posts(struct net_worker *w) {
    struct net_post *p = sync_exchange(&w->posts, (struct net_post *)NULL), *first = NULL;
    while (p != NULL) { /* the last posted comes first: turn it round */
        struct net_post *next = p->next;
        p->next = first;
        first = p;
        p = next;
    }
    while ((p = first) != NULL) {
        first = p->next;
        w->room_seen = sync_load_acq(&w->room);
        p->fn(w, p->arg);
        conn_flush_out(w);
        free(p);
    }
}

static void resume_parked(struct net_worker *w) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&w->parked); c != NULL; c = next) {
        next = TAILQ_NEXT(c, parked);
        conn_resume(c);
    }
}

void worker_again(struct net_worker *w, struct conn *c) {
    if (c->flags & CONN_AGAIN) return;
    c->flags |= CONN_AGAIN;
    TAILQ_INSERT_TAIL(&w->again, c, again);
    event_base_loopbreak(w->base);
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    struct net_worker *w = arg;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    (void)what;
    if (sync_exchange(&w->resume, 0)) resume_parked(w);
    worker_run_posts(w);
    if (w->stop) event_base_loopbreak(w->base);
}

static void tick(struct net_worker *w, void *arg) {
    struct conn *c, *next;
    (void)arg;
    w->now_s = (uint32_t)(clock_boot_ns(w->net->cfg.clock) / 1000000000u);
    if (w->net->cfg.idle_timeout_s == 0) return;
    for (c = TAILQ_FIRST(&w->conns); c != NULL; c = next) {
        next = TAILQ_NEXT(c, all);
        conn_tick(c);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    (void)what;
    tick(arg, NULL);
}

void net_tick(struct net *n) {
    for (unsigned i = 0; i < n->cfg.threads; i++) (void)worker_post(&n->workers[i], tick, NULL);
}

void worker_each_conn(struct net_worker *w, void (*fn)(struct conn *c, void *arg), void *arg) {
    struct conn *c;
    TAILQ_FOREACH(c, &w->conns, all)
    fn(c, arg);
}

/* Goes on once with each connection that was on the list as this began. */
static void run_again(struct net_worker *w) {
    struct conn *c, *last = TAILQ_LAST(&w->again, conn_list);
    bool done = last == NULL;
    while (!done) {
        c = TAILQ_FIRST(&w->again);
        done = c == last;
        TAILQ_REMOVE(&w->again, c, again);
        c->flags &= ~(uint32_t)CONN_AGAIN;
        conn_go_on(c);
        conn_flush_out(w); /* of another one that the handler may have written to */
    }
}

void *worker_run(void *worker) {
    struct net_worker *w = worker;
    w->now_s = (uint32_t)(clock_boot_ns(w->net->cfg.clock) / 1000000000u);
    while (!w->stop) {
        int how = TAILQ_EMPTY(&w->again) ? 0 : EVLOOP_ONCE | EVLOOP_NONBLOCK;
        if (event_base_loop(w->base, how) < 0) {
            log_event(w->net->cfg.log, LOG_ALWAYS, "event_loop_failed", "worker=%u errno=%d", w->index, errno);
            break;
        }
        run_again(w);
    }
    struct conn *c;
    while ((c = TAILQ_FIRST(&w->conns)) != NULL) conn_destroy(c);
    worker_run_posts(w);
    while ((c = TAILQ_FIRST(&w->conns)) != NULL) conn_destroy(c); /* accepted meanwhile */
    return NULL;
}

/* ------------------------------------------------------------------ life */

static struct event_base *new_base(void) {
    struct event_config *cfg = event_config_new();
    if (cfg == NULL) return NULL;
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NO_CACHE_TIME);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static int watch(struct net_worker *w, struct event *ev, int fd, event_callback_fn fn) {
    return event_assign(ev, w->base, fd, EV_READ | EV_PERSIST, fn, w) == 0 && event_add(ev, NULL) == 0 ? 0 : -ENOMEM;
}

int worker_init(struct net_worker *w, struct net *n, unsigned index) {
    struct itimerspec second = {{1, 0}, {1, 0}};
    w->net = n;
    w->index = index;
    w->handler = n->cfg.handler;
    w->context = n->cfg.context != NULL ? n->cfg.context(n->cfg.context_arg, index) : NULL;
    TAILQ_INIT(&w->conns);
    TAILQ_INIT(&w->again);
    TAILQ_INIT(&w->parked);
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->wake_fd < 0) return -errno;
    w->tick_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->tick_fd < 0 || timerfd_settime(w->tick_fd, 0, &second, NULL) != 0) return -errno;
    w->base = new_base();
    w->in = malloc(NET_KEPT_MAX + NET_READ_MAX);
    w->out = calloc(1, sizeof *w->out);
    w->scratch = malloc(CONN_RESERVE_MAX);
    if (w->base == NULL || w->in == NULL || w->out == NULL || w->scratch == NULL) return -ENOMEM;
    w->out->buf = malloc(NET_OUT_BYTES);
    if (w->out->buf == NULL) return -ENOMEM;
    int r = watch(w, &w->wake_ev, w->wake_fd, on_wake);
    return r == 0 ? watch(w, &w->tick_ev, w->tick_fd, on_tick) : r;
}

void worker_fini(struct net_worker *w) {
    if (w->net == NULL) return; /* never begun */
    if (w->base != NULL) {
        if (event_initialized(&w->wake_ev)) event_del(&w->wake_ev);
        if (event_initialized(&w->tick_ev)) event_del(&w->tick_ev);
        event_base_free(w->base);
    }
    if (w->wake_fd >= 0) close(w->wake_fd);
    if (w->tick_fd >= 0) close(w->tick_fd);
    if (w->out != NULL) free(w->out->buf);
    free(w->out);
    free(w->in);
    free(w->scratch);
}
