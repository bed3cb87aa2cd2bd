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
#include "cmd/cmd_forward_answer.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_owner.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_pull.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_run.h"
#include "cmd/cmd_transfer.h"
#include "cmd/instance.h"
#include "cmd/reply.h"
#include "net/conn.h"
#include "store/store.h"

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
static inline void place(const struct cmd_peers *p, struct forward *f, unsigned slot, unsigned k, bool large) {
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

/* By another ring some requests may be others', or have to wait; and what waited may be run. */
static void route_again(struct session *s, struct forward *f, const struct request *r, unsigned n) {
    struct cmd_peers *p = s->worker->peers;
    for (unsigned i = 0; i < n;) {
        const struct cmd_span span = cmd_owner_find(s, r + i, n - i);
        for (unsigned k = 0; k < span.end; k++) {
            const unsigned slot = f->next + i + k;
            const uint8_t state = f->slot[slot].state;
            if (state == FORWARD_HERE || state == FORWARD_WANTED || state == FORWARD_MOVING)
                place(p, f, slot, k, !cmd_is_key(&r[i + k]) && cmd_forward_has_block_to_come(&r[i + k]));
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

/* Where a request of the worker's batch, which was parsed from base, begins. */
static const char *begin_of(const struct session *s, const char *base, const struct request *r) {
    return r == s->worker->batch ? base : base + r[-1].end;
}

/* Answers the requests r[0..n) that begin the input, as far as the record covers them; returns how many. */
static unsigned show(struct session *s, const char *base, struct request *r, unsigned n) {
    struct cmd_worker *w = s->worker;
    struct forward *f = s->forward;
    const char *const origin = cmd_forward_origin(f, begin_of(s, base, r));
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
            cmd_run_near(w, r + i, run);
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
            cmd_forward_answer(s, f, at, r + i, origin);
            i++;
            if (unlikely(conn_stuck(s->conn)) && conn_full(s->conn)) break;
        }
    }
    f->next += i;
    if (f->next == f->count) cmd_forward_end(s);
    return i;
}

/* ------------------------------------------------------------------ the first showing */

/* Whether a request is here with all that belongs to it. */
static inline bool is_complete(const struct request *r) {
    return r->path >= CMD_PATH_KEY || (r->discard_body == 0 && !r->discard_line);
}

/* Makes a record of r[0..n), whose owners are at peers->owner[from...], and sends what is others'. False: no memory. */
static bool begin_forward(struct session *s, const char *base, struct request *r, unsigned from, unsigned n) {
    const struct cmd_peers *p = s->worker->peers;
    const char *const origin = begin_of(s, base, r);
    struct forward *f = cmd_forward_new(s);
    if (f == NULL) return false;
    f->count = n;
    f->whole = !cmd_is_key(&r[n - 1]) || r[n - 1].last;
    for (unsigned i = 0; i < n; i++) {
        struct forward_slot *at = &f->slot[i];
        place(p, f, i, from + i, !cmd_is_key(&r[i]) && cmd_forward_has_block_to_come(&r[i]));
        cmd_forward_note(at, &r[i], base, origin);
        at->tries = 0;
        f->whole &= at->state == FORWARD_WANTED && is_complete(&r[i]);
    }
    s->recent |= 1;
    if (unlikely(f->pulls != 0)) cmd_run_near(s->worker, r, n);
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
    cmd_run_near(s->worker, r, 1);
    const unsigned done = cmd_run(s, r, 1);
    if (done > 0 || !cmd_purge_waits_for_others(s, r)) return done;
    for (unsigned i = cmd_job_count(s); i < n && cmd_purge_begin_early(s, &r[i]); i++)
        cmd_forward_tell(s, &r[i]); /* now: when it is its turn it is under way */
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
        cmd_run_near(s->worker, r, alone);
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
        const bool near = s->recent == 0; /* else the keys may not be hashed */
        s->recent = (uint8_t)(s->recent << 1);
        if (likely(near && !cmd_moving(w))) {
            if (count > 1) cmd_run_prefetch(w, w->batch, count);
            i = cmd_run_here(s, w->batch, count);
        }
    }
    while (i < count && !is_over(s))
        i += s->forward != NULL ? show(s, p, w->batch + i, count - i) : first_showing(s, p, w->batch + i, count - i);
    return i;
}
