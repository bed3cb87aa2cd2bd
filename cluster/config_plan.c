/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the next configuration should be, as far as this voter sees: the members. */
#include <string.h>

#include "cluster/config_state.h"

/* The highest number that is still listed. */
static uint32_t highest_listed(const struct configuration *n) {
    const uint32_t member = n->nmembers == 0 ? 0 : n->members[n->nmembers - 1].number;
    const uint32_t origin = n->norigins == 0 ? 0 : n->origins[n->norigins - 1];
    return member > origin ? member : origin;
}

uint32_t config_plan_number(struct config_plan *p) {
    if (FAULT_POINT("config_numbers_reused")) p->next->next_number = highest_listed(p->next) + 1;
    return p->next->next_number++;
}

uint32_t config_plan_silent(const struct config_plan *p, uint32_t number) {
    const struct configuration_member *m = configuration_by_number(p->from, number);
    return m == NULL ? 0 : p->silent_ms[m - p->from->members];
}

/* ---- joins */

/* Makes room on a full list: ejected members are only kept for the operator to see. */
static void drop_oldest_ejected(struct config_plan *p) {
    struct configuration *n = p->next;
    for (unsigned i = 0; i < n->nmembers; i++)
        if (n->members[i].state == CONFIGURATION_EJECTED && configuration_seat(n, &n->members[i].id) == NULL) {
            configuration_remove(n, n->members[i].number);
            return;
        }
}

static bool may_join(const struct config_plan *p, const struct config_join *j) {
    if (j->ping_until_ns != 0 || p->c->now_ns - j->asked_ns > CONFIG_ASKED_FOR || j->version != p->from->version)
        return false;
    const struct configuration *n = p->next;
    const struct configuration_member *by_id = configuration_by_id(n, &j->peer.id);
    const struct configuration_member *by_name = configuration_by_name(n, j->peer.name);
    if (by_id != NULL && (config_same_process(by_id, &j->peer) || config_join_older(by_id, &j->peer))) return false;
    return by_name == NULL || !config_join_older(by_name, &j->peer);
}

/* A new process of a name, or of a node id, replaces the old one in the same step, at its place in the ring. */
static void join(struct config_plan *p, const struct config_join *j) {
    struct configuration *n = p->next;
    struct configuration_member m = {
        .id = j->peer.id,
        .boot = j->peer.boot,
        .weight = j->weight,
        .keeps_state = j->keeps_state,
        .state = CONFIGURATION_JOINING,
    };
    memcpy(m.name, j->peer.name, sizeof m.name);
    memcpy(m.address, j->peer.address, sizeof m.address);
    const struct configuration_member *old = configuration_by_name(n, m.name);
    if (old != NULL) {
        if (old->state == CONFIGURATION_SERVING) m.state = CONFIGURATION_SERVING;
        m.drained = old->drained;
        configuration_remove(n, old->number);
    }
    old = configuration_by_id(n, &m.id);
    if (old != NULL) configuration_remove(n, old->number);
    if (n->nmembers == CONFIGURATION_MEMBERS_MAX) drop_oldest_ejected(p);
    m.number = config_plan_number(p);
    if (configuration_add(n, &m) == 0) p->changed = true;
}

static void plan_joins(struct config_plan *p) {
    for (unsigned i = 0; i < p->c->njoins; i++)
        if (may_join(p, &p->c->joins[i])) join(p, &p->c->joins[i]);
}

/* ---- requests */

bool config_plan_waits(const struct config *c, enum config_request_kind kind) {
    const bool changes_ring =
        kind == CONFIG_SERVE || kind == CONFIG_LEAVE || kind == CONFIG_DRAIN || kind == CONFIG_WEIGHT;
    return changes_ring && c->handoff && c->now_ns - c->ring_ns < CONFIG_HANDOFF_WAIT;
}

