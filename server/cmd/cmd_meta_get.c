/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_meta_get.h"

#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_detail.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_lease.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_value.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/base64.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

/* ------------------------------------------------------------------ mg */

/* What a meta get found, and what it did. */
struct mg {
    struct store_item it;
    enum store_win win;
    bool created;
    uint32_t old_expiry;
};

/* Whether flag a comes before flag b in a line that has both. */
static bool comes_before(const struct meta *m, char a, char b) {
    unsigned i = 0;
    while (m->order[i] != a && m->order[i] != b) i++;
    return m->order[i] == a;
}

static enum store_status get_and_change(struct session *s, struct request *r, struct mg *g) {
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
        /* The reader wins an item that has less than this left to live; of a unix time, what is left until then. */
        uint32_t until = cmd_expiry(s, m->recache), now = store_now(w);
        get.recache = until > now;
        get.recache_s = until - now;
    }
    if (!meta_has(m, 'T')) return store_meta_get(w, &get, &g->it, &g->win, &g->created, &g->old_expiry);
    if (get.recache && comes_before(m, 'R', 'T')) {
        /* R stands before T and looks at the old time to live: so it is done first, and T in a second call. */
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
    if ((m->have & (META_BIT('N') | META_BIT('R') | META_BIT('T'))) != 0) return get_and_change(s, r, g);
    bool found;
    if (unlikely(s->worker->nread > 0))
        found = store_get_read(w, &r->key, s->worker->read, s->worker->nread, !meta_has(m, 'u'), &g->it);
    else
        found = meta_has(m, 'u') ? store_peek(w, &r->key, &g->it) : store_get(w, &r->key, &g->it);
    if (!found) return STORE_NOT_FOUND;
    /* A stale item that nobody refills yet: this reader may win the right to. */
    if (unlikely(g->it.soft || (g->it.bits & STORE_REARMED) || (g->it.bits & (STORE_STALE | STORE_WON)) == STORE_STALE))
        return get_and_change(s, r, g);
    g->win = (g->it.bits & STORE_WON) != 0 ? STORE_WIN_OTHERS : STORE_WIN_NONE;
    g->created = false;
    return STORE_OK;
}

/* Writes what a flag shows of an item, as its row in meta.def says. expiry: the item's as of this flag; usual: the line
 * was read by meta_read_usual. */
static inline __attribute__((always_inline)) void put_flag(struct head *h, const struct request *r, char letter,
                                                           const struct store_item *it, uint32_t expiry, bool usual) {
    const struct session *s = h->s;
#define SHOW_NOTHING ((void)0)
#define SHOW_NUMBER(value) head_put_flag(h, letter, (value))
#define SHOW_SIGNED(value) head_put_signed(h, letter, (value))
#define SHOW_KEY                                                                                                       \
    usual ? head_put_echo(h, 'k', r->raw_key, r->raw_key_len) : cmd_meta_put_key(h, r, (it->bits & STORE_B64) != 0)
#define SHOW_OPAQUE usual ? head_put_echo(h, 'O', r->meta.opaque.p, r->meta.opaque.n) : head_put_opaque(h)
    switch (letter) {
#define META_FLAG(character, argument, commands, kind, member, error, quick, shows, ...)                               \
    case character:                                                                                                    \
        SHOW_##shows;                                                                                                  \
        break;
#include "proto/meta.def"
#undef META_FLAG
    default: break;
    }
}

static void put_found(struct head *h, struct request *r, const struct mg *g) {
    const struct meta *m = &h->s->worker->meta;
    const struct store_item *it = &g->it;
    uint32_t expiry = g->created ? 0 : meta_has(m, 'T') ? g->old_expiry : it->expiry;
    for (unsigned i = 0; i < m->norder; i++) {
        const char letter = m->order[i];
        if (letter == 'T' || (letter == 'N' && g->created))
            expiry = g->created ? cmd_expiry(h->s, letter == 'T' ? m->ttl : m->vivify) : it->expiry;
        put_flag(h, r, letter, it, expiry, false);
    }
    if (unlikely(g->win == STORE_WIN_OTHERS)) head_put(h, " Z", 2);
    if (unlikely((it->bits & STORE_STALE) != 0)) head_put(h, " X", 2);
    if (unlikely(g->win == STORE_WIN_WON)) head_put(h, " W", 2);
    head_put(h, "\r\n", 2);
}

