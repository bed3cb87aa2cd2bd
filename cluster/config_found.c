/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Founding: the lowest-named of a majority of the founders, none of which is configured, asks the
 * others to bind themselves to its founding. A founder binds itself to one at a time, so two foundings of one set of
 * founders never both have a majority.
 *
 * Founders that were killed before the first configuration was on their disks know from their records that they were
 * told to found, and found again when all of them are there: had one of them a configuration, it would tell the others
 * of it instead. */
#include <stdio.h>
#include <string.h>

#include "cluster/config.h"
#include "cluster/config_state.h"

int config_founder(const struct config *c, const char *name) {
    for (unsigned i = 0; i < c->options.nfounders; i++)
        if (strcmp(c->options.founders[i], name) == 0) return (int)i;
    return -1;
}

/* With fewer than three founders the lowest-named one decides alone. */
static unsigned founders_needed(const struct config *c) {
    if (c->options.keeps_state && !c->options.found) return c->options.nfounders;
    return c->options.nfounders < 3 ? 1 : c->options.nfounders / 2 + 1;
}

/* Without a state directory, the seat of one's name being an older process's means that nobody can sit there any more:
 * such a founder counts as not configured. */
static bool is_orphan(const struct config *c) {
    const struct configuration *conf = config_current(c);
    if (conf == NULL) return true;
    if (c->options.keeps_state || !conf->seats_by_name || c->number != 0) return false;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if (strcmp(conf->voters[i].name, c->self.name) == 0) return !cluster_id_equal(&conf->voters[i].id, &c->self.id);
    return false;
}

bool config_eligible(const struct config *c) {
    const bool told = !c->options.keeps_state || c->options.found || c->options.began_to_found;
    return c->founder_index >= 0 && !c->left && is_orphan(c) && told;
}

static bool is_bound(const struct config *c) {
    return !cluster_id_is_zero(&c->bound) && c->now_ns - c->bound_ns < CONFIG_BOUND && !FAULT_POINT("config_unbound");
}

static bool is_seen(const struct config *c, unsigned i) {
    const struct config_founder *f = &c->founders[i];
    return f->seen_ns != 0 && c->now_ns - f->seen_ns < CONFIG_FOUNDER_SEEN && f->eligible;
}

/* The founders that could found now, as bits; oneself too. */
static unsigned ready_founders(const struct config *c) {
    unsigned ready = 1u << c->founder_index;
    for (unsigned i = 0; i < c->options.nfounders; i++)
        if (is_seen(c, i)) ready |= 1u << i;
    return ready;
}

static struct peer_config founding_message(const struct config *c, enum peer_config_kind kind) {
    return (struct peer_config){
        .kind = kind,
        .cluster = c->bound,
        .hash = c->founders_hash,
        .keeps_state = c->options.keeps_state,
        .eligible = config_eligible(c),
    };
}

static void reply(struct config *c, const struct config_peer *to, enum peer_config_kind kind,
                  const struct cluster_id *cluster) {
    struct peer_config m = founding_message(c, kind);
    m.cluster = *cluster;
    config_send(c, &to->id, to->address, &m, NULL, NULL);
}

static void unbind(struct config *c) {
    c->bound = c->bound_by = (struct cluster_id){{0}};
    c->founding = false;
}

/* The configuration is a dead cluster's. So are requests: their member numbers mean others in the next one. */
static void drop_dead(struct config *c) {
    configuration_value_put(c->current);
    c->current = NULL;
    c->nown = c->nwishes = c->njoins = 0;
}

/* ---- version 1 */

static void found_member(struct config *c, struct configuration *n, unsigned i) {
    const bool self = (int)i == c->founder_index;
    const struct config_peer *peer = self ? &c->self : &c->founders[i].peer;
    struct configuration_member m = {
        .number = n->next_number++,
        .id = peer->id,
        .boot = peer->boot,
        .weight = self ? c->options.weight : c->founders[i].weight,
        .keeps_state = self ? c->options.keeps_state : c->founders[i].keeps_state,
        .state = CONFIGURATION_SERVING,
    };
    memcpy(m.name, peer->name, sizeof m.name);
    memcpy(m.address, peer->address, sizeof m.address);
    if (m.keeps_state) n->seats_by_name = false;
    configuration_add(n, &m); /* fails without memory only: that founder then joins later */
}

static void found_seat(const struct config *c, struct configuration *n, unsigned i) {
    struct configuration_voter *v = &n->voters[n->nvoters++];
    const struct configuration_member *m = configuration_by_name(n, c->options.founders[i]);
    memcpy(v->name, c->options.founders[i], sizeof v->name);
    if (m == NULL) return; /* vacant: it waits for the next process of the name */
    v->id = m->id;
    v->member = m->number;
    v->origin = n->next_number++;
    n->origins[n->norigins++] = v->origin;
}

