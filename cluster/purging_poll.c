/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Polls of the voters, repair by vectors, the beginning of a newcomer, and the activation of a voter in a new epoch
 * (README.md, Purges). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/purging_state.h"

/* It is a voter that is not active in this epoch yet. */
static bool is_activating(const struct purging *p) {
    return p->sits && p->active_epoch != p->epoch;
}

/* ------------------------------------------------------------------ repair */

/* Whether what is lacking is asked for where it may still come from: not from a node whose link is broken, nor from one
 * that has been asked twice and has sent nothing. It may be stopped, and others have a part of what it has. */
static bool is_asked_for(const struct purging *p, const struct purging_slot *s) {
    const struct purging_peer *from = purging_peer(p, s->need_from);
    return from != NULL && from->up && s->vain_pulls < 2;
}

/* Somebody's vector shows what this node lacks: if it does not come by itself, it is pulled from there. */
static void lacks(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    for (unsigned i = 0; i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
        const int slot = purgelog_slot(p->log, m->vector[i].origin);
        if (slot < 0 || slot == p->own_slot || m->vector[i].sequence > PURGELOG_SEQUENCE_MAX) continue;
        struct purging_slot *s = &p->slots[slot];
        const uint64_t last = purgelog_last(p->log, slot);
        if (m->vector[i].sequence <= last || m->version < s->closing) continue;
        if (s->need <= last) s->need_since_ns = now_ns;
        if (s->need > last && s->need > m->vector[i].sequence && is_asked_for(p, s)) continue;
        s->need = m->vector[i].sequence;
        if (s->need_from != from) s->vain_pulls = 0;
        s->need_from = from;
    }
}

static void send_vector(struct purging *p, uint32_t to, struct peer_purge *m) {
    struct peer_purge_seen vector[PURGELOG_SLOTS];
    m->vector = vector;
    m->nvector = purging_vector(p, vector);
    purging_send(p, to, m);
}

/* The next member behind this one that can be reached, in the order of numbers; itself if there is no other. */
static uint32_t next_up(const struct purging *p, uint32_t number) {
    unsigned from = 0;
    while (from < p->npeers && p->peers[from].number <= number) from++;
    for (unsigned i = 0; i < p->npeers; i++)
        if (p->peers[(from + i) % p->npeers].up) return p->peers[(from + i) % p->npeers].number;
    return number;
}

/* A poll shows of a closing origin only what is final: an event that came before it closed may not be applied yet, and
 * would not be counted when the origin is dropped. round: of polls that ask for a lease, 0: it asks for none.
 */
static void poll_member(struct purging *p, uint32_t member, uint32_t round) {
    struct peer_purge_seen vector[PURGELOG_SLOTS];
    struct peer_purge m = {.kind = PEER_PURGE_POLL, .boot = p->boot, .stream = round, .vector = vector};
    if (member == p->number) return;
    if (p->begun) m.flags = PEER_PURGE_BEGUN;
    const unsigned n = purging_vector(p, vector);
    for (unsigned i = 0; i < n; i++) {
        const int slot = purgelog_slot(p->log, vector[i].origin);
        if (p->slots[slot].closing == 0 || purgelog_applied(p->log, slot) == purgelog_last(p->log, slot))
            vector[m.nvector++] = vector[i];
    }
    purging_send(p, member, &m);
}

/* Pulls what has been lacking for a while; at once if this voter waits for it. It is asked for where it has been seen
 * last; only as long as the log there begins too late and others' may reach back further, these are asked in turn. */
