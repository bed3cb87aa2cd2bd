/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Tags and purges: mp, purge, tag_add, tag_delete, tags_delete, flush_all, and what delete, incr, md and ma need to
 * purge by a key's suffix. */
#include "cmd/cmd_internal.h"

#include "base/hash.h"

#define COUNTED_MAX 100000 /* items that an answer counts; more are told as 0 */

/* ------------------------------------------------------------------ tags of an item */

void cmd_tags_begin(struct session *s) {
    s->worker->ntags = s->worker->nread = 0;
}

/* Adds a list of tags to a set of at most `max`. */
static bool add(const char *list, size_t n, uint64_t *tags, unsigned *ntags, unsigned max) {
    struct text_token tag;
    size_t at = 0;
    int got;
    while ((got = keytags_next(list, n, ',', &at, &tag)) > 0) {
        uint64_t h = hash_tag(tag.p, tag.n);
        unsigned i = 0;
        while (i < *ntags && tags[i] != h) i++;
        if (i < *ntags) continue;
        if (*ntags == max) return false;
        tags[(*ntags)++] = h;
    }
    return got == 0;
}

bool cmd_tags_add(struct session *s, const char *list, size_t n) {
    struct cmd_worker *w = s->worker;
    return add(list, n, w->tags, &w->ntags, STORE_TAGS_MAX);
}

bool cmd_read_tags_add(struct session *s, const char *list, size_t n) {
    struct cmd_worker *w = s->worker;
    return add(list, n, w->read, &w->nread, STORE_READ_TAGS_MAX);
}

/* ------------------------------------------------------------------ selectors */

/* Reads one well-formed selector. */
static void read_selector(const char *p, size_t n, struct store_selector *out) {
    struct text_token tag;
    size_t at = 0;
    out->all = n == 1 && p[0] == '*';
    out->ntags = 0;
    if (out->all) return;
    while (keytags_next(p, n, '+', &at, &tag) > 0) {
        uint64_t h = hash_tag(tag.p, tag.n);
        unsigned i = 0;
        while (i < out->ntags && out->tags[i] != h) i++;
        if (i == out->ntags) out->tags[out->ntags++] = h;
    }
}

void cmd_selector(const char *p, size_t n, struct store_selector *out) {
    read_selector(p, n, out);
}

/* Applies p, whose selectors came as text; answers when it may not be. */
static bool apply(struct session *s, const struct request *r, struct store_purge *p, const char *text, size_t n,
                  uint64_t *number) {
    struct cmd_worker *w = s->worker;
    for (unsigned i = 0; i < p->nselectors; i++) {
        if (!p->selectors[i].all || !w->cmd->cfg.no_flush) continue;
        cmd_reply_lit(s, r, "CLIENT_ERROR flush_all not allowed");
        return false;
    }
    cmd_leave(w);
    *number = store_purge(w->store, p);
    cmd_bump(s, p->soft ? CMD_METRIC_cmd_purge_soft : CMD_METRIC_cmd_purge);
    if (cmd_noted(s, CMD_NOTE_PURGES)) cmd_watch_purge(s, r->row->name, text, n, p->soft, *number);
    return true;
}

bool cmd_purge_list(struct session *s, const struct request *r, const char *list, size_t n, uint64_t *number) {
    struct store_purge p = {.selectors = s->worker->selectors};
    struct text_token sel;
    size_t at = 0;
    while (keytags_next_selector(list, n, &at, &sel) > 0 && p.nselectors < KEYTAGS_SELECTORS_MAX)
        read_selector(sel.p, sel.n, &s->worker->selectors[p.nselectors++]);
    return apply(s, r, &p, list, n, number);
}

/* Reads the words behind the command, noreply excepted, as selectors or (tags) as plain tags. False: answered. */
static bool read_words(struct session *s, const struct request *r, bool tags, struct store_purge *p,
                       struct text_token *text) {
    struct text_token word;
    size_t at = r->row->name_len, n = r->line_len;
    if (r->noreply) n = (size_t)(text_last(r->line, n).p - r->line);
    *p = (struct store_purge){.selectors = s->worker->selectors};
    *text = (struct text_token){NULL, 0};
    while (text_next(r->line, n, &at, &word)) {
        bool good = tags ? keytags_is_tag(word.p, word.n) : keytags_is_selector(word.p, word.n);
        if (!good || p->nselectors == KEYTAGS_SELECTORS_MAX) {
            cmd_reply_lit(s, r, CMD_BAD_FORMAT);
            return false;
        }
        read_selector(word.p, word.n, &s->worker->selectors[p->nselectors++]);
        if (text->p == NULL) text->p = word.p;
        text->n = (size_t)(word.p + word.n - text->p);
    }
    return true;
}

