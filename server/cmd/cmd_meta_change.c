/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta_change - md and ma. */
#include "base/check.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_purge.h"
#include "cmd/cmd_value.h"
#include "cmd/cmd_watch.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ md */

static void fill_delete(struct session *s, const struct request *r, struct store_delete *d) {
    const struct meta *m = &s->worker->meta;
    d->key = r->key;
    d->guarded = meta_has(m, 'C');
    d->guard = m->cas;
    d->invalidate = meta_has(m, 'I');
    d->clear = meta_has(m, 'x');
    if (!d->invalidate && !d->clear) return;
    d->set_expiry = meta_has(m, 'T');
    if (d->set_expiry) d->expiry = cmd_expiry(s, m->ttl);
    d->has_cas = meta_has(m, 'E');
    d->cas = m->id;
    d->flags = meta_has(m, 'F') ? m->flags : 0;
}

void cmd_md(struct session *s, struct request *r) {
    struct store_delete d = {.key = {0}};
    struct store_item it;
    uint64_t number;
    enum meta_error e = cmd_meta_read(s, r, 2, META_MD);
    if (unlikely(e != META_OK)) {
        cmd_meta_error(s, e);
        return;
    }
    const bool quiet = meta_has(&s->worker->meta, 'q'),
               keeps = meta_has(&s->worker->meta, 'I') && !meta_has(&s->worker->meta, 'x');
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number) && !quiet) cmd_meta_reply(s, r, "HD");
        if (!s->worker->retry) cmd_bump(s, CMD_METRIC_cmd_meta);
        return;
    }
    fill_delete(s, r, &d);
    enum store_status st = store_delete(s->worker->store, &d, &it);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_retry_later(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    cmd_bump(s, st == STORE_OK ? CMD_METRIC_delete_hits : CMD_METRIC_delete_misses);
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) cmd_detail_count(s, CMD_DETAIL_DELETE, r->key.p, r->key.len);
    switch (st) {
    case STORE_OK:
        if (!keeps && cmd_observed(s, CMD_OBSERVE_DELETIONS)) cmd_watch_deletion(s, "md", &r->key, it.size);
        if (!quiet) cmd_meta_reply(s, r, "HD");
        break;
    case STORE_EXISTS: cmd_meta_reply(s, r, "EX"); break;
    case STORE_NO_MEMORY: cmd_line_lit(s, "SERVER_ERROR out of memory"); break;
    default: cmd_meta_reply(s, r, "NF"); break;
    }
}

/* ------------------------------------------------------------------ ma */

/* Answers HD, or, if v is among the flags, the number. it NULL: there is no item to show flags of. */
static void reply_ma(struct session *s, struct request *r, uint64_t number, const struct store_item *it, bool created,
                     uint32_t old_expiry) {
    const struct meta *m = &s->worker->meta;
    char digits[24];
    const size_t n = (size_t)(text_put_u64(digits, number) - digits);
    uint32_t expiry = created ? 0 : old_expiry;
    struct head h;
    if (meta_has(m, 'q')) return;
    head_begin(&h, s, sizeof(digits) + 2);
    if (meta_has(m, 'v')) {
        head_put(&h, "VA ", 3);
        h.out = text_put_u64(h.out, n);
    } else {
        head_put(&h, "HD", 2);
    }
    for (unsigned i = 0; i < m->norder; i++) {
        switch (m->order[i]) {
        case 'c':
            if (it != NULL) head_put_flag(&h, 'c', cmd_value_cas(s, it));
            break;
        case 't':
            if (it != NULL) head_put_signed(&h, 't', cmd_expiry_ttl(s, expiry));
            break;
        case 'T':
        case 'N':
            if (created || m->order[i] == 'T') expiry = cmd_expiry(s, m->order[i] == 'T' ? m->ttl : m->vivify);
            break;
        case 'O': head_put_opaque(&h); break;
        case 'k': cmd_meta_put_key(&h, r, meta_has(m, 'b')); break;
        default: break;
        }
    }
    head_put(&h, "\r\n", 2);
    if (meta_has(m, 'v')) {
        head_end(&h);
        digits[n] = '\r';
        digits[n + 1] = '\n';
        conn_write(s->conn, digits, n + 2);
        return;
    }
    head_end(&h);
}

