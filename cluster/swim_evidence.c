/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an update changes: joins, suspicions and their ends, refutations, deaths, conflicts of names and addresses. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/suspicion.h"
#include "cluster/swim_state.h"

#define CALLS 5      /* pings, a timeout apart, before a suspect is dead */
#define CONFIRMERS 4 /* of all members that hear of a suspicion so many look for themselves at once */

/* ---- Suspicions ---- */

const struct swim_suspicion *swim_suspicion_of(const struct swim *s, unsigned slot) {
    const uint16_t at = s->members.all[slot].suspicion;
    return at != 0 ? &s->suspicions[at - 1] : NULL;
}

static void next_deadline(struct swim *s) {
    s->suspicion_ns = SWIM_NEVER;
    for (unsigned i = 0; i < s->nsuspicions; i++)
        if (s->suspicions[i].call_ns < s->suspicion_ns) s->suspicion_ns = s->suspicions[i].call_ns;
}

static void suspicion_end(struct swim *s, unsigned slot) {
    struct member *m = &s->members.all[slot];
    if (m->suspicion == 0) return;
    struct swim_suspicion *it = &s->suspicions[m->suspicion - 1];
    const bool first = it->call_ns == s->suspicion_ns;
    *it = s->suspicions[--s->nsuspicions];
    if (it != &s->suspicions[s->nsuspicions]) s->members.all[it->slot].suspicion = m->suspicion;
    m->suspicion = 0;
    if (first) next_deadline(s);
}

/* Adds those that are not among the accusers yet; whether there were any. */
static bool add_accusers(struct swim *s, struct swim_suspicion *it, const struct cluster_id *accusers, unsigned n) {
    const unsigned expected = suspicion_expected(s->timing.suspicion, swim_active(s));
    const unsigned before = it->naccusers;
    for (unsigned i = 0; i < n && it->naccusers < 1 + expected && it->naccusers < PEER_SWIM_ACCUSERS_MAX; i++) {
        bool known = false;
        for (unsigned k = 0; k < it->naccusers; k++) known |= cluster_id_equal(&it->accusers[k], &accusers[i]);
        if (!known) it->accusers[it->naccusers++] = accusers[i];
    }
    const unsigned confirmations = it->naccusers > 0 ? it->naccusers - 1 : 0;
    const uint64_t min = suspicion_min_ns(s->timing.suspicion, swim_active(s), s->timing.probe_ns);
    it->deadline_ns = it->start_ns + suspicion_timeout_ns(min, s->timing.suspicion_max, confirmations, expected);
    const uint64_t lead = CALLS * s->timing.timeout_ns;
    it->call_ns = it->deadline_ns > lead ? it->deadline_ns - lead : 0;
    if (it->call_ns < s->now) it->call_ns = s->now < it->deadline_ns ? s->now : it->deadline_ns;
    next_deadline(s);
    return it->naccusers > before;
}

/* The member is suspect, as the table says already; it gets its time. Without memory: it is alive for this node. */
static void suspicion_begin(struct swim *s, unsigned slot, const struct cluster_id *accusers, unsigned n) {
    struct member *m = &s->members.all[slot];
    if (s->nsuspicions == s->suspicions_room) {
        const unsigned room = s->suspicions_room == 0 ? 8 : s->suspicions_room * 2;
        struct swim_suspicion *grown = realloc(s->suspicions, room * sizeof *grown);
        if (grown == NULL) {
            member_set_state(&s->members, slot, PEER_SWIM_ALIVE, s->now);
            return;
        }
        s->suspicions = grown;
        s->suspicions_room = room;
    }
    struct swim_suspicion *it = &s->suspicions[s->nsuspicions++];
    *it = (struct swim_suspicion){.slot = (uint16_t)slot, .start_ns = s->now};
    m->suspicion = (uint16_t)s->nsuspicions;
    (void)add_accusers(s, it, accusers, n);
    s->counts.suspicions++;
    /* Whether others find the same decides how long it has; so a few do not wait until its turn comes round. */
    if (rand_below(&s->rand, swim_active(s)) < CONFIRMERS) s->urgent = m->id;
}

/* A suspect whose time is nearly over is called directly: gossip of the suspicion, or of its refutation, may have been
 * lost. The call says that it is suspect, and its answer carries the refutation. */
static void call(struct swim *s, struct swim_suspicion *it) {
    it->call_ns += s->timing.timeout_ns;
    if (it->call_ns > it->deadline_ns) it->call_ns = it->deadline_ns;
    next_deadline(s);
    swim_probe_call(s, it->slot);
}

