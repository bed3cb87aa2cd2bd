/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A process: it drives the machine of the configuration as cluster/cluster_agree.c does, and has the ring that the
 * workers would have (cluster/cluster_view.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/mutation.h"
#include "tests/sim/lab_state.h"

#define VOTER_HEARD_NS (2 * SIM_S) /* a voter's answer counts for so long */

/* ------------------------------------------------------------------ who owns which key */

/* Members in the ring, and a hash of their numbers and weights. */
static unsigned find_owners(const struct configuration *c, struct ring_member *m, uint32_t *numbers) {
    unsigned n = 0;
    *numbers = 2166136261u;
    for (unsigned i = 0; i < c->nmembers; i++) {
        if (!configuration_in_ring(&c->members[i])) continue;
        CHECK(n < LAB_PLACES && ring_member_read(c->members[i].name, &m[n]));
        m[n].id = c->members[i].id;
        m[n++].weight = c->members[i].weight;
        *numbers = (*numbers ^ c->members[i].number) * 16777619u ^ c->members[i].weight;
    }
    return n;
}

static void look_up_keys(struct lab_process *x) {
    const char *keys[LAB_KEYS];
    uint32_t len[LAB_KEYS];
    uint16_t owner[LAB_KEYS];
    for (unsigned k = 0; k < LAB_KEYS; k++) {
        keys[k] = x->lab->names[k];
        len[k] = (uint32_t)strlen(keys[k]);
    }
    ring_owners(x->ring, keys, len, LAB_KEYS, owner, x->since);
    uint8_t place[LAB_PLACES];
    for (unsigned i = 0; i < ring_nmembers(x->ring); i++) {
        char name[RING_NAME_TEXT];
        ring_member_name(ring_member(x->ring, i), name);
        place[i] = (uint8_t)lab_place_named(x->lab, name);
    }
    for (unsigned k = 0; k < LAB_KEYS; k++) x->owner[k] = place[owner[k]];
}

/* Notes the newest ring that anybody has. */
static void note_ring(struct lab *l, const struct configuration *c) {
    uint64_t cluster = 0;
    while (cluster < l->clusters && !cluster_id_equal(&l->cluster[cluster], &c->cluster)) cluster++;
    if (cluster == l->clusters) {
        CHECK(l->clusters < sizeof l->cluster / sizeof *l->cluster);
        l->cluster[l->clusters++] = c->cluster;
    }
    if (cluster < l->ring_cluster || (cluster == l->ring_cluster && c->ring_version <= l->ring_version)) return;
    l->ring_cluster = cluster;
    l->ring_version = c->ring_version;
    l->r->rings++;
}

/* All that go by a configuration make the same ring of it: it is made once, and copied. */
static void new_ring(struct lab *l, const struct configuration *c, const struct ring_member *m, unsigned n,
                     uint32_t numbers, struct ring **out) {
    const bool known = l->made_ring != NULL && cluster_id_equal(&l->made_cluster, &c->cluster) &&
                       ring_version(l->made_ring) == c->ring_version && l->made_numbers == numbers;
    if (!known) {
        ring_free(l->made_ring);
        CHECK(ring_new(c->ring_version, m, n, &l->made_ring) == 0);
        l->made_cluster = c->cluster;
        l->made_numbers = numbers;
    }
    CHECK(ring_copy(l->made_ring, out) == 0);
}

static void drop_ring(struct lab_process *x) {
    ring_free(x->ring);
    x->ring = NULL;
    if (x->handoff != NULL) lab_handoff_none(x);
    memset(x->owner, LAB_NOWHERE, sizeof x->owner);
    lab_copies_view(x);
}

static void make_ring(struct lab_process *x) {
    const struct configuration *c = config_current(x->config);
    struct ring_member m[LAB_PLACES];
    uint32_t numbers;
    const unsigned n = find_owners(c, m, &numbers);
    struct ring *next;
    note_ring(x->lab, c);
    const bool same_cluster = x->ring != NULL && cluster_id_equal(&x->ring_cluster, &c->cluster);
    if (same_cluster && ring_version(x->ring) == c->ring_version && x->ring_numbers == numbers) return;
    if (n == 0) {
        drop_ring(x);
        return;
    }
    new_ring(x->lab, c, m, n, numbers, &next);
    /* An arc that this node owned in the ring before has seen every write since. */
    const bool follows =
        same_cluster && (ring_version(x->ring) == c->ring_version || ring_version(x->ring) == c->ring_version_before);
    const unsigned self = ring_find(next, &config_self(x->config)->id);
    const bool own = self != RING_NONE && config_number(x->config) != 0;
    const uint64_t fence = x->lab->o.shortcut == LAB_NO_SINCE ? 0 : ++x->store.number;
    if (own) CHECK(ring_follow(next, follows ? x->ring : NULL, self, fence) == 0);
    const bool moves = follows && ring_version(x->ring) != c->ring_version;
    const bool same_ring = x->ring != NULL && same_cluster && ring_version(x->ring) == c->ring_version;
    if (moves) lab_handoff_plan(x, x->ring, next);
    ring_free(x->ring);
    x->ring = next;
    x->ring_cluster = c->cluster;
    x->ring_numbers = numbers;
    look_up_keys(x);
    lab_copies_view(x);
    if (moves)
        lab_handoff_begin(x);
    else if (!same_ring)
        lab_handoff_none(x);
}

/* ------------------------------------------------------------------ what the machine wants */

/* What the configuration says of this process. */
static void note_standing(struct lab_process *x) {
    const struct configuration_member *m = configuration_by_number(config_current(x->config), config_number(x->config));
    x->is_member = m != NULL;
    x->standing = m != NULL ? m->state : CONFIGURATION_EJECTED;
    if (x->standing != x->asked_as) x->asked_as = CONFIGURATION_EJECTED;
    x->lease_given_up = x->is_member && x->asked_as == CONFIGURATION_LEAVING;
}

static void adopted(struct lab_process *x) {
    const struct configuration *c = config_current(x->config);
    if (c == NULL) return; /* and left at once: of two clusters of one name it was the one that lost */
    sim_note(x->lab->s, x->place, "adopts version %llu, epoch %llu, as member %u", (unsigned long long)c->version,
             (unsigned long long)c->epoch, config_number(x->config));
    memset(x->voter_heard_ns, 0, sizeof x->voter_heard_ns);
    note_standing(x);
    lab_check_adopted(x);
    lab_purges_adopt(x);
    make_ring(x);
}

static void note_log(struct lab_process *x, const struct config_out *o) {
    struct lab_result *r = x->lab->r;
    sim_note(x->lab->s, x->place, "%s %s", o->event, o->text);
    if (strcmp(o->event, "left") == 0) r->left++;
}

static void carry_out(struct lab_process *x, struct config_out *o) {
    struct lab *l = x->lab;
    int to;
    switch (o->kind) {
    case CONFIG_OUT_SEND:
        to = lab_place_of(l, o->address);
        if (to >= 0) lab_links_config(x, (unsigned)to, &o->to, &o->message);
        break;
    case CONFIG_OUT_SEEDS:
        for (unsigned i = 0; i < l->o.places; i++)
            if (i != x->place) lab_links_config(x, i, &o->to, &o->message);
        break;
    case CONFIG_OUT_WRITE: lab_place_write(x, o); break;
    case CONFIG_OUT_ADOPTED: adopted(x); break;
    case CONFIG_OUT_PING:
        to = lab_place_of(l, o->address);
        if (to >= 0) lab_links_ping(x, (unsigned)to);
        break;
    case CONFIG_OUT_ANSWER: break;
    case CONFIG_OUT_BOOT: x->reset_wanted = true; break;
    case CONFIG_OUT_RESET: x->reset_wanted = x->drop_wanted = true; break;
    case CONFIG_OUT_LOG: note_log(x, o); break;
    }
}

void lab_node_input(struct lab_process *x, const struct config_in *in) {
    struct config_outs outs = x->outs; /* what is carried out may be an input again */
    const bool sealed = config_sealed(x->config);
    x->outs = (struct config_outs){0};
    config_input(x->config, sim_local(x->lab->s, x->place), in, &outs);
    for (unsigned i = 0; i < outs.n; i++) carry_out(x, &outs.out[i]);
    config_outs_clear(&outs);
    config_outs_fini(&x->outs);
    x->outs = outs;
    if (x->purging != NULL) purging_seal(x->purging, config_sealed(x->config));
    x->lab->r->seals += !sealed && config_sealed(x->config);
}

void lab_node_request(struct lab_process *x, enum config_request_kind kind, const char *name, uint64_t argument) {
    struct config_request r = {.kind = kind, .argument = argument};
    snprintf(r.name, sizeof r.name, "%s", name);
    lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_REQUEST, .request = &r});
}

