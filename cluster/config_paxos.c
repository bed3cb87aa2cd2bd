/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Single-decree Paxos, an instance for each version. Acceptors are the seats of the version before,
 * known by their node ids; any of them may propose. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/config.h"
#include "cluster/config_state.h"

static unsigned bits(unsigned v) {
    return (unsigned)__builtin_popcount(v);
}

static unsigned majority(const struct config *c) {
    const unsigned n = configuration_majority(&c->current->configuration);
    return FAULT_POINT("config_minority") ? n - 1 : n;
}

/* ---- the acceptor */

/* Whether a proposer's message is about the instance that this node is an acceptor of. Whoever is behind is helped. */
static bool is_instance(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const struct configuration *conf = config_current(c);
    if (conf != NULL && !cluster_id_equal(&m->cluster, &conf->cluster)) return false;
    if (conf == NULL || m->version > conf->version) {
        const struct peer_config fetch = config_message(c, PEER_CONFIG_FETCH);
        config_send(c, &from->id, from->address, &fetch, NULL, NULL);
        return false;
    }
    if (m->version < conf->version) {
        config_push(c, &from->id, from->address);
        return false;
    }
    return m->hash == c->current->hash && cluster_id_equal(&m->ballot.node, &from->id) &&
           m->ballot.counter < UINT64_MAX / 2 && config_seat_index(c, &c->self.id) >= 0;
}

static bool reject(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (peer_ballot_compare(&m->ballot, &c->acceptor.promised) >= 0) return false;
    struct peer_config answer = config_message(c, PEER_CONFIG_REJECT);
    answer.ballot = c->acceptor.promised;
    config_send(c, &from->id, from->address, &answer, NULL, NULL);
    return true;
}

static void promise_to(struct config *c, const struct peer_ballot *b) {
    if (peer_ballot_compare(b, &c->acceptor.promised) != 0) c->dirty = true;
    c->acceptor.promised = *b;
    if (b->counter > c->counter) c->counter = b->counter;
    if (!cluster_id_equal(&b->node, &c->self.id)) { /* let the other one finish */
        const uint64_t later = c->now_ns + CONFIG_UNFINISHED + rand_below(&c->rand, 300) * CONFIG_MS;
        if (c->propose_ns < later) c->propose_ns = later;
    }
}

/* The members that this voter has not heard lately. The list is the caller's to free; *n is 0 without memory, which
 * only says that all were heard. */
static struct peer_silent *silent_members(const struct config *c, uint32_t *n) {
    const struct configuration *conf = &c->current->configuration;
    const uint32_t named_ms = config_missed_ms(conf, CONFIG_NAMED_SILENT_MS);
    const uint32_t least = conf->eject_after_ms < named_ms ? conf->eject_after_ms : named_ms;
    struct peer_silent *list = NULL;
    *n = 0;
    for (unsigned i = 0; i < conf->nmembers; i++) {
        const uint32_t ms = config_silent_ms(c, i);
        if (ms < least) continue;
        if (list == NULL && (list = malloc(conf->nmembers * sizeof *list)) == NULL) return NULL;
        list[(*n)++] = (struct peer_silent){conf->members[i].number, ms};
    }
    return list;
}

static void on_prepare(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (!is_instance(c, from, m) || reject(c, from, m)) return;
    promise_to(c, &m->ballot);
    struct peer_config answer = config_message(c, PEER_CONFIG_PROMISE);
    answer.ballot = m->ballot;
    answer.accepted = c->acceptor.accepted;
    answer.active = config_sits(c) && c->active_epoch == c->current->configuration.epoch;
    struct peer_silent *silent = silent_members(c, &answer.nsilent);
    config_send_durable(c, from, &answer, c->acceptor.value, silent);
}

static void on_accept(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (!is_instance(c, from, m) || reject(c, from, m)) return;
    struct configuration_value *v = config_read_value(c, m->value, m->nvalue);
    if (v == NULL) return;
    if (!cluster_id_equal(&v->configuration.cluster, &m->cluster) || v->configuration.version != m->version + 1) {
        configuration_value_put(v);
        return;
    }
    promise_to(c, &m->ballot);
    const bool was_sealed = config_sealed(c);
    if (c->acceptor.value == NULL) c->unfinished_ns = c->now_ns;
    if (peer_ballot_compare(&c->acceptor.accepted, &m->ballot) != 0) c->dirty = true;
    configuration_value_put(c->acceptor.value);
    c->acceptor.accepted = m->ballot;
    c->acceptor.value = v;
    if (!was_sealed && config_sealed(c) && config_sits(c))
        config_log(c, "sealed", "epoch=%llu", (unsigned long long)c->current->configuration.epoch);
    struct peer_config answer = config_message(c, PEER_CONFIG_ACCEPTED);
    answer.ballot = m->ballot;
    config_send_durable(c, from, &answer, NULL, NULL);
}

