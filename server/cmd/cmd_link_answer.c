/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/sync.h"
#include "cluster/view.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_link_queue.h"
#include "cmd/instance.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "proto/link.h"

/* ------------------------------------------------------------------ replies */

void cmd_link_distrust(struct cmd_peers *p, unsigned member) {
    if (member >= p->view->nmembers) return; /* it was asked under an earlier view */
    struct cmd_link *l = p->links[member];
    log_event(p->worker->cmd->cfg.log, LOG_ALWAYS, "link_out_of_step", "member=%u worker=%u",
              p->view->members[member].number, p->worker->index);
    if (l != NULL && l->conn != NULL) conn_close(l->conn);
}

/* The peer goes by another ring. */
static void disagree(struct cmd_link *l, const char *payload, uint32_t n) {
    struct cmd_worker *w = l->worker;
    uint64_t version = 0;
    if (n >= sizeof version) memcpy(&version, payload, sizeof version);
    sync_bump(&w->metrics[CMD_METRIC_ring_disagreements], 1);
    l->ring_known = false; /* what is sent from here on is told to be meant so */
    if (version == l->ring_logged) return;
    l->ring_logged = version;
    log_event(w->cmd->cfg.log, LOG_NOTICE, "rings_differ", "member=%u its=%llu own=%llu", l->number,
              (unsigned long long)version, (unsigned long long)w->peers->view->ring_version);
    if (w->cmd->cfg.up.ring_differs != NULL) w->cmd->cfg.up.ring_differs(w->cmd->cfg.up.arg, l->number, version);
}

/* What this node has asked for itself is answered: an ask for a copy, or a ping (copy 0). */
static __attribute__((noinline)) void answer_own(struct cmd_link *l, uint32_t copy, enum link_status status,
                                                 const char *payload, uint32_t n) {
    struct cmd_peers *p = l->worker->peers;
    if (copy == 0) {
        cmd_deadline_close(p, l);
        return;
    }
    l->expired = 0;
    l->copies |= status == LINK_COPIED;
    cmd_copy_take(p, copy, status, payload, n);
}

/* A request was answered otherwise than with its reply. f: its record; NULL: nobody awaits it. */
static __attribute__((noinline)) void not_done(struct cmd_link *l, struct forward *f, unsigned slot,
                                               enum link_status status, const char *payload, uint32_t n) {
    if (status == LINK_NOT_OWNER) disagree(l, payload, n);
    if (status == LINK_RETRY) l->ring_known = false; /* what is sent from here on was not refused with it */
    if (f == NULL) return;
    switch (status) {
    case LINK_LARGE: cmd_forward_settle(f, slot, FORWARD_LARGE); break;
    case LINK_NOT_OWNER: cmd_forward_settle(f, slot, FORWARD_NOT_OWNER); break;
    case LINK_RETRY: cmd_forward_settle(f, slot, FORWARD_RETRY); break;
    case LINK_BEHIND: cmd_forward_settle(f, slot, FORWARD_BEHIND); break;
    case LINK_DONE:
    case LINK_COPIED:
    case LINK_BUSY: cmd_forward_settle(f, slot, FORWARD_DOWN); break;
    }
}

/* The oldest request is answered. */
static inline void answer(struct cmd_link *l, enum link_status status, const char *payload, uint32_t n) {
    struct cmd_peers *p = l->worker->peers;
    bool ended;
    const struct link_entry e = cmd_link_pop(l, &ended);
    if (unlikely(e.f == NULL)) {
        answer_own(l, e.copy, status, payload, n);
        return;
    }
    l->expired = 0;
    const bool awaited = e.f->session != NULL && e.f->slot[e.slot].state == FORWARD_OUT;
    if (unlikely(status != LINK_DONE))
        not_done(l, awaited ? e.f : NULL, e.slot, status, payload, n);
    else if (likely(awaited))
        cmd_forward_reply(p, e.f, e.slot, payload, n);
    if (ended) cmd_forward_unref(p, e.f);
}

