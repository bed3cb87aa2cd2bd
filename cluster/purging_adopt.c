/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A new configuration: who the peers are, which origins count, the own seat, the floors of epochs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/purging_state.h"

/* ------------------------------------------------------------------ peers */

/* The present members but this node, with what is known of those that were peers already. NULL: no memory. */
static struct purging_peer *make_peers(const struct purging *p, const struct configuration *c, uint32_t number,
                                       unsigned *n) {
    struct purging_peer *peers = calloc(c->nmembers + 1, sizeof *peers);
    *n = 0;
    for (unsigned i = 0; peers != NULL && i < c->nmembers; i++) {
        const struct configuration_member *m = &c->members[i];
        if (m->state == CONFIGURATION_EJECTED || m->number == number) continue;
        const struct purging_peer *old = purging_peer(p, m->number);
        if (old != NULL)
            peers[*n] = *old;
        else
            peers[*n].number = m->number;
        peers[*n].answered = p->lease.rounds; /* older rounds are void (purging_lease_adopt) */
        ++*n;
    }
    return peers;
}

/* The streams of a collector, by the new peers; what a member has acknowledged it still has. NULL: no memory. */
static struct purging_stream *make_streams(const struct purging *p, const struct purging_slot *s,
                                           const struct purging_peer *peers, unsigned npeers, uint64_t now_ns) {
    struct purging_stream *streams = calloc(npeers + 1, sizeof *streams);
    for (unsigned i = 0; streams != NULL && i < npeers; i++) {
        const struct purging_peer *old = purging_peer(p, peers[i].number);
        if (old != NULL)
            streams[i] = s->streams[old - p->peers];
        else
            streams[i] = (struct purging_stream){.sent = s->confirmed, .progress_ns = now_ns};
    }
    return streams;
}

/* Exchanges peers and streams, all or nothing. 0 or -ENOMEM. */
static int exchange_peers(struct purging *p, uint64_t now_ns, const struct configuration *c, uint32_t number) {
    struct purging_stream *streams[PURGELOG_SLOTS] = {NULL};
    unsigned npeers;
    struct purging_peer *peers = make_peers(p, c, number, &npeers);
    bool failed = peers == NULL;
    for (int i = 0; i < purgelog_end(p->log) && !failed; i++) {
        if (!p->slots[i].collecting) continue;
        streams[i] = make_streams(p, &p->slots[i], peers, npeers, now_ns);
        failed = streams[i] == NULL;
    }
    if (failed) {
        for (int i = 0; i < purgelog_end(p->log); i++) free(streams[i]);
        free(peers);
        return -ENOMEM;
    }
    for (int i = 0; i < purgelog_end(p->log); i++)
        if (streams[i] != NULL) {
            free(p->slots[i].streams);
            p->slots[i].streams = streams[i];
        }
    for (unsigned i = 0, n = 0; i < p->npeers; i++) { /* both are ascending */
        while (n < npeers && peers[n].number < p->peers[i].number) n++;
        if (n == npeers || peers[n].number != p->peers[i].number) free(p->peers[i].polled);
    }
    free(p->peers);
    p->peers = peers;
    p->npeers = npeers;
    return 0;
}

/* ------------------------------------------------------------------ origins */

/* The purge is no event any more, and is submitted anew. applied: if it had come back, it is applied here (or a floor
 * is raised before anything is served again), though the vector does not show it from now on. */
static void forget_event(struct purging *p, uint64_t now_ns, uint32_t i, bool applied) {
    struct outbox_entry *e = &p->out.entries[i];
    if (e->came && applied) e->local = true;
    if (e->came && e->local) p->nlocal++;
    e->came = false;
    purging_submit_unidentify(p, i, now_ns);
    outbox_set_todo(&p->out, i, true);
}

/* The events of this list died with their voter. */
static void forget_events(struct purging *p, uint64_t now_ns, unsigned list) {
    for (uint32_t i; (i = outbox_first(&p->out, list)) != OUTBOX_NONE;) {
        if (p->out.entries[i].via.number == 0) {
            purging_tell(p, i, PURGING_UNKNOWN);
            outbox_remove(&p->out, i);
        } else {
            forget_event(p, now_ns, i, false);
        }
    }
}

