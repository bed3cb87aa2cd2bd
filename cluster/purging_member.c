/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Every member: takes events in order, applies each purge once, acknowledges. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/check.h"
#include "cluster/purging_state.h"

/* ------------------------------------------------------------------ the log */

int purging_member_log(struct purging *p, int slot, const uint8_t *record, bool repeated) {
    const struct purge_via via = purge_event_via(record);
    const uint32_t entry = p->out.used > 0 ? outbox_find(&p->out, via) : OUTBOX_NONE;
    struct purging_run *last = p->nruns > 0 ? &p->runs[(p->first_run + p->nruns - 1) % RUNS] : NULL;
    struct outbox_entry *e = entry != OUTBOX_NONE ? &p->out.entries[entry] : NULL;
    if ((last == NULL || last->slot != slot) && p->nruns == RUNS) return -ENOSPC;
    if (e != NULL && (e->local || e->came) && !MUTATED(MUTATION_OWN_TWICE)) repeated = true;
    const int err = purgelog_append(p->log, slot, record, repeated);
    if (err != 0) return err;
    const uint64_t sequence = purgelog_last(p->log, slot);
    if (last != NULL && last->slot == slot)
        last->upto = sequence;
    else
        p->runs[(p->first_run + p->nruns++) % RUNS] = (struct purging_run){sequence, slot};
    if (e == NULL) return 0;
    if (e->local && !e->came) p->nlocal--;
    e->came = true;
    if (e->list < OUTBOX_SLOTS) {
        outbox_identify(&p->out, entry, slot, sequence);
        outbox_set_todo(&p->out, entry, false);
    }
    return 0;
}

/* ------------------------------------------------------------------ applying */

/* All of the slot up to `sequence` is applied. */
static void complete(struct purging *p, int slot, uint64_t sequence) {
    if (sequence <= purgelog_applied(p->log, slot)) return; /* a floor has overtaken it */
    for (unsigned i = 0; i < p->slots[slot].npushers; i++)
        if (p->slots[slot].pushers[i].upto > purgelog_applied(p->log, slot)) p->slots[slot].pushers[i].due = true;
    purgelog_set_applied(p->log, slot, sequence);
    if (p->events.acked != NULL) p->events.acked(p->events.arg, p->number, purgelog_origin(p->log, slot), sequence);
    p->slots[slot].count = true;
}

/* Makes the next batch of a slot, of events up to `upto`: as many as go into one step. Returns the last of them. */
static uint64_t make_batch(struct purging *p, int slot, uint64_t upto) {
    const uint64_t from = purgelog_applied(p->log, slot) + 1;
    unsigned count = 0, ntags = 0;
    size_t room = PURGE_EVENT_ONE_TAG * PURGING_BATCH_SELECTORS;
    purgelog_copy(p->log, slot, from, upto, p->records, room, &count);
    if (count == 0) purgelog_copy(p->log, slot, from, upto, p->records, sizeof p->records, &count);
    CHECK(count > 0); /* what is not applied stays in the log */
    const uint8_t *record = p->records;
    uint64_t done = from - 1;
    p->batch = (struct purging_batch){.selectors = p->batch_selectors, .sources = p->batch_sources};
    for (unsigned i = 0; i < count; i++, done++, record += purge_event_size(record)) {
        if (purge_event_repeated(record)) {
            p->counters.repeated++;
            continue;
        }
        const unsigned n = purge_event_nselectors(record);
        const bool soft = purge_event_soft(record);
        const uint32_t ttl_s = purge_event_ttl_s(record);
        const bool counted = purge_event_counted(record);
        if (p->batch.nselectors > 0 &&
            (p->batch.nselectors + n > PURGING_BATCH_SELECTORS || soft != p->batch.soft ||
             (soft && ttl_s != p->batch.ttl_s) || counted || p->batch.counted)) /* a counted one is a batch by itself */
            break;
        p->batch.counted = counted;
        p->batch.via = purge_event_via(record);
        p->batch.soft = soft;
        p->batch.ttl_s = ttl_s;
        ntags += purge_event_selectors(record, p->batch_selectors + p->batch.nselectors, p->batch_tags + ntags);
        for (unsigned k = 0; k < n; k++)
            p->batch_sources[p->batch.nselectors++] =
                (struct purging_source){p->batch.via, purgelog_origin(p->log, slot), done + 1};
    }
    return done;
}