static void pull(struct purging *p, uint64_t now_ns) {
    const bool activating = is_activating(p);
    uint32_t asked[PURGELOG_SLOTS];
    unsigned nasked = 0, n;
    for (int i = 0; p->begun && i < purgelog_end(p->log); i++) {
        struct purging_slot *s = &p->slots[i];
        const uint64_t wait_ns = activating ? 0 : REPAIR_MS * MS;
        if (purgelog_origin(p->log, i) == 0 || s->need <= purgelog_last(p->log, i)) continue;
        if (now_ns < s->need_since_ns + wait_ns || now_ns < s->pulled_ns + REPAIR_MS * MS) continue;
        const bool others = s->behind_ns != 0 && now_ns < s->behind_ns + PATIENCE_MS * MS;
        s->vain_pulls = s->pulled_last == purgelog_last(p->log, i) ? s->vain_pulls + 1 : 1;
        s->pulled_last = purgelog_last(p->log, i);
        s->pulled_ns = now_ns;
        s->asked = others ? next_up(p, s->asked) : s->need_from;
        for (n = 0; n < nasked && asked[n] != s->asked; n++) {}
        if (n < nasked) continue;
        asked[nasked++] = s->asked;
        send_vector(p, s->asked, &(struct peer_purge){.kind = PEER_PURGE_PULL});
    }
}

void purging_hint(struct purging *p, uint64_t now_ns, uint32_t member, uint64_t hash) {
    const struct purging_peer *peer = purging_peer(p, member);
    if (!p->begun || peer == NULL || hash == purging_hash(p)) return;
    /* one of the two lacks something, or it is on its way; a poll shows which */
    if (now_ns >= peer->polled_ns + p->poll_every_ns) poll_member(p, member, 0);
}

void purging_poll_pulled(struct purging *p, uint32_t from, const struct peer_purge *m) {
    uint64_t have[PURGELOG_SLOTS] = {0};
    unsigned frames = 0;
    for (unsigned i = 0; i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
        const int slot = purgelog_slot(p->log, m->vector[i].origin);
        if (slot >= 0) have[slot] = m->vector[i].sequence;
    }
    for (int i = 0; p->begun && i < PURGELOG_SLOTS; i++) {
        const uint64_t applied = purgelog_applied(p->log, i), begin = purgelog_begin(p->log, i);
        for (uint64_t at = have[i]; at < applied && frames < PULL_FRAMES; frames++) {
            struct peer_purge events = {.kind = PEER_PURGE_EVENTS,
                                        .flags = PEER_PURGE_PULLED,
                                        .origin = purgelog_origin(p->log, i),
                                        .star = purgelog_star(p->log, i),
                                        .events = p->frame};
            unsigned count;
            if (at < begin) {
                at = begin < applied ? begin : applied;
                events.flags |= PEER_PURGE_HORIZON;
            }
            events.sequence = at + 1;
            events.events_bytes = purgelog_copy(p->log, i, at + 1, applied, p->frame, sizeof p->frame, &count);
            at += count;
            purging_send(p, from, &events);
            if (count == 0) break;
        }
    }
}

/* ------------------------------------------------------------------ asked */

void purging_poll_asked(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    struct purging_peer *peer = purging_peer(p, from);
    struct peer_purge answer = {.kind = PEER_PURGE_POLL_ANSWER,
                                .flags = (p->begun ? PEER_PURGE_BEGUN : 0) | (purging_votes(p) ? PEER_PURGE_ACTIVE : 0),
                                .active_epoch = p->active_epoch,
                                .stream = m->stream,
                                .boot = p->boot};
    if (purging_lease_grant(p, now_ns, peer, m)) answer.flags |= PEER_PURGE_GRANTED;
    answer.flags |= purging_lease_holds(p, now_ns) & PEER_PURGE_HOLD_ALL;
    if (m->flags & PEER_PURGE_BEGUN && m->version <= p->version) {
        if (peer->polled == NULL) peer->polled = malloc(PURGELOG_SLOTS * sizeof *peer->polled);
        for (int i = 0; peer->polled != NULL && i < PURGELOG_SLOTS; i++) peer->polled[i] = UINT64_MAX;
        for (unsigned i = 0; peer->polled != NULL && i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
            const int slot = purgelog_slot(p->log, m->vector[i].origin);
            if (slot >= 0) peer->polled[slot] = m->vector[i].sequence;
        }
        peer->polled_ns = now_ns;
        peer->polled_version = m->version;
        lacks(p, now_ns, from, m);
    }
    send_vector(p, from, &answer);
}

