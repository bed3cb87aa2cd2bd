/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What must hold at every moment of a config_world. Nothing here asks the machines: it looks at what they say. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/config_world.h"

enum { VERSIONS_MAX = 8192, NUMBERS_MAX = 8192, BOOTS_MAX = 8192, SEALS_MAX = 256, BOUND_MAX = 256 };

/* A configuration that some node adopted. */
struct seen_version {
    struct cluster_id cluster;
    uint64_t version, hash, ring_version, ring_digest;
};

/* Whose a member or origin number is. */
struct seen_number {
    struct cluster_id cluster;
    uint32_t number;
    bool origin;
    struct cluster_id id;
    uint64_t boot; /* of an origin: the member number */
};

struct seen_boot {
    struct cluster_id cluster;
    uint64_t version, boot;
    unsigned place;
};

/* A process that said it accepted a configuration of another epoch. */
struct seen_accept {
    const struct world_process *process;
    struct peer_ballot ballot;
    struct cluster_id cluster;
    uint64_t instance, epoch;
    bool said;
};

struct seen_bound {
    const struct world_process *process;
    struct cluster_id founding;
    uint64_t local_ns;
};

struct config_checks {
    struct seen_version version[VERSIONS_MAX];
    struct seen_number number[NUMBERS_MAX];
    struct seen_boot boot[BOOTS_MAX];
    struct seen_accept accept[SEALS_MAX];
    struct seen_bound bound[BOUND_MAX];
    struct cluster_id freed[BOUND_MAX]; /* foundings that were given up; the oldest is overwritten */
    unsigned nversions, nnumbers, nboots, naccepts, nbounds, nfreed;
};

struct config_checks *checks_new(void) {
    struct config_checks *c = malloc(sizeof *c);
    CHECK(c != NULL);
    c->nversions = c->nnumbers = c->nboots = c->naccepts = c->nbounds = c->nfreed = 0;
    memset(c->freed, 0, sizeof c->freed);
    return c;
}

void checks_free(struct config_checks *c) {
    free(c);
}

void world_break(struct world *w, const char *format, ...) {
    if (w->broken[0] != '\0') return;
    const int n = snprintf(w->broken, sizeof w->broken, "at %.3f s: ", (double)sim_now(w->sim) / 1e9);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(w->broken + n, sizeof w->broken - (size_t)n, format, arguments);
    va_end(arguments);
    sim_stop(w->sim);
}

/* ---- adoptions */

static uint64_t ring_digest(const struct configuration *c) {
    uint64_t digest = 0;
    for (unsigned i = 0; i < c->nmembers; i++) {
        const struct configuration_member *m = &c->members[i];
        if (!configuration_in_ring(m)) continue;
        uint64_t h = 1469598103934665603u ^ m->weight; /* FNV-1a over the name; summed, so that order does not matter */
        for (const char *p = m->name; *p != '\0'; p++) h = (h ^ (uint8_t)*p) * 1099511628211u;
        digest += h;
    }
    return digest;
}

/* T2: one configuration a version; and the ring is a function of ring_version. True: seen before. */
static bool check_version(struct world *w, unsigned place, const struct configuration_value *v) {
    struct config_checks *k = w->checks;
    const struct configuration *c = &v->configuration;
    const uint64_t digest = ring_digest(c);
    for (unsigned i = 0; i < k->nversions; i++) {
        const struct seen_version *s = &k->version[i];
        if (!cluster_id_equal(&s->cluster, &c->cluster)) continue;
        if (s->version == c->version) {
            if (s->hash != v->hash)
                world_break(w, "two configurations have version %llu (node %u)", (unsigned long long)c->version, place);
            return true;
        }
        if (s->ring_version == c->ring_version && s->ring_digest != digest)
            world_break(w, "two rings have ring version %llu (node %u)", (unsigned long long)c->ring_version, place);
    }
    if (k->nversions < VERSIONS_MAX)
        k->version[k->nversions++] = (struct seen_version){c->cluster, c->version, v->hash, c->ring_version, digest};
    if (c->ring_version > c->version || (c->ring_version_before >= c->ring_version && c->ring_version > 1))
        world_break(w, "ring version %llu of version %llu", (unsigned long long)c->ring_version,
                    (unsigned long long)c->version);
    return false;
}

