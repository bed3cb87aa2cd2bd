/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/mover.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/erase.h"
#include "cluster/mover_state.h"

#define SECOND_NS UINT64_C(1000000000)
#define NICENESS 10
#define BURST_NS (MOVER_BURST_US * INT64_C(1000))

/* A message to the thread. */
struct mover_task {
    struct sync_stack_entry entry; /* first: it is found by it */
    void (*run)(struct mover *m, struct mover_task *t);
    uint32_t member;
    bool gaining;
    struct stream s;
    struct move *move;
    uint64_t ring_version;
    unsigned n;
    struct handoff_part parts[];
};

static uint64_t now_ns(const struct mover *m) {
    return clock_boot_ns(m->cfg.clock);
}

/* ------------------------------------------------------------------ what the machine calls */

static void send_message(void *arg, uint32_t member, bool gaining, const struct peer_handoff *msg) {
    struct mover_link *l = mover_link_find(arg, member, gaining);
    if (l != NULL) mover_link_send(l, msg);
}

static void dial(void *arg, uint32_t member) {
    struct mover *m = arg;
    m->cfg.news(m->cfg.arg, &(struct mover_news){.kind = MOVER_DIAL, .member = member});
}

static void set_state(void *arg, uint32_t member, enum move_state s) {
    struct mover *m = arg;
    const unsigned donor = m->move == NULL ? RING_NONE : move_donor(m->move, member);
    if (donor != RING_NONE) move_set_state(m->move, donor, s);
}

static void show_cover(void *arg, struct cover *out) {
    const struct mover *m = arg;
    cover_copy(m->move->cover, out);
}

static bool is_full(void *arg) {
    const struct mover *m = arg;
    return m->move->written == NULL || written_is_full(m->move->written);
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct mover *m = arg;
    m->cfg.news(m->cfg.arg, &(struct mover_news){.kind = MOVER_NEWER, .member = member, .version = version});
}

/* The link has served its purpose; the receiver ends it. */
static void ended(void *arg, const struct handoff_progress *p, enum handoff_end how) {
    struct mover *m = arg;
    struct mover_link *l = mover_link_find(m, p->member, p->gaining);
    if (l != NULL && (p->gaining || how != HANDOFF_DONE)) mover_link_finish(l);
    if (how != HANDOFF_DONE)
        m->cfg.news(m->cfg.arg, &(struct mover_news){.kind = MOVER_ABANDONED, .progress = *p, .how = how});
}

void mover_received(struct mover *m, uint32_t member, bool gaining, const struct peer_handoff *msg) {
    handoff_receive(m->handoff, now_ns(m), member, gaining, msg);
}

void mover_link_ended(struct mover *m, uint32_t member, bool gaining) {
    handoff_lost(m->handoff, now_ns(m), member, gaining);
}

/* ------------------------------------------------------------------ the loop */

static void set_timer(struct mover *m) {
    const uint64_t now = now_ns(m), next = handoff_next_ns(m->handoff), wait = next > now ? next - now : 0;
    if (next == UINT64_MAX) {
        evtimer_del(m->timer);
        return;
    }
    const struct timeval tv = {(time_t)(wait / SECOND_NS), (suseconds_t)(wait % SECOND_NS / 1000)};
    evtimer_add(m->timer, &tv);
}

/* What the thread may use of one CPU. */
static unsigned percent_of_cpu(void) {
    cpu_set_t set;
    const unsigned n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    const unsigned all = n * MOVER_CPU_PERCENT;
    return all < 100 ? all : 100;
}

static uint64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* Time brings the thread its share of a CPU, as much as a burst at most; what it has used is taken off. */
static int64_t count_credit(struct pace *p) {
    const uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), real = clock_ns(CLOCK_MONOTONIC);
    const uint64_t gained = (real - p->real_ns) * p->percent / 100;
    p->credit_ns += (int64_t)gained - (int64_t)(cpu - p->cpu_ns);
    if (p->credit_ns > BURST_NS) p->credit_ns = BURST_NS;
    p->cpu_ns = cpu;
    p->real_ns = real;
    return p->credit_ns;
}

/* Lets the machine work for a moment. */
static void work(struct mover *m) {
    const uint64_t now = now_ns(m);
    while (handoff_next_ns(m->handoff) <= now && count_credit(&m->pace) > 0) handoff_time(m->handoff, now);
}

/* Sleeps if the thread's share is used up, so that who serves clients and wants the CPU waits for a burst at most. What
 * reading and encrypting have cost is paid for, too. */
