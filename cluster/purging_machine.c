/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/purging.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "cluster/purging_state.h"

int purging_new(const struct purging_config *cfg, uint64_t now_ns, struct purging **out) {
    struct purging *p = calloc(1, sizeof *p);
    if (p == NULL) return -ENOMEM;
    p->events = cfg->events;
    p->boot = cfg->boot;
    p->own_slot = -1;
    p->poll_every_ns = 250 * MS;
    p->tick_ns = NEVER;
    p->poll_ns = now_ns;
    if (purgelog_new(cfg->log_bytes, &p->log) != 0 || outbox_init(&p->out) != 0) {
        purging_free(p);
        return -ENOMEM;
    }
    *out = p;
    return 0;
}

void purging_free(struct purging *p) {
    if (p == NULL) return;
    for (int i = 0; i < PURGELOG_SLOTS; i++) {
        purging_collect_end(p, i);
        free(p->slots[i].lacks);
    }
    for (unsigned i = 0; i < p->npeers; i++) free(p->peers[i].polled);
    free(p->peers);
    purgelog_free(p->log);
    outbox_fini(&p->out);
    free(p);
}

/* ------------------------------------------------------------------ for the other files */

struct purging_peer *purging_peer(const struct purging *p, uint32_t number) {
    unsigned low = 0, high = p->npeers;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (p->peers[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->npeers && p->peers[low].number == number ? &p->peers[low] : NULL;
}

void purging_send(const struct purging *p, uint32_t member, struct peer_purge *m) {
    const struct purging_peer *peer = purging_peer(p, member);
    if (peer == NULL || !peer->up) return;
    m->version = p->version;
    m->epoch = p->epoch;
    p->events.send(p->events.arg, member, m);
}

bool purging_votes(const struct purging *p) {
    return p->sits && p->begun && !p->sealed && p->active_epoch == p->epoch;
}

bool purging_can_number(const struct purging *p) {
    return purging_votes(p) && p->own_slot >= 0;
}

static void describe(const struct purging *p, uint32_t i, struct purging_receipt *r) {
    const struct outbox_entry *e = &p->out.entries[i];
    *r = (struct purging_receipt){.status = PURGING_PENDING, .via = e->via, .members = p->npeers + 1};
    if (e->list >= OUTBOX_SLOTS) {
        const int slot = outbox_slot(e);
        r->origin = purgelog_origin(p->log, slot);
        r->sequence = e->sequence;
        r->acked = purging_collect_have(p, slot, e->sequence, &r->members);
    } else if (e->local) {
        r->status = PURGING_LOCAL;
        r->acked = 1;
    }
}

void purging_tell(struct purging *p, uint32_t entry, enum purging_status status) {
    struct purging_receipt r;
    const struct outbox_entry *e = &p->out.entries[entry];
    const bool waits = e->place != OUTBOX_NONE;
    const bool confirmed = status == PURGING_CONFIRMED && e->via.number != 0 && p->events.confirmed != NULL;
    if (!waits && !confirmed) return;
    const uint64_t token = e->token;
    if (waits) outbox_unwait(&p->out, entry);
    describe(p, entry, &r);
    if (status != PURGING_PENDING) r.status = status;
    /* an event of a retired origin is applied everywhere */
    if (status == PURGING_CONFIRMED && r.origin == 0) r.acked = r.members;
    if (confirmed) p->events.confirmed(p->events.arg, &r);
    if (waits) p->events.outcome(p->events.arg, token, &r);
}

/* ------------------------------------------------------------------ time */

/* Whether anything is under way that needs ticks. */
static bool busy(const struct purging *p) {
    if (p->out.used > 0) return true;
    for (int i = 0; i < purgelog_end(p->log); i++) {
        const struct purging_slot *s = &p->slots[i];
        if (purgelog_origin(p->log, i) == 0) continue;
        if (s->collecting && s->everything < purgelog_last(p->log, i)) return true;
        if (s->need > purgelog_last(p->log, i)) return true;
    }
    return false;
}

static void arm(struct purging *p, uint64_t now_ns) {
    if (p->tick_ns == NEVER && busy(p)) p->tick_ns = now_ns + TICK_MS * MS;
}

/* The highest sequence of a slot's origin that is known to be somewhere. */
static uint64_t known_of(const struct purging *p, int slot) {
    const uint64_t last = purgelog_last(p->log, slot), need = p->slots[slot].need;
    return need > last ? need : last;
}

/* When what was known at the time of the last look is applied, looks again. */
static void look_at_lag(struct purging *p, uint64_t now_ns) {
    bool reached = true, behind = false;
    for (int i = 0; i < purgelog_end(p->log); i++) {
        if (purgelog_origin(p->log, i) == 0) continue;
        const uint64_t applied = purgelog_applied(p->log, i), known = known_of(p, i);
        behind |= applied < known;
        reached &= applied >= known || applied >= p->slots[i].known;
    }
    if (!reached) return;
    p->lag_ns = behind && p->begun ? now_ns : 0;
    for (int i = 0; behind && i < purgelog_end(p->log); i++)
        if (purgelog_origin(p->log, i) != 0) p->slots[i].known = known_of(p, i);
}

void purging_flush(struct purging *p, uint64_t now_ns) {
    if (p->number != 0 && now_ns >= p->poll_ns) purging_poll_tick(p, now_ns);
    purging_submit_flush(p, now_ns);
    purging_member_apply(p);
    look_at_lag(p, now_ns);
    purging_poll_activate(p, now_ns);
    purging_lease_try(p);
    purging_confirm_flush(p, now_ns);
    purging_collect_flush(p, now_ns);
    purging_origin_flush(p);
    purging_member_flush(p, now_ns);
    arm(p, now_ns);
}

/* Tells those whose time is up how things are. */
static void expire(struct purging *p, uint64_t now_ns) {
    for (;;) {
        const uint32_t i = outbox_earliest(&p->out);
        if (i == OUTBOX_NONE || p->out.entries[i].deadline_ns > now_ns) return;
        purging_tell(p, i, PURGING_PENDING);
        if (p->out.entries[i].via.number == 0) outbox_remove(&p->out, i);
    }
}

void purging_time(struct purging *p, uint64_t now_ns) {
    if (now_ns >= p->tick_ns) {
        p->tick_ns = NEVER;
        purging_submit_tick(p, now_ns);
        purging_collect_tick(p, now_ns);
        purging_confirm_tick(p);
        purging_origin_tick(p, now_ns);
        purging_poll_repair(p, now_ns);
    }
    expire(p, now_ns);
    purging_flush(p, now_ns);
}

uint64_t purging_next_ns(const struct purging *p) {
    const uint32_t i = outbox_earliest(&p->out);
    uint64_t next = p->tick_ns;
    if (p->number != 0 && p->poll_ns < next) next = p->poll_ns;
    if (i != OUTBOX_NONE && p->out.entries[i].deadline_ns < next) next = p->out.entries[i].deadline_ns;
    return next;
}

/* ------------------------------------------------------------------ inputs */

void purging_seal(struct purging *p, bool sealed) {
    p->sealed = sealed && !MUTATED(MUTATION_NO_SEAL);
}

void purging_link(struct purging *p, uint64_t now_ns, uint32_t member, bool up) {
    struct purging_peer *peer = purging_peer(p, member);
    if (peer == NULL || peer->up == up) return;
    peer->up = up;
    purging_collect_link(p, now_ns, (unsigned)(peer - p->peers));
    purging_submit_link(p, now_ns, member, up);
    peer->answered = p->lease.rounds;
    if (up && purging_poll_hurries(p, now_ns)) p->poll_ns = p->poll_all_ns = now_ns;
}

void purging_receive(struct purging *p, uint64_t now_ns, uint32_t member, const struct peer_purge *m) {
    const struct purging_peer *peer = purging_peer(p, member);
    if (p->number == 0 || peer == NULL) return;
    if (m->version > p->version) p->events.newer(p->events.arg, member, m->version);
    switch (m->kind) {
    case PEER_PURGE_SUBMIT: purging_origin_submitted(p, now_ns, member, m); break;
    case PEER_PURGE_ANSWER: purging_submit_answer(p, now_ns, member, m); break;
    case PEER_PURGE_STATUS: purging_submit_status(p, now_ns, member, m); break;
    case PEER_PURGE_EVENTS: purging_member_events(p, now_ns, member, m); break;
    case PEER_PURGE_ACK: purging_collect_acked(p, now_ns, (unsigned)(peer - p->peers), m); break;
    case PEER_PURGE_POLL: purging_poll_asked(p, now_ns, member, m); break;
    case PEER_PURGE_POLL_ANSWER: purging_poll_answered(p, now_ns, member, m); break;
    case PEER_PURGE_PULL: purging_poll_pulled(p, member, m); break;
    case PEER_PURGE_COUNT:
    case PEER_PURGE_KINDS: p->counters.malformed++; break;
    }
    arm(p, now_ns);
}

/* ------------------------------------------------------------------ asking */

int purging_purge(struct purging *p, uint64_t now_ns, const struct purging_request *r, struct purge_via *via) {
    const struct purge_event e = {.via = {p->number, p->counter + 1},
                                  .soft = r->soft,
                                  .counted = r->counted,
                                  .ttl_s = r->ttl_s,
                                  .nselectors = r->nselectors,
                                  .selectors = r->selectors};
    uint32_t i;
    if (p->number == 0) return -ENOTCONN;
    if (purge_event_bytes(&e) == 0) return -EINVAL;
    purge_event_write(&e, p->records);
    const int err = outbox_add(&p->out, p->records, now_ns, &i);
    if (err != 0) return err;
    p->counter++;
    p->counters.sent++;
    outbox_wait(&p->out, i, r->token, now_ns + r->wait_ns);
    if (via != NULL) *via = e.via;
    return 0;
}

static void tell_now(struct purging *p, uint64_t token, enum purging_status status, uint32_t origin,
                     uint64_t sequence) {
    struct purging_receipt r = {.status = status, .members = p->npeers + 1, .origin = origin, .sequence = sequence};
    if (status == PURGING_CONFIRMED) r.acked = r.members;
    p->events.outcome(p->events.arg, token, &r);
}

/* Tells of an event that is not here. */
static void tell_absent(struct purging *p, uint64_t token, uint32_t origin, uint64_t sequence) {
    enum purging_status status = PURGING_UNKNOWN;
    struct purging_receipt r;
    for (unsigned n = 0; n < RETIRED; n++) /* all of a retired origin's are applied everywhere */
        if (sequence != 0 && p->retired[n].origin == origin && sequence <= p->retired[n].sequence)
            status = PURGING_CONFIRMED;
    for (unsigned n = 0; n < RENAMED && status == PURGING_UNKNOWN; n++) {
        if (sequence == 0 || p->renamed[n].origin != origin || p->renamed[n].sequence != sequence) continue;
        const uint32_t i = outbox_find(&p->out, p->renamed[n].via);
        status = PURGING_CONFIRMED; /* or it would be there still */
        if (i == OUTBOX_NONE) continue;
        describe(p, i, &r);
        p->events.outcome(p->events.arg, token, &r);
        return;
    }
    tell_now(p, token, status, origin, sequence);
}

int purging_ask_id(struct purging *p, uint64_t now_ns, uint32_t origin, uint64_t sequence, uint64_t wait_ns,
                   uint64_t token) {
    const int slot = purgelog_slot(p->log, origin);
    uint32_t i;
    if (p->number == 0) return -ENOTCONN;
    if (slot < 0 || sequence == 0 || sequence > purgelog_last(p->log, slot)) {
        tell_absent(p, token, origin, sequence);
        return 0;
    }
    const uint8_t *record = purgelog_at(p->log, slot, sequence);
    const bool everything = record == NULL || purge_event_everything(record);
    if (sequence <= (everything ? p->slots[slot].everything : p->slots[slot].confirmed)) {
        tell_now(p, token, PURGING_CONFIRMED, origin, sequence);
        return 0;
    }
    int err = outbox_watch(&p->out, slot, sequence, everything, now_ns, &i);
    if (err != 0) return err;
    outbox_wait(&p->out, i, token, now_ns + wait_ns);
    err = purging_collect_begin(p, now_ns, slot, sequence);
    if (err != 0) outbox_remove(&p->out, i);
    return err;
}

int purging_ask_via(struct purging *p, uint64_t now_ns, struct purge_via via, uint64_t wait_ns, uint64_t token) {
    const uint32_t i = outbox_find(&p->out, via);
    uint64_t sequence;
    int slot;
    if (i != OUTBOX_NONE && p->out.entries[i].list < OUTBOX_SLOTS) { /* no event yet */
        struct purging_receipt r;
        describe(p, i, &r);
        p->events.outcome(p->events.arg, token, &r);
        return 0;
    }
    if (i != OUTBOX_NONE)
        return purging_ask_id(p, now_ns, purgelog_origin(p->log, outbox_slot(&p->out.entries[i])),
                              p->out.entries[i].sequence, wait_ns, token);
    if (purgelog_find(p->log, via, &slot, &sequence) && slot < 0) {
        tell_now(p, token, PURGING_CONFIRMED, 0, 0);
        return 0;
    }
    if (purgelog_find(p->log, via, &slot, &sequence))
        return purging_ask_id(p, now_ns, purgelog_origin(p->log, slot), sequence, wait_ns, token);
    if (p->number == 0) return -ENOTCONN;
    tell_now(p, token, PURGING_UNKNOWN, 0, 0);
    return 0;
}

unsigned purging_lacking(const struct purging *p, uint32_t origin, uint64_t sequence, uint32_t *members, unsigned max) {
    const int slot = purgelog_slot(p->log, origin);
    unsigned n = 0;
    if (slot < 0) return 0;
    const struct purging_slot *s = &p->slots[slot];
    if (s->collecting) {
        for (unsigned i = 0; i < p->npeers && n < max; i++)
            if (s->streams[i].acked < sequence) members[n++] = p->peers[i].number;
    } else {
        for (unsigned i = 0; i < s->nlacks && n < max; i++)
            if (s->lacks[i].sequence < sequence) members[n++] = s->lacks[i].member;
    }
    if (purgelog_applied(p->log, slot) < sequence && n < max) members[n++] = p->number;
    return n;
}

bool purging_event(const struct purging *p, uint32_t origin, uint64_t sequence, struct purge_via *via, bool *soft) {
    const int slot = purgelog_slot(p->log, origin);
    const uint8_t *record = slot < 0 ? NULL : purgelog_at(p->log, slot, sequence);
    if (record == NULL) return false;
    *via = purge_event_via(record);
    *soft = purge_event_soft(record);
    return true;
}

void purging_pending(const struct purging *p, bool (*fn)(void *arg, const struct purging_receipt *r), void *arg) {
    struct purging_receipt r;
    for (unsigned list = OUTBOX_UNANSWERED; list < OUTBOX_TODO; list++)
        for (uint32_t i = outbox_first(&p->out, list); i != OUTBOX_NONE; i = outbox_next(&p->out, i)) {
            if (p->out.entries[i].via.number == 0) continue;
            describe(p, i, &r);
            if (!fn(arg, &r)) return;
        }
}

/* ------------------------------------------------------------------ facts */

unsigned purging_vector(const struct purging *p, struct peer_purge_seen *out) {
    const unsigned n = p->begun ? purgelog_vector(p->log, out) : 0;
    for (unsigned i = 0; MUTATED(MUTATION_VECTOR_AHEAD) && i < n; i++)
        out[i].sequence = purgelog_last(p->log, purgelog_slot(p->log, out[i].origin));
    return n;
}

uint64_t purging_hash(const struct purging *p) {
    return purgelog_hash(p->log);
}

bool purging_covers(const struct purging *p, const struct peer_purge_seen *vector, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        const int slot = purgelog_slot(p->log, vector[i].origin);
        if (slot >= 0 && purgelog_applied(p->log, slot) < vector[i].sequence) return false;
    }
    return true;
}

bool purging_active(const struct purging *p, uint64_t *since_ns) {
    *since_ns = p->active_ns;
    return purging_votes(p);
}

bool purging_begun(const struct purging *p) {
    return p->begun;
}

uint64_t purging_lag_ns(const struct purging *p, uint64_t now_ns) {
    return p->lag_ns == 0 || now_ns < p->lag_ns ? 0 : now_ns - p->lag_ns;
}

uint64_t purging_entered(const struct purging *p) {
    return p->entered;
}

uint32_t purging_local(const struct purging *p) {
    return p->nlocal;
}

void purging_read_counters(const struct purging *p, struct purging_counters *out) {
    *out = p->counters;
    out->pending = p->out.used;
}
