/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_set.h"

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_moving.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_tag.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/packet.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ storage */

/* Whether the request would have replaced what was stored before, which is then outdated if the store is refused. */
static bool replaces(const struct session *s, const struct request *r) {
    const struct meta *m = &s->worker->meta;
    if (cmd_is_packet(r)) return r->line[1] == BINARY_set || r->line[1] == BINARY_setq; /* with a CAS id, too */
    if (r->row->class != CMD_CLASS_MSET) return r->row->id == CMD_ID_set;
    return (!meta_has(m, 'M') || m->mode == 'S') && !meta_has(m, 'C');
}

/* Whether the item must still have the id r->cas. */
static bool is_guarded(const struct request *r) {
    return r->row->id == CMD_ID_cas || (cmd_is_packet(r) && r->cas != 0);
}

void cmd_set_failed(struct session *s, const struct request *r, enum store_status status) {
    if (replaces(s, r)) {
        struct store_delete d = {.key = r->key};
        cmd_moving_note_key(s, &r->key);
        (void)store_delete(s->worker->store, &d, NULL);
    }
    cmd_bump(s, status == STORE_TOO_LARGE ? CMD_METRIC_store_too_large : CMD_METRIC_store_no_memory);
    if (cmd_observed(s, CMD_OBSERVE_MUTATIONS)) cmd_watch_mutation(s, r->row->name, &r->key, status, 0, r->body_len);
}

void cmd_set_refuse(struct session *s, const struct request *r, enum store_status status) {
    const bool large = status == STORE_TOO_LARGE;
    cmd_set_failed(s, r, status);
    if (cmd_is_packet(r) && large)
        packet_error(s, r, BINARY_TOO_LARGE);
    else if (cmd_is_packet(r))
        packet_no_memory(s, r, "allocating item");
    else if (large)
        cmd_reply_lit(s, r, "SERVER_ERROR object too large for cache");
    else
        cmd_reply_lit(s, r, "SERVER_ERROR out of memory storing object");
}

static enum store_mode mode_of(const struct request *r) {
    switch (r->row->id) {
    case CMD_ID_add: return STORE_ADD;
    case CMD_ID_replace: return STORE_REPLACE;
    case CMD_ID_append: return STORE_APPEND;
    case CMD_ID_prepend: return STORE_PREPEND;
    default: return STORE_SET;
    }
}

static void note_set(struct session *s, const struct request *r, const struct store_put *put, enum store_status st) {
    if (cmd_observed(s, CMD_OBSERVE_MUTATIONS))
        cmd_watch_mutation(s, r->row->name, &r->key, st, put->expiry, put->size);
    if (cmd_observed(s, CMD_OBSERVE_TAGS) && st == STORE_OK && put->ntags > 0)
        cmd_watch_tags(s, r->row->name, &r->key, put->ntags);
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) cmd_detail_count(s, CMD_DETAIL_SET, r->key.p, r->key.len);
}

static void count_cas(struct session *s, enum store_status st) {
    if (st == STORE_OK)
        cmd_bump(s, CMD_METRIC_cas_hits);
    else if (st == STORE_EXISTS)
        cmd_bump(s, CMD_METRIC_cas_badval);
    else if (st == STORE_NOT_FOUND)
        cmd_bump(s, CMD_METRIC_cas_misses);
}

enum store_status cmd_set_store(struct session *s, struct request *r, struct store_item *out) {
    struct cmd_worker *w = s->worker;
    struct store_put put = {
        .key = r->key,
        .value = r->body,
        .size = r->body_len,
        .upload = r->upload,
        .mode = mode_of(r),
        .flags = r->flags,
        .expiry = cmd_expiry(s, r->exptime),
        .bits = r->base64 ? STORE_B64 : 0,
        .guarded = is_guarded(r),
        .guard = r->cas,
    };
    if (unlikely(r->suffix == KEYTAGS_TAGS)) {
        cmd_tag_begin(s);
        (void)cmd_tag_add_list(s, r->list, r->list_len); /* parsing found that they fit */
        put.tags = w->tags;
        put.ntags = w->ntags;
    }
    struct store_item it;
    const bool joins = put.mode == STORE_APPEND || put.mode == STORE_PREPEND;
    if (joins && out == NULL) out = &it;
    enum store_status st = store_put(w->store, &put, out);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_retry_later(s);
        return st;
    }
    if (joins && st == STORE_OK) put.size = out->size; /* watchers are told the size of the whole value */
    cmd_bump(s, CMD_METRIC_cmd_set);
    if (put.guarded) count_cas(s, st);
    if (put.ntags > 0 && st == STORE_OK) sync_bump(&w->metrics[CMD_METRIC_tags_stored], put.ntags);
    if (unlikely((w->observed & (CMD_OBSERVE_MUTATIONS | CMD_OBSERVE_TAGS | CMD_OBSERVE_DETAIL)) != 0))
        note_set(s, r, &put, st);
    if (st == STORE_OK) cmd_expiry_check(s, r->exptime, put.expiry);
    return st;
}

