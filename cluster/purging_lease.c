/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Leases: a member's rounds of polls, a voter's grants, and what both become under a new configuration
 * (README.md, Leases). */
#include <string.h>

#include "cluster/purging_state.h"

/* ------------------------------------------------------------------ the member's side */

struct lease_ends purging_leases(const struct purging *p) {
    return p->number == 0 ? (struct lease_ends){0, 0} : p->lease.ends;
}

bool purging_needs_lease(const struct purging *p) {
    return p->nvoters >= 3;
}

bool purging_lease_held(const struct purging *p, uint64_t now_ns) {
    return p->lease.ends.tag_ns > now_ns;
}

int purging_seat(const struct purging *p, uint32_t member) {
    for (unsigned i = 0; i < p->nvoters; i++)
        if (p->voters[i].member == member && member != 0) return (int)i;
    return -1;
}

uint32_t purging_lease_ask(struct purging *p, uint64_t now_ns) {
    const int own = purging_seat(p, p->number);
    const uint32_t round = lease_ask(&p->lease, now_ns);
    if (own >= 0 && purging_votes(p)) (void)lease_granted(&p->lease, round, (unsigned)own);
    return round;
}

void purging_lease_answered(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    const int seat = purging_seat(p, from);
    /* Who has another version is not counted: it would grant for as long as that says. */
    const bool same = (m->version == p->version && m->epoch == p->epoch) || MUTATED(MUTATION_MIXED_EPOCHS);
    if (seat < 0 || (m->flags & PEER_PURGE_GRANTED) == 0 || !same) return;
    struct lease_round *r = lease_granted(&p->lease, m->stream, (unsigned)seat);
    if (r == NULL) return;
    if (MUTATED(MUTATION_LEASE_FROM_REPLY)) r->asked_ns = now_ns;
    for (unsigned i = 0; i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
        const int slot = purgelog_slot(p->log, m->vector[i].origin);
        if (slot >= 0 && r->need[slot] < m->vector[i].sequence) r->need[slot] = m->vector[i].sequence;
    }
}

static bool has_applied(const struct purging *p, const struct lease_round *r) {
    for (int i = 0; i < purgelog_end(p->log); i++)
        if (purgelog_origin(p->log, i) != 0 && purgelog_applied(p->log, i) < r->need[i]) return false;
    return true;
}

void purging_lease_try(struct purging *p) {
    const int majority = (int)p->nvoters / 2 + 1 - (MUTATED(MUTATION_LEASE_MINORITY) && p->nvoters > 1);
    if (p->number == 0 || !p->begun) return;
    for (unsigned i = 0; i < LEASE_ROUNDS; i++) {
        struct lease_round *r = &p->lease.round[i];
        if (r->number == 0 || __builtin_popcount(r->granted) < majority) continue;
        if (!has_applied(p, r) && !MUTATED(MUTATION_LEASE_EARLY)) continue;
        lease_take(&p->lease, r);
        /* With fewer than three voters every purge waits for this member, once it knows all that was confirmed before
         * it came to that. */
        if (p->nvoters < 3) p->lease.ends = (struct lease_ends){LEASE_ENDLESS, LEASE_ENDLESS};
    }
}

/* ------------------------------------------------------------------ the voter's side */

bool purging_lease_grant(struct purging *p, uint64_t now_ns, struct purging_peer *peer, const struct peer_purge *m) {
    if (m->stream == 0 || (m->flags & PEER_PURGE_BEGUN) == 0 || m->version != p->version || m->epoch != p->epoch ||
        !purging_votes(p))
        return false;
    const uint64_t until_ns = now_ns + lease_waited_ns(p->tag_lease_ms);
    const uint64_t until_all_ns = now_ns + lease_waited_ns(p->lease.serve_ns / MS);
    if (peer->granted_ns < until_ns) peer->granted_ns = until_ns;
    if (peer->granted_all_ns < until_all_ns) peer->granted_all_ns = until_all_ns;
    return true;
}

unsigned purging_lease_lapsed(const struct purging *p, uint64_t now_ns, struct peer_purge_lack *out) {
    unsigned n = 0;
    for (unsigned i = 0; p->leases && i < p->npeers && n < PEER_PURGE_LACKS_MAX; i++)
        if (p->peers[i].granted_ns <= now_ns) out[n++] = (struct peer_purge_lack){p->peers[i].number, 0};
    return n;
}

