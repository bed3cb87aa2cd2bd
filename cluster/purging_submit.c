/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The asked node: its outbox goes to a voter, to itself if it is one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/purging_state.h"

/* ------------------------------------------------------------------ which voter */

/* The first voter behind the present one, in the order of seats, that can be reached; itself if it is active. */
static void choose(struct purging *p, uint64_t now_ns) {
    unsigned from = p->number; /* different members begin with different voters */
    if (p->nvoters == 0) return;
    for (unsigned i = 0; i < p->nvoters; i++)
        if (p->voters[i].member == p->voter && p->voter != 0) from = i + 1;
    p->voter = 0;
    for (unsigned i = 0; i < p->nvoters && p->voter == 0; i++) {
        const uint32_t member = p->voters[(from + i) % p->nvoters].member;
        const struct purging_peer *peer = purging_peer(p, member);
        if (peer != NULL && peer->up) p->voter = member;
    }
    p->heard_ns = now_ns;
}

/* An entry that this node collects acknowledgements for needs no voter. */
static bool settled_here(const struct purging *p, const struct outbox_entry *e) {
    const struct purging_slot *s = e->list >= OUTBOX_SLOTS ? &p->slots[outbox_slot(e)] : NULL;
    return s != NULL && s->collecting && e->sequence <= s->want;
}

void purging_submit_unidentify(struct purging *p, uint32_t i, uint64_t now_ns) {
    const struct outbox_entry *e = &p->out.entries[i];
    if (e->list >= OUTBOX_SLOTS) /* else it had none that this node has told */
        p->renamed[p->nrenamed++ % RENAMED] =
            (struct purging_name){e->sequence, e->via, purgelog_origin(p->log, outbox_slot(e))};
    outbox_unidentify(&p->out, i, now_ns);
}

void purging_submit_again(struct purging *p, uint64_t now_ns) {
    p->answered = p->submitted;
    choose(p, now_ns);
    for (unsigned list = OUTBOX_UNANSWERED; list < OUTBOX_TODO; list++)
        for (uint32_t i = outbox_first(&p->out, list), next; i != OUTBOX_NONE; i = next) {
            struct outbox_entry *e = &p->out.entries[i];
            next = outbox_next(&p->out, i);
            if (e->via.number == 0 || settled_here(p, e)) continue;
            /* a voter gave it an id, but the event is not here: perhaps nowhere */
            if (list >= OUTBOX_SLOTS && e->sequence > purgelog_last(p->log, outbox_slot(e)))
                purging_submit_unidentify(p, i, now_ns);
            outbox_set_todo(&p->out, i, true);
        }
}

void purging_submit_link(struct purging *p, uint64_t now_ns, uint32_t member, bool up) {
    if (!up && member == p->voter) purging_submit_again(p, now_ns);
    if (up && p->voter == 0) choose(p, now_ns);
}

/* ------------------------------------------------------------------ sending */

static void identify(struct purging *p, uint32_t i, int slot, uint64_t sequence) {
    outbox_identify(&p->out, i, slot, sequence);
    outbox_set_todo(&p->out, i, false);
}

static void confirmed(struct purging *p, uint32_t i) {
    const struct outbox_entry *e = &p->out.entries[i];
    if (e->via.number != 0) p->counters.confirmed++;
    if (e->local && !e->came) { /* this node's vector began behind the event */
        p->nlocal--;
        purgelog_remember(p->log, outbox_record(&p->out, i));
    }
    purging_tell(p, i, PURGING_CONFIRMED);
    outbox_remove(&p->out, i);
}

/* An active voter numbers its own purges. */
static void number_own(struct purging *p, uint64_t now_ns) {
    for (uint32_t i; (i = outbox_first(&p->out, OUTBOX_TODO)) != OUTBOX_NONE;) {
        const struct outbox_entry *e = &p->out.entries[i];
        uint64_t sequence;
        int slot;
        const bool fresh = e->list == OUTBOX_UNANSWERED && !e->numbered && e->since_ns + ALONE_MS * MS > now_ns;
        const struct purge_via via = e->via;
        const int err = purging_origin_number(p, now_ns, outbox_record(&p->out, i), e->local, &slot, &sequence);
        if (err == 0 && outbox_find(&p->out, via) != i) continue; /* that confirmed it: it is gone */
        if (err == 0 && slot < 0) {
            confirmed(p, i);
        } else if (err == 0) {
            identify(p, i, slot, sequence);
        } else if (fresh && e->place != OUTBOX_NONE) { /* it never left this node */
            purging_tell(p, i, PURGING_LOG_FULL);
            outbox_remove(&p->out, i);
        } else {
            return;
        }
    }
}

/* Sends one submission. False: nothing is left to send. */
static bool submit(struct purging *p, uint64_t now_ns) {
    struct peer_purge m = {.kind = PEER_PURGE_SUBMIT, .events = p->frame};
    for (uint32_t i; (i = outbox_first(&p->out, OUTBOX_TODO)) != OUTBOX_NONE;) {
        const uint8_t *record = outbox_record(&p->out, i);
        const size_t bytes = purge_event_size(record);
        if (m.events_bytes + bytes > sizeof p->frame) break;
        memcpy(p->frame + m.events_bytes, record, bytes);
        m.events_bytes += bytes;
        outbox_set_todo(&p->out, i, false);
    }
    if (m.events_bytes == 0) return false;
    if (p->answered == p->submitted) p->submitted_ns = now_ns;
    m.sequence = ++p->submitted;
    purging_send(p, p->voter, &m);
    return true;
}

