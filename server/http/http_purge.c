/* SPDX-License-Identifier: BSD-3-Clause */
#include "http/http_purge.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/sync.h"
#include "cluster/cluster_task.h"
#include "cmd/cmd_config.h"
#include "cmd/cmd_purge.h"
#include "http/dialect.h"
#include "http/http.h"
#include "http/tokens.h"
#include "net/worker.h"
#include "proto/keytags.h"
#include "store/store.h"

#define LOCAL_WAIT_MS 700 /* ?wait=local: after 600 ms a node that hears no voter carries its purge out alone */
#define TEXT_MAX 128      /* bytes of an agent and an address in the audit */
#define HEADERS_MAX 4096

struct http_purges {
    struct http_purges_config cfg;
    struct http_route *routes;
    bool stopped;                                           /* set when the listener's thread is gone */
    struct store_selector selectors[KEYTAGS_SELECTORS_MAX]; /* of the purge that is being begun */
};

struct order;

/* One purge of a request. */
struct part {
    struct order *order;
    const char *text; /* its selectors, as in the order's */
    size_t bytes;
    unsigned nselectors;
    uint64_t number; /* of this node alone */
    struct cmd_ended ended;
    struct cluster_purge cluster;
};

/* A request that purges, until it is answered. */
struct order {
    struct http_job job; /* first: it is found by it */
    struct http_purges *purges;
    const struct dialect_purge *row;
    struct purge_wanted wanted;
    char token[TOKEN_NAME_MAX + 1], addr[TEXT_MAX], agent[TEXT_MAX];
    char by[TOKEN_NAME_MAX + TEXT_MAX + 2]; /* token@addr */
    uint64_t begun_ns, ended_ns;
    /* The instance's, which may be gone when the store ends a purge. */
    struct audit *audit;
    const struct clock *clock;
    bool clustered, erases;
    struct audit_wait asked;
    struct net_post post;
    const char *refusal; /* a literal; NULL: it was carried out, if only in part */
    uint32_t left;       /* atomic: parts under way, and one while they are begun */
    unsigned nparts;
    uint64_t *words; /* what the parts purge, as the cluster has it */
    struct part parts[];
};

/* ------------------------------------------------------------------ the audit */

static struct audit_event event_of(const struct order *o) {
    const struct purge_wanted *w = &o->wanted;
    return (struct audit_event){
        .event = "purge",
        .mode = w->all    ? "all"
                : w->soft ? "soft"
                          : "hard",
        .selectors = w->text != NULL ? w->text : "",
        .n = w->bytes,
        .ttl_s = !w->soft        ? (int64_t)-1
                 : w->ttl_s != 0 ? w->ttl_s
                                 : STORE_SOFT_TTL_S,
        .token = o->token,
        .kind = "http",
        .dialect = http_dialect_name(o->row->id),
        .addr = o->addr,
        .agent = o->agent,
        .ms = -1,
        .items = -1,
        .bytes = -1,
        .reason = w->reason,
    };
}

static void part_id(const struct part *part, char out[CLUSTER_PURGE_ID_TEXT]) {
    if (part->order->clustered)
        cluster_purge_id(&part->cluster, out);
    else
        snprintf(out, CLUSTER_PURGE_ID_TEXT, "%" PRIu64, part->number);
}

static void tell_part(const struct part *part) {
    const struct order *o = part->order;
    char id[CLUSTER_PURGE_ID_TEXT];
    struct audit_event e = event_of(o);
    part_id(part, id);
    e.id = id;
    e.selectors = part->text;
    e.n = part->bytes;
    e.stage = part->cluster.outcome == CLUSTER_REFUSED     ? "refused"
              : part->cluster.outcome == CLUSTER_CONFIRMED ? "confirmed"
                                                           : "pending";
    e.acked = part->cluster.acked;
    e.members = part->cluster.members;
    e.pending = part->cluster.missing;
    e.ms = (double)(o->ended_ns - o->begun_ns) / 1e6;
    e.error = part->cluster.refusal;
    if (o->wanted.counted) e.items = part->cluster.items;
    if (o->wanted.counted) e.bytes = (int64_t)part->cluster.bytes;
    audit_put(o->audit, &e);
    if (o->wanted.counted && !o->clustered && part->cluster.outcome == CLUSTER_CONFIRMED)
        audit_put_swept(o->audit, &e, o->erases);
}

static void tell_refused(const struct order *o, const char *why) {
    struct audit_event e = event_of(o);
    e.stage = "refused";
    e.error = why;
    audit_put(o->audit, &e);
}

/* ------------------------------------------------------------------ answers */

