/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_meta_set.h"

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_hold.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_set.h"
#include "cmd/cmd_value.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/meta.h"
#include "store/store.h"

static bool mode_of(const struct meta *m, enum store_mode *mode) {
    *mode = STORE_SET;
    if (!meta_has(m, 'M')) return true;
    switch (m->mode) {
    case 'E': *mode = STORE_ADD; return true;
    case 'A': *mode = STORE_APPEND; return true;
    case 'P': *mode = STORE_PREPEND; return true;
    case 'R': *mode = STORE_REPLACE; return true;
    case 'S': return true;
    default: return false;
    }
}

bool cmd_meta_set_valid(struct session *s, struct request *r) {
    enum store_mode mode;
    enum meta_error e = cmd_meta_read(s, r, 3, META_MS);
    if (e != META_OK && e != META_OPAQUE) {
        cmd_meta_error(s, e);
        return false;
    }
    if (!mode_of(&s->worker->meta, &mode)) {
        cmd_line_lit(s, "CLIENT_ERROR invalid mode for ms M token");
        return false;
    }
    if (e != META_OK) {
        cmd_meta_error(s, e);
        return false;
    }
    return cmd_meta_tags(s, r);
}

static void fill_put(struct session *s, const struct request *r, struct store_put *p) {
    const struct meta *m = &s->worker->meta;
    (void)mode_of(m, &p->mode);
    const bool joins = p->mode == STORE_APPEND || p->mode == STORE_PREPEND;
    p->key = r->key;
    p->value = r->body;
    p->size = r->body_len;
    p->upload = r->upload;
    p->flags = meta_has(m, 'F') ? m->flags : 0;
    p->expiry = meta_has(m, 'T') ? cmd_expiry(s, m->ttl) : 0;
    p->bits = meta_has(m, 'b') ? STORE_B64 : 0;
    if (meta_has(m, 'C') && p->mode != STORE_ADD) { /* an add stores only if there is none: C adds nothing */
        p->guarded = !joins || m->cas != 0;         /* append and prepend take 0 for any version, as in memcached */
        p->guard = m->cas;
        p->invalidate = meta_has(m, 'I') && !joins;
        if (p->mode == STORE_REPLACE) p->mode = STORE_SET; /* the guard finds a missing one, so the answer is NF */
    }
    p->has_cas = meta_has(m, 'E');
    p->cas = m->id;
    if (joins && meta_has(m, 'N')) {
        p->vivify = true;
        p->vivify_expiry = cmd_expiry(s, m->vivify);
    }
    p->tags = s->worker->tags;
    p->ntags = s->worker->ntags;
}

static void reply_ms(struct session *s, struct request *r, const char *status, uint64_t cas, uint64_t size) {
    const struct meta *m = &s->worker->meta;
    struct head h;
    head_begin(&h, s, 0);
    head_put(&h, status, 2);
    for (unsigned i = 0; i < m->norder; i++) {
        switch (m->order[i]) {
        case 'O': head_put_opaque(&h); break;
        case 'k': cmd_meta_put_key(&h, r, meta_has(m, 'b')); break;
        case 'c': head_put_flag(&h, 'c', cas); break;
        case 's': head_put_flag(&h, 's', size); break;
        default: break;
        }
    }
    head_put(&h, "\r\n", 2);
    head_end(&h);
}

/* The classic command that does the same: memcached's watchers are told that name. */
static const char *classic_name(const struct meta *m) {
    if (meta_has(m, 'C')) return "cas";
    switch (meta_has(m, 'M') ? m->mode : 'S') {
    case 'E': return "add";
    case 'A': return "append";
    case 'P': return "prepend";
    case 'R': return "replace";
    default: return "set";
    }
}

static void note_ms(struct session *s, const struct request *r, const struct store_put *p, enum store_status st) {
    if (p->guarded && st == STORE_OK) cmd_bump(s, CMD_METRIC_cas_hits);
    if (p->guarded && st == STORE_EXISTS) cmd_bump(s, CMD_METRIC_cas_badval);
    if (p->guarded && st == STORE_NOT_FOUND) cmd_bump(s, CMD_METRIC_cas_misses);
    if (p->ntags > 0 && st == STORE_OK) sync_bump(&s->worker->metrics[CMD_METRIC_tags_stored], p->ntags);
    if (cmd_observed(s, CMD_OBSERVE_MUTATIONS))
        cmd_watch_mutation(s, classic_name(&s->worker->meta), &r->key, st, p->expiry, p->size);
    if (cmd_observed(s, CMD_OBSERVE_TAGS) && st == STORE_OK && p->ntags > 0) cmd_watch_tags(s, "ms", &r->key, p->ntags);
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) cmd_detail_count(s, CMD_DETAIL_SET, r->key.p, r->key.len);
}

