/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Links that workers will want in a moment: while a member is joining, each node dials it for each of its workers, and
 * the joining one dials all. When the ring changes, the keys that it moves wait for no handshake. */
#include "cluster/cluster_state.h"
#include "cluster/stream.h"

#define KEPT_S 10 /* how long a link waits for its worker */

static struct cluster_ahead *find(struct cluster *c, uint32_t member, unsigned worker) {
    for (unsigned i = 0; i < CLUSTER_AHEAD_MAX; i++) {
        struct cluster_ahead *a = &c->ahead[i];
        if (a->since_ns != 0 && a->worker == worker && a->member == member) return a;
    }
    return NULL;
}

static void forget(struct cluster_ahead *a) {
    if (a->stream.fd >= 0) stream_close(&a->stream);
    a->since_ns = 0;
}

static void dial(struct cluster *c, const struct configuration_member *m, unsigned worker) {
    unsigned i = 0;
    while (i < CLUSTER_AHEAD_MAX && c->ahead[i].since_ns != 0) i++;
    if (i == CLUSTER_AHEAD_MAX || find(c, m->number, worker) != NULL) return;
    (void)transport_place(c->transport, &m->id, m->address);
    if (transport_want_data_link(c->transport, &m->id, worker, PEER_LINK_DATA) != 0) return;
    c->ahead[i] = (struct cluster_ahead){m->number, worker, cluster_now(c), {.fd = -1}};
}

/* Closes what leads to processes that are no members any more: their successors have the same node id. */
static void forget_gone(struct cluster *c, const struct configuration *now) {
    for (unsigned i = 0; i < CLUSTER_AHEAD_MAX; i++) {
        struct cluster_ahead *a = &c->ahead[i];
        if (a->since_ns != 0 && configuration_by_number(now, a->member) == NULL) forget(a);
    }
}

/* Who joins shakes hands with every worker of all others: in a large cluster, whose keys it takes but few of, it need
 * not do so all at once. */
void cluster_ahead_adopted(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const uint32_t own = config_number(c->config);
    const struct configuration_member *self = configuration_by_number(now, own);
    forget_gone(c, now);
    if (self == NULL || now->nmembers * c->cfg.workers > CLUSTER_AHEAD_MAX) return;
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        const bool joins = m->state == CONFIGURATION_JOINING || self->state == CONFIGURATION_JOINING;
        if (m->number == own || !joins || m->state == CONFIGURATION_EJECTED) continue;
        for (unsigned worker = 0; worker < c->cfg.workers; worker++) dial(c, m, worker);
    }
}

enum cluster_ahead_state cluster_ahead_take(struct cluster *c, uint32_t member, unsigned worker, struct stream *out) {
    struct cluster_ahead *a = find(c, member, worker);
    if (a == NULL) return CLUSTER_AHEAD_NONE;
    a->since_ns = 0;
    if (a->stream.fd < 0) return CLUSTER_AHEAD_DIALLING;
    *out = a->stream;
    return CLUSTER_AHEAD_UP;
}

bool cluster_ahead_keep(struct cluster *c, const struct transport_data_link *l) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_id(now, &l->id);
    struct cluster_ahead *a = m == NULL ? NULL : find(c, m->number, l->worker);
    if (a == NULL || a->stream.fd >= 0 || l->kind != PEER_LINK_DATA) return false;
    if (l->fd >= 0 && l->boot != m->boot) { /* its predecessor's, or its successor's */
        forget(a);
        return false;
    }
    a->stream = (struct stream){.fd = l->fd, .ssl = l->ssl};
    if (l->fd < 0) forget(a);
    return true;
}

void cluster_ahead_second(struct cluster *c) {
    const uint64_t now = cluster_now(c);
    for (unsigned i = 0; i < CLUSTER_AHEAD_MAX; i++) {
        struct cluster_ahead *a = &c->ahead[i];
        if (a->since_ns != 0 && now - a->since_ns >= KEPT_S * CLUSTER_SECOND_NS) forget(a);
    }
}

void cluster_ahead_free(struct cluster *c) {
    for (unsigned i = 0; i < CLUSTER_AHEAD_MAX; i++)
        if (c->ahead[i].since_ns != 0) forget(&c->ahead[i]);
}
