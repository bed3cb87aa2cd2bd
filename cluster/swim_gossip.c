/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The updates that are to be told, and the datagrams that carry them. An update is the table's present knowledge of a
 * member, so a member is queued once at most; how often it was sent decides its turn: seldom first. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "cluster/swim_state.h"

#define BUDGET (PEER_DATAGRAM_MAX - PEER_SWIM_HEAD_MAX)
/* News set out at once, but not all from one node in the same instant: what comes together goes together. */
#define FIRST_NS UINT64_C(10000000)

/* member->sent: below SWIM_LEVELS it is queued in that level, UINT8_MAX: it is not queued. */

static void unlink_update(struct swim *s, unsigned slot) {
    struct member *all = s->members.all, *m = &all[slot];
    if (m->previous != MEMBER_NONE)
        all[m->previous].next = m->next;
    else
        s->level[m->sent] = m->next;
    if (m->next != MEMBER_NONE) all[m->next].previous = m->previous;
}

static void link_update(struct swim *s, unsigned slot, uint8_t level) {
    struct member *all = s->members.all, *m = &all[slot];
    m->sent = level;
    m->previous = MEMBER_NONE;
    m->next = s->level[level];
    if (m->next != MEMBER_NONE) all[m->next].previous = (uint16_t)slot;
    s->level[level] = (uint16_t)slot;
}

void swim_untell(struct swim *s, unsigned slot) {
    struct member *m = &s->members.all[slot];
    if (m->sent == UINT8_MAX) return;
    unlink_update(s, slot);
    m->sent = UINT8_MAX;
    if (--s->queued == 0) s->gossip_ns = SWIM_NEVER;
}

void swim_tell(struct swim *s, unsigned slot) {
    if (swim_active(s) + s->leaving < 2) { /* nobody is there; who comes gets the whole table */
        swim_untell(s, slot);
        return;
    }
    if (s->members.all[slot].sent != UINT8_MAX)
        unlink_update(s, slot);
    else
        s->queued++;
    link_update(s, slot, 0);
    if (s->gossip_ns != SWIM_NEVER) return;
    const uint64_t soon = s->now + rand_below(&s->rand, FIRST_NS);
    const uint64_t earliest = s->gossiped_ns + s->timing.gossip_ns;
    s->gossip_ns = s->gossiped_ns != 0 && earliest > soon ? earliest : soon;
}

/* How often an update is sent. With n members of which each sends it c times, n x e^-c are never told by chance; the 2
 * is for what gets lost on the way. */
static unsigned send_limit(const struct swim *s) {
    const unsigned limit = s->timing.transmits * (2 + (unsigned)ceil(log10(swim_active(s) + 1.0)));
    return limit < 1 ? 1 : limit < SWIM_LEVELS ? limit : SWIM_LEVELS;
}

void swim_update_of(const struct swim *s, unsigned slot, bool with_texts, struct peer_swim_update *u) {
    const struct member *m = &s->members.all[slot];
    const struct swim_suspicion *suspicion = swim_suspicion_of(s, slot);
    u->id = m->id;
    u->boot = m->boot;
    u->incarnation = m->incarnation;
    u->state = (enum peer_swim_state)m->state;
    u->ended_s = member_is_active(m) ? 0 : member_age_s(m, s->now);
    u->naccusers = 0;
    if (suspicion != NULL) {
        u->naccusers = suspicion->naccusers;
        memcpy(u->accusers, suspicion->accusers, sizeof u->accusers);
    }
    u->name = with_texts ? m->name : "";
    u->address = with_texts ? m->address : "";
}

/* Adds a member's update to s->out if it fits into what is left of the budget. */
static bool add_update(struct swim *s, unsigned slot, size_t *left) {
    struct peer_swim *out = &s->out;
    if (out->nupdates == PEER_SWIM_UPDATES_MAX) return false;
    struct peer_swim_update *u = &out->updates[out->nupdates];
    swim_update_of(s, slot, s->members.all[slot].state == PEER_SWIM_ALIVE, u);
    const size_t bytes = peer_swim_update_bytes(u);
    if (bytes > *left) return false;
    *left -= bytes;
    out->nupdates++;
    return true;
}

/* Fills s->out from the queue, the least sent first; each that was taken has been sent once more. */
static void add_queue(struct swim *s, unsigned but, size_t left) {
    unsigned taken[PEER_SWIM_UPDATES_MAX], n = 0;
    const unsigned limit = send_limit(s);
    bool room = true;
    for (unsigned level = 0; room && level < SWIM_LEVELS && n < s->queued; level++)
        for (unsigned slot = s->level[level]; slot != MEMBER_NONE; slot = s->members.all[slot].next) {
            if (slot == but) continue;
            room = n < PEER_SWIM_UPDATES_MAX && add_update(s, slot, &left);
            if (!room) break;
            taken[n++] = slot;
        }
    for (unsigned i = 0; i < n; i++) {
        const unsigned sent = s->members.all[taken[i]].sent + 1u;
        if (sent >= limit) {
            swim_untell(s, taken[i]);
        } else {
            unlink_update(s, taken[i]);
            link_update(s, taken[i], (uint8_t)sent);
        }
    }
}

void swim_send(struct swim *s, unsigned slot) {
    struct peer_swim *out = &s->out;
    size_t left = BUDGET;
    unsigned but = MEMBER_NONE;
    out->nmeta = s->nmeta;
    memcpy(out->meta, s->meta, s->nmeta);
    out->nupdates = 0;
    /* Whoever is not alive for this node is told first, so that it can refute. */
    if (s->members.all[slot].state != PEER_SWIM_ALIVE && add_update(s, slot, &left)) but = slot;
    add_queue(s, but, left);
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_DATAGRAM, .slot = slot, .datagram = out});
}

/* Nobody is there to be told. */
static void untell_all(struct swim *s) {
    for (unsigned level = 0; level < SWIM_LEVELS; level++)
        while (s->level[level] != MEMBER_NONE) swim_untell(s, s->level[level]);
}

void swim_gossip_due(struct swim *s) {
    if (s->gossip_ns > s->now) return;
    unsigned told[SWIM_LEVELS], n = 0;
    s->gossiped_ns = s->now;
    while (n < s->timing.fanout && n < SWIM_LEVELS && s->queued > 0) {
        const unsigned slot = swim_pick(s, told, n);
        if (slot == MEMBER_NONE) break;
        told[n++] = slot;
        s->out.kind = PEER_SWIM_GOSSIP;
        s->out.number = 0;
        s->out.target = (struct cluster_id){0};
        s->counts.gossip_datagrams++;
        swim_send(s, slot);
    }
    if (n == 0) untell_all(s);
    s->gossip_ns = s->queued > 0 ? s->now + s->timing.gossip_ns : SWIM_NEVER;
}
