/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The hand-off, as the cluster's thread sees it: which keys a change of the ring moves and between whom, links for the
 * thread that moves them (mover.h), and what others are told of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/cluster_state.h"

#define OTHERS_MS 2000 /* for so long at most another member's poll says that it hands items over */

/* ------------------------------------------------------------------ planning */

/* The process that had arcs before, if it is there still and may be asked. */
static bool is_donor(const struct cluster *c, uint32_t number) {
    const struct configuration_member *m = configuration_by_number(config_current(c->config), number);
    return m != NULL && m->state != CONFIGURATION_EJECTED;
}

/* A part of all keys that this node had, of 2^32. */
static uint32_t share_of(const struct move *m, uint64_t points) {
    const uint64_t own = ring_share(m->before, m->self);
    const uint64_t share = own == 0 ? 0 : (uint64_t)(((unsigned __int128)points << 32) / own);
    return share > UINT32_MAX ? UINT32_MAX : (uint32_t)share;
}

static void add_part(struct cluster *c, uint32_t member, bool gaining, uint64_t digest, uint32_t share) {
    c->parts[c->nparts++] =
        (struct handoff_part){.member = member, .gaining = gaining, .digest = digest, .share = share};
}

/* What this node gains; the donors' states are set before any worker sees the move. */
static void plan_gains(struct cluster *c, struct move *m) {
    for (unsigned i = 0; i < m->ndonors && m->self_after != RING_NONE; i++) {
        const uint32_t number = c->view->members[i].number;
        if (i == m->self || ringdiff_points(m->diff, i, m->self_after) == 0 || !is_donor(c, number)) continue;
        m->donor[i].number = number;
        move_set_state(m, i, MOVE_ASKED);
        add_part(c, number, true, handoff_digest(m->diff, i, m->self_after), 0);
    }
}

static void plan_losses(struct cluster *c, struct move *m, const struct ring *next, const struct view_member *members) {
    for (unsigned i = 0; i < ring_nmembers(next) && m->self != RING_NONE; i++) {
        const uint64_t points = i == m->self_after ? 0 : ringdiff_points(m->diff, m->self, i);
        if (points == 0) continue;
        m->receiver[i] = members[i].number;
        add_part(c, members[i].number, false, handoff_digest(m->diff, m->self, i), share_of(m, points));
    }
}

/* The workers are about to go by a view without this move, and will no longer note what they change: from here on
 * nothing of it is stored any more, wherever it is on its way. */
static void forget(struct cluster *c) {
    if (c->move != NULL && c->move->written != NULL) written_close(c->move->written);
    move_put(c->move);
    free(c->parts);
    c->move = NULL;
    c->parts = NULL;
    c->nparts = 0;
}

void cluster_handoff_plan(struct cluster *c, const struct ring *next, unsigned self, const struct view_member *members,
                          uint64_t since) {
    const struct ring *before = c->view->ring;
    const unsigned self_before = ring_find(before, &config_self(c->config)->id);
    const uint64_t memory = self != VIEW_NOBODY ? c->cfg.memory_limit : 0;
    struct move *m = NULL;
    forget(c);
    c->parts = calloc(ring_nmembers(before) + ring_nmembers(next), sizeof *c->parts);
    if (c->parts != NULL && move_new(before, next, (uint16_t)self_before, (uint16_t)self, memory, &c->cover, &m) == 0 &&
        m != NULL) {
        c->move = m;
        m->since = since;
        plan_gains(c, m);
        plan_losses(c, m, next, members);
    }
    if (c->nparts > 0) return;
    cluster_handoff_none(c, ring_version(next)); /* without memory, arcs that are gained start empty */
    cluster_handoff_heard(c);                    /* others will say so, but have not had the time */
}

/* ------------------------------------------------------------------ beginning */

/* One line for all transfers of a change: there may be as many as there are members. */
static void log_begin(struct cluster *c) {
    unsigned from = 0;
    for (unsigned i = 0; i < c->nparts; i++) from += c->parts[i].gaining;
    cluster_log(c, "handoff_begin", "ring=%" PRIu64 " from=%u to=%u", c->handing_ring, from, c->nparts - from);
}

