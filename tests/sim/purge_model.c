/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the model knows of each process, and what is checked of it. */
#include "tests/sim/purge_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

const char *world_violation_name(enum world_violation v) {
    static const char *const names[] = {"applied twice",        "claimed and not covered", "confirmed and not covered",
                                        "two purges of one id", "applied early",           "lost",
                                        "pending after calm",   "vector too long"};
    return names[v];
}

void purge_model_violation(struct world *w, enum world_violation v, unsigned node, uint64_t a, uint64_t b) {
    w->r->violations[v]++;
    w->r->total++;
    sim_note(w->s, node, "VIOLATION %s %llu %llu", world_violation_name(v), (unsigned long long)a,
             (unsigned long long)b);
    if (w->o->print && w->r->total < 10)
        printf("seed %llu %.6f s node %u: %s (%llu, %llu)\n", (unsigned long long)w->o->seed,
               (double)sim_now(w->s) / 1e9, node, world_violation_name(v), (unsigned long long)a,
               (unsigned long long)b);
}

/* ------------------------------------------------------------------ the model */

bool purge_model_has_applied(const struct process *x, uint32_t pid) {
    return x->applied[pid / 64] >> (pid % 64) & 1;
}

bool purge_model_covered(const struct process *x, uint32_t pid) {
    const struct world *w = x->w;
    if (purge_model_has_applied(x, pid) || x->floor_all_ns >= w->asked_ns[pid]) return true;
    return !w->everything[pid] && x->floor_tagged_ns >= w->asked_ns[pid];
}

static void note_event(struct world *w, unsigned node, uint32_t origin, uint64_t sequence, uint32_t pid) {
    struct origin *o = &w->origins[origin];
    if (sequence >= 4 * WORLD_PIDS) return;
    if (o->pids == NULL) o->pids = calloc(4 * WORLD_PIDS, sizeof *o->pids);
    CHECK(o->pids != NULL);
    if (o->pids[sequence] == 0) {
        w->r->events++;
        sim_note(w->s, node, "event %u-%llu is purge %u", origin, (unsigned long long)sequence, pid);
    }
    if (o->pids[sequence] != 0 && o->pids[sequence] != pid)
        purge_model_violation(w, WORLD_TWO_EVENTS, node, origin, sequence);
    o->pids[sequence] = pid;
    if (w->id_origin[pid] != 0 && (w->id_origin[pid] != origin || w->id_sequence[pid] != sequence)) w->ids[pid] = true;
    if (w->id_origin[pid] == 0) {
        w->id_origin[pid] = origin;
        w->id_sequence[pid] = (uint32_t)sequence;
    }
    if (sequence > o->last) o->last = sequence;
}

static uint32_t pid_of(const uint8_t *record) {
    struct purge_selector sels[PURGE_EVENT_SELECTORS_MAX];
    uint64_t tags[8];
    const unsigned n = purge_event_selectors(record, sels, tags);
    return (uint32_t)tags[n - 1];
}

static void check_claim(struct process *x, uint32_t origin, uint64_t sequence) {
    const struct origin *o = &x->w->origins[origin];
    if (o->pids == NULL) return;
    for (uint32_t s = x->verified[origin] + 1; s <= sequence && s <= o->last; s++) {
        if (o->pids[s] == 0) return; /* nobody has seen it on the wire yet */
        if (!purge_model_covered(x, o->pids[s])) purge_model_violation(x->w, WORLD_CLAIM, x->node, origin, s);
        x->verified[origin] = s;
    }
}

/* A purge that is confirmed is covered on every member of this configuration that has begun. */
static void check_confirmed(struct world *w, uint64_t version, uint32_t pid, uint32_t origin, uint64_t sequence) {
    const struct configuration *c = &w->history[version];
    for (unsigned i = 0; i < c->nmembers; i++) {
        const struct process *m = w->of_number[c->members[i].number];
        if (c->members[i].state == CONFIGURATION_EJECTED || m == NULL) continue;
        if (m->number == c->members[i].number && m->alive && !purging_begun(m->p)) continue; /* serves nothing yet */
        if (!purge_model_covered(m, pid)) purge_model_violation(w, WORLD_CONFIRMED, m->node, origin, sequence);
    }
}

/* A node says that all of an origin up to `sequence` is confirmed. */
static void check_status(const struct process *x, uint32_t origin, uint64_t sequence) {
    struct origin *o = &x->w->origins[origin];
    if (o->pids == NULL || sequence <= o->confirmed) return;
    for (uint64_t s = o->confirmed + 1; s <= sequence && s <= o->last; s++)
        if (o->pids[s] != 0) check_confirmed(x->w, x->version, o->pids[s], origin, s);
    o->confirmed = sequence;
}

/* Whether a purge was an event of an origin that is retired. */
static bool was_retired(const struct world *w, uint32_t pid) {
    const struct configuration *c = &w->history[w->version];
    for (uint32_t origin = 1; origin < c->next_number; origin++) {
        const struct origin *o = &w->origins[origin];
        bool counts = o->pids == NULL;
        for (unsigned i = 0; i < c->norigins; i++) counts |= c->origins[i] == origin;
        for (uint64_t s = 1; !counts && s <= o->last; s++)
            if (o->pids[s] == pid) return true;
    }
    return false;
}

void purge_model_confirmed(const struct process *x, uint32_t pid, const struct purging_receipt *r) {
    struct world *w = x->w;
    if (r->origin != 0 && r->sequence <= w->origins[r->origin].confirmed) return; /* whoever said so was checked */
    if (r->origin == 0 || was_retired(w, pid))
        check_confirmed(w, w->version, pid, r->origin, r->sequence);
    else
        check_status(x, r->origin, r->sequence);
}

void purge_model_applies(struct process *x, uint32_t pid) {
    struct world *w = x->w;
    sim_note(w->s, x->node, "applies purge %u as member %u", pid, x->number);
    const bool again = purge_model_has_applied(x, pid) && (x->applied_as[pid] == x->number || w->asker[pid] == x);
    if (again && !(w->o->faults & WORLD_HORIZON)) purge_model_violation(w, WORLD_TWICE, x->node, pid, x->number);
    x->applied_as[pid] = (uint16_t)x->number;
    const uint32_t origin = w->id_origin[pid], sequence = w->id_sequence[pid];
    if (origin == 0 || w->ids[pid] || w->asker[pid] == x || x->voted) return;
    if (sequence < x->upto[origin]) purge_model_violation(w, WORLD_EARLY, x->node, origin, sequence);
    x->upto[origin] = sequence;
}

/* ------------------------------------------------------------------ messages */

void purge_model_message(struct process *x, const struct peer_purge *m) {
    struct world *w = x->w;
    uint64_t sequence = m->sequence;
    if (m->kind == PEER_PURGE_EVENTS)
        for (size_t i = 0; i < m->events_bytes; i += purge_event_size(m->events + i))
            note_event(w, x->node, m->origin, sequence++, pid_of(m->events + i));
    if (m->kind == PEER_PURGE_ACK && !(m->flags & PEER_PURGE_ALL)) check_claim(x, m->origin, m->sequence);
    if (m->kind == PEER_PURGE_STATUS) check_status(x, m->origin, m->sequence);
    for (unsigned i = 0; i < m->nvector; i++) check_claim(x, m->vector[i].origin, m->vector[i].sequence);
    if (m->nvector > w->r->longest_vector) w->r->longest_vector = m->nvector;
}
