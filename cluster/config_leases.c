/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the next configuration should be: whether leases bind, and how long one may still be running
 * (README.md, Leases).
 *
 * With fewer than three voters nodes serve without leases, and a purge waits for every member. When there are three, a
 * member that has not heard of it yet still serves so: purges go on waiting for all until each has polled a voter at a
 * version with three voters. Then the configuration says that leases bind.
 *
 * A lease is granted only while the voter and the member go by the same version. So when leases are lowered, the last
 * long one was granted before a majority of the voters went by the lower value. But one that a member took by itself,
 * when it heard that there are three voters, may be as long as leases were at that version, and begin as late as leases
 * bind: until they do, what is waited for is not lowered, and then for W of the old length more. */
#include "base/fault.h"
#include "cluster/config.h"
#include "cluster/config_state.h"

static bool is_lowered(const struct configuration *c) {
    return c->tag_wait_ms > c->tag_lease_ms || c->serve_wait_ms > c->serve_lease_ms;
}

/* What versions in between said is not known if some were skipped: then all begins with this one. */
void config_leases_adopted(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    const bool next = before != NULL && now->version == before->version + 1;
    if (now->nvoters < 3 || now->leases)
        c->three_version = 0;
    else if (c->three_version == 0 || !next)
        c->three_version = now->version;
    const bool same = next && before->tag_lease_ms == now->tag_lease_ms &&
                      before->serve_lease_ms == now->serve_lease_ms && before->leases == now->leases;
    if (same && c->lowered_version != 0 && is_lowered(now)) return;
    c->lowered_version = is_lowered(now) ? now->version : 0;
    c->lowered_ns = 0;
}

bool config_leases_busy(const struct config *c) {
    return c->current != NULL && config_sits(c) && (c->three_version != 0 || c->lowered_version != 0);
}

/* Whether every present member has polled this node at this version or a later one. */
static bool all_know(const struct config *c, uint64_t version) {
    const struct configuration *now = &c->current->configuration;
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state != CONFIGURATION_EJECTED && m->number != c->number && c->heard[i].version < version) return false;
    }
    return true;
}

static bool most_voters_know(const struct config *c, uint64_t version) {
    const struct configuration *now = &c->current->configuration;
    unsigned know = 0;
    for (unsigned i = 0; i < now->nvoters; i++) {
        const struct configuration_member *m = configuration_by_number(now, now->voters[i].member);
        know += m != NULL && (m->number == c->number || c->heard[m - now->members].version >= version);
    }
    return know >= configuration_majority(now);
}

static void plan_binding(struct config_plan *p) {
    const struct config *c = p->c;
    if (p->next->nvoters < 3) {
        p->next->leases = false;
    } else if (c->three_version != 0 && (all_know(c, c->three_version) || FAULT_POINT("config_leases_bind_at_once"))) {
        p->next->leases = true;
        p->changed = true;
    }
}

/* The waits follow the leases: at once when these are raised, and when what was granted before has ended if they are
 * lowered. One that this very plan lowers has only begun to be waited for. */
static void plan_waits(struct config_plan *p) {
    struct config *c = p->c;
    struct configuration *n = p->next;
    const struct configuration *now = &c->current->configuration;
    if (n->tag_wait_ms < n->tag_lease_ms) n->tag_wait_ms = n->tag_lease_ms;
    if (n->serve_wait_ms < n->serve_lease_ms) n->serve_wait_ms = n->serve_lease_ms;
    if (FAULT_POINT("config_lease_lowered_at_once")) {
        n->tag_wait_ms = n->tag_lease_ms;
        n->serve_wait_ms = n->serve_lease_ms;
    }
    const bool unbound = now->nvoters >= 3 && !now->leases;
    if (c->lowered_version == 0 || unbound || !most_voters_know(c, c->lowered_version)) return;
    if (c->lowered_ns == 0) c->lowered_ns = c->now_ns;
    const uint64_t passed_ms = (c->now_ns - c->lowered_ns) / CONFIG_MS;
    if (n->tag_wait_ms > n->tag_lease_ms && n->tag_lease_ms >= now->tag_lease_ms &&
        passed_ms > config_waited_ms(n->tag_wait_ms)) {
        n->tag_wait_ms = n->tag_lease_ms;
        p->changed = true;
    }
    if (n->serve_wait_ms > n->serve_lease_ms && n->serve_lease_ms >= now->serve_lease_ms &&
        passed_ms > config_waited_ms(n->serve_wait_ms)) {
        n->serve_wait_ms = n->serve_lease_ms;
        p->changed = true;
    }
}

void config_plan_leases(struct config_plan *p) {
    plan_binding(p);
    plan_waits(p);
}
