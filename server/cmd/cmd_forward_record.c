/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "cmd/cmd_deadline.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_transfer.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/link.h"

#define SPARE_MAX 256     /* records that a worker keeps for the next ones */
#define BUFFER_MIN 4096   /* bytes of a record's buffer */
#define BUFFER_KEEP 32768 /* bytes of one that is kept with a spare record */

struct forward *cmd_forward_new(struct session *s) {
    struct cmd *cmd = s->worker->cmd;
    struct cmd_peers *p = s->worker->peers;
    struct forward *f = TAILQ_FIRST(&p->spare);
    if (f != NULL) {
        TAILQ_REMOVE(&p->spare, f, age);
        p->nspare--;
    } else if ((f = calloc(1, sizeof *f)) == NULL) {
        return NULL;
    }
    f->waits = NULL;
    f->session = s;
    f->ring_version = p->view->ring_version;
    f->begun_ns = clock_boot_ns(cmd->cfg.clock);
    f->deadline_ns = f->begun_ns + (uint64_t)cmd->cfg.peer_timeout_ms * 1000000;
    f->again_ns = 0;
    f->transfer = NULL;
    f->count = f->next = f->out = f->entries = 0;
    f->attention = f->whole = false;
    f->pulls = 0;
    f->len = 0;
    s->forward = f;
    TAILQ_INSERT_TAIL(&p->live, f, age);
    cmd_deadline_watch(p);
    return f;
}

/* Gives the memory of its replies back, and the record, for the next time or for good. */
static void give_back(struct cmd_peers *p, struct forward *f) {
    if (p->nspare == SPARE_MAX) {
        free(f->buf);
        free(f);
        return;
    }
    if (f->cap > BUFFER_KEEP) {
        free(f->buf);
        f->buf = NULL;
        f->cap = 0;
    }
    p->nspare++;
    TAILQ_INSERT_HEAD(&p->spare, f, age);
}

void cmd_forward_end(struct session *s) {
    struct cmd_peers *p = s->worker->peers;
    struct forward *f = s->forward;
    if (f->transfer != NULL) cmd_transfer_abandon(f);
    cmd_moved_forget(s->worker->store, &f->parts);
    s->forward = NULL;
    f->session = NULL;
    cmd_forward_wait_end(f);
    TAILQ_REMOVE(&p->live, f, age);
    p->reply_bytes -= f->len;
    f->len = 0;
    if (f->entries == 0) give_back(p, f);
    if (unlikely(p->crowd.n > 0) && p->reply_bytes < LINK_REPLIES_MAX / 2) cmd_forward_wake(&p->crowd);
}

void cmd_forward_unref(struct cmd_peers *p, struct forward *f) {
    f->entries--;
    if (f->entries == 0 && f->session == NULL) give_back(p, f);
}

void cmd_forward_settle(struct forward *f, unsigned slot, enum forward_state state) {
    f->slot[slot].state = (uint8_t)state;
    f->attention = true;
    if (--f->out == 0) conn_resume(f->session->conn);
}

/* Room for n bytes behind the first `len` of the buffer. */
static __attribute__((noinline)) bool room_for(struct forward *f, uint32_t len, size_t n) {
    if (f->cap - len >= n) return true;
    size_t cap = f->cap < BUFFER_MIN ? BUFFER_MIN : f->cap;
    while (cap - len < n) cap *= 2;
    char *buf = realloc(f->buf, cap);
    if (buf == NULL) return false;
    f->buf = buf;
    f->cap = (uint32_t)cap;
    return true;
}

/* n bytes behind the record's replies are that of this slot. */
static inline void take(struct cmd_peers *peers, struct forward *f, unsigned slot, size_t n) {
    struct forward_slot *at = &f->slot[slot];
    if (at->tail > 0 && likely(!forward_pulls(f, slot))) {
        memcpy(f->buf + f->len + n, "END\r\n", FORWARD_END);
        n += FORWARD_END;
    }
    at->off = f->len;
    at->len = (uint32_t)n;
    at->state = FORWARD_DONE;
    f->len += (uint32_t)n;
    peers->reply_bytes += n;
}

