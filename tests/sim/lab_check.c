/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is known of each purge and of who applied it, and what is checked of that. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "tests/sim/lab_state.h"

const char *lab_violation_name(enum lab_violation v) {
    static const char *const names[] = {"applied twice",
                                        "claimed and not covered",
                                        "confirmed and not covered under a lease",
                                        "two purges of one id",
                                        "applied early",
                                        "purge lost",
                                        "no agreement after calm",
                                        "vector too long",
                                        "stale read",
                                        "hit older than a purge applied there",
                                        "hit older than the vector claims",
                                        "stale copy served too long",
                                        "deleted value came back",
                                        "copy older than a change",
                                        "item outlived a purge",
                                        "two configurations of one version",
                                        "a sealed voter acknowledged"};
    return names[v];
}

void lab_check_violation(struct lab *l, enum lab_violation v, unsigned place, uint64_t a, uint64_t b) {
    l->r->violations[v]++;
    l->r->total++;
    sim_note(l->s, place, "VIOLATION %s (%llu, %llu)", lab_violation_name(v), (unsigned long long)a,
             (unsigned long long)b);
    if (l->o.print && l->r->total < 10)
        printf("seed %llu %.6f s place %u: %s (%llu, %llu)\n", (unsigned long long)l->o.seed,
               (double)sim_now(l->s) / 1e9, place, lab_violation_name(v), (unsigned long long)a, (unsigned long long)b);
}

/* ------------------------------------------------------------------ origins and their events */

struct lab_origin *lab_check_origin(struct lab *l, const struct cluster_id *cluster, uint32_t number) {
    unsigned at = (number * 2654435761u ^ cluster->bytes[0] * 40503u) % (2 * LAB_ORIGINS);
    for (; l->origin_at[at] != 0; at = (at + 1) % (2 * LAB_ORIGINS)) {
        struct lab_origin *o = &l->origins[l->origin_at[at]];
        if (o->number == number && cluster_id_equal(&o->cluster, cluster)) return o;
    }
    CHECK(l->norigins + 1 < LAB_ORIGINS);
    l->origin_at[at] = (uint16_t)++l->norigins;
    l->origins[l->norigins] = (struct lab_origin){.cluster = *cluster, .number = number};
    return &l->origins[l->norigins];
}

static uint32_t *event_at(struct lab_origin *o, uint64_t sequence) {
    if (sequence >= o->room) {
        const uint32_t room = (uint32_t)sequence + o->room + 64;
        o->pids = realloc(o->pids, room * sizeof *o->pids);
        CHECK(o->pids != NULL);
        memset(o->pids + o->room, 0, (room - o->room) * sizeof *o->pids);
        o->room = room;
    }
    return &o->pids[sequence];
}

static uint32_t pid_of(const uint8_t *record) {
    struct purge_selector sels[PURGE_EVENT_SELECTORS_MAX];
    uint64_t tags[8];
    const unsigned n = purge_event_selectors(record, sels, tags);
    return (uint32_t)tags[n - 1];
}

static void note_event(struct lab *l, unsigned place, struct lab_origin *o, uint64_t sequence, uint32_t pid) {
    struct lab_purge *p = &l->purge[pid];
    const uint16_t index = (uint16_t)(o - l->origins);
    if (sequence >= 4 * LAB_PURGES) return;
    uint32_t *at = event_at(o, sequence);
    if (*at == 0) {
        l->r->events++;
        sim_note(l->s, place, "event %u-%llu is purge %u", o->number, (unsigned long long)sequence, pid);
    }
    if (*at != 0 && *at != pid) lab_check_violation(l, LAB_TWO_EVENTS, place, o->number, sequence);
    *at = pid;
    if (p->origin != 0 && (p->origin != index || p->sequence != sequence)) p->ids = true;
    if (p->origin == 0) {
        p->origin = index;
        p->sequence = (uint32_t)sequence;
    }
    if (sequence > o->last) o->last = sequence;
}

/* ------------------------------------------------------------------ what a process has applied */

bool lab_check_has_applied(const struct lab_process *x, uint32_t pid) {
    return x->applied[pid / 64] >> (pid % 64) & 1;
}

