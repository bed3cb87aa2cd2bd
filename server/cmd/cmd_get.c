/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A handler is called for each key of a line. */
#include "cmd/cmd_get.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_cluster.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_value.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/link.h"
#include "proto/text.h"
#include "store/store.h"

#define HEAD_MAX 80 /* of a VALUE line and END, the key not counted */

/* Decides what the reader of a softly purged item gets. One reader gets a miss, and is to refill it; the others get the
 * stale value. False: a miss. */
static bool win_or_stale(struct session *s, struct request *r, struct store_item *it) {
    for (int i = 0; i < 4 && it->soft; i++) {
        switch (store_win(s->worker->store, &r->key, it)) {
        case STORE_WIN_WON: return false;
        case STORE_WIN_OTHERS: cmd_bump(s, CMD_METRIC_get_stale); return true;
        case STORE_WIN_NONE:
            if (!store_get(s->worker->store, &r->key, it)) return false;
        }
    }
    return !it->soft;
}

static void tell_get(struct session *s, struct request *r, const struct store_item *it) {
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) {
        cmd_detail_count(s, CMD_DETAIL_GET, r->key.p, r->key.len);
        if (it != NULL) cmd_detail_count(s, CMD_DETAIL_HIT, r->key.p, r->key.len);
    }
    if (cmd_observed(s, CMD_OBSERVE_FETCHERS))
        cmd_watch_fetch(s, r->key.p, r->key.len, it, it != NULL ? "found" : "not_found");
}

/* Counts a get or touch, and tells observers. */
static inline void note_get(struct session *s, struct request *r, const struct store_item *it, bool touch) {
    struct cmd_worker *w = s->worker;
    if (touch) {
        sync_bump(&w->metrics[CMD_METRIC_cmd_touch], 1);
        sync_bump(&w->metrics[it != NULL ? CMD_METRIC_touch_hits : CMD_METRIC_touch_misses], 1);
    } else {
        sync_bump(&w->metrics[CMD_METRIC_cmd_get], 1);
        sync_bump(&w->metrics[it != NULL ? CMD_METRIC_get_hits : CMD_METRIC_get_misses], 1);
    }
    if (unlikely((w->observed & (CMD_OBSERVE_FETCHERS | CMD_OBSERVE_DETAIL)) != 0)) tell_get(s, r, it);
}