/* Begins a reply with its status: the value's size if the value follows. `copied`: it is copied behind the flags. */
static inline void head_begin_found(struct head *h, struct session *s, const struct store_item *it, bool value,
                                    bool copied) {
    head_begin(h, s, copied ? it->size + 2 : 0);
    if (value) {
        head_put(h, "VA ", 3);
        h->out = text_put_u64(h->out, it->size);
    } else {
        head_put(h, "HD", 2);
    }
}

static void reply_found(struct session *s, struct request *r, const struct mg *g) {
    const struct meta *m = &s->worker->meta;
    const struct store_item *it = &g->it;
    bool value = meta_has(m, 'v');
    if (value && meta_has(m, 'C') && m->cas == cmd_value_cas(s, it)) value = false; /* the client has that version */
    const bool copy = value && cmd_value_fits(it);
    struct head h;
    head_begin_found(&h, s, it, value, copy);
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
    if (likely(!cmd_observed(s, CMD_OBSERVE_FETCHERS | CMD_OBSERVE_DETAIL))) return;
    if (cmd_observed(s, CMD_OBSERVE_DETAIL)) {
        cmd_detail_count(s, CMD_DETAIL_GET, r->key.p, r->key.len);
        if (it != NULL) cmd_detail_count(s, CMD_DETAIL_HIT, r->key.p, r->key.len);
    }
    if (cmd_observed(s, CMD_OBSERVE_FETCHERS))
        cmd_watch_fetch(s, r->key.p, r->key.len, it, it != NULL ? "found" : "not_found");
}

void cmd_mg(struct session *s, struct request *r) {
    struct mg g;
    enum meta_error e = cmd_meta_read(s, r, 2, META_MG);
    if (unlikely(e != META_OK)) {
        cmd_meta_error(s, e);
        return;
    }
    const struct meta *m = &s->worker->meta;
    if (!cmd_meta_tags(s, r)) return;
    /* Another node has to be told before anything is won or touched that the answer is too large. */
    if (s->role == CMD_ROLE_PEER && meta_has(m, 'v') && store_peek(s->worker->store, &r->key, &g.it) &&
        cmd_value_too_large(s, &g.it))
        return;
    enum store_status st = cmd_lease_none(s) ? STORE_NOT_FOUND : look_up(s, r, &g);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_retry_later(s);
        return;
    }
    if (st == STORE_OK && !g.created && cmd_lease_hides(s, r, &g.it)) st = STORE_NOT_FOUND;
    cmd_bump(s, CMD_METRIC_cmd_meta);
    note_mg(s, r, st == STORE_OK ? &g.it : NULL);
    if (st != STORE_OK) {
        if (!meta_has(m, 'q')) cmd_meta_reply(s, r, "EN");
        return;
    }
    if (unlikely(g.created)) cmd_expiry_check(s, cmd_meta_vivified(m), g.it.expiry);
    reply_found(s, r, &g);
    if (unlikely((g.it.bits & STORE_FETCHED) == 0) && !meta_has(m, 'u')) store_note_fetch(s->worker->store, &g.it);
}

/* ------------------------------------------------------------------ usual lines */

/* Answers a usual line with an item that is neither stale nor won nor stored in base64. */
static inline void reply_usual(struct session *s, const struct request *r, const struct store_item *it) {
    const bool value = meta_usual_has(&r->meta, 'v'), copy = value && cmd_value_fits(it);
    const char *p = r->line + r->rest;
    struct head h;
    char letter;
    if (unlikely(value && !copy) && cmd_value_too_large(s, it)) return;
    head_begin_found(&h, s, it, value, copy);
    while ((p = meta_next_usual(&r->meta, p, &letter)) != NULL) put_flag(&h, r, letter, it, it->expiry, true);
    head_put(&h, "\r\n", 2);
    if (copy) {
        head_put(&h, it->value, it->size);
        head_put(&h, "\r\n", 2);
    }
    head_end(&h);
    if (unlikely(value && !copy)) cmd_value(s, it, "\r\n", 2);
}

