/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_meta_get - mg, and me. */
#include "cmd/cmd_meta.h"

#include "proto/base64.h"

/* ------------------------------------------------------------------ mg */

/* What a meta get found, and how. */
struct mg {
    struct store_item it;
    enum store_win win;
    bool created;
    uint32_t old_expiry;
};

/* Whether flag a comes before flag b, both being there. */
static bool comes_before(const struct meta *m, char a, char b) {
    unsigned i = 0;
    while (m->order[i] != a && m->order[i] != b) i++;
    return m->order[i] == a;
}

static enum store_status change(struct session *s, struct request *r, struct mg *g) {
    const struct meta *m = &s->worker->meta;
    struct store_worker *w = s->worker->store;
    struct store_meta_get get = {.key = r->key, .read = s->worker->read, .nread = s->worker->nread};
    g->win = STORE_WIN_NONE;
    if (meta_has(m, 'N')) {
        get.vivify = true;
        get.vivify_expiry = cmd_expiry(s, cmd_meta_vivified(m));
        get.has_cas = meta_has(m, 'E');
        get.cas = m->id;
        get.bits = meta_has(m, 'b') ? STORE_B64 : 0;
        get.tags = s->worker->tags;
        get.ntags = s->worker->ntags;
    }
    if (meta_has(m, 'R')) {
        /* An item with less than this left to live is refilled; a time point means what is left until then. */
        uint32_t until = cmd_expiry(s, m->recache), now = store_now(w);
        get.recache = until > now;
        get.recache_s = until - now;
    }
    if (!meta_has(m, 'T')) return store_meta_get(w, &get, &g->it, &g->win, &g->created, &g->old_expiry);
    if (get.recache && comes_before(m, 'R', 'T')) {
        /* R looks at the time to live that there was before T: two steps. */
        enum store_status st = store_meta_get(w, &get, &g->it, &g->win, &g->created, &g->old_expiry);
        if (st != STORE_OK || g->created) return st;
        get.recache = false;
    }
    const enum store_win won = get.recache || !meta_has(m, 'R') ? STORE_WIN_NONE : g->win;
    get.touch = true;
    get.expiry = cmd_expiry(s, m->ttl);
    enum store_status st = store_meta_get(w, &get, &g->it, &g->win, &g->created, &g->old_expiry);
    if (won == STORE_WIN_WON) g->win = won;
    return st;
}

static enum store_status look_up(struct session *s, struct request *r, struct mg *g) {
    const struct meta *m = &s->worker->meta;
    struct store_worker *w = s->worker->store;
    if ((m->have & (META_BIT('N') | META_BIT('R') | META_BIT('T'))) != 0) return change(s, r, g);
    bool found;
    if (unlikely(s->worker->nread > 0))
        found = store_get_read(w, &r->key, s->worker->read, s->worker->nread, !meta_has(m, 'u'), &g->it);
    else
        found = meta_has(m, 'u') ? store_peek(w, &r->key, &g->it) : store_get(w, &r->key, &g->it);
    if (!found) return STORE_NOT_FOUND;
    /* A stale item that nobody refills yet: this reader may win it. */
    if (unlikely(g->it.soft || (g->it.bits & STORE_REARMED) || (g->it.bits & (STORE_STALE | STORE_WON)) == STORE_STALE))
        return change(s, r, g);
    g->win = (g->it.bits & STORE_WON) != 0 ? STORE_WIN_OTHERS : STORE_WIN_NONE;
    g->created = false;
    return STORE_OK;
}

static void put_found(struct head *h, struct request *r, const struct mg *g) {
    struct session *s = h->s;
    const struct meta *m = &s->worker->meta;
    const struct store_item *it = &g->it;
    uint32_t expiry = g->created ? 0 : meta_has(m, 'T') ? g->old_expiry : it->expiry;
    for (unsigned i = 0; i < m->norder; i++) {
        switch (m->order[i]) {
        case 'T':
        case 'N':
            if (g->created || m->order[i] == 'T')
                expiry = g->created ? cmd_expiry(s, m->order[i] == 'T' ? m->ttl : m->vivify) : it->expiry;
            break;
        case 's': head_put_flag(h, 's', it->size); break;
        case 't': head_put_ttl(h, expiry); break;
        case 'c': head_put_flag(h, 'c', cmd_cas(s, it)); break;
        case 'f': head_put_flag(h, 'f', it->flags); break;
        case 'g': head_put_flag(h, 'g', it->ntags); break;
        case 'h': head_put_flag(h, 'h', (it->bits & STORE_FETCHED) != 0); break;
        case 'l': head_put_flag(h, 'l', store_item_age(s->worker->store, it)); break;
        case 'O': head_put_opaque(h); break;
        case 'k': cmd_meta_put_key(h, r, (it->bits & STORE_B64) != 0); break;
        default: break;
        }
    }
    if (unlikely(g->win == STORE_WIN_OTHERS)) head_put(h, " Z", 2);
    if (unlikely((it->bits & STORE_STALE) != 0)) head_put(h, " X", 2);
    if (unlikely(g->win == STORE_WIN_WON)) head_put(h, " W", 2);
    head_put(h, "\r\n", 2);
}