void cmd_ms(struct session *s, struct request *r) {
    struct store_put p = {.key = {0}};
    struct store_item it;
    if (unlikely(!cmd_meta_set_valid(s, r))) return;
    fill_put(s, r, &p);
    enum store_status st = store_put(s->worker->store, &p, &it);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_retry_later(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    cmd_bump(s, CMD_METRIC_cmd_set);
    if (st == STORE_OK) p.size = it.size; /* of the whole value, for append and prepend */
    note_ms(s, r, &p, st);
    switch (st) {
    case STORE_OK:
        cmd_expiry_check(s, p.vivify ? s->worker->meta.vivify : s->worker->meta.ttl, it.expiry);
        if (!meta_has(&s->worker->meta, 'q')) reply_ms(s, r, "HD", cmd_value_cas(s, &it), it.size);
        break;
    case STORE_EXISTS: reply_ms(s, r, "EX", 0, r->body_len); break;
    case STORE_NOT_FOUND:
        /* Append and prepend answer NS when there is nothing to join to, guarded or not. */
        reply_ms(s, r, p.mode == STORE_SET ? "NF" : "NS", 0, r->body_len);
        break;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY: cmd_set_refuse(s, r, st); break;
    case STORE_TOO_MANY: cmd_line_lit(s, CMD_TOO_MANY_TAGS); break;
    default: reply_ms(s, r, "NS", 0, r->body_len); break;
    }
}

/* ------------------------------------------------------------------ usual lines */

/* Answers a usual line whose value was stored. */
static inline void reply_usual(struct session *s, const struct request *r, uint64_t cas) {
    const char *p = r->line + r->rest;
    struct head h;
    char letter;
    head_begin(&h, s, 0);
    head_put(&h, "HD", 2);
    while ((p = meta_next_usual(&r->meta, p, &letter)) != NULL) {
        switch (letter) {
        case 'O': head_put_echo(&h, 'O', r->meta.opaque.p, r->meta.opaque.n); break;
        case 'k': head_put_echo(&h, 'k', r->raw_key, r->raw_key_len); break;
        case 'c': head_put_flag(&h, 'c', cas); break;
        case 's': head_put_flag(&h, 's', r->body_len); break;
        default: break;
        }
    }
    head_put(&h, "\r\n", 2);
    head_end(&h);
}

/* Stores the value of a usual line. *cas: its id, if the line asks for it. since: as for store_set. */
static inline enum store_status put_usual(struct session *s, const struct request *r, uint32_t expiry, uint64_t since,
                                          uint64_t *cas) {
    struct store_worker *w = s->worker->store;
    if (likely(!meta_usual_has(&r->meta, 'c')))
        return store_set(w, &r->key, r->body, r->body_len, r->meta.flags, expiry, since, NULL);
    struct store_item it;
    const enum store_status st = store_set(w, &r->key, r->body, r->body_len, r->meta.flags, expiry, since, &it);
    if (st == STORE_OK) *cas = cmd_value_cas(s, &it);
    return st;
}

unsigned cmd_meta_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) {
    const uint64_t shown = META_BIT('O') | META_BIT('k') | META_BIT('c') | META_BIT('s');
    struct cmd_worker *w = s->worker;
    unsigned i = 0;
    while (i < n && r->path == CMD_PATH_MS) {
        if (cmd_hold_may(w, r->key.hash)) break;
        const uint32_t expiry = cmd_expiry(s, r->meta.ttl);
        uint64_t cas = 0;
        if (unlikely(put_usual(s, r, expiry, since, &cas) != STORE_OK)) break;
        cmd_expiry_check(s, r->meta.ttl, expiry);
        if (!meta_usual_has(&r->meta, 'q')) {
            if ((r->meta.have & shown) == 0)
                cmd_line_lit(s, "HD");
            else
                reply_usual(s, r, cas);
        }
        i++;
        r++;
        if ((i & 15) == 0 && unlikely(conn_full(s->conn))) break;
    }
    sync_bump(&w->metrics[CMD_METRIC_cmd_meta], i);
    sync_bump(&w->metrics[CMD_METRIC_cmd_set], i);
    return i;
}