void swim_suspicions_due(struct swim *s) {
    while (s->suspicion_ns <= s->now) {
        struct swim_suspicion *it = s->suspicions;
        while (it->call_ns != s->suspicion_ns) it++;
        if (it->deadline_ns <= s->now)
            swim_bury(s, it->slot);
        else
            call(s, it);
    }
}

void swim_suspicions_wait(struct swim *s, uint64_t late_ns) {
    for (unsigned i = 0; i < s->nsuspicions; i++) {
        s->suspicions[i].start_ns += late_ns;
        s->suspicions[i].deadline_ns += late_ns;
        s->suspicions[i].call_ns += late_ns;
    }
    next_deadline(s);
}

/* ---- What this node finds itself ---- */

void swim_bury(struct swim *s, unsigned slot) {
    suspicion_end(s, slot);
    member_set_state(&s->members, slot, PEER_SWIM_DEAD, s->now);
    s->counts.deaths++;
    swim_tell(s, slot);
    swim_changed(s, slot, SWIM_DIED);
}

void swim_accuse(struct swim *s, unsigned slot) {
    struct member *m = &s->members.all[slot];
    const struct cluster_id self = swim_self(s)->id;
    if (!member_is_active(m)) return;
    if (member_is_superseded(&s->members, slot)) {
        swim_bury(s, slot);
    } else if (m->state == PEER_SWIM_SUSPECT) {
        if (m->suspicion != 0 && add_accusers(s, &s->suspicions[m->suspicion - 1], &self, 1)) swim_tell(s, slot);
    } else {
        member_set_state(&s->members, slot, PEER_SWIM_SUSPECT, s->now);
        suspicion_begin(s, slot, &self, 1);
        if (m->state != PEER_SWIM_SUSPECT) return;
        swim_tell(s, slot);
        swim_changed(s, slot, SWIM_SUSPECTED);
    }
}

/* ---- What others say about this node ---- */

static void about_self(struct swim *s, const struct peer_swim_update *u) {
    struct member *self = swim_self(s);
    if (u->boot > self->boot) {
        swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_OUTDATED, .boot = u->boot});
        return;
    }
    if (member_compare(self, u) <= 0) {
        /* Whoever repeats what is refuted has not heard the refutation, which may be told no more: it is told anew. */
        if (u->boot == self->boot && u->incarnation < self->incarnation && u->state != PEER_SWIM_ALIVE)
            swim_tell(s, SWIM_SELF);
        return;
    }
    if (u->incarnation >= PEER_SWIM_NUMBER_MAX) { /* nobody counts that far: a forgery that cannot be refuted */
        s->counts.ignored++;
        return;
    }
    self->incarnation = u->incarnation + 1;
    s->counts.refutations++;
    if (u->state != PEER_SWIM_ALIVE) swim_worsen(s, 1);
    swim_tell(s, SWIM_SELF);
}

/* ---- What others say about others ---- */

static void find_conflicts(struct swim *s, unsigned slot) {
    const unsigned name = member_other_of_name(&s->members, slot), address = member_other_of_address(&s->members, slot);
    if (name != MEMBER_NONE)
        swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_CONFLICT, .slot = slot, .other = name, .change = SWIM_NAME});
    if (address != MEMBER_NONE)
        swim_emit(
            s, &(struct swim_out){.kind = SWIM_OUT_CONFLICT, .slot = slot, .other = address, .change = SWIM_ADDRESS});
}

/* Somebody this node has not heard of. */
static void about_stranger(struct swim *s, const struct peer_swim_update *u) {
    const bool too_old = (u->state == PEER_SWIM_LEFT || u->state == PEER_SWIM_DEAD) &&
                         u->ended_s * UINT64_C(1000000000) >= s->timing.tombstone_ns;
    if (u->name[0] == '\0' || u->address[0] == '\0' || cluster_id_is_zero(&u->id) || too_old)
        return; /* who it is comes with the next push-pull */
    if (members_count(&s->members) == MEMBERS_MAX) {
        const unsigned victim = member_victim(&s->members, s->now);
        if (victim != MEMBER_NONE && victim != SWIM_SELF) swim_drop(s, victim);
    }
    const unsigned slot = member_add(&s->members, u, s->now);
    if (slot == MEMBER_NONE) {
        s->counts.table_full++;
        return;
    }
    if (!swim_order_add(s, slot)) {
        member_remove(&s->members, slot);
        s->counts.table_full++;
        return;
    }
    if (u->state == PEER_SWIM_SUSPECT) suspicion_begin(s, slot, u->accusers, u->naccusers);
    if (!s->quiet) swim_tell(s, slot);
    if (!member_is_active(&s->members.all[slot])) return;
    swim_changed(s, slot, SWIM_JOINED);
    if (s->members.all[slot].state == PEER_SWIM_SUSPECT) swim_changed(s, slot, SWIM_SUSPECTED);
    find_conflicts(s, slot);
}

