/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Places and their disks; starting, crashing, agreement. */
#include "tests/sim/config_world.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/config_bytes.h"

const struct configuration *world_configuration(const struct world *w, unsigned place) {
    const struct world_process *p = w->place[place].process;
    return p == NULL ? NULL : config_current(p->config);
}

/* ---- the disk */

struct pending_write {
    struct world *world;
    unsigned place, run;
    uint64_t number, boot;
    uint8_t *bytes;
    size_t n;
};

static void put_on_disk(struct world_disk *d, uint8_t *bytes, size_t n, uint64_t boot) {
    free(d->bytes);
    d->bytes = bytes;
    d->n = n;
    d->boot = boot;
    d->exists = true;
}

/* A write ends: on disk, or not, and told, if the process still runs; half of those that a crash cut off are on disk,
 * too. */
static void write_done(struct sim *s, void *arg, uint64_t number) {
    struct pending_write *pw = arg;
    struct world_place *place = &pw->world->place[pw->place];
    const bool runs = place->process != NULL && place->process->run == pw->run;
    (void)number;
    if (runs && !sim_is_paused(s, pw->place) && pw->world->options.faults && !pw->world->quiet &&
        sim_chance(s, 20000)) {
        free(pw->bytes); /* a full disk */
        node_input(place->process, &(struct config_in){.kind = CONFIG_IN_UNWRITTEN, .number = pw->number});
    } else if (!runs && (place->run != pw->run || sim_chance(s, 500000))) {
        free(pw->bytes);
    } else {
        put_on_disk(&place->disk, pw->bytes, pw->n, pw->boot);
        if (runs && !sim_is_paused(s, pw->place))
            node_input(place->process, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = pw->number});
        else if (runs) { /* told when it goes on */
            pw->bytes = malloc(pw->n);
            CHECK(pw->bytes != NULL);
            memcpy(pw->bytes, place->disk.bytes, pw->n);
            sim_at(s, sim_now(s) + 50 * SIM_MS, write_done, pw, 0);
            return;
        }
    }
    free(pw);
}

void world_write(struct world_process *p, struct config_out *o) {
    struct world *w = p->world;
    struct pending_write *pw = malloc(sizeof *pw);
    CHECK(pw != NULL);
    *pw = (struct pending_write){w, p->place, p->run, o->number, config_self(p->config)->boot, o->record, o->nrecord};
    o->record = NULL;
    uint64_t takes = SIM_MS + sim_below(w->sim, 10 * SIM_MS);
    if (w->options.faults && !w->quiet && sim_chance(w->sim, 20000)) takes += sim_below(w->sim, 2 * SIM_S);
    sim_at(w->sim, sim_now(w->sim) + takes, write_done, pw, 0);
}

/* ---- places */

/* Whether any node, up or down, knows a configuration. */
static bool has_cluster(const struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++) {
        const struct world_disk *d = &w->place[i].disk;
        if (world_configuration(w, i) != NULL) return true;
        if (d->exists && config_bytes_has_cluster(d->bytes, d->n)) return true;
    }
    return false;
}

static void set_options(struct world *w, unsigned at, struct config_options *o) {
    const struct world_place *place = &w->place[at];
    snprintf(o->cluster_name, sizeof o->cluster_name, "sim");
    snprintf(o->self.name, sizeof o->self.name, "%s", place->name);
    snprintf(o->self.address, sizeof o->self.address, "%s", place->address);
    o->weight = 1 + at % 3;
    o->keeps_state = place->keeps_state;
    o->seeds = true;
    o->nfounders = w->options.founders;
    for (unsigned i = 0; i < o->nfounders; i++) snprintf(o->founders[i], sizeof o->founders[i], "%s", w->place[i].name);
    o->found = place->found && !has_cluster(w); /* the operator gives --found until there is a cluster */
    o->tag_lease_ms = w->options.tag_lease_ms;
    o->serve_lease_ms = w->options.serve_lease_ms;
    o->eject_after_ms = w->options.eject_after_ms;
    o->seed = sim_random(w->sim);
}

static void new_identity(struct world *w, struct cluster_id *id) {
    const uint64_t r[2] = {sim_random(w->sim), sim_random(w->sim)};
    memcpy(id->bytes, r, sizeof id->bytes);
}

/* Reads the disk as a starting process does, and writes its boot there before anything is sent. */
static void read_disk(struct world *w, unsigned at, struct config_record *stored, struct config_options *o) {
    struct world_disk *d = &w->place[at].disk;
    const uint64_t unix_seconds = (w->unix_ns + sim_now(w->sim)) / SIM_S;
    char err[200];
    if (d->exists) CHECK(config_record_unpack(d->bytes, d->n, stored, err, sizeof err) == 0);
    if (!d->exists) new_identity(w, &stored->id);
    stored->boot = config_record_next_boot(stored, unix_seconds);
    o->self.id = stored->id;
    o->self.boot = stored->boot;
    if (!w->place[at].keeps_state) return;
    uint8_t *bytes;
    size_t n;
    CHECK(config_record_pack(stored, &bytes, &n) == 0);
    put_on_disk(d, bytes, n, stored->boot);
    d->id = stored->id;
}

