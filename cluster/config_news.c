/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "cluster/config_state.h"

static bool is_own_cluster(const struct config *c, const struct cluster_id *cluster) {
    return c->current != NULL && cluster_id_equal(&c->current->configuration.cluster, cluster);
}

static bool has_lease(const struct config *c) {
    return c->lease_ns != 0 && c->now_ns - c->lease_ns < 3 * CONFIG_S;
}

/* Since when there was no lease; a process that never had one counts from its beginning. */
static uint64_t without_lease_ns(const struct config *c) {
    return c->now_ns - (c->lease_ns > c->start_ns ? c->lease_ns : c->start_ns);
}

void config_reset(struct config *c, const char *why) {
    config_log(c, "starts_anew", "reason=\"%s\"", why);
    config_paxos_stop(c);
    if (c->current != NULL) c->dropped = c->current->configuration.cluster;
    c->dropped_ns = c->now_ns;
    configuration_value_put(c->current);
    configuration_value_put(c->acceptor.value);
    c->current = NULL;
    c->acceptor = (struct config_acceptor){0};
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t r = rand_next(&c->rand);
        memcpy(c->self.id.bytes + 8 * (size_t)i, &r, sizeof r);
    }
    c->number = 0;
    c->was_member = c->left = false;
    c->active_epoch = 0;
    c->bound = c->bound_by = (struct cluster_id){0};
    c->founding = false;
    c->nown = c->nwishes = c->njoins = 0;
    c->wanted_ns = c->unfinished_ns = c->memory_wanted_ns = 0;
    c->start_ns = c->now_ns;
    c->lease_ns = 0;
    memset(c->founders, 0, sizeof c->founders);
    if (c->options.keeps_state) c->options.found = false; /* there is a cluster: it joins that one */
    for (unsigned i = 0; i < c->ndeferred; i++) config_out_fini(&c->deferred[i].out);
    c->ndeferred = 0;
    c->dirty = c->resetting = true;
    struct config_out *o = config_emit(c, CONFIG_OUT_RESET);
    if (o != NULL) o->to = c->self.id;
}

/* ---- two clusters of one name */

void config_note_name(struct config *c, const struct config_peer *who, const struct peer_config *m) {
    if (c->current == NULL || is_own_cluster(c, &m->cluster)) return;
    const struct configuration *conf = &c->current->configuration;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if (strcmp(conf->voters[i].name, who->name) == 0 && !cluster_id_equal(&conf->voters[i].id, &who->id))
            c->taken_ns[i] = c->now_ns;
}

/* Without state directories the voters are their processes: once most seats are vacant or their processes gone, and
 * other processes have the names, the cluster is dead. */
static bool is_dead_cluster(const struct config *c) {
    if (c->current == NULL || c->options.keeps_state || !c->current->configuration.seats_by_name) return false;
    const struct configuration *conf = &c->current->configuration;
    unsigned taken = 0;
    for (unsigned i = 0; i < conf->nvoters; i++)
        taken += c->taken_ns[i] != 0 && c->now_ns - c->taken_ns[i] < CONFIG_NAMES_TAKEN;
    return taken >= configuration_majority(conf) && without_lease_ns(c) >= CONFIG_ANEW_AFTER;
}

static void meet_other_cluster(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (!m->has_lease) return;
    if (without_lease_ns(c) >= CONFIG_YIELD_AFTER) {
        config_reset(c, "another cluster of this name has a quorum, this one has none");
        return;
    }
    if (!has_lease(c) || (c->two_logged_ns != 0 && c->now_ns - c->two_logged_ns < 60 * CONFIG_S)) return;
    c->two_logged_ns = c->now_ns;
    config_log(c, "two_clusters", "name=%s node=%s address=%s hint=\"stop one of the two\"", c->options.cluster_name,
               from->name, from->address);
}

/* ---- which version who has */

void config_send_news(struct config *c, const struct config_peer *to) {
    struct peer_config news = config_message(c, PEER_CONFIG_NEWS);
    news.has_lease = has_lease(c);
    config_send(c, &to->id, to->address, &news, NULL, NULL);
}

/* A whole configuration is long and everybody offers it, so it is fetched from one at a time. */
static void fetch(struct config *c, const struct config_peer *from, const struct cluster_id *cluster) {
    struct peer_config m = config_message(c, PEER_CONFIG_FETCH);
    if (c->fetched_ns != 0 && c->now_ns - c->fetched_ns < CONFIG_FETCH_AGAIN) return;
    c->fetched_ns = c->now_ns;
    m.cluster = *cluster;
    config_send(c, &from->id, from->address, &m, NULL, NULL);
}

void config_on_news(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (c->current == NULL)
        fetch(c, from, &m->cluster);
    else if (!is_own_cluster(c, &m->cluster))
        meet_other_cluster(c, from, m);
    else if (m->version > c->current->configuration.version)
        fetch(c, from, &m->cluster);
    else if (m->version < c->current->configuration.version)
        config_send_news(c, from);
}

void config_on_fetch(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (c->current == NULL) return;
    if (cluster_id_is_zero(&m->cluster)) /* whoever asks everybody whether there is a cluster */
        config_send_news(c, from);
    else if (is_own_cluster(c, &m->cluster) && m->version < c->current->configuration.version)
        config_push(c, &from->id, from->address);
}

void config_on_push(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    (void)from;
    struct configuration_value *v = config_read_value(c, m->value, m->nvalue);
    c->fetched_ns = 0; /* what was asked for has come; a version that is already newer is asked for at once */
    if (v == NULL) return;
    config_adopt(c, v);
    configuration_value_put(v);
}

/* A random other member that is present; NULL: none was found in a few tries. */
static const struct configuration_member *random_member(struct config *c) {
    const struct configuration *conf = &c->current->configuration;
    for (unsigned tries = 0; tries < 4 && conf->nmembers > 0; tries++) {
        const struct configuration_member *m = &conf->members[rand_below(&c->rand, conf->nmembers)];
        if (m->state != CONFIGURATION_EJECTED && !cluster_id_equal(&m->id, &c->self.id)) return m;
    }
    return NULL;
}

static void gossip(struct config *c) {
    struct peer_config news = config_message(c, PEER_CONFIG_NEWS);
    news.has_lease = has_lease(c);
    if (c->now_ns - c->news_ns >= CONFIG_S) {
        c->news_ns = c->now_ns;
        const struct configuration_member *m = random_member(c);
        if (m != NULL) config_send(c, &m->id, m->address, &news, NULL, NULL);
    }
    /* in a large cluster each node speaks less often, so that all together say as much */
    const unsigned share = 1 + c->current->configuration.nmembers / 32;
    const uint64_t every = share * (has_lease(c) ? 30 * CONFIG_S : 2 * CONFIG_S);
    if (c->now_ns - c->news_seeds_ns >= every) {
        c->news_seeds_ns = c->now_ns;
        config_send_seeds(c, &news);
    }
}

void config_news_step(struct config *c) {
    if (is_dead_cluster(c)) config_reset(c, "most voters are gone and other processes have their names");
    if (c->current != NULL) {
        gossip(c);
    } else if (c->now_ns - c->seeds_asked_ns >= CONFIG_ASK_AGAIN) {
        const struct peer_config fetch = config_message(c, PEER_CONFIG_FETCH);
        c->seeds_asked_ns = c->now_ns;
        config_send_seeds(c, &fetch);
    }
}