void cmd_purge(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    uint64_t number;
    if (read_words(s, r, false, &p, &text) && apply(s, r, &p, text.p, text.n, &number)) cmd_reply_lit(s, r, "PURGED");
}

/* ------------------------------------------------------------------ mp */

/* How the purge that m describes treats items. */
static void soften(struct session *s, const struct meta *m, struct store_purge *p) {
    if (!meta_has(m, 'I')) return;
    p->soft = true;
    if (!meta_has(m, 'T')) return;
    struct store_worker *w = s->worker->store;
    cmd_enter(s->worker);
    uint32_t expiry = store_expiry(w, m->ttl), now = store_now(w);
    if (expiry == 0)
        p->soft_ttl_s = UINT32_MAX; /* T0: until its own end */
    else if (expiry <= now)
        p->soft = false; /* a deadline that has passed: hard */
    else
        p->soft_ttl_s = (uint32_t)store_ttl(expiry, now);
}

static void reply_mp(struct session *s, const struct meta *m, const struct text_token *sel, uint64_t number) {
    char head[64 + META_OPAQUE_MAX];
    char *out = head;
    if (meta_has(m, 'q')) return;
    conn_write(s->conn, "HD", 2);
    for (unsigned i = 0; i < m->norder; i++) {
        out = head;
        *out++ = ' ';
        *out++ = m->order[i];
        switch (m->order[i]) {
        case 'n': memcpy(out, "1/1", 3), out += 3; break;
        case 's': out = text_put_u64(out, number); break;
        case 'O': memcpy(out, m->opaque.p, m->opaque.n), out += m->opaque.n; break;
        case 'k': break;
        default: continue;
        }
        conn_write(s->conn, head, (size_t)(out - head));
        if (m->order[i] == 'k') conn_write(s->conn, sel->p, sel->n);
    }
    conn_write(s->conn, "\r\n", 2);
}

void cmd_mp(struct session *s, struct request *r) {
    struct meta *m = &s->worker->meta;
    struct store_purge p = {.selectors = s->worker->selectors, .nselectors = 1};
    struct text_token sel;
    size_t at = r->row->name_len;
    uint64_t number;
    cmd_bump(s, CMD_METRIC_cmd_meta);
    text_next(r->line, r->line_len, &at, &sel);
    enum meta_error e = meta_parse(r->line, r->line_len, at, 2, META_PURGE, &sel, s->worker->decoded, m);
    if (e != META_OK) {
        cmd_meta_error(s, e);
        return;
    }
    if (!keytags_is_selector(sel.p, sel.n)) {
        cmd_line_lit(s, CMD_BAD_FORMAT);
        return;
    }
    read_selector(sel.p, sel.n, &s->worker->selectors[0]);
    soften(s, m, &p);
    if (apply(s, r, &p, sel.p, sel.n, &number)) reply_mp(s, m, &sel, number);
}

/* ------------------------------------------------------------------ the historic verbs */

/* Counted purges under way, one tag after the other. Belongs to the worker, but for the time between
 * store_purge_counted and the post of its end. */
struct cmd_job {
    struct cmd_worker *worker;
    struct net_worker *net;
    struct session *session; /* NULL: its connection is gone. The worker's own thread only. */
    int64_t n;               /* of the purge that just ended */
    uint64_t sum;
    bool uncounted; /* one of them was too large to count */
    bool noreply;
    unsigned next, ntags;
    uint64_t tags[];
};

/* Purges by the next tag. */
static uint64_t job_next(struct cmd_job *job) {
    struct store_selector sel = {.ntags = 1, .tags = {job->tags[job->next++]}};
    struct store_purge p = {.selectors = &sel, .nselectors = 1};
    return store_purge_counted(job->worker->store, &p, job);
}

