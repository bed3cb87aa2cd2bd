/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One process of a config_world: its machine, its messages and polls, and its part of the stand-in for purges. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/config_bytes.h"
#include "tests/sim/config_world.h"

/* What a datagram of this world begins with. */
enum envelope_kind { CONFIG_MESSAGE = 1, POLL, POLLED, SYNC, SYNCED, EVENT, ACKNOWLEDGE, PING, PONG };

struct envelope {
    uint64_t kind;
    struct cluster_id from, to, cluster;
    uint64_t boot, version, epoch, number;
    uint64_t granted, active, was_active, event;
    struct world_memory memory; /* of SYNCED */
};

enum { POLL_NS = 1000000000, SYNC_NS = 300000000 };

static void handle_outs(struct world_process *p);

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
    struct envelope e = envelope_of(p, CONFIG_MESSAGE);
    struct peer_arena arena;
    peer_arena_init(&arena, scratch, sizeof scratch);
    e.to = *id;
    memcpy(bytes, &e, sizeof e);
    const size_t n = peer_config_pack(m, 0, &arena, bytes + sizeof e, sizeof bytes - sizeof e);
    CHECK(n > 0 && peer_config_parts(m) == 1);
    sim_datagram(p->world->sim, p->place, to, bytes, sizeof e + n);
}

/* ---- the stand-in for purges */

const struct configuration_voter *node_seat(const struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    return config_sits(p->config) ? configuration_seat(c, &config_self(p->config)->id) : NULL;
}

bool node_is_active(const struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    return c != NULL && node_seat(p) != NULL && p->active == c->epoch &&
           cluster_id_equal(&p->active_cluster, &c->cluster);
}

static void activate(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    p->active = p->last_active = c->epoch;
    p->active_cluster = c->cluster;
    p->last_number = config_number(p->config);
    p->event = -1;
    if (c->floor_epoch != c->epoch) check_active(p->world, p);
    node_input(p, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = c->epoch});
}

static unsigned previous_bit(const struct configuration *c, uint64_t number) {
    for (unsigned i = 0; i < c->nprevious; i++)
        if (number != 0 && c->previous[i].member == number) return 1u << i;
    return 0;
}

static void maybe_activate(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    if (p->sync_epoch == c->epoch && !node_is_active(p) &&
        (p->synced_active || (unsigned)__builtin_popcount(p->synced) >= c->nprevious / 2 + 1))
        activate(p);
}

/* Asks all voters, before and now, what they know. */
static void synchronise(struct world_process *p) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || node_seat(p) == NULL || node_is_active(p)) return;
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
    answer.active = node_is_active(p);
    answer.was_active = p->last_active == c->epoch - 1 && cluster_id_equal(&p->active_cluster, &c->cluster);
    answer.number = p->last_number;
    answer.memory = p->memory;
    if (answer.active || answer.was_active) send(p, from, &answer);
}

static void on_synced(struct world_process *p, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch || p->sync_epoch != c->epoch ||
        node_is_active(p) || node_seat(p) == NULL)
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
    if (!node_is_active(p) || config_sealed(p->config) || w->nevents == WORLD_EVENTS) return;
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
    count_acknowledgement(p, (int)(node_seat(p) - c->voters));
}

static void on_event(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (!node_is_active(p) || !cluster_id_equal(&c->cluster, &e->cluster) || c->epoch != e->epoch ||
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
    node_input(p, &(struct config_in){.kind = CONFIG_IN_LEASE});
    const struct configuration *c = config_current(p->config);
    const struct configuration_member *self = c == NULL ? NULL : configuration_by_number(c, config_number(p->config));
    if (self == NULL || self->state != CONFIGURATION_JOINING) return;
    node_input(
        p, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &(struct config_request){.kind = CONFIG_SERVE}});
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
    if (node_is_active(p) && !config_sealed(p->config)) count_grant(p, (int)(node_seat(p) - c->voters));
}

static void tell_version(struct world_process *p, unsigned from, const struct envelope *e) {
    struct config_in in = {.kind = CONFIG_IN_VERSION, .number = e->version};
    in.from.id = e->from;
    snprintf(in.from.address, sizeof in.from.address, "%s", p->world->place[from].address);
    node_input(p, &in);
}

