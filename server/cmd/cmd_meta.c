/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mn, mg, ms, md, ma, me. */
#include "cmd/cmd_internal.h"

#include "proto/base64.h"

#define BASE64_MAX 186 /* bytes of a bare key whose base64 has at most 250 */
#define HEAD_MAX 768   /* of a reply's first line, the key not counted: 20 flags of at most 33 bytes */
#define SHORT_KEY 256  /* keys up to this are written in one run with the rest */

/* ------------------------------------------------------------------ flags and key */

void cmd_meta_error(struct session *s, enum meta_error error) {
    switch (error) {
    case META_OK: break;
    case META_FORMAT: cmd_line_lit(s, CMD_BAD_FORMAT); break;
    case META_TOO_MANY: cmd_line_lit(s, "CLIENT_ERROR options flags are too long"); break;
    case META_DUPLICATE: cmd_line_lit(s, "CLIENT_ERROR duplicate flag"); break;
    case META_UNKNOWN: cmd_line_lit(s, "CLIENT_ERROR invalid flag"); break;
    case META_TOKEN: cmd_line_lit(s, "CLIENT_ERROR bad token in command line format"); break;
    case META_INITIAL: cmd_line_lit(s, "CLIENT_ERROR invalid numeric initial value"); break;
    case META_DELTA: cmd_line_lit(s, "CLIENT_ERROR invalid numeric delta value"); break;
    case META_KEY: cmd_line_lit(s, "CLIENT_ERROR error decoding key"); break;
    case META_OPAQUE: cmd_line_lit(s, "CLIENT_ERROR opaque token too long"); break;
    }
}

/* The key as the store knows it. False: it is none. */
static bool settle_key(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    if (!meta_has(&w->meta, 'b')) return r->key.len > 0;
    if (!cmd_set_key(s, r, w->decoded, w->meta.decoded, true)) {
        r->error = CMD_OK;
        return false;
    }
    return r->key.len <= BASE64_MAX;
}

/* Reads flags and key of a line whose key is its second word and which had `words` words before the flags. */
static enum meta_error read_meta(struct session *s, struct request *r, unsigned words, unsigned allow) {
    struct cmd_worker *w = s->worker;
    w->wire = (struct text_token){r->asked, r->asked_len};
    enum meta_error e = meta_parse(r->line, r->line_len, r->rest, words, allow, &w->wire, w->decoded, &w->meta);
    if (likely(e == META_OK)) return settle_key(s, r) ? META_OK : META_FORMAT;
    /* A key that is none comes before what is wrong with flags. */
    const bool none = meta_has(&w->meta, 'b') ? w->wire.n > STORE_KEY_MAX : r->key.len == 0;
    return none ? META_FORMAT : e;
}

/* The list of G, Lt= or Lr=; p NULL without one. */
static struct text_token list_of(const struct meta *m, char which) {
    if (which == 'G' && meta_has(m, 'G')) return m->tags;
    if (which == 't' && meta_has(m, 'L')) return m->l_tags;
    if (which == 'r' && meta_has(m, 'L')) return m->r_tags;
    return (struct text_token){NULL, 0};
}

/* Unites the tags of G, Lt= and the suffix in the worker's set, and takes those of Lr=; answers if they are bad. */
static __attribute__((noinline)) bool read_lists(struct session *s, const struct request *r) {
    const struct meta *m = &s->worker->meta;
    const struct text_token lists[] = {list_of(m, 'G'), list_of(m, 't'), list_of(m, 'r')};
    for (unsigned i = 0; i < 3; i++) {
        if (lists[i].p == NULL || keytags_is_list(lists[i].p, lists[i].n)) continue;
        if (keytags_is_too_long(lists[i].p, lists[i].n))
            cmd_line_lit(s, CMD_TAG_TOO_LONG);
        else
            cmd_meta_error(s, META_TOKEN);
        return false;
    }
    bool fits = true;
    for (unsigned i = 0; i < 2; i++)
        if (fits && lists[i].p != NULL) fits = cmd_tags_add(s, lists[i].p, lists[i].n);
    if (fits && r->suffix == KEYTAGS_TAGS) fits = cmd_tags_add(s, r->list, r->list_len);
    if (!fits) {
        cmd_line_lit(s, CMD_TOO_MANY_TAGS);
    } else if (lists[2].p != NULL && !cmd_read_tags_add(s, lists[2].p, lists[2].n)) {
        cmd_line_lit(s, CMD_TOO_MANY_READ_TAGS);
        fits = false;
    }
    return fits;
}