static void send_answer(struct http_exchange *x, const char *headers, struct dialect_answer *a) {
    http_reply_reason(x, a->status, a->reason[0] != '\0' ? a->reason : NULL, a->body != NULL ? a->type : NULL, headers,
                      a->body, a->body != NULL ? strlen(a->body) : 0);
    free(a->body);
}

/* Refuses a request before anything is begun: in its dialect's form, and in the audit. */
static void turn_away(struct http_exchange *x, const struct order *o, unsigned status, const char *why) {
    struct dialect_answer a = {0};
    o->row->dialect->failed(status, why, "", &a);
    tell_refused(o, why);
    send_answer(x, status == 503 ? "Retry-After: 1\r\n" : NULL, &a);
}

/* What became of all parts. */
struct outcome {
    bool confirmed;
    unsigned acked, members; /* of the part that fewest have */
    int64_t items;           /* taken out by all parts; -1: more than are counted */
    uint64_t bytes;
    char id[CLUSTER_PURGE_ID_TEXT];
    char headers[HEADERS_MAX];
};

static void sum_up(const struct order *o, struct outcome *out) {
    *out = (struct outcome){.confirmed = true, .acked = UINT32_MAX};
    size_t n = (size_t)snprintf(out->headers, sizeof out->headers, "X-Tagcached-Purge:");
    for (unsigned i = 0; i < o->nparts; i++) {
        const struct cluster_purge *c = &o->parts[i].cluster;
        char id[CLUSTER_PURGE_ID_TEXT];
        const bool confirmed = c->outcome == CLUSTER_CONFIRMED;
        part_id(&o->parts[i], id);
        if (i == 0) memcpy(out->id, id, sizeof id);
        out->confirmed &= confirmed;
        out->items = c->items < 0 || out->items < 0 ? -1 : out->items + c->items;
        out->bytes += c->bytes;
        if (c->acked < out->acked) out->acked = c->acked;
        if (c->members > out->members) out->members = c->members;
        if (n + 128 + strlen(c->missing) > sizeof out->headers) continue;
        n += (size_t)snprintf(out->headers + n, sizeof out->headers - n, "%s %s %s %u/%u%s%s", i > 0 ? "," : "", id,
                              confirmed ? "confirmed" : "pending", c->acked, c->members, confirmed ? "" : " ",
                              confirmed ? "" : c->missing);
    }
    memcpy(out->headers + n, "\r\n", 3);
}

/* Whether that is what the client wanted to wait for. */
static bool is_enough(const struct order *o, const struct outcome *got) {
    return got->confirmed || o->wanted.wait == PURGE_WAIT_NONE ||
           (o->wanted.wait == PURGE_WAIT_LOCAL && got->acked > 0);
}

static void answer(struct http_job *job, struct http_exchange *x) {
    const struct order *o = (const struct order *)job;
    struct dialect_answer a = {0};
    struct outcome got;
    char why[160];
    if (o->refusal != NULL) {
        o->row->dialect->failed(503, o->refusal, "", &a);
        send_answer(x, "Retry-After: 1\r\n", &a);
        return;
    }
    sum_up(o, &got);
    if (!o->clustered) http_note_applied(x->http, o->ended_ns - o->begun_ns);
    if (is_enough(o, &got)) {
        const struct dialect_outcome done = {
            .wanted = &o->wanted,
            .id = got.id,
            .confirmed = got.confirmed,
            .acked = got.acked,
            .members = got.members,
            .items = got.items,
            .bytes = got.bytes,
            .took_ms = (double)(o->ended_ns - o->begun_ns) / 1e6,
        };
        o->row->dialect->done(&done, &a);
    } else {
        snprintf(why, sizeof why, "not confirmed in time: %u of %u nodes have it, it goes on", got.acked, got.members);
        o->row->dialect->failed(504, why, got.id, &a);
    }
    send_answer(x, got.headers, &a);
}

/* ------------------------------------------------------------------ under way */

static void order_free(struct http_job *job) {
    struct order *o = (struct order *)job;
    purge_wanted_fini(&o->wanted);
    free(o->words);
    free(o);
}

/* Some parts have ended. Behind the last one the request is answered. */
static void ended(struct order *o) {
    if (sync_sub_rel(&o->left, 1) != 1) return;
    o->ended_ns = clock_boot_ns(o->clock);
    for (unsigned i = 0; i < o->nparts; i++) {
        if (o->parts[i].cluster.outcome == CLUSTER_REFUSED && o->refusal == NULL)
            o->refusal = o->parts[i].cluster.refusal;
        tell_part(&o->parts[i]);
    }
    http_job_end(&o->job);
}

static void on_cluster_done(struct cluster_purge *p) {
    ended(((struct part *)((char *)p - offsetof(struct part, cluster)))->order);
}

