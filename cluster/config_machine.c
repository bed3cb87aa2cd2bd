/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "cluster/config_state.h"

/* ---- making one */

static bool check_options(const struct config_options *o, char *err, size_t err_size) {
    const unsigned n = o->nfounders;
    const char *reason = NULL;
    if (n > CONFIG_FOUNDERS_MAX || n == 4 || n == 6)
        reason = "--founders takes 1, 2, 3, 5 or 7 names: an even number of voters survives no more failures than "
                 "one less";
    else if (n > 1 && !o->seeds)
        reason = "--founders with other nodes' names needs --join with their addresses";
    else if (o->voters_target > CONFIGURATION_VOTERS_MAX || (o->voters_target > 0 && o->voters_target % 2 == 0))
        reason = "--voters takes 1, 3, 5 or 7";
    else if (o->tag_lease_ms > o->serve_lease_ms)
        reason = "--tag-lease is above --serve-lease";
    else if (o->eject_after_ms < config_waited_ms(o->serve_lease_ms))
        reason = "--eject-after must be at least --serve-lease plus 11 %";
    for (unsigned i = 0; reason == NULL && i < n; i++)
        for (unsigned j = 0; j < i; j++)
            if (strcmp(o->founders[i], o->founders[j]) == 0) reason = "--founders names a node twice";
    if (reason != NULL) snprintf(err, err_size, "%s", reason);
    return reason == NULL;
}

static void set_default(uint32_t *value, uint32_t otherwise) {
    if (*value == 0) *value = otherwise;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

/* A node with neither founders nor --join founds alone. */
static void set_founders(struct config *c) {
    struct config_options *o = &c->options;
    if (o->nfounders == 0 && !o->seeds) {
        snprintf(o->founders[0], sizeof o->founders[0], "%s", o->self.name);
        o->nfounders = 1;
        o->found = true;
    }
    qsort(o->founders, o->nfounders, sizeof o->founders[0], compare_names);
    c->founder_index = config_founder(c, o->self.name);
    c->founders_hash = o->nfounders;
    for (unsigned i = 0; i < o->nfounders; i++)
        c->founders_hash = hash_key(o->founders[i], strlen(o->founders[i]), c->founders_hash);
}

/* Who takes a seat counts everybody's silence from then on: nobody polled it before. */
static bool set_heard(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    struct config_heard *heard = calloc(now->nmembers + 1, sizeof *heard);
    if (heard == NULL) return false;
    const bool sat = before != NULL && configuration_seat(before, &c->self.id) != NULL;
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = sat ? configuration_by_number(before, now->members[i].number) : NULL;
        heard[i] = m == NULL ? (struct config_heard){.ns = c->now_ns} : c->heard[m - before->members];
    }
    free(c->heard);
    c->heard = heard;
    return true;
}

struct config *config_new(const struct config_options *options, const struct config_record *stored, uint64_t now_ns,
                          char *err, size_t err_size) {
    struct config *c = calloc(1, sizeof *c);
    if (c == NULL) {
        snprintf(err, err_size, "no memory");
        return NULL;
    }
    c->options = *options;
    set_default(&c->options.tag_lease_ms, CONFIG_TAG_LEASE_MS);
    set_default(&c->options.serve_lease_ms, CONFIG_SERVE_LEASE_MS);
    set_default(&c->options.eject_after_ms, CONFIG_EJECT_AFTER_MS);
    if (!check_options(&c->options, err, err_size)) {
        free(c);
        return NULL;
    }
    c->self = options->self;
    c->now_ns = c->start_ns = c->due_ns = c->adopted_ns = c->epoch_ns = now_ns;
    c->record_next = 1;
    rand_init(&c->rand, options->seed);
    set_founders(c);
    if (stored != NULL && stored->current != NULL) {
        c->current = configuration_value_get(stored->current);
        c->acceptor = stored->acceptor;
        if (FAULT_POINT("config_acceptor_forgets"))
            c->acceptor = (struct config_acceptor){.instance = stored->acceptor.instance};
        configuration_value_get(c->acceptor.value);
        c->counter = c->acceptor.promised.counter;
        if (!set_heard(c, NULL)) {
            config_free(c);
            snprintf(err, err_size, "no memory");
            return NULL;
        }
    }
    return c;
}