/* ------------------------------------------------------------------ its loop */

struct lease_ends lab_node_leases(const struct lab_process *x) {
    if (x->lease_given_up || config_current(x->config) == NULL || config_number(x->config) == 0)
        return (struct lease_ends){0, 0};
    return purging_leases(x->purging);
}

uint64_t lab_node_clock(const struct lab_process *x) {
    return MUTATED(MUTATION_CACHED_CLOCK) ? x->cached_ns : sim_local(x->lab->s, x->place);
}

/* Asks to serve with the first lease; or, with nothing to hand over, to be taken off the list. */
static void ask_own(struct lab_process *x) {
    if (!x->is_member || x->standing == x->asked_as) return;
    const bool serve =
        x->standing == CONFIGURATION_JOINING && lab_node_leases(x).tag_ns > sim_local(x->lab->s, x->place);
    const bool leave = x->standing == CONFIGURATION_LEAVING && lab_handoff_may_leave(x);
    if (!serve && !leave) return;
    x->asked_as = x->standing;
    x->lease_given_up = leave;
    lab_node_request(x, serve ? CONFIG_SERVE : CONFIG_LEFT, "", 0);
}

/* The process goes on as another node: all machines but that of the configuration are new. */
static void reset(struct lab_process *x) {
    sim_note(x->lab->s, x->place, "goes on as another node%s", x->drop_wanted ? ", with an empty store" : "");
    x->lab->r->resets++;
    x->lab->r->wiped += x->drop_wanted;
    x->reset_wanted = false;
    if (x->drop_wanted) {
        lab_store_floor(&x->store, true);
        x->floor_all_ns = sim_now(x->lab->s);
        drop_ring(x);
    }
    x->drop_wanted = false;
    x->is_member = x->lease_given_up = false;
    x->cover = (struct cover){0};
    x->life++;
    x->resets++;
    lab_handoff_none(x);
    lab_purges_end(x);
    lab_links_reset(x);
    lab_purges_new(x);
    lab_swim_end(x);
    lab_swim_new(x);
    if (config_current(x->config) != NULL) lab_purges_adopt(x);
    lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_RESET});
}