static void on_swept(struct cmd_ended *e, int64_t n, uint64_t bytes) {
    struct part *part = (struct part *)((char *)e - offsetof(struct part, ended));
    part->cluster.items = n;
    part->cluster.bytes = bytes;
    ended(part->order);
}

/* Reads a part's selectors. */
static void read_part(const struct part *part, struct store_selector *out) {
    struct text_token selector;
    size_t at = 0;
    for (unsigned i = 0; i < part->nselectors && keytags_next_selector(part->text, part->bytes, &at, &selector) > 0;
         i++)
        cmd_purge_selector(selector.p, selector.n, &out[i]);
}

/* Purges this node alone. A part that finds no place in the store's table is refused; the client may try again. */
static void begin_alone(struct order *o, struct part *part) {
    struct http_purges *p = o->purges;
    const struct store_purge purge = {
        .selectors = p->selectors,
        .nselectors = part->nselectors,
        .soft = o->wanted.soft,
        .soft_ttl_s = o->wanted.ttl_s,
        .counted = o->wanted.counted,
        .token = &part->ended,
    };
    part->ended.ended = on_swept;
    part->cluster.acked = part->cluster.members = 1;
    read_part(part, p->selectors);
    const enum store_status st = store_purge(p->cfg.store, &purge, &part->number);
    if (st == STORE_PENDING) return;
    if (st != STORE_OK) {
        part->cluster.outcome = CLUSTER_REFUSED;
        part->cluster.refusal = st == STORE_AGAIN ? "too many purges pending" : "out of memory";
    }
    ended(o);
}

static void begin(struct order *o) {
    const struct cmd_cluster *cluster = o->purges->cfg.cluster;
    for (unsigned i = 0; i < o->nparts; i++) {
        if (cluster != NULL)
            cluster->purge(cluster->arg, &o->parts[i].cluster);
        else
            begin_alone(o, &o->parts[i]);
    }
    ended(o);
}

static void begin_posted(struct net_worker *w, void *arg) {
    struct order *o = arg;
    (void)w;
    if (!o->purges->stopped) {
        begin(o);
        return;
    }
    o->refusal = "this node is ending";
    http_job_end(&o->job);
}

/* The audit has the line, or cannot have it. On the audit's thread, or the listener's. */
static void on_asked(struct audit_wait *w, bool written) {
    struct order *o = (struct order *)((char *)w - offsetof(struct order, asked));
    if (written) {
        worker_post(o->job.net, &o->post, begin_posted, o);
        return;
    }
    o->refusal = "the audit cannot be written";
    http_job_end(&o->job);
}

/* ------------------------------------------------------------------ a request */

/* Cuts the selectors into purges of as many as one may have. False: no memory. */
static bool cut(struct order *o) {
    const struct purge_wanted *w = &o->wanted;
    size_t nwords = w->nselectors, at = 0;
    for (size_t i = 0; i < w->bytes; i++) nwords += w->text[i] == '+';
    uint64_t *to = o->words = malloc((nwords + w->nselectors) * sizeof *to);
    if (to == NULL) return false;
    for (unsigned i = 0; i < o->nparts; i++) {
        struct part *part = &o->parts[i];
        struct text_token selector;
        const unsigned rest = w->nselectors - i * KEYTAGS_SELECTORS_MAX;
        const uint64_t *first = to;
        part->order = o;
        part->text = w->text + at;
        part->nselectors = rest < KEYTAGS_SELECTORS_MAX ? rest : KEYTAGS_SELECTORS_MAX;
        for (unsigned k = 0; k < part->nselectors; k++) {
            struct store_selector one;
            (void)keytags_next_selector(w->text, w->bytes, &at, &selector);
            cmd_purge_selector(selector.p, selector.n, &one);
            *to++ = one.ntags;
            for (unsigned j = 0; j < one.ntags; j++) *to++ = one.tags[j];
        }
        part->bytes = (size_t)(w->text + at - part->text) - 1; /* `at` is behind a comma */
        part->cluster = (struct cluster_purge){
            .words = first,
            .nwords = (unsigned)(to - first),
            .nselectors = part->nselectors,
            .text = part->text,
            .text_bytes = part->bytes,
            .by = o->by,
            .soft = w->soft,
            .counted = w->counted,
            .soft_ttl_s = w->ttl_s != 0 ? w->ttl_s : STORE_SOFT_TTL_S,
            .wait_ms = w->wait == PURGE_WAIT_NONE                                  ? 0
                       : w->wait == PURGE_WAIT_LOCAL && w->wait_ms > LOCAL_WAIT_MS ? LOCAL_WAIT_MS
                                                                                   : w->wait_ms,
            .done = on_cluster_done,
        };
    }
    return true;
}