void purging_member_apply(struct purging *p) {
    while (!p->applying && p->nruns > 0) {
        const struct purging_run run = p->runs[p->first_run];
        if (run.slot < 0 ||
            purgelog_applied(p->log, run.slot) >= run.upto) { /* done, or a floor or an end overtook it */
            p->first_run = (p->first_run + 1) % RUNS;
            p->nruns--;
            continue;
        }
        const uint64_t upto = make_batch(p, run.slot, run.upto);
        if (p->batch.nselectors > 0 && !p->events.apply(p->events.arg, &p->batch)) {
            p->applying = true;
            p->applying_slot = run.slot;
            p->applying_upto = upto;
            return;
        }
        complete(p, run.slot, upto);
    }
}

bool purging_member_apply_alone(struct purging *p, uint32_t entry) {
    const uint8_t *record = outbox_record(&p->out, entry);
    if (p->applying) return false;
    p->batch = (struct purging_batch){.selectors = p->batch_selectors,
                                      .sources = p->batch_sources,
                                      .nselectors = purge_event_nselectors(record),
                                      .soft = purge_event_soft(record),
                                      .counted = purge_event_counted(record),
                                      .via = purge_event_via(record),
                                      .ttl_s = purge_event_ttl_s(record)};
    for (unsigned k = 0; k < p->batch.nselectors; k++)
        p->batch_sources[k] = (struct purging_source){.via = p->batch.via};
    purge_event_selectors(record, p->batch_selectors, p->batch_tags);
    p->applying = !p->events.apply(p->events.arg, &p->batch);
    p->applying_slot = -1;
    return true;
}

void purging_applied(struct purging *p, uint64_t now_ns) {
    (void)now_ns;
    if (!p->applying) return;
    p->applying = false;
    if (p->applying_slot >= 0) complete(p, p->applying_slot, p->applying_upto);
    purging_member_apply(p);
}

/* A batch of the slot that takes time counts as applied from here on: it will be, and no later batch is before it. */
void purging_member_end_batch(struct purging *p, int slot) {
    if (!p->applying || p->applying_slot != slot) return;
    p->applying_slot = -1;
    if (p->applying_upto > purgelog_applied(p->log, slot)) purgelog_set_applied(p->log, slot, p->applying_upto);
}

/* ------------------------------------------------------------------ receiving */

/* Raises the floor over what nobody sends any more, and goes on behind it. */
static void skip(struct purging *p, int slot, uint64_t sequence, uint64_t star) {
    /* what came and is not applied yet is dropped, too */
    const bool everything = star > purgelog_applied(p->log, slot) && !MUTATED(MUTATION_HORIZON_NO_STAR);
    if (!MUTATED(MUTATION_NO_HORIZON_FLOOR)) p->events.floor(p->events.arg, everything);
    p->counters.floors++;
    p->slots[slot].behind_ns = 0;
    purging_member_end_batch(p, slot);
    purgelog_reset(p->log, slot, sequence, star < sequence ? star : sequence);
    p->slots[slot].count = true;
}

/* A log that begins too late is believed only if nobody else's reaches back further: a newcomer's log is short, and a
 * floor costs every tagged item. True: others are asked first. */
static bool ask_others(struct purging *p, uint64_t now_ns, int slot, uint32_t from, uint64_t sequence) {
    struct purging_slot *s = &p->slots[slot];
    if (s->behind_ns == 0) s->behind_ns = now_ns;
    if (now_ns >= s->behind_ns + PATIENCE_MS * MS) return false;
    if (s->need <= purgelog_last(p->log, slot)) s->need_since_ns = 0; /* pull at once */
    if (s->need < sequence) {
        s->need = sequence;
        s->need_from = from;
    }
    return true;
}

