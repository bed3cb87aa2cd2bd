/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker - what connections and other threads ask of a worker. Its loop is in worker_loop.c. */
#include "net/worker.h"

#include "base/clock.h"
#include "net/conn_state.h"
#include "net/net_state.h"
#include "net/worker_state.h"

/* ------------------------------------------------------------------ from other threads */

unsigned worker_index(const struct net_worker *w) {
    return w->index;
}

void *worker_context(const struct net_worker *w) {
    return w->context;
}

void worker_wake(struct net_worker *w) {
    loop_wake(&w->waker);
}

void worker_post(struct net_worker *w, struct net_post *p, void (*fn)(struct net_worker *w, void *arg), void *arg) {
    if (sync_exchange(&p->posted, 1) != 0) return;
    p->fn = fn;
    p->arg = arg;
    sync_stack_push(&w->posts, &p->entry);
    /* `p` may be gone by now. Who comes first since the worker looked wakes it; the others ride along. */
    if (sync_exchange(&w->woken, 1) == 0) worker_wake(w);
}

/* ------------------------------------------------------------------ the alarm */

void worker_alarm(struct net_worker *w, unsigned ms, void (*fn)(struct net_worker *w, void *arg), void *arg) {
    const struct timeval in = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};
    w->alarm_fn = fn;
    w->alarm_arg = arg;
    (void)event_add(&w->alarm, &in);
}

/* ------------------------------------------------------------------ connections that wait for room */

/* The two halves below meet without a lock. A connection counts itself as parked and then looks whether room was
 * announced; who announces room does that first and then looks whether a connection is parked. Each is sequentially
 * consistent, so at least one of them sees the other. */

void worker_park(struct net_worker *w, struct conn *c) {
    TAILQ_INSERT_TAIL(&w->parked, c, parked);
    sync_store_seq(&w->nparked, w->nparked + 1);
    /* Room may have come after the handler looked and before the connection was counted as parked. */
    if (sync_load_seq(&w->room) != w->room_seen && sync_exchange(&w->resume, 1) == 0) worker_wake(w);
}

void worker_unpark(struct net_worker *w, struct conn *c) {
    TAILQ_REMOVE(&w->parked, c, parked);
    sync_store_seq(&w->nparked, w->nparked - 1);
}

void worker_resume_all(struct net_worker *w) {
    sync_spin_lock(&w->room_lock);
    sync_store_seq(&w->room, w->room + 1);
    sync_spin_unlock(&w->room_lock);
    if (sync_load_seq(&w->nparked) != 0 && sync_exchange(&w->resume, 1) == 0) worker_wake(w);
}

/* ------------------------------------------------------------------ on the worker's thread */

void worker_again(struct net_worker *w, struct conn *c) {
    if (c->flags & CONN_AGAIN) return;
    c->flags |= CONN_AGAIN;
    TAILQ_INSERT_TAIL(&w->again, c, again);
}

uint32_t worker_boot_s(const struct net_worker *w) {
    return (uint32_t)(clock_boot_ns(w->net->cfg.clock) / 1000000000u);
}

void worker_stir_slow(struct net_worker *w) {
    w->now_s = worker_boot_s(w);
    sync_store_seq(&w->resting, 0);
    net_ask_ticks(w->net);
}

void worker_each_conn(struct net_worker *w, void (*fn)(struct conn *c, void *arg), void *arg) {
    struct conn *c;
    TAILQ_FOREACH(c, &w->conns, all)
    fn(c, arg);
}