bool purging_heard(const struct purging *p, uint32_t member, uint64_t *ns, uint64_t *version) {
    const struct purging_peer *peer = purging_peer(p, member);
    *ns = peer == NULL ? 0 : peer->polled_ns;
    *version = peer == NULL ? 0 : peer->polled_version;
    return *version != 0;
}

/* Whoever polled at the present version takes from its members only. So an event that none of them had when it polled
 * reaches none of them later; one that a member took before, from somebody who has left since, shows in its poll. */
bool purging_may_retire(const struct purging *p, uint64_t now_ns, uint32_t origin) {
    const int slot = purgelog_slot(p->log, origin);
    if (slot < 0 || p->slots[slot].closing == 0 || p->slots[slot].closing > p->version || !purging_votes(p))
        return false;
    if (MUTATED(MUTATION_RETIRE_BLIND)) return true;
    if (purgelog_applied(p->log, slot) != purgelog_last(p->log, slot)) return false;
    for (unsigned i = 0; i < p->npeers; i++) {
        const struct purging_peer *peer = &p->peers[i];
        if (peer->polled == NULL || now_ns > peer->polled_ns + FRESH_POLLS * p->poll_every_ns) return false;
        if (peer->polled_version < p->version) return false;
        if (peer->polled[slot] != purgelog_applied(p->log, slot)) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ answered */

/* A newcomer takes the vector of a voter that has been active: floor first, for nothing that it holds is known to have
 * outlived the purges that the vector shows. */
static void begin(struct purging *p, const struct peer_purge *m) {
    if (!(m->flags & PEER_PURGE_BEGUN) || m->active_epoch == 0 || m->epoch < p->epoch || m->version > p->version)
        return;
    if (!MUTATED(MUTATION_NEWCOMER_NO_FLOOR)) p->events.floor(p->events.arg, true);
    for (unsigned i = 0; i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
        const struct peer_purge_seen *v = &m->vector[i];
        const int slot = purgelog_slot(p->log, v->origin);
        if (slot < 0 || slot == p->own_slot || v->sequence > PURGELOG_SEQUENCE_MAX) continue;
        purgelog_reset(p->log, slot, v->sequence, v->star < v->sequence ? v->star : v->sequence);
    }
    p->begun = true;
}

/* What a voter says of its memory counts if it knows this epoch: then it acknowledges nothing more in the one before.
 */
static void synchronise(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    bool counts = false;
    if (!(m->flags & PEER_PURGE_BEGUN) || m->epoch != p->epoch || m->version < p->version) return;
    if (m->active_epoch == p->epoch) {
        p->sync_active = counts = true;
    } else if (m->active_epoch == p->epoch - 1) {
        for (unsigned i = 0; i < p->nprevious; i++)
            if (p->previous[i] == from) {
                p->sync_from |= 1u << i;
                counts = true;
            }
    }
    p->sync_holds |= counts && (m->flags & PEER_PURGE_HOLD_ALL) != 0;
    for (unsigned i = 0; counts && i < m->nvector && i < PEER_PURGE_VECTOR_MAX; i++) {
        const int slot = purgelog_slot(p->log, m->vector[i].origin);
        if (slot >= 0 && p->slots[slot].sync < m->vector[i].sequence) p->slots[slot].sync = m->vector[i].sequence;
    }
    purging_poll_activate(p, now_ns);
}

void purging_poll_activate(struct purging *p, uint64_t now_ns) {
    if (!p->begun || !is_activating(p)) return;
    if (p->active_epoch == p->epoch - 1)
        for (unsigned i = 0; i < p->nprevious; i++)
            if (p->previous[i] == p->number) p->sync_from |= 1u << i;
    const unsigned from = (unsigned)__builtin_popcount(p->sync_from);
    const unsigned enough = MUTATED(MUTATION_SYNC_FROM_ONE) ? 1 : p->nprevious / 2 + 1;
    if (p->floor_epoch != p->epoch && !MUTATED(MUTATION_NO_SYNC)) {
        if (!p->sync_active && from < enough) return;
        for (int i = 0; i < PURGELOG_SLOTS; i++)
            if (purgelog_origin(p->log, i) != 0 && purgelog_applied(p->log, i) < p->slots[i].sync) return;
    }
    p->active_epoch = p->epoch;
    p->active_ns = now_ns;
    if (p->first_active_ns == 0) p->first_active_ns = now_ns;
    purging_lease_activated(p, now_ns);
}

/* A number that was never asked for is farther from the present than any that was, and changes nothing. */
static void note_answered(const struct purging *p, uint32_t from, uint32_t round) {
    struct purging_peer *peer = purging_peer(p, from);
    if (p->lease.rounds - round < p->lease.rounds - peer->answered) peer->answered = round;
}

void purging_poll_answered(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    note_answered(p, from, m->stream);
    if (!p->begun) begin(p, m);
    if (!p->begun) return;
    if (is_activating(p)) synchronise(p, now_ns, from, m);
    if (m->flags & PEER_PURGE_BEGUN) lacks(p, now_ns, from, m);
    purging_lease_answered(p, now_ns, from, m);
    if (is_activating(p)) pull(p, now_ns);
}

/* ------------------------------------------------------------------ time */

/* Who owes several answers is behind a line that is slow or loses much. More polls would wait in it in front of each
 * other, until no answer comes in time for its round to count. asked: the last round before this one. */
static bool is_prompt(const struct purging *p, uint32_t member, uint32_t asked) {
    const struct purging_peer *peer = purging_peer(p, member);
    return member == p->number || (peer != NULL && peer->up && asked - peer->answered < PROMPT_ROUNDS);
}

static bool most_are_prompt(const struct purging *p) {
    unsigned prompt = 0;
    for (unsigned i = 0; i < p->nvoters; i++) prompt += is_prompt(p, p->voters[i].member, p->lease.rounds);
    return prompt > p->nvoters / 2;
}

bool purging_poll_hurries(const struct purging *p, uint64_t now_ns) {
    return !p->begun || is_activating(p) || !purging_lease_held(p, now_ns);
}

void purging_poll_tick(struct purging *p, uint64_t now_ns) {
    const bool hurry = purging_poll_hurries(p, now_ns), all = !hurry || now_ns >= p->poll_all_ns;
    const bool old = !p->begun || is_activating(p); /* asks the previous voters, too */
    p->poll_ns = now_ns + (hurry && HURRY_MS * MS < p->poll_every_ns ? HURRY_MS * MS : p->poll_every_ns);
    if (p->number == 0) return;
    purging_poll_activate(p, now_ns);
    if (all)
        p->poll_all_ns = now_ns + p->poll_every_ns;
    else if (!most_are_prompt(p))
        return; /* a round without a majority brings no lease, and takes the place of one that may */
    const uint32_t asked = p->lease.rounds, round = purging_lease_ask(p, now_ns);
    for (unsigned i = 0; i < p->nvoters; i++)
        if (all || is_prompt(p, p->voters[i].member, asked)) poll_member(p, p->voters[i].member, round);
    for (unsigned i = 0; old && i < p->nprevious; i++)
        if (purging_seat(p, p->previous[i]) < 0 && (all || is_prompt(p, p->previous[i], asked)))
            poll_member(p, p->previous[i], round);
}

void purging_poll_repair(struct purging *p, uint64_t now_ns) {
    pull(p, now_ns);
    purging_poll_activate(p, now_ns);
}
