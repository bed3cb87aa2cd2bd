/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/config_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* What a datagram of this world begins with. */
enum envelope_kind { CONFIG_MESSAGE = 1, POLL, POLLED, SYNC, SYNCED, EVENT, ACKNOWLEDGE, PING, PONG };

struct envelope {
    uint64_t kind;
    struct cluster_id from, to, cluster;
    uint64_t boot, version, epoch, number;
    uint64_t granted, active, was_active, event;
    struct world_memory memory; /* of SYNCED */
};

enum { TIMER_CONFIG, TIMER_WORLD, POLL_NS = 1000000000, SYNC_NS = 300000000 };

static void handle_outs(struct world_process *p);
static void input(struct world_process *p, const struct config_in *in);

const struct configuration *world_configuration(const struct world *w, unsigned place) {
    const struct world_process *p = w->place[place].process;
    return p == NULL ? NULL : config_current(p->config);
}

/* ---- sending */

static struct envelope envelope_of(const struct world_process *p, enum envelope_kind kind) {
    const struct configuration *c = config_current(p->config);
    struct envelope e;
    memset(&e, 0, sizeof e); /* padding too: the simulator's digest is over all bytes */
    e.kind = kind;
    e.from = config_self(p->config)->id;
    e.boot = config_self(p->config)->boot;
    if (c != NULL) {
        e.cluster = c->cluster;
        e.version = c->version;
        e.epoch = c->epoch;
        e.number = config_number(p->config);
    }
    return e;
}

static int place_of(const struct world *w, const char *address) {
    for (unsigned i = 0; i < w->options.nodes; i++)
        if (strcmp(w->place[i].address, address) == 0) return (int)i;
    return -1;
}

static void send(struct world_process *p, unsigned to, const struct envelope *e) {
    sim_datagram(p->world->sim, p->place, to, e, sizeof *e);
}

