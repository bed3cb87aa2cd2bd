/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mp, purge, tag_delete, tags_delete, flush_all, and what delete, incr, md and ma need to purge by a key's suffix. */
#include "cmd/cmd_purge.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/sync.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_watch.h"
#include "cmd/instance.h"
#include "cmd/observers.h"
#include "cmd/reply.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "net/worker.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "proto/text.h"
#include "store/store.h"

#define MP_TTL_MAX 315360000 /* seconds, ten years */

_Static_assert(KEYTAGS_SELECTORS_MAX <= STORE_SELECTORS_MAX, "a list is one purge");

/* ------------------------------------------------------------------ selectors */

/* Reads one well-formed selector. */
void cmd_purge_selector(const char *p, size_t n, struct store_selector *out) {
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

/* Reads a well-formed list of selectors. */
static void read_list(struct session *s, const char *list, size_t n, struct store_purge *p) {
    struct text_token sel;
    size_t at = 0;
    *p = (struct store_purge){.selectors = s->worker->selectors};
    while (keytags_next_selector(list, n, &at, &sel) > 0 && p->nselectors < KEYTAGS_SELECTORS_MAX)
        cmd_purge_selector(sel.p, sel.n, &s->worker->selectors[p->nselectors++]);
}

/* ------------------------------------------------------------------ purges that are answered later */

/*
 * A purge under way. Its connection waits, and shows the request again, from the start, when the purge has ended; then
 * the job has the number, and the answer is the same as if there had been nothing to wait for. Belongs to the worker;
 * the store's thread writes `n`, then `state`, and posts the job to the worker unless its connection is gone by then.
 */
enum { JOB_WAITS, JOB_ENDED, JOB_ABANDONED };
struct cmd_job {
    struct net_worker *net;
    struct net_post post;
    struct session *session; /* who waits for it; NULL: the connection is gone */
    uint64_t number;         /* of the purge */
    int64_t n;               /* items it took out, if it counts them; -1: too many to count */
    uint32_t state;          /* one of the above; atomic */
    bool delivered;          /* the worker knows that it has ended */
};

bool cmd_purge_waits(const struct session *s) {
    return s->job != NULL && !s->job->delivered;
}

static void deliver(struct net_worker *nw, void *arg) {
    struct cmd_job *job = arg;
    (void)nw;
    job->delivered = true;
    if (job->session != NULL)
        conn_resume(job->session->conn);
    else
        free(job);
}

void cmd_purge_ended(void *token, int64_t n) {
    struct cmd_job *job = token;
    job->n = n;
    if (sync_exchange(&job->state, JOB_ENDED) == JOB_ABANDONED)
        free(job);
    else
        worker_post(job->net, &job->post, deliver, job);
}

void cmd_purge_abandon(struct session *s) {
    struct cmd_job *job = s->job;
    s->job = NULL;
    job->session = NULL;
    if (job->delivered)
        free(job);
    else
        (void)sync_exchange(&job->state, JOB_ABANDONED); /* the store's thread frees it, or what it has posted */
}

/* What came of a purge. */
struct purged {
    uint64_t number;
    int64_t n; /* of a counted one */
};

/* Asks the store. The job goes along in case that the purge takes time; else it is there for the worker's next one. */
static enum store_status ask(struct session *s, struct store_purge *p, struct purged *out) {
    struct cmd_worker *w = s->worker;
    if (w->spare == NULL && (w->spare = malloc(sizeof *w->spare)) == NULL) return STORE_NO_MEMORY;
    *w->spare = (struct cmd_job){.net = conn_worker(s->conn), .session = s};
    p->token = w->spare;
    cmd_leave(w);
    enum store_status st = store_purge(w->store, p, &out->number);
    if (st != STORE_PENDING) return st;
    s->job = w->spare;
    s->job->number = out->number;
    w->spare = NULL;
    return st;
}

/* Applies p, whose selectors came as text. True: it has been carried out, here is what came of it. False: it is
 * answered, or the request will be run again when there is something to answer. */
static bool apply(struct session *s, const struct request *r, struct store_purge *p, const char *text, size_t n,
                  struct purged *out) {
    struct cmd_worker *w = s->worker;
    if (s->job != NULL) {
        *out = (struct purged){s->job->number, s->job->n};
        free(s->job);
        s->job = NULL;
        return true;
    }
    for (unsigned i = 0; i < p->nselectors; i++) {
        if (!p->selectors[i].all || !w->cmd->cfg.no_flush) continue;
        cmd_reply_lit(s, r, "CLIENT_ERROR flush_all not allowed");
        return false;
    }
    enum store_status st = ask(s, p, out);
    if (st == STORE_NO_MEMORY) {
        cmd_reply_lit(s, r, "SERVER_ERROR out of memory");
        return false;
    }
    if (st != STORE_OK) cmd_retry_later(s);
    if (st == STORE_AGAIN) return false;
    cmd_bump(s, p->soft ? CMD_METRIC_cmd_purge_soft : CMD_METRIC_cmd_purge);
    if (cmd_observed(s, CMD_OBSERVE_PURGES)) cmd_watch_purge(s, r->row->name, text, n, p->soft, out->number);
    return st == STORE_OK;
}

bool cmd_purge_list(struct session *s, const struct request *r, const char *list, size_t n, uint64_t *number) {
    struct store_purge p;
    struct purged got;
    read_list(s, list, n, &p);
    if (!apply(s, r, &p, list, n, &got)) return false;
    *number = got.number;
    return true;
}

/* ------------------------------------------------------------------ purge */

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
        cmd_purge_selector(word.p, word.n, &s->worker->selectors[p->nselectors++]);
        if (text->p == NULL) text->p = word.p;
        text->n = (size_t)(word.p + word.n - text->p);
    }
    return true;
}

