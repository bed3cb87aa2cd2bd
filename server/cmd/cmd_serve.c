/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_serve - the owner's side of links: what other nodes ask about keys (proto/link.h). On the link's worker.
 *
 * A frame is a request like a client's: it is parsed, and run by the handler or quick path of its row, with a session
 * whose connection is the link. Frames that have come together are a batch. Room for the reply's header is left in
 * front of what the handler writes, and filled in behind it. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "cluster/view.h"
#include "cmd/cmd.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_forward.h"
#include "cmd/cmd_get.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_hot.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_owner.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_pull.h"
#include "cmd/cmd_run.h"
#include "cmd/cmd_serve_frames.h"
#include "cmd/instance.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/conn_link.h"
#include "net/worker.h"
#include "proto/link.h"
#include "store/store.h"

#define REPLY_HEAD_MAX 1024 /* bytes of a reply beside its value and the request's own words */
#define MS 1000000ull       /* nanoseconds */

/* ------------------------------------------------------------------ whose keys they are */

/* The view that this worker goes by; NULL: none. */
static const struct view *view_of(const struct serve *sv) {
    const struct cmd_peers *p = sv->s.worker->peers;
    return p != NULL ? p->view : NULL;
}

/* Whether the peer goes by the same ring. */
static bool is_same_ring(const struct serve *sv) {
    const struct view *v = view_of(sv);
    return v != NULL && sv->ring_known && sv->ring_version == v->ring_version;
}

/* The peer went by the same ring when it sent them, so it has found what we would find; else it is looked up. Once one
 * is refused all behind it are, or they would overtake it. */
static void test_owners(struct serve *sv, struct serve_frames *f) {
    struct cmd_worker *w = sv->s.worker;
    const struct view *v = view_of(sv);
    if (likely(is_same_ring(sv) && !sv->refusing)) return;
    for (unsigned i = 0; i < f->count; i++) {
        struct store_key k;
        uint16_t owner = VIEW_NOBODY;
        uint64_t since;
        if (v != NULL && !sv->refusing && cmd_place(&sv->s, &w->batch[i], w->peers->decoded[0], &k) == CMD_PLACE_KEY) {
            const uint32_t len = (uint32_t)k.len;
            view_owners(v, &k.p, &len, 1, &owner, &since);
        }
        if (owner != VIEW_NOBODY && owner == v->self) continue;
        sv->refusing = true;
        f->at[i].refused = true;
        f->plain = false;
    }
}

/* ------------------------------------------------------------------ replies */

/* The reply that begins at `at` is complete. */
static void end_reply(struct conn *c, size_t at, uint32_t seq, enum link_status status) {
    const size_t bytes = conn_link_tell(c) - at - LINK_HEADER;
    const struct link_header h = {(uint32_t)bytes, seq, (uint8_t)status, 0, 0};
    link_put(conn_link_at(c, at), &h);
}

static size_t begin_reply(struct conn *c) {
    const size_t at = conn_link_tell(c);
    (void)conn_reserve(c, LINK_HEADER);
    conn_commit(c, LINK_HEADER);
    return at;
}

static void refuse(struct serve *sv, uint32_t seq) {
    const struct view *v = view_of(sv);
    const uint64_t version = v != NULL ? v->ring_version : 0;
    const size_t at = begin_reply(sv->s.conn);
    conn_write(sv->s.conn, &version, sizeof version);
    end_reply(sv->s.conn, at, seq, LINK_NOT_OWNER);
    cmd_bump(&sv->s, CMD_METRIC_ring_disagreements);
}

static void reply_empty(struct conn *c, uint32_t seq, enum link_status status) {
    end_reply(c, begin_reply(c), seq, status);
}

