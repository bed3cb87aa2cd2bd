/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Probes: one member each interval, all in turn. A node that has reason to doubt itself (Lifeguard's awareness) takes
 * more time for each. */
#include <string.h>

#include "base/check.h"
#include "cluster/swim_state.h"

#define CALLERS 8 /* so many members call each dead one in a probe interval, on average; fewer if there are fewer */

static uint64_t scaled(const struct swim *s, uint64_t ns) {
    return ns * (1 + s->awareness);
}

static uint32_t next_number(struct swim *s) {
    if (++s->number == 0) s->number = 1;
    return s->number;
}

void swim_probe_start(struct swim *s, uint64_t first_ns) {
    s->probe = (struct swim_probe){.slot = MEMBER_NONE, .again_ns = SWIM_NEVER, .end_ns = first_ns};
}

static void send(struct swim *s, unsigned slot, enum peer_swim_kind kind, uint32_t number,
                 const struct cluster_id *target) {
    s->out.kind = kind;
    s->out.number = number;
    s->out.target = target != NULL ? *target : (struct cluster_id){0};
    swim_send(s, slot);
}

void swim_probe_call(struct swim *s, unsigned slot) {
    const struct cluster_id target = s->members.all[slot].id;
    send(s, slot, PEER_SWIM_PING, next_number(s), &target);
}

/* ---- The probe of this interval ---- */

/* Whose turn it is; MEMBER_NONE: nobody is there. */
static unsigned next_in_order(struct swim *s) {
    const unsigned urgent = member_find(&s->members, &s->urgent);
    s->urgent = (struct cluster_id){0};
    if (urgent != MEMBER_NONE && s->members.all[urgent].state == PEER_SWIM_SUSPECT) return urgent;
    for (unsigned tries = 0; tries <= s->norder; tries++) {
        if (s->order_at >= s->norder) {
            s->order_at = 0;
            for (unsigned i = s->norder; i > 1; i--) {
                const unsigned other = (unsigned)rand_below(&s->rand, i);
                const uint16_t slot = s->order[i - 1];
                s->order[i - 1] = s->order[other];
                s->order[other] = slot;
            }
        }
        if (s->norder == 0) break;
        const unsigned slot = s->order[s->order_at++];
        if (member_is_active(&s->members.all[slot])) return slot;
    }
    return MEMBER_NONE;
}

/* One of the dead is called as well, so that a partition heals as soon as datagrams pass: the call says that it is
 * dead, and its answer carries the refutation. */
static void call_a_dead_one(struct swim *s) {
    const unsigned dead = s->members.in_state[PEER_SWIM_DEAD];
    if (dead == 0 || s->leaving || rand_below(&s->rand, swim_active(s)) >= (uint64_t)CALLERS * dead) return;
    const unsigned slot = swim_lost(s);
    if (slot != MEMBER_NONE) swim_probe_call(s, slot);
}

static void begin(struct swim *s) {
    struct swim_probe *p = &s->probe;
    call_a_dead_one(s);
    *p = (struct swim_probe){.slot = s->leaving ? MEMBER_NONE : next_in_order(s), .again_ns = SWIM_NEVER};
    p->end_ns = s->now + scaled(s, s->timing.probe_ns);
    if (p->slot == MEMBER_NONE) return;
    p->target = s->members.all[p->slot].id;
    p->number = next_number(s);
    p->again_ns = s->now + scaled(s, s->timing.timeout_ns);
    s->counts.probes++;
    send(s, p->slot, PEER_SWIM_PING, p->number, &p->target);
}

static void ask_helpers(struct swim *s) {
    struct swim_probe *p = &s->probe;
    unsigned not_these[1 + SWIM_HELPERS_MAX] = {p->slot};
    p->asked = true;
    while (p->nhelpers < s->timing.helpers) {
        const unsigned helper = swim_pick(s, not_these, 1 + p->nhelpers);
        if (helper == MEMBER_NONE) break;
        not_these[1 + p->nhelpers++] = helper;
        send(s, helper, PEER_SWIM_PING_REQ, p->number, &p->target);
    }
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_PING_TCP, .slot = p->slot, .number = p->number});
}

/* No answer in time: once more, and by all other ways. */
static void again(struct swim *s) {
    struct swim_probe *p = &s->probe;
    send(s, p->slot, PEER_SWIM_PING, p->number, &p->target);
    if (!p->asked) ask_helpers(s);
    p->again_ns = s->now + scaled(s, s->timing.timeout_ns / 2);
}

/* The interval is over. Each helper that did not even say that it got no answer makes this node doubt itself. */
static void verdict(struct swim *s) {
    struct swim_probe *p = &s->probe;
    if (p->slot == MEMBER_NONE || p->answered || !member_is_active(&s->members.all[p->slot])) return;
    s->counts.probes_failed++;
    swim_worsen(s, p->nhelpers > 0 ? p->nhelpers - p->nacks : 1);
    swim_accuse(s, p->slot);
}

void swim_probe_void(struct swim *s) {
    s->probe.slot = MEMBER_NONE;
    s->probe.again_ns = SWIM_NEVER;
}

static void succeed(struct swim *s) {
    struct swim_probe *p = &s->probe;
    if (p->answered) return;
    p->answered = true;
    p->again_ns = SWIM_NEVER;
    if (s->awareness > 0) s->awareness--;
}

/* Somebody else is at the address where the probed member should be. */
static void someone_else(struct swim *s) {
    struct swim_probe *p = &s->probe;
    if (p->answered) return;
    const unsigned slot = p->slot;
    swim_probe_void(s);
    if (member_is_active(&s->members.all[slot])) swim_bury(s, slot);
}