static void first_version(struct config *c, unsigned founders, struct configuration *n) {
    const struct config_options *o = &c->options;
    *n = (struct configuration){
        .cluster = c->bound,
        .seats_by_name = true,
        .version = 1,
        .epoch = 1,
        .floor_epoch = 1,
        .ring_version = 1,
        .next_number = 1,
        .tag_lease_ms = o->tag_lease_ms,
        .serve_lease_ms = o->serve_lease_ms,
        .eject_after_ms = o->eject_after_ms,
        .tag_wait_ms = o->tag_lease_ms,
        .serve_wait_ms = o->serve_lease_ms,
        .voters_target = o->voters_target,
    };
    memcpy(n->cluster_name, o->cluster_name, sizeof n->cluster_name);
    memcpy(n->by, c->self.name, sizeof n->by);
    for (unsigned i = 0; i < o->nfounders; i++)
        if (founders & 1u << i) found_member(c, n, i);
    for (unsigned i = 0; i < o->nfounders; i++)
        if (o->nfounders >= 3 || (int)i == c->founder_index) found_seat(c, n, i);
    n->leases = n->nvoters >= 3; /* nobody has served anything yet */
}

static void finish(struct config *c) {
    struct configuration n;
    char cluster[CLUSTER_ID_TEXT];
    int err;
    first_version(c, c->found_asked, &n);
    struct configuration_value *v = configuration_value_new(&n, &err);
    cluster_id_text(&n.cluster, cluster);
    if (v != NULL && config_adopt(c, v)) {
        config_log(c, "founded", "cluster=%s id=%s founders=%u of=%u", n.cluster_name, cluster, n.nmembers,
                   c->options.nfounders);
        config_spread(c, NULL);
    }
    configuration_value_put(v);
    configuration_fini(&n);
}

/* ---- asking and binding */

static unsigned count(unsigned founders) {
    return (unsigned)__builtin_popcount(founders);
}

static void ask_to_bind(struct config *c) {
    c->found_bind_ns = c->now_ns;
    for (unsigned i = 0; i < c->options.nfounders; i++)
        if (c->found_asked & ~c->found_answered & 1u << i)
            reply(c, &c->founders[i].peer, PEER_CONFIG_FOUND_BIND, &c->bound);
}

static void start(struct config *c, unsigned ready) {
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t r = rand_next(&c->rand);
        memcpy(c->bound.bytes + 8 * (size_t)i, &r, sizeof r);
    }
    drop_dead(c);
    c->bound_by = c->self.id;
    c->bound_ns = c->now_ns;
    c->founding = true;
    c->found_asked = ready;
    c->found_answered = 1u << c->founder_index;
    ask_to_bind(c);
    if (c->found_answered == c->found_asked) finish(c);
}

/* Goes on without some of those that were asked, while a majority is left; they join later. False: none is left. */
static bool go_without(struct config *c, unsigned founders) {
    const unsigned left = c->found_asked & ~founders;
    if (count(left) < founders_needed(c)) return false;
    c->found_asked = left;
    if (c->found_answered == c->found_asked) finish(c);
    return true;
}

/* Gives the own founding up, so that the others are free for another one at once. */
static void give_up(struct config *c) {
    for (unsigned i = 0; i < c->options.nfounders; i++)
        if ((int)i != c->founder_index && c->founders[i].seen_ns != 0)
            reply(c, &c->founders[i].peer, PEER_CONFIG_FOUND_FREE, &c->bound);
    unbind(c);
    c->found_not_before_ns = c->now_ns + (100 + rand_below(&c->rand, 300)) * CONFIG_MS;
}

static void on_ask(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const int i = config_founder(c, from->name);
    if (config_seat_index(c, &c->self.id) >= 0 && !config_eligible(c)) config_send_news(c, from);
    if (i < 0 || i == c->founder_index || c->founder_index < 0) return;
    if (m->hash != c->founders_hash) {
        if (c->differ_logged_ns != 0 && c->now_ns - c->differ_logged_ns < 60 * CONFIG_S) return;
        c->differ_logged_ns = c->now_ns;
        config_log(c, "founders_differ", "node=%s hint=\"give all founders the same --founders\"", from->name);
        return;
    }
    struct config_founder *f = &c->founders[i];
    const bool new = f->seen_ns == 0 || c->now_ns - f->seen_ns >= CONFIG_FOUNDER_SEEN;
    /* Of an older process; or of one whose clock has gone back, once the other one is not heard any more. */
    if (!new && f->peer.boot > from->boot) return;
    *f = (struct config_founder){*from, c->now_ns, m->weight, m->eligible, m->keeps_state};
    if (new) c->found_asked_ns = 0; /* answer it at the next step, by asking oneself */
    if (new) config_wake(c, c->now_ns);
}