bool lab_check_covered(const struct lab_process *x, uint32_t pid) {
    const struct lab_purge *p = &x->lab->purge[pid];
    if (lab_check_has_applied(x, pid) || x->floor_all_ns >= p->asked_ns) return true;
    return !p->everything && x->floor_tagged_ns >= p->asked_ns;
}

void lab_check_applies(struct lab_process *x, uint32_t pid) {
    struct lab *l = x->lab;
    const struct lab_purge *p = &l->purge[pid];
    sim_note(l->s, x->place, "applies purge %u as member %u", pid, config_number(x->config));
    /* Its own purges it knows again as the next member that it is (purgelog_leave), but not as the one after that. */
    const bool own = p->asker == x && p->asker_resets == x->resets && x->leaves <= p->asker_leaves + 1;
    const bool again = lab_check_has_applied(x, pid) && (x->applied_life[pid] == x->life || own);
    /* a log that forgets may forget that it had it */
    if (again && !(l->o.faults & LAB_HORIZON)) lab_check_violation(l, LAB_TWICE, x->place, pid, 0);
    x->applied_life[pid] = x->life;
    if (p->origin == 0 || p->ids || p->asker == x || x->voted) return;
    if (p->sequence < x->upto[p->origin])
        lab_check_violation(l, LAB_EARLY, x->place, l->origins[p->origin].number, p->sequence);
    x->upto[p->origin] = p->sequence;
}

static void check_claim(struct lab_process *x, struct lab_origin *o, uint64_t sequence) {
    const unsigned index = (unsigned)(o - x->lab->origins);
    for (uint32_t s = x->verified[index] + 1; s <= sequence && s <= o->last; s++) {
        if (o->pids[s] == 0) return; /* nobody has seen it on the wire yet */
        if (!lab_check_covered(x, o->pids[s])) lab_check_violation(x->lab, LAB_CLAIM, x->place, o->number, s);
        x->verified[index] = s;
    }
}

/* ------------------------------------------------------------------ what is confirmed */

/* While a lease runs, all confirmed purges that it stands for are covered. */
void lab_check_leases(struct lab_process *x) {
    struct lab *l = x->lab;
    const struct lease_ends ends = lab_node_leases(x);
    const uint64_t now = lab_node_clock(x);
    l->r->covered_checks++;
    l->r->leased += now < ends.tag_ns;
    l->r->leases_lost += x->leased && now >= ends.tag_ns;
    x->leased = now < ends.tag_ns;
    if (now >= ends.tag_ns && now >= ends.serve_ns) return;
    bool all = true;
    for (uint64_t i = x->checked; i < l->nconfirmed; i++) {
        const uint32_t pid = l->confirmed[i];
        const bool covered = lab_check_covered(x, pid), everything = l->purge[pid].everything;
        all = all && covered;
        if (all) x->checked = i + 1; /* what is covered stays so */
        if (!covered && now < (everything ? ends.serve_ns : ends.tag_ns))
            lab_check_violation(l, LAB_UNCOVERED, x->place, pid, everything);
    }
}

void lab_check_confirm(struct lab *l, uint32_t pid) {
    struct lab_purge *p = &l->purge[pid];
    if (pid == 0 || p->confirmed_ns != 0) return;
    p->confirmed_ns = sim_now(l->s);
    l->confirmed[l->nconfirmed++] = pid;
    for (unsigned i = 0; i < l->o.places; i++) {
        struct lab_process *x = lab_place_at(l, i);
        if (x != NULL && x->purging != NULL && !sim_is_paused(l->s, i)) lab_check_leases(x);
    }
}

/* Somebody says that all of an origin is confirmed up to `tags`, purges of everything up to `everything`. */
static void confirmed(struct lab *l, struct lab_origin *o, uint64_t tags, uint64_t everything) {
    for (; o->confirmed < tags && o->confirmed < o->last; o->confirmed++) {
        const uint32_t pid = o->pids[o->confirmed + 1];
        if (pid != 0 && !l->purge[pid].everything) lab_check_confirm(l, pid);
    }
    for (; o->everything < everything && o->everything < o->last; o->everything++)
        lab_check_confirm(l, o->pids[o->everything + 1]);
}