uint32_t purging_lease_holds(const struct purging *p, uint64_t now_ns) {
    const uint64_t since_ns = p->active_ns > p->bound_ns ? p->active_ns : p->bound_ns;
    uint32_t flags = 0;
    if (MUTATED(MUTATION_NO_HOLD)) return 0;
    if (now_ns < since_ns + lease_waited_ns(p->tag_wait_ms) || now_ns < p->gone_ns) flags |= PEER_PURGE_HOLD;
    if (now_ns < p->gone_all_ns) flags |= PEER_PURGE_HOLD_ALL;
    if (p->seats_by_name && now_ns < p->first_active_ns + lease_waited_ns(p->serve_wait_ms)) flags |= PEER_PURGE_YOUNG;
    return flags;
}

void purging_lease_activated(struct purging *p, uint64_t now_ns) {
    /* Leases of the epoch before are covered by the wait that begins now. */
    for (unsigned i = 0; i < p->npeers; i++) p->peers[i].granted_ns = 0;
    /* For serve leases members are waited for, not time: but who was ejected is none. Whether such a lease may run only
     * its voters know, and these may have left. One of them is among those that this voter has heard, as each is a
     * majority of one epoch's; in a fresh epoch it has heard nobody. */
    const bool unheard = p->floor_epoch == p->epoch && p->ejected && !MUTATED(MUTATION_EJECTED_FORGOTTEN);
    const uint64_t until_ns = now_ns + lease_waited_ns(p->serve_wait_ms);
    if (p->leases && (p->sync_holds || unheard) && p->gone_all_ns < until_ns) p->gone_all_ns = until_ns;
}

/* ------------------------------------------------------------------ a new configuration */

void purging_lease_eject(struct purging *p, uint64_t now_ns, const struct configuration *c) {
    /* A member is ejected because a majority promised that it was silent. It may have come back, and been given a lease
     * by some of them, before the version was chosen. */
    for (unsigned i = 0; i < p->npeers && !MUTATED(MUTATION_EJECTED_FORGOTTEN); i++) {
        const struct purging_peer *peer = &p->peers[i];
        const struct configuration_member *m = configuration_by_number(c, peer->number);
        if (m == NULL || m->state != CONFIGURATION_EJECTED) continue;
        if (peer->granted_ns > now_ns && peer->granted_ns > p->gone_ns) p->gone_ns = peer->granted_ns;
        if (peer->granted_all_ns > now_ns && peer->granted_all_ns > p->gone_all_ns)
            p->gone_all_ns = peer->granted_all_ns;
    }
}

/* Leases do not bind any more, as far as this member knows: all members acknowledge from now on. Who was ejected before
 * is none, and may have come back and been given a lease just then (purging_lease_eject); only the voters of that time
 * know, and they may leave. */
static void wait_for_ejected(struct purging *p, uint64_t now_ns, const struct configuration *c) {
    const uint32_t tag_ms = c->tag_wait_ms > c->tag_lease_ms ? c->tag_wait_ms : c->tag_lease_ms;
    const uint32_t serve_ms = c->serve_wait_ms > c->serve_lease_ms ? c->serve_wait_ms : c->serve_lease_ms;
    if (!p->ejected || MUTATED(MUTATION_EJECTED_FORGOTTEN)) return;
    p->ended_ns = now_ns + lease_waited_ns(tag_ms);
    p->ended_all_ns = now_ns + lease_waited_ns(serve_ms);
}

void purging_lease_adopt(struct purging *p, uint64_t now_ns, const struct configuration *c, bool same_number,
                         bool new_epoch) {
    const bool endless = p->lease.ends.tag_ns == LEASE_ENDLESS;
    lease_void(&p->lease);
    p->lease.tag_ns = c->tag_lease_ms * MS;
    p->lease.serve_ns = c->serve_lease_ms * MS;
    p->tag_lease_ms = c->tag_lease_ms;
    p->tag_wait_ms = c->tag_wait_ms;
    p->serve_wait_ms = c->serve_wait_ms;
    p->seats_by_name = c->seats_by_name;
    p->ejected = false;
    for (unsigned i = 0; i < c->nmembers; i++) p->ejected |= c->members[i].state == CONFIGURATION_EJECTED;
    if (c->leases && (!p->leases || new_epoch)) p->bound_ns = now_ns;
    if (!c->leases && (p->leases || !same_number)) wait_for_ejected(p, now_ns, c);
    p->leases = c->leases;
    if (!same_number)
        p->lease.ends = (struct lease_ends){0, 0};
    else if (endless && c->nvoters >= 3) /* purges wait for this member until all know that leases are needed */
        p->lease.ends = c->leases ? (struct lease_ends){0, 0}
                                  : (struct lease_ends){now_ns + p->lease.tag_ns, now_ns + p->lease.serve_ns};
}