/* The same for a line that as a rule has none. */
static inline bool read_tags(struct session *s, const struct request *r) {
    cmd_tags_begin(s);
    return likely((s->worker->meta.have & (META_BIT('G') | META_BIT('L'))) == 0 && r->suffix != KEYTAGS_TAGS) ||
           read_lists(s, r);
}

static uint32_t expiry_of(struct session *s, int64_t exptime) {
    return exptime == 0 ? 0 : store_expiry(s->worker->store, exptime);
}

/* ------------------------------------------------------------------ replies */

/* A reply's first line while it is written. */
struct head {
    struct session *s;
    char *begin, *out;
};

static void head_begin(struct head *h, struct session *s, size_t more) {
    h->s = s;
    h->begin = h->out = conn_reserve(s->conn, HEAD_MAX + SHORT_KEY + more);
}

static void head_end(struct head *h) {
    conn_commit(h->s->conn, (size_t)(h->out - h->begin));
}

static void put(struct head *h, const char *p, size_t n) {
    memcpy(h->out, p, n);
    h->out += n;
}

static void put_flag(struct head *h, char letter, uint64_t v) {
    *h->out++ = ' ';
    *h->out++ = letter;
    h->out = text_put_u64(h->out, v);
}

static void put_ttl(struct head *h, uint32_t expiry) {
    put(h, " t", 2);
    h->out = text_put_i64(h->out, cmd_ttl(h->s, expiry));
}

static void put_opaque(struct head *h) {
    put(h, " O", 2);
    put(h, h->s->worker->meta.opaque.p, h->s->worker->meta.opaque.n);
}

/* Echoes a key that is too long to fit what was reserved: such a one has a suffix. */
static void put_long(struct head *h, const char *p, size_t n) {
    head_end(h);
    conn_write(h->s->conn, p, n);
    head_begin(h, h->s, 0);
}

/* Echoes the key as it was asked for, in base64 if `b64`. */
static void put_key(struct head *h, const struct request *r, bool b64) {
    const struct cmd_worker *w = h->s->worker;
    const bool sent_b64 = meta_has(&w->meta, 'b');
    struct text_token key = w->wire;
    char encoded[SHORT_KEY * 4 / 3 + 4];
    if (sent_b64 && !b64) key = (struct text_token){r->asked, r->asked_len};
    put(h, " k", 2);
    if (!sent_b64 && b64) {
        /* What does not fit was asked for with a suffix: the stored key is what a client can use. */
        size_t n = r->asked_len <= STORE_KEY_MAX ? r->asked_len : r->key.len;
        key = (struct text_token){encoded, base64_encode(r->asked, n, encoded)};
        put_long(h, key.p, key.n);
    } else if (key.n <= SHORT_KEY) {
        put(h, key.p, key.n);
    } else {
        put_long(h, key.p, key.n);
    }
    if (b64) put(h, " b", 2);
}

/* The flags that every reply may carry: opaque and key. */
static void put_common(struct head *h, const struct request *r) {
    const struct meta *m = &h->s->worker->meta;
    for (unsigned i = 0; i < m->norder; i++) {
        if (m->order[i] == 'O')
            put_opaque(h);
        else if (m->order[i] == 'k')
            put_key(h, r, meta_has(m, 'b'));
    }
}

/* A reply of a status and the common flags. */
static void reply_status(struct session *s, const struct request *r, const char *status) {
    struct head h;
    head_begin(&h, s, 0);
    put(&h, status, 2);
    put_common(&h, r);
    put(&h, "\r\n", 2);
    head_end(&h);
}

void cmd_mn(struct session *s, struct request *r) {
    (void)r;
    cmd_line_lit(s, "MN");
}

/* ------------------------------------------------------------------ mg */

/* What a meta get found, and how. */
struct mg {
    struct store_item it;
    enum store_win win;
    bool created;
    uint32_t old_expiry;
};