static void fulfil_member(struct config_plan *p, const struct config_wish *w, struct configuration_member *m) {
    switch (w->kind) {
    case CONFIG_SERVE: m->state = CONFIGURATION_SERVING; break;
    case CONFIG_LEAVE: m->state = CONFIGURATION_LEAVING; break;
    case CONFIG_DRAIN: m->drained = w->argument != 0; break;
    case CONFIG_WEIGHT: m->weight = (uint32_t)w->argument; break;
    default: configuration_remove(p->next, w->number); break; /* left, forgotten */
    }
}

static void fulfil(struct config_plan *p, const struct config_wish *w) {
    switch (w->kind) {
    case CONFIG_VOTERS: p->next->voters_target = (uint32_t)w->argument; break;
    case CONFIG_TAG_LEASE: p->next->tag_lease_ms = (uint32_t)w->argument; break;
    case CONFIG_SERVE_LEASE: p->next->serve_lease_ms = (uint32_t)w->argument; break;
    case CONFIG_EJECT_AFTER: p->next->eject_after_ms = (uint32_t)w->argument; break;
    default: fulfil_member(p, w, configuration_by_number(p->next, w->number)); break;
    }
    p->changed = true;
}

static void plan_requests(struct config_plan *p) {
    struct config *c = p->c;
    for (unsigned i = 0; i < c->nwishes; i++) {
        const struct config_wish *w = &c->wishes[i];
        const bool of_member = w->kind < CONFIG_VOTERS;
        if (c->now_ns - w->asked_ns > CONFIG_WISHED_FOR || config_plan_waits(c, w->kind) ||
            (of_member && configuration_by_number(p->next, w->number) == NULL) ||
            config_fulfilled(p->next, w->kind, w->number, w->argument) ||
            config_refusal(p->next, w->kind, w->number, w->argument) != NULL)
            continue;
        fulfil(p, w);
    }
}

/* ---- ejects */

/* A member that no voter of a promising majority had a poll of for `eject_after`: its leases have ended then. Before
 * leases bind nobody is ejected, for it may serve without one. After there were more voters, what those that
 * are none any more have granted has to end first. */
static void plan_ejects(struct config_plan *p) {
    const uint64_t epoch_ms = (p->c->now_ns - p->c->epoch_ns) / CONFIG_MS;
    if (!p->from->leases) return;
    if (p->from->nprevious > p->from->nvoters && epoch_ms < p->from->eject_after_ms) return;
    for (unsigned i = p->next->nmembers; i-- > 0;) {
        struct configuration_member *m = &p->next->members[i];
        if (m->state == CONFIGURATION_EJECTED || config_plan_silent(p, m->number) < p->from->eject_after_ms) continue;
        /* One that was leaving stays on the list, too: it has not given its leases up, and may be given new ones before
         * this version is chosen, which voters note of whoever is ejected (purging_lease_eject). */
        m->state = CONFIGURATION_EJECTED;
        p->changed = true;
    }
}

/* ---- all together */

static void plan_ring(struct config_plan *p) {
    if (configuration_same_ring(p->from, p->next) == 1) return; /* without memory: a change that is none does no harm */
    p->next->ring_version_before = p->from->ring_version;
    p->next->ring_version = p->next->version;
}

enum config_plan_result config_plan(struct config *c, const uint32_t *silent_ms, unsigned active, bool trial,
                                    struct configuration *next) {
    const struct configuration *from = &c->current->configuration;
    struct config_plan p = {
        .c = c, .from = from, .next = next, .silent_ms = silent_ms, .active = active, .trial = trial};
    if (from->next_number > CONFIGURATION_NUMBER_MAX || configuration_copy(next, from) < 0) return CONFIG_PLAN_NOTHING;
    next->version = from->version + 1;
    memcpy(next->by, c->self.name, sizeof next->by);
    plan_joins(&p);
    plan_requests(&p);
    plan_ejects(&p);
    config_plan_seats(&p);
    config_plan_origins(&p);
    config_plan_leases(&p);
    const enum config_plan_result result = config_plan_epoch(&p);
    if (result == CONFIG_PLAN_READY) plan_ring(&p);
    return result;
}