void purging_submit_flush(struct purging *p, uint64_t now_ns) {
    for (int i = 0; p->out.used > 0 && i < purgelog_end(p->log); i++) purging_submit_confirmed(p, i);
    if (purging_can_number(p)) {
        number_own(p, now_ns);
        return;
    }
    if (now_ns < p->try_ns || outbox_first(&p->out, OUTBOX_TODO) == OUTBOX_NONE) return;
    if (p->voter == 0) choose(p, now_ns);
    while (p->voter != 0 && p->submitted - p->answered < SUBMIT_FRAMES && submit(p, now_ns)) {}
}

/* ------------------------------------------------------------------ answers */

void purging_submit_answer(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    uint32_t left = PEER_PURGE_EVENTS_MAX / PURGE_EVENT_MIN; /* more purges than that a submission does not hold */
    if (from != p->voter) return;
    for (unsigned i = 0; i < m->nruns && i < PEER_PURGE_RUNS_MAX; i++) {
        const struct peer_purge_run *r = &m->runs[i];
        const int slot = purgelog_slot(p->log, r->origin);
        for (uint32_t n = 0; n < r->count && left > 0; n++, left--) {
            const struct purge_via via = {r->via.number, r->via.counter + n};
            const uint32_t entry = via.counter <= PURGE_EVENT_COUNTER_MAX ? outbox_find(&p->out, via) : OUTBOX_NONE;
            if (entry == OUTBOX_NONE) continue;
            if (r->origin == 0) {
                confirmed(p, entry);
            } else if (slot >= 0) {
                identify(p, entry, slot, r->sequence + n);
            } else { /* an origin of a newer configuration: asked again when that is here */
                outbox_set_todo(&p->out, entry, true);
                p->try_ns = now_ns + REFUSED_MS * MS;
            }
        }
        if (slot >= 0) purging_submit_confirmed(p, slot);
    }
    if (m->sequence <= p->answered || m->sequence > p->submitted) return;
    p->answered = m->sequence;
    p->submitted_ns = p->heard_ns = now_ns;
    if (m->flags & (PEER_PURGE_REFUSED | PEER_PURGE_FULL)) {
        p->try_ns = now_ns + REFUSED_MS * MS;
        purging_submit_again(p, now_ns);
    }
}

void purging_submit_status(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    const int slot = purgelog_slot(p->log, m->origin);
    if (from == p->voter) p->heard_ns = now_ns;
    if (slot < 0 || m->sequence > PURGELOG_SEQUENCE_MAX || m->nlacks > PEER_PURGE_LACKS_MAX) return;
    struct purging_slot *s = &p->slots[slot];
    struct peer_purge_lack *lacks = m->nlacks > 0 ? malloc(m->nlacks * sizeof *lacks) : NULL;
    if (m->nlacks == 0 || lacks != NULL) {
        if (lacks != NULL) memcpy(lacks, m->lacks, m->nlacks * sizeof *lacks);
        free(s->lacks);
        s->lacks = lacks;
        s->nlacks = m->nlacks;
        s->told_members = m->members;
        s->told_upto = m->star;
    }
    purging_confirmed_upto(p, slot, m->sequence, m->everything < m->sequence ? m->everything : m->sequence);
    s->count = true;
}

static void confirm_list(struct purging *p, unsigned list, uint64_t upto) {
    for (uint32_t i; (i = outbox_first(&p->out, list)) != OUTBOX_NONE;) {
        if (p->out.entries[i].sequence > upto) return;
        confirmed(p, i);
    }
}

void purging_submit_confirmed(struct purging *p, int slot) {
    confirm_list(p, OUTBOX_SLOTS + (unsigned)slot, p->slots[slot].confirmed);
    confirm_list(p, OUTBOX_STARS + (unsigned)slot, p->slots[slot].everything);
}

/* ------------------------------------------------------------------ time */

/* Whether somebody has to answer: there are purges that this node does not see through itself. */
static bool waits_for_status(const struct purging *p) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        const uint32_t first[] = {outbox_first(&p->out, OUTBOX_SLOTS + (unsigned)i),
                                  outbox_first(&p->out, OUTBOX_STARS + (unsigned)i)};
        for (unsigned k = 0; k < 2; k++)
            if (first[k] != OUTBOX_NONE && !settled_here(p, &p->out.entries[first[k]])) return true;
    }
    return false;
}

/* What was submitted and has no answer though none is outstanding was lost: a voter whose configuration is older drops
 * what it gets from a member that it does not know. */
static void find_lost(struct purging *p) {
    if (p->answered < p->submitted) return;
    for (unsigned list = OUTBOX_UNANSWERED; list <= OUTBOX_LOCAL; list++)
        for (uint32_t i = outbox_first(&p->out, list); i != OUTBOX_NONE; i = outbox_next(&p->out, i))
            outbox_set_todo(&p->out, i, true);
}

void purging_submit_tick(struct purging *p, uint64_t now_ns) {
    const bool unanswered = p->answered < p->submitted && now_ns >= p->submitted_ns + VOTER_SILENT_MS * MS;
    const bool silent = waits_for_status(p) && now_ns >= p->heard_ns + STATUS_SILENT_MS * MS;
    if (unanswered || silent) purging_submit_again(p, now_ns);
    find_lost(p);
    for (uint32_t i; (i = outbox_first(&p->out, OUTBOX_UNANSWERED)) != OUTBOX_NONE;) {
        const struct outbox_entry *e = &p->out.entries[i];
        if (now_ns < e->since_ns + ALONE_MS * MS || (!e->came && !purging_member_apply_alone(p, i))) break;
        if (!e->came) {
            p->nlocal++;
            p->counters.alone++;
        }
        outbox_set_local(&p->out, i);
    }
}
