/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What operators and clients are told of the cluster: `cluster ...`, the gauges of `stats cluster`, the list of
 * discovery. proto/PROTOCOL.md, "Cluster commands", says every line. */
#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hostport.h"
#include "base/log.h"
#include "cluster/cluster_state.h"
#include "cluster/cluster_text.h"

#define NS_IN_MS UINT64_C(1000000)

void cluster_answers_line(struct cluster_question *q, const char *line) {
    struct cluster_text t = {0};
    cluster_text_put(&t, "%s\r\n", line);
    cluster_text_finish(q, &t);
}

uint64_t cluster_answers_await(struct cluster *c, struct cluster_question *q) {
    cluster_waiter_begin(c, &q->waiter);
    q->waiter.question = q;
    return q->waiter.token;
}

/* ------------------------------------------------------------------ what is known */

static const char *health_of(const struct cluster *c, const struct configuration_member *m) {
    static const char *const names[] = {[PEER_SWIM_ALIVE] = "alive",
                                        [PEER_SWIM_SUSPECT] = "suspect",
                                        [PEER_SWIM_DEAD] = "dead",
                                        [PEER_SWIM_LEFT] = "left"};
    if (cluster_id_equal(&m->id, &config_self(c->config)->id)) return "alive";
    const struct members *all = swim_members(c->swim);
    const struct member *known = member_at(all, member_find(all, &m->id));
    return known == NULL ? "dead" : names[known->state];
}

bool cluster_answers_is_down(const struct cluster *c, const struct configuration_member *m) {
    return strcmp(health_of(c, m), "dead") == 0 || strcmp(health_of(c, m), "left") == 0;
}

static const char *state_name(const struct configuration_member *m) {
    switch (m->state) {
    case CONFIGURATION_JOINING: return "joining";
    case CONFIGURATION_LEAVING: return "leaving";
    case CONFIGURATION_EJECTED: return "ejected";
    case CONFIGURATION_SERVING: break;
    }
    return m->drained ? "drained" : "serving";
}

static const struct configuration_member *own_member(const struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const uint32_t number = config_number(c->config);
    return now == NULL || number == 0 ? NULL : configuration_by_number(now, number);
}

/* One word for `cluster status`. */
static const char *own_state(const struct cluster *c) {
    const struct configuration_member *m = own_member(c);
    if (m == NULL) return config_left(c->config) ? "ejected" : "waiting";
    if (m->weight == 0 && m->state == CONFIGURATION_SERVING) return "witness";
    return state_name(m);
}

void cluster_answers_state(const struct cluster *c, char *text, size_t size) {
    const uint64_t now = cluster_now(c);
    config_waiting(c->config, now, text, size);
    if (text[0] != 0) return;
    const struct configuration *at = config_current(c->config);
    cluster_lease_state(c, text, size);
    if (text[0] != 0) return;
    if (at != NULL && !cluster_agree_hears_majority(c, now))
        snprintf(text, size, "no quorum: fewer than %u of %u voters answer", configuration_majority(at), at->nvoters);
    else if (at != NULL && at->nvoters < 3 && config_number(c->config) != 0)
        snprintf(text, size, "%s, no leases: %u voter%s", own_state(c), at->nvoters, at->nvoters == 1 ? "" : "s");
    else
        snprintf(text, size, "%s", own_state(c));
}

struct tally {
    unsigned alive, suspect, dead, left;
};

static struct tally count_members(const struct cluster *c) {
    const unsigned *n = swim_members(c->swim)->in_state;
    return (struct tally){n[PEER_SWIM_ALIVE], n[PEER_SWIM_SUSPECT], n[PEER_SWIM_DEAD], n[PEER_SWIM_LEFT]};
}

static const struct ring *ring_of(const struct cluster *c) {
    return c->view == NULL || c->view->ring_version == 0 ? NULL : c->view->ring;
}

/* ------------------------------------------------------------------ gauges and discovery */

static void fill_lags(const struct cluster *c, struct cluster_gauges *g) {
    const struct configuration *now = config_current(c->config);
    for (unsigned i = 0; i < now->nvoters; i++) {
        const struct configuration_member *m = configuration_by_number(now, now->voters[i].member);
        const struct cluster_said *said = m == NULL ? NULL : cluster_members_said(c, &m->id);
        const bool self = m != NULL && m->number == config_number(c->config);
        if (!self && said == NULL) continue;
        struct cluster_lag *lag = &g->lag[g->nlag++];
        memcpy(lag->name, m->name, sizeof lag->name);
        lag->ms = self ? g->ready.lag_ms : said->lag_ms;
    }
}