/* Counts a voter that has become active in an epoch that is kept: it has heard what the voters before knew. */
static void note_active(struct lab_process *x) {
    const struct configuration *c = config_current(x->config);
    uint64_t since;
    if (c == NULL || !purging_active(x->purging, &since) || since == x->active_ns) return;
    x->active_ns = since;
    x->lab->r->syncs += c->floor_epoch != c->epoch;
}

/* flush: the machine of the purges has not done so itself. */
static void end_round(struct lab_process *x, bool flush) {
    struct sim *s = x->lab->s;
    if (x->newer_wanted) {
        x->newer_wanted = false;
        lab_node_input(x, &x->newer);
    }
    if (x->reset_wanted && x->batch == NULL) reset(x);
    x->cached_ns = sim_local(s, x->place);
    if (flush) purging_flush(x->purging, x->cached_ns);
    lab_handoff_round(x);
    lab_copies_round(x);
    lab_swim_round(x);
    note_active(x);
    ask_own(x);
    sim_set_timer(s, x->place, LAB_TIMER_CONFIG, config_next_ns(x->config));
    sim_set_timer(s, x->place, LAB_TIMER_PURGES, purging_next_ns(x->purging));
}

void lab_node_round(struct lab_process *x) {
    end_round(x, true);
}

static bool hears_majority(const struct lab_process *x, uint64_t now_ns) {
    const struct configuration *c = config_current(x->config);
    unsigned heard = 0;
    if (config_number(x->config) == 0) return false;
    for (unsigned i = 0; i < c->nvoters; i++) {
        const bool own = c->voters[i].member == config_number(x->config);
        heard += own || (x->voter_heard_ns[i] != 0 && now_ns - x->voter_heard_ns[i] < VOTER_HEARD_NS);
    }
    return heard >= configuration_majority(c);
}

