/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Handlers: mp, purge, tag_delete, tags_delete, flush_all. */
#include "cmd/cmd_purge.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cluster/cluster_task.h"
#include "cmd/cmd_audit.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_job.h"
#include "cmd/cmd_meta.h"
#include "cmd/cmd_purge_known.h"
#include "cmd/cmd_purge_reply.h"
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

#define CMD_PURGE_WAIT_MS 2000         /* how long other nodes are waited for unless `w` says it */
#define CMD_PURGE_WAIT_MAX_MS 3600000u /* at most */

_Static_assert(KEYTAGS_SELECTORS_MAX <= STORE_SELECTORS_MAX, "a list is one purge");

/* ------------------------------------------------------------------ selectors */

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

/* ------------------------------------------------------------------ carrying out */

/* A purge that is answered later (cmd_job.h): the store has to sweep first, or the other nodes have to carry it out. */
struct purge_job {
    struct cmd_job job; /* first: it is found by it */
    struct cmd_ended ended;
    uint64_t begun_ns;            /* the node's clock */
    uint64_t number;              /* alone: the purge's, and */
    int64_t n;                    /* the items it took out, if it counts them; -1: too many to count */
    uint64_t bytes;               /* theirs */
    struct cluster_purge cluster; /* in a cluster */
    uint64_t words[];             /* what that purges; behind them the text of it, and who asked */
};

static void job_free(struct cmd_job *job) {
    free(job);
}

static struct purge_job *job_new(unsigned nwords, size_t text_bytes) {
    return calloc(1, sizeof(struct purge_job) + nwords * sizeof(uint64_t) + text_bytes);
}

static void on_ended(struct cmd_ended *e, int64_t n, uint64_t bytes) {
    struct purge_job *job = (struct purge_job *)((char *)e - offsetof(struct purge_job, ended));
    job->n = n;
    job->bytes = bytes;
    cmd_job_end(&job->job);
}

static uint64_t now_of(const struct session *s) {
    return clock_boot_ns(s->worker->cmd->cfg.clock);
}

/* A purge of this node alone, which was asked for then, is applied. */
static void note_applied(struct cmd_worker *w, uint64_t begun_ns) {
    histogram_add(&w->latencies.purge_apply, clock_boot_ns(w->cmd->cfg.clock) - begun_ns);
}

/* Purges this node alone. If the purge takes time the worker's spare job becomes the session's; else it stays for the
 * next purge. */
static enum store_status start_alone(struct session *s, struct store_purge *p, uint64_t *number) {
    struct cmd_worker *w = s->worker;
    struct purge_job *job = (struct purge_job *)w->spare;
    if (job == NULL && (job = job_new(0, 0)) == NULL) return STORE_NO_MEMORY;
    cmd_job_init(&job->job, s, job_free);
    w->spare = &job->job;
    job->ended.ended = on_ended;
    job->begun_ns = now_of(s);
    p->token = &job->ended;
    cmd_leave(w);
    enum store_status st = store_purge(w->store, p, number);
    if (st == STORE_OK) note_applied(w, job->begun_ns);
    if (st != STORE_PENDING) return st;
    job->number = *number;
    cmd_job_begin(s, &job->job);
    w->spare = NULL;
    return st;
}

static void on_cluster_done(struct cluster_purge *p) {
    cmd_job_end(&((struct purge_job *)((char *)p - offsetof(struct purge_job, cluster)))->job);
}

/* Writes what is to be purged as the cluster has it: of each selector how many tags (0: everything), and they. */
static void write_words(const struct store_purge *p, uint64_t *to) {
    for (unsigned i = 0; i < p->nselectors; i++) {
        *to++ = p->selectors[i].ntags;
        for (unsigned j = 0; j < p->selectors[i].ntags; j++) *to++ = p->selectors[i].tags[j];
    }
}

