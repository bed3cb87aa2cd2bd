/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The purges: their machine on the cluster's thread, and those who wait for an outcome. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cluster/cluster_state.h"
#include "cluster/purgelog.h"

#define LACKING_SHOWN 8 /* nodes that are named at most */

/* ------------------------------------------------------------------ who waits */

void cluster_waiter_begin(struct cluster *c, struct cluster_waiter *w) {
    *w = (struct cluster_waiter){.token = c->next_token++};
    TAILQ_INSERT_TAIL(&c->waiters, w, entry);
}

struct cluster_waiter *cluster_waiter_of(struct cluster *c, uint64_t token) {
    struct cluster_waiter *w;
    TAILQ_FOREACH(w, &c->waiters, entry)
    if (w->token == token) return w;
    return NULL;
}

void cluster_waiter_end(struct cluster *c, struct cluster_waiter *w) {
    TAILQ_REMOVE(&c->waiters, w, entry);
    if (w->confirmed) c->ncounting--;
}

static void refuse(struct cluster_purge *p, const char *sentence) {
    p->outcome = CLUSTER_REFUSED;
    p->refusal = sentence;
    p->done(p);
}

void cluster_purge_source_id(const struct purging_source *s, char out[CLUSTER_PURGE_ID_TEXT]) {
    if (s->origin != 0)
        snprintf(out, CLUSTER_PURGE_ID_TEXT, "%" PRIu32 "-%" PRIu64, s->origin, s->sequence);
    else
        snprintf(out, CLUSTER_PURGE_ID_TEXT, "v%" PRIu32 "-%" PRIu64, s->via.number, s->via.counter);
}

void cluster_purge_id(const struct cluster_purge *p, char out[CLUSTER_PURGE_ID_TEXT]) {
    const struct purging_source s = {p->waiter.via, (uint32_t)(p->id >> 40), p->id & ((UINT64_C(1) << 40) - 1)};
    if (s.origin != 0 || s.via.number != 0)
        cluster_purge_source_id(&s, out);
    else
        out[0] = '\0';
}

/* The nodes that lack a purge, by name. */
static void write_missing(const struct cluster *c, const struct purging_receipt *r, char *to, size_t size) {
    uint32_t lacking[LACKING_SHOWN];
    size_t at = 0;
    const struct configuration *now = config_current(c->config);
    unsigned n = r->origin != 0 ? purging_lacking(c->purging, r->origin, r->sequence, lacking, LACKING_SHOWN) : 0;
    to[0] = 0;
    if (n > LACKING_SHOWN) n = LACKING_SHOWN;
    for (unsigned i = 0; now != NULL && i < n; i++) {
        const struct configuration_member *m = configuration_by_number(now, lacking[i]);
        if (m == NULL || at + strlen(m->name) + 2 > size) continue;
        at += (size_t)snprintf(to + at, size - at, "%s%s", at > 0 ? "," : "", m->name);
    }
}

static void log_unconfirmed(struct cluster *c, const struct cluster_purge *p) {
    if (!cluster_may_log(c, "purge_unconfirmed")) return;
    cluster_log(c, "purge_unconfirmed", "acked=%u members=%u missing=%s", p->acked, p->members,
                p->missing[0] != 0 ? p->missing : "-");
}

static void outcome(void *arg, uint64_t token, const struct purging_receipt *r) {
    struct cluster *c = arg;
    struct cluster_waiter *w = cluster_waiter_of(c, token);
    if (w == NULL) return;
    struct cluster_purge *p = w->purge;
    if (p != NULL && r->status != PURGING_LOG_FULL) {
        p->outcome = r->status == PURGING_CONFIRMED ? CLUSTER_CONFIRMED : CLUSTER_PENDING;
        p->acked = r->acked;
        p->members = r->members;
        p->id = ((uint64_t)r->origin << 40) + r->sequence;
        if (p->outcome == CLUSTER_PENDING) {
            write_missing(c, r, p->missing, sizeof p->missing);
            log_unconfirmed(c, p);
            cluster_receipts_late(c->receipts, w->via);
        }
        if (p->counted && p->outcome == CLUSTER_CONFIRMED && w->counts < p->acked) {
            w->confirmed = true; /* these have carried it out, not all have said what it took out */
            c->ncounting++;
            return;
        }
    }
    cluster_waiter_end(c, w);
    if (p == NULL)
        cluster_answers_receipt(c, w->question, r);
    else if (r->status == PURGING_LOG_FULL)
        refuse(p, "purge log full");
    else
        p->done(p);
}

