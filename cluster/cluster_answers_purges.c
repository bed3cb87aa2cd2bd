/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What operators are told of purges: `cluster purges [ID]`. proto/PROTOCOL.md, "Cluster commands", says every line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cluster/cluster_state.h"
#include "cluster/cluster_text.h"

#define PROMPT_MS 500            /* how long a question about a purge waits for the news */
#define PENDING_MAX (512 * 1024) /* bytes of a list of pending purges */
#define NS_IN_MS UINT64_C(1000000)

/* What is remembered of a purge here, and whether it is soft, if the log knows it. NULL: it was asked for elsewhere, or
 * long ago. */
static const struct cluster_receipt *receipt_of(const struct cluster *c, const struct purging_receipt *r,
                                                const char **kind) {
    struct purge_via via = r->via;
    bool soft = false;
    const bool logged = r->origin != 0 && purging_event(c->purging, r->origin, r->sequence, &via, &soft);
    const struct cluster_receipt *k = cluster_receipts_by_via(c->receipts, via);
    if (k == NULL && r->origin != 0) k = cluster_receipts_by_id(c->receipts, r->origin, r->sequence);
    if (k != NULL) soft = k->soft;
    *kind = k == NULL && !logged ? "-" : soft ? "soft" : "hard";
    return k;
}

/* A time with three decimals, or "-". */
static const char *write_ms(char *to, size_t size, uint64_t begun_ns, uint64_t end_ns) {
    if (begun_ns == 0 || end_ns < begun_ns)
        snprintf(to, size, "-");
    else
        snprintf(to, size, "%.3f", (double)(end_ns - begun_ns) / 1e6);
    return to;
}

/* " items=... bytes=... gone_ms=...": what a counted purge took out at one member, or, with member 0, at all that have
 * said so. "-": nobody asked for it, or nobody has said so yet; items "many": more than are counted. The last copy of
 * all is gone when all members have said so. */
static const char *write_counts(char *to, size_t size, const struct cluster_receipt *k, uint32_t member) {
    uint64_t items = 0, bytes = 0, gone_ns = 0;
    bool many = false, any = false;
    char ms[24], number[24];
    for (unsigned i = 0; k != NULL && i < k->ncounts; i++) {
        const struct cluster_receipt_count *n = &k->counts[i];
        if (member != 0 && n->member != member) continue;
        any = true;
        many |= n->items < 0;
        if (n->items > 0) items += (uint64_t)n->items;
        bytes += n->bytes;
        if (n->gone_ns > gone_ns) gone_ns = n->gone_ns;
    }
    snprintf(number, sizeof number, "%" PRIu64, items);
    if (member == 0 && any && (k->confirmed_ns == 0 || k->ncounts < k->last.members)) gone_ns = 0;
    if (!any)
        snprintf(to, size, "items=- bytes=- gone_ms=-");
    else
        snprintf(to, size, "items=%s bytes=%" PRIu64 " gone_ms=%s", many ? "many" : number, bytes,
                 write_ms(ms, sizeof ms, k->begun_ns, gone_ns));
    return to;
}

static void purge_line(const struct cluster *c, struct cluster_text *t, const struct purging_receipt *r) {
    static const char *const names[] = {[PURGING_CONFIRMED] = "confirmed",
                                        [PURGING_PENDING] = "pending",
                                        [PURGING_LOCAL] = "local",
                                        [PURGING_LOG_FULL] = "unknown",
                                        [PURGING_UNKNOWN] = "unknown"};
    const char *kind;
    const struct cluster_receipt *k = receipt_of(c, r, &kind);
    char id[CLUSTER_PURGE_ID_TEXT], age[24] = "-", took[24], counts[128];
    cluster_purge_source_id(&(struct purging_source){r->via, r->origin, r->sequence}, id);
    if (k != NULL) snprintf(age, sizeof age, "%" PRIu64, (cluster_now(c) - k->begun_ns) / NS_IN_MS);
    cluster_text_put(t,
                     "PURGE id=%s state=%s kind=%s acked=%" PRIu32 " members=%" PRIu32
                     " age_ms=%s took_ms=%s %s by=%s selectors=%s\r\n",
                     id, names[r->status], kind, r->acked, r->members, age,
                     write_ms(took, sizeof took, k == NULL ? 0 : k->begun_ns, k == NULL ? 0 : k->confirmed_ns),
                     write_counts(counts, sizeof counts, k, 0), k == NULL || k->by[0] == 0 ? "-" : k->by,
                     k == NULL || k->selectors[0] == 0 ? "-" : k->selectors);
}