static void log_end(struct cluster *c) {
    struct mover_sight now;
    mover_look(c->mover, &now);
    const struct handoff_counters n = now.counters, *before = &c->handing_before;
    cluster_log(c, "handoff_end",
                "ring=%" PRIu64 " done=%" PRIu64 " abandoned=%" PRIu64 " received=%" PRIu64 " received_bytes=%" PRIu64
                " refused=%" PRIu64 " sent=%" PRIu64 " sent_bytes=%" PRIu64 " ms=%" PRIu64,
                c->handing_ring, n.done - before->done, n.abandoned - before->abandoned, n.received - before->received,
                n.received_bytes - before->received_bytes,
                n.refused_written + n.refused_purged + n.refused_present - before->refused_written -
                    before->refused_purged - before->refused_present,
                n.sent - before->sent, n.sent_bytes - before->sent_bytes, (cluster_now(c) - c->handing_ns) / 1000000);
}

void cluster_handoff_tell(struct cluster *c) {
    const struct configuration *now = config_current(c->config);
    const uint64_t polls_ms = now == NULL ? 0 : now->tag_lease_ms / 2; /* two of four in a tag lease */
    const uint64_t said_ms = polls_ms < OTHERS_MS ? polls_ms : OTHERS_MS;
    const bool others = c->others_ns != 0 && cluster_now(c) - c->others_ns <= said_ms * UINT64_C(1000000);
    const bool under_way = c->handing_over || others;
    if (under_way == c->told_handing) return;
    c->told_handing = under_way;
    cluster_agree_input(c, &(struct config_in){.kind = CONFIG_IN_HANDOFF, .flag = under_way});
}

void cluster_handoff_heard(struct cluster *c) {
    c->others_ns = cluster_now(c);
    cluster_touch(c);
}

static void set_under_way(struct cluster *c, bool under_way) {
    c->handing_over = under_way;
    cluster_touch(c);
}

/* Dials a donor. */
static void dial(struct cluster *c, uint32_t number) {
    const struct configuration_member *m = configuration_by_number(config_current(c->config), number);
    int r = m == NULL ? -ENOENT : transport_place(c->transport, &m->id, m->address);
    if (r == 0) r = transport_want_data_link(c->transport, &m->id, 0, PEER_LINK_HANDOFF);
    if (r != 0) mover_lost(c->mover, number, true);
}

void cluster_handoff_none(struct cluster *c, uint64_t ring_version) {
    forget(c);
    c->handing_ring = ring_version;
    (void)mover_change(c->mover, NULL, ring_version, NULL, 0);
}

void cluster_handoff_begin(struct cluster *c) {
    if (c->handing_ring == c->move->ring_version) return;
    c->handing_ring = c->move->ring_version;
    c->handing_ns = cluster_now(c);
    struct mover_sight before;
    mover_look(c->mover, &before);
    c->handing_before = before.counters;
    set_under_way(c, true);
    cluster_cover_publish(c);
    if (!mover_change(c->mover, c->move, c->handing_ring, c->parts, c->nparts)) {
        for (unsigned i = 0; i < c->move->ndonors; i++) move_set_state(c->move, i, MOVE_NONE);
        set_under_way(c, false);
        return;
    }
    log_begin(c);
    for (unsigned i = 0; i < c->nparts; i++)
        if (c->parts[i].gaining) dial(c, c->parts[i].member);
}

void cluster_handoff_settled(struct cluster *c) {
    mover_settled(c->mover, c->view->ring_version);
}

void cluster_handoff_adopted(struct cluster *c) {
    if (c->standing != CLUSTER_LEAVING)
        c->leaving_ns = 0;
    else if (c->leaving_ns == 0)
        c->leaving_ns = cluster_now(c);
    for (unsigned i = 0; c->move != NULL && c->handing_over && i < c->nparts; i++)
        if (c->parts[i].gaining && !is_donor(c, c->parts[i].member)) mover_lost(c->mover, c->parts[i].member, true);
}

void cluster_handoff_down(struct cluster *c, uint32_t number) {
    if (!c->handing_over) return;
    mover_lost(c->mover, number, true);
    mover_lost(c->mover, number, false);
}

bool cluster_handoff_may_leave(const struct cluster *c) {
    return !c->handing_over || cluster_now(c) - c->leaving_ns >= c->cfg.drain_timeout_s * CLUSTER_SECOND_NS;
}