static void job_end(struct net_worker *net, void *arg) {
    struct cmd_job *job = arg;
    struct session *s = job->session;
    (void)net;
    if (job->n < 0)
        job->uncounted = true;
    else
        job->sum += (uint64_t)job->n;
    if (job->next < job->ntags) { /* also when nobody waits any more: they were asked for */
        (void)job_next(job);
        return;
    }
    if (s != NULL) {
        s->job = NULL;
        if (job->sum > COUNTED_MAX) job->uncounted = true;
        if (!job->noreply) cmd_linef(s, "%llu ITEMS_DELETED", job->uncounted ? 0ull : (unsigned long long)job->sum);
        conn_resume(s->conn);
    }
    free(job);
}

void cmd_on_job(void *cmd, void *token, int64_t n) {
    struct cmd_job *job = token;
    (void)cmd;
    job->n = n;
    /* A post that finds no memory leaves the connection parked until it closes: there is nobody to tell. */
    if (worker_post(job->net, job_end, job) != 0) return;
}

void cmd_job_orphan(struct session *s) {
    s->job->session = NULL;
    s->job = NULL;
}

void cmd_tags_delete(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    if (!read_words(s, r, true, &p, &text)) return;
    struct cmd_job *job = malloc(sizeof(*job) + p.nselectors * sizeof(job->tags[0]));
    if (job == NULL) {
        cmd_reply_lit(s, r, "SERVER_ERROR out of memory");
        return;
    }
    *job = (struct cmd_job){
        .worker = s->worker, .net = conn_worker(s->conn), .session = s, .noreply = r->noreply, .ntags = p.nselectors};
    for (unsigned i = 0; i < p.nselectors; i++) job->tags[i] = p.selectors[i].tags[0];
    s->job = job;
    conn_park(s->conn);
    uint64_t number = job_next(job);
    cmd_bump(s, CMD_METRIC_cmd_purge);
    if (cmd_noted(s, CMD_NOTE_PURGES)) cmd_watch_purge(s, r->row->name, text.p, text.n, false, number);
}

void cmd_tag_add(struct session *s, struct request *r) {
    struct text_token words[3];
    struct request key = *r;
    (void)cmd_split(r, words, 3);
    if (words[1].n > KEYTAGS_TAG_MAX) {
        cmd_reply_lit(s, r, CMD_TAG_TOO_LONG);
        return;
    }
    if (!keytags_is_tag(words[1].p, words[1].n) || !cmd_set_key(s, &key, words[2].p, words[2].n, true)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    cmd_bump(s, CMD_METRIC_tag_add);
    enum store_status st = store_tag_add(s->worker->store, &key.key, hash_tag(words[1].p, words[1].n));
    switch (st) {
    case STORE_OK:
        if (cmd_noted(s, CMD_NOTE_TAGS)) cmd_watch_tags(s, "tag_add", &key.key, 1);
        cmd_reply_lit(s, r, "TAG_STORED");
        break;
    case STORE_AGAIN: cmd_again(s); break;
    case STORE_TOO_MANY: cmd_reply_lit(s, r, CMD_TOO_MANY_TAGS); break;
    case STORE_NO_MEMORY: cmd_reply_lit(s, r, "SERVER_ERROR out of memory"); break;
    default: cmd_reply_lit(s, r, "NOT_FOUND"); break;
    }
}

/* ------------------------------------------------------------------ flush_all */

void cmd_flush_all(struct session *s, struct request *r) {
    struct cmd_worker *w = s->worker;
    struct text_token words[3];
    unsigned n = cmd_split(r, words, 3);
    int64_t delay = 0;
    cmd_bump(s, CMD_METRIC_cmd_flush);
    if (w->cmd->cfg.no_flush) {
        cmd_reply_lit(s, r, "CLIENT_ERROR flush_all not allowed");
        return;
    }
    if (n > 1u + r->noreply && !text_i64(words[1].p, words[1].n, &delay)) {
        cmd_reply_lit(s, r, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    store_flush_at(w->store, delay <= 0 ? 0 : store_expiry(w->store, delay));
    if (cmd_noted(s, CMD_NOTE_PURGES)) cmd_watch_purge(s, "flush_all", "*", 1, false, store_number(w->cmd->store));
    cmd_reply_lit(s, r, "OK");
}
