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
#include "cmd/cmd_place.h"
#include "cmd/cmd_pull.h"
#include "cmd/cmd_transfer.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/worker.h"
#include "proto/link.h"

#define QUEUE_MIN 64
#define MS 1000000ull /* nanoseconds */

static const struct net_handler link_handler;

static uint64_t now_ns(const struct cmd_worker *w) {
    return clock_boot_ns(w->cmd->cfg.clock);
}

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

static void link_free(struct cmd_link *l) {
    free(l->queue);
    free(l);
}

void cmd_link_peers_free(struct cmd_peers *p) {
    if (p == NULL) return;
    for (unsigned i = 0; p->view != NULL && i < p->view->nmembers; i++)
        if (p->links[i] != NULL) link_free(p->links[i]);
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
        link_free(l);
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
    l->failed_ns = now_ns(w);
    log_event(w->cmd->cfg.log, LOG_NOTICE, "link_failed", "member=%u worker=%u error=\"%s\"", l->number, w->index,
              strerror(error < 0 ? -error : EIO));
    cmd_forward_wake(&l->waiting);
}

/* On the worker: the answer to the wish. */
static void take_answer(struct net_worker *nw, void *arg) {
    struct cmd_link *l = arg;
    struct cmd_worker *w = l->worker;
    if (l->wish.error == 0) {
        struct conn *c = conn_adopt(nw, l->wish.fd, l->wish.ssl, &link_handler);
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
        link_free(l);
    else
        refused(l, l->wish.error);
}

void cmd_on_link(struct cmd_wish *wish, int fd, struct ssl_st *ssl, int error) {
    wish->fd = fd;
    wish->ssl = ssl;
    wish->error = error;
    worker_post(wish->worker, &wish->post, wish->fn, wish->arg);
}

/* Whether it could not be connected to of late. */
static bool has_failed(const struct cmd_link *l, uint64_t now, unsigned ms) {
    return l->failed_ns != 0 && now < l->failed_ns + ms * MS;
}

/* Has it dialled, unless that is under way, or failed just now. The cluster's thread knows when a node can be reached
 * again, so the wish is left with it most of the time. */
static void dial(struct cmd_link *l) {
    struct cmd_worker *w = l->worker;
    const struct cmd_upcalls *up = &w->cmd->cfg.up;
    const uint64_t now = now_ns(w);
    if (l->step != LINK_STEP_NONE || has_failed(l, now, LINK_REDIAL_MS)) return;
    l->step = LINK_STEP_DIALLING;
    l->redialling = has_failed(l, now, LINK_FAILED_MS);
    l->wish = (struct cmd_wish){.worker = up->worker(up->arg, w->index), .fn = take_answer, .arg = l};
    up->want_link(up->arg, w->index, l->number, CMD_LINK_DATA, &l->wish);
}

/* ------------------------------------------------------------------ the queue */

static inline unsigned waiting(const struct cmd_link *l) {
    return l->tail - l->head;
}

void cmd_link_rest(struct cmd_peers *p) {
    for (unsigned i = 0; i < p->view->nmembers; i++) {
        struct cmd_link *l = p->links[i];
        if (l != NULL && l->conn != NULL && waiting(l) == 0) conn_busy(l->conn, false);
    }
}

static inline struct link_entry *entry(struct cmd_link *l, uint32_t i) {
    return &l->queue[i & (l->cap - 1)];
}

/* Room for n more. False: no memory. */
static bool queue_room(struct cmd_link *l, unsigned n) {
    if (likely(l->cap - waiting(l) >= n)) return true;
    uint32_t cap = l->cap == 0 ? QUEUE_MIN : l->cap * 2;
    while (cap - waiting(l) < n) cap *= 2;
    struct link_entry *q = malloc(cap * sizeof *q);
    if (q == NULL) return false;
    for (uint32_t i = l->head; i != l->tail; i++) q[i & (cap - 1)] = *entry(l, i);
    free(l->queue);
    l->queue = q;
    l->cap = cap;
    return true;
}

/* What was written from `at` on is to be answered. */
static inline struct link_entry *push(struct cmd_link *l, struct forward *f, unsigned slot, uint64_t at) {
    struct link_entry *e = entry(l, l->tail++);
    e->f = f;
    e->at = at;
    e->copy = 0;
    e->slot = (uint8_t)slot;
    return e;
}

/* ------------------------------------------------------------------ sending */

static void put_header(struct cmd_link *l, enum link_kind kind, unsigned flags, size_t payload, unsigned budget_ms) {
    const struct link_header h = {(uint32_t)payload, l->tail, (uint8_t)kind, (uint8_t)flags, (uint16_t)budget_ms};
    link_put(conn_reserve(l->conn, LINK_HEADER), &h);
    conn_commit(l->conn, LINK_HEADER);
    l->written += LINK_HEADER;
}

static void put_bytes(struct cmd_link *l, const void *p, size_t n) {
    conn_write(l->conn, p, n);
    l->written += n;
}

void cmd_link_ping(struct cmd_link *l) {
    if (!queue_room(l, 1)) return;
    const uint64_t at = l->written;
    put_header(l, LINK_PING, 0, 0, 0);
    push(l, NULL, 0, at);
    conn_busy(l->conn, true);
    conn_link_send(l->conn);
}

/* Tells the peer by which ring what follows was sent. */
static void tell_ring(struct cmd_link *l, uint64_t version) {
    put_header(l, LINK_RING, 0, sizeof version, 0);
    put_bytes(l, &version, sizeof version);
    l->ring_sent = version;
    l->ring_known = true;
}

static int32_t ttl_left(const struct cmd_worker *w, const struct request *r) {
    if (r->exptime == 0) return LINK_TTL_NEVER;
    const int64_t left = store_ttl((uint32_t)r->exptime, store_now(w->store));
    return r->exptime == STORE_EXPIRED || left < 0 ? LINK_TTL_PASSED : left > INT32_MAX ? INT32_MAX : (int32_t)left;
}

/* A key of a get line. */
static void put_get(struct cmd_link *l, const struct request *r, unsigned budget_ms) {
    const bool touch = r->row->id >= CMD_ID_gat, cas = r->row->id == CMD_ID_gets || r->row->id == CMD_ID_gats;
    const unsigned flags =
        (cas ? LINK_CAS : 0u) | (touch ? LINK_TOUCH : 0u) | (r->raw_key_len != r->key.len ? LINK_SUFFIX : 0u);
    const size_t n = r->raw_key_len;
    if (likely(!touch && n <= STORE_KEY_MAX)) {
        const struct link_header h = {(uint32_t)n, l->tail, LINK_GET, (uint8_t)flags, (uint16_t)budget_ms};
        char *out = conn_reserve(l->conn, LINK_HEADER + n);
        link_put(out, &h);
        memcpy(out + LINK_HEADER, r->raw_key, n);
        conn_commit(l->conn, LINK_HEADER + n);
        l->written += LINK_HEADER + n;
        return;
    }
    const int32_t ttl = ttl_left(l->worker, r);
    put_header(l, LINK_GET, flags, n + (touch ? sizeof ttl : 0), budget_ms);
    if (touch) put_bytes(l, &ttl, sizeof ttl);
    put_bytes(l, r->raw_key, n);
}

/* It is on its way: what was written from `at` on. */
static inline void note_sent(struct cmd_link *l, struct forward *f, unsigned slot, uint64_t at) {
    push(l, f, slot, at);
    f->slot[slot].state = FORWARD_OUT;
    f->out++;
    f->entries++;
}

/* A pull of the request's item. */
static void put_pull(struct cmd_link *l, const struct forward *f, unsigned slot, const struct request *r,
                     unsigned budget_ms) {
    struct store_key made;
    const struct store_key *key = cmd_place_key(f->session, r, l->worker->peers->decoded[0], &made);
    CHECK(key != NULL); /* or it would have been none */
    const bool part = f->parts.upload != NULL && f->parts_slot == slot;
    put_header(l, LINK_PULL, part ? LINK_PART : 0, key->len + (part ? sizeof f->parts.got : 0), budget_ms);
    if (part) put_bytes(l, &f->parts.got, sizeof f->parts.got);
    put_bytes(l, key->p, key->len);
    sync_bump(&l->worker->metrics[CMD_METRIC_pulls_sent], 1);
}

/* One request. The link is up, and its queue has room. */
static inline void send_one(struct cmd_link *l, struct forward *f, unsigned slot, const char *base,
                            const struct request *r, unsigned budget_ms) {
    const uint64_t at = l->written;
    if (cmd_is_key(r)) {
        put_get(l, r, budget_ms);
    } else {
        const size_t n = (size_t)(base + r->end - r->line);
        put_header(l, cmd_is_packet(r) ? LINK_PACKET : LINK_COMMAND, 0, n, budget_ms);
        put_bytes(l, r->line, n);
    }
    note_sent(l, f, slot, at);
}

/* Sends the pulls. Their links are up, and have room. What they go by is the same for all: the record keeps one number
 * for it. */
static void send_pulls(struct forward *f, const struct request *r, unsigned n, unsigned budget_ms) {
    struct cmd_peers *p = f->session->worker->peers;
    struct cmd_link *l = NULL;
    uint8_t cover[PULL_COVER_MAX];
    const size_t bytes = cmd_pull_cover_now(p, f, n, cover);
    unsigned last = VIEW_NOBODY;
    for (unsigned i = 0; i < n; i++) {
        struct forward_slot *at = &f->slot[f->next + i];
        if (at->state != FORWARD_WANTED || !forward_pulls(f, f->next + i)) continue;
        if (bytes == 0) { /* none may be sent now */
            at->state = FORWARD_DOWN;
            continue;
        }
        if (l == NULL || at->member != last) {
            l = p->links[last = at->member];
            CHECK(l != NULL); /* usable() has made it */
            put_header(l, LINK_COVER, 0, bytes, 0);
            put_bytes(l, cover, bytes);
            conn_busy(l->conn, true);
            conn_link_send(l->conn);
        }
        const uint64_t begin = l->written;
        put_pull(l, f, f->next + i, &r[i], budget_ms);
        note_sent(l, f, f->next + i, begin);
    }
}

bool cmd_link_is_down(struct cmd_peers *p, unsigned member) {
    const struct cmd_link *l = p->links[member];
    if (view_state(p->view, member) == VIEW_DOWN) return true;
    if (l == NULL || l->open || l->step == LINK_STEP_UP) return l != NULL && l->open;
    return l->step == LINK_STEP_DIALLING ? l->redialling : has_failed(l, now_ns(p->worker), LINK_FAILED_MS);
}

enum usable { USABLE, USABLE_LATER, USABLE_NOT };

/* Whether n more requests can be sent to a member now. */
static enum usable usable(struct cmd_peers *p, unsigned member, unsigned n, struct cmd_link **out) {
    if (view_state(p->view, member) == VIEW_DOWN) return USABLE_NOT;
    struct cmd_link *l = *out = cmd_link_to(p, member);
    if (l == NULL || l->open) return USABLE_NOT;
    if (unlikely(l->conn == NULL)) {
        dial(l);
        if (l->step == LINK_STEP_NONE || l->redialling) return USABLE_NOT;
        return l->waiting.n < LINK_WAITING_MAX ? USABLE_LATER : USABLE_NOT;
    }
    if (unlikely(waiting(l) + n > LINK_OUT_MAX || conn_link_tell(l->conn) > LINK_UNSENT_MAX))
        return l->waiting.n < LINK_WAITING_MAX ? USABLE_LATER : USABLE_NOT;
    return queue_room(l, n) ? USABLE : USABLE_NOT;
}

bool cmd_link_send(struct forward *f, const char *base, const struct request *r, unsigned n) {
    struct cmd_worker *w = f->session->worker;
    struct cmd_peers *p = w->peers;
    struct forward_slot *slot = &f->slot[f->next];
    struct cmd_link *l = NULL;
    struct forward_waiters *wait = p->reply_bytes >= LINK_REPLIES_MAX ? &p->crowd : NULL;
    unsigned last = VIEW_NOBODY, able = 0, sent = 0;
    enum usable how = USABLE_NOT;
    for (unsigned i = 0; i < n; i++) {
        if (slot[i].state != FORWARD_WANTED) continue;
        if (slot[i].member != last) how = usable(p, last = slot[i].member, n, &l);
        if (how == USABLE_NOT)
            slot[i].state = FORWARD_DOWN;
        else
            able++;
        if (how == USABLE_LATER && wait == NULL) wait = &l->waiting;
        f->attention |= how == USABLE_NOT;
    }
    if (wait != NULL && able > 0) {
        cmd_forward_wait(f, wait);
        f->attention = true;
        return false;
    }
    const uint64_t now = now_ns(w), left = f->deadline_ns > now ? (f->deadline_ns - now) / MS : 0;
    const unsigned budget_ms = left > UINT16_MAX ? UINT16_MAX : (unsigned)left;
    if (unlikely(f->pulls != 0)) send_pulls(f, r, n, budget_ms);
    last = VIEW_NOBODY;
    l = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (slot[i].state != FORWARD_WANTED) continue;
        if (l == NULL || slot[i].member != last) {
            l = p->links[last = slot[i].member];
            CHECK(l != NULL); /* usable() has made it */
            if (unlikely(!l->ring_known || l->ring_sent != f->ring_version)) tell_ring(l, f->ring_version);
            conn_busy(l->conn, true);
            conn_link_send(l->conn);
        }
        sent++;
        send_one(l, f, f->next + i, base, &r[i], budget_ms);
    }
    sync_bump(&w->metrics[CMD_METRIC_forwards_sent], sent);
    return true;
}

