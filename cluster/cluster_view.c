/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The view: what the workers read of the configuration. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_state.h"

/* The owners of keys, as a ring and as members of a view. */
struct owners {
    unsigned n, self;  /* self: VIEW_NOBODY if this node owns none */
    unsigned nmembers; /* with donors that own nothing any more */
    struct ring_member *ring;
    struct view_member *members;
};

static void owners_fini(struct owners *o) {
    free(o->ring);
    free(o->members);
}

static int add_owner(struct owners *o, const char *name, const struct cluster_id *id, uint32_t weight,
                     uint32_t number) {
    struct ring_member *m = &o->ring[o->n];
    if (!ring_member_read(name, m)) return -EINVAL;
    m->id = *id;
    m->weight = weight;
    o->members[o->n].number = number;
    snprintf(o->members[o->n].name, sizeof o->members[o->n].name, "%s", name);
    o->n++;
    return 0;
}

/* Those of the configuration; before there is one, this node, so that it takes what it is given. */
static int find_owners(const struct cluster *c, const struct configuration *now, struct owners *o) {
    const struct config_peer *self = config_self(c->config);
    const unsigned max = now == NULL ? 1 : 2 * now->nmembers; /* donors may be there twice, with those that own none */
    *o = (struct owners){.self = VIEW_NOBODY};
    o->ring = calloc(max + 1, sizeof *o->ring);
    o->members = calloc(max + 1, sizeof *o->members);
    if (o->ring == NULL || o->members == NULL) return -ENOMEM;
    if (now == NULL) {
        o->self = 0;
        return add_owner(o, c->ring_name, &self->id, 1, 0);
    }
    for (unsigned i = 0; i < now->nmembers; i++) {
        const struct configuration_member *m = &now->members[i];
        if (!configuration_in_ring(m)) continue;
        if (m->number == config_number(c->config)) o->self = o->n;
        const int r = add_owner(o, m->name, &m->id, m->weight, m->number);
        if (r != 0) return r;
    }
    return 0;
}

/* Whether the last view is of the cluster that the configuration is of. */
static bool is_of(const struct cluster *c, const struct configuration *now) {
    return cluster_id_equal(&c->view_cluster, &now->cluster);
}

/* The ring that the workers have, or had last, if the one that follows it may build on it: an arc that this node owned
 * in it has seen every write since. */
static const struct ring *ring_before(const struct cluster *c, const struct configuration *now) {
    const struct ring *before = c->view == NULL ? NULL : c->view->ring;
    if (before == NULL || now == NULL || c->view->ring_version == 0 || !is_of(c, now)) return NULL;
    const uint64_t version = ring_version(before);
    return version == now->ring_version || version == now->ring_version_before ? before : NULL;
}

/* What items of gained arcs have to be newer than. Before there is a configuration nothing that is stored may be read:
 * nobody knows which purges this node has missed. */
static uint64_t fence(const struct cluster *c, const struct configuration *now) {
    return now == NULL ? UINT64_MAX : c->cfg.up.number(c->cfg.up.arg);
}

/* What the change moves, if there is one from a ring that this node knows. */
static void plan_move(struct cluster *c, const struct ring *ring, const struct configuration *now,
                      const struct owners *o, uint64_t number) {
    const uint64_t version = ring == NULL ? 0 : ring_version(ring);
    if (c->move != NULL && c->move->ring_version == version) return; /* the same ring, by other processes */
    if (ring != NULL && ring_before(c, now) != NULL && c->view->ring_version != version)
        cluster_handoff_plan(c, ring, o->self, o->members, number);
    else
        cluster_handoff_none(c, version);
}

/* Donors that are not in the ring any more: workers reach them, too. */
static void add_donors(const struct cluster *c, const struct configuration *now, struct owners *o) {
    o->nmembers = o->n;
    for (unsigned i = 0; c->move != NULL && i < c->move->ndonors; i++) {
        const uint32_t number = c->move->donor[i].number;
        const struct configuration_member *m = number == 0 ? NULL : configuration_by_number(now, number);
        if (m == NULL || configuration_in_ring(m)) continue;
        struct view_member *to = &o->members[o->nmembers++];
        to->number = number;
        snprintf(to->name, sizeof to->name, "%s", m->name);
    }
}