static void close_slot(struct purging *p, uint64_t now_ns, int slot) {
    struct purging_slot *s = &p->slots[slot];
    const uint64_t applied = purgelog_applied(p->log, slot);
    p->retired[p->nretired++ % RETIRED] = (struct peer_purge_seen){purgelog_origin(p->log, slot), applied, 0};
    purging_confirmed_upto(p, slot, applied, applied); /* all of a retired origin is applied everywhere */
    forget_events(p, now_ns, OUTBOX_SLOTS + (unsigned)slot);
    forget_events(p, now_ns, OUTBOX_STARS + (unsigned)slot);
    purging_collect_end(p, slot);
    free(s->lacks);
    *s = (struct purging_slot){0};
    purging_member_end_batch(p, slot);
    purgelog_close(p->log, slot, true);
    for (unsigned i = 0; i < p->nruns; i++) {
        struct purging_run *run = &p->runs[(p->first_run + i) % RUNS];
        if (run->slot == slot) run->slot = -1;
    }
    for (unsigned i = 0; i < p->npeers; i++)
        if (p->peers[i].polled != NULL) p->peers[i].polled[slot] = UINT64_MAX;
}

static bool counts(const struct configuration *c, uint32_t origin) {
    for (unsigned i = 0; i < c->norigins; i++)
        if (c->origins[i] == origin) return true;
    return false;
}

static void adopt_origins(struct purging *p, uint64_t now_ns, const struct configuration *c) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        const uint32_t origin = purgelog_origin(p->log, i);
        if (origin != 0 && !counts(c, origin)) close_slot(p, now_ns, i);
        p->slots[i].closing = 0;
    }
    for (unsigned i = 0; i < c->norigins; i++)
        if (c->origins[i] != 0 && purgelog_slot(p->log, c->origins[i]) < 0)
            CHECK(purgelog_open(p->log, c->origins[i]) >=
                  0); /* there are as many slots as origins in a configuration */
    for (unsigned i = 0; i < c->nclosing; i++) {
        const int slot = purgelog_slot(p->log, c->closing[i].origin);
        if (slot >= 0) p->slots[slot].closing = c->closing[i].version;
    }
}

/* ------------------------------------------------------------------ the own number */

/* Puts the events of the own origin that are not confirmed into the outbox, so that they are submitted anew. */
static void resubmit_own(struct purging *p, uint64_t now_ns) {
    for (int i = 0; i < PURGELOG_SLOTS; i++) {
        if (p->slots[i].want != UINT64_MAX) continue;
        for (uint64_t s = p->slots[i].confirmed + 1; s <= purgelog_last(p->log, i); s++) {
            const uint8_t *record = purgelog_at(p->log, i, s);
            uint32_t entry;
            if (record == NULL || outbox_find(&p->out, purge_event_via(record)) != OUTBOX_NONE) continue;
            if (outbox_add(&p->out, record, now_ns, &entry) != 0) return; /* their askers do it, too */
            p->out.entries[entry].came = true;
            forget_event(p, now_ns, entry, true);
        }
    }
}

/* This process is no member any more, or another one: its vector counts for nothing. The outbox stays. */
static void leave_number(struct purging *p, uint64_t now_ns) {
    resubmit_own(p, now_ns);
    for (unsigned list = OUTBOX_SLOTS; list < OUTBOX_TODO; list++)
        for (uint32_t i; (i = outbox_first(&p->out, list)) != OUTBOX_NONE;) {
            if (p->out.entries[i].via.number == 0) {
                purging_tell(p, i, PURGING_PENDING);
                outbox_remove(&p->out, i);
                continue;
            }
            forget_event(p, now_ns, i, true);
        }
    for (int i = 0; i < PURGELOG_SLOTS; i++) {
        purging_collect_end(p, i);
        free(p->slots[i].lacks);
        p->slots[i] = (struct purging_slot){0};
        if (purgelog_origin(p->log, i) == 0) continue;
        purging_member_end_batch(p, i);
        purgelog_leave(p->log, i, p->number);
    }
    p->nruns = 0;
    p->sits = false;
    p->own_slot = -1;
    p->begun = false;
    p->active_epoch = 0;
    p->first_active_ns = 0;
    p->entered = 0;
}

/* ------------------------------------------------------------------ the whole */