/* Runs one request and frames its reply. False: there is no room in the store just now, nothing has happened. */
static inline bool serve_one(struct serve *sv, struct request *r, uint32_t seq) {
    struct session *s = &sv->s;
    struct cmd_worker *w = s->worker;
    const size_t at = begin_reply(s->conn);
    w->reply_max = LINK_REPLY_MAX - REPLY_HEAD_MAX - (cmd_is_key(r) ? r->raw_key_len : r->line_len);
    (void)cmd_run(s, r, 1);
    if (unlikely(w->retry || w->too_large)) {
        conn_link_rewind(s->conn, at);
        if (w->retry) {
            w->retry = false;
            return false;
        }
        w->too_large = false;
        reply_empty(s->conn, seq, LINK_LARGE);
        return true;
    }
    end_reply(s->conn, at, seq, LINK_DONE);
    return true;
}

/* Answers a peer that asks for a copy. */
static void serve_copy(struct serve *sv, const struct request *r, uint32_t seq) {
    const size_t at = begin_reply(sv->s.conn);
    if (is_same_ring(sv) && sv->member != 0 && r->key.len > 0) cmd_hold_give(&sv->s, r, sv->member);
    end_reply(sv->s.conn, at, seq, LINK_COPIED);
}

/* An empty reply: the one before it says that it follows, if that is empty too. `last`: where that is. */
static void merge_empty(struct conn *c, size_t at, size_t *last) {
    struct link_header before, h;
    link_read(&h, conn_link_at(c, at));
    if (h.bytes > 0 || h.kind != LINK_DONE) {
        *last = SIZE_MAX;
        return;
    }
    if (*last != SIZE_MAX) {
        link_read(&before, conn_link_at(c, *last));
        if (before.flags < UINT8_MAX && before.seq + before.flags + 1u == h.seq) {
            before.flags++;
            link_put(conn_link_at(c, *last), &before);
            conn_link_rewind(c, at);
            return;
        }
    }
    *last = at;
}

/* ------------------------------------------------------------------ keys that are moving here */

/* Whether a donor whose keys were refused gives nothing any more: then they cannot be told from others. */
static bool has_ended(const struct serve *sv) {
    const struct move *m = sv->s.worker->peers->view->move;
    if (m == NULL) return true;
    for (unsigned i = 0; i < m->ndonors; i++)
        if ((sv->retrying >> (i % 64) & 1) != 0 && move_state(m, i) == MOVE_NONE) return true;
    return false;
}

/* Whether request k of those that were looked at last is to be asked again. Once one is, so are all of the same donor,
 * or they would overtake it. */
static bool is_to_be_retried(struct serve *sv, unsigned k) {
    const struct cmd_peers *p = sv->s.worker->peers;
    const uint64_t bit = 1ull << (p->donor[k] % 64);
    if (p->turn[k] == CMD_TURN_WAIT) sv->retrying |= bit;
    if (likely(sv->retrying == 0)) return false;
    return p->donor[k] != RING_NONE ? (sv->retrying & bit) != 0 : has_ended(sv);
}

/* The requests from `first` on were looked at: asks for the items of those that have to be pulled before. True: they,
 * and all behind them, wait for that. */
static bool begin_pulls(struct serve *sv, const struct serve_frames *f, unsigned first) {
    struct session *s = &sv->s;
    struct cmd_peers *p = s->worker->peers;
    const unsigned n = f->count - first;
    struct forward *record = NULL;
    for (unsigned k = 0; k < n; k++) {
        const bool pull = p->turn[k] == CMD_TURN_PULL && !is_to_be_retried(sv, k) && !f->at[first + k].refused;
        if (pull && record == NULL) {
            if ((record = cmd_forward_new(s)) == NULL) return false; /* they are misses */
            record->count = n;
            for (unsigned m = 0; m < n; m++)
                record->slot[m] =
                    (struct forward_slot){.state = is_to_be_retried(sv, m) ? FORWARD_MOVING : FORWARD_HERE};
        }
        if (!pull) continue;
        record->slot[k].state = FORWARD_WANTED;
        record->slot[k].member = p->view->donor[p->donor[k]];
        record->pulls |= 1ull << k;
    }
    if (record == NULL) return false;
    cmd_forward_hurry(p, record); /* whoever waits for the answers has a deadline too */
    (void)cmd_link_send(record, NULL, &s->worker->batch[first], n);
    cmd_pull_give_up(record, n);
    if (record->pulls != 0) return true;
    cmd_forward_end(s); /* none could be asked for */
    return false;
}