/* The exptime a created item gets: of N and T the one that came later. */
static int64_t vivified(const struct meta *m) {
    int64_t exptime = m->vivify;
    for (unsigned i = 0; i < m->norder; i++) {
        if (m->order[i] == 'N') exptime = m->vivify;
        if (m->order[i] == 'T') exptime = m->ttl;
    }
    return exptime;
}

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
        get.vivify_expiry = expiry_of(s, vivified(m));
        get.has_cas = meta_has(m, 'E');
        get.cas = m->id;
        get.bits = meta_has(m, 'b') ? STORE_B64 : 0;
        get.tags = s->worker->tags;
        get.ntags = s->worker->ntags;
    }
    if (meta_has(m, 'R')) {
        /* An item with less than this left to live is refilled; a time point means what is left until then. */
        uint32_t until = expiry_of(s, m->recache), now = store_now(w);
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
    get.expiry = expiry_of(s, m->ttl);
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
                expiry = g->created ? expiry_of(s, m->order[i] == 'T' ? m->ttl : m->vivify) : it->expiry;
            break;
        case 's': put_flag(h, 's', it->size); break;
        case 't': put_ttl(h, expiry); break;
        case 'c': put_flag(h, 'c', cmd_cas(s, it)); break;
        case 'f': put_flag(h, 'f', it->flags); break;
        case 'g': put_flag(h, 'g', it->ntags); break;
        case 'h': put_flag(h, 'h', (it->bits & STORE_FETCHED) != 0); break;
        case 'l': put_flag(h, 'l', store_item_age(s->worker->store, it)); break;
        case 'O': put_opaque(h); break;
        case 'k': put_key(h, r, (it->bits & STORE_B64) != 0); break;
        default: break;
        }
    }
    if (unlikely(g->win == STORE_WIN_OTHERS)) put(h, " Z", 2);
    if (unlikely((it->bits & STORE_STALE) != 0)) put(h, " X", 2);
    if (unlikely(g->win == STORE_WIN_WON)) put(h, " W", 2);
    put(h, "\r\n", 2);
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
        put(&h, "VA ", 3);
        h.out = text_put_u64(h.out, it->size);
    } else {
        put(&h, "HD", 2);
    }
    char *begin = h.begin;
    put_found(&h, r, g);
    if (copy && likely(h.begin == begin)) {
        put(&h, it->value, it->size);
        put(&h, "\r\n", 2);
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
    enum meta_error e = read_meta(s, r, 2, META_ALLOW_TAGS | META_ALLOW_READ);
    if (unlikely(e != META_OK)) {
        cmd_meta_error(s, e);
        return;
    }
    const struct meta *m = &s->worker->meta;
    if (!read_tags(s, r)) return;
    enum store_status st = look_up(s, r, &g);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_again(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    note_mg(s, r, st == STORE_OK ? &g.it : NULL);
    if (st != STORE_OK) {
        if (!meta_has(m, 'q')) reply_status(s, r, "EN");
        return;
    }
    if (unlikely(g.created)) cmd_born(s, vivified(m), g.it.expiry);
    reply_found(s, r, &g);
    if (unlikely((g.it.bits & STORE_FETCHED) == 0) && !meta_has(m, 'u')) store_note_fetch(s->worker->store, &g.it);
}

/* ------------------------------------------------------------------ ms */

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

bool cmd_ms_valid(struct session *s, struct request *r) {
    enum store_mode mode;
    enum meta_error e = read_meta(s, r, 3, META_ALLOW_TAGS);
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
    return read_tags(s, r);
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
    p->expiry = meta_has(m, 'T') ? expiry_of(s, m->ttl) : 0;
    p->bits = meta_has(m, 'b') ? STORE_B64 : 0;
    if (meta_has(m, 'C') && p->mode != STORE_ADD) { /* an add that finds none needs no guard */
        p->guarded = !joins || m->cas != 0;         /* memcached joins to any version when it is 0 */
        p->guard = m->cas;
        p->invalidate = meta_has(m, 'I') && !joins;
        if (p->mode == STORE_REPLACE) p->mode = STORE_SET; /* so that a missing one is NF */
    }
    p->has_cas = meta_has(m, 'E');
    p->cas = m->id;
    if (joins && meta_has(m, 'N')) {
        p->vivify = true;
        p->vivify_expiry = expiry_of(s, m->vivify);
    }
    p->tags = s->worker->tags;
    p->ntags = s->worker->ntags;
}

static void reply_ms(struct session *s, struct request *r, const char *status, uint64_t cas, uint64_t size) {
    const struct meta *m = &s->worker->meta;
    struct head h;
    head_begin(&h, s, 0);
    put(&h, status, 2);
    for (unsigned i = 0; i < m->norder; i++) {
        switch (m->order[i]) {
        case 'O': put_opaque(&h); break;
        case 'k': put_key(&h, r, meta_has(m, 'b')); break;
        case 'c': put_flag(&h, 'c', cas); break;
        case 's': put_flag(&h, 's', size); break;
        default: break;
        }
    }
    put(&h, "\r\n", 2);
    head_end(&h);
}

/* The classic command that an ms amounts to, as memcached's watchers see it. */
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
    if (cmd_noted(s, CMD_NOTE_MUTATIONS))
        cmd_watch_mutation(s, classic_name(&s->worker->meta), &r->key, st, p->expiry, p->size);
    if (cmd_noted(s, CMD_NOTE_TAGS) && st == STORE_OK && p->ntags > 0) cmd_watch_tags(s, "ms", &r->key, p->ntags);
    if (cmd_noted(s, CMD_NOTE_DETAIL)) cmd_detail(s, CMD_DETAIL_SET, r->key.p, r->key.len);
}