void cluster_purges_end(struct cluster *c) {
    struct cluster_waiter *w, *next;
    for (w = TAILQ_FIRST(&c->waiters); w != NULL; w = next) {
        next = TAILQ_NEXT(w, entry);
        cluster_waiter_end(c, w);
        if (w->purge != NULL)
            refuse(w->purge, "this node is ending");
        else
            cluster_answers_changed(c, w->question, "this node is ending");
    }
}

/* ------------------------------------------------------------------ asking */

/* The selectors of a client's purge. False: beyond the bounds, which the commands keep. */
static bool read_selectors(const struct cluster_purge *p, struct purge_selector *out) {
    unsigned at = 0;
    for (unsigned i = 0; i < p->nselectors; i++) {
        if (at >= p->nwords || p->words[at] > p->nwords - at - 1) return false;
        out[i] = (struct purge_selector){(unsigned)p->words[at], &p->words[at + 1]};
        at += 1 + out[i].ntags;
    }
    return true;
}

static void begin(struct cluster *c, struct cluster_purge *p) {
    struct purge_selector selectors[PURGE_EVENT_SELECTORS_MAX];
    struct cluster_waiter *w = &p->waiter;
    if (p->nselectors > PURGE_EVENT_SELECTORS_MAX || !read_selectors(p, selectors)) {
        refuse(p, "too many selectors");
        return;
    }
    cluster_waiter_begin(c, w);
    w->purge = p;
    const struct purging_request r = {.selectors = selectors,
                                      .nselectors = p->nselectors,
                                      .soft = p->soft,
                                      .counted = p->counted,
                                      .ttl_s = p->soft_ttl_s,
                                      .wait_ns = p->wait_ms * UINT64_C(1000000),
                                      .token = w->token};
    const uint64_t now = cluster_now(c);
    w->deadline_ns = now + r.wait_ns;
    const int result = purging_purge(c->purging, now, &r, &w->via);
    if (result == 0) {
        cluster_receipts_begin(c->receipts, now, w->via, p);
        return;
    }
    cluster_waiter_end(c, w);
    refuse(p, result == -ENOTCONN ? "no cluster yet"
              : result == -ENOSPC ? "too many purges pending"
              : result == -EINVAL ? "too many selectors"
                                  : "out of memory");
}

static void run_purge(struct cluster *c, struct cluster_task *t) {
    begin(c, (struct cluster_purge *)((char *)t - offsetof(struct cluster_purge, task)));
}

void cluster_purge(struct cluster *c, struct cluster_purge *p) {
    cluster_post(c, &p->task, run_purge);
}

struct later {
    struct cluster_task task;
    uint32_t seconds;
};

static void run_later(struct cluster *c, struct cluster_task *t) {
    struct later *l = (struct later *)t;
    const uint64_t at = cluster_now(c) + l->seconds * CLUSTER_SECOND_NS;
    c->flush_at_ns = at; /* the last one counts, as in memcached */
    free(l);
}

void cluster_flush_later(struct cluster *c, uint32_t seconds) {
    struct later *l = calloc(1, sizeof *l);
    if (l == NULL) return;
    l->seconds = seconds;
    cluster_post(c, &l->task, run_later);
}

static void flushed(struct cluster_purge *p) {
    free(p);
}

static void flush_now(struct cluster *c) {
    static const uint64_t everything[1] = {0};
    struct cluster_purge *p = calloc(1, sizeof *p);
    c->flush_at_ns = 0;
    if (p == NULL) return;
    p->words = everything;
    p->nwords = p->nselectors = 1;
    p->text = "*";
    p->text_bytes = 1;
    p->done = flushed;
    begin(c, p);
}

/* ------------------------------------------------------------------ the machine */

static void send_purge(void *arg, uint32_t member, const struct peer_purge *m) {
    struct cluster *c = arg;
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *to = now == NULL ? NULL : configuration_by_number(now, member);
    if (to == NULL) return;
    struct peer_purge said = *m;
    if (m->kind == PEER_PURGE_POLL && c->handing_over) said.flags |= PEER_PURGE_HANDING;
    peer_arena_reset(&c->scratch);
    const size_t n = peer_purge_pack(&said, &c->scratch, c->packed, PEER_CONTROL_MAX);
    if (n > 0) cluster_send(c, &to->id, to->address, c->packed, n);
}

/* ------------------------------------------------------------------ counts */

/* The last copy on the last node is gone, perhaps. */
static void tell_swept(struct cluster *c, struct purge_via via) {
    const struct cluster_receipt *k = cluster_receipts_swept(c->receipts, via);
    if (k != NULL) cluster_audit_swept(c, k);
}