/* Whether the pulls that the first requests wait for are done. */
static bool are_pulled(struct serve *sv, struct serve_frames *f) {
    struct session *s = &sv->s;
    struct cmd_worker *w = s->worker;
    struct forward *record = s->forward;
    const unsigned covered = record->count - record->next;
    if (record->out > 0 || record->waits != NULL) return false;
    if (record->ring_version != w->peers->view->ring_version) { /* they are looked at anew */
        cmd_forward_end(s);
        return true;
    }
    if (f->count > covered) f->count = covered;
    const bool late = clock_boot_ns(w->cmd->cfg.clock) >= record->deadline_ns;
    const unsigned ms = record->again_ns == 0 && !late ? cmd_pull_pause(record, f->count) : 0;
    if (ms > 0) {
        cmd_deadline_again(w->peers, record, ms);
        return false;
    }
    record->again_ns = 0;
    cmd_pull_take(s, record, w->batch, f->count, late);
    if (record->pulls != 0) (void)cmd_link_send(record, NULL, w->batch, f->count);
    cmd_pull_give_up(record, f->count);
    if (record->pulls == 0) return true;
    if (record->out == 0 && record->waits == NULL) cmd_deadline_again(w->peers, record, PULL_AGAIN_MS);
    return false;
}

/* So many of the requests that the record covers are answered. */
static void count_answered(struct session *s, unsigned n) {
    s->forward->next += n;
    if (s->forward->next == s->forward->count) cmd_forward_end(s);
}

/* ------------------------------------------------------------------ a batch */

/* Whether request i of a batch is refused until its key has moved; k: its place among those that were looked at, if any
 * were. */
static inline bool is_moving(struct serve *sv, unsigned i, unsigned k, bool looked) {
    const struct forward *record = sv->s.forward;
    if (unlikely(record != NULL)) return record->slot[record->next + i].state != FORWARD_HERE;
    return unlikely(looked) && is_to_be_retried(sv, k);
}

/* Answers request i of a batch, which is for its handler; `moving`: is_moving says so. False: it has to be shown again.
 */
static bool answer_one(struct serve *sv, const struct serve_frames *f, unsigned i, bool moving, uint64_t held_ms) {
    struct session *s = &sv->s;
    struct request *r = &s->worker->batch[i];
    const uint32_t seq = f->seq + i;
    if (unlikely(f->at[i].refused))
        refuse(sv, seq);
    else if (unlikely(moving))
        reply_empty(s->conn, seq, LINK_RETRY);
    else if (unlikely(held_ms > f->at[i].budget_ms))
        reply_empty(s->conn, seq, LINK_BUSY);
    else if (unlikely(f->at[i].large))
        reply_empty(s->conn, seq, LINK_LARGE);
    else if (unlikely(f->at[i].copy))
        serve_copy(sv, r, seq);
    else {
        cmd_moving_note(s, r, 1);
        return serve_one(sv, r, seq);
    }
    return true;
}