/* ------------------------------------------------------------------ links */

void cluster_handoff_link(struct cluster *c, const struct transport_data_link *l) {
    const struct configuration *now = config_current(c->config);
    const struct configuration_member *m = now == NULL ? NULL : configuration_by_id(now, &l->id);
    struct stream s = {.fd = l->fd, .ssl = l->ssl};
    if (m != NULL && l->fd >= 0 && m->boot == l->boot) {
        mover_link(c->mover, m->number, l->dialled, s);
        return;
    }
    stream_close(&s);
    if (m != NULL && l->dialled) mover_lost(c->mover, m->number, true);
}

void cluster_erase(struct cluster *c, void (*done)(void *arg), void *arg) {
    mover_erase(c->mover, done, arg);
}

/* ------------------------------------------------------------------ what the mover tells */

struct told {
    struct cluster_task task;
    struct mover_news news;
};

/* As the workers' view has it: who has left is in no configuration any more. */
static const char *name_of(const struct cluster *c, uint32_t number) {
    for (unsigned i = 0; c->view != NULL && i < c->view->nmembers; i++)
        if (c->view->members[i].number == number) return c->view->members[i].name;
    return "-";
}

static void log_abandoned(struct cluster *c, const struct handoff_progress *p, enum handoff_end how) {
    cluster_log(c, "handoff_abandoned", "%s=%s items=%" PRIu64 " reason=\"%s\"", p->gaining ? "from" : "to",
                name_of(c, p->member), p->items, handoff_end_text(how));
}

static void run_told(struct cluster *c, struct cluster_task *t) {
    struct told *told = (struct told *)t;
    const struct mover_news *n = &told->news;
    switch (n->kind) {
    case MOVER_ABANDONED: log_abandoned(c, &n->progress, n->how); break;
    case MOVER_DIAL: dial(c, n->member); break;
    case MOVER_NEWER: cluster_ring_differs(c, n->member, n->version); break;
    case MOVER_IDLE:
        if (n->version != c->handing_ring || !c->handing_over) break;
        log_end(c);
        set_under_way(c, false);
        break;
    }
    free(told);
}

static void on_news(void *arg, const struct mover_news *n) {
    struct cluster *c = arg;
    struct told *told = calloc(1, sizeof *told);
    if (told == NULL) return; /* a hand-off that is never over is given a minute */
    told->news = *n;
    cluster_post(c, &told->task, run_told);
}

/* ------------------------------------------------------------------ what operators see */

/* How long a transfer takes that goes on as it did so far, seconds. */
static uint64_t left_s(const struct handoff_progress *p, uint64_t now_ns) {
    if (p->begun_ns == 0 || p->items == 0 || p->items >= p->expected) return 0;
    const uint64_t spent_ms = (now_ns - p->begun_ns) / 1000000;
    return (p->expected - p->items) * spent_ms / p->items / 1000;
}

void cluster_handoff_gauges(struct cluster *c, bool under_way, struct cluster_gauges *g) {
    struct mover_sight s;
    const struct handoff_counters *n = &s.counters;
    const uint64_t now = cluster_now(c);
    mover_look(c->mover, &s);
    g->handoff_active = s.n;
    g->handoff_items = s.items;
    g->handoff_expected = s.expected;
    for (unsigned i = 0; i < s.n; i++) {
        const uint64_t left = left_s(&s.progress[i], now);
        if (left > g->handoff_left_s) g->handoff_left_s = left;
    }
    if (under_way && g->handoff_active == 0) g->handoff_active = 1; /* the mover is about to hear of it, or to say so */
    g->handoff_sent = n->sent;
    g->handoff_received = n->received;
    g->handoff_refused_written = n->refused_written;
    g->handoff_refused_purged = n->refused_purged;
    g->handoff_abandoned = n->abandoned;
}

int cluster_handoff_new(struct cluster *c) {
    struct mover_config cfg = {
        .rate = c->cfg.handoff_rate_mib * (UINT64_C(1) << 20),
        .clock = c->cfg.clock,
        .arg = c,
        .set_move = c->cfg.up.set_move,
        .items = c->cfg.up.items,
        .news = on_news,
    };
    c->cfg.up.handoff(c->cfg.up.arg, &cfg.store);
    return mover_new(&cfg, &c->mover);
}
