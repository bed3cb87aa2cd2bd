/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_forward_answer.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cmd/cmd_link.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_place.h"
#include "cmd/cmd_run.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "net/conn.h"

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

/* ------------------------------------------------------------------ whether a reply may be believed */

/* Whether a reply to a key of a get line is about that key, and ends as a value does. */
static inline bool fits_key(const char *key, size_t key_len, const char *p, size_t n) {
    if (n == 0) return true;
    return n > 8 + key_len && memcmp(p, "VALUE ", 6) == 0 && bytes_same(p + 6, key, key_len) && p[6 + key_len] == ' ' &&
           memcmp(p + n - 2, "\r\n", 2) == 0;
}

/* Whether a reply to a packet is an answer to it, or nothing, which only a quiet one may be. */
static bool fits_packet(const char *packet, const char *p, size_t n) {
    if (n == 0) return (binary_rows[(uint8_t)packet[1]].marks & BINARY_QUIET) != 0;
    return n >= BINARY_HEADER && (uint8_t)p[0] == BINARY_ANSWER && p[1] == packet[1] &&
           memcmp(p + 12, packet + 12, 4) == 0 && n - BINARY_HEADER == binary_u32(p + 8);
}

/* Whether the reply that has come may be the one to the slot's request. */
static inline bool fits(const struct forward *f, const struct forward_slot *at, const char *origin) {
    const char *const p = f->buf + at->off, *const name = origin + at->name;
    const size_t n = at->len - at->tail;
    if (likely(at->kind == FORWARD_KEY)) return fits_key(name, at->name_len, p, n);
    return at->kind == FORWARD_LINE || fits_packet(name, p, n);
}

/* ------------------------------------------------------------------ answers */

bool cmd_forward_has_block_to_come(const struct request *r) {
    return r->row != NULL && r->body == NULL && (r->row->class == CMD_CLASS_STORE || r->row->class == CMD_CLASS_MSET);
}

void cmd_forward_note(struct forward_slot *at, const struct request *r, const char *base, const char *origin) {
    const bool key = cmd_is_key(r);
    at->kind = key ? FORWARD_KEY : cmd_is_packet(r) ? FORWARD_PACKET : FORWARD_LINE;
    at->name = (uint32_t)((key ? r->raw_key : r->line) - origin);
    at->name_len = r->raw_key_len;
    at->end = (uint32_t)(base + r->end - origin);
    at->tail = key && r->last ? FORWARD_END : 0;
}

void cmd_forward_tell(struct session *s, const struct request *r) {
    if (unlikely((s->worker->observed & (CMD_OBSERVE_RAWCMDS | CMD_OBSERVE_LOG)) != 0)) cmd_run_tell(s, r);
}

void cmd_forward_answer(struct session *s, struct forward *f, struct forward_slot *at, struct request *r,
                        const char *origin) {
    const enum forward_state state = (enum forward_state)at->state;
    cmd_forward_tell(s, r);
    if (state == FORWARD_DONE && likely(fits(f, at, origin))) {
        conn_write(s->conn, f->buf + at->off, at->len);
        return;
    }
    if (state == FORWARD_DONE) cmd_link_distrust(s->worker->peers, at->member);
    if (state != FORWARD_GIVEN) {
        if (!cmd_is_key(r) && cmd_forward_has_block_to_come(r)) r->discard_body = r->body_len + cmd_ending(r);
        answer_failed(s, r, state);
    }
    conn_write(s->conn, "END\r\n", at->tail);
}

const char *cmd_forward_origin(const struct forward *f, const char *p) {
    return p - (f->next > 0 ? f->slot[f->next - 1].end : 0);
}

/* Whether all replies of a record have come and fit their requests. *lines: how many lines these came from. */
static bool all_fit(const struct forward *f, const char *origin, unsigned *lines) {
    for (unsigned i = f->next; i < f->count; i++) {
        const struct forward_slot *at = &f->slot[i];
        if (unlikely(at->state != FORWARD_DONE || !fits(f, at, origin))) return false;
        *lines += at->kind != FORWARD_KEY || at->tail > 0;
    }
    return true;
}

/* Copies all replies of a record, in the order of its requests; returns where they end. Those that have come one
 * behind the other are copied together. */
static char *copy_replies(const struct forward *f, char *out) {
    uint32_t from = 0, to = 0;
    for (unsigned i = f->next; i < f->count; i++) {
        const struct forward_slot *at = &f->slot[i];
        if (at->off != to) {
            memcpy(out, f->buf + from, to - from);
            out += to - from;
            from = at->off;
        }
        to = at->off + at->len;
    }
    memcpy(out, f->buf + from, to - from);
    return out + (to - from);
}

size_t cmd_forward_answer_whole(struct session *s, const char *p) {
    struct forward *f = s->forward;
    const char *const origin = cmd_forward_origin(f, p);
    unsigned lines = 0;
    if (!f->whole || f->pulls != 0 || f->len > CONN_RESERVE_MAX || s->worker->observed != 0) return 0;
    if (!all_fit(f, origin, &lines)) return 0;
    char *const out = conn_reserve(s->conn, f->len);
    conn_commit(s->conn, (size_t)(copy_replies(f, out) - out));
    const size_t used = (size_t)(origin + f->slot[f->count - 1].end - p);
    s->worker->requests_run += lines;
    s->phase = CMD_PHASE_LINE;
    cmd_forward_end(s);
    return used;
}