static bool is_current(const struct swim *s, uint32_t number) {
    return s->probe.slot != MEMBER_NONE && number == s->probe.number;
}

void swim_probe_pong(struct swim *s, const struct cluster_id *who, uint64_t boot, uint32_t number) {
    if (!is_current(s, number)) return;
    if (!cluster_id_equal(who, &s->probe.target))
        someone_else(s);
    else if (boot >= s->members.all[s->probe.slot].boot)
        succeed(s);
}

/* Every way has been tried and each said no: there is nothing more to wait for. */
static void hopeless(struct swim *s) {
    struct swim_probe *p = &s->probe;
    if (!p->answered && p->refused && p->nacks == p->nhelpers && p->nhelpers == s->timing.helpers) p->end_ns = s->now;
}

void swim_probe_refused(struct swim *s, uint32_t number) {
    if (!is_current(s, number)) return;
    s->probe.refused = true;
    hopeless(s);
}

/* ---- For others ---- */

static void relay_next(struct swim *s) {
    s->relay_ns = SWIM_NEVER;
    for (unsigned i = 0; i < SWIM_RELAYS_MAX; i++)
        if (s->relays[i].number != 0 && s->relays[i].nack_ns < s->relay_ns) s->relay_ns = s->relays[i].nack_ns;
}

/* The relayed probe is over: tells who asked for it. */
static void relay_end(struct swim *s, struct swim_relay *r, enum peer_swim_kind kind) {
    const struct swim_relay ended = *r;
    const unsigned slot = member_find(&s->members, &ended.requester);
    r->number = 0;
    relay_next(s);
    if (slot != MEMBER_NONE && slot != SWIM_SELF) send(s, slot, kind, ended.asked_number, &ended.target);
}

static void relay_begin(struct swim *s, unsigned requester, const struct peer_swim *m) {
    const unsigned target = member_find(&s->members, &m->target);
    struct swim_relay *r = s->relays;
    while (r < s->relays + SWIM_RELAYS_MAX && r->number != 0) r++;
    if (target == MEMBER_NONE || target == SWIM_SELF || r == s->relays + SWIM_RELAYS_MAX) {
        s->counts.ignored++;
        return;
    }
    *r = (struct swim_relay){.number = next_number(s),
                             .asked_number = m->number,
                             .requester = s->members.all[requester].id,
                             .target = m->target,
                             .nack_ns = s->now + s->timing.timeout_ns * 4 / 5};
    if (r->nack_ns < s->relay_ns) s->relay_ns = r->nack_ns;
    send(s, target, PEER_SWIM_PING, r->number, &m->target);
}

static struct swim_relay *relay_of(struct swim *s, uint32_t number) {
    for (unsigned i = 0; i < SWIM_RELAYS_MAX; i++)
        if (s->relays[i].number != 0 && s->relays[i].number == number) return &s->relays[i];
    return NULL;
}

static void relays_due(struct swim *s) {
    for (unsigned i = 0; s->relay_ns <= s->now && i < SWIM_RELAYS_MAX; i++)
        if (s->relays[i].number != 0 && s->relays[i].nack_ns <= s->now) relay_end(s, &s->relays[i], PEER_SWIM_NACK);
}

/* ---- Datagrams ---- */

static void answer_in(struct swim *s, unsigned slot, const struct peer_swim *m) {
    const struct cluster_id *from = &s->members.all[slot].id;
    struct swim_relay *r = relay_of(s, m->number);
    if (r != NULL) {
        const bool theirs =
            m->kind == PEER_SWIM_ACK ? cluster_id_equal(from, &r->target) : cluster_id_equal(&m->target, &r->target);
        if (theirs) relay_end(s, r, m->kind);
        return;
    }
    if (!is_current(s, m->number)) return;
    const bool told = cluster_id_equal(&m->target, &s->probe.target); /* by a helper, or by who is there instead */
    if (m->kind == PEER_SWIM_OTHER && told) someone_else(s);
    if (m->kind == PEER_SWIM_ACK && (told || cluster_id_equal(from, &s->probe.target))) succeed(s);
}

void swim_probe_datagram(struct swim *s, unsigned slot, const struct peer_swim *m) {
    switch (m->kind) {
    case PEER_SWIM_PING:
        if (cluster_id_equal(&m->target, &swim_self(s)->id))
            send(s, slot, PEER_SWIM_ACK, m->number, NULL);
        else
            send(s, slot, PEER_SWIM_OTHER, m->number, &m->target);
        break;
    case PEER_SWIM_ACK:
    case PEER_SWIM_OTHER: answer_in(s, slot, m); break;
    case PEER_SWIM_NACK:
        if (is_current(s, m->number) && s->probe.nacks < s->probe.nhelpers) s->probe.nacks++;
        hopeless(s);
        break;
    case PEER_SWIM_PING_REQ: relay_begin(s, slot, m); break;
    case PEER_SWIM_GOSSIP:
    case PEER_SWIM_UNKNOWN: break;
    }
}

/* ---- Time ---- */

void swim_probe_due(struct swim *s) {
    relays_due(s);
    if (s->probe.end_ns <= s->now) {
        verdict(s);
        begin(s);
    } else if (s->probe.again_ns <= s->now) {
        again(s);
    }
}

uint64_t swim_probe_next(const struct swim *s) {
    uint64_t next = s->probe.end_ns;
    if (s->probe.again_ns < next) next = s->probe.again_ns;
    return s->relay_ns < next ? s->relay_ns : next;
}