static void rest(struct mover *m) {
    const int64_t credit = count_credit(&m->pace);
    if (credit > 0) return;
    const uint64_t ns = (uint64_t)(BURST_NS - credit) * 100 / m->pace.percent;
    const struct timespec t = {(time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS)};
    nanosleep(&t, NULL);
}

/* Nothing is taken over any more: the written set has done its work. */
static void note_end(struct mover *m) {
    if (m->move != NULL && m->move->written != NULL) written_close(m->move->written);
    m->cfg.news(m->cfg.arg, &(struct mover_news){.kind = MOVER_IDLE, .version = m->ring_version});
}

/* Goes on with an erasing: what was under way as it began comes first. */
static void go_on_erasing(struct mover *m) {
    if (handoff_owes(m->handoff) || mover_link_owes(m)) return;
    mover_link_erase(m);
    erase_bytes(m->arena.bytes, PEER_CONTROL_ARENA_BYTES);
    erase_bytes(m->packed, PEER_CONTROL_MAX);
    erase_stack();
    m->erasing = false;
    m->erased(m->erased_arg);
}

void mover_round(struct mover *m) {
    work(m);
    mover_link_flush_all(m);
    if (m->erasing) go_on_erasing(m);
    struct mover_sight *s = &m->sight;
    pthread_mutex_lock(&m->lock);
    s->counters = *handoff_counters(m->handoff);
    const unsigned n = handoff_progress(m->handoff, s->progress, MOVER_SHOWN);
    s->n = n < MOVER_SHOWN ? n : MOVER_SHOWN;
    handoff_totals(m->handoff, &s->items, &s->expected);
    pthread_mutex_unlock(&m->lock);
    if (n == 0 && m->was_active) note_end(m);
    m->was_active = n > 0;
    rest(m);
    set_timer(m);
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    struct mover *m = arg;
    (void)fd;
    (void)what;
    mover_round(m);
}

static void on_wake(void *arg) {
    struct mover *m = arg;
    struct sync_stack_entry *next;
    for (struct sync_stack_entry *e = sync_stack_take_all(&m->tasks); e != NULL; e = next) {
        next = sync_stack_next(e);
        struct mover_task *t = (struct mover_task *)e;
        t->run(m, t);
        free(t);
    }
    if (sync_exchange(&m->erase, 0)) {
        m->erasing = true;
        handoff_mark(m->handoff);
        mover_link_mark(m);
    }
    mover_round(m);
    if (sync_load_acq(&m->ending) != 0) event_base_loopbreak(m->base);
}