/* Answers a batch; returns how many bytes of the input that took. */
static size_t serve_frames(struct serve *sv, struct serve_frames *f, uint64_t held_ms, size_t *last) {
    struct session *s = &sv->s;
    struct cmd_worker *w = s->worker;
    const uint64_t now = unlikely(s->forward != NULL) ? clock_boot_ns(w->cmd->cfg.clock) : 0;
    size_t used = 0;
    unsigned i = 0, first = 0;
    test_owners(sv, f);
    if (unlikely(s->forward != NULL) && !are_pulled(sv, f)) {
        sv->parked_ns = now - held_ms * MS;
        sv->next_seq = f->seq;
        conn_wait(s->conn);
        return 0;
    }
    if (f->count > 1) cmd_run_prefetch(w, w->batch, f->count);
    cmd_hot_see(s, w->batch, f->count);
    const struct view *const v = view_of(sv);
    const bool looks = (v != NULL && v->fenced) || cmd_moving(w) || sv->retrying != 0;
    const bool covered = s->forward != NULL;
    const bool quick = f->plain && held_ms == 0 && w->observed == 0 && !covered;
    const uint64_t since = looks ? w->ring_since : 0;
    bool looked = false;
    for (; i < f->count && !conn_halted(s->conn); i++) {
        if (likely(quick && sv->retrying == 0)) {
            const unsigned done = cmd_get_framed(s, &w->batch[i], f->count - i, f->seq + i, since);
            i += done;
            if (done > 0) {
                *last = SIZE_MAX;
                used = f->at[i - 1].end;
            }
            if (i == f->count || conn_halted(s->conn)) break;
        }
        if (unlikely(looks && !looked)) { /* at the first that is no item of this ring, and at all behind it */
            (void)cmd_owner_find(s, &w->batch[first = i], f->count - i);
            looked = true;
            if (!covered && cmd_moving(w) && begin_pulls(sv, f, i)) {
                sv->parked_ns = clock_boot_ns(w->cmd->cfg.clock);
                conn_wait(s->conn);
                break;
            }
        }
        const size_t at = conn_link_tell(s->conn);
        if (!answer_one(sv, f, i, is_moving(sv, i, i - first, looked), held_ms)) {
            sv->parked_ns = clock_boot_ns(w->cmd->cfg.clock);
            cmd_job_pause(s);
            break;
        }
        if (conn_link_tell(s->conn) > at) merge_empty(s->conn, at, last);
        used = f->at[i].end;
    }
    w->end_batch = false;
    sv->next_seq = f->seq + i; /* what is left is shown again */
    if (unlikely(covered)) count_answered(s, i);
    sync_bump(&w->metrics[CMD_METRIC_forwards_received], i);
    return used;
}

/* ------------------------------------------------------------------ the link */

/* Bytes of the payload of a frame that is no request; UINT32_MAX: there is no such kind. */
static uint32_t control_bytes(uint8_t kind) {
    switch (kind) {
    case LINK_RING:
    case LINK_GONE: return sizeof(uint64_t);
    case LINK_MEMBER: return sizeof(uint32_t);
    case LINK_PING: return 0;
    default: return UINT32_MAX;
    }
}

/* A LINK_COVER or a LINK_PULL, of whose payload n bytes are here; returns as serve_control. */
static size_t serve_pull(struct serve *sv, const struct link_header *h, const char *p, size_t n) {
    struct cmd_worker *w = sv->s.worker;
    enum link_status status;
    if (h->bytes > PULL_COVER_MAX) return SIZE_MAX; /* the longest of both */
    if (n < h->bytes) return 0;
    if (h->kind == LINK_COVER) return cmd_pull_cover(w, &sv->puller, p, h->bytes) ? LINK_HEADER + h->bytes : SIZE_MAX;
    if (!cmd_serve_frames_take_seq(sv, h->seq)) return SIZE_MAX;
    const size_t at = begin_reply(sv->s.conn);
    if (!cmd_pull_give(w, &sv->puller, sv->s.conn, h->flags, p, h->bytes, &status)) {
        conn_link_rewind(sv->s.conn, at);
        return SIZE_MAX;
    }
    end_reply(sv->s.conn, at, h->seq, status);
    return LINK_HEADER + h->bytes;
}