/* ---- the proposer */

void config_paxos_stop(struct config *c) {
    struct config_proposal *p = &c->proposal;
    configuration_value_put(p->best_value);
    configuration_value_put(p->value);
    free(p->silent_ms);
    *p = (struct config_proposal){.phase = CONFIG_IDLE, .rounds = p->rounds};
}

/* Gives the proposal up; the next one comes after a while that doubles, so that a wish that others do not share costs
 * little. */
static void put_off(struct config *c) {
    const unsigned rounds = c->proposal.rounds < 6 ? c->proposal.rounds : 6;
    c->proposal.rounds++;
    config_paxos_stop(c);
    c->propose_ns = c->now_ns + (CONFIG_UNFINISHED << rounds) + rand_below(&c->rand, 250) * CONFIG_MS;
}

static void send_phase(struct config *c) {
    const struct configuration *conf = &c->current->configuration;
    struct config_proposal *p = &c->proposal;
    const bool preparing = p->phase == CONFIG_PREPARING;
    struct peer_config m = config_message(c, preparing ? PEER_CONFIG_PREPARE : PEER_CONFIG_ACCEPT);
    m.ballot = p->ballot;
    p->sent_ns = c->now_ns;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if (!cluster_id_is_zero(&conf->voters[i].id) && !(p->answered & 1u << i))
            config_send(c, &conf->voters[i].id, NULL, &m, preparing ? NULL : p->value, NULL);
}

static void prepare(struct config *c) {
    const struct configuration *conf = &c->current->configuration;
    const unsigned rounds = c->proposal.rounds;
    config_paxos_stop(c);
    uint32_t *silent_ms = malloc((conf->nmembers + 1) * sizeof *silent_ms);
    if (silent_ms == NULL) return;
    for (unsigned i = 0; i < conf->nmembers; i++) silent_ms[i] = UINT32_MAX;
    c->proposal = (struct config_proposal){
        .phase = CONFIG_PREPARING,
        .ballot = {++c->counter, c->self.boot, c->self.id},
        .started_ns = c->now_ns,
        .resend = 200 * CONFIG_MS,
        .silent_ms = silent_ms,
        .rounds = rounds,
    };
    send_phase(c);
}

static void propose_value(struct config *c, struct configuration_value *v) {
    struct config_proposal *p = &c->proposal;
    configuration_value_put(p->value);
    p->value = v;
    p->phase = CONFIG_ACCEPTING;
    p->answered = 0;
    p->resend = 200 * CONFIG_MS;
    send_phase(c);
}

/* Enough promises are there: which value they allow. Waits for more if a majority that remembers the epoch may still
 * turn up. */
static void decide(struct config *c) {
    struct config_proposal *p = &c->proposal;
    if (p->phase != CONFIG_PREPARING || bits(p->answered) < majority(c)) return;
    if (p->best_value != NULL && !FAULT_POINT("config_accepted_ignored")) {
        propose_value(c, configuration_value_get(p->best_value));
        return;
    }
    struct configuration next = {0};
    const enum config_plan_result result = config_plan(c, p->silent_ms, bits(p->active), false, &next);
    int err = 0;
    struct configuration_value *v = result == CONFIG_PLAN_READY ? configuration_value_new(&next, &err) : NULL;
    configuration_fini(&next);
    if (v != NULL) {
        propose_value(c, v);
    } else if (result != CONFIG_PLAN_WAITS) {
        if (err == -EFBIG)
            config_log(c, "configuration_full", "bytes=%u hint=\"forget ejected members\"", CONFIGURATION_BYTES_MAX);
        put_off(c);
    }
}

/* The seat that answered the current ballot, -1: none, or it is another instance's or ballot's answer. */
static int answered_by(const struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const struct config_proposal *p = &c->proposal;
    if (c->current == NULL || p->phase == CONFIG_IDLE || m->version != c->current->configuration.version ||
        peer_ballot_compare(&m->ballot, &p->ballot) != 0)
        return -1;
    return config_seat_index(c, &from->id);
}

/* A member is silent for as long as the voter says that heard it last; one that a voter does not name was heard. */
static void merge_silence(struct config *c, const struct peer_config *m) {
    const struct configuration *conf = &c->current->configuration;
    uint32_t at = 0;
    for (unsigned i = 0; i < conf->nmembers; i++) {
        uint32_t ms = 0;
        while (at < m->nsilent && m->silent[at].number < conf->members[i].number) at++;
        if (at < m->nsilent && m->silent[at].number == conf->members[i].number) ms = m->silent[at].ms;
        if (ms < c->proposal.silent_ms[i]) c->proposal.silent_ms[i] = ms;
    }
}