static void send_config(struct world_process *p, unsigned to, const struct cluster_id *id,
                        const struct peer_config *m) {
    static uint8_t scratch[PEER_CONTROL_ARENA_BYTES];
    uint8_t bytes[sizeof(struct envelope) + 16384];
    const struct envelope e = envelope_of(p, CONFIG_MESSAGE);
    struct peer_arena arena;
    peer_arena_init(&arena, scratch, sizeof scratch);
    memcpy(bytes, &e, sizeof e);
    ((struct envelope *)(void *)bytes)->to = *id;
    const size_t n = peer_config_pack(m, 0, &arena, bytes + sizeof e, sizeof bytes - sizeof e);
    CHECK(n > 0 && peer_config_parts(m) == 1);
    sim_datagram(p->world->sim, p->place, to, bytes, sizeof e + n);
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

/* A write ends: on disk, and told, if the process still runs; half of those that a crash cut off are on disk, too. */
static void write_done(struct sim *s, void *arg, uint64_t number) {
    struct pending_write *pw = arg;
    struct world_place *place = &pw->world->place[pw->place];
    const bool runs = place->process != NULL && place->process->run == pw->run;
    (void)number;
    if (!runs && (place->run != pw->run || sim_chance(s, 500000))) {
        free(pw->bytes);
    } else {
        put_on_disk(&place->disk, pw->bytes, pw->n, pw->boot);
        if (runs && !sim_is_paused(s, pw->place))
            input(place->process, &(struct config_in){.kind = CONFIG_IN_WRITTEN, .number = pw->number});
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

static void write_record(struct world_process *p, struct config_out *o) {
    struct world *w = p->world;
    struct pending_write *pw = malloc(sizeof *pw);
    CHECK(pw != NULL);
    *pw = (struct pending_write){w, p->place, p->run, o->number, config_self(p->config)->boot, o->record, o->nrecord};
    o->record = NULL;
    uint64_t takes = SIM_MS + sim_below(w->sim, 10 * SIM_MS);
    if (w->options.faults && !w->quiet && sim_chance(w->sim, 20000)) takes += sim_below(w->sim, 2 * SIM_S);
    sim_at(w->sim, sim_now(w->sim) + takes, write_done, pw, 0);
}

/* ---- the stand-in for purges */

static const struct configuration_voter *own_seat(const struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    return config_origin(p->config) == 0 ? NULL : configuration_seat(c, &config_self(p->config)->id);
}

static bool is_active(const struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    return c != NULL && own_seat(p) != NULL && p->active == c->epoch &&
           cluster_id_equal(&p->active_cluster, &c->cluster);
}

static void activate(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    p->active = p->last_active = c->epoch;
    p->active_cluster = c->cluster;
    p->last_number = config_number(p->config);
    p->event = -1;
    if (c->floor_epoch != c->epoch) check_active(p->world, p);
    input(p, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = c->epoch});
}

static unsigned previous_bit(const struct configuration *c, uint64_t number) {
    for (unsigned i = 0; i < c->nprevious; i++)
        if (number != 0 && c->previous[i].member == number) return 1u << i;
    return 0;
}

static void maybe_activate(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    if (p->sync_epoch == c->epoch && !is_active(p) &&
        (p->synced_active || (unsigned)__builtin_popcount(p->synced) >= c->nprevious / 2 + 1))
        activate(p);
}

/* Asks all voters, before and now, what they know. */
static void synchronise(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || own_seat(p) == NULL || is_active(p)) return;
    if (c->floor_epoch == c->epoch) {
        activate(p);
        return;
    }
    if (p->sync_epoch != c->epoch || !cluster_id_equal(&p->number_cluster, &c->cluster)) {
        p->sync_epoch = c->epoch;
        p->number_cluster = c->cluster;
        p->synced = 0;
        p->synced_active = false;
        p->sync_ns = 0;
        if (p->last_active == c->epoch - 1 && p->last_number == config_number(p->config))
            p->synced |= previous_bit(c, config_number(p->config));
    }
    const uint64_t now = sim_local(p->world->sim, p->place);
    if (now - p->sync_ns < SYNC_NS && p->sync_ns != 0) return;
    p->sync_ns = now;
    const struct envelope e = envelope_of(p, SYNC);
    for (unsigned i = 0; i < p->world->options.nodes; i++)
        if (i != p->place) send(p, i, &e);
    maybe_activate(p);
}

static void on_sync(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch) return;
    struct envelope answer = envelope_of(p, SYNCED);
    answer.active = is_active(p);
    answer.was_active = p->last_active == c->epoch - 1 && cluster_id_equal(&p->active_cluster, &c->cluster);
    answer.number = p->last_number;
    answer.memory = p->memory;
    if (answer.active || answer.was_active) send(p, from, &answer);
}

static void on_synced(struct world_process *p, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch || p->sync_epoch != c->epoch ||
        is_active(p) || own_seat(p) == NULL)
        return;
    const unsigned bit = e->was_active ? previous_bit(c, e->number) : 0;
    if (bit == 0 && !e->active) return;
    for (unsigned i = 0; i < WORLD_EVENTS / 64; i++) p->memory.bits[i] |= e->memory.bits[i];
    p->synced |= bit;
    p->synced_active |= e->active;
    maybe_activate(p);
}

static void count_acknowledgement(struct world_process *p, int seat) {
    const struct configuration *c = config_current(p->config);
    if (seat < 0 || p->event < 0 || c->epoch != p->event_epoch) return;
    p->acknowledged |= 1u << seat;
    if ((unsigned)__builtin_popcount(p->acknowledged) < configuration_majority(c)) return;
    p->world->event[p->event] = (struct world_event){c->epoch, c->cluster};
    p->world->confirmed++;
    p->event = -1;
}

/* An active voter makes an event, and asks the others to remember it. */
static void make_event(struct world_process *p) {
    struct world *w = p->world;
    if (!is_active(p) || config_sealed(p->config) || w->nevents == WORLD_EVENTS) return;
    const struct configuration *c = config_current(p->config);
    p->event = (int)w->nevents++;
    p->event_epoch = c->epoch;
    p->acknowledged = 0;
    p->memory.bits[p->event / 64] |= UINT64_C(1) << p->event % 64;
    check_acknowledged(w, p, c->epoch);
    struct envelope e = envelope_of(p, EVENT);
    e.event = (uint64_t)p->event;
    for (unsigned i = 0; i < w->options.nodes; i++)
        if (i != p->place) send(p, i, &e);
    count_acknowledgement(p, (int)(own_seat(p) - c->voters));
}

