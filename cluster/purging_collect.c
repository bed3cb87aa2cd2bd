/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sending an origin's events to all members, and collecting their acknowledgements. A voter does it
 * for its own origin; whoever is asked about an event does it for another's, up to that event. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/purging_state.h"

static void begin_stream(const struct purging *p, const struct purging_slot *s, int slot, struct purging_stream *t,
                         uint64_t now_ns) {
    /* Of another's events a member most likely has all: it is asked first, and sent only what it lacks. */
    const uint64_t applied = purgelog_applied(p->log, slot);
    const uint64_t from = s->want == UINT64_MAX ? s->confirmed : applied;
    t->sent = from > t->acked ? from : t->acked;
    t->stream++;
    t->frames = 0;
    t->progress_ns = s->want == UINT64_MAX ? now_ns : 0;
}

int purging_collect_begin(struct purging *p, uint64_t now_ns, int slot, uint64_t want) {
    struct purging_slot *s = &p->slots[slot];
    if (want <= s->everything && want != UINT64_MAX) return 0;
    if (s->collecting) {
        if (want > s->want) s->want = want;
        return 0;
    }
    s->streams = calloc(p->npeers + 1, sizeof *s->streams); /* one more, so that none is no special case */
    if (s->streams == NULL) return -ENOMEM;
    s->collecting = true;
    s->want = want;
    for (unsigned i = 0; i < p->npeers; i++) begin_stream(p, s, slot, &s->streams[i], now_ns);
    s->count = true;
    return 0;
}

void purging_collect_end(struct purging *p, int slot) {
    struct purging_slot *s = &p->slots[slot];
    purging_confirm_forget(s, true);
    free(s->streams);
    s->streams = NULL;
    s->collecting = false;
}

void purging_collect_link(struct purging *p, uint64_t now_ns, unsigned peer) {
    for (int i = 0; i < purgelog_end(p->log); i++)
        if (p->slots[i].collecting) begin_stream(p, &p->slots[i], i, &p->slots[i].streams[peer], now_ns);
}

/* ------------------------------------------------------------------ sending */

/* Sends one frame of the stream, without records if there are none to send. Returns how many it held. */
static unsigned send_frame(struct purging *p, int slot, unsigned peer) {
    struct purging_slot *s = &p->slots[slot];
    struct purging_stream *t = &s->streams[peer];
    const uint64_t applied = purgelog_applied(p->log, slot), begin = purgelog_begin(p->log, slot);
    const uint64_t upto = s->want < applied ? s->want : applied;
    struct peer_purge m = {.kind = PEER_PURGE_EVENTS,
                           .origin = purgelog_origin(p->log, slot),
                           .stream = t->stream,
                           .star = purgelog_star(p->log, slot),
                           .events = p->frame};
    unsigned count = 0;
    if (t->sent < begin && begin <= applied) {
        t->sent = begin;
        m.flags = PEER_PURGE_HORIZON;
    }
    m.sequence = t->sent + 1;
    if (t->sent < upto)
        m.events_bytes = purgelog_copy(p->log, slot, m.sequence, upto, p->frame, sizeof p->frame, &count);
    t->sent += count;
    p->counters.frames_out += count > 0;
    purging_send(p, p->peers[peer].number, &m);
    return count;
}

void purging_collect_flush(struct purging *p, uint64_t now_ns) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        const struct purging_slot *s = &p->slots[i];
        if (!s->collecting) continue;
        const uint64_t applied = purgelog_applied(p->log, i), upto = s->want < applied ? s->want : applied;
        for (unsigned n = 0; n < p->npeers; n++) {
            struct purging_stream *t = &s->streams[n];
            if (!p->peers[n].up) continue;
            if (t->sent == t->acked && t->sent < upto)
                t->progress_ns = now_ns; /* the first since everything was acknowledged */
            while (t->sent < upto && t->frames < WINDOW_FRAMES && t->sent - t->acked < WINDOW_EVENTS) {
                t->frames++;
                if (send_frame(p, i, n) == 0) break;
            }
        }
    }
}