/* Purges the whole cluster: always answered later. */
static enum store_status start_cluster(struct session *s, const struct store_purge *p, const char *text, size_t n,
                                       uint64_t wait_ms) {
    const struct cmd_cluster *cluster = s->worker->cmd->cluster;
    unsigned nwords = p->nselectors;
    for (unsigned i = 0; i < p->nselectors; i++) nwords += p->selectors[i].ntags;
    if (n > CLUSTER_PURGE_TEXT_MAX) n = CLUSTER_PURGE_TEXT_MAX + 1;
    const char *peer = conn_peer(s->conn);
    const size_t peer_bytes = strlen(peer) + 1;
    struct purge_job *job = job_new(nwords, n + peer_bytes);
    if (job == NULL) return STORE_NO_MEMORY;
    cmd_job_init(&job->job, s, job_free);
    job->begun_ns = now_of(s);
    write_words(p, job->words);
    char *copy = (char *)(job->words + nwords), *by = copy + n;
    memcpy(copy, text, n);
    memcpy(by, peer, peer_bytes);
    job->cluster = (struct cluster_purge){
        .words = job->words,
        .nwords = nwords,
        .nselectors = p->nselectors,
        .text = copy,
        .text_bytes = n,
        .by = by,
        .soft = p->soft,
        .soft_ttl_s = p->soft_ttl_s != 0 ? p->soft_ttl_s : STORE_SOFT_TTL_S,
        .counted = p->counted,
        .wait_ms = wait_ms < CMD_PURGE_WAIT_MAX_MS ? (uint32_t)wait_ms : CMD_PURGE_WAIT_MAX_MS,
        .done = on_cluster_done,
    };
    cmd_leave(s->worker);
    cmd_job_begin(s, &job->job);
    cluster->purge(cluster->arg, &job->cluster);
    return STORE_PENDING;
}

/* Takes the outcome of the job that the session began for this request. False: it was refused, which is answered. */
static bool take_outcome(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                         size_t n, struct cmd_purged *out) {
    struct purge_job *job = (struct purge_job *)cmd_job_take(s);
    const bool clustered = s->worker->cmd->cluster != NULL,
               refused = clustered && job->cluster.outcome == CLUSTER_REFUSED;
    if (refused) cmd_reply_error(s, r, BINARY_TEMPORARY, "SERVER_ERROR %s", job->cluster.refusal);
    if (!clustered) note_applied(s->worker, job->begun_ns);
    if (clustered)
        *out = (struct cmd_purged){job->cluster.id,    job->cluster.items,
                                   job->cluster.bytes, job->cluster.outcome == CLUSTER_CONFIRMED,
                                   job->cluster.acked, job->cluster.members};
    else
        *out = (struct cmd_purged){job->number, job->n, job->bytes, true, 1, 1};
    const uint64_t took_ns = now_of(s) - job->begun_ns;
    if (clustered)
        cmd_audit_cluster(s, r, p, text, n, &job->cluster, took_ns);
    else
        cmd_audit_alone(s, r, p, text, n, job->number, took_ns, job->n, job->bytes);
    job_free(&job->job);
    return !refused;
}

static void refuse_flush(struct session *s, const struct request *r) {
    if (cmd_is_packet(r))
        packet_error(s, r, BINARY_AUTH_FAILED); /* as memcached says it */
    else
        cmd_reply_lit(s, r, "CLIENT_ERROR flush_all not allowed");
}

/* Whether the purge may be made: -F forbids `*`. */
static bool allowed(const struct session *s, const struct store_purge *p) {
    for (unsigned i = 0; i < p->nselectors; i++)
        if (p->selectors[i].all && s->worker->cmd->cfg.no_flush) return false;
    return true;
}

/* Counts a purge that has begun, and tells those who watch. number: this node's, 0: it belongs to a cluster. */
static void note_begun(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                       size_t n, uint64_t number) {
    cmd_bump(s, p->soft ? CMD_METRIC_cmd_purge_soft : CMD_METRIC_cmd_purge);
    if (cmd_observed(s, CMD_OBSERVE_PURGES)) cmd_watch_purge(s, r->row->name, text, n, p->soft, number);
}