/* ------------------------------------------------------------------ copies */

/* Says who asks for copies. An older peer would not understand it: it has shown that it is none. */
static void tell_member(struct cmd_link *l, uint32_t number) {
    put_header(l, LINK_MEMBER, 0, sizeof number, 0);
    put_bytes(l, &number, sizeof number);
    l->member_told = true;
}

bool cmd_link_ask_copy(struct cmd_peers *p, unsigned member, const char *key, size_t n, uint32_t number) {
    const struct view *v = p->view;
    struct cmd_link *l = p->links[member];
    if (v->self == VIEW_NOBODY || l == NULL || l->conn == NULL || l->open) return false;
    if (waiting(l) >= LINK_OUT_MAX || conn_link_tell(l->conn) > LINK_UNSENT_MAX || !queue_room(l, 1)) return false;
    if (!l->ring_known || l->ring_sent != v->ring_version) tell_ring(l, v->ring_version);
    if (l->copies && !l->member_told) tell_member(l, v->members[v->self].number);
    const uint64_t at = l->written;
    put_header(l, LINK_GET, LINK_COPY, n, p->worker->cmd->cfg.peer_timeout_ms);
    put_bytes(l, key, n);
    push(l, NULL, 0, at)->copy = number;
    conn_busy(l->conn, true);
    conn_link_send(l->conn);
    return true;
}

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