static void on_promise(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    struct config_proposal *p = &c->proposal;
    const int seat = answered_by(c, from, m);
    if (seat < 0 || p->phase != CONFIG_PREPARING || p->answered & 1u << seat) return;
    if (m->nvalue > 0 && peer_ballot_compare(&m->accepted, &p->best) > 0) {
        struct configuration_value *v = config_read_value(c, m->value, m->nvalue);
        if (v == NULL) return; /* a promise that cannot be read whole is none */
        configuration_value_put(p->best_value);
        p->best_value = v;
        p->best = m->accepted;
    }
    p->answered |= 1u << seat;
    if (m->active) p->active |= 1u << seat;
    merge_silence(c, m);
    decide(c);
}

static void on_accepted(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    struct config_proposal *p = &c->proposal;
    const int seat = answered_by(c, from, m);
    if (seat < 0 || p->phase != CONFIG_ACCEPTING) return;
    p->answered |= 1u << seat;
    if (bits(p->answered) < majority(c)) return;
    struct configuration_value *chosen = configuration_value_get(p->value);
    struct configuration_value *before = configuration_value_get(c->current);
    if (config_adopt(c, chosen)) config_spread(c, &before->configuration);
    configuration_value_put(before);
    configuration_value_put(chosen);
}

static void on_reject(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    (void)from;
    struct config_proposal *p = &c->proposal;
    if (c->current == NULL || p->phase == CONFIG_IDLE || m->version != c->current->configuration.version ||
        m->ballot.counter >= UINT64_MAX / 2 || peer_ballot_compare(&m->ballot, &p->ballot) <= 0)
        return;
    if (m->ballot.counter > c->counter) c->counter = m->ballot.counter;
    config_paxos_stop(c);
    c->propose_ns = c->now_ns + (50 + rand_below(&c->rand, 250)) * CONFIG_MS;
}

void config_on_paxos(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    switch (m->kind) {
    case PEER_CONFIG_PREPARE: on_prepare(c, from, m); break;
    case PEER_CONFIG_ACCEPT: on_accept(c, from, m); break;
    case PEER_CONFIG_PROMISE: on_promise(c, from, m); break;
    case PEER_CONFIG_ACCEPTED: on_accepted(c, from, m); break;
    default: on_reject(c, from, m); break;
    }
}

/* ---- when to propose */

static bool is_wanted(struct config *c) {
    const struct configuration *conf = &c->current->configuration;
    if (c->acceptor.value != NULL && c->now_ns - c->unfinished_ns >= CONFIG_UNFINISHED) return true;
    uint32_t *silent_ms = malloc((conf->nmembers + 1) * sizeof *silent_ms);
    if (silent_ms == NULL) return false;
    for (unsigned i = 0; i < conf->nmembers; i++) silent_ms[i] = config_silent_ms(c, i);
    struct configuration next = {0};
    const bool wanted = config_plan(c, silent_ms, 0, true, &next) == CONFIG_PLAN_READY;
    configuration_fini(&next);
    free(silent_ms);
    return wanted;
}

/* By habit the lowest voter that is alive proposes, so that they do not get into each other's way. */
static bool is_lowest_alive(const struct config *c, int seat) {
    const struct configuration *conf = &c->current->configuration;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if ((int)i != seat && !c->believed_dead[i] && !cluster_id_is_zero(&conf->voters[i].id) &&
            conf->voters[i].member < conf->voters[seat].member)
            return false;
    return true;
}

static void go_on(struct config *c) {
    struct config_proposal *p = &c->proposal;
    decide(c);
    if (p->phase == CONFIG_IDLE) return;
    const uint64_t patience = (2 * CONFIG_S) << (p->rounds < 3 ? p->rounds : 3);
    if (p->phase == CONFIG_PREPARING && c->now_ns - p->started_ns >= patience) {
        p->rounds++;
        prepare(c); /* what the promises say of silence is old by now */
    } else if (c->now_ns - p->sent_ns >= p->resend) {
        if (p->resend < 800 * CONFIG_MS) p->resend *= 2;
        send_phase(c);
    }
}

void config_paxos_step(struct config *c) {
    const int seat = config_seat_index(c, &c->self.id);
    if (seat < 0) return;
    if (c->proposal.phase != CONFIG_IDLE) {
        go_on(c);
        return;
    }
    if (c->wanted_ns != 0 && c->now_ns < c->propose_ns) return;
    if (!is_wanted(c)) {
        c->wanted_ns = 0;
        return;
    }
    if (c->wanted_ns == 0) {
        c->wanted_ns = c->now_ns;
        const uint64_t pause = is_lowest_alive(c, seat) ? 0 : (50 + rand_below(&c->rand, 250)) * CONFIG_MS;
        if (c->propose_ns < c->now_ns + pause) c->propose_ns = c->now_ns + pause;
    }
    if (c->now_ns >= c->propose_ns) prepare(c);
}