/* ------------------------------------------------------------------ messages */

/* Counts what is worth to have happened. */
static void note_message(struct lab_process *x, const struct peer_purge *m, const struct lab_origin *o) {
    struct lab *l = x->lab;
    if (m->kind == PEER_PURGE_EVENTS) l->r->foreign_collects += !(m->flags & PEER_PURGE_PULLED) && o->process != x;
    if (m->kind == PEER_PURGE_ACK) {
        l->r->holds += (m->flags & PEER_PURGE_HOLD) != 0;
        l->r->holds_all += (m->flags & (PEER_PURGE_HOLD_ALL | PEER_PURGE_YOUNG)) != 0;
    }
    for (size_t i = 0; m->kind == PEER_PURGE_SUBMIT && i < m->events_bytes; i += purge_event_size(m->events + i)) {
        struct lab_purge *p = &l->purge[pid_of(m->events + i)];
        l->r->retried += p->submitted;
        p->submitted = true;
    }
}

void lab_check_message(struct lab_process *x, const struct peer_purge *m) {
    struct lab *l = x->lab;
    const struct cluster_id *cluster = &config_current(x->config)->cluster;
    struct lab_origin *o = m->origin == 0 ? NULL : lab_check_origin(l, cluster, m->origin);
    uint64_t sequence = m->sequence;
    note_message(x, m, o);
    if (m->kind == PEER_PURGE_EVENTS)
        for (size_t i = 0; i < m->events_bytes; i += purge_event_size(m->events + i))
            note_event(l, x->place, o, sequence++, pid_of(m->events + i));
    if (m->kind == PEER_PURGE_ACK && !(m->flags & PEER_PURGE_ALL)) check_claim(x, o, m->sequence);
    if (m->kind == PEER_PURGE_ACK && m->flags & PEER_PURGE_ACTIVE && config_sealed(x->config))
        lab_check_violation(l, LAB_SEALED, x->place, m->origin, m->sequence);
    if (m->kind == PEER_PURGE_STATUS) confirmed(l, o, m->sequence, m->everything);
    for (unsigned i = 0; i < m->nvector; i++)
        check_claim(x, lab_check_origin(l, cluster, m->vector[i].origin), m->vector[i].sequence);
    if (m->nvector > l->r->longest_vector) l->r->longest_vector = m->nvector;
}

/* ------------------------------------------------------------------ configurations */

static unsigned ejected_of(const struct configuration *c) {
    unsigned n = 0;
    for (unsigned i = 0; i < c->nmembers; i++) n += c->members[i].state == CONFIGURATION_EJECTED;
    return n;
}

static uint64_t seats_of(const struct configuration *c) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < c->nvoters; i++) sum += hash_key(c->voters[i].name, strlen(c->voters[i].name), 0);
    return sum;
}

static struct lab_version *find_version(struct lab *l, const struct cluster_id *cluster, uint64_t version) {
    for (unsigned i = l->nversions; i-- > 0;)
        if (l->versions[i].version == version && cluster_id_equal(&l->versions[i].cluster, cluster))
            return &l->versions[i];
    return NULL;
}

/* Counts what has happened in a version that is seen for the first time. */
static void note_version(struct lab *l, const struct configuration *c, uint64_t hash) {
    struct lab_result *r = l->r;
    const struct lab_version v = {.cluster = c->cluster,
                                  .version = c->version,
                                  .hash = hash,
                                  .epoch = c->epoch,
                                  .seats = seats_of(c),
                                  .leases = c->leases,
                                  .tag_lease_ms = c->tag_lease_ms,
                                  .serve_lease_ms = c->serve_lease_ms,
                                  .ejected = ejected_of(c),
                                  .next_number = c->next_number};
    const struct lab_version *before = find_version(l, &c->cluster, c->version - 1);
    r->versions++;
    r->founded += c->version == 1;
    if (c->norigins > r->most_origins) r->most_origins = c->norigins;
    if (before != NULL) {
        if (c->epoch != before->epoch) ++*(c->floor_epoch == c->epoch ? &r->fresh : &r->kept);
        r->seats_moved += v.seats != before->seats;
        r->retired += c->retire_version == c->version;
        r->bound += c->leases && !before->leases;
        r->lowered += c->tag_lease_ms < before->tag_lease_ms || c->serve_lease_ms < before->serve_lease_ms;
        r->ejected += v.ejected > before->ejected;
        r->joins += c->nmembers > 0 && c->members[c->nmembers - 1].number >= before->next_number;
    }
    if (l->nversions == l->versions_room) {
        l->versions_room = 2 * l->versions_room + 64;
        l->versions = realloc(l->versions, l->versions_room * sizeof *l->versions);
        CHECK(l->versions != NULL);
    }
    l->versions[l->nversions++] = v;
}

