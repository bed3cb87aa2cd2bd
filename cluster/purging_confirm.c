/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is confirmed (README.md, Leases): decided here and nowhere else, by who collects an origin's acknowledgements.
 *
 * While leases do not bind: what all members have acknowledged; where members were ejected while they did bind, leases
 * of before are waited for. When they do:
 *   - a purge, when a majority of the voters of this epoch has acknowledged it, and each member has that still may hold
 *     a tag lease granted before; or that many seconds have passed since the majority was complete that no such lease
 *     runs any more;
 *   - a purge of everything, when a majority of the voters and all members have. Whoever is no member holds no serve
 *     lease: the ejected were silent for longer than one lasts, who leaves gives its own up first, and who was replaced
 *     or forgotten is down. But founders without state directories may have forgotten members of an older cluster, and
 *     a member may have come back just when it was ejected: their leases are waited for. */
#include <errno.h>
#include <stdlib.h>

#include "cluster/purging_state.h"

/* ------------------------------------------------------------------ votes */

void purging_confirm_forget(struct purging_slot *s, bool epoch) {
    for (unsigned i = 0; i < CONFIGURATION_VOTERS_MAX; i++) {
        free(s->votes[i].none);
        s->votes[i] = (struct purging_vote){0};
    }
    if (epoch) s->marks = (struct lease_marks){0};
}

void purging_confirm_vote(struct purging *p, int slot, uint32_t from, const struct peer_purge *m) {
    struct purging_slot *s = &p->slots[slot];
    uint32_t *none = NULL;
    unsigned seat = 0;
    const bool same = (m->version == p->version && m->epoch == p->epoch) || MUTATED(MUTATION_MIXED_EPOCHS);
    while (seat < p->nvoters && p->voters[seat].member != from) seat++;
    if (seat == p->nvoters || (m->flags & PEER_PURGE_ACTIVE) == 0 || !same) return;
    struct purging_vote *v = &s->votes[seat];
    if (v->cast && m->sequence < v->upto) return; /* a late one */
    const unsigned n = m->nlacks < PEER_PURGE_LACKS_MAX ? m->nlacks : PEER_PURGE_LACKS_MAX;
    if (n > 0 && (none = malloc(n * sizeof *none)) == NULL) return; /* it is asked again */
    for (unsigned i = 0; i < n; i++) none[i] = m->lacks[i].member;
    free(v->none);
    *v = (struct purging_vote){true, m->sequence, m->flags, none, n};
    s->count = true;
}

bool purging_confirm_wants_vote(const struct purging *p, int slot, uint32_t member, uint64_t upto) {
    const struct purging_slot *s = &p->slots[slot];
    if (!p->leases || s->everything >= upto) return false;
    for (unsigned i = 0; i < p->nvoters; i++)
        if (p->voters[i].member == member)
            return !s->votes[i].cast || s->votes[i].upto < upto ||
                   (s->votes[i].flags & (PEER_PURGE_HOLD_ALL | PEER_PURGE_YOUNG)) != 0;
    return false;
}

/* ------------------------------------------------------------------ counting */