static void on_event(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (!is_active(p) || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch ||
        config_sealed(p->config))
        return;
    p->memory.bits[e->event / 64] |= UINT64_C(1) << e->event % 64;
    check_acknowledged(p->world, p, c->epoch);
    struct envelope answer = envelope_of(p, ACKNOWLEDGE);
    answer.event = e->event;
    send(p, from, &answer);
}

static void on_acknowledge(struct world_process *p, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch || (int)e->event != p->event)
        return;
    for (unsigned i = 0; i < c->nvoters; i++)
        if (c->voters[i].member == e->number && cluster_id_equal(&c->voters[i].id, &e->from))
            count_acknowledgement(p, (int)i);
}

/* ---- polls */

static bool lists(const struct configuration *c, const struct envelope *e) {
    const struct configuration_member *m = configuration_by_number(c, (uint32_t)e->number);
    return m != NULL && m->boot == e->boot && cluster_id_equal(&m->id, &e->from) && m->state != CONFIGURATION_EJECTED;
}

static void got_lease(struct world_process *p) {
    input(p, &(struct config_in){.kind = CONFIG_IN_LEASE});
    const struct configuration *c = config_current(p->config);
    const struct configuration_member *self = c == NULL ? NULL : configuration_by_number(c, config_number(p->config));
    if (self == NULL || self->state != CONFIGURATION_JOINING) return;
    input(p, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &(struct config_request){.kind = CONFIG_SERVE}});
}

static void count_grant(struct world_process *p, int seat) {
    const struct configuration *c = config_current(p->config);
    if (seat < 0 || c->version != p->granted_version) return;
    p->granted |= 1u << seat;
    if ((unsigned)__builtin_popcount(p->granted) < configuration_majority(c)) return;
    p->granted = 0;
    got_lease(p);
}

static void poll_voters(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || config_number(p->config) == 0) return;
    const struct envelope e = envelope_of(p, POLL);
    p->granted = 0;
    p->granted_version = c->version;
    for (unsigned i = 0; i < p->world->options.nodes; i++) {
        const struct configuration_member *m = configuration_by_name(c, p->world->place[i].name);
        if (m != NULL && i != p->place && configuration_seat(c, &m->id) != NULL) send(p, i, &e);
    }
    if (is_active(p) && !config_sealed(p->config)) count_grant(p, (int)(own_seat(p) - c->voters));
}

static void tell_version(struct world_process *p, unsigned from, const struct envelope *e) {
    struct config_in in = {.kind = CONFIG_IN_VERSION, .number = e->version};
    in.from.id = e->from;
    snprintf(in.from.address, sizeof in.from.address, "%s", p->world->place[from].address);
    input(p, &in);
}

static void on_poll(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster)) return;
    tell_version(p, from, e);
    c = config_current(p->config);
    if (c == NULL || !lists(c, e)) return;
    input(p, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = e->number});
    struct envelope answer = envelope_of(p, POLLED);
    answer.granted = is_active(p) && !config_sealed(p->config);
    send(p, from, &answer);
}

static void on_polled(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster)) return;
    tell_version(p, from, e);
    c = config_current(p->config);
    if (c == NULL || !e->granted || e->epoch != c->epoch) return;
    for (unsigned i = 0; i < c->nvoters; i++)
        if (c->voters[i].member == e->number && cluster_id_equal(&c->voters[i].id, &e->from)) count_grant(p, (int)i);
}

/* ---- a process */

static void set_timer(struct world_process *p) {
    sim_set_timer(p->world->sim, p->place, TIMER_CONFIG, config_next_ns(p->config));
}

static void input(struct world_process *p, const struct config_in *in) {
    config_input(p->config, sim_local(p->world->sim, p->place), in, &p->outs);
    handle_outs(p);
    set_timer(p);
}