/* All that are pending, and the last ones that were confirmed. */
struct purge_list {
    const struct cluster *c;
    struct cluster_text text;
};

static bool pending_line(void *arg, const struct purging_receipt *r) {
    struct purge_list *l = arg;
    purge_line(l->c, &l->text, r);
    return l->text.n < PENDING_MAX;
}

void cluster_answers_purges(const struct cluster *c, struct cluster_question *q) {
    struct purge_list l = {.c = c};
    const struct cluster_receipt *k;
    purging_pending(c->purging, pending_line, &l);
    for (unsigned i = 0; (k = cluster_receipts_recent(c->receipts, i)) != NULL; i++) purge_line(c, &l.text, &k->last);
    cluster_text_put(&l.text, "END\r\n");
    cluster_text_finish(q, &l.text);
}

/* Who has acknowledged an event and who has not, and when, if this node was asked for the purge. */
static void ack_lines(struct cluster *c, struct cluster_text *t, const struct purging_receipt *r) {
    const struct configuration *now = config_current(c->config);
    uint32_t *lacking = malloc(CONFIGURATION_MEMBERS_MAX * sizeof *lacking);
    const unsigned n =
        lacking == NULL ? 0 : purging_lacking(c->purging, r->origin, r->sequence, lacking, CONFIGURATION_MEMBERS_MAX);
    const char *kind;
    const struct cluster_receipt *k = receipt_of(c, r, &kind);
    for (unsigned i = 0; now != NULL && i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        bool lacks = false;
        char ms[24], counts[128];
        if (m->state == CONFIGURATION_EJECTED) continue;
        for (unsigned j = 0; j < n && !lacks; j++) lacks = lacking[j] == m->number;
        const uint64_t at = lacks ? 0 : cluster_receipts_acked_ns(c->receipts, m->number, r->origin, r->sequence);
        cluster_text_put(t, "ACK name=%s acked=%s ms=%s %s\r\n", m->name, lacks ? "no" : "yes",
                         write_ms(ms, sizeof ms, k == NULL ? 0 : k->begun_ns, at),
                         write_counts(counts, sizeof counts, k, m->number));
    }
    free(lacking);
}

void cluster_answers_receipt(struct cluster *c, struct cluster_question *q, const struct purging_receipt *r) {
    struct cluster_text t = {0};
    purge_line(c, &t, r);
    if (r->status != PURGING_UNKNOWN && r->origin != 0) ack_lines(c, &t, r);
    cluster_text_put(&t, "END\r\n");
    cluster_text_finish(q, &t);
}

void cluster_answers_purge(struct cluster *c, struct cluster_question *q, const char *id) {
    uint64_t first, second;
    char end;
    const bool via = id[0] == 'v';
    if (sscanf(id + via, "%" SCNu64 "-%" SCNu64 "%c", &first, &second, &end) != 2 || first == 0 || first > UINT32_MAX) {
        cluster_answers_line(q, "CLIENT_ERROR an id is ORIGIN-SEQUENCE, or vMEMBER-COUNTER");
        return;
    }
    const uint64_t token = cluster_answers_await(c, q), now = cluster_now(c), wait = PROMPT_MS * NS_IN_MS;
    const int r = via ? purging_ask_via(c->purging, now, (struct purge_via){(uint32_t)first, second}, wait, token)
                      : purging_ask_id(c->purging, now, (uint32_t)first, second, wait, token);
    if (r == 0) return;
    cluster_waiter_end(c, &q->waiter);
    cluster_answers_line(q, "SERVER_ERROR this node cannot ask about purges now");
}