/* A number is one process's, or one seat's process's, for ever. */
static void check_number(struct world *w, const struct configuration *c, uint32_t number, bool origin,
                         const struct cluster_id *id, uint64_t boot) {
    struct config_checks *k = w->checks;
    for (unsigned i = 0; i < k->nnumbers; i++) {
        const struct seen_number *s = &k->number[i];
        if (s->number != number || !cluster_id_equal(&s->cluster, &c->cluster)) continue;
        if (s->origin != origin || s->boot != boot || !cluster_id_equal(&s->id, id))
            world_break(w, "number %u is used twice, in version %llu", number, (unsigned long long)c->version);
        return;
    }
    if (k->nnumbers < NUMBERS_MAX)
        k->number[k->nnumbers++] = (struct seen_number){c->cluster, number, origin, *id, boot};
}

/* A name's boot never goes back from version to version. */
static void check_boot(struct world *w, const struct configuration *c, const struct configuration_member *m) {
    struct config_checks *k = w->checks;
    unsigned place = 0;
    while (place < w->options.nodes && strcmp(w->place[place].name, m->name) != 0) place++;
    for (unsigned i = 0; i < k->nboots; i++) {
        const struct seen_boot *s = &k->boot[i];
        if (s->place != place || !cluster_id_equal(&s->cluster, &c->cluster)) continue;
        const uint64_t apart = s->version < c->version ? c->version - s->version : s->version - c->version;
        if (apart >= 1000) continue; /* a recovery lies between, which may know an older configuration only */
        if ((s->version < c->version && s->boot > m->boot) || (s->version > c->version && s->boot < m->boot))
            world_break(w, "an older process of %s came after a newer one, in version %llu", m->name,
                        (unsigned long long)c->version);
    }
    if (k->nboots < BOOTS_MAX) k->boot[k->nboots++] = (struct seen_boot){c->cluster, c->version, m->boot, place};
}

/* A founding that is done binds nobody any more. */
static void end_bound(struct config_checks *k, const struct world_process *p) {
    for (unsigned i = k->nbounds; i-- > 0;)
        if (k->bound[i].process == p) k->bound[i] = k->bound[--k->nbounds];
}

void check_adopted(struct world *w, unsigned place, const struct configuration_value *v) {
    const struct configuration *c = &v->configuration;
    end_bound(w->checks, w->place[place].process);
    if (check_version(w, place, v)) return;
    for (unsigned i = 0; i < c->nmembers; i++) {
        check_number(w, c, c->members[i].number, false, &c->members[i].id, c->members[i].boot);
        check_boot(w, c, &c->members[i]);
    }
    for (unsigned i = 0; i < c->nvoters; i++)
        if (c->voters[i].origin != 0)
            check_number(w, c, c->voters[i].origin, true, &c->voters[i].id, c->voters[i].member);
}

/* ---- T3: sealed voters do not acknowledge */

void check_accept_seen(struct world *w, struct world_process *p, const struct peer_config *m) {
    struct config_checks *k = w->checks;
    struct configuration c = {0};
    if (m->kind != PEER_CONFIG_ACCEPT || configuration_unpack(m->value, m->nvalue, &c) < 0) return;
    if (k->naccepts == SEALS_MAX) { /* the oldest can hardly matter any more */
        memmove(&k->accept[0], &k->accept[1], --k->naccepts * sizeof k->accept[0]);
    }
    k->accept[k->naccepts++] = (struct seen_accept){p, m->ballot, c.cluster, m->version + 1, c.epoch, false};
    configuration_fini(&c);
}

