/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the next configuration should be: who votes, in which epoch, and whose purges count
 * (README.md, "The configuration"). */
#include <string.h>

#include "cluster/config.h"
#include "cluster/config_state.h"

/* ---- seats */

static bool has_seat(const struct configuration *n, const struct configuration_member *m) {
    for (unsigned i = 0; i < n->nvoters; i++)
        if (cluster_id_equal(&n->voters[i].id, &m->id) || strcmp(n->voters[i].name, m->name) == 0) return true;
    return false;
}

/* Of the members that have a state directory and no seat the one that was heard last; the longest-serving of those that
 * no promise names as silent, for the others may be out of reach. NULL: nobody was heard within so long. */
static const struct configuration_member *candidate(const struct config_plan *p, uint32_t within_ms) {
    const struct configuration_member *best = NULL;
    uint32_t least_ms = config_missed_ms(p->from, within_ms);
    for (unsigned i = 0; i < p->next->nmembers; i++) {
        const struct configuration_member *m = &p->next->members[i];
        if (m->state != CONFIGURATION_SERVING || !m->keeps_state || has_seat(p->next, m)) continue;
        const uint32_t silent_ms = config_plan_silent(p, m->number);
        if (silent_ms >= least_ms) continue;
        best = m;
        least_ms = silent_ms;
    }
    return best;
}

static bool nobody_numbers(const struct configuration *n) {
    for (unsigned i = 0; i < n->nvoters; i++)
        if (n->voters[i].origin != 0) return false;
    return true;
}

/* The voter's purges get a number of their own; not before an origin is retired while there are very many, unless no
 * voter has one: one is left for config_recover. Until then it votes and grants leases, but makes no events: for
 * retiring takes active voters, so seats must not wait for it. */
static void give_origin(struct config_plan *p, struct configuration_voter *v) {
    const unsigned most = nobody_numbers(p->next) ? CONFIGURATION_ORIGINS_MAX - 1 : CONFIG_ORIGINS_BUSY;
    if (p->next->norigins >= most) return;
    v->origin = config_plan_number(p);
    p->next->origins[p->next->norigins++] = v->origin;
}

/* The process sits there from now on. */
static void seat(struct config_plan *p, struct configuration_voter *v, const struct configuration_member *m) {
    *v = (struct configuration_voter){.id = m->id, .member = m->number};
    memcpy(v->name, m->name, sizeof v->name);
    give_origin(p, v);
    p->seats_changed = true;
}

static void remove_seat(struct config_plan *p, unsigned i) {
    struct configuration *n = p->next;
    n->nvoters--;
    memmove(&n->voters[i], &n->voters[i + 1], (n->nvoters - i) * sizeof n->voters[0]);
    memset(&n->voters[n->nvoters], 0, sizeof n->voters[0]);
    p->seats_changed = true;
}

/* A present process with the seat's node id or name that the seat does not list yet. */
static const struct configuration_member *new_process(const struct config_plan *p,
                                                      const struct configuration_voter *v) {
    for (unsigned i = p->next->nmembers; i-- > 0;) {
        const struct configuration_member *m = &p->next->members[i];
        if (m->state != CONFIGURATION_EJECTED && m->number != v->member &&
            (cluster_id_equal(&m->id, &v->id) || strcmp(m->name, v->name) == 0))
            return m;
    }
    return NULL;
}

/* A restarted voter keeps its seat; a vacant seat takes the next process of its name. */
static void renew_seats(struct config_plan *p) {
    for (unsigned i = 0; i < p->next->nvoters; i++) {
        struct configuration_voter *v = &p->next->voters[i];
        const struct configuration_member *m = new_process(p, v);
        if (m != NULL || cluster_id_is_zero(&v->id)) p->renewed++;
        if (m != NULL) seat(p, v, m);
    }
}

static bool is_silent(const struct config_plan *p, const struct configuration_voter *v) {
    if (v->member == 0) return p->c->now_ns - p->c->epoch_ns >= CONFIG_SEAT_SILENT;
    return config_plan_silent(p, v->member) >= config_missed_ms(p->from, CONFIG_SEAT_SILENT / CONFIG_MS);
}

/* Whether the voter leaves, or was taken off the list without a newer process. */
static bool goes(const struct config_plan *p, const struct configuration_voter *v) {
    const struct configuration_member *holder = configuration_by_number(p->next, v->member);
    if (v->member == 0) return false;
    return holder == NULL ? new_process(p, v) == NULL : holder->state == CONFIGURATION_LEAVING;
}

