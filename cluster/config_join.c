/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Joining: a process asks the voters to list it, until they do. Boot numbers decide which of two
 * processes of a name is the newer one, and a ping whether the older one is really gone. */
#include <stdio.h>
#include <string.h>

#include "cluster/config.h"
#include "cluster/config_state.h"

bool config_same_process(const struct configuration_member *m, const struct config_peer *p) {
    return m->boot == p->boot && cluster_id_equal(&m->id, &p->id) && m->state != CONFIGURATION_EJECTED;
}

bool config_join_older(const struct configuration_member *m, const struct config_peer *p) {
    if (FAULT_POINT("config_older_boot")) return false;
    if (m->boot != p->boot) return m->boot > p->boot;
    /* an ejected process comes back under its own boot; of two others with one boot the first one is listed */
    return !(cluster_id_equal(&m->id, &p->id) && m->state == CONFIGURATION_EJECTED);
}

const struct configuration_member *config_join_conflict(const struct configuration *conf, const struct config_peer *p) {
    const struct configuration_member *m = configuration_by_id(conf, &p->id);
    return m != NULL ? m : configuration_by_name(conf, p->name);
}

/* ---- the voter's side */

static struct config_join *find_join(struct config *c, const char *name) {
    for (unsigned i = 0; i < c->njoins; i++)
        if (strcmp(c->joins[i].peer.name, name) == 0) return &c->joins[i];
    return NULL;
}

static void remove_join(struct config *c, struct config_join *j) {
    *j = c->joins[--c->njoins];
}

static void refuse_join(struct config *c, const struct config_peer *to, uint64_t boot, const char *text) {
    struct peer_config m = config_message(c, PEER_CONFIG_JOIN_REFUSED);
    m.boot = boot;
    snprintf(m.text, sizeof m.text, "%s", text);
    config_send(c, &to->id, to->address, &m, NULL, NULL);
}

/* A place for what this process asks; NULL: a newer process of its name asks too, or the list is full. */
static struct config_join *note_join(struct config *c, const struct config_peer *from) {
    struct config_join *j = find_join(c, from->name);
    if (j != NULL && j->peer.boot > from->boot && !FAULT_POINT("config_older_boot")) return NULL;
    if (j == NULL) {
        if (c->njoins == CONFIG_JOINS_MAX) return NULL;
        j = &c->joins[c->njoins++];
        *j = (struct config_join){.peer = *from};
    } else if (!cluster_id_equal(&j->peer.id, &from->id) || j->peer.boot != from->boot) {
        *j = (struct config_join){.peer = *from};
    }
    j->peer = *from;
    return j;
}

/* Asks whether the listed process is still there, unless the newer one has its very address, which proves it gone. */
static void ping_listed(struct config *c, struct config_join *j, const struct configuration_member *listed) {
    if (listed == NULL || listed->state == CONFIGURATION_EJECTED || strcmp(listed->address, j->peer.address) == 0 ||
        strcmp(listed->address, j->pinged) == 0)
        return;
    struct config_out *o = config_emit(c, CONFIG_OUT_PING);
    if (o == NULL) return;
    memcpy(o->address, listed->address, sizeof o->address);
    memcpy(j->pinged, listed->address, sizeof j->pinged);
    j->ping_until_ns = c->now_ns + CONFIG_PING_WAIT;
}

static bool is_sane(const struct config_peer *p) {
    return p->name[0] != '\0' && p->address[0] != '\0' && !cluster_id_is_zero(&p->id) && p->boot < UINT64_MAX / 2;
}

void config_on_join(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    const struct configuration *conf = config_current(c);
    if (conf == NULL || !is_sane(from)) return;
    if (!cluster_id_equal(&m->cluster, &conf->cluster))
        return;                        /* a founding that came to nothing, or another cluster */
    if (m->version != conf->version) { /* whoever is behind learns the newer one; then it asks again */
        if (m->version < conf->version)
            config_push(c, &from->id, from->address);
        else
            config_on_news(c, from, m);
        return;
    }
    if (config_seat_index(c, &c->self.id) < 0) return;
    const struct configuration_member *listed = config_join_conflict(conf, from);
    const struct configuration_member *named = configuration_by_name(conf, from->name);
    if (listed != NULL && config_same_process(listed, from)) return;
    if (listed != NULL && !config_join_older(listed, from)) listed = named != NULL ? named : listed;
    if (listed != NULL && config_join_older(listed, from)) {
        refuse_join(c, from, listed->boot, "");
        return;
    }
    if (listed == NULL && conf->nmembers == CONFIGURATION_MEMBERS_MAX &&
        configuration_present(conf) == CONFIGURATION_MEMBERS_MAX) {
        refuse_join(c, from, 0, "the cluster has 2000 members");
        return;
    }
    struct config_join *j = note_join(c, from);
    if (j == NULL) return;
    j->weight = m->weight <= CONFIGURATION_WEIGHT_MAX ? m->weight : CONFIGURATION_WEIGHT_MAX;
    j->keeps_state = m->keeps_state;
    j->asked_ns = c->now_ns;
    j->version = conf->version;
    if (j->ping_until_ns == 0) ping_listed(c, j, config_join_conflict(conf, from));
    config_wake(c, c->now_ns);
}

