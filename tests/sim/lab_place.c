/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Places: their disks; processes that start there, crash, and come back. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/config_bytes.h"
#include "tests/sim/lab_state.h"

/* ------------------------------------------------------------------ the disk */

struct write {
    struct lab *lab;
    unsigned place, run;
    uint64_t number;
    uint8_t *bytes;
    size_t n;
};

static void put_on_disk(struct lab_disk *d, uint8_t *bytes, size_t n) {
    free(d->bytes);
    *d = (struct lab_disk){true, bytes, n};
}

static void lose_disk(struct lab_disk *d) {
    free(d->bytes);
    *d = (struct lab_disk){0};
}

/* A write ends: the record is on the disk, and its process, if it still runs, is told. Half of those that a crash cut
 * off are on the disk, too. */
static void write_done(struct sim *s, void *arg, uint64_t told) {
    struct write *w = arg;
    struct lab_place *p = &w->lab->place[w->place];
    const bool runs = p->process != NULL && p->process->run == w->run;
    if (!told && (runs || (p->run == w->run && sim_chance(s, 500000)))) {
        put_on_disk(&p->disk, w->bytes, w->n);
        w->bytes = NULL;
    }
    if (runs && sim_is_paused(s, w->place)) { /* told when it goes on */
        sim_at(s, sim_now(s) + 50 * SIM_MS, write_done, w, 1);
        return;
    }
    if (runs) {
        lab_node_input(p->process, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = w->number});
        lab_node_round(p->process);
    }
    free(w->bytes);
    free(w);
}

void lab_place_write(struct lab_process *x, struct config_out *o) {
    struct lab *l = x->lab;
    struct write *w = malloc(sizeof *w);
    CHECK(w != NULL);
    *w = (struct write){l, x->place, x->run, o->number, o->record, o->nrecord};
    o->record = NULL;
    uint64_t takes = SIM_MS + sim_below(l->s, 10 * SIM_MS);
    if (l->o.faults & LAB_SLOW && !l->calm && sim_chance(l->s, 20000)) takes += sim_below(l->s, 2 * SIM_S);
    sim_at(l->s, sim_now(l->s) + takes, write_done, w, 0);
}

/* ------------------------------------------------------------------ starting */

/* Whether any node, up or down, knows a configuration. */
static bool has_cluster(const struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = l->place[i].process;
        const struct lab_disk *d = &l->place[i].disk;
        if (x != NULL && config_current(x->config) != NULL) return true;
        if (d->exists && config_bytes_has_cluster(d->bytes, d->n)) return true;
    }
    return false;
}

static void set_options(struct lab *l, unsigned at, struct config_options *o) {
    const struct lab_place *p = &l->place[at];
    *o = (struct config_options){
        .weight = 1 + at % 2,
        .keeps_state = p->keeps_state,
        .seeds = true,
        .nfounders = l->o.founders,
        .found = !has_cluster(l), /* the operator gives --found until there is a cluster */
        .tag_lease_ms = l->o.tag_ms,
        .serve_lease_ms = l->o.serve_ms,
        .eject_after_ms = l->o.eject_ms,
        .voters_target = l->o.voters,
        .seed = sim_random(l->s),
    };
    snprintf(o->cluster_name, sizeof o->cluster_name, "lab");
    snprintf(o->self.name, sizeof o->self.name, "%s", p->name);
    snprintf(o->self.address, sizeof o->self.address, "%s", p->address);
    for (unsigned i = 0; i < o->nfounders; i++) snprintf(o->founders[i], sizeof o->founders[i], "%s", l->place[i].name);
}

/* Reads the disk as a starting process does, and writes its boot there before anything is sent. */
static void read_disk(struct lab *l, unsigned at, struct config_record *stored, struct config_options *o) {
    struct lab_disk *d = &l->place[at].disk;
    char err[200];
    if (d->exists) {
        CHECK(config_record_unpack(d->bytes, d->n, stored, err, sizeof err) == 0);
    } else {
        uint64_t id[2];
        for (unsigned i = 0; i < 2; i++) id[i] = sim_random(l->s);
        memcpy(stored->id.bytes, id, sizeof stored->id.bytes);
    }
    uint64_t unix_s = (l->unix_ns + sim_now(l->s)) / SIM_S;
    if (l->o.wall_steps) unix_s += sim_below(l->s, 3) * 3600 - 3600;
    stored->boot = config_record_next_boot(stored, unix_s);
    o->self.id = stored->id;
    o->self.boot = stored->boot;
    if (!l->place[at].keeps_state) return;
    uint8_t *bytes;
    size_t n;
    CHECK(config_record_pack(stored, &bytes, &n) == 0);
    put_on_disk(d, bytes, n);
}

struct lab_process *lab_place_at(const struct lab *l, unsigned place) {
    return l->place[place].process;
}

