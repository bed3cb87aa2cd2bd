/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What goes wrong, and what operators do. */
#include <string.h>

#include "tests/sim/lab_state.h"

#define STEP_NS (50 * SIM_MS)

static const struct sim_path good = {.delay_min_ns = 200000, .delay_max_ns = 1000000};

static unsigned any_place(struct lab *l) {
    return (unsigned)sim_below(l->s, l->o.places);
}

/* ------------------------------------------------------------------ processes */

static void crash(struct lab *l, unsigned at) {
    const bool power = sim_chance(l->s, 500000);
    const uint64_t most_ns = sim_chance(l->s, 200000) ? 8 * SIM_S : 2 * SIM_S;
    const uint64_t away_ns = 20 * SIM_MS + sim_below(l->s, most_ns);
    const bool keep = l->o.disks == LAB_DISKS_ALL || (l->o.disks == LAB_DISKS_SOME && sim_chance(l->s, 500000));
    lab_place_crash(l, at, power, sim_now(l->s) + away_ns, keep);
}

static void crash_many(struct lab *l, bool voters_only) {
    ++*(voters_only ? &l->r->voters_down : &l->r->all_down);
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        if (x == NULL || (voters_only && (!config_sits(x->config) || sim_chance(l->s, 300000)))) continue;
        crash(l, i);
    }
}

static void resume(struct sim *s, void *arg, uint64_t at) {
    struct lab_process *x = lab_place_at(arg, (unsigned)at);
    if (sim_is_paused(s, (unsigned)at) && x != NULL) lab_check_leases(x); /* for the first of the requests that wait */
    sim_resume(s, (unsigned)at);
}

static void pause_one(struct lab *l) {
    const unsigned at = any_place(l);
    if (lab_place_at(l, at) == NULL) return;
    l->r->pauses++;
    sim_note(l->s, at, "is stopped");
    sim_pause(l->s, at);
    const uint64_t most_ns = sim_chance(l->s, 100000) ? 5 * SIM_S : 1500 * SIM_MS;
    sim_at(l->s, sim_now(l->s) + sim_below(l->s, most_ns), resume, l, at);
}

/* ------------------------------------------------------------------ the network */

static void join_groups(struct sim *s, void *arg, uint64_t unused) {
    const struct lab *l = arg;
    (void)unused;
    sim_note(s, 0, "the partition ends");
    for (unsigned i = 0; i < l->o.places; i++) sim_set_group(s, i, 0);
}

static void partition(struct lab *l) {
    l->r->partitions++;
    for (unsigned i = 0; i < l->o.places; i++) {
        const unsigned group = (unsigned)sim_below(l->s, 2);
        sim_note(l->s, i, "is in part %u of a partition", group);
        sim_set_group(l->s, i, group);
    }
    const uint64_t most_ns = sim_chance(l->s, 200000) ? 10 * SIM_S : 3 * SIM_S;
    sim_at(l->s, sim_now(l->s) + 200 * SIM_MS + sim_below(l->s, most_ns), join_groups, l, 0);
}

static void unblock(struct sim *s, void *arg, uint64_t pair) {
    (void)arg;
    sim_block(s, (unsigned)(pair >> 8), (unsigned)(pair & 255), false);
}

static void block_one(struct lab *l) {
    const unsigned a = any_place(l), b = any_place(l);
    if (a == b) return;
    l->r->blocks++;
    sim_note(l->s, a, "reaches %u no more", b);
    sim_block(l->s, a, b, true);
    sim_at(l->s, sim_now(l->s) + sim_below(l->s, 3 * SIM_S), unblock, l, (uint64_t)a << 8 | b);
}

/* Cuts those off (again, after links were opened) that are to be. */
static void keep_cut_off(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_place *p = &l->place[i];
        if (p->cut_off_ns == 0) continue;
        const bool on = p->cut_off_ns > sim_now(l->s);
        for (unsigned k = 0; k < l->o.places; k++) {
            if (k == i) continue;
            sim_block(l->s, i, k, on);
            sim_block(l->s, k, i, on);
        }
        if (!on) p->cut_off_ns = 0;
    }
}

static void cut_off(struct lab *l) {
    const unsigned at = any_place(l);
    l->r->cut_off++;
    l->place[at].cut_off_ns = sim_now(l->s) + SIM_S + sim_below(l->s, 7 * SIM_S);
    sim_note(l->s, at, "is cut off until %.3f s", (double)l->place[at].cut_off_ns / 1e9);
}

