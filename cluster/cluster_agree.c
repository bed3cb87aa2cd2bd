/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The configuration: its machine on the cluster's thread, its record on the disk. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/rand.h"
#include "cluster/cluster_state.h"

/* ------------------------------------------------------------------ what the machine wants */

static void send_parts(struct cluster *c, const struct peer_config *m, const struct cluster_id *to,
                       const char *address) {
    const unsigned parts = peer_config_parts(m);
    for (unsigned i = 0; i < parts; i++) {
        peer_arena_reset(&c->scratch);
        const size_t n = peer_config_pack(m, i, &c->scratch, c->packed, PEER_CONTROL_MAX);
        if (n > 0) cluster_send(c, to, address, c->packed, n);
    }
}

/* To a node; with no id, to whoever is at the address, if a link leads there. */
static void send_one(struct cluster *c, const struct config_out *out) {
    const struct cluster_peer *p;
    if (!cluster_id_is_zero(&out->to)) {
        send_parts(c, &out->message, &out->to, out->address);
        return;
    }
    TAILQ_FOREACH(p, &c->peers, entry) {
        if (strcmp(p->address, out->address) != 0) continue;
        send_parts(c, &out->message, &p->id, NULL);
        return;
    }
    (void)transport_try(c->transport, out->address); /* the machine says it again */
}

/* To everybody that is known, and to those at the addresses of --join that are not. */
static void send_all(struct cluster *c, const struct config_out *out) {
    const struct members *all = swim_members(c->swim);
    const struct cluster_peer *p;
    for (unsigned i = 0; i < all->nslots; i++) {
        const struct member *m = member_at(all, i);
        if (m != NULL && i != SWIM_SELF && member_is_active(m)) send_parts(c, &out->message, &m->id, m->address);
    }
    TAILQ_FOREACH(p, &c->peers, entry)
    if (member_find(all, &p->id) == MEMBER_NONE) send_parts(c, &out->message, &p->id, NULL);
    for (unsigned i = 0; i < c->nseeds; i++) (void)transport_try(c->transport, c->seeds[i]);
}

static void write_record(struct cluster *c, struct config_out *out) {
    if (c->disk == NULL) return;
    statedir_write(c->disk, out->record, out->nrecord, out->number);
    out->record = NULL;
}

static void place_members(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const struct config_peer *self = config_self(c->config);
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (m->state != CONFIGURATION_EJECTED && !cluster_id_equal(&m->id, &self->id))
            (void)transport_place(c->transport, &m->id, m->address);
    }
}

/* Notes what the configuration says of this process. Who was leaving and is not listed any more has gone for good. */
static void note_standing(struct cluster *c) {
    const struct configuration_member *m = configuration_by_number(config_current(c->config), config_number(c->config));
    const bool was_leaving = c->standing == CLUSTER_LEAVING;
    c->standing = m == NULL                           ? CLUSTER_NO_MEMBER
                  : m->state == CONFIGURATION_JOINING ? CLUSTER_JOINING
                  : m->state == CONFIGURATION_LEAVING ? CLUSTER_LEAVING
                                                      : CLUSTER_MEMBER;
    if (c->standing != c->asked_as) c->asked_as = CLUSTER_NO_MEMBER;
    c->lease_given_up = c->asked_as == CLUSTER_LEAVING;
    if (was_leaving && config_left(c->config)) c->cfg.up.ended(c->cfg.up.arg);
}