void lab_place_start(struct lab *l, unsigned at) {
    struct lab_place *p = &l->place[at];
    struct config_options o;
    struct config_record stored = {0};
    struct lab_process *x = calloc(1, sizeof *x);
    CHECK(x != NULL && p->process == NULL);
    if (l->nall == l->all_room) {
        l->all_room = 2 * l->all_room + 64;
        l->all = realloc(l->all, l->all_room * sizeof(struct lab_process *));
        CHECK(l->all != NULL);
    }
    x->serial = l->nall;
    l->all[l->nall++] = x;
    x->lab = l;
    x->place = at;
    x->run = ++p->run;
    set_options(l, at, &o);
    if (p->run > 1) ++*(p->disk.exists ? &l->r->restarts_kept : &l->r->restarts_bare);
    read_disk(l, at, &stored, &o);
    CHECK(lab_node_new(x, &o, p->keeps_state ? &stored : NULL) == 0);
    config_record_fini(&stored);
    p->process = x;
    p->up_at = 0;
    sim_start(l->s, at, &lab_node_calls, x);
}

static void start_later(struct sim *s, void *arg, uint64_t at) {
    struct lab *l = arg;
    const struct lab_place *p = &l->place[at];
    if (p->process == NULL && p->up_at != 0 && sim_now(s) >= p->up_at) lab_place_start(l, (unsigned)at);
}

void lab_place_crash(struct lab *l, unsigned at, bool power, uint64_t back_at, bool keep_disk) {
    struct lab_place *p = &l->place[at];
    if (p->process == NULL) return;
    l->r->crashes++;
    if (power)
        sim_power_off(l->s, at);
    else
        sim_crash(l->s, at);
    p->process = NULL;
    if (!keep_disk || !p->keeps_state) {
        p->run++; /* a write that is under way goes to the old disk */
        l->r->disks_lost += p->disk.exists;
        lose_disk(&p->disk);
    }
    p->up_at = back_at;
    sim_note(l->s, at, "%s, back at %.3f s%s", power ? "loses its power" : "is killed", (double)back_at / 1e9,
             keep_disk ? "" : " with an empty disk");
    if (back_at != UINT64_MAX) sim_at(l->s, back_at, start_later, l, at);
}

/* ------------------------------------------------------------------ all of them */

int lab_place_of(const struct lab *l, const char *address) {
    for (unsigned i = 0; i < l->o.places; i++)
        if (strcmp(l->place[i].address, address) == 0) return (int)i;
    return -1;
}

int lab_place_named(const struct lab *l, const char *name) {
    for (unsigned i = 0; i < l->o.places; i++)
        if (strcmp(l->place[i].name, name) == 0) return (int)i;
    return -1;
}

void lab_place_init(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_place *p = &l->place[i];
        snprintf(p->name, sizeof p->name, "n%u:11211", i);
        snprintf(p->address, sizeof p->address, "10.0.0.%u:21211", i);
        p->keeps_state = l->o.disks != LAB_DISKS_NONE;
        sim_add(l->s);
        const uint64_t offset_ns = SIM_S + sim_below(l->s, 1000 * SIM_S);
        sim_set_clock(l->s, i, offset_ns, (int32_t)sim_below(l->s, 100001) - 50000);
        p->up_at = 1 + sim_below(l->s, 200 * SIM_MS);
        sim_at(l->s, p->up_at, start_later, l, i);
    }
}

void lab_place_fini(struct lab *l) {
    for (unsigned i = 0; i < l->o.places; i++) {
        if (l->place[i].process != NULL) sim_crash(l->s, i);
        l->place[i].process = NULL;
        l->place[i].up_at = 0;
    }
}

/* Whether all origins are voters': those of former voters were closed and are retired. */
static bool origins_are_voters(const struct configuration *c) {
    unsigned n = 0;
    for (unsigned i = 0; i < c->nvoters; i++) n += c->voters[i].origin != 0;
    return c->norigins == n;
}

static bool agrees(const struct lab *l, const struct lab_process *x, const struct configuration_value *with) {
    const struct configuration_value *v = config_current_value(x->config);
    const uint32_t number = config_number(x->config);
    uint64_t since;
    if (v == NULL || v->hash != with->hash || number == 0) return false;
    const struct configuration_member *m = configuration_by_number(&v->configuration, number);
    if (m == NULL || m->state != CONFIGURATION_SERVING) return false;
    if (config_sits(x->config) && !purging_active(x->purging, &since)) return false;
    struct purging_counters c;
    purging_read_counters(x->purging, &c);
    return c.pending == 0 && purging_local(x->purging) == 0 && origins_are_voters(&v->configuration) &&
           x->batch == NULL && lab_node_leases(x).tag_ns > sim_local(l->s, x->place);
}

bool lab_place_agree(const struct lab *l) {
    const struct configuration_value *with = NULL;
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = l->place[i].process;
        if (x == NULL) return false;
        if (with == NULL) with = config_current_value(x->config);
        if (with == NULL || !agrees(l, x, with)) return false;
    }
    for (unsigned i = 1; i < l->o.places; i++)
        if (purging_hash(l->place[i].process->purging) != purging_hash(l->place[0].process->purging)) return false;
    return true;
}