static void ping(struct world_process *p, const char *address) {
    const int to = place_of(p->world, address);
    const struct envelope e = envelope_of(p, PING);
    if (to >= 0) send(p, (unsigned)to, &e);
}

static void on_pong(struct world_process *p, unsigned from, const struct envelope *e) {
    struct config_in in = {.kind = CONFIG_IN_PONG, .flag = true};
    in.from.id = e->from;
    in.from.boot = e->boot;
    snprintf(in.from.address, sizeof in.from.address, "%s", p->world->place[from].address);
    input(p, &in);
}

static void on_config_message(struct world_process *p, unsigned from, const struct envelope *e, const uint8_t *bytes,
                              size_t n) {
    static uint8_t memory[PEER_CONTROL_ARENA_BYTES];
    struct peer_arena arena;
    struct peer_counts counts = {0};
    struct peer_config_reader reader = {0};
    struct peer_config m;
    Peer__Control *control;
    if (!cluster_id_is_zero(&e->to) && !cluster_id_equal(&e->to, &config_self(p->config)->id)) return;
    peer_arena_init(&arena, memory, sizeof memory);
    CHECK(peer_control_unpack(&arena, bytes, n, &counts, &control) == PEER_OK);
    CHECK(peer_config_read(&reader, control, &counts, &m) == PEER_CONFIG_WHOLE);
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .message = &m};
    in.from.id = e->from;
    in.from.boot = e->boot;
    snprintf(in.from.name, sizeof in.from.name, "%s", p->world->place[from].name);
    snprintf(in.from.address, sizeof in.from.address, "%s", p->world->place[from].address);
    check_accept_seen(p->world, p, &m);
    input(p, &in);
    peer_config_reader_fini(&reader);
}

static void on_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n) {
    struct world_process *p = process;
    const struct envelope *e = bytes;
    struct envelope pong;
    (void)s, (void)node;
    CHECK(n >= sizeof *e);
    switch (e->kind) {
    case CONFIG_MESSAGE: on_config_message(p, from, e, (const uint8_t *)bytes + sizeof *e, n - sizeof *e); break;
    case POLL: on_poll(p, from, e); break;
    case POLLED: on_polled(p, from, e); break;
    case SYNC: on_sync(p, from, e); break;
    case SYNCED: on_synced(p, e); break;
    case EVENT: on_event(p, from, e); break;
    case ACKNOWLEDGE: on_acknowledge(p, e); break;
    case PING:
        pong = envelope_of(p, PONG);
        send(p, from, &pong);
        break;
    default: on_pong(p, from, e); break;
    }
}

/* The stand-in's events of a closing origin are nobody's any more: it may always go. */
static void retire_origins(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    uint32_t origins[CONFIGURATION_ORIGINS_MAX];
    const unsigned n = c == NULL ? 0 : c->nclosing;
    for (unsigned i = 0; i < n; i++) origins[i] = c->closing[i].origin;
    for (unsigned i = 0; i < n; i++)
        input(p, &(struct config_in){.kind = CONFIG_IN_ORIGIN, .number = origins[i], .flag = true});
}

static void on_world_timer(struct world_process *p) {
    struct sim *s = p->world->sim;
    const uint64_t now = sim_local(s, p->place);
    const struct configuration *c = config_current(p->config);
    if (now - p->poll_ns >= POLL_NS) {
        p->poll_ns = now;
        poll_voters(p);
    }
    synchronise(p);
    if (p->world->retire) retire_origins(p);
    if (p->world->options.faults && sim_chance(s, 150000)) make_event(p);
    c = config_current(p->config);
    const struct configuration_member *self = c == NULL ? NULL : configuration_by_number(c, config_number(p->config));
    if (p->leaving && self != NULL && self->state == CONFIGURATION_LEAVING)
        input(p,
              &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &(struct config_request){.kind = CONFIG_LEFT}});
    sim_set_timer(s, p->place, TIMER_WORLD, now + 250 * SIM_MS);
}