void cmd_purge(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    struct purged got;
    if (read_words(s, r, false, &p, &text) && apply(s, r, &p, text.p, text.n, &got)) cmd_reply_lit(s, r, "PURGED");
}

/* ------------------------------------------------------------------ mp */

/* How the purge that m describes treats items. False: for longer than a stale copy may be served. */
static bool apply_soft_flags(const struct meta *m, struct store_purge *p) {
    const int64_t ttl = meta_has(m, 'T') ? m->ttl : STORE_SOFT_TTL_S;
    if (ttl < 0 || ttl > MP_TTL_MAX) return false;
    p->soft = meta_has(m, 'I') && ttl > 0; /* T0: not at all, so it is a hard one */
    p->soft_ttl_s = (uint32_t)ttl;
    return true;
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
    struct store_purge p;
    struct text_token list;
    struct purged got;
    size_t at = r->row->name_len;
    text_next(r->line, r->line_len, &at, &list);
    enum meta_error e = meta_parse(r->line, r->line_len, at, 2, META_MP, &list, s->worker->decoded, m);
    if (e == META_OK && !keytags_is_selectors(list.p, list.n)) e = META_FORMAT;
    if (e == META_OK) read_list(s, list.p, list.n, &p);
    if (e == META_OK && !apply_soft_flags(m, &p)) e = META_TOKEN;
    if (e != META_OK)
        cmd_meta_error(s, e);
    else if (apply(s, r, &p, list.p, list.n, &got))
        reply_mp(s, m, &list, got.number);
    if (!s->worker->retry) cmd_bump(s, CMD_METRIC_cmd_meta);
}

/* ------------------------------------------------------------------ the historic verbs */

void cmd_tags_delete(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    struct purged got;
    if (!read_words(s, r, true, &p, &text)) return;
    p.counted = true;
    if (!apply(s, r, &p, text.p, text.n, &got) || r->noreply) return;
    cmd_linef(s, "%lld ITEMS_DELETED", got.n < 0 ? 0ll : (long long)got.n);
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
    if (cmd_observed(s, CMD_OBSERVE_PURGES))
        cmd_watch_purge(s, "flush_all", "*", 1, false, store_number(w->cmd->store));
    cmd_reply_lit(s, r, "OK");
}
