/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_deadline.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "cmd/cmd_config.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"

#define MS 1000000ull /* nanoseconds */
#define HELD_UP_MS 50 /* a look that comes so late finds replies that nobody could read */

static void look(struct net_worker *nw, void *arg);

static void arm(struct cmd_peers *p) {
    const struct cmd *cmd = p->worker->cmd;
    struct net_worker *nw = cmd->cfg.up.worker(cmd->cfg.up.arg, p->worker->index);
    p->alarmed = true;
    worker_alarm(nw, p->again.n == 0 ? LINK_LOOK_MS : LINK_RETRY_MS, look, p);
}

void cmd_deadline_watch(struct cmd_peers *p) {
    if (likely(p->alarmed)) return;
    p->looked_ns = clock_boot_ns(p->worker->cmd->cfg.clock);
    arm(p);
}

void cmd_deadline_tick(struct cmd_peers *p, bool (*tick)(struct cmd_worker *w)) {
    p->tick = tick;
    cmd_deadline_watch(p);
}

void cmd_deadline_again(struct cmd_peers *p, struct forward *f, unsigned ms) {
    f->again_ns = clock_boot_ns(p->worker->cmd->cfg.clock) + ms * MS;
    cmd_forward_wait(f, &p->again);
    if (!p->alarmed) p->looked_ns = clock_boot_ns(p->worker->cmd->cfg.clock);
    arm(p);
}

void cmd_deadline_close(struct cmd_peers *p, struct cmd_link *l) {
    l->expired = 0;
    if (!l->open) return;
    l->open = false;
    p->nopen--;
    log_event(p->worker->cmd->cfg.log, LOG_NOTICE, "peer_answers", "member=%u worker=%u", l->number, p->worker->index);
}

/* A peer has let a deadline pass. */
static void note_expiry(struct cmd_peers *p, struct cmd_link *l, uint64_t now) {
    if (l == NULL || l->open || ++l->expired < LINK_EXPIRIES_MAX) return;
    l->open = true;
    l->pings = 1;
    l->ping_ns = now;
    p->nopen++;
    log_event(p->worker->cmd->cfg.log, LOG_NOTICE, "peer_silent", "member=%u worker=%u", l->number, p->worker->index);
    if (l->conn != NULL) cmd_link_ping(l);
    cmd_forward_wake(&l->waiting); /* they fail at once now */
}

/* The deadline of a record has passed: gives up what is not answered. */
static void expire(struct cmd_peers *p, struct forward *f, uint64_t now) {
    struct cmd_link *last = NULL;
    uint64_t late = 0;
    for (unsigned i = f->next; i < f->count; i++) {
        struct forward_slot *at = &f->slot[i];
        const bool out = at->state == FORWARD_OUT;
        if (at->state <= FORWARD_DONE || forward_failed(at->state)) continue;
        if (at->state == FORWARD_LARGE && f->waits == NULL) continue; /* it has begun, or its turn has not come */
        const bool same = f->ring_version == p->view->ring_version && at->member < p->view->nmembers;
        struct cmd_link *l = out && same ? p->links[at->member] : NULL;
        if (l != NULL && l != last) note_expiry(p, l, now);
        if (l != NULL) last = l;
        at->state = FORWARD_LATE;
        late++;
    }
    if (late == 0) return;
    sync_bump(&p->worker->metrics[CMD_METRIC_forward_timeouts], late);
    f->attention = true;
    f->out = 0;
    cmd_forward_wait_end(f);
    conn_resume(f->session->conn);
}

/* An open breaker is tried, again and again: the peer may have given the connection up, and only what is sent on it
 * shows that. */
static void try_peers(struct cmd_peers *p, uint64_t now) {
    for (unsigned i = 0; i < p->view->nmembers; i++) {
        struct cmd_link *l = p->links[i];
        if (l == NULL || !l->open || l->conn == NULL || now - l->ping_ns < LINK_PING_MS * MS) continue;
        l->ping_ns = now;
        if (l->pings++ < LINK_PINGS_MAX)
            cmd_link_ping(l);
        else
            conn_close(l->conn);
    }
}

/* Replies that came while this worker could not read them are read before deadlines are judged: so a look that comes
 * late only looks again. */
static void look(struct net_worker *nw, void *arg) {
    struct cmd_peers *p = arg;
    const uint64_t now = clock_boot_ns(p->worker->cmd->cfg.clock);
    const bool held_up = now - p->looked_ns > HELD_UP_MS * MS;
    struct forward *f, *next;
    (void)nw;
    p->looked_ns = now;
    p->alarmed = false;
    if (!held_up) {
        for (f = TAILQ_FIRST(&p->live); f != NULL && f->deadline_ns <= now; f = next) {
            next = TAILQ_NEXT(f, age);
            expire(p, f, now);
        }
    }
    for (f = TAILQ_FIRST(&p->again.list); f != NULL; f = next) {
        next = TAILQ_NEXT(f, wait);
        if (f->again_ns > now) continue;
        cmd_forward_wait_end(f);
        conn_resume(f->session->conn);
    }
    if (p->nopen > 0) try_peers(p, now);
    if (p->tick != NULL && !p->tick(p->worker)) p->tick = NULL;
    if (TAILQ_EMPTY(&p->live)) cmd_link_rest(p);
    if (!TAILQ_EMPTY(&p->live) || p->nopen > 0 || p->tick != NULL) arm(p);
}
