/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A random schedule for a config_world: everything that goes wrong, and an operator who recovers what only an operator
 * can. */
#include <string.h>

#include "tests/sim/config_world.h"

enum { STEP_NS = 50000000 };

static unsigned any(struct world *w) {
    return (unsigned)sim_below(w->sim, w->options.nodes);
}

static bool keeps_disk(struct world *w) {
    return w->options.disks == WORLD_DISKS_ALL || (w->options.disks == WORLD_DISKS_LOST && sim_chance(w->sim, 700000));
}

static void crash(struct world *w, unsigned at) {
    const uint64_t down = 20 * SIM_MS + sim_below(w->sim, (sim_chance(w->sim, 200000) ? 8 : 2) * SIM_S);
    world_crash(w, at, sim_now(w->sim) + down, keeps_disk(w));
}

static void crash_many(struct world *w, bool voters_only) {
    for (unsigned i = 0; i < w->options.nodes; i++) {
        const struct world_process *p = w->place[i].process;
        if (p == NULL || (voters_only && (!config_sits(p->config) || sim_chance(w->sim, 300000)))) continue;
        crash(w, i);
    }
}

static void resume(struct sim *s, void *arg, uint64_t at) {
    (void)arg;
    sim_resume(s, (unsigned)at);
}

static void pause_one(struct world *w) {
    const unsigned at = any(w);
    sim_pause(w->sim, at);
    sim_at(w->sim, sim_now(w->sim) + sim_below(w->sim, (sim_chance(w->sim, 100000) ? 6 : 1) * SIM_S), resume, w, at);
}

static void join_groups(struct sim *s, void *arg, uint64_t number) {
    const struct world *w = arg;
    (void)number;
    for (unsigned i = 0; i < w->options.nodes; i++) sim_set_group(s, i, 0);
}

static void partition(struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++) sim_set_group(w->sim, i, (unsigned)sim_below(w->sim, 2));
    const uint64_t lasts = 200 * SIM_MS + sim_below(w->sim, (sim_chance(w->sim, 200000) ? 12 : 4) * SIM_S);
    sim_at(w->sim, sim_now(w->sim) + lasts, join_groups, w, 0);
}

static void unblock(struct sim *s, void *arg, uint64_t pair) {
    (void)arg;
    sim_block(s, (unsigned)(pair >> 8), (unsigned)(pair & 255), false);
}

static void block_one(struct world *w) {
    const unsigned a = any(w), b = any(w);
    if (a == b) return;
    sim_block(w->sim, a, b, true);
    sim_at(w->sim, sim_now(w->sim) + sim_below(w->sim, 4 * SIM_S), unblock, w, (uint64_t)a << 8 | b);
}

static void weather(struct world *w) {
    const struct sim_path path = {
        .loss = sim_chance(w->sim, 500000) ? 20000 : (uint32_t)sim_below(w->sim, 400000),
        .duplicate = 20000,
        .reorder = 20000,
        .delay_min_ns = 300000,
        .delay_max_ns = 4 * SIM_MS,
        .reorder_ns = 3 * SIM_S,
    };
    sim_set_path(w->sim, &path);
}

static void administer(struct world *w) {
    const unsigned at = any(w), about = any(w);
    const char *name = w->place[about].name;
    switch (sim_below(w->sim, 8)) {
    case 0: world_request(w, at, CONFIG_WEIGHT, name, sim_below(w->sim, 5)); break;
    case 1: world_request(w, at, CONFIG_DRAIN, name, sim_below(w->sim, 2)); break;
    case 2: world_request(w, at, CONFIG_VOTERS, "", sim_below(w->sim, 2) == 0 ? 0 : 3); break;
    case 3: world_request(w, at, CONFIG_TAG_LEASE, "", 400 + sim_below(w->sim, 3) * 50); break;
    case 4:
        if (w->place[about].process == NULL) world_request(w, at, CONFIG_FORGET, name, 0);
        break;
    default: world_request(w, at, CONFIG_LEAVE, "", 0); break;
    }
}

/* A process that left ends, and starts again some time later. */
static void restart_left(struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++)
        if (w->place[i].process != NULL && config_left(w->place[i].process->config)) crash(w, i);
}

/* The operator recovers a majority of state directories that is lost for good: on the newest survivor, once everything
 * that can come back is back. */
static void operate(struct world *w) {
    int best = -1;
    const struct configuration *newest = NULL;
    if (w->options.disks != WORLD_DISKS_LOST) return;
    for (unsigned i = 0; i < w->options.nodes; i++) {
        const struct configuration *c = world_configuration(w, i);
        if (w->place[i].process == NULL || sim_is_paused(w->sim, i)) return;
        if (c != NULL && (newest == NULL || c->version > newest->version)) {
            newest = c;
            best = (int)i;
        }
    }
    if (newest == NULL) { /* the cluster was founded and lost: its nodes wait for --found */
        if (sim_now(w->sim) - w->no_majority_ns > 4 * SIM_S) crash_many(w, false);
        return;
    }
    unsigned have = 0;
    for (unsigned s = 0; s < newest->nvoters; s++)
        for (unsigned i = 0; i < w->options.nodes; i++)
            have += cluster_id_equal(&config_self(w->place[i].process->config)->id, &newest->voters[s].id);
    if (have >= configuration_majority(newest) || w->recovered_version != newest->version) {
        w->recovered_version = newest->version;
        w->no_majority_ns = sim_now(w->sim);
        return;
    }
    if (sim_now(w->sim) - w->no_majority_ns < 2 * SIM_S) return;
    world_request(w, (unsigned)best, CONFIG_RECOVER, "", 0);
    w->no_majority_ns = sim_now(w->sim);
}

static void step(struct sim *s, void *arg, uint64_t until_ns) {
    struct world *w = arg;
    if (sim_now(s) % SIM_S < STEP_NS) {
        restart_left(w);
        operate(w);
    }
    sim_at(s, sim_now(s) + STEP_NS, step, w, until_ns);
    if (w->quiet) return;
    if (sim_now(s) >= until_ns) {
        w->quiet = true;
        sim_heal(s);
        sim_set_path(s, &(struct sim_path){.delay_min_ns = 300000, .delay_max_ns = 4 * SIM_MS});
        for (unsigned i = 0; i < w->options.nodes; i++) sim_resume(s, i);
        return;
    }
    if (sim_chance(s, 12000)) crash(w, any(w));
    if (sim_chance(s, 700)) crash_many(w, false);
    if (sim_chance(s, 1500)) crash_many(w, true);
    if (sim_chance(s, 25000)) pause_one(w);
    if (sim_chance(s, 15000)) partition(w);
    if (sim_chance(s, 100000)) block_one(w);
    if (sim_chance(s, 100000)) weather(w);
    if (sim_chance(s, 15000)) administer(w);
}

void world_faults(struct world *w, uint64_t until_ns) {
    sim_at(w->sim, STEP_NS, step, w, until_ns);
}