/* Takes the records that follow what there is. False: they begin later than that. */
static bool take(struct purging *p, uint64_t now_ns, int slot, uint32_t from, const struct peer_purge *m) {
    uint64_t sequence = m->sequence;
    size_t at = 0, bytes;
    if (sequence > purgelog_last(p->log, slot) + 1) {
        if (m->flags & PEER_PURGE_HORIZON) {
            if (ask_others(p, now_ns, slot, from, sequence - 1)) return true;
            skip(p, slot, sequence - 1, m->star);
        } else if (MUTATED(MUTATION_MAX_SEQUENCE) && m->events_bytes > 0) {
            purgelog_reset(p->log, slot, sequence - 1, m->star);
        } else {
            return false;
        }
    }
    for (; at < m->events_bytes; at += bytes, sequence++) {
        bytes = purge_event_check(m->events + at, m->events_bytes - at);
        if (bytes == 0) {
            p->counters.malformed++;
            break;
        }
        if (sequence <= purgelog_last(p->log, slot)) continue;
        if (purging_member_log(p, slot, m->events + at, false) != 0) break; /* no room just now: sent again */
        p->counters.received++;
        p->slots[slot].behind_ns = 0; /* what is lacking now may be in other logs */
    }
    return true;
}

/* Notes that a member waits for an acknowledgement of the slot's events. */
static void note_pusher(struct purging *p, int slot, uint32_t member, const struct peer_purge *m, bool gap) {
    struct purging_slot *s = &p->slots[slot];
    const uint64_t last = purgelog_last(p->log, slot);
    unsigned i = 0;
    while (i < s->npushers && s->pushers[i].member != member) i++;
    if (i == PUSHERS) { /* the one that is longest there asks again */
        memmove(s->pushers, s->pushers + 1, (PUSHERS - 1) * sizeof *s->pushers);
        i--;
    } else if (i == s->npushers) {
        s->npushers++;
    }
    s->pushers[i] = (struct purging_pusher){.member = member,
                                            .stream = m->stream,
                                            .upto = m->sequence - 1 > last ? m->sequence - 1 : last,
                                            .due = true,
                                            .gap = gap};
}

void purging_member_events(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    const int slot = purgelog_slot(p->log, m->origin);
    const bool pulled = m->flags & PEER_PURGE_PULLED;
    if (!p->begun) return;
    if (m->sequence == 0 || m->sequence > PURGELOG_SEQUENCE_MAX) {
        p->counters.malformed++;
        return;
    }
    if (slot < 0) { /* retired: everybody has all of it; or newer than the configuration here */
        struct peer_purge ack = {.kind = PEER_PURGE_ACK, .flags = PEER_PURGE_ALL, .origin = m->origin};
        if (!pulled && m->version <= p->version && m->origin < p->next_number) purging_send(p, from, &ack);
        return;
    }
    const struct purging_slot *s = &p->slots[slot];
    bool gap = false;
    /* of a closing origin only what somebody gives who knows that it closes */
    const bool takes = slot != p->own_slot && (s->closing == 0 || (pulled && m->version >= s->closing));
    if (takes) gap = !take(p, now_ns, slot, from, m);
    if (!pulled) note_pusher(p, slot, from, m, gap);
}

/* ------------------------------------------------------------------ acknowledging */

void purging_member_flush(struct purging *p, uint64_t now_ns) {
    const bool voter = purging_votes(p);
    const uint32_t flags = voter ? PEER_PURGE_ACTIVE | purging_lease_holds(p, now_ns) : 0;
    unsigned nlapsed = UINT_MAX; /* not looked for yet */
    for (int i = 0; i < purgelog_end(p->log); i++) {
        struct purging_slot *s = &p->slots[i];
        for (unsigned n = 0; n < s->npushers; n++) {
            struct purging_pusher *to = &s->pushers[n];
            if (!to->due) continue;
            if (nlapsed == UINT_MAX) nlapsed = voter ? purging_lease_lapsed(p, now_ns, p->lapsed) : 0;
            struct peer_purge ack = {.kind = PEER_PURGE_ACK,
                                     .flags = (to->gap ? PEER_PURGE_GAP : 0) | flags,
                                     .lacks = p->lapsed,
                                     .nlacks = nlapsed,
                                     .origin = purgelog_origin(p->log, i),
                                     .stream = to->stream,
                                     .sequence = MUTATED(MUTATION_ACK_EARLY) ? purgelog_last(p->log, i)
                                                                             : purgelog_applied(p->log, i)};
            to->due = to->gap = false;
            purging_send(p, to->member, &ack);
        }
    }
}