static void weather(struct lab *l) {
    struct sim_path path = good;
    const uint32_t most = sim_chance(l->s, 500000) ? 10000 : 80000;
    path.loss = (uint32_t)sim_below(l->s, most);
    path.duplicate = path.reorder = 20000;
    path.reorder_ns = SIM_S;
    path.delay_max_ns = 200000 + sim_below(l->s, 5 * SIM_MS);
    sim_set_path(l->s, &path);
}

/* ------------------------------------------------------------------ operators */

static void change_leases(struct lab *l, struct lab_process *x) {
    const uint32_t tag_ms = l->o.tag_ms, serve_ms = l->o.serve_ms;
    if (sim_chance(l->s, 600000))
        lab_node_request(x, CONFIG_TAG_LEASE, "", tag_ms * (1 + sim_below(l->s, 3)) / 3);
    else
        lab_node_request(x, CONFIG_SERVE_LEASE, "", serve_ms * (2 + sim_below(l->s, 2)) / 3);
}

static void administer(struct lab *l) {
    struct lab_process *x = lab_place_at(l, any_place(l));
    const unsigned about = any_place(l);
    const char *name = l->place[about].name;
    if (x == NULL || sim_is_paused(l->s, x->place)) return;
    switch (sim_below(l->s, 8)) {
    case 0:
        l->r->weights++;
        lab_node_request(x, CONFIG_WEIGHT, name, sim_below(l->s, 4));
        break;
    case 1:
        l->r->drains++;
        lab_node_request(x, CONFIG_DRAIN, name, sim_below(l->s, 2));
        break;
    case 2: lab_node_request(x, CONFIG_VOTERS, "", sim_below(l->s, 3) == 0 ? 0 : 3); break;
    case 3:
    case 4: change_leases(l, x); break;
    case 5:
        if (lab_place_at(l, about) == NULL) lab_node_request(x, CONFIG_FORGET, name, 0);
        break;
    default:
        sim_note(l->s, x->place, "is asked to leave");
        lab_node_request(x, CONFIG_LEAVE, "", 0);
        break;
    }
    lab_node_round(x);
}

/* In the end everybody who was taken out of the ring is back. */
static void undo(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_process *x = lab_place_at(l, i);
        const struct configuration *c = x == NULL ? NULL : config_current(x->config);
        const struct configuration_member *m = c == NULL ? NULL : configuration_by_number(c, config_number(x->config));
        if (m == NULL || !m->drained) continue;
        lab_node_request(x, CONFIG_DRAIN, "", 0);
        lab_node_round(x);
    }
}

/* A process that has left ends, and starts again some time later. */
static void restart_left(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++)
        if (lab_place_at(l, i) != NULL && config_left(lab_place_at(l, i)->config)) crash(l, i);
}

/* Recovers a majority of state directories that is lost for good: on the newest survivor, once everything that can come
 * back is back. */
static void recover(struct lab *l) {
    struct lab_process *best = NULL;
    const struct configuration *newest = NULL;
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_process *x = lab_place_at(l, i);
        if (x == NULL || sim_is_paused(l->s, i)) return;
        const struct configuration *c = config_current(x->config);
        if (c == NULL || (newest != NULL && c->version <= newest->version)) continue;
        newest = c;
        best = x;
    }
    unsigned have = 0;
    for (unsigned v = 0; newest != NULL && v < newest->nvoters; v++)
        for (unsigned i = 0; i < l->o.places; i++)
            have += cluster_id_equal(&config_self(lab_place_at(l, i)->config)->id, &newest->voters[v].id);
    const uint64_t version = newest == NULL ? 0 : newest->version;
    if ((newest != NULL && have >= configuration_majority(newest)) || l->lost_version != version) {
        l->lost_version = version;
        l->lost_since_ns = sim_now(l->s);
        return;
    }
    if (newest == NULL && sim_now(l->s) > l->lost_since_ns + 4 * SIM_S) { /* founded and lost: nodes wait for --found */
        for (unsigned i = 0; i < l->o.places; i++) crash(l, i);
        return;
    }
    if (newest == NULL || sim_now(l->s) < l->lost_since_ns + 2 * SIM_S) return;
    l->r->recoveries++;
    l->lost_since_ns = sim_now(l->s);
    lab_node_request(best, CONFIG_RECOVER, "", 0);
    lab_node_round(best);
}

static void operate(struct sim *s, void *arg, uint64_t unused) {
    struct lab *l = arg;
    (void)unused;
    sim_at(s, sim_now(s) + SIM_S, operate, l, 0);
    restart_left(l);
    if (l->o.disks == LAB_DISKS_SOME) recover(l);
    if (l->calm) undo(l);
}