/* What the machine of the configuration is told each second. */
static void on_second(struct lab_process *x) {
    const uint64_t now = sim_local(x->lab->s, x->place);
    const struct configuration *c = config_current(x->config);
    uint64_t since;
    sim_set_timer(x->lab->s, x->place, LAB_TIMER_SECOND, now + SIM_S);
    if (c == NULL) return;
    if (lab_node_leases(x).tag_ns > now && hears_majority(x, now))
        lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_LEASE});
    if (!config_sits(x->config)) return;
    if (purging_active(x->purging, &since))
        lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_ACTIVE, .number = config_current(x->config)->epoch});
    uint32_t closing[CONFIGURATION_ORIGINS_MAX];
    c = config_current(x->config); /* of two clusters of one name this node may have just left the one that lost */
    const unsigned n = c == NULL ? 0 : c->nclosing;
    for (unsigned i = 0; i < n; i++) closing[i] = c->closing[i].origin;
    for (unsigned i = 0; i < n; i++)
        lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_ORIGIN,
                                              .number = closing[i],
                                              .flag = purging_may_retire(x->purging, now, closing[i])});
}

/* ------------------------------------------------------------------ its life */

int lab_node_new(struct lab_process *x, const struct config_options *o, const struct config_record *stored) {
    struct lab *l = x->lab;
    char err[200];
    const uint64_t random = sim_random(l->s);
    x->standing = x->asked_as = CONFIGURATION_EJECTED;
    memset(x->owner, LAB_NOWHERE, sizeof x->owner);
    x->config = config_new(o, stored, sim_local(l->s, x->place), err, sizeof err);
    if (x->config == NULL) return -EINVAL;
    /* Numbers of two processes never meet. */
    lab_store_init(&x->store, l->keys, ((uint64_t)l->nall << 32) + (random >> 40), l->o.shortcut);
    x->applied_life = calloc(LAB_PURGES, sizeof *x->applied_life);
    x->upto = calloc(LAB_ORIGINS, sizeof *x->upto);
    x->verified = calloc(LAB_ORIGINS, sizeof *x->verified);
    CHECK(x->applied_life != NULL && x->upto != NULL && x->verified != NULL);
    x->alive = true;
    x->life = 1;
    x->floor_all_ns = sim_now(l->s); /* its store is empty */
    lab_purges_new(x);
    lab_handoff_new(x);
    lab_copies_new(x);
    return 0;
}

static void on_start(void *process, struct sim *s, unsigned node) {
    struct lab_process *x = process;
    sim_note(s, node, "starts as boot %llu", (unsigned long long)config_self(x->config)->boot);
    lab_swim_new(x);
    lab_links_dial(x);
    sim_set_timer(s, node, LAB_TIMER_SECOND, sim_local(s, node) + sim_below(s, SIM_S));
    if (config_current(x->config) != NULL) adopted(x);
    lab_node_round(x);
}

static void on_crash(void *process, struct sim *s, unsigned node) {
    struct lab_process *x = process;
    (void)s, (void)node;
    lab_purges_end(x);
    lab_handoff_end(x);
    drop_ring(x);
    lab_copies_end(x);
    lab_swim_end(x);
    config_free(x->config);
    config_outs_fini(&x->outs);
    free(x->applied_life);
    free(x->upto);
    free(x->verified);
    x->applied_life = x->upto = x->verified = NULL;
    x->config = NULL;
    x->alive = false;
}

static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    struct lab_process *x = process;
    switch (timer) {
    case LAB_TIMER_CONFIG: lab_node_input(x, &(struct config_in){.kind = CONFIG_IN_TIME}); break;
    case LAB_TIMER_PURGES: purging_time(x->purging, sim_local(s, node)); break;
    case LAB_TIMER_BATCH: lab_purges_applied(x); break;
    case LAB_TIMER_LINKS: lab_links_dial(x); return;
    case LAB_TIMER_SWIM: lab_swim_time(x); break;
    case LAB_TIMER_COPIES: lab_copies_time(x); break;
    case LAB_TIMER_HANDOFF: handoff_time(x->handoff, sim_local(s, node)); break;
    default: on_second(x); break;
    }
    end_round(x, timer != LAB_TIMER_PURGES);
}

const struct sim_process lab_node_calls = {on_start, on_crash, on_timer, lab_links_datagram, lab_links_stream};