/* One more has told its count to who waits for it, if anybody does. */
static void tell_waiter(struct cluster *c, struct purge_via via, int64_t items, uint64_t bytes) {
    struct cluster_waiter *w;
    TAILQ_FOREACH(w, &c->waiters, entry)
    if (w->purge != NULL && w->via.number == via.number && w->via.counter == via.counter) break;
    if (w == NULL) return; /* its time is over */
    struct cluster_purge *p = w->purge;
    p->items = items < 0 || p->items < 0 ? -1 : p->items + items;
    p->bytes += bytes;
    w->counts++;
    if (!w->confirmed || w->counts < p->acked) return;
    cluster_waiter_end(c, w);
    p->done(p);
}

/* A member has taken out what a counted purge of this node's selects. */
static void add_count(struct cluster *c, uint32_t member, struct purge_via via, int64_t items, uint64_t bytes) {
    cluster_receipts_counted(c->receipts, cluster_now(c), via,
                             &(struct cluster_receipt_count){member, items, bytes, 0});
    tell_waiter(c, via, items, bytes);
    tell_swept(c, via);
}

struct counted {
    struct cluster_task task;
    struct purge_via via;
    int64_t items;
    uint64_t bytes;
};

static void run_counted(struct cluster *c, struct cluster_task *t) {
    struct counted *n = (struct counted *)t;
    const struct peer_purge_run run = {.via = n->via};
    const struct peer_purge m = {.kind = PEER_PURGE_COUNT,
                                 .runs = &run,
                                 .nruns = 1,
                                 .sequence = n->items < 0 ? 0 : (uint64_t)n->items + 1,
                                 .star = n->bytes};
    const uint32_t own = config_number(c->config);
    if (n->via.number == own)
        add_count(c, own, n->via, n->items, n->bytes);
    else
        send_purge(c, n->via.number, &m);
    free(n);
}

void cluster_counted(struct cluster *c, struct purge_via via, int64_t items, uint64_t bytes) {
    struct counted *n = calloc(1, sizeof *n);
    if (n == NULL) return;
    n->via = via;
    n->items = items;
    n->bytes = bytes;
    cluster_post(c, &n->task, run_counted);
}

/* A node has said how many items a counted purge took out there. */
static void take_count(struct cluster *c, uint32_t member, const struct peer_purge *m) {
    if (m->nruns == 1 && m->sequence <= INT64_MAX)
        add_count(c, member, m->runs[0].via, (int64_t)m->sequence - 1, m->star);
}

uint64_t cluster_purges_next_ns(const struct cluster *c) {
    const struct cluster_waiter *w;
    uint64_t next = UINT64_MAX;
    if (c->ncounting == 0) return next;
    TAILQ_FOREACH(w, &c->waiters, entry)
    if (w->confirmed && w->deadline_ns < next) next = w->deadline_ns;
    return next;
}

/* Answers what waits for counts that do not come. */
static void end_counts(struct cluster *c, uint64_t now_ns) {
    struct cluster_waiter *w, *next;
    for (w = TAILQ_FIRST(&c->waiters); w != NULL && c->ncounting > 0; w = next) {
        next = TAILQ_NEXT(w, entry);
        if (!w->confirmed || w->deadline_ns > now_ns) continue;
        cluster_waiter_end(c, w);
        w->purge->done(w->purge);
    }
}

/* ------------------------------------------------------------------ the machine's upcalls */

static void note_applied(struct cluster *c) {
    histogram_add(&c->applied, cluster_now(c) - c->batch_since_ns);
}

static bool apply(void *arg, const struct purging_batch *batch) {
    struct cluster *c = arg;
    struct purging_batch now = *batch;
    /* Without a lease it may have been confirmed long ago: no stale copy is served for its time from now on. */
    now.soft = batch->soft && cluster_lease_held(c);
    if (c->batch == NULL) c->batch_since_ns = cluster_now(c);
    const enum cluster_applying how = c->cfg.up.apply(c->cfg.up.arg, &now);
    c->batch = how == CLUSTER_APPLIED ? NULL : batch;
    c->batch_waits = how == CLUSTER_APPLY_LATER;
    if (how == CLUSTER_APPLIED) note_applied(c);
    return how == CLUSTER_APPLIED;
}

static void raise_floor(void *arg, bool everything) {
    struct cluster *c = arg;
    c->cfg.up.floor(c->cfg.up.arg, everything);
}

static void confirmed(void *arg, const struct purging_receipt *r) {
    struct cluster *c = arg;
    const uint64_t now = cluster_now(c);
    cluster_receipts_confirmed(c->receipts, now, r);
    const struct cluster_receipt *k = cluster_receipts_by_via(c->receipts, r->via);
    if (k == NULL) return;
    histogram_add(&c->confirmed, now - k->begun_ns);
    if (k->late) cluster_audit_confirmed(c, k);
    tell_swept(c, r->via);
}