void config_free(struct config *c) {
    if (c == NULL) return;
    config_paxos_stop(c);
    configuration_value_put(c->current);
    configuration_value_put(c->acceptor.value);
    for (unsigned i = 0; i < c->ndeferred; i++) config_out_fini(&c->deferred[i].out);
    free(c->heard);
    free(c);
}

/* ---- questions */

const struct configuration *config_current(const struct config *c) {
    return c->current == NULL ? NULL : &c->current->configuration;
}

const struct configuration_value *config_current_value(const struct config *c) {
    return c->current;
}

const struct config_peer *config_self(const struct config *c) {
    return &c->self;
}

uint32_t config_number(const struct config *c) {
    return c->number;
}

bool config_sits(const struct config *c) {
    if (c->current == NULL || c->number == 0) return false;
    const struct configuration_voter *v = configuration_seat(&c->current->configuration, &c->self.id);
    return v != NULL && v->member == c->number;
}

uint32_t config_origin(const struct config *c) {
    return config_sits(c) ? configuration_seat(&c->current->configuration, &c->self.id)->origin : 0;
}

bool config_sealed(const struct config *c) {
    if (c->current == NULL || c->acceptor.value == NULL || FAULT_POINT("config_seal_ignored")) return false;
    return c->acceptor.instance == c->current->configuration.version + 1 &&
           c->acceptor.value->configuration.epoch != c->current->configuration.epoch;
}

bool config_fresh(const struct config *c) {
    return c->current != NULL && c->current->configuration.floor_epoch == c->current->configuration.epoch;
}

bool config_left(const struct config *c) {
    return c->left;
}

uint64_t config_waited_ms(uint64_t ms) {
    return (ms * 105 + 94) / 95; /* (1 + e) / (1 - e) with e = 0.05, rounded up */
}

uint64_t config_next_ns(const struct config *c) {
    return c->resetting ? UINT64_MAX : c->due_ns;
}

int config_seat_index(const struct config *c, const struct cluster_id *id) {
    if (c->current == NULL) return -1;
    const struct configuration_voter *v = configuration_seat(&c->current->configuration, id);
    return v == NULL ? -1 : (int)(v - c->current->configuration.voters);
}

uint32_t config_silent_ms(const struct config *c, unsigned i) {
    const struct configuration_member *m = &c->current->configuration.members[i];
    if (m->number == c->number) return 0;
    const uint64_t ms = (c->now_ns - c->heard[i].ns) / CONFIG_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

uint32_t config_missed_ms(const struct configuration *conf, uint32_t at_least_ms) {
    const uint32_t polls_ms = conf->tag_lease_ms - conf->tag_lease_ms / 4;
    return polls_ms > at_least_ms ? polls_ms : at_least_ms;
}

/* ---- adopting */

/* This process's member number in the configuration. 0: it is not listed, or it was ejected. */
static uint32_t own_number(const struct config *c, const struct configuration *conf) {
    for (unsigned i = conf->nmembers; i-- > 0;)
        if (config_same_process(&conf->members[i], &c->self)) return conf->members[i].number;
    return 0;
}

static bool was_leaving(const struct config *c, const struct configuration *before) {
    const struct configuration_member *m = before == NULL ? NULL : configuration_by_number(before, c->number);
    return m != NULL && m->state == CONFIGURATION_LEAVING;
}

/* Finds oneself in the new configuration, and why not, if not. */
static void find_self(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    const uint32_t number = own_number(c, now);
    if (number != 0) {
        c->number = number;
        c->was_member = true;
        return;
    }
    if (c->number == 0) return;
    const struct configuration_member *newer = configuration_by_name(now, c->self.name);
    if (was_leaving(c, before)) { /* or ejected meanwhile: it wanted to go */
        c->left = true;
        config_log(c, "left", "name=%s", c->self.name);
    } else if (newer != NULL && newer->state == CONFIGURATION_EJECTED && cluster_id_equal(&newer->id, &c->self.id)) {
        config_log(c, "ejected", "name=%s number=%u", c->self.name, c->number);
    } else if (newer != NULL) {
        c->left = true;
        config_log(c, "replaced", "name=%s by=%s", c->self.name, newer->address);
    } else {
        config_log(c, "forgotten", "name=%s number=%u", c->self.name, c->number);
    }
    c->number = 0; /* what it holds belongs to no member: it joins as a new one, or stays away */
    c->active_epoch = 0;
}

/* Says which other members were ejected: find_self says it of this one. */
static void log_ejected(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    for (unsigned i = 0; before != NULL && i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i], *was = configuration_by_number(before, m->number);
        if (m->state == CONFIGURATION_EJECTED && was != NULL && was->state != CONFIGURATION_EJECTED &&
            !cluster_id_equal(&m->id, &c->self.id))
            config_log(c, "ejected", "name=%s number=%u", m->name, m->number);
    }
}