/* Whether the purge may begin now. False: it was refused, which is answered, or the request is run again. */
static bool may_begin(struct session *s, const struct request *r, const struct store_purge *p, const char *text,
                      size_t n) {
    if (!allowed(s, p)) {
        refuse_flush(s, r);
        cmd_audit_refused(s, r, p, text, n, "flush_all not allowed");
        return false;
    }
    if (cmd_audit_lacks_reason(s, r)) {
        cmd_reply_error(s, r, BINARY_AUTH_FAILED, "CLIENT_ERROR a reason is demanded: mp <selectors> r<text>");
        cmd_audit_refused(s, r, p, text, n, "a reason is demanded");
        return false;
    }
    switch (cmd_audit_ask(s, r, p, text, n)) {
    case CMD_AUDIT_GO: return true;
    case CMD_AUDIT_LATER: cmd_retry_later(s); return false;
    case CMD_AUDIT_REFUSED: break;
    }
    cmd_reply_error(s, r, BINARY_TEMPORARY, "SERVER_ERROR the audit cannot be written");
    return false;
}

/* Carries out p, whose selectors came as text[0..n), and waits for other nodes for so long. True: *out is its outcome.
 * False: an error was answered, or the request will be run again once there is an outcome. */
static bool carry_out(struct session *s, const struct request *r, struct store_purge *p, const char *text, size_t n,
                      uint64_t wait_ms, struct cmd_purged *out) {
    struct cmd_worker *w = s->worker;
    if (cmd_job_waits(s)) { /* it was begun with the one before it */
        cmd_retry_later(s);
        return false;
    }
    if (s->job != NULL && !cmd_audit_asks(s)) return take_outcome(s, r, p, text, n, out);
    if (!may_begin(s, r, p, text, n)) return false;
    *out = (struct cmd_purged){.confirmed = true, .acked = 1, .members = 1};
    cmd_purge_known_text(w->cmd->purges, text, n);
    enum store_status st =
        w->cmd->cluster != NULL ? start_cluster(s, p, text, n, wait_ms) : start_alone(s, p, &out->number);
    if (st == STORE_NO_MEMORY) {
        cmd_reply_error(s, r, BINARY_NO_MEMORY, "SERVER_ERROR out of memory");
        cmd_audit_refused(s, r, p, text, n, "out of memory");
        return false;
    }
    if (st != STORE_OK) cmd_retry_later(s);
    if (st == STORE_AGAIN) return false;
    note_begun(s, r, p, text, n, out->number);
    if (st == STORE_OK) cmd_audit_alone(s, r, p, text, n, out->number, 0, 0, 0);
    return st == STORE_OK;
}

/* For the commands whose one good answer means "confirmed". False: it is not, which is answered. */
static bool confirmed(struct session *s, const struct request *r, const struct cmd_purged *got) {
    if (!got->confirmed)
        cmd_reply_error(s, r, BINARY_TEMPORARY, "SERVER_ERROR purge pending %u/%u", got->acked, got->members);
    return got->confirmed;
}

bool cmd_purge_list(struct session *s, const struct request *r, const char *list, size_t n, uint64_t *number) {
    struct store_purge p;
    struct cmd_purged got;
    read_list(s, list, n, &p);
    if (!carry_out(s, r, &p, list, n, CMD_PURGE_WAIT_MS, &got) || !confirmed(s, r, &got)) return false;
    *number = got.number;
    return true;
}

/* ------------------------------------------------------------------ purge */

/* Reads the words behind the command, but for noreply, as selectors or (tags) as plain tags. False: one is malformed,
 * or there are too many. */
static bool read_words(struct session *s, const struct request *r, bool tags, struct store_purge *p,
                       struct text_token *text) {
    struct text_token word;
    size_t at = r->row->name_len, n = r->line_len;
    if (r->noreply) n = (size_t)(text_last(r->line, n).p - r->line);
    *p = (struct store_purge){.selectors = s->worker->selectors};
    *text = (struct text_token){NULL, 0};
    while (text_next(r->line, n, &at, &word)) {
        bool good = tags ? keytags_is_tag(word.p, word.n) : keytags_is_selector(word.p, word.n);
        if (!good || p->nselectors == KEYTAGS_SELECTORS_MAX) return false;
        cmd_purge_selector(word.p, word.n, &s->worker->selectors[p->nselectors++]);
        if (text->p == NULL) text->p = word.p;
        text->n = (size_t)(word.p + word.n - text->p);
    }
    return true;
}

