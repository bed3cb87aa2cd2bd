/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_route.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cluster/view.h"
#include "cmd/cmd_copy.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_forward.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_owner.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_pull.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_run.h"
#include "cmd/cmd_transfer.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "net/conn.h"
#include "store/store.h"

/* ------------------------------------------------------------------ what has failed */

/* Answers a meta get whose owner does not answer: it is a miss. */
static void answer_meta_miss(struct session *s, struct request *r) {
    const enum meta_error e = cmd_meta_read(s, r, 2, META_MG);
    if (e != META_OK)
        cmd_meta_error(s, e);
    else if (!meta_has(&s->worker->meta, 'q'))
        cmd_meta_reply(s, r, "EN");
}

static void answer_failed(struct session *s, struct request *r, enum forward_state how) {
    static const char down[] = "SERVER_ERROR owner is down",
                      late[] = "SERVER_ERROR owner did not answer, may have been done",
                      lost[] = "SERVER_ERROR connection to owner lost, may have been done";
    cmd_bump(s, CMD_METRIC_forward_errors);
    if (cmd_is_packet(r) && cmd_place_is_lookup(r)) {
        packet_miss(s, r);
        return;
    }
    if (r->row->class == CMD_CLASS_GET) return; /* a miss is no word */
    if (r->row->id == CMD_ID_mg) {
        answer_meta_miss(s, r);
    } else if (r->row->id == CMD_ID_me) {
        cmd_line_lit(s, "EN");
    } else if (r->row->id == CMD_ID_touch) {
        cmd_reply_lit(s, r, "NOT_FOUND");
    } else {
        cmd_reply_error(s, r, BINARY_TEMPORARY, "%s", how == FORWARD_DOWN ? down : how == FORWARD_LATE ? late : lost);
    }
}

/* ------------------------------------------------------------------ what is to be sent again */

/* Whether a request whose answer went wrong is to be sent again; if not, it has failed, and how is in the slot. */
static bool is_wanted(struct forward_slot *at, const struct request *r) {
    switch ((enum forward_state)at->state) {
    case FORWARD_WANTED:
    case FORWARD_UNSENT:
    case FORWARD_RETRY: return true;
    case FORWARD_LOST:
        at->state = FORWARD_BROKEN;
        if (cmd_place_is_lookup(r)) at->state = FORWARD_LATE;
        return cmd_place_is_read(r) && at->tries++ == 0;
    case FORWARD_NOT_OWNER: at->state = FORWARD_LATE; return at->tries++ < LINK_REPEATS_MAX;
    default: return false;
    }
}

/* Whether a key is moving to its owner, this node or another. */
static bool is_moving(const struct forward *f, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        const uint8_t state = f->slot[f->next + i].state;
        if (state == FORWARD_RETRY || state == FORWARD_MOVING) return true;
    }
    return false;
}

/* How long to wait before what went wrong is sent again, milliseconds. */
static unsigned pause_before(const struct forward *f, unsigned n, bool same_ring) {
    unsigned ms = cmd_pull_pause(f, n);
    if (ms < LINK_RETRY_MS && is_moving(f, n)) ms = LINK_RETRY_MS;
    for (unsigned i = 0; i < n; i++) {
        const struct forward_slot *at = &f->slot[f->next + i];
        if (at->state == FORWARD_NOT_OWNER && same_ring && at->tries < LINK_REPEATS_MAX) ms = LINK_RING_MS;
    }
    return ms;
}

/* What becomes of request k of those that cmd_owner_find has looked at, in a slot that nothing was sent for. large: its
 * block is too large to wait for. */
static void place(const struct cmd_peers *p, struct forward *f, unsigned slot, unsigned k, bool large) {
    struct forward_slot *at = &f->slot[slot];
    at->member = p->owner[k];
    f->pulls &= ~(1ull << slot);
    if (at->member != p->view->self) {
        at->state = large ? FORWARD_LARGE : FORWARD_WANTED;
    } else if (likely(p->turn[k] == CMD_TURN_NOW)) {
        at->state = FORWARD_HERE;
    } else if (p->turn[k] == CMD_TURN_WAIT) {
        at->state = FORWARD_MOVING;
        f->attention = true;
    } else {
        at->state = FORWARD_WANTED;
        at->member = p->view->donor[p->donor[k]];
        f->pulls |= 1ull << slot;
        f->attention = true;
    }
}