/* The own seat: its origin's events are this node's to number and to see through. 0 or -ENOMEM. */
static int take_seat(struct purging *p, uint64_t now_ns) {
    p->sits = false;
    p->own_slot = -1;
    for (unsigned i = 0; i < p->nvoters; i++)
        if (p->voters[i].member == p->number && p->number != 0) {
            p->sits = true;
            p->own_slot = purgelog_slot(p->log, p->voters[i].origin);
        }
    if (p->own_slot < 0) return 0;
    struct purging_slot *s = &p->slots[p->own_slot];
    if (s->collecting && s->want == UINT64_MAX) return 0;
    return purging_collect_begin(p, now_ns, p->own_slot, UINT64_MAX);
}

/* Whether the configuration, or one before it that this member has not seen, was recovered from some node's: nothing
 * else skips as many epochs while a process stays a member. Half of what a recovery skips is enough, as this member may
 * have entered epochs behind the one that was gone on from. */
static bool was_recovered(const struct purging *p, const struct configuration *c) {
    return c->floor_epoch >= p->entered + CONFIGURATION_RECOVERY_SKIPS / 2 && !MUTATED(MUTATION_RECOVERED_KEEPS);
}

/* Floors, and whether this node has a vector now. knows_all: no purge was confirmed without this member. */
static void enter_epoch(struct purging *p, uint64_t now_ns, const struct configuration *c, bool knows_all) {
    const bool fresh_seat = c->floor_epoch == c->epoch && p->sits;
    if (p->begun && c->floor_epoch > p->entered) {
        /* Purges of before may be known to nobody any more. Those of everything are known to every member; but a
         * recovery lists as members those of an earlier configuration, and this one may have been ejected since. */
        if ((c->nvoters >= 3 || !knows_all) && !MUTATED(MUTATION_NO_EPOCH_FLOOR)) {
            p->events.floor(p->events.arg, !knows_all && was_recovered(p, c));
            p->lease.ends = (struct lease_ends){0, 0};
        }
    } else if (!p->begun && (c->version == 1 || fresh_seat)) {
        p->events.floor(p->events.arg, true);
        p->begun = true;
    }
    if (c->epoch > p->entered) p->entered = c->epoch;
    purging_poll_activate(p, now_ns);
}

int purging_adopt(struct purging *p, uint64_t now_ns, const struct configuration *c, uint32_t number) {
    if (p->number != 0 && number == p->number && c->version <= p->version) return 0;
    const bool epoch = c->epoch != p->epoch, same = number == p->number;
    /* Since this member serves without leases every purge has waited for it, and it knew all that were confirmed when
     * it began to. That there are fewer than three voters now is not enough: it may still lack what was confirmed when
     * there were three. */
    const bool knows_all = p->lease.ends.tag_ns == LEASE_ENDLESS;
    purging_lease_eject(p, now_ns, c);
    if (exchange_peers(p, now_ns, c, number) != 0) return -ENOMEM;
    if (p->number != 0 && !same) leave_number(p, now_ns);
    p->number = number;
    p->version = c->version;
    p->epoch = c->epoch;
    p->floor_epoch = c->floor_epoch;
    p->next_number = c->next_number;
    p->poll_every_ns = (c->tag_lease_ms != 0 ? c->tag_lease_ms : 1000) * MS / 4;
    p->sealed = false;
    purging_lease_adopt(p, now_ns, c, same, epoch);
    for (int i = 0; i < purgelog_end(p->log); i++) purging_confirm_forget(&p->slots[i], epoch);
    p->nvoters = c->nvoters;
    for (unsigned i = 0; i < c->nvoters; i++)
        p->voters[i] = (struct purging_seat){c->voters[i].member, c->voters[i].origin};
    p->nprevious = c->nprevious;
    for (unsigned i = 0; i < c->nprevious; i++) p->previous[i] = c->previous[i].member;
    if (number == 0) return 0;
    adopt_origins(p, now_ns, c);
    if (epoch) {
        p->sync_active = p->sync_holds = false;
        p->sync_from = 0;
        for (int i = 0; i < purgelog_end(p->log); i++) p->slots[i].sync = 0;
    }
    const int err = take_seat(p, now_ns);
    enter_epoch(p, now_ns, c, knows_all);
    for (int i = 0; i < purgelog_end(p->log); i++) p->slots[i].count = purgelog_origin(p->log, i) != 0;
    if (purging_peer(p, p->voter) == NULL || !purging_peer(p, p->voter)->up) purging_submit_again(p, now_ns);
    p->poll_ns = p->poll_all_ns = now_ns;
    return err;
}
