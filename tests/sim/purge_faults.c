/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Load, faults, and the end of a run. */
#include "tests/sim/purge_state.h"

#include <stdlib.h>

#include "base/check.h"

#define NEVER UINT64_MAX
#define CALM_S 12

/* ------------------------------------------------------------------ faults and load */

static void purge(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const unsigned node = w->o->asked >= 0 ? (unsigned)w->o->asked : (unsigned)sim_below(s, w->o->nodes);
    struct process *x = purge_life_at(w, node);
    const uint64_t every = SIM_S / w->o->purges_per_s;
    (void)unused;
    if (sim_now(s) < (w->o->seconds + CALM_S / 3) * SIM_S)
        sim_at(s, sim_now(s) + 1 + sim_below(s, 2 * every), purge, w, 0);
    if (x == NULL || sim_is_paused(s, node) || w->npids + 1 >= WORLD_PIDS) return;
    const uint64_t tag = w->npids + 1;
    const bool everything = sim_chance(s, 50000);
    const struct purge_selector sels[] = {{0, NULL}, {1, &tag}};
    const struct purging_request r = {.selectors = everything ? sels : sels + 1,
                                      .nselectors = 1 + everything,
                                      .soft = sim_chance(s, 200000),
                                      .ttl_s = (uint32_t)sim_below(s, 2),
                                      .wait_ns = 2 * SIM_S,
                                      .token = tag};
    w->asked_ns[tag] = sim_now(s);
    w->everything[tag] = everything;
    w->asker[tag] = x;
    if (purging_purge(x->p, sim_local(s, node), &r, NULL) != 0) return;
    sim_note(s, node, "is asked for purge %llu%s", (unsigned long long)tag, everything ? " of everything" : "");
    w->npids++;
    w->r->purges++;
    purge_life_finish_round(x);
}

static void read_somewhere(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const unsigned node = (unsigned)sim_below(s, w->o->nodes);
    struct process *x = purge_life_at(w, node);
    (void)unused;
    sim_at(s, sim_now(s) + SIM_MS + sim_below(s, SIM_MS), read_somewhere, w, 0);
    if (x != NULL && !sim_is_paused(s, node)) purge_model_read(x);
}

/* Cuts those off (again, after links were healed) that are to be. */
static void cut_off(struct world *w) {
    for (unsigned i = 0; i < w->o->nodes; i++)
        for (unsigned k = 0; k < w->o->nodes && w->cut_off_ns[i] > sim_now(w->s); k++) {
            if (k == i) continue;
            sim_block(w->s, i, k, true);
            sim_block(w->s, k, i, true);
        }
}

static void restart_later(struct sim *s, void *arg, uint64_t node) {
    struct world *w = arg;
    if (!sim_is_running(s, (unsigned)node)) purge_life_start(w, (unsigned)node);
}

static void resume_later(struct sim *s, void *arg, uint64_t node) {
    struct process *x = purge_life_at(arg, (unsigned)node);
    const bool paused = sim_is_paused(s, (unsigned)node);
    sim_resume(s, (unsigned)node);
    if (paused && x != NULL) purge_model_read(x); /* a request that is there before anything of other nodes */
}

static void crash(struct world *w, unsigned node) {
    struct sim *s = w->s;
    if (!sim_is_running(s, node)) return;
    if (sim_chance(s, 500000))
        sim_crash(s, node);
    else
        sim_power_off(s, node);
    const uint64_t away = 20 * SIM_MS + sim_below(s, sim_chance(s, 200000) ? 8 * SIM_S : 2 * SIM_S);
    sim_at(s, sim_now(s) + away, restart_later, w, node);
}

static void trouble(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const unsigned a = (unsigned)sim_below(s, w->o->nodes), b = (unsigned)sim_below(s, w->o->nodes);
    const unsigned faults = w->o->faults;
    (void)unused;
    if (w->calm) return;
    sim_at(s, sim_now(s) + 20 * SIM_MS, trouble, w, 0);
    if (faults & WORLD_CRASHES && sim_chance(s, 8000)) crash(w, a);
    if (faults & WORLD_CRASHES && sim_chance(s, 600))
        for (unsigned i = 0; i < w->o->nodes; i++)
            if (sim_chance(s, 600000)) crash(w, i);
    if (faults & WORLD_PARTITIONS && sim_chance(s, 10000))
        for (unsigned i = 0; i < w->o->nodes; i++) sim_set_group(s, i, (unsigned)sim_below(s, 2));
    if (faults & WORLD_PARTITIONS && sim_chance(s, 30000)) sim_block(s, a, b, true);
    if (faults & WORLD_PARTITIONS && sim_chance(s, 25000)) sim_heal(s);
    if (faults & WORLD_CHANGES && sim_chance(s, 2000)) w->cut_off_ns[a] = sim_now(s) + SIM_S + sim_below(s, 4 * SIM_S);
    cut_off(w);
    if (faults & WORLD_PAUSES && sim_chance(s, 10000) && sim_is_running(s, a)) {
        sim_pause(s, a);
        sim_at(s, sim_now(s) + sim_below(s, sim_chance(s, 100000) ? 4 * SIM_S : SIM_S), resume_later, w, a);
    }
    if (faults & WORLD_PARTITIONS && sim_chance(s, 10000)) {
        const struct sim_path p = {.loss = (uint32_t)sim_below(s, sim_chance(s, 500000) ? 20000 : 300000),
                                   .delay_min_ns = 200000,
                                   .delay_max_ns = 200000 + sim_below(s, 5 * SIM_MS)};
        sim_set_path(s, &p);
    }
}