/* Whether a reply may be believed. */
static bool is_sound(const struct cmd_link *l, const struct link_header *h) {
    const bool known = (h->kind >= LINK_DONE && h->kind <= LINK_BEHIND) || h->kind == LINK_COPIED;
    return h->bytes <= LINK_REPLY_MAX && h->seq == l->head && known && h->flags < cmd_link_waiting(l) &&
           (h->flags == 0 || h->kind == LINK_DONE) && h->budget_ms == 0;
}

/* Most replies are whole, and say DONE to the next request of the oldest record: takes those that begin p[0..n) in one
 * pass. Returns how many bytes they are. */
static inline size_t take_usual(struct cmd_link *l, const char *p, size_t n) {
    if (cmd_link_waiting(l) == 0) return 0;
    struct link_entry *e = cmd_link_entry(l, l->first);
    struct forward *f = e->f;
    if (f == NULL || f->session == NULL) return 0;
    unsigned taken;
    const size_t used = cmd_forward_replies(l->worker->peers, f, e->slot, e->n, l->head, p, n, &taken);
    if (taken == 0) return 0;
    l->expired = 0;
    if (cmd_link_pop_many(l, taken)) cmd_forward_unref(l->worker->peers, f);
    return used;
}

static size_t link_input(struct conn *c, void *session, char *p, size_t n) {
    struct cmd_link *l = *(struct cmd_link **)session;
    size_t used = 0;
    while (n - used >= LINK_HEADER) {
        struct link_header h;
        const size_t usual = take_usual(l, p + used, n - used);
        if (likely(usual > 0)) {
            used += usual;
            continue;
        }
        link_read(&h, p + used);
        if (unlikely(!is_sound(l, &h))) {
            log_event(l->worker->cmd->cfg.log, LOG_ALWAYS, "link_out_of_step", "member=%u worker=%u", l->number,
                      l->worker->index);
            conn_close(c);
            return n;
        }
        if (n - used < LINK_HEADER + h.bytes) break;
        answer(l, (enum link_status)h.kind, p + used + LINK_HEADER, h.bytes);
        for (unsigned i = 0; i < h.flags; i++) answer(l, LINK_DONE, NULL, 0);
        used += LINK_HEADER + h.bytes;
    }
    if (cmd_link_waiting(l) == 0) conn_busy(c, false);
    if (unlikely(l->waiting.n > 0) && cmd_link_waiting(l) <= LINK_OUT_MAX / 2 &&
        conn_link_tell(c) <= LINK_UNSENT_MAX / 2)
        cmd_forward_wake(&l->waiting);
    return used;
}

/* The connection ends: what it had still to answer is lost, or was never sent. */
static void link_close(struct conn *c, void *session) {
    struct cmd_link *l = *(struct cmd_link **)session;
    if (l == NULL) return; /* it never was one */
    struct cmd_peers *p = l->worker->peers;
    const uint32_t sent = (uint32_t)conn_link_sent(c); /* what is under way is far less than 2 GiB */
    l->conn = NULL;
    l->step = LINK_STEP_NONE;
    if (!l->gone) cmd_copy_lost(p->copies, l->member);
    sync_bump(&l->worker->metrics[CMD_METRIC_links_open], (uint64_t)-1);
    cmd_deadline_close(p, l);
    while (cmd_link_waiting(l) > 0) {
        bool ended;
        const struct link_entry e = cmd_link_pop(l, &ended);
        if (e.f == NULL) continue;
        const struct forward_slot *at = &e.f->slot[e.slot];
        if (e.f->session != NULL && at->state == FORWARD_OUT)
            cmd_forward_settle(e.f, e.slot, (int32_t)(at->off - sent) < 0 ? FORWARD_LOST : FORWARD_UNSENT);
        if (ended) cmd_forward_unref(p, e.f);
    }
    cmd_forward_wake(&l->waiting);
    if (l->gone) cmd_link_free(l);
}

static const struct net_handler link_handler = {
    .session_size = sizeof(struct cmd_link *),
    .input = link_input,
    .close = link_close,
};

const struct net_handler *cmd_link_handler(void) {
    return &link_handler;
}