void cmd_purge(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    struct cmd_purged got;
    if (!read_words(s, r, false, &p, &text)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    if (!carry_out(s, r, &p, text.p, text.n, CMD_PURGE_WAIT_MS, &got)) return;
    if (got.confirmed)
        cmd_reply_lit(s, r, "PURGED");
    else if (!r->noreply)
        cmd_linef(s, "PARTIAL %u/%u", got.acked, got.members);
}

/* ------------------------------------------------------------------ mp */

/* Fills in whether the purge is soft, and for how long, from the flags I and T. False: T is out of range. */
static bool apply_soft_flags(const struct meta *m, struct store_purge *p) {
    const int64_t ttl = meta_has(m, 'T') ? m->ttl : STORE_SOFT_TTL_S;
    if (ttl < 0 || ttl > STORE_SOFT_TTL_MAX_S) return false;
    p->soft = meta_has(m, 'I') && ttl > 0; /* T0: stale copies are not served at all, so it is a hard purge */
    p->soft_ttl_s = (uint32_t)ttl;
    p->counted = meta_has(m, 'c') && !p->soft; /* a soft one takes nothing out */
    return true;
}

/* Reads the line: its flags into the worker's `meta`. *list: the selectors as text. */
static enum meta_error read_mp(struct session *s, const struct request *r, struct store_purge *p,
                               struct text_token *list, uint64_t *wait_ms) {
    struct meta *m = &s->worker->meta;
    size_t at = r->row->name_len;
    text_next(r->line, r->line_len, &at, list);
    const enum meta_error e = meta_parse(r->line, r->line_len, at, 2, META_MP, list, s->worker->decoded, m);
    if (e != META_OK) return e;
    if (!keytags_is_selectors(list->p, list->n)) return META_FORMAT;
    read_list(s, list->p, list->n, p);
    *wait_ms = meta_has(m, 'w') ? m->wait_ms : CMD_PURGE_WAIT_MS;
    return apply_soft_flags(m, p) ? META_OK : META_TOKEN;
}

void cmd_mp(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token list;
    struct cmd_purged got;
    uint64_t wait_ms;
    const enum meta_error e = read_mp(s, r, &p, &list, &wait_ms);
    if (e != META_OK)
        cmd_meta_error(s, e);
    else if (carry_out(s, r, &p, list.p, list.n, wait_ms, &got))
        cmd_purge_reply_mp(s, &s->worker->meta, &list, &got);
    if (!s->worker->retry) cmd_bump(s, CMD_METRIC_cmd_meta);
}

/* ------------------------------------------------------------------ pipelined */

bool cmd_purge_waits_for_others(const struct session *s, const struct request *r) {
    const struct cmd *cmd = s->worker->cmd;
    if (cmd->cluster == NULL) return false;
    if (audit_required(cmd->cfg.audit) || audit_wants_reason(cmd->cfg.audit)) return false; /* (it is asked first) */
    return (r->row->id == CMD_ID_purge || r->row->id == CMD_ID_mp) && cmd_job_count(s) > 0;
}

bool cmd_purge_begin_early(struct session *s, const struct request *r) {
    struct store_purge p;
    struct text_token text;
    uint64_t wait_ms = CMD_PURGE_WAIT_MS;
    if (r->error != CMD_OK) return false;
    if (r->row->id == CMD_ID_purge ? !read_words(s, r, false, &p, &text)
                                   : r->row->id != CMD_ID_mp || read_mp(s, r, &p, &text, &wait_ms) != META_OK)
        return false;
    if (!allowed(s, &p)) return false;
    cmd_purge_known_text(s->worker->cmd->purges, text.p, text.n);
    if (start_cluster(s, &p, text.p, text.n, wait_ms) != STORE_PENDING) return false;
    note_begun(s, r, &p, text.p, text.n, 0);
    return true;
}

/* ------------------------------------------------------------------ the historic verbs */

void cmd_tags_delete(struct session *s, struct request *r) {
    struct store_purge p;
    struct text_token text;
    struct cmd_purged got;
    if (!read_words(s, r, true, &p, &text)) {
        cmd_reply_lit(s, r, CMD_BAD_FORMAT);
        return;
    }
    p.counted = true;
    if (!carry_out(s, r, &p, text.p, text.n, CMD_PURGE_WAIT_MS, &got) || !confirmed(s, r, &got) || r->noreply) return;
    cmd_linef(s, "%lld ITEMS_DELETED", got.n < 0 ? 0ll : (long long)got.n);
}

/* ------------------------------------------------------------------ flush_all */

static const struct store_selector everything = {.all = true};
static const struct store_purge flush = {.selectors = &everything, .nselectors = 1};

/* A flush that is to be made later: told when it was asked for. True: it may be planned. */
static bool may_plan(struct session *s, const struct request *r) {
    if (!may_begin(s, r, &flush, "*", 1)) return false;
    cmd_audit_planned(s, r, &flush, "*", 1);
    return true;
}

/* Flushes the whole cluster, now or when the delay is over. */
static void flush_cluster(struct session *s, const struct request *r, int64_t delay) {
    const struct cmd_cluster *cluster = s->worker->cmd->cluster;
    const int64_t delay_s = delay <= 0 ? 0 : cmd_expiry_ttl(s, store_expiry(s->worker->store, delay));
    struct store_purge p = flush;
    struct cmd_purged got;
    if (delay_s > 0) {
        if (!may_plan(s, r)) return;
        cluster->flush_later(cluster->arg, (uint32_t)delay_s);
        cmd_reply_ok(s, r);
    } else if (carry_out(s, r, &p, "*", 1, CMD_PURGE_WAIT_MS, &got) && confirmed(s, r, &got)) {
        cmd_reply_ok(s, r);
    }
}

/* The same of this node alone. */
static void flush_alone(struct session *s, const struct request *r, int64_t delay) {
    struct cmd_worker *w = s->worker;
    if (delay > 0 ? !may_plan(s, r) : !may_begin(s, r, &flush, "*", 1)) return;
    store_flush_at(w->store, delay <= 0 ? 0 : store_expiry(w->store, delay));
    const uint64_t number = store_number(w->cmd->store);
    if (cmd_observed(s, CMD_OBSERVE_PURGES)) cmd_watch_purge(s, "flush_all", "*", 1, false, number);
    if (delay <= 0) cmd_audit_alone(s, r, &flush, "*", 1, number, 0, 0, 0);
    cmd_reply_ok(s, r);
}

void cmd_purge_all(struct session *s, const struct request *r, int64_t delay) {
    if (s->job == NULL) cmd_bump(s, CMD_METRIC_cmd_flush); /* not again when it is run for its outcome */
    if (cmd_job_waits(s)) {
        cmd_retry_later(s);
    } else if (s->worker->cmd->cfg.no_flush) {
        refuse_flush(s, r);
        cmd_audit_refused(s, r, &flush, "*", 1, "flush_all not allowed");
    } else if (s->worker->cmd->cluster != NULL) {
        flush_cluster(s, r, delay);
    } else {
        flush_alone(s, r, delay);
    }
}

void cmd_flush_all(struct session *s, struct request *r) {
    struct text_token words[3];
    const unsigned n = cmd_split(r, words, 3);
    int64_t delay = 0;
    if (n > 1u + r->noreply && !s->worker->cmd->cfg.no_flush && !text_i64(words[1].p, words[1].n, &delay)) {
        cmd_bump(s, CMD_METRIC_cmd_flush);
        cmd_reply_lit(s, r, "CLIENT_ERROR invalid exptime argument");
        return;
    }
    cmd_purge_all(s, r, delay);
}