static void fill_ready(const struct cluster *c, struct cluster_gauges *g) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *self = own_member(c);
    uint64_t since;
    g->ready = (struct cluster_ready){
        .joined = self != NULL && self->state == CONFIGURATION_SERVING && !c->lease_given_up,
        .drained = self != NULL && self->drained,
        .leased = cluster_lease_held(c),
        .active = self == NULL || configuration_seat(now, &self->id) == NULL || purging_active(c->purging, &since),
        .lag_ms = purging_lag_ns(c->purging, cluster_now(c)) / NS_IN_MS,
    };
}

static void fill_gauges(const struct cluster *c, struct cluster_gauges *g) {
    const struct configuration *now = config_current(c->config);
    const struct config_peer *self = config_self(c->config);
    const struct ring *ring = ring_of(c);
    const struct tally t = count_members(c);
    struct purging_counters purges;
    *g = (struct cluster_gauges){.boot = self->boot, .number = config_number(c->config)};
    snprintf(g->name, sizeof g->name, "%s", c->cfg.name);
    cluster_id_text(&self->id, g->node_id);
    snprintf(g->id, sizeof g->id, "-");
    if (now != NULL) {
        cluster_id_text(&now->cluster, g->id);
        g->epoch = now->epoch;
        g->config_version = now->version;
        g->voters = now->nvoters;
        g->ring_version = now->ring_version;
    }
    cluster_answers_state(c, g->state, sizeof g->state);
    g->alive = t.alive;
    g->suspect = t.suspect;
    g->dead = t.dead;
    g->left = t.left;
    if (ring != NULL) {
        g->ring_nodes = ring_nmembers(ring);
        g->ring_points = ring_points(ring);
        const unsigned i = ring_find(ring, &self->id);
        if (i != RING_NONE) g->owned_ppm = ring_share(ring, i) * 1000000 / RING_CIRCLE;
    }
    fill_ready(c, g);
    if (now != NULL) fill_lags(c, g);
    g->applied = c->applied;
    g->confirmed = c->confirmed;
    purging_read_counters(c->purging, &purges);
    g->purges_sent = purges.sent;
    g->purges_received = purges.received;
    g->purges_confirmed = purges.confirmed;
    g->purges_pending = purges.pending;
    g->peer_protocol_errors = transport_metric(c->transport, TRANSPORT_METRIC_protocol_errors) +
                              transport_metric(c->transport, TRANSPORT_METRIC_links_refused) + purges.malformed +
                              c->malformed;
    g->handoff_active = c->handing_over; /* cluster_gauges adds the rest */
    g->datagrams_refused = transport_metric(c->transport, TRANSPORT_METRIC_datagrams_refused);
}

/* "version\nhost|ip|port host|ip|port\n" of the ring's members. The address is that of the cluster's sockets, which is
 * numeric when the operator wrote it so; else the name stands there too. */
static void fill_discovery(const struct cluster *c, struct cluster_text *t) {
    const struct configuration *now = config_current(c->config);
    bool first = true;
    cluster_text_put(t, "%" PRIu64 "\n", now == NULL ? 0 : now->ring_version);
    for (unsigned i = 0; now != NULL && i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        struct hostport name, address;
        if (!configuration_in_ring(m) || !hostport_read(m->name, &name)) continue;
        if (!hostport_read(m->address, &address)) address = name;
        cluster_text_put(t, "%s%s|%s|%u", first ? "" : " ", name.host, address.host, name.port);
        first = false;
    }
    cluster_text_put(t, "\n");
}