/* Answers a usual line whose key was not found. */
static void reply_usual_miss(struct session *s, const struct request *r) {
    const char *p = r->line + r->rest;
    struct head h;
    char letter;
    if (meta_usual_has(&r->meta, 'q')) return;
    head_begin(&h, s, 0);
    head_put(&h, "EN", 2);
    while ((p = meta_next_usual(&r->meta, p, &letter)) != NULL) {
        if (letter == 'O') head_put_echo(&h, 'O', r->meta.opaque.p, r->meta.opaque.n);
        if (letter == 'k') head_put_echo(&h, 'k', r->raw_key, r->raw_key_len);
    }
    head_put(&h, "\r\n", 2);
    head_end(&h);
}

/* Answers usual lines. `here`: only while what is found is newer than `since`. */
static inline __attribute__((always_inline)) unsigned get_run(struct session *s, struct request *r, unsigned n,
                                                              bool here, uint64_t since) {
    struct cmd_worker *w = s->worker;
    uint64_t hits = 0;
    unsigned i = 0;
    while (i < n && r->path == CMD_PATH_MG) {
        struct store_item it;
        const bool found = store_get(w->store, &r->key, &it);
        if (here && unlikely(!found || it.version <= since)) break;
        if (unlikely(found && (it.soft || (it.bits & (STORE_STALE | STORE_WON | STORE_REARMED | STORE_B64)) != 0))) {
            r->path = CMD_PATH_HANDLER;
            break;
        }
        i++;
        if (likely(found)) {
            hits++;
            reply_usual(s, r, &it);
            if (unlikely((it.bits & STORE_FETCHED) == 0)) store_note_fetch(w->store, &it);
            if (unlikely(w->end_batch) || (!cmd_value_fits(&it) && conn_full(s->conn))) break;
        } else {
            reply_usual_miss(s, r);
        }
        if (unlikely(conn_stuck(s->conn))) break;
        r++;
    }
    sync_bump(&w->metrics[CMD_METRIC_cmd_meta], i);
    sync_bump(&w->metrics[CMD_METRIC_cmd_get], i);
    sync_bump(&w->metrics[CMD_METRIC_get_hits], hits);
    sync_bump(&w->metrics[CMD_METRIC_get_misses], i - hits);
    return i;
}

unsigned cmd_meta_get_run(struct session *s, struct request *r, unsigned n) {
    return get_run(s, r, n, false, 0);
}

unsigned cmd_meta_get_run_here(struct session *s, struct request *r, unsigned n, uint64_t since) {
    return get_run(s, r, n, true, since);
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
        if (len == 0 || !cmd_key_set(s, r, w->decoded, len, true)) r->key.len = 0;
    }
    if (r->key.len == 0 || !are_flags(r)) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
        return;
    }
    if (!store_peek(w->store, &r->key, &it) || cmd_lease_hides(s, r, &it)) {
        cmd_line_lit(s, "EN");
        return;
    }
    size_t len = r->key.len;
    if ((it.bits & STORE_B64) != 0)
        len = base64_encode(r->key.p, r->key.len, key);
    else
        memcpy(key, r->key.p, len);
    cmd_linef(s, "ME %.*s exp=%lld la=%lu cas=%llu fetch=%s cls=1 size=%llu", (int)len, key,
              (long long)cmd_expiry_ttl(s, it.expiry), (unsigned long)store_item_age(w->store, &it),
              (unsigned long long)cmd_value_cas(s, &it), (it.bits & STORE_FETCHED) != 0 ? "yes" : "no",
              (unsigned long long)(it.size + it.key_len));
}