/* Kills one voter after the other, each when all are active and know each other again. */
static void roll(struct sim *s, void *arg, uint64_t turn) {
    struct lab *l = arg;
    const struct configuration *c = NULL;
    bool ready = true;
    uint64_t since;
    if (l->calm) return;
    for (unsigned i = 0; ready && i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        const struct configuration *now = x == NULL ? NULL : config_current(x->config);
        ready = now != NULL && (c == NULL || now->version == c->version) && config_number(x->config) != 0;
        if (ready && config_sits(x->config)) ready = purging_active(x->purging, &since);
        c = now;
    }
    sim_at(s, sim_now(s) + l->o.roll_ms * SIM_MS, roll, l, turn + ready);
    const int place = ready ? lab_place_named(l, c->voters[turn % c->nvoters].name) : -1;
    if (place < 0) return;
    l->r->restarts++;
    lab_place_crash(l, (unsigned)place, turn % 2 != 0, sim_now(s) + 20 * SIM_MS + sim_below(s, 20 * SIM_MS), true);
}

/* ------------------------------------------------------------------ the schedule */

static void step(struct sim *s, void *arg, uint64_t unused) {
    struct lab *l = arg;
    const unsigned faults = l->o.faults;
    (void)unused;
    if (l->calm) return;
    sim_at(s, sim_now(s) + STEP_NS, step, l, 0);
    if (faults & LAB_CRASHES) {
        if (sim_chance(s, 10000)) crash(l, any_place(l));
        if (sim_chance(s, 700)) crash_many(l, false);
        if (sim_chance(s, 1200)) crash_many(l, true);
    }
    if (faults & LAB_PARTITIONS) {
        if (sim_chance(s, 6000)) partition(l);
        if (sim_chance(s, 60000)) block_one(l);
        if (sim_chance(s, 30000)) weather(l);
        if (sim_chance(s, 4000)) cut_off(l);
        keep_cut_off(l);
    }
    if (faults & LAB_PAUSES && sim_chance(s, 20000)) pause_one(l);
    if (faults & LAB_CHANGES && sim_chance(s, 25000)) administer(l);
}

/* ------------------------------------------------------------------ whether purges can be confirmed at all */

static const struct configuration *newest(const struct lab *l) {
    const struct configuration *best = NULL;
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        const struct configuration *c = x == NULL ? NULL : config_current(x->config);
        if (c != NULL && (best == NULL || c->version > best->version)) best = c;
    }
    return best;
}

/* Whether all places in the set reach each other. */
static bool is_whole(const struct lab *l, const unsigned at[], unsigned n, unsigned set) {
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < n; k++)
            if (set >> i & 1 && set >> k & 1 && !sim_is_open(l->s, at[i], at[k])) return false;
    return true;
}

/* One voter that reaches a majority is not enough: it grants nothing unless it is active, nor do the others, and these
 * need a majority of their own for that. */
bool lab_faults_has_majority(const struct lab *l) {
    const struct configuration *c = newest(l);
    unsigned at[CONFIGURATION_VOTERS_MAX];
    unsigned n = 0;
    for (unsigned v = 0; c != NULL && v < c->nvoters; v++) {
        const int place = lab_place_named(l, c->voters[v].name);
        const struct lab_process *x = place < 0 ? NULL : lab_place_at(l, (unsigned)place);
        if (x == NULL || sim_is_paused(l->s, x->place) || config_number(x->config) != c->voters[v].member) continue;
        at[n++] = (unsigned)place;
    }
    for (unsigned set = 1; set < 1u << n; set++)
        if ((unsigned)__builtin_popcount(set) >= configuration_majority(c) && is_whole(l, at, n, set)) return true;
    return false;
}

static void look_at_majority(struct sim *s, void *arg, uint64_t unused) {
    struct lab *l = arg;
    (void)unused;
    if (l->calm) return;
    sim_at(s, sim_now(s) + 4 * STEP_NS, look_at_majority, l, 0);
    l->r->no_majority += !lab_faults_has_majority(l);
}

void lab_faults_begin(struct lab *l) {
    sim_at(l->s, SIM_S, look_at_majority, l, 0);
    sim_at(l->s, SIM_S, step, l, 0);
    sim_at(l->s, SIM_S, operate, l, 0);
    if (l->o.roll_ms > 0) sim_at(l->s, SIM_S, roll, l, 0);
}

void lab_faults_end(struct lab *l) {
    l->calm = true;
    sim_note(l->s, 0, "calm");
    sim_heal(l->s);
    sim_set_path(l->s, &good);
    for (unsigned i = 0; i < l->o.places; i++) {
        sim_resume(l->s, i);
        l->place[i].cut_off_ns = 0;
    }
}