/* Whether it is a store whose block is too large to wait for. */
static bool has_block_to_come(const struct request *r) {
    return r->row != NULL && r->body == NULL && (r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET);
}

/* By another ring some requests may be others', or have to wait; and what waited may be run. */
static void route_again(struct session *s, struct forward *f, const struct request *r, unsigned n) {
    struct cmd_peers *p = s->worker->peers;
    for (unsigned i = 0; i < n;) {
        const struct cmd_span span = cmd_owner_find(s, r + i, n - i);
        for (unsigned k = 0; k < span.end; k++) {
            const unsigned slot = f->next + i + k;
            const uint8_t state = f->slot[slot].state;
            if (state == FORWARD_HERE || state == FORWARD_WANTED || state == FORWARD_MOVING)
                place(p, f, slot, k, !cmd_is_key(&r[i + k]) && has_block_to_come(&r[i + k]));
        }
        i += span.end > 0 ? span.end : 1;
    }
    f->ring_version = p->view->ring_version;
}

/* By another ring what was pulled, or was to be, is looked at anew. */
static void drop_pulls(struct session *s, struct forward *f) {
    cmd_moved_forget(s->worker->store, &f->parts);
    for (unsigned i = f->next; i < f->count && f->pulls != 0; i++) {
        if (forward_pulls(f, i)) f->slot[i].state = FORWARD_HERE;
        f->pulls &= ~(1ull << i);
    }
}

/* Waits for so long before the record is looked at again. What waits for a move to begin has its deadline from then on;
 * but not for ever. */
static void pause_for(struct cmd_peers *p, struct forward *f, unsigned n, unsigned ms) {
    const uint64_t now = clock_boot_ns(p->worker->cmd->cfg.clock);
    if (is_moving(f, n) && now - f->begun_ns < LINK_MOVING_MS * 1000000ull) cmd_forward_restart(p, f);
    cmd_deadline_again(p, f, ms);
}

/* Sees what has become of the requests r[0..n) that begin the input, and sends again what has to be. False: it is not
 * time yet to answer them, and the connection waits. */
static bool settle(struct session *s, struct forward *f, const char *base, const struct request *r, unsigned n) {
    struct cmd_peers *p = s->worker->peers;
    const bool same_ring = f->ring_version == p->view->ring_version;
    const bool late = clock_boot_ns(s->worker->cmd->cfg.clock) >= f->deadline_ns;
    unsigned ms = f->again_ns == 0 && !late ? pause_before(f, n, same_ring) : 0;
    if (ms > 0) {
        pause_for(p, f, n, ms);
        return false;
    }
    f->again_ns = 0;
    f->attention = false;
    if (unlikely(f->pulls != 0) && same_ring) cmd_pull_take(s, f, r, n, late);
    if (unlikely(f->pulls != 0) && !same_ring) drop_pulls(s, f);
    const bool moving = is_moving(f, n);
    for (unsigned i = 0; i < n; i++) {
        struct forward_slot *at = &f->slot[f->next + i];
        if (forward_pulls(f, f->next + i)) continue;
        if (is_wanted(at, &r[i])) at->state = late ? FORWARD_LATE : FORWARD_WANTED;
        if (at->state == FORWARD_MOVING && late) at->state = FORWARD_LATE;
    }
    if (!same_ring || moving) route_again(s, f, r, n);
    const bool sent = cmd_link_send(f, base, r, n);
    cmd_pull_give_up(f, n);
    if (!sent || f->out > 0) return false;
    ms = pause_before(f, n, true);
    if (ms == 0) return true;
    pause_for(p, f, n, ms);
    return false;
}

/* ------------------------------------------------------------------ the showing that answers */

