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
    w->listed_ns[m.number] = sim_now(w->s);
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

/* How long a member has been silent to all voters that are there, by their clocks; 0: too few are to tell. */
static uint64_t silence_of(struct world *w, const struct configuration *c, uint32_t number) {
    uint64_t least = (sim_now(w->s) - w->listed_ns[number]) * 9 / 10, since; /* before, it could not be heard */
    unsigned voters = 0;
    for (unsigned i = 0; i < c->nvoters; i++) {
        const struct process *x = purge_life_at(w, c->voters[i].id.bytes[0] - 1u);
        uint64_t heard, version;
        if (x == NULL || sim_is_paused(w->s, x->node) || x->version != w->version || !purging_active(x->p, &since))
            continue;
        if (x->number == number) return 0;
        (void)purging_heard(x->p, number, &heard, &version);
        if (heard < since) heard = since;
        const uint64_t silent = sim_local(w->s, x->node) - heard;
        if (silent < least) least = silent;
        voters++;
    }
    return voters >= configuration_majority(c) ? least : 0;
}

/* Whether some active voter was polled by all members at this version or a later one. */
static bool all_know(struct world *w, const struct configuration *c, uint64_t at_least) {
    for (unsigned i = 0; i < c->nvoters; i++) {
        const struct process *x = purge_life_at(w, c->voters[i].id.bytes[0] - 1u);
        uint64_t since, heard, version;
        bool all = x != NULL && x->version == w->version && purging_active(x->p, &since);
        for (unsigned k = 0; all && k < c->nmembers; k++) {
            if (c->members[k].state == CONFIGURATION_EJECTED || c->members[k].number == x->number) continue;
            all = purging_heard(x->p, c->members[k].number, &heard, &version) && version >= at_least;
        }
        if (all) return true;
    }
    return false;
}

/* Leases bind when all members go by three voters; they are raised and lowered now and then. */
static bool change_leases(struct world *w, struct configuration *c) {
    const uint32_t most = (uint32_t)(w->o->tag_ms != 0 ? w->o->tag_ms : 400), least = most / 2;
    if (c->nvoters < 3) c->leases = false;
    if (c->nvoters >= 3 && !c->leases && w->three_version == 0) w->three_version = c->version + 1;
    const bool known = w->three_version != 0 && w->three_version <= w->version && all_know(w, c, w->three_version);
    if (c->nvoters >= 3 && !c->leases && (known || w->o->bind_at_once)) {
        c->leases = true;
        w->three_version = 0;
        return true;
    }
    if (c->tag_lease_ms < c->tag_wait_ms) { /* lowered: the wait follows when what was granted before has ended */
        if (w->lowered_ns == 0 && w->lowered_version <= w->version && all_know(w, c, w->lowered_version))
            w->lowered_ns = sim_now(w->s);
        if (w->lowered_ns == 0 || sim_now(w->s) < w->lowered_ns + 3 * c->tag_wait_ms * SIM_MS / 2) return false;
        c->tag_wait_ms = c->tag_lease_ms;
        return true;
    }
    if ((w->o->faults & WORLD_CHANGES) == 0 || w->calm || !sim_chance(w->s, 20000)) return false;
    if (c->tag_lease_ms == most) {
        c->tag_lease_ms = least;
        w->lowered_version = c->version + 1;
        w->lowered_ns = 0;
    } else {
        c->tag_lease_ms = c->tag_wait_ms = most;
    }
    return true;
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
        const bool gone = x == NULL && now > w->down_ns[i] + 3 * SIM_S;
        const bool silent = listed && c->leases && silence_of(w, c, m->number) > lease_waited_ns(c->serve_wait_ms);
        if (listed && v == NULL && ((gone && c->leases) || silent)) {
            m->state = CONFIGURATION_EJECTED;
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

/* Two more voters, of members that are there; nothing if there are not two. */
static bool add_seats(struct world *w, struct configuration *c) {
    const struct configuration_member *found[2];
    unsigned n = 0;
    for (unsigned i = 0; i < c->nmembers && n < 2; i++) {
        const struct configuration_member *m = &c->members[i];
        const struct process *x = purge_life_at(w, m->id.bytes[0] - 1u);
        bool voter = false;
        for (unsigned k = 0; k < c->nvoters; k++) voter |= c->voters[k].member == m->number;
        if (voter || x == NULL || x->number != m->number || m->state == CONFIGURATION_EJECTED) continue;
        found[n++] = m;
    }
    for (unsigned i = 0; n == 2 && i < 2; i++) {
        c->voters[c->nvoters].origin = 0;
        take_seat(w, c, &c->voters[c->nvoters++], found[i]->id.bytes[0] - 1u, found[i]->number);
    }
    return n == 2;
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
    w->r->bound += c->leases && w->version > 1 && !w->history[w->version - 1].leases;
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
    if (c.nvoters < w->o->voters && sim_now(s) > 3 * SIM_S && add_seats(w, &c)) changed = voters = true;
    changed |= change_leases(w, &c);
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
    const unsigned voters = w->o->first_voters != 0 ? w->o->first_voters : w->o->voters;
    struct configuration c = {.epoch = 1, .floor_epoch = 1, .next_number = 1, .leases = voters >= 3};
    c.tag_lease_ms = c.tag_wait_ms = w->o->tag_ms != 0 ? w->o->tag_ms : 400;
    c.serve_lease_ms = c.serve_wait_ms = w->o->serve_ms != 0 ? w->o->serve_ms : 2000;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const uint32_t number = add_member(w, &c, i, purge_life_at(w, i)->boot);
        if (i < voters) take_seat(w, &c, &c.voters[c.nvoters++], i, number);
    }
    publish(w, &c, true);
}