/* The oldest request is answered. */
static inline void answer(struct cmd_link *l, enum link_status status, const char *payload, uint32_t n) {
    struct cmd_peers *p = l->worker->peers;
    const struct link_entry e = *entry(l, l->head++);
    if (unlikely(e.copy != 0)) {
        l->expired = 0;
        l->copies |= status == LINK_COPIED;
        cmd_copy_take(p, e.copy, status, payload, n);
        return;
    }
    if (unlikely(e.f == NULL)) {
        cmd_deadline_close(p, l);
        return;
    }
    l->expired = 0;
    if (status == LINK_NOT_OWNER) disagree(l, payload, n);
    if (status == LINK_RETRY) l->ring_known = false; /* what is sent from here on was not refused with it */
    if (likely(e.f->session != NULL && e.f->slot[e.slot].state == FORWARD_OUT)) {
        switch (status) {
        case LINK_DONE: cmd_forward_reply(p, e.f, e.slot, payload, n); break;
        case LINK_LARGE: cmd_forward_settle(e.f, e.slot, FORWARD_LARGE); break;
        case LINK_NOT_OWNER: cmd_forward_settle(e.f, e.slot, FORWARD_NOT_OWNER); break;
        case LINK_RETRY: cmd_forward_settle(e.f, e.slot, FORWARD_RETRY); break;
        case LINK_BEHIND: cmd_forward_settle(e.f, e.slot, FORWARD_BEHIND); break;
        case LINK_COPIED:
        case LINK_BUSY: cmd_forward_settle(e.f, e.slot, FORWARD_DOWN); break;
        }
    }
    cmd_forward_unref(p, e.f);
}