/* A voter that leaves, that was taken off the list, or that nobody heard for 10 s gives its seat away. If it
 * leaves, and nobody takes its seat, this one and another one are removed: so a member takes it that may only be down
 * for a moment. */
static void pass_seats(struct config_plan *p) {
    for (unsigned i = 0; i < p->next->nvoters; i++) {
        struct configuration_voter *v = &p->next->voters[i];
        const bool leaves = goes(p, v);
        if (!leaves && !is_silent(p, v)) continue;
        const struct configuration_member *m =
            candidate(p, leaves ? CONFIG_SEAT_SILENT / CONFIG_MS : CONFIG_CANDIDATE_SILENT_MS);
        if (m != NULL) seat(p, v, m);
    }
}

/* Voters that had to do without an origin get one. */
static void give_origins(struct config_plan *p) {
    for (unsigned i = 0; i < p->next->nvoters; i++) {
        struct configuration_voter *v = &p->next->voters[i];
        if (v->member == 0 || v->origin != 0) continue;
        give_origin(p, v);
        p->changed |= v->origin != 0;
    }
}

/* The seats that founders' names hold for good become vacant when the name leaves. */
static void vacate_seats(struct config_plan *p) {
    for (unsigned i = 0; i < p->next->nvoters; i++) {
        struct configuration_voter *v = &p->next->voters[i];
        if (v->member == 0 || configuration_by_number(p->next, v->member) != NULL) continue;
        v->id = (struct cluster_id){{0}};
        v->member = v->origin = 0;
        p->seats_changed = true;
    }
}

/* ---- how many */

static unsigned target(const struct configuration *n) {
    if (n->voters_target != 0) return n->voters_target;
    unsigned members = 0;
    for (unsigned i = 0; i < n->nmembers; i++)
        members += n->members[i].state == CONFIGURATION_SERVING || n->members[i].state == CONFIGURATION_JOINING;
    return members < 3 ? 1 : members < 7 ? 3 : 5;
}

/* Seats come by two, so that their number stays odd. */
static void add_seats(struct config_plan *p) {
    struct configuration *n = p->next;
    while (n->nvoters + 2 <= target(n) && p->next->norigins + 2 <= CONFIG_ORIGINS_BUSY) {
        const unsigned had = n->nvoters;
        const struct configuration saved = *n; /* members are shared and unchanged */
        const bool changed = p->seats_changed;
        while (n->nvoters < had + 2) {
            const struct configuration_member *m = candidate(p, CONFIG_CANDIDATE_SILENT_MS);
            if (m == NULL) break;
            n->voters[n->nvoters] = (struct configuration_voter){0};
            seat(p, &n->voters[n->nvoters], m);
            n->nvoters++;
        }
        if (n->nvoters == had + 2) continue;
        *n = saved;
        p->seats_changed = changed;
        return;
    }
}

/* How little a seat would be missed: of those that go, then of the silent, then of the youngest. */
static uint64_t worth(const struct config_plan *p, const struct configuration_voter *v) {
    if (v->member == 0 || goes(p, v)) return 0;
    return (is_silent(p, v) ? 0 : UINT64_C(1) << 33) + (UINT32_MAX - v->member);
}

static void remove_least(struct config_plan *p) {
    unsigned least = 0;
    for (unsigned i = 1; i < p->next->nvoters; i++)
        if (worth(p, &p->next->voters[i]) < worth(p, &p->next->voters[least])) least = i;
    remove_seat(p, least);
}

static unsigned seats_that_go(const struct config_plan *p) {
    unsigned n = 0;
    for (unsigned i = 0; i < p->next->nvoters; i++) n += goes(p, &p->next->voters[i]);
    return n;
}

/* There are fewer voters only when somebody asked for it: by --voters, or by leaving without anybody to take the seat.
 */
static void remove_seats(struct config_plan *p) {
    struct configuration *n = p->next;
    while (n->nvoters > 1 && (seats_that_go(p) > 0 || (n->voters_target != 0 && n->nvoters > n->voters_target))) {
        remove_least(p);
        remove_least(p);
    }
}

void config_plan_seats(struct config_plan *p) {
    renew_seats(p);
    give_origins(p);
    if (p->next->seats_by_name) {
        vacate_seats(p);
        return;
    }
    pass_seats(p);
    add_seats(p);
    remove_seats(p);
}

