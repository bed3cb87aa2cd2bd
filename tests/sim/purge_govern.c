/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The history of configurations: who belongs to it, who votes, which origins count. */
#include "tests/sim/purge_state.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define NEVER UINT64_MAX

/* ------------------------------------------------------------------ configurations */

static struct configuration_member *member_of(struct configuration *c, unsigned node) {
    for (unsigned i = 0; i < c->nmembers; i++)
        if (c->members[i].id.bytes[0] == node + 1) return &c->members[i];
    return NULL;
}

static void drop_member(struct configuration *c, const struct configuration_member *m) {
    const size_t i = (size_t)(m - c->members);
    memmove(c->members + i, c->members + i + 1, (c->nmembers - i - 1) * sizeof *m);
    c->nmembers--;
}

static uint32_t add_member(struct world *w, struct configuration *c, unsigned node, uint64_t boot) {
    struct configuration_member m = {
        .number = c->next_number++, .id = {{(uint8_t)(node + 1)}}, .boot = boot, .state = CONFIGURATION_SERVING};
    snprintf(m.name, sizeof m.name, "n%u:1", node);
    CHECK(configuration_add(c, &m) == 0 && m.number < WORLD_NUMBERS);
    w->r->joins++;
    return m.number;
}

static void take_seat(const struct world *w, struct configuration *c, struct configuration_voter *v, unsigned node,
                      uint32_t member) {
    const uint32_t before = v->origin;
    *v = (struct configuration_voter){.id = {{(uint8_t)(node + 1)}}, .member = member};
    v->origin = w->o->origin_again && before != 0 ? before : c->next_number++;
    for (unsigned i = 0; i < c->norigins; i++)
        if (c->origins[i] == v->origin) return;
    CHECK(c->norigins < CONFIGURATION_ORIGINS_MAX);
    c->origins[c->norigins++] = v->origin;
}

/* Origins without a seat close; a closing one that a voter says may go is dropped. */
static bool tidy_origins(struct world *w, struct configuration *c) {
    bool changed = false;
    for (unsigned i = 0; i < c->norigins; i++) {
        bool seat = false, closing = false, drop = false;
        unsigned at_closing = 0;
        for (unsigned n = 0; n < c->nvoters; n++) seat |= c->voters[n].origin == c->origins[i];
        for (unsigned n = 0; n < c->nclosing; n++)
            if (c->closing[n].origin == c->origins[i]) {
                closing = true;
                at_closing = n;
            }
        if (seat) continue;
        if (!closing) {
            c->closing[c->nclosing++] = (struct configuration_closing){c->origins[i], c->version + 1};
            changed = true;
            continue;
        }
        for (unsigned n = 0; n < w->o->nodes; n++) {
            const struct process *x = purge_life_at(w, n);
            drop |= x != NULL && !sim_is_paused(w->s, n) && x->version == w->version &&
                    purging_may_retire(x->p, sim_local(w->s, n), c->origins[i]);
        }
        if (!drop) continue;
        c->closing[at_closing] = c->closing[--c->nclosing];
        c->origins[i--] = c->origins[--c->norigins];
        c->retire_version = c->version + 1;
        w->r->retired++;
        changed = true;
    }
    return changed;
}

/* Who leaves, joins, is ejected or has a new process; what seats that changes. *voters: they have changed. */
static bool change_members(struct world *w, struct configuration *c, bool *voters) {
    const uint64_t now = sim_now(w->s);
    bool changed = false;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct process *x = purge_life_at(w, i);
        struct configuration_member *m = member_of(c, i);
        struct configuration_voter *v = NULL;
        for (unsigned n = 0; n < c->nvoters; n++)
            if (c->voters[n].id.bytes[0] == i + 1) v = &c->voters[n];
        const bool listed = m != NULL && m->state != CONFIGURATION_EJECTED;
        if (listed && v == NULL && ((x == NULL && now > w->down_ns[i] + 3 * SIM_S) || w->cut_off[i])) {
            m->state = CONFIGURATION_EJECTED;
            w->cut_off[i] = false;
            w->r->ejected++;
            changed = true;
        } else if (x != NULL && (m == NULL || m->boot != x->boot || (!listed && x->version == w->version))) {
            if (m != NULL) drop_member(c, m);
            const uint32_t number = add_member(w, c, i, x->boot);
            if (v != NULL) take_seat(w, c, v, i, number);
            *voters |= v != NULL;
            changed = true;
        }
    }
    return changed;
}