/* Whether a reply to a key of a get line is about that key, and ends as a value does. */
static bool fits_key(const struct request *r, const char *p, size_t n) {
    if (n == 0) return true;
    return n > 8 + (size_t)r->raw_key_len && memcmp(p, "VALUE ", 6) == 0 &&
           memcmp(p + 6, r->raw_key, r->raw_key_len) == 0 && p[6 + r->raw_key_len] == ' ' &&
           memcmp(p + n - 2, "\r\n", 2) == 0;
}

/* Whether a reply to a packet is an answer to it, or nothing, which only a quiet one may be. */
static bool fits_packet(const struct request *r, const char *p, size_t n) {
    if (n == 0) return packet_quiet(r);
    return n >= BINARY_HEADER && (uint8_t)p[0] == BINARY_ANSWER && p[1] == r->line[1] &&
           memcmp(p + 12, r->line + 12, 4) == 0 && n - BINARY_HEADER == binary_u32(p + 8);
}

/* Whether a reply that came may be the one to r. */
static inline bool fits(const struct request *r, const char *p, size_t n) {
    if (cmd_is_key(r)) return fits_key(r, p, n);
    return !cmd_is_packet(r) || fits_packet(r, p, n);
}

/* Writes the reply that has come. */
static inline void put_reply(struct session *s, const struct request *r, const char *p, size_t n) {
    const bool end = cmd_is_key(r) && r->last;
    if (likely(n <= CONN_RESERVE_MAX - 5)) {
        char *out = conn_reserve(s->conn, n + 5);
        if (n > 0) memcpy(out, p, n);
        memcpy(out + n, "END\r\n", 5);
        conn_commit(s->conn, n + (end ? 5 : 0));
        return;
    }
    conn_write(s->conn, p, n);
    if (end) conn_write(s->conn, "END\r\n", 5);
}

/* Tells who watches, or the log, of a request that cmd_run does not tell of. */
static void tell(struct session *s, const struct request *r) {
    if (unlikely((s->worker->observed & (CMD_OBSERVE_RAWCMDS | CMD_OBSERVE_LOG)) != 0)) cmd_run_tell(s, r);
}

/* Answers a request that is another node's. */
static void answer_remote(struct session *s, struct forward *f, struct forward_slot *at, struct request *r) {
    tell(s, r);
    if (likely(at->state == FORWARD_DONE || at->state == FORWARD_GIVEN)) {
        const char *reply = at->len > 0 ? f->buf + at->off : ""; /* without any reply there is no buffer */
        if (likely(at->state == FORWARD_GIVEN || fits(r, reply, at->len))) {
            put_reply(s, r, reply, at->len);
            return;
        }
        cmd_link_distrust(s->worker->peers, at->member);
    }
    if (!cmd_is_key(r) && has_block_to_come(r)) r->discard_body = r->body_len + cmd_ending(r);
    answer_failed(s, r, (enum forward_state)at->state);
    if (cmd_is_key(r) && r->last) put_reply(s, r, NULL, 0);
}

/* Answers the requests r[0..n) that begin the input, as far as the record covers them; returns how many. */
static unsigned show(struct session *s, const char *base, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    struct forward *f = s->forward;
    unsigned i = 0;
    if (n > f->count - f->next) n = f->count - f->next;
    if (f->out > 0 || f->waits != NULL || f->transfer != NULL) {
        conn_wait(s->conn);
        return 0;
    }
    if (unlikely(f->attention || f->pulls != 0 || f->ring_version != w->peers->view->ring_version) &&
        !settle(s, f, base, r, n)) {
        conn_wait(s->conn);
        return 0;
    }
    while (i < n) {
        struct forward_slot *at = &f->slot[f->next + i];
        if (at->state == FORWARD_HERE) {
            unsigned run = 1;
            while (i + run < n && at[run].state == FORWARD_HERE) run++;
            if (run > 1) cmd_run_prefetch(w, r + i, run);
            cmd_moving_note(s, r + i, run);
            const unsigned done = cmd_run(s, r + i, run);
            i += done;
            if (done < run || w->end_batch || conn_halted(s->conn)) break;
        } else if (unlikely(at->state == FORWARD_LARGE)) {
            bool taken;
            f->next += i; /* the transfer's request is the one that comes next */
            if (cmd_transfer_begin(s, at, base, r + i, &taken)) {
                w->end_batch = taken;
                return i + taken;
            }
            f->next -= i;
        } else {
            answer_remote(s, f, at, r + i);
            i++;
            if (unlikely(conn_stuck(s->conn)) && conn_full(s->conn)) break;
        }
    }
    f->next += i;
    if (f->next == f->count) cmd_forward_end(s);
    return i;
}

