/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the audit is told of a purge when its asker has long been answered. Who and with which words it was asked for is
 * what the receipt remembers; the line that was written then has the same id. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/audit.h"
#include "cluster/cluster_state.h"

/* Unix time of a moment of the node's clock. */
static int64_t wall_ms(const struct cluster *c, uint64_t ns) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 - (int64_t)((cluster_now(c) - ns) / 1000000);
}

/* The token of "NAME@ADDRESS" into `name`; returns the address. */
static const char *split_by(const char *by, char name[CLUSTER_PURGE_BY_MAX + 1]) {
    const char *at = strrchr(by, '@');
    const size_t n = at == NULL ? 0 : (size_t)(at - by);
    memcpy(name, by, n);
    name[n] = '\0';
    return at == NULL ? by : at + 1;
}

/* Selectors that were cut are left out: with --audit-hash half a tag would get a hash of its own. */
static bool is_whole(const char *selectors) {
    const size_t n = strlen(selectors);
    return n < 3 || strcmp(selectors + n - 3, "...") != 0;
}

static void tell(struct cluster *c, const struct cluster_receipt *k, struct audit_event *e) {
    char id[CLUSTER_PURGE_ID_TEXT], token[CLUSTER_PURGE_BY_MAX + 1];
    cluster_purge_source_id(&(struct purging_source){k->via, k->last.origin, k->last.sequence}, id);
    e->event = "purge";
    e->id = id;
    e->mode = strcmp(k->selectors, "*") == 0 ? "all" : k->soft ? "soft" : "hard";
    e->selectors = k->selectors;
    e->n = is_whole(k->selectors) ? strlen(k->selectors) : 0;
    e->ttl_s = -1;
    e->kind = "node";
    e->addr = split_by(k->by, token);
    e->token = token;
    e->acked = k->last.acked;
    e->members = k->last.members;
    audit_put(c->cfg.audit, e);
}

void cluster_audit_confirmed(struct cluster *c, const struct cluster_receipt *k) {
    struct audit_event e = {
        .stage = "confirmed", .items = -1, .bytes = -1, .ms = (double)(k->confirmed_ns - k->begun_ns) / 1e6};
    if (c->cfg.audit != NULL) tell(c, k, &e);
}

void cluster_audit_swept(struct cluster *c, const struct cluster_receipt *k) {
    const struct configuration *now = config_current(c->config);
    struct audit_event e = {.stage = "swept"};
    uint64_t last_ns = k->begun_ns;
    struct audit_gone *gone = c->cfg.audit == NULL ? NULL : calloc(k->ncounts, sizeof *gone);
    for (unsigned i = 0; gone != NULL && i < k->ncounts; i++) {
        const struct cluster_receipt_count *n = &k->counts[i];
        const struct configuration_member *m = now == NULL ? NULL : configuration_by_number(now, n->member);
        gone[i] = (struct audit_gone){m != NULL ? m->name : "", n->items, (int64_t)n->bytes, wall_ms(c, n->gone_ns)};
        e.items = n->items < 0 || e.items < 0 ? -1 : e.items + n->items;
        e.bytes += (int64_t)n->bytes;
        if (n->gone_ns > last_ns) last_ns = n->gone_ns;
    }
    if (gone == NULL) return;
    e.gone = gone;
    e.ngone = k->ncounts;
    e.ms = (double)(last_ns - k->begun_ns) / 1e6;
    if (c->cfg.erase) e.erased_ms = wall_ms(c, last_ns);
    tell(c, k, &e);
    free(gone);
}