static inline __attribute__((always_inline)) char *put_head(char *out, const struct request *r,
                                                            const struct store_item *it, bool cas, uint64_t id) {
    memcpy(out, "VALUE ", 6);
    bytes_copy(out + 6, r->raw_key, r->raw_key_len);
    out += 6 + r->raw_key_len;
    *out++ = ' ';
    if (likely(it->flags == 0))
        *out++ = '0';
    else
        out = text_put_u64(out, it->flags);
    *out++ = ' ';
    out = text_put_u64(out, it->size);
    if (cas) {
        *out++ = ' ';
        out = text_put_u64(out, id);
    }
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

static void put_end(struct session *s) {
    memcpy(conn_reserve(s->conn, 5), "END\r\n", 5);
    conn_commit(s->conn, 5);
}

/* Answers with a value that is copied: all of it into one run of reserved memory. */
static inline __attribute__((always_inline)) void reply_small(struct session *s, const struct request *r,
                                                              const struct store_item *it, bool cas) {
    char *const begin = conn_reserve(s->conn, HEAD_MAX + r->raw_key_len + it->size);
    char *out = put_head(begin, r, it, cas, cas ? cmd_value_cas(s, it) : 0);
    memcpy(out, it->value, it->size);
    out += it->size;
    memcpy(out, "\r\nEND\r\n", 7);
    out += r->last ? 7 : 2;
    conn_commit(s->conn, (size_t)(out - begin));
}

static void reply_value(struct session *s, struct request *r, const struct store_item *it, bool cas) {
    if (cmd_value_fits(it) && r->raw_key_len <= CMD_LONG_KEY) {
        reply_small(s, r, it, cas);
        return;
    }
    if (cmd_value_too_large(s, it)) return;
    if (r->raw_key_len <= CMD_LONG_KEY) {
        char *begin = conn_reserve(s->conn, HEAD_MAX + r->raw_key_len);
        conn_commit(s->conn, (size_t)(put_head(begin, r, it, cas, cmd_value_cas(s, it)) - begin));
    } else {
        char tail[HEAD_MAX];
        struct request none = {.raw_key = tail};
        char *end = put_head(tail, &none, it, cas, cmd_value_cas(s, it));
        conn_write(s->conn, "VALUE ", 6);
        conn_write(s->conn, r->raw_key, r->raw_key_len);
        conn_write(s->conn, tail + 6, (size_t)(end - tail - 6));
    }
    cmd_value(s, it, "\r\nEND\r\n", r->last ? 7 : 2);
}

bool cmd_get_found(struct session *s, struct request *r, struct store_item *it, bool found, bool touch) {
    if (found && it->soft) found = win_or_stale(s, r, it);
    note_get(s, r, found ? it : NULL, touch);
    if (found && (it->bits & STORE_FETCHED) == 0) store_note_fetch(s->worker->store, it);
    return found;
}

/* Answers for one key. */
static void answer(struct session *s, struct request *r, struct store_item *it, bool found, bool touch, bool cas) {
    if (!cmd_get_found(s, r, it, found, touch)) {
        if (unlikely(cmd_cluster_is_discovery(s, r))) cmd_cluster_discover(s, r);
        if (r->last) put_end(s);
        return;
    }
    reply_value(s, r, it, cas);
}

/* Answers keys of get lines. `here`: only while what is found is newer than `since`. */
static inline __attribute__((always_inline)) unsigned get_run(struct session *s, struct request *r, unsigned n,
                                                              bool here, uint64_t since) {
    struct cmd_worker *w = s->worker;
    uint64_t hits = 0;
    unsigned i = 0;
    for (; i < n && r->path == CMD_PATH_GET; r++) {
        struct store_item it;
        const bool found = store_get(w->store, &r->key, &it);
        if (here && unlikely(!found || it.version <= since)) break;
        if (likely(found && !it.soft && cmd_value_fits(&it))) {
            hits++;
            i++;
            reply_small(s, r, &it, false);
            if (unlikely((it.bits & STORE_FETCHED) == 0)) store_note_fetch(w->store, &it);
            if (unlikely(conn_stuck(s->conn))) break;
        } else {
            i++;
            answer(s, r, &it, found, false, false);
            if (unlikely(w->end_batch) || (found && !cmd_value_fits(&it) && conn_full(s->conn))) break;
        }
    }
    sync_bump(&w->metrics[CMD_METRIC_cmd_get], hits);
    sync_bump(&w->metrics[CMD_METRIC_get_hits], hits);
    return i;
}

unsigned cmd_get_run(struct session *s, struct request *r, unsigned n) {
    return get_run(s, r, n, false, 0);
}

unsigned cmd_get_run_here(struct session *s, struct request *r, unsigned n, uint64_t since) {
    return get_run(s, r, n, true, since);
}

unsigned cmd_get_framed(struct session *s, struct request *r, unsigned n, uint32_t seq, uint64_t since) {
    struct cmd_worker *w = s->worker;
    unsigned i = 0;
    for (; i < n && r->path == CMD_PATH_GET; r++, i++) {
        struct store_item it;
        if (unlikely(!store_get(w->store, &r->key, &it) || it.soft || !cmd_value_fits(&it) || it.version <= since))
            break;
        char *const begin = conn_reserve(s->conn, LINK_HEADER + HEAD_MAX + r->raw_key_len + it.size);
        char *out = put_head(begin + LINK_HEADER, r, &it, false, 0);
        memcpy(out, it.value, it.size);
        out += it.size;
        *out++ = '\r';
        *out++ = '\n';
        const struct link_header h = {(uint32_t)(out - begin - LINK_HEADER), seq + i, LINK_DONE, 0, 0};
        link_put(begin, &h);
        conn_commit(s->conn, (size_t)(out - begin));
        if (unlikely((it.bits & STORE_FETCHED) == 0)) store_note_fetch(w->store, &it);
        if (unlikely(conn_stuck(s->conn))) {
            i++;
            break;
        }
    }
    sync_bump(&w->metrics[CMD_METRIC_cmd_get], i);
    sync_bump(&w->metrics[CMD_METRIC_get_hits], i);
    return i;
}

enum store_status cmd_get_find(struct session *s, const struct request *r, bool touch, uint32_t expiry,
                               struct store_item *it) {
    struct store_worker *w = s->worker->store;
    enum store_status st = STORE_NOT_FOUND;
    if (cmd_lease_none(s)) return st;
    if (unlikely(touch))
        st = store_touch(w, &r->key, expiry, it, NULL);
    else if (store_get(w, &r->key, it))
        st = STORE_OK;
    if (st == STORE_AGAIN) cmd_retry_later(s);
    return st == STORE_OK && cmd_lease_hides(s, r, it) ? STORE_NOT_FOUND : st;
}

void cmd_get(struct session *s, struct request *r) {
    struct store_item it;
    const bool touch = r->row->id >= CMD_ID_gat;
    const bool cas = r->row->id == CMD_ID_gets || r->row->id == CMD_ID_gats;
    if (unlikely(r->key.len == 0)) { /* the line ended in blanks behind its last key */
        put_end(s);
        return;
    }
    const enum store_status st = cmd_get_find(s, r, touch, (uint32_t)r->exptime, &it);
    if (likely(st != STORE_AGAIN)) answer(s, r, &it, st == STORE_OK, touch, cas);
}

enum store_status cmd_get_touch(struct session *s, const struct request *r, uint32_t expiry, struct store_item *it) {
    const enum store_status st = cmd_get_find(s, r, true, expiry, it);
    if (st == STORE_AGAIN) return st;
    cmd_bump(s, CMD_METRIC_cmd_touch);
    cmd_bump(s, st == STORE_OK ? CMD_METRIC_touch_hits : CMD_METRIC_touch_misses);
    if (st == STORE_OK && (it->bits & STORE_FETCHED) == 0) store_note_fetch(s->worker->store, it);
    return st;
}

void cmd_touch(struct session *s, struct request *r) {
    struct text_token word;
    size_t at = r->rest;
    int64_t exptime;
    text_next(r->line, r->line_len, &at, &word);
    if (!text_i64(word.p, word.n, &exptime)) {
        cmd_reply_lit(s, r, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    struct store_item it;
    switch (cmd_get_touch(s, r, store_expiry(s->worker->store, exptime), &it)) {
    case STORE_AGAIN: break;
    case STORE_OK: cmd_reply_lit(s, r, "TOUCHED"); break;
    case STORE_NO_MEMORY: cmd_reply_lit(s, r, "SERVER_ERROR out of memory"); break;
    default: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    }
}