static void reply_found(struct session *s, struct request *r, const struct mg *g) {
    const struct meta *m = &s->worker->meta;
    const struct store_item *it = &g->it;
    bool value = meta_has(m, 'v');
    if (value && meta_has(m, 'C') && m->cas == cmd_cas(s, it)) value = false; /* the client has it */
    const bool copy = value && cmd_value_fits(it);
    struct head h;
    head_begin(&h, s, copy ? it->size + 2 : 0);
    if (value) {
        head_put(&h, "VA ", 3);
        h.out = text_put_u64(h.out, it->size);
    } else {
        head_put(&h, "HD", 2);
    }
    char *begin = h.begin;
    put_found(&h, r, g);
    if (copy && likely(h.begin == begin)) {
        head_put(&h, it->value, it->size);
        head_put(&h, "\r\n", 2);
        head_end(&h);
        return;
    }
    head_end(&h);
    if (value) cmd_value(s, it, "\r\n", 2);
}

static void note_mg(struct session *s, const struct request *r, const struct store_item *it) {
    const bool touch = meta_has(&s->worker->meta, 'T');
    cmd_bump(s, touch ? CMD_METRIC_cmd_touch : CMD_METRIC_cmd_get);
    if (touch)
        cmd_bump(s, it != NULL ? CMD_METRIC_touch_hits : CMD_METRIC_touch_misses);
    else
        cmd_bump(s, it != NULL ? CMD_METRIC_get_hits : CMD_METRIC_get_misses);
    if (likely(!cmd_noted(s, CMD_NOTE_FETCHERS | CMD_NOTE_DETAIL))) return;
    if (cmd_noted(s, CMD_NOTE_DETAIL)) {
        cmd_detail(s, CMD_DETAIL_GET, r->key.p, r->key.len);
        if (it != NULL) cmd_detail(s, CMD_DETAIL_HIT, r->key.p, r->key.len);
    }
    if (cmd_noted(s, CMD_NOTE_FETCHERS))
        cmd_watch_fetch(s, r->key.p, r->key.len, it, it != NULL ? "found" : "not_found");
}

void cmd_mg(struct session *s, struct request *r) {
    struct mg g;
    enum meta_error e = cmd_meta_read(s, r, 2, META_ALLOW_TAGS | META_ALLOW_READ);
    if (unlikely(e != META_OK)) {
        cmd_meta_error(s, e);
        return;
    }
    const struct meta *m = &s->worker->meta;
    if (!cmd_meta_tags(s, r)) return;
    enum store_status st = look_up(s, r, &g);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_again(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    note_mg(s, r, st == STORE_OK ? &g.it : NULL);
    if (st != STORE_OK) {
        if (!meta_has(m, 'q')) cmd_meta_reply(s, r, "EN");
        return;
    }
    if (unlikely(g.created)) cmd_born(s, cmd_meta_vivified(m), g.it.expiry);
    reply_found(s, r, &g);
    if (unlikely((g.it.bits & STORE_FETCHED) == 0) && !meta_has(m, 'u')) store_note_fetch(s->worker->store, &g.it);
}

/* ------------------------------------------------------------------ me */

/* Whether all words from r->rest on begin as flags do. */
static bool are_flags(const struct request *r) {
    struct text_token word;
    size_t at = r->rest;
    while (text_next(r->line, r->line_len, &at, &word)) {
        const unsigned char c = (unsigned char)*word.p;
        if ((unsigned char)((c | 0x20) - 'a') >= 26 && (unsigned char)(c - '0') >= 10) return false;
    }
    return true;
}

void cmd_me(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    struct text_token words[3];
    struct store_item it;
    char key[SHORT_KEY * 4 / 3 + 4];
    unsigned n = cmd_split(r, words, 3);
    cmd_bump(s, CMD_METRIC_cmd_meta);
    if (n >= 3 && text_is_lit(&words[2], "b")) {
        size_t len = words[1].n <= STORE_KEY_MAX ? base64_decode(words[1].p, words[1].n, w->decoded) : 0;
        if (len == 0 || !cmd_set_key(s, r, w->decoded, len, true)) r->key.len = 0;
    }
    if (r->key.len == 0 || !are_flags(r)) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
        return;
    }
    if (!store_peek(w->store, &r->key, &it)) {
        cmd_line_lit(s, "EN");
        return;
    }
    size_t len = r->key.len;
    if ((it.bits & STORE_B64) != 0)
        len = base64_encode(r->key.p, r->key.len, key);
    else
        memcpy(key, r->key.p, len);
    cmd_linef(s, "ME %.*s exp=%lld la=%lu cas=%llu fetch=%s cls=1 size=%llu", (int)len, key,
              (long long)cmd_ttl(s, it.expiry), (unsigned long)store_item_age(w->store, &it),
              (unsigned long long)cmd_cas(s, &it), (it.bits & STORE_FETCHED) != 0 ? "yes" : "no",
              (unsigned long long)(it.size + it.key_len));
}
