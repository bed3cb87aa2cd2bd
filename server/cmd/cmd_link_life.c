/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "cmd/cmd.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_link_queue.h"
#include "cmd/cmd_transfer.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/worker.h"

#define QUEUE_MIN 64
#define MS 1000000ull /* nanoseconds */
/* A link's numbers begin a little below the end of 32 bits: so that they begin again at 0 is no rare event, after hours
 * of load, but happens in each test of some load. */
#define SEQ_FIRST (UINT32_MAX - 999)

/* ------------------------------------------------------------------ life */

struct cmd_peers *cmd_link_peers_new(struct cmd_worker *w) {
    struct cmd_peers *p = calloc(1, sizeof *p);
    if (p == NULL) return NULL;
    p->worker = w;
    p->copies = cmd_copy_new(w);
    if (p->copies == NULL) {
        free(p);
        return NULL;
    }
    TAILQ_INIT(&p->live);
    TAILQ_INIT(&p->spare);
    TAILQ_INIT(&p->transfers);
    TAILQ_INIT(&p->again.list);
    TAILQ_INIT(&p->crowd.list);
    return p;
}

void cmd_link_free(struct cmd_link *l) {
    free(l->queue);
    free(l);
}

void cmd_link_peers_free(struct cmd_peers *p) {
    if (p == NULL) return;
    for (unsigned i = 0; p->view != NULL && i < p->view->nmembers; i++)
        if (p->links[i] != NULL) cmd_link_free(p->links[i]);
    cmd_transfer_free_all(p);
    for (struct forward *f; (f = TAILQ_FIRST(&p->spare)) != NULL;) {
        TAILQ_REMOVE(&p->spare, f, age);
        free(f->buf);
        free(f);
    }
    free(p->links);
    cmd_copy_free(p->copies);
    free(p);
}

/* The member is in the view no more. What was asked of it has failed, as by a link that broke. */
static void let_go(struct cmd_link *l) {
    l->gone = true;
    cmd_deadline_close(l->worker->peers, l);
    cmd_forward_wake(&l->waiting);
    cmd_forward_wake(&l->transfers);
    cmd_transfer_member_gone(l);
    if (l->conn != NULL)
        conn_close(l->conn); /* which frees the link, or the answer to its wish does */
    else if (l->step == LINK_STEP_NONE)
        cmd_link_free(l);
}

void cmd_link_view(struct cmd_peers *p, const struct view *v, struct cmd_link **links) {
    const struct view *const old = p->view;
    for (unsigned i = 0; old != NULL && i < old->nmembers; i++) {
        struct cmd_link *l = p->links[i];
        unsigned to = 0;
        if (l == NULL) continue;
        while (v != NULL && to < v->nmembers && v->members[to].number != l->number) to++;
        if (v == NULL || to == v->nmembers) {
            let_go(l);
            continue;
        }
        l->member = (uint16_t)to;
        links[to] = l;
    }
    free(p->links);
    p->links = links;
    p->view = v;
    cmd_copy_drop(p->copies);
}

struct cmd_link *cmd_link_to(struct cmd_peers *p, unsigned member) {
    struct cmd_link *l = p->links[member];
    if (likely(l != NULL)) return l;
    l = calloc(1, sizeof *l);
    if (l == NULL) return NULL;
    l->head = l->tail = l->first = l->past = SEQ_FIRST;
    l->worker = p->worker;
    l->member = (uint16_t)member;
    l->number = p->view->members[member].number;
    TAILQ_INIT(&l->waiting.list);
    TAILQ_INIT(&l->transfers.list);
    p->links[member] = l;
    return l;
}

/* ------------------------------------------------------------------ connecting */

/* No connection was to be had: what waits for it fails. */
static void refused(struct cmd_link *l, int error) {
    struct cmd_worker *w = l->worker;
    l->step = LINK_STEP_NONE;
    l->failed_ns = clock_boot_ns(w->cmd->cfg.clock);
    log_event(w->cmd->cfg.log, LOG_NOTICE, "link_failed", "member=%u worker=%u error=\"%s\"", l->number, w->index,
              strerror(error < 0 ? -error : EIO));
    cmd_forward_wake(&l->waiting);
}

/* On the worker: the answer to the wish. */
static void take_answer(struct net_worker *nw, void *arg) {
    struct cmd_link *l = arg;
    struct cmd_worker *w = l->worker;
    if (l->wish.error == 0) {
        struct conn *c = conn_adopt(nw, l->wish.fd, l->wish.ssl, cmd_link_handler());
        if (c != NULL && conn_link_begin(c, true)) {
            *(struct cmd_link **)conn_session(c) = l;
            l->conn = c;
            l->step = LINK_STEP_UP;
            l->failed_ns = 0;
            l->ring_known = l->copies = l->member_told = false;
            l->written = 0;
            sync_bump(&w->metrics[CMD_METRIC_links_open], 1);
            cmd_deadline_close(w->peers, l);
            if (l->gone)
                conn_close(c);
            else
                conn_busy(c, true);
            cmd_forward_wake(&l->waiting);
            return;
        }
        l->wish.error = -ENOMEM;
    }
    if (l->gone)
        cmd_link_free(l);
    else
        refused(l, l->wish.error);
}

void cmd_on_link(struct cmd_wish *wish, int fd, struct ssl_st *ssl, int error) {
    wish->fd = fd;
    wish->ssl = ssl;
    wish->error = error;
    worker_post(wish->worker, &wish->post, wish->fn, wish->arg);
}

bool cmd_link_has_failed(const struct cmd_link *l, unsigned ms) {
    return l->failed_ns != 0 && clock_boot_ns(l->worker->cmd->cfg.clock) < l->failed_ns + ms * MS;
}

/* The cluster's thread knows when a node can be reached again, so the wish is left with it most of the time. */
void cmd_link_dial(struct cmd_link *l) {
    struct cmd_worker *w = l->worker;
    const struct cmd_upcalls *up = &w->cmd->cfg.up;
    if (l->step != LINK_STEP_NONE || cmd_link_has_failed(l, LINK_REDIAL_MS)) return;
    l->step = LINK_STEP_DIALLING;
    l->redialling = cmd_link_has_failed(l, LINK_FAILED_MS);
    l->wish = (struct cmd_wish){.worker = up->worker(up->arg, w->index), .fn = take_answer, .arg = l};
    up->want_link(up->arg, w->index, l->number, CMD_LINK_DATA, &l->wish);
}

/* ------------------------------------------------------------------ the queue */

void cmd_link_rest(struct cmd_peers *p) {
    for (unsigned i = 0; i < p->view->nmembers; i++) {
        struct cmd_link *l = p->links[i];
        if (l != NULL && l->conn != NULL && cmd_link_waiting(l) == 0) conn_busy(l->conn, false);
    }
}

bool cmd_link_queue_room(struct cmd_link *l, unsigned n) {
    if (likely(l->cap - (l->past - l->first) >= n)) return true;
    uint32_t cap = l->cap == 0 ? QUEUE_MIN : l->cap * 2;
    while (cap - (l->past - l->first) < n) cap *= 2;
    struct link_entry *q = malloc(cap * sizeof *q);
    if (q == NULL) return false;
    for (uint32_t i = l->first; i != l->past; i++) q[i & (cap - 1)] = *cmd_link_entry(l, i);
    free(l->queue);
    l->queue = q;
    l->cap = cap;
    return true;
}