/* Fills *a from the flags. False: answered. */
static bool fill_arith(struct session *s, const struct request *r, struct store_arith *a) {
    const struct meta *m = &s->worker->meta;
    switch (meta_has(m, 'M') ? m->mode : 'I') {
    case 'I':
    case '+': break;
    case 'D':
    case '-': a->decrement = true; break;
    default: cmd_line_lit(s, "CLIENT_ERROR invalid mode for ma M token"); return false;
    }
    a->key = r->key;
    a->delta = meta_has(m, 'D') ? m->delta : 1;
    a->guarded = meta_has(m, 'C') && m->cas != 0; /* 0 is any version, as in memcached */
    a->guard = m->cas;
    a->has_cas = meta_has(m, 'E');
    a->cas = m->id;
    a->vivify = meta_has(m, 'N');
    a->initial = meta_has(m, 'J') ? m->initial : 0;
    a->vivify_expiry = a->vivify ? cmd_expiry(s, cmd_meta_vivified(m)) : 0;
    a->set_expiry = meta_has(m, 'T');
    a->expiry = a->set_expiry ? cmd_expiry(s, m->ttl) : 0;
    a->bits = meta_has(m, 'b') ? STORE_B64 : 0;
    return true;
}

static void answer_ma(struct session *s, struct request *r, const struct store_arith *a) {
    struct store_worker *w = s->worker->store;
    struct store_item it, before;
    uint64_t number;
    bool created;
    uint32_t old_expiry = 0;
    /* t before T shows the expiry that there was. */
    const bool peek = a->set_expiry && meta_has(&s->worker->meta, 't');
    if (peek && store_peek(w, &r->key, &before)) old_expiry = before.expiry;
    enum store_status st = STORE_NOT_FOUND;
    if (!cmd_lease_hides_now(s, r)) st = store_arith(w, a, &number, &created, &it);
    if (st == STORE_OK && !created && cmd_lease_hides(s, r, &it)) st = STORE_NOT_FOUND; /* replaced meanwhile */
    if (st == STORE_AGAIN) {
        cmd_retry_later(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    switch (st) {
    case STORE_OK:
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_hits : CMD_METRIC_incr_hits);
        if (created) cmd_expiry_check(s, cmd_meta_vivified(&s->worker->meta), it.expiry);
        reply_ma(s, r, number, &it, created, peek ? old_expiry : it.expiry);
        break;
    case STORE_NOT_FOUND:
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_misses : CMD_METRIC_incr_misses);
        cmd_meta_reply(s, r, "NF");
        break;
    case STORE_EXISTS: cmd_meta_reply(s, r, "EX"); break;
    case STORE_NOT_STORED: cmd_meta_reply(s, r, "NS"); break;
    case STORE_NON_NUMERIC: cmd_line_lit(s, "CLIENT_ERROR cannot increment or decrement non-numeric value"); break;
    default: cmd_line_lit(s, "SERVER_ERROR out of memory"); break;
    }
}

void cmd_ma(struct session *s, struct request *r) {
    struct store_arith a = {.key = {0}};
    uint64_t number;
    enum meta_error e = cmd_meta_read(s, r, 2, META_MA);
    if (e != META_OK && e != META_OPAQUE) {
        if (e == META_FORMAT && (r->key.len == 0 || s->worker->wire.n > STORE_KEY_MAX))
            cmd_meta_error(s, e); /* the error is that the key is none */
        else
            cmd_line_lit(s, "CLIENT_ERROR invalid or duplicate flag");
        return;
    }
    if (!fill_arith(s, r, &a)) return;
    if (e != META_OK) {
        cmd_meta_error(s, e);
        return;
    }
    if (!cmd_meta_tags(s, r)) return;
    a.tags = s->worker->tags;
    a.ntags = s->worker->ntags;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) reply_ma(s, r, number, NULL, false, 0);
        if (!s->worker->retry) cmd_bump(s, CMD_METRIC_cmd_meta);
        return;
    }
    answer_ma(s, r, &a);
}