static void log_adopted(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    char text[PEER_CONFIG_TEXT_MAX];
    config_describe(before, now, text, sizeof text);
    config_log(c, "configuration", "version=%llu by=%s %s", (unsigned long long)now->version, now->by, text);
}

/* The parts of the state that belong to one version begin anew. */
static void start_version(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    config_paxos_stop(c);
    if (c->acceptor.instance != now->version + 1) {
        configuration_value_put(c->acceptor.value);
        c->acceptor = (struct config_acceptor){.instance = now->version + 1};
    }
    c->wanted_ns = c->propose_ns = c->memory_wanted_ns = c->unfinished_ns = 0;
    c->proposal.rounds = 0;
    c->adopted_ns = c->now_ns;
    if (before == NULL || before->epoch != now->epoch) c->epoch_ns = c->now_ns;
    if (before == NULL || before->ring_version != now->ring_version) c->ring_ns = c->now_ns;
    memset(c->believed_dead, 0, sizeof c->believed_dead);
    memset(c->taken_ns, 0, sizeof c->taken_ns);
    c->bound = c->bound_by = (struct cluster_id){0};
    c->founding = false;
}

/* Nodes that do not know yet that a cluster is dead still hand its configuration on. */
static bool was_dropped(const struct config *c, const struct cluster_id *cluster) {
    return cluster_id_equal(cluster, &c->dropped) && c->now_ns - c->dropped_ns < CONFIG_YIELD_AFTER;
}

static bool may_adopt(const struct config *c, const struct configuration *v) {
    if (strcmp(v->cluster_name, c->options.cluster_name) != 0 || was_dropped(c, &v->cluster)) return false;
    if (c->current == NULL) return cluster_id_is_zero(&c->bound) || cluster_id_equal(&c->bound, &v->cluster);
    return cluster_id_equal(&c->current->configuration.cluster, &v->cluster) &&
           v->version > c->current->configuration.version;
}

bool config_adopt(struct config *c, struct configuration_value *v) {
    if (!may_adopt(c, &v->configuration)) return false;
    struct configuration_value *old = c->current;
    const struct configuration *before = old == NULL ? NULL : &old->configuration;
    c->current = v;
    if (!set_heard(c, before)) { /* no memory: who told of it tells again */
        c->current = old;
        return false;
    }
    configuration_value_get(v);
    start_version(c, before);
    config_leases_adopted(c, before);
    find_self(c, before);
    c->dirty = true;
    struct config_out *o = config_emit(c, CONFIG_OUT_ADOPTED);
    CHECK(o != NULL); /* config_input made room */
    o->value = configuration_value_get(v);
    o->number = c->number;
    log_adopted(c, before);
    log_ejected(c, before);
    config_join_settle(c);
    config_request_settle(c);
    if (c->number == 0) c->join_asked_ns = 0;
    config_wake(c, c->now_ns);
    configuration_value_put(old);
    return true;
}

static bool is_same_bytes(const struct configuration_value *v, uint64_t hash, uint32_t n) {
    return v != NULL && v->hash == hash && v->nbytes == n;
}