void cluster_answers_publish(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const uint64_t version = now == NULL ? 0 : now->version;
    struct cluster_gauges g;
    fill_gauges(c, &g);
    struct cluster_text t = {0};
    const bool list = c->discovery == NULL || c->discovery_version != version;
    if (list) fill_discovery(c, &t);
    pthread_mutex_lock(&c->lock);
    c->gauges = g;
    if (list && t.p != NULL) {
        free(c->discovery);
        c->discovery = t.p;
        c->discovery_bytes = t.n;
        c->discovery_version = version;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ------------------------------------------------------------------ reading */

/* The worst that is wrong, or nothing. */
static void find_problems(const struct cluster *c, struct cluster_text *problems, char *worst, size_t size) {
    const struct configuration *now = config_current(c->config);
    char text[300];
    worst[0] = 0;
    for (unsigned i = 0; now != NULL && i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state == CONFIGURATION_EJECTED || strcmp(health_of(c, m), "alive") == 0) continue;
        snprintf(text, sizeof text, "%s is %s", m->name, health_of(c, m));
        cluster_text_put(problems, "PROBLEM text=%s\r\n", text);
        if (worst[0] == 0) snprintf(worst, size, "%s", text);
    }
    if (c->disk_failing) {
        snprintf(text, sizeof text, "%s cannot write its state directory: %s", config_self(c->config)->name,
                 strerror(-sync_load(&c->disk_error)));
        cluster_text_put(problems, "PROBLEM text=%s\r\n", text);
        if (worst[0] == 0) snprintf(worst, size, "%s", text);
    }
    if (now == NULL || config_number(c->config) == 0 || !cluster_lease_held(c) ||
        !cluster_agree_hears_majority(c, cluster_now(c))) {
        cluster_answers_state(c, text, sizeof text);
        cluster_text_put(problems, "PROBLEM text=%s\r\n", text);
        snprintf(worst, size, "%s", text);
    }
}

/* Whether it holds the tag lease. */
static const char *lease_word(const struct cluster *c) {
    if (config_number(c->config) != 0 && !purging_needs_lease(c->purging)) return "not_needed";
    return cluster_lease_held(c) ? "held" : "none";
}

static void status(struct cluster *c, struct cluster_text *t) {
    const struct configuration *now = config_current(c->config);
    const struct config_peer *self = config_self(c->config);
    const struct ring *ring = ring_of(c);
    const struct tally n = count_members(c);
    char id[CLUSTER_ID_TEXT] = "-", ring_id[RING_ID_TEXT] = "-", worst[300];
    struct cluster_text problems = {0};
    struct purging_counters purges;
    struct cluster_gauges g = {0};
    cluster_handoff_gauges(c, c->handing_over, &g);
    purging_read_counters(c->purging, &purges);
    if (now != NULL) cluster_id_text(&now->cluster, id);
    if (ring != NULL) ring_id_text(ring, ring_id);
    find_problems(c, &problems, worst, sizeof worst);
    const bool serves = cluster_lease_serves(c), quorum = cluster_agree_hears_majority(c, cluster_now(c));
    cluster_text_put(t,
                     "STATUS cluster=%s id=%s node=%s state=%s lease=%s epoch=%" PRIu64 " version=%" PRIu64
                     " voters=%u quorum=%s ring=%s ring_version=%" PRIu64
                     " alive=%u suspect=%u dead=%u left=%u pending=%u lag_ms=%" PRIu64 " handoffs=%" PRIu64
                     " handed=%" PRIu64 " to_hand=%" PRIu64 " handoff_left_s=%" PRIu64 " verdict=%s reason=%s\r\n",
                     c->cfg.name, id, self->name, own_state(c), lease_word(c), now == NULL ? 0 : now->epoch,
                     now == NULL ? 0 : now->version, now == NULL ? 0 : now->nvoters, quorum ? "yes" : "no", ring_id,
                     now == NULL ? 0 : now->ring_version, n.alive, n.suspect, n.dead, n.left, purges.pending,
                     purging_lag_ns(c->purging, cluster_now(c)) / NS_IN_MS, g.handoff_active, g.handoff_items,
                     g.handoff_expected, g.handoff_left_s,
                     !serves         ? "down"
                     : worst[0] != 0 ? "degraded"
                                     : "ok",
                     worst);
    if (problems.p != NULL) cluster_text_put(t, "%.*s", (int)(problems.n < 1900 ? problems.n : 1900), problems.p);
    free(problems.p);
    cluster_text_put(t, "END\r\n");
}

static void members(struct cluster *c, struct cluster_text *t) {
    const struct configuration *now = config_current(c->config);
    for (unsigned i = 0; now != NULL && i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        const struct cluster_said *said = cluster_members_said(c, &m->id);
        char id[CLUSTER_ID_TEXT], weight[16] = "none", lag[16] = "-";
        cluster_id_text(&m->id, id);
        if (said != NULL) snprintf(lag, sizeof lag, "%" PRIu32, said->lag_ms);
        if (m->weight != 0) snprintf(weight, sizeof weight, "%" PRIu32, m->weight);
        cluster_text_put(t,
                         "MEMBER name=%s id=%s number=%" PRIu32 " boot=%" PRIu64
                         " state=%s health=%s weight=%s addr=%s version=%s voter=%s lag_ms=%s\r\n",
                         m->name, id, m->number, m->boot, state_name(m), health_of(c, m), weight, m->address,
                         said != NULL && said->release[0] != 0 ? said->release : "-",
                         configuration_seat(now, &m->id) != NULL ? "yes" : "no", lag);
    }
    cluster_text_put(t, "END\r\n");
}

static void show_ring(struct cluster *c, struct cluster_text *t) {
    const struct ring *r = ring_of(c);
    if (r != NULL) {
        char id[RING_ID_TEXT], name[RING_NAME_TEXT];
        ring_id_text(r, id);
        cluster_text_put(
            t, "RING version=%" PRIu64 " id=%s digest=%016" PRIx64 " nodes=%u points=%u marker=%s strip_prefix=%s\r\n",
            ring_version(r), id, ring_digest(r), ring_nmembers(r), ring_points(r),
            c->cfg.key_tags != NULL ? c->cfg.key_tags : "-",
            c->cfg.strip_prefix != NULL && c->cfg.strip_prefix[0] != 0 ? c->cfg.strip_prefix : "-");
        for (unsigned i = 0; i < ring_nmembers(r); i++) {
            ring_member_name(ring_member(r, i), name);
            cluster_text_put(t, "NODE name=%s weight=%" PRIu32 " points=%u share=%.6f\r\n", name,
                             ring_member(r, i)->weight, ring_points_of(r, i),
                             (double)ring_share(r, i) / (double)RING_CIRCLE);
        }
    }
    cluster_text_put(t, "END\r\n");
}

/* ------------------------------------------------------------------ questions */

static unsigned split(char *line, char **word, unsigned max) {
    unsigned n = 0;
    char *rest = line;
    for (char *w; n < max && (w = strtok_r(rest, " ", &rest)) != NULL;) word[n++] = w;
    return n;
}

/* Commands whose answer has no end, or that need more than their line, are not passed on. */
static bool can_carry(const char *line) {
    static const char *const not_those[] = {"set", "add",   "replace", "append",     "prepend", "cas",
                                            "ms",  "watch", "quit",    "cluster at", "shutdown"};
    for (unsigned i = 0; i < sizeof not_those / sizeof *not_those; i++) {
        const size_t n = strlen(not_those[i]);
        if (strncmp(line, not_those[i], n) == 0 && (line[n] == ' ' || line[n] == 0)) return false;
    }
    return line[0] != 0;
}

static void relayed(struct cluster *c, void *arg, const char *name, char *text, size_t n) {
    struct cluster_question *q = arg;
    (void)c;
    (void)name;
    q->reply = text;
    q->reply_bytes = n;
    q->done(q);
}

static void relay(struct cluster *c, struct cluster_question *q, const char *name, const char *line) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_name(now, name);
    if (!can_carry(line))
        cluster_answers_line(q, "CLIENT_ERROR cluster at cannot carry this command");
    else if (m == NULL)
        cluster_answers_line(q, "CLIENT_ERROR no member of that name");
    else if (cluster_id_equal(&m->id, &config_self(c->config)->id))
        cluster_answers_line(q, "CLIENT_ERROR that is this node: ask it directly");
    else if (cluster_answers_is_down(c, m))
        cluster_answers_line(q, "SERVER_ERROR that node is down");
    else if (!cluster_relay_begin(c, m, line, q->privileged, relayed, q))
        cluster_answers_line(q, "SERVER_ERROR too many commands are being passed on");
}