static void *run(void *arg) {
    struct mover *m = arg;
    /* Of this thread alone, in Linux: where CPUs are short, those who serve clients come first. */
    if (getpriority(PRIO_PROCESS, 0) < NICENESS) (void)setpriority(PRIO_PROCESS, 0, NICENESS);
    event_base_loop(m->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

/* ------------------------------------------------------------------ messages to the thread */

static struct mover_task *task(void (*fn)(struct mover *m, struct mover_task *t), unsigned nparts) {
    struct mover_task *t = calloc(1, sizeof *t + nparts * sizeof t->parts[0]);
    if (t != NULL) t->run = fn;
    return t;
}

static void post(struct mover *m, struct mover_task *t) {
    sync_stack_push(&m->tasks, &t->entry);
    loop_wake(&m->waker);
}

static void drop_move(struct mover *m) {
    m->cfg.set_move(m->cfg.store.arg, NULL);
    if (m->move != NULL && m->move->written != NULL) written_close(m->move->written);
    move_put(m->move);
    m->move = NULL;
}

static void run_change(struct mover *m, struct mover_task *t) {
    mover_link_close_finishing(m);
    handoff_abandon(m->handoff, now_ns(m), HANDOFF_CHANGED); /* while its move is still there */
    drop_move(m);
    m->move = t->move;
    m->ring_version = t->ring_version;
    m->cfg.set_move(m->cfg.store.arg, m->move);
    const int r = handoff_change(m->handoff, now_ns(m), t->ring_version, t->parts, t->n);
    for (unsigned i = 0; r != 0 && i < m->move->ndonors; i++) move_set_state(m->move, i, MOVE_NONE);
    m->was_active = true; /* what there is nothing of has ended */
}

bool mover_change(struct mover *m, struct move *move, uint64_t ring_version, const struct handoff_part *parts,
                  unsigned n) {
    struct mover_task *t = task(run_change, n);
    if (t == NULL) return false;
    t->move = move != NULL ? move_get(move) : NULL;
    t->ring_version = ring_version;
    t->n = n;
    if (n > 0) memcpy(t->parts, parts, n * sizeof *parts);
    post(m, t);
    return true;
}

static void run_settled(struct mover *m, struct mover_task *t) {
    handoff_settled(m->handoff, now_ns(m), t->ring_version, m->cfg.items(m->cfg.store.arg));
}

void mover_settled(struct mover *m, uint64_t ring_version) {
    struct mover_task *t = task(run_settled, 0);
    if (t == NULL) return; /* receivers take over after a while */
    t->ring_version = ring_version;
    post(m, t);
}

static void run_link(struct mover *m, struct mover_task *t) {
    mover_link_new(m, t->member, t->gaining, t->s);
    if (!t->gaining) return;
    handoff_up(m->handoff, now_ns(m), t->member);
    struct mover_link *l = mover_link_find(m, t->member, true);
    if (l != NULL && l->out.start == l->out.end) mover_link_finish(l); /* it came too late, nothing is to be said */
}

void mover_link(struct mover *m, uint32_t member, bool gaining, struct stream s) {
    struct mover_task *t = task(run_link, 0);
    if (t == NULL) {
        stream_close(&s); /* the other side sees it, and this one's time runs out */
        return;
    }
    t->member = member;
    t->gaining = gaining;
    t->s = s;
    post(m, t);
}

static void run_lost(struct mover *m, struct mover_task *t) {
    handoff_lost(m->handoff, now_ns(m), t->member, t->gaining);
}

void mover_lost(struct mover *m, uint32_t member, bool gaining) {
    struct mover_task *t = task(run_lost, 0);
    if (t == NULL) return;
    t->member = member;
    t->gaining = gaining;
    post(m, t);
}

void mover_erase(struct mover *m, void (*done)(void *arg), void *arg) {
    m->erased = done;
    m->erased_arg = arg;
    (void)sync_exchange(&m->erase, 1);
    loop_wake(&m->waker);
}

void mover_look(struct mover *m, struct mover_sight *out) {
    pthread_mutex_lock(&m->lock);
    *out = m->sight;
    pthread_mutex_unlock(&m->lock);
}

/* ------------------------------------------------------------------ life */

int mover_new(const struct mover_config *cfg, struct mover **out) {
    struct mover *m = calloc(1, sizeof *m);
    if (m == NULL) return -ENOMEM;
    m->cfg = *cfg;
    m->waker.fd = -1;
    m->pace.percent = percent_of_cpu();
    TAILQ_INIT(&m->links);
    pthread_mutex_init(&m->lock, NULL);
    const struct handoff_config h = {
        .rate = cfg->rate,
        .store = cfg->store,
        .events = {m, send_message, dial, set_state, show_cover, is_full, newer, ended},
    };
    m->handoff = handoff_new(&h);
    peer_arena_init(&m->arena, malloc(PEER_CONTROL_ARENA_BYTES), PEER_CONTROL_ARENA_BYTES);
    m->packed = malloc(PEER_CONTROL_MAX);
    m->base = loop_new();
    if (m->base != NULL) m->timer = evtimer_new(m->base, on_timer, m);
    const bool made = m->handoff != NULL && m->arena.bytes != NULL && m->packed != NULL && m->timer != NULL;
    const int r = made ? loop_waker_init(&m->waker, m->base, on_wake, m) : -ENOMEM;
    if (r != 0) {
        mover_free(m);
        return r;
    }
    *out = m;
    return 0;
}

int mover_start(struct mover *m) {
    const int r = pthread_create(&m->thread, NULL, run, m);
    if (r != 0) return -r;
    pthread_setname_np(m->thread, "tc-handoff");
    m->started = true;
    return 0;
}

void mover_stop(struct mover *m) {
    if (!m->started) return;
    sync_store_rel(&m->ending, 1);
    loop_wake(&m->waker);
    pthread_join(m->thread, NULL);
    m->started = false;
}

/* What came after the thread had ended. */
static void drop_tasks(struct mover *m) {
    struct sync_stack_entry *next;
    for (struct sync_stack_entry *e = sync_stack_take_all(&m->tasks); e != NULL; e = next) {
        next = sync_stack_next(e);
        struct mover_task *t = (struct mover_task *)e;
        if (t->run == run_link) stream_close(&t->s);
        move_put(t->move);
        free(t);
    }
}

void mover_free(struct mover *m) {
    if (m == NULL) return;
    mover_stop(m);
    drop_tasks(m);
    mover_link_free_all(m);
    if (m->erasing || m->erase) m->erased(m->erased_arg);
    if (m->move != NULL) drop_move(m);
    handoff_free(m->handoff);
    loop_waker_fini(&m->waker);
    if (m->timer != NULL) event_free(m->timer);
    if (m->base != NULL) event_base_free(m->base);
    pthread_mutex_destroy(&m->lock);
    free(m->arena.bytes);
    free(m->packed);
    free(m);
}