struct configuration_value *config_read_value(struct config *c, const uint8_t *bytes, uint32_t n) {
    if (bytes == NULL || n == 0 || n > CONFIGURATION_BYTES_MAX) return NULL;
    struct configuration_value *const known[] = {c->current, c->acceptor.value, c->proposal.value,
                                                 c->proposal.best_value};
    const uint64_t hash = configuration_hash(bytes, n);
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_same_bytes(known[i], hash, n)) return configuration_value_get(known[i]);
    int err;
    return configuration_value_read(bytes, n, &err);
}

void config_spread(struct config *c, const struct configuration *before) {
    const struct configuration *now = &c->current->configuration;
    const struct peer_config news = config_message(c, PEER_CONFIG_NEWS);
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (cluster_id_equal(&m->id, &c->self.id) || m->state == CONFIGURATION_EJECTED) continue;
        if (configuration_seat(now, &m->id) != NULL || (before != NULL && configuration_seat(before, &m->id) != NULL))
            config_push(c, &m->id, m->address);
        else
            config_send(c, &m->id, m->address, &news, NULL, NULL);
    }
}

/* ---- inputs */

void config_wake(struct config *c, uint64_t at_ns) {
    if (at_ns < c->due_ns) c->due_ns = at_ns;
}

static bool is_busy(const struct config *c) {
    return (c->number == 0 && !c->left) || c->proposal.phase != CONFIG_IDLE || c->nown > 0 || c->njoins > 0 ||
           c->nwishes > 0 || c->wanted_ns != 0 || c->acceptor.value != NULL || config_leases_busy(c);
}

static void step(struct config *c) {
    c->due_ns = c->now_ns + (is_busy(c) ? CONFIG_STEP_BUSY : CONFIG_STEP_IDLE);
    config_news_step(c);
    if (c->resetting) return;
    config_found_step(c);
    config_join_step(c);
    config_request_step(c);
    config_paxos_step(c);
    if (is_busy(c)) config_wake(c, c->now_ns + CONFIG_STEP_BUSY);
}

static void on_message(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    config_note_name(c, from, m);
    switch (m->kind) {
    case PEER_CONFIG_NEWS: config_on_news(c, from, m); break;
    case PEER_CONFIG_FETCH: config_on_fetch(c, from, m); break;
    case PEER_CONFIG_PUSH: config_on_push(c, from, m); break;
    case PEER_CONFIG_PREPARE:
    case PEER_CONFIG_PROMISE:
    case PEER_CONFIG_ACCEPT:
    case PEER_CONFIG_ACCEPTED:
    case PEER_CONFIG_REJECT: config_on_paxos(c, from, m); break;
    case PEER_CONFIG_JOIN: config_on_join(c, from, m); break;
    case PEER_CONFIG_JOIN_REFUSED: config_on_join_refused(c, from, m); break;
    case PEER_CONFIG_REQUEST: config_on_request(c, from, m); break;
    case PEER_CONFIG_ANSWER: config_on_answer(c, m); break;
    case PEER_CONFIG_FOUND_ASK:
    case PEER_CONFIG_FOUND_BIND:
    case PEER_CONFIG_FOUND_BOUND:
    case PEER_CONFIG_FOUND_BUSY:
    case PEER_CONFIG_FOUND_FREE: config_on_founding(c, from, m); break;
    default: break; /* of a newer version */
    }
}

static void on_heard(struct config *c, uint64_t number, uint64_t version) {
    if (c->current == NULL || number > UINT32_MAX) return;
    const struct configuration_member *m = configuration_by_number(&c->current->configuration, (uint32_t)number);
    if (m == NULL) return;
    struct config_heard *h = &c->heard[m - c->current->configuration.members];
    h->ns = c->now_ns;
    if (version > h->version) h->version = version;
}

static void on_alive(struct config *c, const struct config_in *in) {
    const int seat = config_seat_index(c, &in->from.id);
    if (seat >= 0) c->believed_dead[seat] = !in->flag;
}

