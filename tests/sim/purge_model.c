/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the model knows of each process, and what is checked of it. */
#include "tests/sim/purge_state.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/mutation.h"

const char *world_violation_name(enum world_violation v) {
    static const char *const names[] = {"applied twice",        "claimed and not covered", "stale read",
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

/* While a lease runs, all confirmed purges that it stands for are covered. */
void purge_model_read(struct process *x) {
    struct world *w = x->w;
    const struct lease_ends ends = purging_leases(x->p);
    const uint64_t now = MUTATED(MUTATION_CACHED_CLOCK) ? x->cached_ns : sim_local(w->s, x->node);
    w->r->reads++;
    w->r->leased += now < ends.tag_ns;
    if (now >= ends.tag_ns && now >= ends.serve_ns) return;
    bool all = true;
    for (uint64_t i = x->checked; i < w->nconfirmed; i++) {
        const uint32_t pid = w->confirmed[i];
        const bool covered = purge_model_covered(x, pid);
        all = all && covered;
        if (all) x->checked = i + 1; /* what is covered stays so */
        if (!covered && now < (w->everything[pid] ? ends.serve_ns : ends.tag_ns))
            purge_model_violation(w, WORLD_STALE, x->node, pid, w->everything[pid]);
    }
}

void purge_model_confirm(struct world *w, uint32_t pid) {
    if (pid == 0 || w->is_confirmed[pid]) return;
    w->is_confirmed[pid] = true;
    w->confirmed[w->nconfirmed++] = pid;
    for (unsigned i = 0; i < w->o->nodes; i++) {
        struct process *x = purge_life_at(w, i);
        if (x != NULL && x->p != NULL && !sim_is_paused(w->s, i)) purge_model_read(x);
    }
}

void purge_model_confirmed(struct process *x, uint32_t origin, uint64_t tags, uint64_t everything) {
    struct world *w = x->w;
    struct origin *o = &w->origins[origin];
    if (o->pids == NULL) return;
    for (uint64_t s = o->confirmed + 1; s <= tags && s <= o->last; s++, o->confirmed++)
        if (!w->everything[o->pids[s]]) purge_model_confirm(w, o->pids[s]);
    for (uint64_t s = o->everything + 1; s <= everything && s <= o->last; s++, o->everything++)
        purge_model_confirm(w, o->pids[s]);
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
    if (m->kind == PEER_PURGE_STATUS) purge_model_confirmed(x, m->origin, m->sequence, m->everything);
    for (unsigned i = 0; i < m->nvector; i++) check_claim(x, m->vector[i].origin, m->vector[i].sequence);
    if (m->nvector > w->r->longest_vector) w->r->longest_vector = m->nvector;
}