static int descending(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* What the voter of a seat has acknowledged in this epoch; the own one by applying. */
static uint64_t vote_of(const struct purging *p, int slot, unsigned seat) {
    const struct purging_vote *v = &p->slots[slot].votes[seat];
    if (p->voters[seat].member == p->number) return purging_votes(p) ? purgelog_applied(p->log, slot) : 0;
    return v->cast ? v->upto : 0;
}

/* All up to there is acknowledged by a majority of the voters. */
static uint64_t majority_of(const struct purging *p, int slot) {
    uint64_t acked[CONFIGURATION_VOTERS_MAX];
    for (unsigned i = 0; i < p->nvoters; i++) acked[i] = vote_of(p, slot, i);
    qsort(acked, p->nvoters, sizeof *acked, descending);
    return acked[p->nvoters / 2];
}

static uint32_t flags_of(const struct purging *p, int slot, uint64_t now_ns, unsigned seat) {
    if (p->voters[seat].member == p->number) return purging_lease_holds(p, now_ns);
    return p->slots[slot].votes[seat].flags;
}

/* Whether a voter that has acknowledged all up to `most` says, or a lease of this node itself shows, that the peer may
 * hold a tag lease. at: by seat, where its list of those that hold none has been read up to; peers come ascending. */
static bool may_hold(const struct purging *p, int slot, uint64_t now_ns, uint64_t most, unsigned peer, unsigned *at) {
    const uint32_t number = p->peers[peer].number;
    for (unsigned i = 0; i < p->nvoters; i++) {
        const struct purging_vote *v = &p->slots[slot].votes[i];
        if (vote_of(p, slot, i) < most) continue;
        if (p->voters[i].member == p->number) {
            if (p->peers[peer].granted_ns > now_ns) return true;
            continue;
        }
        while (at[i] < v->nnone && v->none[at[i]] < number) at[i]++;
        if (at[i] == v->nnone || v->none[at[i]] != number) return true;
    }
    return false;
}

/* All up to there is acknowledged by all that may hold a tag lease, and by a majority of the voters. */
static uint64_t held_by_all(const struct purging *p, int slot, uint64_t now_ns, uint64_t most) {
    const struct purging_slot *s = &p->slots[slot];
    unsigned at[CONFIGURATION_VOTERS_MAX] = {0};
    uint64_t least = most;
    for (unsigned i = 0; i < p->npeers; i++) {
        if (s->streams[i].acked >= least) continue;
        if (may_hold(p, slot, now_ns, most, i, at)) least = s->streams[i].acked;
    }
    return least;
}

static uint64_t acked_by_all(const struct purging *p, int slot) {
    const struct purging_slot *s = &p->slots[slot];
    uint64_t least = purgelog_applied(p->log, slot);
    for (unsigned i = 0; i < p->npeers; i++)
        if (s->streams[i].acked < least && !(MUTATED(MUTATION_CONFIRM_LINKED) && !p->peers[i].up))
            least = s->streams[i].acked;
    return least;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* With leases: what is confirmed of purges of tags, and (*everything) of those of everything. */
static uint64_t count_leases(struct purging *p, int slot, uint64_t now_ns, uint64_t *everything) {
    struct purging_slot *s = &p->slots[slot];
    const uint64_t wait_ns = lease_waited_ns(p->tag_wait_ms);
    const uint64_t most = smaller(majority_of(p, slot), purgelog_applied(p->log, slot));
    uint32_t flags = 0, of_all = UINT32_MAX;
    for (unsigned i = 0; i < p->nvoters; i++) {
        if (vote_of(p, slot, i) < most) continue;
        flags |= flags_of(p, slot, now_ns, i);
        of_all &= flags_of(p, slot, now_ns, i);
    }
    /* One voter that has been there for long enough knows that the cluster is not young. */
    const bool waits = (flags & PEER_PURGE_HOLD_ALL) != 0 || (of_all & PEER_PURGE_YOUNG) != 0;
    lease_marks_note(&s->marks, MUTATED(MUTATION_WAIT_FROM_ISSUE) ? purgelog_applied(p->log, slot) : most, now_ns,
                     wait_ns);
    uint64_t tags = lease_marks_passed(&s->marks, now_ns, wait_ns);
    if (MUTATED(MUTATION_WAIT_FROM_ISSUE)) tags = smaller(tags, most);
    if ((flags & PEER_PURGE_HOLD) == 0 && tags < most) {
        const uint64_t held = held_by_all(p, slot, now_ns, most);
        if (tags < held) tags = held;
    }
    if (MUTATED(MUTATION_MAJORITY_ONLY)) tags = most;
    const uint64_t all = MUTATED(MUTATION_FLUSH_NOT_ALL) ? most : smaller(most, acked_by_all(p, slot));
    *everything = MUTATED(MUTATION_FLUSH_BY_LEASE) ? tags : waits ? 0 : all;
    return tags;
}

/* Without leases: what all members have, once nobody who was ejected can hold a lease of before. */
static uint64_t count_members(const struct purging *p, int slot, uint64_t now_ns, uint64_t *everything) {
    const uint64_t all = acked_by_all(p, slot);
    *everything = now_ns < p->ended_all_ns ? 0 : all;
    return now_ns < p->ended_ns ? 0 : all;
}

void purging_confirmed_upto(struct purging *p, int slot, uint64_t tags, uint64_t everything) {
    struct purging_slot *s = &p->slots[slot];
    bool more = tags > s->confirmed;
    if (more) s->confirmed = tags;
    /* if there is no purge of everything among those behind */
    if (everything < s->confirmed && purgelog_last(p->log, slot) >= s->confirmed &&
        purgelog_star(p->log, slot) <= s->everything)
        everything = s->confirmed;
    if (everything > s->everything) {
        s->everything = everything;
        more = true;
    }
    if (s->confirmed < s->everything) s->confirmed = s->everything;
    if (!more) return;
    s->tell = true;
    purging_submit_confirmed(p, slot);
}

static void count(struct purging *p, int slot, uint64_t now_ns) {
    struct purging_slot *s = &p->slots[slot];
    s->count = false;
    if (s->collecting) {
        uint64_t everything = 0, tags;
        if (p->leases)
            tags = count_leases(p, slot, now_ns, &everything);
        else
            tags = count_members(p, slot, now_ns, &everything);
        purging_confirmed_upto(p, slot, tags, everything);
        s->low = 0;
        for (unsigned i = 0; i < p->npeers; i++) s->low += s->streams[i].acked <= s->confirmed;
    }
    if (s->want == UINT64_MAX) purgelog_keep(p->log, slot, s->confirmed);
}

void purging_confirm_flush(struct purging *p, uint64_t now_ns) {
    for (int i = 0; i < purgelog_end(p->log); i++)
        if (p->slots[i].count) count(p, i, now_ns);
}

void purging_confirm_tick(struct purging *p) {
    for (int i = 0; i < purgelog_end(p->log); i++)
        if (p->slots[i].collecting && p->slots[i].everything < purgelog_last(p->log, i)) p->slots[i].count = true;
}