void world_start(struct world *w, unsigned at) {
    struct world_place *place = &w->place[at];
    struct config_options o = {0};
    struct config_record stored = {0};
    struct world_process *p = calloc(1, sizeof *p);
    char err[200];
    CHECK(p != NULL && place->process == NULL);
    set_options(w, at, &o);
    read_disk(w, at, &stored, &o);
    p->world = w;
    p->place = at;
    p->run = ++place->run;
    p->event = -1;
    p->config = config_new(&o, place->keeps_state ? &stored : NULL, sim_local(w->sim, at), err, sizeof err);
    CHECK(p->config != NULL);
    config_record_fini(&stored);
    place->process = p;
    place->up_at = 0;
    sim_start(w->sim, at, &node_calls, p);
    sim_set_timer(w->sim, at, TIMER_WORLD, sim_local(w->sim, at) + sim_below(w->sim, 250 * SIM_MS));
    node_set_timer(p);
}

static void start_later(struct sim *s, void *arg, uint64_t at) {
    struct world *w = arg;
    struct world_place *place = &w->place[at];
    if (place->process == NULL && place->up_at != 0 && sim_now(s) >= place->up_at) world_start(w, (unsigned)at);
}

static void lose_disk(struct world_disk *d) {
    free(d->bytes);
    *d = (struct world_disk){0};
}

void world_crash(struct world *w, unsigned at, uint64_t back_at, bool keep_disk) {
    struct world_place *place = &w->place[at];
    if (place->process == NULL) return;
    w->crashes++;
    sim_crash(w->sim, at);
    if (!keep_disk || !place->keeps_state) {
        place->run++; /* a write that is under way goes to the old disk */
        lose_disk(&place->disk);
        w->lost += place->keeps_state;
    }
    place->up_at = back_at;
    if (back_at != UINT64_MAX) sim_at(w->sim, back_at, start_later, w, at);
}

void world_request(struct world *w, unsigned at, enum config_request_kind kind, const char *name, uint64_t argument) {
    struct world_process *p = w->place[at].process;
    if (p == NULL || sim_is_paused(w->sim, at)) return;
    struct config_request r = {.kind = kind, .argument = argument, .token = 1 + sim_random(w->sim) / 2};
    snprintf(r.name, sizeof r.name, "%s", name);
    if (kind == CONFIG_LEAVE && name[0] == '\0') p->leaving = true;
    if (kind == CONFIG_RECOVER) w->recoveries++;
    node_input(p, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &r});
}

struct world *world_new(uint64_t seed, const struct world_options *options) {
    struct world *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->options = *options;
    w->sim = sim_new(seed);
    w->checks = checks_new();
    w->unix_ns = UINT64_C(1800000000) * SIM_S;
    w->retire = true;
    for (unsigned i = 0; i < options->nodes; i++) {
        struct world_place *place = &w->place[i];
        snprintf(place->name, sizeof place->name, "n%u:11211", i);
        snprintf(place->address, sizeof place->address, "10.0.0.%u:21211", i);
        place->keeps_state = options->disks != WORLD_DISKS_NONE;
        place->found = true;
        sim_add(w->sim);
        sim_set_clock(w->sim, i, SIM_S + sim_below(w->sim, 1000 * SIM_S), (int32_t)sim_below(w->sim, 100001) - 50000);
        place->up_at = 1 + sim_below(w->sim, SIM_S / 2);
        sim_at(w->sim, place->up_at, start_later, w, i);
    }
    return w;
}

void world_free(struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++) {
        sim_crash(w->sim, i);
        w->place[i].run++;
        w->place[i].up_at = 0; /* nor does it start again */
        lose_disk(&w->place[i].disk);
    }
    w->quiet = true;
    sim_run(w->sim, sim_now(w->sim) + 4 * SIM_S); /* writes that are under way end, and free what they hold */
    sim_free(w->sim);
    checks_free(w->checks);
    free(w);
}

bool world_run(struct world *w, uint64_t ns) {
    return sim_run(w->sim, sim_now(w->sim) + ns) && w->broken[0] == '\0';
}

/* ---- agreement */

static bool place_agrees(struct world *w, unsigned at, const struct configuration_value *with, char *why, size_t size) {
    const struct world_process *p = w->place[at].process;
    const struct configuration *c = p == NULL ? NULL : config_current(p->config);
    const struct configuration_member *self = c == NULL ? NULL : configuration_by_number(c, config_number(p->config));
    if (p == NULL) {
        snprintf(why, size, "node %u is down", at);
    } else if (c == NULL || config_current_value(p->config)->hash != with->hash) {
        snprintf(why, size, "node %u has version %" PRIu64 " instead of %" PRIu64, at, c == NULL ? 0 : c->version,
                 with->configuration.version);
    } else if (self == NULL || self->state != CONFIGURATION_SERVING) {
        snprintf(why, size, "node %u does not serve", at);
    } else if (node_seat(p) != NULL && !node_is_active(p)) {
        snprintf(why, size, "voter %u is not active", at);
    } else {
        return true;
    }
    return false;
}

bool world_agrees(struct world *w, char *why, size_t why_size) {
    const struct configuration_value *with = NULL;
    for (unsigned i = 0; i < w->options.nodes; i++) {
        const struct world_process *p = w->place[i].process;
        if (p == NULL && w->place[i].up_at == UINT64_MAX) continue;
        const struct configuration_value *v = p == NULL ? NULL : config_current_value(p->config);
        if (with == NULL) with = v;
        if (v == NULL) {
            snprintf(why, why_size, "node %u has no configuration", i);
            return false;
        }
        if (!place_agrees(w, i, with, why, why_size)) return false;
    }
    return with != NULL;
}

bool world_settle(struct world *w, uint64_t ns) {
    char why[200] = "no node is up";
    for (uint64_t until = sim_now(w->sim) + ns; sim_now(w->sim) < until;) {
        if (!world_run(w, 250 * SIM_MS)) return false;
        if (world_agrees(w, why, sizeof why)) return true;
    }
    world_break(w, "no agreement: %s", why);
    return false;
}