/* Tells the layers above what became of it, compared with what it was. */
static void report(struct swim *s, unsigned slot, const struct member *before, bool moved, bool renamed) {
    const struct member *m = &s->members.all[slot];
    const bool was_active = member_is_active(before), is_active = member_is_active(m);
    if (moved) swim_changed(s, slot, SWIM_ADDRESS);
    if (renamed) swim_changed(s, slot, SWIM_NAME);
    if (is_active && m->boot > before->boot)
        swim_changed(s, slot, SWIM_RESTARTED);
    else if (m->state == PEER_SWIM_ALIVE && before->state != PEER_SWIM_ALIVE)
        swim_changed(s, slot, SWIM_REFUTED);
    if (m->state == PEER_SWIM_SUSPECT && (before->state != PEER_SWIM_SUSPECT || m->boot > before->boot))
        swim_changed(s, slot, SWIM_SUSPECTED);
    if (m->state == PEER_SWIM_DEAD && was_active) swim_changed(s, slot, SWIM_DIED);
    if (m->state == PEER_SWIM_LEFT && before->state != PEER_SWIM_LEFT) swim_changed(s, slot, SWIM_ENDED);
    if (is_active && (moved || renamed || !was_active)) find_conflicts(s, slot);
}

/* An update that wins over what the table has. */
static void about_member(struct swim *s, unsigned slot, const struct peer_swim_update *u) {
    struct member *m = &s->members.all[slot];
    const struct member before = *m;
    const uint32_t name_hash = m->name_hash, address_hash = m->address_hash;
    suspicion_end(s, slot);
    member_take(&s->members, slot, u, s->now);
    if (u->state == PEER_SWIM_SUSPECT) suspicion_begin(s, slot, u->accusers, u->naccusers);
    swim_tell(s, slot);
    report(s, slot, &before, m->address_hash != address_hash, m->name_hash != name_hash);
}

/* The same suspicion, perhaps with accusers that are news. */
static void about_suspect(struct swim *s, unsigned slot, const struct peer_swim_update *u) {
    const struct member *m = &s->members.all[slot];
    if (m->suspicion == 0 || u->naccusers == 0) return;
    if (add_accusers(s, &s->suspicions[m->suspicion - 1], u->accusers, u->naccusers)) swim_tell(s, slot);
}

/* The same end; whoever knows of it for longest says when it is forgotten, else two nodes could remind each other for
 * ever.
 */
static void about_gone(struct swim *s, unsigned slot, const struct peer_swim_update *u) {
    struct member *m = &s->members.all[slot];
    if (u->ended_s > member_age_s(m, s->now)) m->since_ns = s->now - u->ended_s * UINT64_C(1000000000);
}

void swim_evidence(struct swim *s, const struct peer_swim_update *u, const struct cluster_id *accuser) {
    const unsigned slot = member_find(&s->members, &u->id);
    if (slot == MEMBER_NONE) {
        about_stranger(s, u);
        return;
    }
    if (slot == SWIM_SELF) {
        about_self(s, u);
        return;
    }
    const struct member *m = &s->members.all[slot];
    struct peer_swim_update as_suspect;
    if (accuser != NULL && u->state == PEER_SWIM_DEAD && u->boot == m->boot && member_is_active(m)) {
        as_suspect = *u;
        as_suspect.state = PEER_SWIM_SUSPECT;
        as_suspect.ended_s = 0;
        as_suspect.naccusers = 1;
        as_suspect.accusers[0] = *accuser;
        u = &as_suspect;
    }
    const int news = member_compare(m, u);
    if (news > 0)
        about_member(s, slot, u);
    else if (news == 0 && u->state == PEER_SWIM_SUSPECT)
        about_suspect(s, slot, u);
    else if (news == 0 && !member_is_active(m))
        about_gone(s, slot, u);
}