/* What stands at p is no request. The bytes that it took; 0: it is not all here; SIZE_MAX: the peer is out of step. */
static size_t serve_control(struct serve *sv, const char *p, size_t n) {
    struct cmd *cmd = sv->s.worker->cmd;
    struct link_header h;
    if (n < LINK_HEADER) return 0;
    link_read(&h, p);
    if (h.kind == LINK_GET || h.kind == LINK_COMMAND || h.kind == LINK_PACKET) return 0; /* not all here */
    if (h.kind == LINK_COVER || h.kind == LINK_PULL) return serve_pull(sv, &h, p + LINK_HEADER, n - LINK_HEADER);
    if (h.bytes != control_bytes(h.kind)) return SIZE_MAX;
    if (n - LINK_HEADER < h.bytes) return 0;
    if (h.kind == LINK_RING) {
        memcpy(&sv->ring_version, p + LINK_HEADER, sizeof sv->ring_version);
        sv->ring_known = true;
        sv->refusing = false;
        sv->retrying = 0;
    } else if (h.kind == LINK_MEMBER) {
        memcpy(&sv->member, p + LINK_HEADER, sizeof sv->member);
    } else {
        uint64_t name = 0;
        if (!cmd_serve_frames_take_seq(sv, h.seq)) return SIZE_MAX;
        memcpy(&name, p + LINK_HEADER, h.bytes);
        if (h.kind == LINK_GONE && cmd->copy_changes != NULL) cmd_copy_gone(cmd, name);
        reply_empty(sv->s.conn, h.seq, LINK_DONE);
    }
    return LINK_HEADER + h.bytes;
}

static void out_of_step(struct serve *sv) {
    struct session *s = &sv->s;
    log_event(s->worker->cmd->cfg.log, LOG_ALWAYS, "peer_out_of_step", "peer=%s", conn_peer(s->conn));
    conn_close(s->conn);
}

static size_t serve_input(struct conn *c, void *session, char *p, size_t n) {
    struct serve *sv = session;
    struct cmd_worker *w = sv->s.worker;
    size_t used = 0, last = SIZE_MAX;
    uint64_t held_ms = 0;
    if (unlikely(sv->parked_ns != 0)) {
        held_ms = (clock_boot_ns(w->cmd->cfg.clock) - sv->parked_ns) / MS;
        sv->parked_ns = 0;
    }
    w->observed = sync_load(&w->cmd->observed);
    cmd_enter(w);
    while (!conn_halted(c)) {
        struct serve_frames f;
        size_t took = 0;
        if (!cmd_serve_frames_read(sv, p + used, n - used, &f)) {
            out_of_step(sv);
            used = n;
            break;
        }
        if (f.count > 0) {
            took = serve_frames(sv, &f, held_ms, &last);
        } else if ((took = serve_control(sv, p + used, n - used)) == SIZE_MAX) {
            out_of_step(sv);
            used = n;
            break;
        } else if (took > 0) {
            last = SIZE_MAX;
        }
        used += took;
        if (took == 0) break;
    }
    cmd_leave(w);
    if (conn_link_tell(c) > 0) conn_link_send(c);
    return used;
}

static bool serve_open(struct conn *c, void *session) {
    struct serve *sv = session;
    sv->s.conn = c;
    sv->s.worker = worker_context(conn_worker(c));
    sv->s.authenticated = true;
    sv->s.role = CMD_ROLE_PEER;
    sync_bump(&sv->s.worker->metrics[CMD_METRIC_links_open], 1);
    return true;
}

static void serve_release(struct conn *c, uint64_t token) {
    const struct serve *sv = conn_session(c);
    store_unpin(sv->s.worker->store, token);
}

static void serve_close(struct conn *c, void *session) {
    struct serve *sv = session;
    (void)c;
    cmd_job_abandon(&sv->s);
    if (sv->s.forward != NULL) cmd_forward_end(&sv->s);
    sync_bump(&sv->s.worker->metrics[CMD_METRIC_links_open], (uint64_t)-1);
}

static const struct net_handler serve_handler = {
    .session_size = sizeof(struct serve),
    .open = serve_open,
    .input = serve_input,
    .release = serve_release,
    .close = serve_close,
};

bool cmd_serve_link(struct cmd *cmd, struct net_worker *w, int fd, struct ssl_st *ssl, enum cmd_link_kind kind) {
    (void)cmd;
    if (kind == CMD_LINK_DATA) {
        struct conn *c = conn_adopt(w, fd, ssl, &serve_handler);
        return c != NULL && conn_link_begin(c, false);
    }
    return conn_adopt(w, fd, ssl, cmd_peer_handler()) != NULL;
}