static void on_poll(struct world_process *p, unsigned from, const struct envelope *e) {
    const struct configuration *c = config_current(p->config);
    if (c == NULL || !cluster_id_equal(&c->cluster, &e->cluster)) return;
    tell_version(p, from, e);
    c = config_current(p->config);
    if (c == NULL || !lists(c, e)) return;
    node_input(p, &(struct config_in){.kind = CONFIG_IN_HEARD, .number = e->number, .version = e->version});
    struct envelope answer = envelope_of(p, POLLED);
    answer.granted = node_is_active(p) && !config_sealed(p->config);
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

void node_set_timer(struct world_process *p) {
    sim_set_timer(p->world->sim, p->place, TIMER_CONFIG, config_next_ns(p->config));
}

void node_input(struct world_process *p, const struct config_in *in) {
    config_input(p->config, sim_local(p->world->sim, p->place), in, &p->outs);
    handle_outs(p);
    node_set_timer(p);
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
    node_input(p, &in);
}

static void on_config_message(struct world_process *p, unsigned from, const struct envelope *e, const uint8_t *bytes,
                              size_t n) {
    struct peer_config_reader reader;
    struct peer_config m;
    if (!cluster_id_is_zero(&e->to) && !cluster_id_equal(&e->to, &config_self(p->config)->id)) return;
    config_bytes_message(bytes, n, &reader, &m);
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .message = &m};
    in.from.id = e->from;
    in.from.boot = e->boot;
    snprintf(in.from.name, sizeof in.from.name, "%s", p->world->place[from].name);
    snprintf(in.from.address, sizeof in.from.address, "%s", p->world->place[from].address);
    check_accept_seen(p->world, p, &m);
    node_input(p, &in);
    peer_config_reader_fini(&reader);
}

static void on_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n) {
    struct world_process *p = process;
    struct envelope copy, pong; /* a copy, for its alignment */
    const struct envelope *e = &copy;
    (void)s, (void)node;
    CHECK(n >= sizeof copy);
    memcpy(&copy, bytes, sizeof copy);
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
        node_input(p, &(struct config_in){.kind = CONFIG_IN_ORIGIN, .number = origins[i], .flag = true});
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
        node_input(p, &(struct config_in){.kind = CONFIG_IN_REQUEST,
                                          .request = &(struct config_request){.kind = CONFIG_LEFT}});
    sim_set_timer(s, p->place, TIMER_WORLD, now + 250 * SIM_MS);
}

static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    struct world_process *p = process;
    (void)s, (void)node;
    if (timer == TIMER_CONFIG)
        node_input(p, &(struct config_in){.kind = CONFIG_IN_TIME});
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

const struct sim_process node_calls = {
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
    char own[80];
    snprintf(own, sizeof own, "name=%s ", w->place[p->place].name);
    if (strcmp(o->event, "ejected") == 0 && strstr(o->text, own) != NULL) w->ejected++;
    if (strcmp(o->event, "join_refused") == 0) w->joins_refused++;
    if (strcmp(o->event, "left") == 0) w->left++;
    if (strcmp(o->event, "configuration") == 0 && strstr(o->text, "memory=kept") != NULL) w->kept++;
    if (strcmp(o->event, "configuration") == 0 && strstr(o->text, "memory=fresh") != NULL) w->fresh++;
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
    case CONFIG_OUT_WRITE: world_write(p, o); break;
    case CONFIG_OUT_ADOPTED: note_adopted(p, o->value); break;
    case CONFIG_OUT_PING: ping(p, o->address); break;
    case CONFIG_OUT_RESET:
        w->resets++;
        memset(&p->memory, 0, sizeof p->memory);
        p->active = p->last_active = p->sync_epoch = 0;
        p->event = -1;
        node_input(p, &(struct config_in){.kind = CONFIG_IN_RESET});
        break;
    case CONFIG_OUT_BOOT: node_input(p, &(struct config_in){.kind = CONFIG_IN_RESET}); break;
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