/* Whether a reply may be believed. */
static bool is_sound(const struct cmd_link *l, const struct link_header *h) {
    const bool known = (h->kind >= LINK_DONE && h->kind <= LINK_BEHIND) || h->kind == LINK_COPIED;
    return h->bytes <= LINK_REPLY_MAX && h->seq == l->head && known && h->flags < waiting(l) &&
           (h->flags == 0 || h->kind == LINK_DONE) && h->budget_ms == 0;
}

static size_t link_input(struct conn *c, void *session, char *p, size_t n) {
    struct cmd_link *l = *(struct cmd_link **)session;
    size_t used = 0;
    while (n - used >= LINK_HEADER) {
        struct link_header h;
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
    if (waiting(l) == 0) conn_busy(c, false);
    if (unlikely(l->waiting.n > 0) && waiting(l) <= LINK_OUT_MAX / 2 && conn_link_tell(c) <= LINK_UNSENT_MAX / 2)
        cmd_forward_wake(&l->waiting);
    return used;
}

/* The connection ends: what it had still to answer is lost, or was never sent. */
static void link_close(struct conn *c, void *session) {
    struct cmd_link *l = *(struct cmd_link **)session;
    if (l == NULL) return; /* it never was one */
    struct cmd_peers *p = l->worker->peers;
    const uint64_t sent = conn_link_sent(c);
    l->conn = NULL;
    l->step = LINK_STEP_NONE;
    if (!l->gone) cmd_copy_lost(p->copies, l->member);
    sync_bump(&l->worker->metrics[CMD_METRIC_links_open], (uint64_t)-1);
    cmd_deadline_close(p, l);
    while (l->head != l->tail) {
        const struct link_entry e = *entry(l, l->head++);
        if (e.f == NULL) continue;
        if (e.f->session != NULL && e.f->slot[e.slot].state == FORWARD_OUT)
            cmd_forward_settle(e.f, e.slot, e.at < sent ? FORWARD_LOST : FORWARD_UNSENT);
        cmd_forward_unref(p, e.f);
    }
    cmd_forward_wake(&l->waiting);
    if (l->gone) link_free(l);
}

static const struct net_handler link_handler = {
    .session_size = sizeof(struct cmd_link *),
    .input = link_input,
    .close = link_close,
};