void cmd_set(struct session *s, struct request *r) {
    const enum store_status st = cmd_set_store(s, r, NULL);
    switch (st) {
    case STORE_AGAIN: break;
    case STORE_OK: cmd_reply_lit(s, r, "STORED"); break;
    case STORE_EXISTS: cmd_reply_lit(s, r, "EXISTS"); break;
    case STORE_NOT_FOUND: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY: cmd_set_refuse(s, r, st); break;
    case STORE_TOO_MANY: cmd_reply_lit(s, r, CMD_TOO_MANY_TAGS); break;
    default: cmd_reply_lit(s, r, "NOT_STORED"); break;
    }
}

unsigned cmd_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) {
    struct store_worker *w = s->worker->store;
    unsigned i = 0;
    while (i < n && r->path == CMD_PATH_SET) {
        if (cmd_hold_may(s->worker, r->key.hash)) break;
        const uint32_t expiry = cmd_expiry(s, r->exptime);
        if (unlikely(store_set(w, &r->key, r->body, r->body_len, r->flags, expiry, since, NULL) != STORE_OK)) break;
        cmd_expiry_check(s, r->exptime, expiry);
        cmd_line_lit(s, "STORED");
        i++;
        r++;
        if ((i & 15) == 0 && unlikely(conn_full(s->conn))) break;
    }
    sync_bump(&s->worker->metrics[CMD_METRIC_cmd_set], i);
    return i;
}

/* ------------------------------------------------------------------ incr and decr */

static void reply_number(struct session *s, const struct request *r, uint64_t v) {
    char text[24];
    cmd_reply(s, r, text, (size_t)(text_put_u64(text, v) - text));
}

enum store_status cmd_set_arith(struct session *s, const struct request *r, const struct store_arith *a,
                                uint64_t *number, bool *created, struct store_item *out) {
    struct store_item it;
    enum store_status st = STORE_NOT_FOUND;
    if (out == NULL) out = &it;
    if (!cmd_lease_hides_now(s, r)) st = store_arith(s->worker->store, a, number, created, out);
    if (st == STORE_OK && !*created && cmd_lease_hides(s, r, out))
        st = STORE_NOT_FOUND; /* another has replaced it meanwhile */
    if (st == STORE_AGAIN)
        cmd_retry_later(s);
    else if (st == STORE_OK && !*created)
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_hits : CMD_METRIC_incr_hits);
    else if (st == STORE_NOT_FOUND)
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_misses : CMD_METRIC_incr_misses);
    return st;
}

void cmd_incr(struct session *s, struct request *r) {
    struct store_arith a = {.key = r->key, .decrement = r->row->id == CMD_ID_decr};
    struct text_token word;
    size_t at = r->rest;
    uint64_t number;
    bool created;
    text_next(r->line, r->line_len, &at, &word);
    if (!text_u64(word.p, word.n, &a.delta)) {
        cmd_reply_lit(s, r, "CLIENT_ERROR invalid numeric delta argument");
        return;
    }
    if (r->suffix == KEYTAGS_PURGE) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) reply_number(s, r, number);
        return;
    }
    switch (cmd_set_arith(s, r, &a, &number, &created, NULL)) {
    case STORE_OK: reply_number(s, r, number); break;
    case STORE_AGAIN: break;
    case STORE_NON_NUMERIC: cmd_reply_lit(s, r, "CLIENT_ERROR cannot increment or decrement non-numeric value"); break;
    case STORE_NOT_FOUND: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    default: cmd_reply_lit(s, r, "SERVER_ERROR out of memory"); break;
    }
}

/* ------------------------------------------------------------------ delete */

enum store_status cmd_set_delete(struct session *s, const struct request *r) {
    struct store_delete d = {.key = r->key, .guarded = is_guarded(r), .guard = r->cas};
    struct store_item it;
    const enum store_status st = store_delete(s->worker->store, &d, &it);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_retry_later(s);
        return st;
    }
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) cmd_detail_count(s, CMD_DETAIL_DELETE, r->key.p, r->key.len);
    if (st == STORE_OK) {
        cmd_bump(s, CMD_METRIC_delete_hits);
        if (cmd_observed(s, CMD_OBSERVE_DELETIONS)) cmd_watch_deletion(s, "delete", &r->key, it.size);
    } else if (st != STORE_EXISTS) {
        cmd_bump(s, CMD_METRIC_delete_misses);
    }
    return st;
}

void cmd_delete(struct session *s, struct request *r) {
    uint64_t number;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) cmd_reply_lit(s, r, "DELETED");
        return;
    }
    switch (cmd_set_delete(s, r)) {
    case STORE_AGAIN: break;
    case STORE_OK: cmd_reply_lit(s, r, "DELETED"); break;
    default: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    }
}