void cmd_ms(struct session *s, struct request *r) {
    struct store_put p = {.key = {0}};
    struct store_item it;
    if (unlikely(!cmd_ms_valid(s, r))) return;
    fill_put(s, r, &p);
    enum store_status st = store_put(s->worker->store, &p, &it);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_again(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    cmd_bump(s, CMD_METRIC_cmd_set);
    if (st == STORE_OK) p.size = it.size; /* of all that was joined */
    note_ms(s, r, &p, st);
    switch (st) {
    case STORE_OK:
        cmd_born(s, p.vivify ? s->worker->meta.vivify : s->worker->meta.ttl, it.expiry);
        if (!meta_has(&s->worker->meta, 'q')) reply_ms(s, r, "HD", cmd_cas(s, &it), it.size);
        break;
    case STORE_EXISTS: reply_ms(s, r, "EX", 0, r->body_len); break;
    case STORE_NOT_FOUND:
        /* Nothing to join to is not stored, guarded or not. */
        reply_ms(s, r, p.mode == STORE_SET ? "NF" : "NS", 0, r->body_len);
        break;
    case STORE_TOO_LARGE:
    case STORE_NO_MEMORY: cmd_refuse_store(s, r, st); break;
    case STORE_TOO_MANY: cmd_line_lit(s, CMD_TOO_MANY_TAGS); break;
    default: reply_ms(s, r, "NS", 0, r->body_len); break;
    }
}

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
    if (d->set_expiry) d->expiry = expiry_of(s, m->ttl);
    d->has_cas = meta_has(m, 'E');
    d->cas = m->id;
    d->flags = meta_has(m, 'F') ? m->flags : 0;
}