void cmd_forward_reply(struct cmd_peers *peers, struct forward *f, unsigned slot, const char *p, size_t n) {
    if (unlikely(f->cap - f->len < n + FORWARD_END) && !room_for(f, f->len, n + FORWARD_END)) {
        cmd_forward_settle(f, slot, FORWARD_DOWN);
        return;
    }
    if (n > 0) memcpy(f->buf + f->len, p, n);
    take(peers, f, slot, n);
    if (--f->out == 0) conn_resume(f->session->conn);
}

/* What a header says behind `bytes` of a usual reply: DONE, and that nothing follows it. */
static inline uint64_t usual(uint32_t seq) {
    return seq | (uint64_t)LINK_DONE << 32;
}

size_t cmd_forward_replies(struct cmd_peers *peers, struct forward *f, unsigned slot, unsigned most, uint32_t seq,
                           const char *p, size_t n, unsigned *taken) {
    const char *const begin = p, *const end = p + n;
    uint32_t len = f->len;
    unsigned i = 0;
    for (; i < most && end - p >= LINK_HEADER; i++) {
        struct forward_slot *at = &f->slot[slot + i];
        uint32_t bytes;
        uint64_t rest;
        memcpy(&bytes, p, sizeof bytes);
        memcpy(&rest, p + sizeof bytes, sizeof rest);
        if (unlikely(rest != usual(seq + i) || at->state != FORWARD_OUT || f->pulls != 0)) break;
        if (unlikely((size_t)(end - p) - LINK_HEADER < bytes || bytes > LINK_REPLY_MAX)) break;
        if (unlikely(f->cap - len < bytes + FORWARD_END) && !room_for(f, len, bytes + FORWARD_END)) break;
        char *out = f->buf + len;
        memcpy(out, p + LINK_HEADER, bytes);
        memcpy(out + bytes, "END\r\n", FORWARD_END); /* at->tail bytes of it */
        at->off = len;
        at->len = bytes + at->tail;
        at->state = FORWARD_DONE;
        len += at->len;
        p += LINK_HEADER + bytes;
    }
    *taken = i;
    if (i == 0) return 0;
    peers->reply_bytes += len - f->len;
    f->len = len;
    f->out -= i;
    if (f->out == 0) conn_resume(f->session->conn);
    return (size_t)(p - begin);
}

char *cmd_forward_room(struct forward *f, size_t n) {
    return room_for(f, f->len, n + FORWARD_END) ? f->buf + f->len : NULL;
}

void cmd_forward_given(struct cmd_peers *peers, struct forward *f, unsigned slot, size_t n) {
    take(peers, f, slot, n);
}

/* ------------------------------------------------------------------ waiting */

void cmd_forward_wait(struct forward *f, struct forward_waiters *w) {
    f->waits = w;
    w->n++;
    TAILQ_INSERT_TAIL(&w->list, f, wait);
}

void cmd_forward_wait_end(struct forward *f) {
    if (f->waits == NULL) return;
    TAILQ_REMOVE(&f->waits->list, f, wait);
    f->waits->n--;
    f->waits = NULL;
}

void cmd_forward_wake_one(struct forward_waiters *w) {
    struct forward *f = TAILQ_FIRST(&w->list);
    if (f == NULL) return;
    cmd_forward_wait_end(f);
    conn_resume(f->session->conn);
}

void cmd_forward_wake(struct forward_waiters *w) {
    while (w->n > 0) cmd_forward_wake_one(w);
}

void cmd_forward_restart(struct cmd_peers *p, struct forward *f) {
    const struct cmd *cmd = p->worker->cmd;
    f->deadline_ns = clock_boot_ns(cmd->cfg.clock) + (uint64_t)cmd->cfg.peer_timeout_ms * 1000000;
    TAILQ_REMOVE(&p->live, f, age);
    TAILQ_INSERT_TAIL(&p->live, f, age);
    cmd_deadline_watch(p);
}

void cmd_forward_hurry(struct cmd_peers *p, struct forward *f) {
    struct forward *before = f;
    f->deadline_ns -= (f->deadline_ns - f->begun_ns) / 2;
    while ((before = TAILQ_PREV(before, forward_list, age)) != NULL && before->deadline_ns > f->deadline_ns) {}
    TAILQ_REMOVE(&p->live, f, age);
    if (before == NULL)
        TAILQ_INSERT_HEAD(&p->live, f, age);
    else
        TAILQ_INSERT_AFTER(&p->live, before, f, age);
}