/* A seat moves to a member that has none: because its node is away for long, or because an operator says so. */
static bool move_seat(struct world *w, struct configuration *c, bool wanted) {
    for (unsigned n = 0; n < c->nvoters; n++) {
        const unsigned node = c->voters[n].id.bytes[0] - 1u;
        const bool gone = purge_life_at(w, node) == NULL && sim_now(w->s) > w->down_ns[node] + SIM_S;
        if (!gone && !(wanted && sim_chance(w->s, 500000))) continue;
        for (unsigned i = 0; i < w->o->nodes; i++) {
            bool voter = false;
            for (unsigned k = 0; k < c->nvoters; k++) voter |= c->voters[k].id.bytes[0] == i + 1;
            const struct process *x = purge_life_at(w, i);
            const struct configuration_member *m = member_of(c, i);
            if (voter || x == NULL || m == NULL || m->boot != x->boot || m->state == CONFIGURATION_EJECTED) continue;
            take_seat(w, c, &c->voters[n], i, m->number);
            return true;
        }
    }
    return false;
}

/* Whether a majority of the voters remembers the epoch: they are sealed then, as those who accept the value are. */
static bool seal_majority(struct world *w, const struct configuration *c) {
    struct process *active[CONFIGURATION_VOTERS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < c->nvoters; i++) {
        struct process *x = purge_life_at(w, c->voters[i].id.bytes[0] - 1u);
        uint64_t since;
        if (x == NULL || x->number != c->voters[i].member || sim_is_paused(w->s, x->node)) continue;
        if (x->version == c->version && purging_active(x->p, &since)) active[n++] = x;
    }
    if (n < configuration_majority(c)) return false;
    for (unsigned i = 0; i < n; i++)
        if (i < configuration_majority(c) || sim_chance(w->s, 500000)) purging_seal(active[i]->p, true);
    return true;
}

static bool anybody_active(struct world *w) {
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct process *x = purge_life_at(w, i);
        uint64_t since;
        if (x != NULL && x->version == w->version && purging_active(x->p, &since)) return true;
    }
    return false;
}

static void publish(struct world *w, struct configuration *c, bool calm) {
    c->version++;
    CHECK(c->version < WORLD_HISTORY);
    w->version = c->version;
    w->history[w->version] = *c;
    w->r->versions++;
    sim_note(w->s, 0, "version %llu, epoch %llu, fresh %llu", (unsigned long long)c->version,
             (unsigned long long)c->epoch, (unsigned long long)c->floor_epoch);
    for (unsigned i = 0; i < c->nvoters; i++)
        sim_note(w->s, c->voters[i].id.bytes[0] - 1u, "votes as %u, origin %u", c->voters[i].member,
                 c->voters[i].origin);
    for (unsigned i = 0; i < c->nclosing; i++) sim_note(w->s, 0, "origin %u closes", c->closing[i].origin);
    if (c->norigins > w->r->origins_end) w->r->origins_end = c->norigins;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const uint64_t delay = sim_below(w->s, calm                       ? 20 * SIM_MS
                                               : sim_chance(w->s, 100000) ? 2 * SIM_S
                                                                          : 200 * SIM_MS);
        sim_at(w->s, sim_now(w->s) + delay, purge_life_adopt, w, i | w->version << 8);
    }
}

void purge_govern(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const struct configuration *old = &w->history[w->version];
    struct configuration c = {0};
    bool voters = false, kept = true;
    (void)unused;
    sim_at(s, sim_now(s) + 60 * SIM_MS + sim_below(s, 100 * SIM_MS), purge_govern, w, 0);
    CHECK(configuration_copy(&c, old) == 0);
    const bool moves = w->o->faults & WORLD_CHANGES && !w->calm && sim_chance(s, 20000);
    bool changed = change_members(w, &c, &voters);
    if (move_seat(w, &c, moves)) changed = voters = true;
    if (!voters && sim_now(s) > w->epoch_ns + 3 * SIM_S && !anybody_active(w)) { /* the epoch does not come to life */
        changed = voters = true;
        kept = false;
        w->wanted_ns = 0;
    }
    changed |= tidy_origins(w, &c);
    if (voters) {
        if (w->wanted_ns == NEVER) w->wanted_ns = sim_now(s);
        kept = kept && seal_majority(w, old);
        if (!kept && sim_now(s) < w->wanted_ns + 2 * SIM_S) {
            configuration_fini(&c);
            return;
        }
        memcpy(c.previous, old->voters, sizeof c.previous);
        c.nprevious = old->nvoters;
        c.epoch++;
        if (!kept) c.floor_epoch = c.epoch;
        ++*(kept ? &w->r->kept : &w->r->fresh);
        w->wanted_ns = NEVER;
        w->epoch_ns = sim_now(s);
    }
    if (changed)
        publish(w, &c, w->calm);
    else
        configuration_fini(&c);
}

void purge_govern_found(struct world *w) {
    struct configuration c = {.epoch = 1, .floor_epoch = 1, .next_number = 1, .tag_lease_ms = 1000};
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const uint32_t number = add_member(w, &c, i, purge_life_at(w, i)->boot);
        if (i < w->o->voters) take_seat(w, &c, &c.voters[c.nvoters++], i, number);
    }
    publish(w, &c, true);
}