static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    struct world_process *p = process;
    (void)s, (void)node;
    if (timer == TIMER_CONFIG)
        input(p, &(struct config_in){.kind = CONFIG_IN_TIME});
    else
        on_world_timer(p);
}

static void on_crash(void *process, struct sim *s, unsigned node) {
    struct world_process *p = process;
    (void)s, (void)node;
    check_forget_process(p->world, p);
    config_free(p->config);
    config_outs_fini(&p->outs);
    p->world->place[p->place].process = NULL;
    free(p);
}

static const struct sim_process calls = {
    .on_crash = on_crash,
    .on_timer = on_timer,
    .on_datagram = on_datagram,
};

/* ---- carrying out what the machine says */

static void note_adopted(struct world_process *p, const struct configuration_value *v) {
    struct world *w = p->world;
    w->adoptions++;
    check_adopted(w, p->place, v);
}

static void note_log(struct world_process *p, const struct config_out *o) {
    struct world *w = p->world;
    sim_note(w->sim, p->place, "%s %s", o->event, o->text);
    if (strcmp(o->event, "founded") == 0) w->foundings++;
    if (strcmp(o->event, "ejected") == 0) w->ejected++;
    if (strcmp(o->event, "join_refused") == 0) w->joins_refused++;
    if (strcmp(o->event, "left") == 0) w->left++;
    if (strcmp(o->event, "configuration") == 0 && strstr(o->text, " kept ") != NULL) w->kept++;
    if (strcmp(o->event, "configuration") == 0 && strstr(o->text, " fresh ") != NULL) w->fresh++;
}

static void handle_out(struct world_process *p, struct config_out *o) {
    struct world *w = p->world;
    int to;
    switch (o->kind) {
    case CONFIG_OUT_SEND:
        check_sent(w, p, &o->message, &o->to);
        to = place_of(w, o->address);
        if (to >= 0) send_config(p, (unsigned)to, &o->to, &o->message);
        break;
    case CONFIG_OUT_SEEDS:
        for (unsigned i = 0; i < w->options.nodes; i++)
            if (i != p->place) send_config(p, i, &o->to, &o->message);
        break;
    case CONFIG_OUT_WRITE: write_record(p, o); break;
    case CONFIG_OUT_ADOPTED: note_adopted(p, o->value); break;
    case CONFIG_OUT_PING: ping(p, o->address); break;
    case CONFIG_OUT_RESET:
        w->resets++;
        memset(&p->memory, 0, sizeof p->memory);
        p->active = p->last_active = p->sync_epoch = 0;
        p->event = -1;
        break;
    case CONFIG_OUT_LOG: note_log(p, o); break;
    default: break;
    }
}

/* An out may cause a further input, whose outs come behind. */
static void handle_outs(struct world_process *p) {
    struct config_outs outs = p->outs;
    p->outs = (struct config_outs){0};
    for (unsigned i = 0; i < outs.n; i++) handle_out(p, &outs.out[i]);
    config_outs_clear(&outs);
    if (p->outs.out == NULL)
        p->outs = outs;
    else
        config_outs_fini(&outs);
}

/* ---- places */

/* Whether any node, up or down, knows a configuration. */
bool world_has_cluster(const struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++) {
        const struct world_disk *d = &w->place[i].disk;
        struct config_record r = {0};
        char err[200];
        if (world_configuration(w, i) != NULL) return true;
        if (!d->exists) continue;
        CHECK(config_record_unpack(d->bytes, d->n, &r, err, sizeof err) == 0);
        const bool has = r.current != NULL;
        config_record_fini(&r);
        if (has) return true;
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
    o->found = place->found && !world_has_cluster(w); /* the operator gives --found until there is a cluster */
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
    sim_start(w->sim, at, &calls, p);
    sim_set_timer(w->sim, at, TIMER_WORLD, sim_local(w->sim, at) + sim_below(w->sim, 250 * SIM_MS));
    set_timer(p);
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
    input(p, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &r});
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
        lose_disk(&w->place[i].disk);
    }
    w->options.faults = false;
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
    } else if (own_seat(p) != NULL && !is_active(p)) {
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
