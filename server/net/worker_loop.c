/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker_loop - the thread of a worker.
 *
 * A round of the loop serves what is ready, then the connections that are to go on. No round reads a clock: the
 * acceptor ticks each worker once a second, for as long as the worker has something that time matters to. */
#include "net/worker_loop.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "net/conn.h"
#include "net/conn_link_state.h"
#include "net/conn_out.h"
#include "net/conn_serve.h"
#include "net/conn_state.h"
#include "net/conn_tick.h"
#include "net/net_state.h"
#include "net/worker.h"
#include "net/worker_erase.h"
#include "net/worker_state.h"

#define NET_SHARE_MIN NET_OUT_BYTES
#define SLICE_NS 300000u
#define GIVE_BACK_MIN (256u * 1024)
#define AGAIN_MAX 16 /* connections with more to do that are gone on with before those that are ready */

/* ------------------------------------------------------------------ on the worker's thread */

void worker_loop_posts(struct net_worker *w) {
    worker_let_go(w);
    /* Before the stack is taken: what is pushed behind that wakes us again. */
    (void)sync_exchange(&w->woken, 0);
    struct sync_stack_entry *e = sync_stack_take_all(&w->posts), *next;
    for (; e != NULL; e = next) {
        struct net_post *p = (struct net_post *)e;
        void (*const fn)(struct net_worker * worker, void *arg) = p->fn;
        void *const arg = p->arg;
        next = sync_stack_next(e);
        w->room_seen = sync_load_acq(&w->room);
        (void)sync_exchange(&p->posted, 0); /* from here on others may post it again */
        fn(w, arg);                         /* which may free it */
        conn_flush_out(w);
    }
}

static void resume_parked(struct net_worker *w) {
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&w->parked); c != NULL; c = next) {
        next = TAILQ_NEXT(c, parked);
        conn_resume(c);
    }
}

static void on_wake(void *arg) {
    struct net_worker *w = arg;
    if (sync_exchange(&w->resume, 0)) resume_parked(w);
    worker_loop_posts(w);
}

static void on_alarm(evutil_socket_t fd, short what, void *arg) {
    struct net_worker *w = arg;
    (void)fd;
    (void)what;
    worker_let_go(w);
    w->room_seen = sync_load_acq(&w->room);
    w->alarm_fn(w, w->alarm_arg);
    conn_flush_out(w);
}

/* What connections needed once (a burst of large requests, slow readers, thousands of connections) and not in this
 * second any more goes back to the system: the allocator would keep it for good. */
static void give_back(struct net_worker *w) {
    if (w->needed >= w->most + GIVE_BACK_MIN) {
        w->needed = w->most;
        net_ask_trim(w->net);
    }
    if (w->most > w->needed) w->needed = w->most;
    w->most = w->held;
}

/* Whether nothing here changes by the mere passing of time. */
static bool may_rest(const struct net_worker *w) {
    const bool idle_matters = w->net->cfg.idle_timeout_s != 0 && !TAILQ_EMPTY(&w->conns);
    return TAILQ_EMPTY(&w->fresh) && TAILQ_EMPTY(&w->holds) && !idle_matters && w->deadlines == 0 &&
           w->needed < w->held + GIVE_BACK_MIN && w->erasing == NULL;
}

static void on_tick(struct net_worker *w, void *arg) {
    (void)arg;
    give_back(w);
    w->now_s = worker_boot_s(w);
    conn_tick_all(w);
    worker_erase_tick(w);
    if (may_rest(w)) sync_store_seq(&w->resting, 1);
}

void worker_loop_tick(struct net_worker *w) {
    worker_post(w, &w->tick_post, on_tick, NULL);
}

/* Goes on once with connections that were on the list as this began; with a few only, since others may be ready by
 * then, whose turn should not come after all that have much to do. */