/* The listed process is there: the joining one is a second one of its name, or has a copy of its state directory. */
static void refuse_second(struct config *c, struct config_join *j, const struct configuration_member *listed) {
    char text[PEER_CONFIG_TEXT_MAX];
    if (strcmp(listed->name, j->peer.name) == 0)
        snprintf(text, sizeof text, "name %s is in use by %s: stop it or choose another --ring-name", listed->name,
                 listed->address);
    else
        snprintf(text, sizeof text,
                 "the node id is in use by %s: this state directory is a copy, begin with an empty one", listed->name);
    const struct config_peer peer = j->peer;
    remove_join(c, j);
    refuse_join(c, &peer, 0, text);
}

void config_on_pong(struct config *c, const struct config_in *in) {
    for (unsigned i = 0; i < c->njoins; i++) {
        struct config_join *j = &c->joins[i];
        if (j->ping_until_ns == 0 || strcmp(j->pinged, in->from.address) != 0) continue;
        const struct configuration_member *listed =
            c->current == NULL ? NULL : config_join_conflict(&c->current->configuration, &j->peer);
        j->ping_until_ns = 0;
        config_wake(c, c->now_ns);
        if (in->flag && listed != NULL && config_same_process(listed, &in->from)) {
            refuse_second(c, j, listed);
            i--;
        }
    }
}

void config_join_settle(struct config *c) {
    for (unsigned i = c->njoins; i-- > 0;) {
        struct config_join *j = &c->joins[i];
        const struct configuration_member *m = configuration_by_id(&c->current->configuration, &j->peer.id);
        if (m != NULL && config_same_process(m, &j->peer))
            remove_join(c, j);
        else if (config_seat_index(c, &c->self.id) >= 0)
            config_push(c, &j->peer.id, j->peer.address); /* so that it asks again at once */
    }
}

static void expire_joins(struct config *c) {
    for (unsigned i = c->njoins; i-- > 0;) {
        struct config_join *j = &c->joins[i];
        if (j->ping_until_ns != 0 && c->now_ns >= j->ping_until_ns) j->ping_until_ns = 0; /* no answer: it is gone */
        if (c->now_ns - j->asked_ns > 4 * CONFIG_ASKED_FOR) remove_join(c, j);
    }
}

/* ---- the joining side */

void config_on_join_refused(struct config *c, const struct config_peer *from, const struct peer_config *m) {
    if (c->current == NULL || c->number != 0 || c->left || config_seat_index(c, &from->id) < 0) return;
    if (m->text[0] != '\0') {
        if (c->refused_logged_ns != 0 && c->now_ns - c->refused_logged_ns < 10 * CONFIG_S) return;
        c->refused_logged_ns = c->now_ns;
        config_log(c, "join_refused", "by=%s reason=\"%s\"", from->name, m->text);
    } else if (!c->was_member && m->boot >= c->self.boot && m->boot < UINT64_MAX / 2) {
        c->self.boot = m->boot + 1; /* the clock is behind; that must not keep the node out */
        c->dirty = c->resetting = true;
        struct config_out *o = config_emit(c, CONFIG_OUT_BOOT);
        if (o != NULL) o->number = c->self.boot;
        c->join_asked_ns = 0;
    }
}

/* Asks all voters of the configuration that is known, and now and then everybody for a newer one. */
static void ask(struct config *c) {
    const struct configuration *conf = &c->current->configuration;
    struct peer_config m = config_message(c, PEER_CONFIG_JOIN);
    m.weight = c->options.weight;
    for (unsigned i = 0; i < conf->nvoters; i++)
        if (!cluster_id_is_zero(&conf->voters[i].id)) config_send(c, &conf->voters[i].id, NULL, &m, NULL, NULL);
    if (c->now_ns - c->seeds_asked_ns < 4 * CONFIG_ASK_AGAIN) return;
    c->seeds_asked_ns = c->now_ns;
    const struct peer_config news = config_message(c, PEER_CONFIG_NEWS);
    config_send_seeds(c, &news);
}

void config_join_step(struct config *c) {
    expire_joins(c);
    if (c->current == NULL || c->number != 0 || c->left || c->now_ns - c->join_asked_ns < CONFIG_ASK_AGAIN) return;
    c->join_asked_ns = c->now_ns;
    ask(c);
}