/* ------------------------------------------------------------------ the first showing */

/* Makes a record of r[0..n), whose owners are at peers->owner[from...], and sends what is others'. False: no memory. */
static bool begin_forward(struct session *s, const char *base, const struct request *r, unsigned from, unsigned n) {
    const struct cmd_peers *p = s->worker->peers;
    struct forward *f = cmd_forward_new(s);
    if (f == NULL) return false;
    f->count = n;
    for (unsigned i = 0; i < n; i++) {
        place(p, f, i, from + i, !cmd_is_key(&r[i]) && has_block_to_come(&r[i]));
        f->slot[i].tries = 0;
    }
    s->recent |= 1;
    cmd_copy_answer(s, f, r, n);
    if (cmd_link_send(f, base, r, n)) cmd_copy_ask(s->worker->peers);
    cmd_pull_give_up(f, n);
    return true;
}

/* Whether the batch's running ends here. */
static bool is_over(const struct session *s) {
    return s->worker->retry || s->worker->end_batch || conn_halted(s->conn);
}

/* Runs r[0], which is a barrier and which nothing stands before. If it waits for its purge, those that follow it at
 * once in r[0..n) are begun with it. */
static unsigned run_barrier(struct session *s, struct request *r, unsigned n) {
    const unsigned done = cmd_run(s, r, 1);
    if (done > 0 || !cmd_purge_waits_for_others(s, r)) return done;
    for (unsigned i = cmd_job_count(s); i < n && cmd_purge_begin_early(s, &r[i]); i++)
        tell(s, &r[i]); /* now: when it is its turn it is under way */
    return 0;
}

/*
 * Runs r[0..n), of which nothing was sent yet, as far as that goes; returns how many. A client that hashes as the ring
 * does finds nearly all of its keys here: its gets and sets are run before (cmd_run_here), and the ring is looked at
 * only when one finds nothing, or what may be from before the ring. Of a client that had keys elsewhere of late the
 * whole batch is looked at first, and nothing of it is run before the others' answers are there, so that all leave in
 * one write.
 */
static unsigned first_showing(struct session *s, const char *base, struct request *r, unsigned n) {
    const bool eager = s->recent != 0;
    const struct cmd_span span = cmd_owner_find(s, r, n);
    const unsigned first = span.first, end = span.end;
    const unsigned alone = first < end ? (eager ? 0 : first) : end; /* run without waiting for anybody */
    if (alone > 0) {
        if (eager && alone > 1) cmd_run_prefetch(s->worker, r, alone);
        cmd_moving_note(s, r, alone);
        const unsigned done = cmd_run(s, r, alone);
        if (done < alone || is_over(s)) return done;
    }
    if (end == 0) return run_barrier(s, r, n);
    if (alone == end || begin_forward(s, base, r + alone, alone, end - alone)) return alone;
    cmd_line_lit(s, "SERVER_ERROR out of memory");
    conn_close(s->conn);
    return alone;
}

unsigned cmd_route(struct session *s, const char *p, unsigned count) {
    struct cmd_worker *w = s->worker;
    unsigned i = 0;
    if (s->forward == NULL) {
        s->recent = (uint8_t)(s->recent << 1);
        if (likely(s->recent == 0 && !cmd_moving(w))) {
            if (count > 1) cmd_run_prefetch(w, w->batch, count);
            i = cmd_run_here(s, w->batch, count);
        }
    }
    while (i < count && !is_over(s))
        i += s->forward != NULL ? show(s, p, w->batch + i, count - i) : first_showing(s, p, w->batch + i, count - i);
    return i;
}
