/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_link.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cmd/cmd_link_queue.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_pull.h"
#include "cmd/instance.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "proto/link.h"

#define MS 1000000ull /* nanoseconds */

static uint64_t now_ns(const struct cmd_worker *w) {
    return clock_boot_ns(w->cmd->cfg.clock);
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
    if (!cmd_link_queue_room(l, 1)) return;
    put_header(l, LINK_PING, 0, 0, 0);
    cmd_link_push(l, NULL, 0);
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

/* A key of a get line of any kind. */
static void put_get(struct cmd_link *l, const struct request *r, unsigned budget_ms) {
    const bool touch = r->row->id >= CMD_ID_gat, cas = r->row->id == CMD_ID_gets || r->row->id == CMD_ID_gats;
    const unsigned flags =
        (cas ? LINK_CAS : 0u) | (touch ? LINK_TOUCH : 0u) | (r->raw_key_len != r->key.len ? LINK_SUFFIX : 0u);
    const size_t n = r->raw_key_len;
    const int32_t ttl = ttl_left(l->worker, r);
    put_header(l, LINK_GET, flags, n + (touch ? sizeof ttl : 0), budget_ms);
    if (touch) put_bytes(l, &ttl, sizeof ttl);
    put_bytes(l, r->raw_key, n);
}

/* It is on its way: what was written from `at` on. */
static inline void note_sent(struct cmd_link *l, struct forward *f, unsigned slot, uint64_t at) {
    cmd_link_push(l, f, slot);
    f->slot[slot].off = (uint32_t)at;
    f->slot[slot].state = FORWARD_OUT;
    f->out++;
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

/* Sends the requests r[0..n), whose slots are those from `slot` on, as far as they are wanted of this link's member and
 * keys that are sent as they are. Returns how many. The link is up, and its queue has room. */
static unsigned send_keys(struct cmd_link *l, struct forward *f, unsigned slot, const struct request *r, unsigned n,
                          unsigned budget_ms) {
    struct forward_slot *const at = &f->slot[slot];
    const unsigned member = at->member;
    char *const begin = conn_reserve(l->conn, n * (LINK_HEADER + STORE_KEY_MAX)), *out = begin;
    unsigned i = 0;
    for (; i < n; i++) {
        const uint32_t bytes = r[i].raw_key_len;
        if (unlikely(at[i].state != FORWARD_WANTED || at[i].member != member)) break;
        if (unlikely(r[i].path != CMD_PATH_GET || bytes != r[i].key.len)) break;
        const struct link_header h = {bytes, l->tail + i, LINK_GET, 0, (uint16_t)budget_ms};
        link_put(out, &h);
        bytes_copy(out + LINK_HEADER, r[i].raw_key, bytes);
        at[i].off = (uint32_t)(l->written + (size_t)(out - begin));
        at[i].state = FORWARD_OUT;
        out += LINK_HEADER + bytes;
    }
    if (i == 0) return 0;
    conn_commit(l->conn, (size_t)(out - begin));
    l->written += (size_t)(out - begin);
    cmd_link_push_many(l, f, slot, i);
    f->out += i;
    return i;
}

/* One request that send_keys leaves. The link is up, and its queue has room. */
static void send_one(struct cmd_link *l, struct forward *f, unsigned slot, const char *base, const struct request *r,
                     unsigned budget_ms) {
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
    return l->step == LINK_STEP_DIALLING ? l->redialling : cmd_link_has_failed(l, LINK_FAILED_MS);
}

enum usable { USABLE, USABLE_LATER, USABLE_NOT };

/* Whether n more requests can be sent to a member now. */
static enum usable usable(struct cmd_peers *p, unsigned member, unsigned n, struct cmd_link **out) {
    if (view_state(p->view, member) == VIEW_DOWN) return USABLE_NOT;
    struct cmd_link *l = *out = cmd_link_to(p, member);
    if (l == NULL || l->open) return USABLE_NOT;
    if (unlikely(l->conn == NULL)) {
        cmd_link_dial(l);
        if (l->step == LINK_STEP_NONE || l->redialling) return USABLE_NOT;
        return l->waiting.n < LINK_WAITING_MAX ? USABLE_LATER : USABLE_NOT;
    }
    if (unlikely(cmd_link_waiting(l) + n > LINK_OUT_MAX || conn_link_tell(l->conn) > LINK_UNSENT_MAX))
        return l->waiting.n < LINK_WAITING_MAX ? USABLE_LATER : USABLE_NOT;
    return cmd_link_queue_room(l, n) ? USABLE : USABLE_NOT;
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
    for (unsigned i = 0, some; i < n; i += some) {
        some = 1;
        if (slot[i].state != FORWARD_WANTED) continue;
        if (l == NULL || slot[i].member != last) {
            l = p->links[last = slot[i].member];
            CHECK(l != NULL); /* usable() has made it */
            if (unlikely(!l->ring_known || l->ring_sent != f->ring_version)) tell_ring(l, f->ring_version);
            conn_busy(l->conn, true);
            conn_link_send(l->conn);
        }
        if (r[i].path != CMD_PATH_GET || (some = send_keys(l, f, f->next + i, r + i, n - i, budget_ms)) == 0) {
            send_one(l, f, f->next + i, base, &r[i], budget_ms);
            some = 1;
        }
        sent += some;
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
    if (cmd_link_waiting(l) >= LINK_OUT_MAX || conn_link_tell(l->conn) > LINK_UNSENT_MAX || !cmd_link_queue_room(l, 1))
        return false;
    if (!l->ring_known || l->ring_sent != v->ring_version) tell_ring(l, v->ring_version);
    if (l->copies && !l->member_told) tell_member(l, v->members[v->self].number);
    put_header(l, LINK_GET, LINK_COPY, n, p->worker->cmd->cfg.peer_timeout_ms);
    put_bytes(l, key, n);
    cmd_link_push(l, NULL, 0)->copy = number;
    conn_busy(l->conn, true);
    conn_link_send(l->conn);
    return true;
}