/* Kills one voter after the other, each when all are active and know each other again. */
static void roll(struct sim *s, void *arg, uint64_t turn) {
    struct world *w = arg;
    const struct configuration *c = &w->history[w->version];
    bool ready = !w->calm;
    if (w->calm) return;
    for (unsigned i = 0; i < w->o->nodes; i++)
        ready = ready && purge_life_at(w, i) != NULL && purge_life_at(w, i)->version == w->version &&
                purge_life_at(w, i)->number != 0;
    for (unsigned i = 0; ready && i < c->nvoters; i++) {
        uint64_t since;
        ready = purging_active(purge_life_at(w, c->voters[i].id.bytes[0] - 1u)->p, &since);
    }
    sim_at(s, sim_now(s) + w->o->roll_ms * SIM_MS, roll, w, turn + ready);
    if (!ready) return;
    const unsigned node = c->voters[turn % c->nvoters].id.bytes[0] - 1u;
    w->r->restarts++;
    if (turn % 2 == 0)
        sim_crash(s, node);
    else
        sim_power_off(s, node);
    sim_at(s, sim_now(s) + 20 * SIM_MS + sim_below(s, 20 * SIM_MS), restart_later, w, node);
}

static void calm_down(struct sim *s, void *arg, uint64_t unused) {
    struct world *w = arg;
    const struct sim_path good = {.delay_min_ns = 200000, .delay_max_ns = 1000000};
    (void)unused;
    w->calm = true;
    sim_heal(s);
    sim_set_path(s, &good);
    for (unsigned i = 0; i < w->o->nodes; i++) {
        sim_resume(s, i);
        w->cut_off_ns[i] = 0;
        if (!sim_is_running(s, i)) purge_life_start(w, i);
    }
}

/* ------------------------------------------------------------------ the end */

/* Whether somebody who lives has to have kept a purge: who asked for it, who made it an event, and who has applied it
 * as the member that it still is. Who was ejected begins anew, and keeps of others' purges none. */
static bool is_known(const struct world *w, uint32_t pid) {
    const struct process *origin = w->origins[w->id_origin[pid]].process;
    bool known = w->asker[pid] != NULL && w->asker[pid]->alive;
    known |= origin != NULL && origin->alive && purge_model_has_applied(origin, pid);
    for (unsigned i = 0; i < w->o->nodes; i++) {
        const struct process *x = purge_life_at(w, i);
        known |= x != NULL && purge_model_has_applied(x, pid) && x->applied_as[pid] == x->number;
    }
    return known;
}

static void check_end(struct world *w) {
    for (uint32_t pid = 1; pid <= w->npids; pid++) {
        const bool known = is_known(w, pid);
        for (unsigned i = 0; known && i < w->o->nodes; i++)
            if (!purge_model_covered(purge_life_at(w, i), pid)) purge_model_violation(w, WORLD_LOST, i, pid, 0);
    }
    for (unsigned i = 0; i < w->o->nodes; i++) {
        struct purging_counters c;
        const struct process *x = purge_life_at(w, i);
        purging_read_counters(x->p, &c);
        w->r->alone += c.alone;
        w->r->repeated += c.repeated;
        if (c.pending > 0 || purging_local(x->p) > 0 || x->number == 0)
            purge_model_violation(w, WORLD_PENDING, i, c.pending, purging_local(x->p));
        struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
        if (purging_vector(x->p, v) > w->o->voters)
            purge_model_violation(w, WORLD_LONG, i, purging_vector(x->p, v), w->o->voters);
    }
}

void world_run(const struct world_options *o, struct world_result *r) {
    struct world *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    *r = (struct world_result){0};
    w->o = o;
    w->r = r;
    w->wanted_ns = NEVER;
    w->s = sim_new(o->seed);
    if (o->trace != NULL) sim_trace(w->s, o->trace, 0);
    sim_set_stream_timeout(w->s, 700 * SIM_MS);
    for (unsigned i = 0; i < o->nodes; i++) {
        sim_add(w->s);
        sim_set_clock(w->s, i, sim_below(w->s, 1000 * SIM_S), (int32_t)sim_below(w->s, 100000) - 50000);
    }
    for (unsigned i = 0; i < o->nodes; i++) purge_life_start(w, i);
    purge_govern_found(w);
    sim_at(w->s, 200 * SIM_MS, purge, w, 0);
    sim_at(w->s, 500 * SIM_MS, purge_govern, w, 0);
    sim_at(w->s, 500 * SIM_MS, trouble, w, 0);
    sim_at(w->s, 500 * SIM_MS, read_somewhere, w, 0);
    if (o->roll_ms > 0) sim_at(w->s, 500 * SIM_MS, roll, w, 0);
    sim_at(w->s, o->seconds * SIM_S, calm_down, w, 0);
    sim_run(w->s, (o->seconds + CALM_S) * SIM_S);
    check_end(w);
    for (unsigned i = 0; i < o->nodes; i++)
        if (sim_is_running(w->s, i)) sim_crash(w->s, i);
    sim_run(w->s, (o->seconds + CALM_S + 3) * SIM_S); /* copies that were to come late are freed */
    sim_free(w->s);
    for (unsigned i = 0; i < w->nall; i++) {
        free(w->all[i]);
    }
    for (unsigned i = 0; i < WORLD_NUMBERS; i++) free(w->origins[i].pids);
    for (unsigned i = 0; i < WORLD_HISTORY; i++) configuration_fini(&w->history[i]);
    free(w);
}