/* Asks members that have not acknowledged for a while what they have. */
void purging_collect_tick(struct purging *p, uint64_t now_ns) {
    for (int i = 0; i < purgelog_end(p->log); i++) {
        struct purging_slot *s = &p->slots[i];
        if (!s->collecting) continue;
        const uint64_t applied = purgelog_applied(p->log, i), upto = s->want < applied ? s->want : applied;
        for (unsigned n = 0; n < p->npeers; n++) {
            struct purging_stream *t = &s->streams[n];
            if (!p->peers[n].up || now_ns < t->progress_ns + RESEND_MS * MS) continue;
            if (t->acked >= upto && !purging_confirm_wants_vote(p, i, p->peers[n].number, upto)) continue;
            t->progress_ns = now_ns;
            struct peer_purge m = {.kind = PEER_PURGE_EVENTS,
                                   .origin = purgelog_origin(p->log, i),
                                   .stream = t->stream,
                                   .sequence = t->sent + 1,
                                   .star = purgelog_star(p->log, i)};
            purging_send(p, p->peers[n].number, &m);
        }
    }
}

/* ------------------------------------------------------------------ acknowledgements */

void purging_collect_acked(struct purging *p, uint64_t now_ns, unsigned peer, const struct peer_purge *m) {
    const int slot = purgelog_slot(p->log, m->origin);
    if (slot < 0 || !p->slots[slot].collecting) return;
    struct purging_slot *s = &p->slots[slot];
    struct purging_stream *t = &s->streams[peer];
    if (m->version > p->version) return; /* it may speak of members that this node does not know: asked again later */
    const uint64_t acked = m->flags & PEER_PURGE_ALL ? PURGELOG_SEQUENCE_MAX : m->sequence;
    if (acked > purgelog_last(p->log, slot) && !(m->flags & PEER_PURGE_ALL) && s->want == UINT64_MAX) {
        p->counters.malformed++; /* nobody has more of this origin than the origin */
        return;
    }
    if (acked > t->acked) {
        const bool low = t->acked <= s->confirmed;
        t->acked = acked;
        if (p->events.acked != NULL) p->events.acked(p->events.arg, p->peers[peer].number, m->origin, acked);
        t->progress_ns = now_ns;
        t->frames = 0;
        if (t->sent < acked) t->sent = acked < purgelog_last(p->log, slot) ? acked : purgelog_last(p->log, slot);
        if (low && acked > s->confirmed && s->low > 0) s->low--;
        if (s->low == 0 || p->npeers <= COUNT_ALWAYS) s->count = true;
    }
    purging_confirm_vote(p, slot, p->peers[peer].number, m);
    if (m->flags & PEER_PURGE_GAP && m->stream == t->stream && t->acked < t->sent) {
        t->sent = t->acked;
        t->stream++;
        t->frames = 0;
        t->progress_ns = now_ns;
    }
}

uint32_t purging_collect_have(const struct purging *p, int slot, uint64_t sequence, uint32_t *members) {
    const struct purging_slot *s = &p->slots[slot];
    uint32_t have = purgelog_applied(p->log, slot) >= sequence;
    *members = p->npeers + 1;
    if (sequence <= s->confirmed && !s->collecting && (s->told_members == 0 || sequence > s->told_upto))
        return *members;
    if (s->collecting) {
        for (unsigned i = 0; i < p->npeers; i++) have += s->streams[i].acked >= sequence;
    } else if (s->told_members > 0 && sequence <= s->told_upto) {
        uint32_t lack = 0;
        for (unsigned i = 0; i < s->nlacks; i++) lack += s->lacks[i].sequence < sequence;
        *members = s->told_members;
        have = lack < s->told_members ? s->told_members - lack : have;
    }
    return have;
}

unsigned purging_collect_lacks(const struct purging *p, int slot, uint64_t upto, struct peer_purge_lack *out,
                               unsigned max) {
    const struct purging_slot *s = &p->slots[slot];
    unsigned n = 0;
    if (purgelog_applied(p->log, slot) < upto && n < max)
        out[n++] = (struct peer_purge_lack){p->number, purgelog_applied(p->log, slot)};
    for (unsigned i = 0; i < p->npeers && n < max; i++)
        if (s->streams[i].acked < upto) out[n++] = (struct peer_purge_lack){p->peers[i].number, s->streams[i].acked};
    return n;
}