/* Says, once, when this process first knows what is agreed, which options would have it otherwise. */
static void compare_settings(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const struct {
        const char *name;
        uint64_t own, agreed; /* milliseconds */
    } settings[] = {
        {"tag-lease", c->cfg.tag_lease_ms, now->tag_lease_ms},
        {"serve-lease", c->cfg.serve_lease_s * UINT64_C(1000), now->serve_lease_ms},
        {"eject-after", c->cfg.eject_after_s * UINT64_C(1000), now->eject_after_ms},
    };
    char own[128] = "", agreed[128] = "";
    if (c->settings_compared) return;
    c->settings_compared = true;
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (settings[i].own == settings[i].agreed) continue;
        const size_t n = strlen(own), m = strlen(agreed);
        snprintf(own + n, sizeof own - n, "%s%s=%" PRIu64, n > 0 ? " " : "", settings[i].name, settings[i].own);
        snprintf(agreed + m, sizeof agreed - m, "%s%s=%" PRIu64, m > 0 ? " " : "", settings[i].name,
                 settings[i].agreed);
    }
    if (own[0] != 0)
        cluster_log(
            c, "setting_differs",
            "own=\"%s\" agreed=\"%s\" hint=\"what is agreed counts, in milliseconds; tagctl cluster set changes it\"",
            own, agreed);
}

static void adopted(struct cluster *c) {
    if (config_current(c->config) == NULL)
        return; /* and left at once: of two clusters of one name it was the one that lost */
    compare_settings(c);
    memset(c->voter_heard_ns, 0, sizeof c->voter_heard_ns);
    c->adopted_ns = cluster_now(c);
    note_standing(c);
    place_members(c);
    cluster_purges_adopt(c);
    cluster_view_make(c);
    cluster_handoff_adopted(c);
    cluster_ahead_adopted(c);
}

static void answer(struct cluster *c, const struct config_out *out) {
    struct cluster_waiter *w = cluster_waiter_of(c, out->number);
    if (w == NULL) return;
    cluster_waiter_end(c, w);
    if (w->question != NULL) cluster_answers_changed(c, w->question, out->text);
}

/* The log has all events, the audit those that change who belongs to the cluster or by which rules it goes. */
static void tell_event(struct cluster *c, const char *event, const char *text) {
    static const char *const audited[] = {"configuration", "founded", "ejected", "left", "replaced", "forgotten"};
    cluster_log(c, event, "%s", text);
    for (unsigned i = 0; i < sizeof audited / sizeof *audited; i++)
        if (strcmp(event, audited[i]) == 0) audit_change(c->cfg.audit, event, text, NULL, NULL);
}

static void carry_out(struct cluster *c, struct config_out *out) {
    switch (out->kind) {
    case CONFIG_OUT_SEND: send_one(c, out); break;
    case CONFIG_OUT_SEEDS: send_all(c, out); break;
    case CONFIG_OUT_WRITE: write_record(c, out); break;
    case CONFIG_OUT_ADOPTED: adopted(c); break;
    case CONFIG_OUT_PING: cluster_ping(c, true, &out->to, 0, out->address); break;
    case CONFIG_OUT_ANSWER: answer(c, out); break;
    case CONFIG_OUT_BOOT: c->reset_wanted = true; break;
    case CONFIG_OUT_RESET: c->reset_wanted = c->drop_wanted = true; break;
    case CONFIG_OUT_LOG: tell_event(c, out->event, out->text); break;
    }
}

/* ------------------------------------------------------------------ driving it */

void cluster_agree_input(struct cluster *c, const struct config_in *in) {
    struct config_outs outs = {0};
    config_input(c->config, cluster_now(c), in, &outs);
    for (unsigned i = 0; i < outs.n; i++) carry_out(c, &outs.out[i]);
    config_outs_clear(&outs);
    config_outs_fini(&outs);
    if (c->purging != NULL) purging_seal(c->purging, config_sealed(c->config)); /* before it grants anything more */
    cluster_touch(c);
}

static struct config_peer peer_of(const struct cluster_peer *p) {
    struct config_peer peer = {.id = p->id, .boot = p->boot};
    memcpy(peer.name, p->name, sizeof peer.name);
    memcpy(peer.address, p->address, sizeof peer.address);
    return peer;
}

void cluster_agree_message(struct cluster *c, struct cluster_peer *from, const Peer__Control *m) {
    struct peer_config message;
    struct config_in in = {.kind = CONFIG_IN_MESSAGE, .from = peer_of(from), .message = &message};
    switch (peer_config_read(&from->reader, m, &c->counts, &message)) {
    case PEER_CONFIG_WHOLE: cluster_agree_input(c, &in); break;
    case PEER_CONFIG_MORE:
    case PEER_CONFIG_SKIPPED: break;
    case PEER_CONFIG_BROKEN: c->malformed++; break;
    }
}

