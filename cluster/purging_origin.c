/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The voter: makes events of purges and tells who submitted them what becomes of them. */
#include <errno.h>
#include <string.h>

#include "cluster/purging_state.h"

/* Makes a purge an event of the own origin; or, if its via is known, takes over to see that event through. */
int purging_origin_number(struct purging *p, uint64_t now_ns, const uint8_t *record, bool repeated, int *slot,
                          uint64_t *sequence) {
    if (!purging_can_number(p)) return -ENOTCONN;
    if (!MUTATED(MUTATION_NO_VIA) && purgelog_find(p->log, purge_event_via(record), slot, sequence))
        return *slot < 0 ? 0 : purging_collect_begin(p, now_ns, *slot, *sequence);
    const int err = purging_member_log(p, p->own_slot, record, repeated);
    if (err != 0) return err;
    p->counters.numbered++;
    *slot = p->own_slot;
    *sequence = purgelog_last(p->log, *slot);
    return 0;
}

/* Adds a purge to the runs of an answer. False: there are too many runs. */
static bool add_run(struct peer_purge_run *runs, unsigned *n, struct purge_via via, uint32_t origin,
                    uint64_t sequence) {
    if (*n > 0) {
        struct peer_purge_run *last = &runs[*n - 1];
        if (last->origin == origin && last->via.number == via.number &&
            last->via.counter + last->count == via.counter && last->sequence + last->count == sequence) {
            last->count++;
            return true;
        }
    }
    if (*n == PEER_PURGE_RUNS_MAX) return false;
    runs[(*n)++] = (struct peer_purge_run){.via = via, .origin = origin, .sequence = sequence, .count = 1};
    return true;
}

static void send_status(struct purging *p, unsigned peer, int slot) {
    struct purging_slot *s = &p->slots[slot];
    struct purging_stream *t = s->streams != NULL ? &s->streams[peer] : NULL;
    struct peer_purge_lack lacks[PEER_PURGE_LACKS_MAX];
    struct peer_purge m = {.kind = PEER_PURGE_STATUS,
                           .origin = purgelog_origin(p->log, slot),
                           .sequence = s->confirmed,
                           .everything = s->everything,
                           .members = p->npeers + 1,
                           .lacks = lacks};
    if (t != NULL) {
        m.star = t->asked;
        if (t->asked > t->told_everything)
            m.nlacks = purging_collect_lacks(p, slot, t->asked, lacks, PEER_PURGE_LACKS_MAX);
        t->told = s->confirmed;
        t->told_everything = s->everything;
    }
    purging_send(p, p->peers[peer].number, &m);
}

void purging_origin_submitted(struct purging *p, uint64_t now_ns, uint32_t from, const struct peer_purge *m) {
    const unsigned peer = (unsigned)(purging_peer(p, from) - p->peers);
    struct peer_purge_run runs[PEER_PURGE_RUNS_MAX];
    struct peer_purge answer = {.kind = PEER_PURGE_ANSWER, .sequence = m->sequence, .runs = runs};
    size_t at = 0, bytes;
    if (!purging_can_number(p)) answer.flags = PEER_PURGE_REFUSED;
    while (answer.flags == 0 && at < m->events_bytes &&
           (bytes = purge_event_check(m->events + at, m->events_bytes - at)) != 0) {
        const uint8_t *record = m->events + at;
        uint64_t sequence;
        int slot;
        if (purging_origin_number(p, now_ns, record, false, &slot, &sequence) != 0 ||
            !add_run(runs, &answer.nruns, purge_event_via(record), slot < 0 ? 0 : purgelog_origin(p->log, slot),
                     slot < 0 ? 0 : sequence)) {
            answer.flags = PEER_PURGE_FULL;
            break;
        }
        at += bytes;
        if (slot < 0) continue;
        struct purging_slot *s = &p->slots[slot];
        if (sequence <= s->everything)
            send_status(p, peer, slot);
        else if (s->streams != NULL && s->streams[peer].asked < sequence) {
            s->streams[peer].asked = sequence;
            s->streams[peer].status_ns = now_ns;
        }
    }
    if (answer.flags == 0 && at < m->events_bytes) p->counters.malformed++;
    purging_send(p, from, &answer);
}

/* Whether more is confirmed than who submitted purges was told. */
static bool is_news(const struct purging_slot *s, const struct purging_stream *t) {
    return (t->asked > t->told && s->confirmed > t->told) ||
           (t->asked > t->told_everything && s->everything > t->told_everything);
}

/* Tells who waits what is confirmed; then a collector that has done its work ends. */
void purging_origin_flush(struct purging *p) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        struct purging_slot *s = &p->slots[i];
        if (!s->tell || !s->collecting) continue;
        s->tell = false;
        for (unsigned n = 0; n < p->npeers; n++)
            if (is_news(s, &s->streams[n])) send_status(p, n, i);
        if (s->everything >= s->want) purging_collect_end(p, i);
    }
}

/* Tells who waits that it is still being worked on, and who lacks what. */
void purging_origin_tick(struct purging *p, uint64_t now_ns) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        struct purging_slot *s = &p->slots[i];
        for (unsigned n = 0; s->collecting && n < p->npeers; n++) {
            if (s->streams[n].asked <= s->everything || now_ns < s->streams[n].status_ns + STATUS_MS * MS) continue;
            s->streams[n].status_ns = now_ns;
            send_status(p, n, i);
        }
    }
}