static void on_origin(struct config *c, uint64_t number, bool may_go) {
    unsigned i = 0;
    while (i < c->nretirable && c->retirable[i] != number) i++;
    if (i < c->nretirable && !may_go) c->retirable[i] = c->retirable[--c->nretirable];
    if (i == c->nretirable && may_go && c->nretirable < CONFIGURATION_ORIGINS_MAX)
        c->retirable[c->nretirable++] = (uint32_t)number;
    config_wake(c, c->now_ns);
}

static void on_written(struct config *c, uint64_t number) {
    if (number + 1 == c->record_next) c->writing = false;
    config_written(c, number);
}

/* A disk may be full for a while. What waits for the record goes on waiting, for a later one that holds all of it, too.
 */
static void on_unwritten(struct config *c, uint64_t number) {
    if (!c->writing || number + 1 != c->record_next) return;
    c->writing = false;
    c->dirty = true;
    c->write_ns = c->now_ns + CONFIG_WRITE_AGAIN;
    config_wake(c, c->write_ns);
}

static void on_version(struct config *c, const struct config_in *in) {
    if (c->current == NULL) return;
    struct peer_config m = config_message(c, PEER_CONFIG_NEWS);
    m.version = in->number;
    config_on_news(c, &in->from, &m);
}

static void on_reset(struct config *c) {
    c->resetting = false;
    config_wake(c, c->now_ns);
}

static void dispatch(struct config *c, const struct config_in *in) {
    if (c->resetting && in->kind != CONFIG_IN_WRITTEN && in->kind != CONFIG_IN_UNWRITTEN && in->kind != CONFIG_IN_RESET)
        return;
    switch (in->kind) {
    case CONFIG_IN_TIME: break;
    case CONFIG_IN_MESSAGE: on_message(c, &in->from, in->message); break;
    case CONFIG_IN_WRITTEN: on_written(c, in->number); break;
    case CONFIG_IN_UNWRITTEN: on_unwritten(c, in->number); break;
    case CONFIG_IN_HEARD: on_heard(c, in->number, in->version); break;
    case CONFIG_IN_ALIVE: on_alive(c, in); break;
    case CONFIG_IN_ACTIVE: c->active_epoch = in->number; break;
    case CONFIG_IN_LEASE: c->lease_ns = c->now_ns; break;
    case CONFIG_IN_ORIGIN: on_origin(c, in->number, in->flag); break;
    case CONFIG_IN_HANDOFF: c->handoff = in->flag; break;
    case CONFIG_IN_PONG: config_on_pong(c, in); break;
    case CONFIG_IN_REQUEST: config_own_request(c, in->request); break;
    case CONFIG_IN_VERSION: on_version(c, in); break;
    case CONFIG_IN_RESET: on_reset(c); break;
    }
}

/* Messages to oneself are worked on in the same input; each may cause further ones, but a proposal ends after a few. */
static void drain(struct config *c) {
    for (unsigned i = 0; i < c->nloop; i++) {
        struct config_out o = c->loop[i];
        if (!c->resetting) on_message(c, &c->self, &o.message);
        config_out_fini(&o);
    }
    c->nloop = 0;
}

/* Room for the entries that must not be lost for want of memory. */
static bool reserve(struct config_outs *outs) {
    enum { ROOM = 32 };
    if (outs->capacity - outs->n >= ROOM) return true;
    struct config_out *grown = realloc(outs->out, (outs->n + 2 * ROOM) * sizeof *grown);
    if (grown == NULL) return false;
    outs->out = grown;
    outs->capacity = outs->n + 2 * ROOM;
    return true;
}

void config_input(struct config *c, uint64_t now_ns, const struct config_in *in, struct config_outs *outs) {
    if (!reserve(outs)) return; /* counts as lost */
    c->outs = outs;
    if (now_ns > c->now_ns) c->now_ns = now_ns;
    dispatch(c, in);
    drain(c);
    config_flush(c);
    if (c->now_ns >= config_next_ns(c)) {
        step(c);
        drain(c);
    }
    config_flush(c);
    c->outs = NULL;
}