void cluster_agree_request(struct cluster *c, enum config_request_kind kind, const char *name, uint64_t argument,
                           uint64_t token) {
    struct config_request r = {.kind = kind, .argument = argument, .token = token};
    snprintf(r.name, sizeof r.name, "%s", name);
    cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &r});
}

bool cluster_agree_hears_majority(const struct cluster *c, uint64_t now_ns) {
    const struct configuration *now = config_current(c->config);
    unsigned heard = 0;
    if (now == NULL || config_number(c->config) == 0) return false;
    for (unsigned i = 0; i < now->nvoters; i++) {
        const bool own = now->voters[i].member == config_number(c->config);
        heard +=
            own || (c->voter_heard_ns[i] != 0 && now_ns - c->voter_heard_ns[i] < CLUSTER_LEASE_MS * UINT64_C(1000000));
    }
    return heard >= configuration_majority(now);
}

void cluster_agree_own(struct cluster *c) {
    if (c->standing == c->asked_as) return;
    const bool serve = c->standing == CLUSTER_JOINING && cluster_lease_held(c);
    const bool left = c->standing == CLUSTER_LEAVING && !c->view_moving && cluster_handoff_may_leave(c);
    if (!serve && !left) return;
    c->asked_as = c->standing; /* the machine asks until it is so */
    if (left) {                /* who is no member holds no lease */
        c->lease_given_up = true;
        cluster_lease_publish(c);
    }
    cluster_agree_request(c, serve ? CONFIG_SERVE : CONFIG_LEFT, "", 0, 0);
}

/* Tells the machine which origins all members know everything of. */
static void tell_origins(struct cluster *c, uint64_t now_ns) {
    const struct configuration *now = config_current(c->config);
    uint32_t closing[CONFIGURATION_ORIGINS_MAX];
    if (now == NULL) return;          /* of two clusters of one name this node has just left the one that lost */
    const unsigned n = now->nclosing; /* the machine may change the configuration meanwhile */
    for (unsigned i = 0; i < n; i++) closing[i] = now->closing[i].origin;
    for (unsigned i = 0; i < n; i++) {
        struct config_in in = {
            .kind = CONFIG_IN_ORIGIN, .number = closing[i], .flag = purging_may_retire(c->purging, now_ns, closing[i])};
        cluster_agree_input(c, &in);
    }
}

/* Says, once an hour at most, when more than a third of the clients' requests since it was last looked had to be passed
 * on: then the names in their lists are not those of the ring, or they hash in another way. */
static void judge_names(struct cluster *c, uint64_t now_ns) {
    uint64_t clients, forwarded;
    c->cfg.up.requests(c->cfg.up.arg, &clients, &forwarded);
    if (clients < c->clients_seen || forwarded < c->forwarded_seen)
        c->clients_seen = c->forwarded_seen = 0; /* stats reset */
    const uint64_t asked = clients - c->clients_seen, passed = forwarded - c->forwarded_seen;
    if (asked < CLUSTER_NAMES_REQUESTS) return;
    c->clients_seen = clients;
    c->forwarded_seen = forwarded;
    if (passed * 3 <= asked || (c->names_ns != 0 && now_ns - c->names_ns < CLUSTER_NAMES_S * CLUSTER_SECOND_NS)) return;
    c->names_ns = now_ns;
    cluster_log(
        c, "names_differ",
        "forwarded=%llu%% name=%s reason=\"clients do not ask the owners of their keys: give each node the name that "
        "they have in their list of servers (--ring-name), and set them to libmemcached's ketama\"",
        (unsigned long long)(passed * 100 / asked), c->ring_name);
}