static void run_again(struct net_worker *w) {
    struct conn *c, *last = TAILQ_LAST(&w->again, conn_list);
    bool done = last == NULL;
    for (unsigned n = 0; !done && n < AGAIN_MAX; n++) {
        c = TAILQ_FIRST(&w->again);
        done = c == last;
        TAILQ_REMOVE(&w->again, c, again);
        c->flags &= ~(uint32_t)CONN_AGAIN;
        conn_go_on(c);
        conn_flush_out(w); /* of another one that the handler may have written to */
    }
}

/*
 * Asks the scheduler for time slices of 0.3 ms instead of 1 to 3: less of its CPU is not what a worker gets, but it
 * gets it sooner. Else it waits, when it shares a CPU with the store's own thread or with somebody else's, until that
 * one's slice is over: milliseconds, which a request then takes. Linux 6.12 (EEVDF, sched(7)); older ones ignore the
 * slice.
 */
static void ask_short_slices(void) {
    struct { /* sched_setattr(2): struct sched_attr, as it was first */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = sizeof a};
    if (syscall(SYS_sched_getattr, 0, &a, (unsigned)sizeof a, 0) != 0) return;
    if (a.policy != SCHED_OTHER) return; /* somebody has seen to it */
    a.runtime = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}

void *worker_loop_run(void *worker) {
    struct net_worker *w = worker;
    if (w->net->cfg.niceness > 0)
        net_give_way(w->net);
    else
        ask_short_slices();
    w->now_s = worker_boot_s(w);
    while (!w->stop) {
        const int how = TAILQ_EMPTY(&w->again) ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
        if (event_base_loop(w->base, how) < 0) {
            log_event(w->net->cfg.log, LOG_ALWAYS, "event_loop_failed", "worker=%u errno=%d", w->index, errno);
            break;
        }
        run_again(w);
        if (unlikely(!TAILQ_EMPTY(&w->links))) conn_link_round(w);
        worker_let_go(w); /* nothing stays open while the loop waits */
    }
    struct conn *c;
    while ((c = TAILQ_FIRST(&w->conns)) != NULL) conn_destroy(c);
    worker_loop_posts(w);
    while ((c = TAILQ_FIRST(&w->conns)) != NULL) conn_destroy(c); /* accepted meanwhile */
    worker_erase_end(w);
    return NULL;
}

/* ------------------------------------------------------------------ life */

int worker_loop_init(struct net_worker *w, struct net *n, unsigned index) {
    w->net = n;
    w->index = index;
    w->waker.fd = -1;
    w->resting = 1;
    w->let_go = n->cfg.let_go;
    w->context = n->cfg.context != NULL ? n->cfg.context(n->cfg.context_arg, index) : NULL;
    TAILQ_INIT(&w->conns);
    TAILQ_INIT(&w->again);
    TAILQ_INIT(&w->parked);
    TAILQ_INIT(&w->fresh);
    TAILQ_INIT(&w->holds);
    TAILQ_INIT(&w->links);
    w->share = (n->cfg.held_max != 0 ? n->cfg.held_max : NET_HELD_DEFAULT) / n->cfg.threads;
    if (w->share < NET_SHARE_MIN) w->share = NET_SHARE_MIN;
    w->base = loop_new();
    w->in = malloc(NET_KEPT_MAX + NET_READ_MAX + NET_PADDING);
    w->out = calloc(1, sizeof *w->out);
    w->scratch = malloc(CONN_RESERVE_MAX);
    if (w->base == NULL || w->in == NULL || w->out == NULL || w->scratch == NULL) return -ENOMEM;
    w->out->buf = malloc(NET_OUT_BYTES);
    if (w->out->buf == NULL) return -ENOMEM;
    out_reset(w);
    evtimer_assign(&w->alarm, w->base, on_alarm, w);
    return loop_waker_init(&w->waker, w->base, on_wake, w);
}

void worker_loop_fini(struct net_worker *w) {
    if (w->net == NULL) return; /* never begun */
    loop_waker_fini(&w->waker);
    if (w->base != NULL && event_initialized(&w->alarm)) event_del(&w->alarm);
    if (w->base != NULL) event_base_free(w->base);
    if (w->out != NULL) free(w->out->buf);
    free(w->out);
    free(w->in);
    free(w->scratch);
}