static void copy_text(char *to, size_t size, struct text_token from) {
    const size_t n = from.n < size - 1 ? from.n : size - 1;
    if (n > 0) memcpy(to, from.p, n);
    to[n] = '\0';
}

/* Notes who asks. */
static void note_actor(struct order *o, const struct http_exchange *x) {
    const struct token *who = x->actor;
    if (who != NULL) memcpy(o->token, who->name, sizeof o->token);
    copy_text(o->addr, sizeof o->addr, (struct text_token){x->peer, strlen(x->peer)});
    snprintf(o->by, sizeof o->by, "%s%s%s", o->token, o->token[0] != '\0' ? "@" : "", o->addr);
    copy_text(o->agent, sizeof o->agent, http_request_first(x->request, "User-Agent"));
}

/* Why the request may not be carried out; *status 0: it may. */
static const char *refuses(const struct http_purges *p, const struct http_exchange *x, struct purge_wanted *w,
                           unsigned *status) {
    const struct dialect_input in = {x->request, x->match, p->cfg.url_tag};
    const struct dialect_purge *row = &dialect_purges[x->route - p->routes];
    if (!dialect_read(row, &in, w)) {
        *status = w->status;
        return w->why;
    }
    const char *why = w->all && p->cfg.no_flush ? "purges of everything are off (-F)"
                                                : tokens_refuse(x->actor, w->all, w->text, w->bytes);
    *status = why != NULL ? 403 : 0;
    if (why != NULL || w->reason[0] != '\0' || !audit_wants_reason(p->cfg.audit)) return why;
    *status = 400;
    return "a reason is demanded: ?reason=, or the header X-Tagcached-Reason";
}

static struct order order_of(struct http_purges *p, const struct http_exchange *x) {
    return (struct order){
        .job = {.reply = answer, .free = order_free},
        .purges = p,
        .audit = p->cfg.audit,
        .clock = p->cfg.clock,
        .clustered = p->cfg.cluster != NULL,
        .erases = p->cfg.erase,
        .row = &dialect_purges[x->route - p->routes],
        .begun_ns = clock_boot_ns(p->cfg.clock),
        .asked = {.done = on_asked},
    };
}

static void run(struct http_exchange *x) {
    struct http_purges *p = x->route->arg;
    struct order head = order_of(p, x), *o;
    unsigned status;
    purge_wanted_init(&head.wanted);
    note_actor(&head, x);
    const char *why = refuses(p, x, &head.wanted, &status);
    const unsigned nparts = (head.wanted.nselectors + KEYTAGS_SELECTORS_MAX - 1) / KEYTAGS_SELECTORS_MAX;
    o = status == 0 ? calloc(1, sizeof *o + nparts * sizeof *o->parts) : NULL;
    if (o != NULL) {
        *o = head;
        o->nparts = nparts;
        o->left = nparts + 1;
    }
    if (o == NULL || !cut(o)) {
        turn_away(x, &head, status != 0 ? status : 503, status != 0 ? why : "out of memory");
        purge_wanted_fini(&head.wanted);
        free(o);
        return;
    }
    http_wait(x, &o->job);
    http_note_purges(x->http, nparts);
    if (audit_required(o->audit)) {
        struct audit_event e = event_of(o);
        e.stage = "asked";
        audit_put_waiting(o->audit, &e, &o->asked);
    } else {
        begin(o);
    }
}

/* 401: no token that is known; 403: it has no scope for any purge; 429: its rate. */
static void refuse(struct http_exchange *x, unsigned status) {
    struct order o = order_of(x->route->arg, x);
    note_actor(&o, x);
    turn_away(x, &o, status,
              status == 401   ? "a token is missing, or not known"
              : status == 403 ? "this token may not purge"
                              : "this token has done too much of late");
}

/* ------------------------------------------------------------------ life */

int http_purges_new(const struct http_purges_config *cfg, struct http_purges **out) {
    struct http_purges *p = calloc(1, sizeof *p);
    if (p == NULL) return -ENOMEM;
    p->cfg = *cfg;
    p->routes = calloc(dialect_purges_count() + 1, sizeof *p->routes);
    if (p->routes == NULL) {
        http_purges_free(p);
        return -ENOMEM;
    }
    dialect_routes(p->routes, run, refuse, p);
    *out = p;
    return 0;
}

void http_purges_stop(struct http_purges *p) {
    p->stopped = true;
}

void http_purges_free(struct http_purges *p) {
    if (p == NULL) return;
    free(p->routes);
    free(p);
}

const struct http_route *http_purges_routes(const struct http_purges *p) {
    return p->routes;
}