static void said_accepted(struct world *w, const struct world_process *p, const struct peer_config *m) {
    struct config_checks *k = w->checks;
    const struct configuration *now = config_current(p->config);
    for (unsigned i = 0; i < k->naccepts; i++) {
        struct seen_accept *a = &k->accept[i];
        if (a->process != p || peer_ballot_compare(&a->ballot, &m->ballot) != 0 || a->instance != m->version + 1)
            continue;
        if (!a->said && now != NULL && a->epoch != now->epoch) w->seals++;
        a->said = true;
    }
}

void check_acknowledged(struct world *w, struct world_process *p, uint64_t epoch) {
    struct config_checks *k = w->checks;
    const struct configuration *now = config_current(p->config);
    for (unsigned i = k->naccepts; i-- > 0;) {
        const struct seen_accept *a = &k->accept[i];
        if (a->process != p || !a->said || a->instance != now->version + 1 ||
            !cluster_id_equal(&a->cluster, &now->cluster))
            continue;
        if (a->epoch != epoch)
            world_break(w, "node %u acknowledged in epoch %llu while it was sealed by epoch %llu", p->place,
                        (unsigned long long)epoch, (unsigned long long)a->epoch);
        return; /* the last one that it accepted counts */
    }
}

/* ---- a founder is bound to one founding at a time */

static bool was_freed(const struct config_checks *k, const struct cluster_id *founding) {
    for (unsigned i = 0; i < BOUND_MAX; i++)
        if (cluster_id_equal(&k->freed[i], founding)) return true;
    return false;
}

static void said_bound(struct world *w, const struct world_process *p, const struct peer_config *m) {
    struct config_checks *k = w->checks;
    const uint64_t now = sim_local(w->sim, p->place);
    for (unsigned i = 0; i < k->nbounds; i++) {
        struct seen_bound *b = &k->bound[i];
        if (b->process != p) continue;
        if (!cluster_id_equal(&b->founding, &m->cluster) && now - b->local_ns < 9 * SIM_S &&
            !was_freed(k, &b->founding))
            world_break(w, "node %u is bound to two foundings", p->place);
        if (!cluster_id_equal(&b->founding, &m->cluster)) *b = (struct seen_bound){p, m->cluster, now};
        return;
    }
    if (k->nbounds < BOUND_MAX) k->bound[k->nbounds++] = (struct seen_bound){p, m->cluster, now};
}

void check_sent(struct world *w, struct world_process *p, const struct peer_config *m, const struct cluster_id *to) {
    (void)to;
    if (m->kind == PEER_CONFIG_ACCEPTED) said_accepted(w, p, m);
    if (m->kind == PEER_CONFIG_FOUND_BOUND) said_bound(w, p, m);
    if (m->kind == PEER_CONFIG_FOUND_FREE) w->checks->freed[w->checks->nfreed++ % BOUND_MAX] = m->cluster;
}

void check_forget_process(struct world *w, struct world_process *p) {
    struct config_checks *k = w->checks;
    end_bound(k, p);
    for (unsigned i = k->naccepts; i-- > 0;)
        if (k->accept[i].process == p) {
            memmove(&k->accept[i], &k->accept[i + 1], (--k->naccepts - i) * sizeof k->accept[0]);
        }
}

/* ---- an epoch that was kept knows what was confirmed */

void check_active(struct world *w, struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    for (unsigned i = 0; i < w->nevents; i++) {
        const struct world_event *e = &w->event[i];
        if (e->epoch < c->floor_epoch || e->epoch == 0 || e->epoch >= c->epoch ||
            !cluster_id_equal(&e->cluster, &c->cluster) || p->memory.bits[i / 64] >> i % 64 & 1)
            continue;
        world_break(w, "node %u is active in epoch %llu without event %u, confirmed in epoch %llu", p->place,
                    (unsigned long long)c->epoch, i, (unsigned long long)e->epoch);
    }
}