void cluster_agree_second(struct cluster *c) {
    const uint64_t now = cluster_now(c);
    uint64_t since;
    cluster_view_again(c);
    if (config_current(c->config) == NULL) return;
    judge_names(c, now);
    if (cluster_lease_held(c) && cluster_agree_hears_majority(c, now))
        cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_LEASE});
    if (!config_sits(c->config)) return;
    if (purging_active(c->purging, &since))
        cluster_agree_input(c,
                            &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = config_current(c->config)->epoch});
    tell_origins(c, now);
}

/* ------------------------------------------------------------------ life */

static void make_id(struct cluster_id *id) {
    for (unsigned i = 0; i < sizeof id->bytes; i += sizeof(uint64_t)) {
        const uint64_t random = rand_secret();
        memcpy(id->bytes + i, &random, sizeof random);
    }
}

/* Reads the record of the last process of this state directory, and raises its boot number on the disk before anything
 * is said under it. */
static int begin_record(struct cluster *c, struct config_record *r, char *err, size_t err_size) {
    void *bytes = NULL;
    uint8_t *packed = NULL;
    size_t n = 0, npacked = 0;
    char why[128] = "";
    int result = c->disk == NULL ? 0 : statedir_read(c->disk, CONFIG_RECORD_BYTES_MAX, &bytes, &n);
    if (result == 0 && n > 0) result = config_record_unpack(bytes, n, r, why, sizeof why);
    free(bytes);
    if (result != 0) {
        snprintf(err, err_size, "--state-dir %s: cannot use what is there: %s", c->cfg.state_dir,
                 why[0] != 0 ? why : strerror(-result));
        return result;
    }
    r->boot = config_record_next_boot(r, (uint64_t)clock_wall_s(c->cfg.clock));
    if (cluster_id_is_zero(&r->id)) make_id(&r->id);
    r->founds = r->current == NULL && (r->founds || c->cfg.found);
    if (c->disk == NULL) return 0;
    result = config_record_pack(r, &packed, &npacked);
    if (result == 0) result = statedir_write_now(c->disk, packed, npacked);
    free(packed);
    if (result != 0)
        snprintf(err, err_size, "--state-dir %s: cannot write there: %s", c->cfg.state_dir, strerror(-result));
    return result;
}

static void fill_options(const struct cluster *c, const struct config_record *r, struct config_options *o) {
    const struct cluster_config *cfg = &c->cfg;
    *o = (struct config_options){
        .self = {.id = r->id, .boot = r->boot},
        .weight = cfg->weight,
        .keeps_state = c->disk != NULL,
        .nfounders = cfg->nfounders,
        .found = cfg->found,
        .began_to_found = r->founds,
        .seeds = cfg->njoin > 0,
        .tag_lease_ms = cfg->tag_lease_ms,
        .serve_lease_ms = cfg->serve_lease_s * 1000,
        .eject_after_ms = cfg->eject_after_s * 1000,
        .voters_target = cfg->voters,
        .seed = rand_secret(),
    };
    snprintf(o->cluster_name, sizeof o->cluster_name, "%s", cfg->name);
    snprintf(o->self.name, sizeof o->self.name, "%s", c->ring_name);
    snprintf(o->self.address, sizeof o->self.address, "%s", c->advertise);
    for (unsigned i = 0; i < cfg->nfounders; i++)
        snprintf(o->founders[i], sizeof o->founders[i], "%s", cfg->founders[i]);
}

int cluster_agree_new(struct cluster *c, char *err, size_t err_size) {
    struct config_record record = {0};
    struct config_options *options = malloc(sizeof *options);
    int r = options == NULL ? -ENOMEM : begin_record(c, &record, err, err_size);
    if (r == 0) {
        fill_options(c, &record, options);
        c->config = config_new(options, c->disk != NULL ? &record : NULL, cluster_now(c), err, err_size);
        if (c->config == NULL) r = -EINVAL;
    }
    config_record_fini(&record);
    free(options);
    return r;
}

void cluster_agree_free(struct cluster *c) {
    config_free(c->config);
    c->config = NULL;
}