const char *config_seat_refusal(const struct configuration *conf, const struct configuration_member *m) {
    unsigned others = 0, takers = 0;
    bool voter = false;
    for (unsigned i = 0; i < conf->nvoters; i++) {
        const struct configuration_member *h = configuration_by_number(conf, conf->voters[i].member);
        voter |= h == m;
        others += h != NULL && h != m && h->state != CONFIGURATION_EJECTED && h->state != CONFIGURATION_LEAVING;
    }
    if (!voter) return NULL;
    for (unsigned i = 0; i < conf->nmembers; i++)
        takers += conf->members[i].state == CONFIGURATION_SERVING && conf->members[i].keeps_state &&
                  !has_seat(conf, &conf->members[i]);
    if (conf->seats_by_name)
        return others >= configuration_majority(conf)
                   ? NULL
                   : "it is a voter for good (no founder has a state directory), and too few voters would be left";
    return others > 0 || takers > 0
               ? NULL
               : "it is the only voter and no serving member with a state directory can take its seat";
}

/* ---- epoch */

static bool same_seats(const struct configuration *a, const struct configuration *b) {
    if (a->nvoters != b->nvoters) return false;
    for (unsigned i = 0; i < a->nvoters; i++)
        if (a->voters[i].member != b->voters[i].member || !cluster_id_equal(&a->voters[i].id, &b->voters[i].id))
            return false;
    return true;
}

/* No voter became active in the epoch for 5 s: what its voters should have taken over is lost. */
static bool is_stuck(const struct config_plan *p) {
    const struct config *c = p->c;
    return config_sits(c) && c->active_epoch != p->from->epoch && c->now_ns - c->epoch_ns >= CONFIG_MEMORY_WAIT &&
           p->active == 0;
}

enum config_plan_result config_plan_epoch(struct config_plan *p) {
    struct config *c = p->c;
    struct configuration *n = p->next;
    const bool seats = p->seats_changed && !same_seats(p->from, n), stuck = is_stuck(p);
    if (!seats && !stuck) return p->changed ? CONFIG_PLAN_READY : CONFIG_PLAN_NOTHING;
    if (p->trial) return CONFIG_PLAN_READY;
    const unsigned majority = configuration_majority(p->from);
    const bool kept = p->active >= majority;
    if (c->memory_wanted_ns == 0) c->memory_wanted_ns = c->now_ns;
    if (!kept && !stuck && p->renewed < majority && c->now_ns - c->memory_wanted_ns < CONFIG_MEMORY_WAIT)
        return CONFIG_PLAN_WAITS;
    n->epoch++;
    if (!kept) n->floor_epoch = n->epoch;
    memcpy(n->previous, p->from->voters, sizeof n->previous);
    n->nprevious = p->from->nvoters;
    return CONFIG_PLAN_READY;
}

/* ---- origins */

static bool has_origin(const struct configuration *c, uint32_t origin) {
    for (unsigned i = 0; i < c->nvoters; i++)
        if (c->voters[i].origin == origin) return true;
    return false;
}

static void drop_origin(struct configuration *n, unsigned closing) {
    const uint32_t origin = n->closing[closing].origin;
    n->nclosing--;
    memmove(&n->closing[closing], &n->closing[closing + 1], (n->nclosing - closing) * sizeof n->closing[0]);
    unsigned i = 0;
    while (i < n->norigins && n->origins[i] != origin) i++;
    if (i == n->norigins) return;
    n->norigins--;
    memmove(&n->origins[i], &n->origins[i + 1], (n->norigins - i) * sizeof n->origins[0]);
}

static bool is_retirable(const struct config *c, uint32_t origin) {
    for (unsigned i = 0; i < c->nretirable; i++)
        if (c->retirable[i] == origin) return true;
    return false;
}

static bool is_closing(const struct configuration *n, uint32_t origin) {
    for (unsigned i = 0; i < n->nclosing; i++)
        if (n->closing[i].origin == origin) return true;
    return false;
}

void config_plan_origins(struct config_plan *p) {
    struct configuration *n = p->next;
    for (unsigned i = n->nclosing; i-- > 0;)
        if (n->closing[i].version <= p->from->version && is_retirable(p->c, n->closing[i].origin)) {
            drop_origin(n, i);
            n->retire_version = n->version;
            p->changed = true;
        }
    for (unsigned i = 0; i < n->norigins; i++) {
        const uint32_t origin = n->origins[i];
        if (has_origin(n, origin) || has_origin(p->from, origin) || is_closing(n, origin)) continue;
        n->closing[n->nclosing++] = (struct configuration_closing){origin, n->version};
        p->changed = true;
    }
}