static int make_view(struct cluster *c, const struct configuration *now, struct owners *o, struct view **out) {
    const uint64_t version = now == NULL ? 0 : now->ring_version, number = fence(c, now);
    struct ring *ring = NULL;
    int r = 0;
    if (o->n > 0) r = ring_new(version, o->ring, o->n, &ring);
    if (r == 0 && o->self != VIEW_NOBODY) r = ring_follow(ring, ring_before(c, now), o->self, number);
    if (r == 0) plan_move(c, ring, now, o, number);
    if (r == 0) add_donors(c, now, o);
    if (r == 0) r = view_new(version, ring, o->members, o->nmembers, o->self, VIEW_NOBODY, out);
    if (r != 0) {
        ring_free(ring);
        return r;
    }
    view_set_strip(*out, c->cfg.strip_prefix);
    if (c->move != NULL) r = view_set_move(*out, c->move);
    if (r != 0) view_free(*out);
    return r;
}

/* Whether the view would be as the last one is. */
static bool is_same(const struct cluster *c, const struct configuration *now, const struct owners *o) {
    const struct view *v = c->view;
    if (v == NULL || now == NULL || !is_of(c, now) || v->ring_version != now->ring_version || v->self != o->self ||
        (v->ring == NULL ? 0 : ring_nmembers(v->ring)) != o->n)
        return false;
    for (unsigned i = 0; i < o->n; i++)
        if (v->members[i].number != o->members[i].number) return false;
    return true;
}

static void mark_states(const struct cluster *c, const struct configuration *now, struct view *v) {
    const struct members *all = swim_members(c->swim);
    for (unsigned i = 0; i < v->nmembers; i++) {
        const struct configuration_member *m = configuration_by_number(now, v->members[i].number);
        const struct member *known = m == NULL ? NULL : member_at(all, member_find(all, &m->id));
        /* Who is not known yet may well be there; a link will tell. */
        const bool down = known != NULL && (!member_is_active(known) || known->boot > m->boot);
        view_set_state(v, i, down ? VIEW_DOWN : VIEW_ALIVE);
    }
}

/* Gives the workers a view. On failure it is freed, and they go on with the one before. */
static int hand_over(struct cluster *c, const struct configuration *now, struct view *v) {
    if (now != NULL && c->swim != NULL) mark_states(c, now, v);
    const int r = c->cfg.up.view(c->cfg.up.arg, v);
    if (r != 0) {
        view_free(v);
        return r;
    }
    c->view = v;
    c->view_cluster = now == NULL ? (struct cluster_id){0} : now->cluster;
    c->view_moving = true;
    if (c->move != NULL) cluster_handoff_begin(c);
    return 0;
}

void cluster_view_make(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    struct owners o;
    struct view *v = NULL;
    if (c->view_moving) {
        c->view_wanted = true;
        return;
    }
    c->view_wanted = false;
    int r = find_owners(c, now, &o);
    const bool same = r == 0 && is_same(c, now, &o);
    if (r == 0 && !same) r = make_view(c, now, &o, &v);
    owners_fini(&o);
    if (r == 0 && !same) r = hand_over(c, now, v);
    if (r == 0) return;
    c->view_wanted = true; /* in a second there may be memory again */
    cluster_log(c, "ring_failed", "error=\"%s\"", strerror(-r));
}

void cluster_view_again(struct cluster *c) {
    if (c->view_wanted && !c->view_moving) cluster_view_make(c);
}

void cluster_view_state(struct cluster *c, const struct cluster_id *id, bool alive) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_id(now, id);
    if (m == NULL || c->view == NULL) return;
    for (unsigned i = 0; i < c->view->nmembers; i++)
        if (c->view->members[i].number == m->number) view_set_state(c->view, i, alive ? VIEW_ALIVE : VIEW_DOWN);
    if (!alive) cluster_handoff_down(c, m->number);
}

static void run_done(struct cluster *c, struct cluster_task *t) {
    (void)t;
    c->view_moving = false;
    cluster_handoff_settled(c);
    cluster_view_again(c);
}

void cluster_view_done(struct cluster *c) {
    cluster_post(c, &c->view_task, run_done);
}