void lab_check_adopted(struct lab_process *x) {
    struct lab *l = x->lab;
    const struct configuration_value *value = config_current_value(x->config);
    const struct configuration *c = &value->configuration;
    const uint32_t number = config_number(x->config);
    const struct lab_version *seen = find_version(l, &c->cluster, c->version);
    if (seen == NULL)
        note_version(l, c, value->hash);
    else if (seen->hash != value->hash)
        lab_check_violation(l, LAB_TWO_VERSIONS, x->place, c->version, 0);
    if (number != x->number || !cluster_id_equal(&c->cluster, &x->cluster)) {
        /* it begins with another vector, and may apply events again that a floor covers */
        memset(x->upto, 0, LAB_ORIGINS * sizeof *x->upto);
        x->life++;
        x->leaves += x->number != 0;
        l->r->rejoined += number != 0 && x->number != 0;
    }
    x->number = number;
    x->cluster = c->cluster;
    for (unsigned i = 0; i < c->nvoters; i++) {
        if (number == 0 || c->voters[i].member != number) continue;
        x->voted = true;
        lab_check_origin(l, &c->cluster, c->voters[i].origin)->process = x;
    }
}

/* ------------------------------------------------------------------ the end */

/* Whether somebody who lives has to have kept a purge: who asked for it, who made it an event, and who has applied it
 * as the member that it still is. Who was ejected begins anew, and keeps of others' purges none. */
static bool is_known(const struct lab *l, uint32_t pid) {
    const struct lab_purge *p = &l->purge[pid];
    const struct lab_process *origin = l->origins[p->origin].process;
    bool known = p->asker->alive && p->asker_resets == p->asker->resets;
    known |= origin != NULL && origin->alive && lab_check_has_applied(origin, pid) &&
             origin->applied_life[pid] == origin->life;
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        known |= x != NULL && lab_check_has_applied(x, pid) && x->applied_life[pid] == x->life;
    }
    return known;
}

/* The version of the newest configuration that anybody goes by. */
static uint64_t newest(struct lab *l) {
    uint64_t version = 0;
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        const struct configuration *c = x == NULL ? NULL : config_current(x->config);
        if (c != NULL && c->version > version) version = c->version;
    }
    return version;
}

void lab_check_end(struct lab *l) {
    for (uint32_t pid = 1; pid <= l->npurges; pid++) {
        const bool known = !l->purge[pid].refused && is_known(l, pid);
        for (unsigned i = 0; known && i < l->o.places; i++)
            if (lab_place_at(l, i) != NULL && !lab_check_covered(lab_place_at(l, i), pid))
                lab_check_violation(l, LAB_LOST, i, pid, 0);
    }
    for (unsigned i = 0; i < l->o.places; i++) {
        const struct lab_process *x = lab_place_at(l, i);
        struct peer_purge_seen v[PEER_PURGE_VECTOR_MAX];
        const struct configuration *c = x == NULL ? NULL : config_current(x->config);
        if (c == NULL || c->version < newest(l)) continue; /* it has left, and hears of nothing more */
        const unsigned n = purging_vector(x->purging, v);
        if (n > c->nvoters + c->nclosing) lab_check_violation(l, LAB_LONG, i, n, c->nvoters + c->nclosing);
    }
}