void cmd_md(struct session *s, struct request *r) {
    struct store_delete d = {.key = {0}};
    struct store_item it;
    uint64_t number;
    enum meta_error e = read_meta(s, r, 2, 0);
    if (unlikely(e != META_OK)) {
        cmd_meta_error(s, e);
        return;
    }
    const bool quiet = meta_has(&s->worker->meta, 'q'),
               keeps = meta_has(&s->worker->meta, 'I') && !meta_has(&s->worker->meta, 'x');
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number) && !quiet) reply_status(s, r, "HD");
        if (!s->worker->again) cmd_bump(s, CMD_METRIC_cmd_meta);
        return;
    }
    fill_delete(s, r, &d);
    enum store_status st = store_delete(s->worker->store, &d, &it);
    if (unlikely(st == STORE_AGAIN)) {
        cmd_again(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    cmd_bump(s, st == STORE_OK ? CMD_METRIC_delete_hits : CMD_METRIC_delete_misses);
    if (cmd_noted(s, CMD_NOTE_DETAIL)) cmd_detail(s, CMD_DETAIL_DELETE, r->key.p, r->key.len);
    switch (st) {
    case STORE_OK:
        if (!keeps && cmd_noted(s, CMD_NOTE_DELETIONS)) cmd_watch_deletion(s, "md", &r->key, it.size);
        if (!quiet) reply_status(s, r, "HD");
        break;
    case STORE_EXISTS: reply_status(s, r, "EX"); break;
    case STORE_NO_MEMORY: cmd_line_lit(s, "SERVER_ERROR out of memory"); break;
    default: reply_status(s, r, "NF"); break;
    }
}

/* ------------------------------------------------------------------ ma */

/* Answers the number, under v, or that it was done. */
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
        put(&h, "VA ", 3);
        h.out = text_put_u64(h.out, n);
    } else {
        put(&h, "HD", 2);
    }
    for (unsigned i = 0; i < m->norder; i++) {
        switch (m->order[i]) {
        case 'c':
            if (it != NULL) put_flag(&h, 'c', cmd_cas(s, it));
            break;
        case 't':
            if (it != NULL) put_ttl(&h, expiry);
            break;
        case 'T':
        case 'N':
            if (created || m->order[i] == 'T') expiry = expiry_of(s, m->order[i] == 'T' ? m->ttl : m->vivify);
            break;
        case 'O': put_opaque(&h); break;
        case 'k': put_key(&h, r, meta_has(m, 'b')); break;
        default: break;
        }
    }
    put(&h, "\r\n", 2);
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
    a->vivify_expiry = a->vivify ? expiry_of(s, vivified(m)) : 0;
    a->set_expiry = meta_has(m, 'T');
    a->expiry = a->set_expiry ? expiry_of(s, m->ttl) : 0;
    a->bits = meta_has(m, 'b') ? STORE_B64 : 0;
    return true;
}

static void answer_ma(struct session *s, struct request *r, const struct store_arith *a) {
    struct store_worker *w = s->worker->store;
    struct store_item it, before;
    uint64_t number;
    bool created;
    uint32_t old_expiry = 0;
    /* The old expiry is wanted only for a t before a T. */
    const bool peek = a->set_expiry && meta_has(&s->worker->meta, 't');
    if (peek && store_peek(w, &r->key, &before)) old_expiry = before.expiry;
    enum store_status st = store_arith(w, a, &number, &created, &it);
    if (st == STORE_AGAIN) {
        cmd_again(s);
        return;
    }
    cmd_bump(s, CMD_METRIC_cmd_meta);
    switch (st) {
    case STORE_OK:
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_hits : CMD_METRIC_incr_hits);
        if (created) cmd_born(s, vivified(&s->worker->meta), it.expiry);
        reply_ma(s, r, number, &it, created, peek ? old_expiry : it.expiry);
        break;
    case STORE_NOT_FOUND:
        cmd_bump(s, a->decrement ? CMD_METRIC_decr_misses : CMD_METRIC_incr_misses);
        reply_status(s, r, "NF");
        break;
    case STORE_EXISTS: reply_status(s, r, "EX"); break;
    case STORE_NOT_STORED: reply_status(s, r, "NS"); break;
    case STORE_NON_NUMERIC: cmd_line_lit(s, "CLIENT_ERROR cannot increment or decrement non-numeric value"); break;
    default: cmd_line_lit(s, "SERVER_ERROR out of memory"); break;
    }
}

void cmd_ma(struct session *s, struct request *r) {
    struct store_arith a = {.key = {0}};
    uint64_t number;
    enum meta_error e = read_meta(s, r, 2, META_ALLOW_TAGS);
    if (e != META_OK && e != META_OPAQUE) {
        if (e == META_FORMAT && (r->key.len == 0 || s->worker->wire.n > STORE_KEY_MAX))
            cmd_meta_error(s, e); /* it is the key that is none */
        else
            cmd_line_lit(s, "CLIENT_ERROR invalid or duplicate flag");
        return;
    }
    if (!fill_arith(s, r, &a)) return;
    if (e != META_OK) {
        cmd_meta_error(s, e);
        return;
    }
    if (!read_tags(s, r)) return;
    a.tags = s->worker->tags;
    a.ntags = s->worker->ntags;
    if (unlikely(r->suffix == KEYTAGS_PURGE)) {
        if (cmd_purge_list(s, r, r->list, r->list_len, &number)) reply_ma(s, r, number, NULL, false, 0);
        if (!s->worker->again) cmd_bump(s, CMD_METRIC_cmd_meta);
        return;
    }
    answer_ma(s, r, &a);
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