static void acked(void *arg, uint32_t member, uint32_t origin, uint64_t sequence) {
    struct cluster *c = arg;
    cluster_receipts_acked(c->receipts, cluster_now(c), member, origin, sequence);
}

static void newer(void *arg, uint32_t member, uint64_t version) {
    struct cluster *c = arg;
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_number(now, member);
    if (m == NULL) return;
    struct config_in in = {.kind = CONFIG_IN_VERSION, .from = {.id = m->id, .boot = m->boot}, .number = version};
    memcpy(in.from.name, m->name, sizeof in.from.name);
    memcpy(in.from.address, m->address, sizeof in.from.address);
    c->newer = in; /* the machine of the purges may not be called from here, and adopting does */
    c->newer_wanted = true;
    cluster_touch(c);
}

int cluster_purges_new(struct cluster *c) {
    const struct purging_config cfg = {
        .log_bytes = purgelog_bytes(c->cfg.memory_limit),
        .boot = config_self(c->config)->boot,
        .events = {c, send_purge, apply, raise_floor, outcome, newer, confirmed, acked},
    };
    cluster_receipts_free(c->receipts); /* the machine that they are of is gone */
    c->receipts = cluster_receipts_new();
    if (c->receipts == NULL) return -ENOMEM;
    const int r = purging_new(&cfg, cluster_now(c), &c->purging);
    if (r == 0 && config_current(c->config) != NULL) cluster_purges_adopt(c);
    return r;
}

void cluster_purges_adopt(struct cluster *c) {
    if (c->purging == NULL) return;
    const int r = purging_adopt(c->purging, cluster_now(c), config_current(c->config), config_number(c->config));
    if (r != 0) cluster_log(c, "cluster_lost", "reason=\"no memory to adopt a configuration\"");
    const struct cluster_peer *p;
    TAILQ_FOREACH(p, &c->peers, entry) cluster_purges_link(c, &p->id, true);
}

void cluster_purges_link(struct cluster *c, const struct cluster_id *id, bool up) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_id(now, id);
    if (m != NULL) purging_link(c->purging, cluster_now(c), m->number, up);
    cluster_touch(c);
}

/* What polls and their answers say to the machine of the configuration. */
static void tell_agreement(struct cluster *c, const struct cluster_peer *from, uint32_t number,
                           const struct peer_purge *m) {
    const struct configuration *now = config_current(c->config);
    if (m->kind == PEER_PURGE_POLL && m->boot == from->boot) {
        if (m->flags & PEER_PURGE_HANDING) cluster_handoff_heard(c);
        cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = number, .version = m->version});
    } else if (m->kind == PEER_PURGE_POLL_ANSWER) {
        for (unsigned i = 0; i < now->nvoters; i++)
            if (now->voters[i].member == number) c->voter_heard_ns[i] = cluster_now(c);
    }
}

void cluster_purges_message(struct cluster *c, const struct cluster_peer *from, const Peer__Control *message) {
    struct peer_purge m;
    peer_arena_reset(&c->arena);
    if (!peer_purge_read(message, &c->arena, &m)) {
        c->malformed++;
        return;
    }
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *sender = now == NULL ? NULL : configuration_by_id(now, &from->id);
    if (sender == NULL || sender->boot != from->boot) return; /* not a member as far as this node knows */
    const uint32_t number = sender->number;
    if (m.kind == PEER_PURGE_COUNT) {
        take_count(c, number, &m);
        return;
    }
    purging_receive(c->purging, cluster_now(c), number, &m);
    tell_agreement(c, from, number, &m);
    cluster_touch(c);
}

static void run_applied(struct cluster *c, struct cluster_task *t) {
    (void)t;
    c->batch = NULL;
    note_applied(c);
    purging_applied(c->purging, cluster_now(c));
}

void cluster_applied(struct cluster *c) {
    cluster_post(c, &c->applied_task, run_applied);
}

static void apply_again(struct cluster *c) {
    if (c->batch_waits && apply(c, c->batch)) purging_applied(c->purging, cluster_now(c));
}

static void run_again(struct cluster *c, struct cluster_task *t) {
    (void)t;
    sync_store(&c->again_posted, 0);
    apply_again(c);
}

void cluster_apply_again(struct cluster *c) {
    if (sync_exchange(&c->again_posted, 1) == 0) cluster_post(c, &c->again_task, run_again);
}

void cluster_purges_time(struct cluster *c, uint64_t now_ns) {
    end_counts(c, now_ns);
    apply_again(c); /* there may be memory again, which nobody tells */
    if (purging_next_ns(c->purging) <= now_ns) purging_time(c->purging, now_ns);
    if (c->flush_at_ns != 0 && c->flush_at_ns <= now_ns) flush_now(c);
}