/* `at NAME COMMAND`; false: it is something else. */
static bool try_relay(struct cluster *c, struct cluster_question *q) {
    char name[CONFIGURATION_NAME_MAX + 1];
    int end = 0;
    if (sscanf(q->line, "at %255s %n", name, &end) != 1 || end == 0) return false;
    relay(c, q, name, q->line + end);
    return true;
}

static void ask(struct cluster *c, struct cluster_question *q) {
    static const struct {
        const char *word;
        void (*fn)(struct cluster *c, struct cluster_text *t);
    } reads[] = {{"status", status}, {"members", members}, {"ring", show_ring}};
    char *word[6];
    struct cluster_text t = {0};
    if (try_relay(c, q)) return;
    const unsigned n = split(q->line, word, 6);
    for (unsigned i = 0; n == 1 && i < sizeof reads / sizeof *reads; i++) {
        if (strcmp(word[0], reads[i].word) != 0) continue;
        reads[i].fn(c, &t);
        cluster_text_finish(q, &t);
        return;
    }
    if (n == 1 && strcmp(word[0], "purges") == 0) {
        cluster_answers_purges(c, q);
    } else if (n == 2 && strcmp(word[0], "purges") == 0) {
        cluster_answers_purge(c, q, word[1]);
    } else if (n == 0 || (!cluster_keys_ask(c, q, word, n) && !cluster_changes_ask(c, q, word, n))) {
        cluster_answers_line(q, "CLIENT_ERROR bad command line format");
    }
}

static void run_question(struct cluster *c, struct cluster_task *t) {
    ask(c, (struct cluster_question *)((char *)t - offsetof(struct cluster_question, task)));
}

void cluster_ask(struct cluster *c, struct cluster_question *q) {
    cluster_post(c, &q->task, run_question);
}