static void on_bind(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const bool again = cluster_id_equal(&c->bound, &m->cluster);
    if (config_founder(c, from->name) < 0 || m->hash != c->founders_hash || cluster_id_is_zero(&m->cluster)) return;
    if (!config_eligible(c) || (is_bound(c) && !again)) {
        if (c->current != NULL) config_push(c, &from->id, from->address);
        reply(c, from, PEER_CONFIG_FOUND_BUSY, &m->cluster);
        return;
    }
    drop_dead(c);
    c->founding = false;
    c->bound = m->cluster;
    c->bound_by = from->id;
    if (!again) c->bound_ns = c->now_ns;
    reply(c, from, PEER_CONFIG_FOUND_BOUND, &m->cluster);
}

static void on_bound(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const int i = config_founder(c, from->name);
    if (!c->founding || i < 0 || !cluster_id_equal(&m->cluster, &c->bound) ||
        !cluster_id_equal(&from->id, &c->founders[i].peer.id) || c->now_ns - c->bound_ns >= CONFIG_FOUNDING_ENDS)
        return;
    c->found_answered |= c->found_asked & 1u << i;
    if (c->found_answered == c->found_asked) finish(c);
}

static void on_busy(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const int i = config_founder(c, from->name);
    if (!c->founding || i < 0 || !cluster_id_equal(&m->cluster, &c->bound) || !(c->found_asked & 1u << i)) return;
    c->found_answered &= ~(1u << i);
    if (!go_without(c, 1u << i)) give_up(c);
}

void config_on_founding(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    switch (m->kind) {
    case PEER_CONFIG_FOUND_ASK: on_ask(c, from, m); break;
    case PEER_CONFIG_FOUND_BIND: on_bind(c, from, m); break;
    case PEER_CONFIG_FOUND_BOUND: on_bound(c, from, m); break;
    case PEER_CONFIG_FOUND_BUSY: on_busy(c, from, m); break;
    default: /* FOUND_FREE */
        if (!c->founding && cluster_id_equal(&m->cluster, &c->bound) && cluster_id_equal(&from->id, &c->bound_by))
            unbind(c);
        break;
    }
}

static void ask(struct config *c) {
    struct peer_config m = founding_message(c, PEER_CONFIG_FOUND_ASK);
    m.weight = c->options.weight;
    c->found_asked_ns = c->now_ns;
    config_send_seeds(c, &m);
    for (unsigned i = 0; i < c->options.nfounders; i++)
        if (c->founders[i].seen_ns != 0)
            config_send(c, &c->founders[i].peer.id, c->founders[i].peer.address, &m, NULL, NULL);
}

/* Those that were asked and do not answer are asked again, then done without. */
static void go_on(struct config *c) {
    if (c->now_ns - c->bound_ns >= CONFIG_FOUNDING_ENDS) {
        give_up(c);
    } else if (c->now_ns - c->bound_ns < CONFIG_FOUNDER_SEEN || !go_without(c, c->found_asked & ~c->found_answered)) {
        if (c->now_ns - c->found_bind_ns >= CONFIG_FOUNDER_ASK) ask_to_bind(c);
    }
}

void config_found_step(struct config *c) {
    if (!config_eligible(c)) return;
    if (c->founding) go_on(c);
    if (!config_eligible(c)) return;
    if (!cluster_id_is_zero(&c->bound) && c->now_ns - c->bound_ns >= CONFIG_BOUND) unbind(c);
    if (c->found_asked_ns == 0 || c->now_ns - c->found_asked_ns >= CONFIG_FOUNDER_ASK) ask(c);
    if (is_bound(c) || c->founding || c->now_ns < c->found_not_before_ns) return;
    const unsigned ready = ready_founders(c);
    const bool lowest =
        (ready & ((1u << c->founder_index) - 1)) == 0 && (c->options.nfounders >= 3 || c->founder_index == 0);
    const bool enough = lowest && count(ready) >= founders_needed(c);
    if (!enough || c->majority_ns == 0) c->majority_ns = enough ? c->now_ns : 0;
    if (enough && (count(ready) == c->options.nfounders || c->options.nfounders < 3 ||
                   c->now_ns - c->majority_ns >= CONFIG_FOUNDERS_ALL))
        start(c, c->options.nfounders < 3 ? 1u << c->founder_index : ready);
}

void config_waiting(const struct config *c, uint64_t now_ns, char *text, size_t text_size) {
    (void)now_ns;
    if (c->left)
        snprintf(text, text_size, "left");
    else if (config_eligible(c))
        snprintf(text, text_size, "waiting: %u of %u founders", (unsigned)__builtin_popcount(ready_founders(c)),
                 c->options.nfounders);
    else if (c->current == NULL)
        snprintf(text, text_size, "waiting: no cluster found yet");
    else
        snprintf(text, text_size, "%s", c->number == 0 ? "joining" : "");
}
