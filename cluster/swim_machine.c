/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What goes into the machine, and when it wants the time: swim.h. */
#include "cluster/swim.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/swim_state.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define CLEAN_NS (60 * SECOND) /* how often tombstones are looked at */

void swim_timing_default(struct swim_timing *t) {
    *t = (struct swim_timing){.probe_ns = 500 * MS,
                              .timeout_ns = 200 * MS,
                              .gossip_ns = 200 * MS,
                              .sync_ns = 30 * SECOND,
                              .retry_ns = 10 * SECOND,
                              .lonely_ns = SECOND,
                              .tombstone_ns = 72 * 3600 * SECOND,
                              .helpers = 3,
                              .fanout = 3,
                              .transmits = 4,
                              .suspicion = 4,
                              .suspicion_max = 6};
}

struct swim *swim_new(const struct swim_config *config, uint64_t now_ns) {
    const struct swim_timing *t = &config->timing;
    CHECK(config->boot > 0 && config->boot <= PEER_SWIM_NUMBER_MAX && !cluster_id_is_zero(&config->id));
    CHECK(t->timeout_ns > 0 && t->timeout_ns < t->probe_ns && t->helpers <= SWIM_HELPERS_MAX);
    CHECK(t->gossip_ns > 0 && t->sync_ns > 0 && t->retry_ns > 0 && t->lonely_ns > 0);
    struct swim *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->timing = *t;
    s->now = now_ns;
    rand_init(&s->rand, config->seed);
    s->number = (uint32_t)rand_next(&s->rand);
    members_init(&s->members, rand_next(&s->rand));
    for (unsigned i = 0; i < SWIM_LEVELS; i++) s->level[i] = MEMBER_NONE;
    const struct peer_swim_update self = {.id = config->id,
                                          .boot = config->boot,
                                          .state = PEER_SWIM_ALIVE,
                                          .name = config->name,
                                          .address = config->address};
    if (member_add(&s->members, &self, now_ns) != SWIM_SELF) {
        swim_free(s);
        return NULL;
    }
    s->suspicion_ns = s->gossip_ns = s->relay_ns = SWIM_NEVER;
    swim_probe_start(s, now_ns + rand_below(&s->rand, t->probe_ns));
    s->sync_ns = now_ns + rand_below(&s->rand, t->sync_ns);
    s->retry_ns = now_ns;
    s->clean_ns = now_ns + CLEAN_NS;
    return s;
}

void swim_free(struct swim *s) {
    if (s == NULL) return;
    members_fini(&s->members);
    for (unsigned i = 0; i < s->nseeds; i++) free(s->seeds[i].address);
    free(s->suspicions);
    free(s->order);
    free(s);
}

/* ---- Members ---- */

void swim_changed(struct swim *s, unsigned slot, enum swim_change change) {
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_CHANGED, .slot = slot, .change = change});
}

bool swim_order_add(struct swim *s, unsigned slot) {
    if (s->norder == s->order_room) {
        const unsigned room = s->order_room == 0 ? 8 : s->order_room * 2;
        uint16_t *order = realloc(s->order, room * sizeof *order);
        if (order == NULL) return false;
        s->order = order;
        s->order_room = room;
    }
    /* At a random place of those whose turn is still to come. */
    const unsigned place = s->order_at + (unsigned)rand_below(&s->rand, s->norder - s->order_at + 1);
    s->order[s->norder++] = s->order[place];
    s->order[place] = (uint16_t)slot;
    return true;
}

void swim_drop(struct swim *s, unsigned slot) {
    swim_changed(s, slot, SWIM_REMOVED);
    swim_untell(s, slot);
    for (unsigned i = 0; i < s->norder; i++) {
        if (s->order[i] != slot) continue;
        s->order[i] = s->order[--s->norder];
        if (s->order_at > s->norder) s->order_at = s->norder;
        break;
    }
    if (s->probe.slot == slot) swim_probe_void(s);
    member_remove(&s->members, slot);
}

static bool is_one_of(unsigned slot, const unsigned slots[], unsigned n) {
    for (unsigned i = 0; i < n; i++)
        if (slots[i] == slot) return true;
    return false;
}

unsigned swim_pick(struct swim *s, const unsigned not_these[], unsigned n) {
    if (s->norder == 0) return MEMBER_NONE;
    const unsigned start = (unsigned)rand_below(&s->rand, s->norder);
    for (unsigned i = 0; i < s->norder; i++) {
        const unsigned slot = s->order[(start + i) % s->norder];
        if (member_is_active(&s->members.all[slot]) && !is_one_of(slot, not_these, n)) return slot;
    }
    return MEMBER_NONE;
}

/* Removes whoever is gone for so long that no message can tell of it any more. */
static void clean_due(struct swim *s) {
    if (s->now < s->clean_ns) return;
    s->clean_ns = s->now + CLEAN_NS;
    for (unsigned slot = SWIM_SELF + 1; slot < s->members.nslots; slot++) {
        const struct member *m = member_at(&s->members, slot);
        if (m == NULL || member_is_active(m) || s->now - m->since_ns < s->timing.tombstone_ns) continue;
        if (m->state == PEER_SWIM_LEFT || member_is_superseded(&s->members, slot)) swim_drop(s, slot);
    }
}

/* ---- Inputs ---- */

static void meta_heard(struct swim *s, unsigned slot, const struct peer_swim *m) {
    if (m->nmeta == 0) return;
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_META, .slot = slot, .bytes = m->meta, .n = m->nmeta});
}

static void datagram_in(struct swim *s, const struct swim_in *in) {
    if (!swim_knows(s, &in->from, in->boot)) {
        s->counts.unknown_senders++;
        return;
    }
    for (unsigned i = 0; i < in->datagram->nupdates; i++) swim_evidence(s, &in->datagram->updates[i], NULL);
    const unsigned slot = member_find(&s->members, &in->from); /* the updates may have changed the table */
    if (slot == MEMBER_NONE || slot == SWIM_SELF) return;
    meta_heard(s, slot, in->datagram);
    swim_probe_datagram(s, slot, in->datagram);
}

static void forget_in(struct swim *s, const struct cluster_id *id) {
    const unsigned slot = member_find(&s->members, id);
    if (slot == MEMBER_NONE || s->members.all[slot].state != PEER_SWIM_DEAD) return;
    member_set_state(&s->members, slot, PEER_SWIM_LEFT, s->now);
    swim_tell(s, slot);
    swim_changed(s, slot, SWIM_ENDED);
}

static void leave_in(struct swim *s) {
    if (s->leaving) return;
    s->leaving = true;
    member_set_state(&s->members, SWIM_SELF, PEER_SWIM_LEFT, s->now);
    swim_tell(s, SWIM_SELF);
}

/* Who leaves is done when its update went to as many as it takes, or nobody is there to hear it. */
static void leave_due(struct swim *s) {
    if (!s->leaving || s->left) return;
    if (swim_active(s) > 0 && swim_self(s)->sent != UINT8_MAX) return;
    s->left = true;
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_LEFT});
}

static void boot_in(struct swim *s, uint64_t boot) {
    struct member *self = swim_self(s);
    if (boot <= self->boot || boot > PEER_SWIM_NUMBER_MAX) return;
    self->boot = boot;
    self->incarnation = 0;
    s->sync_ns = s->now; /* over TCP: this node's datagrams are a stranger's now */
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

uint64_t swim_next_ns(const struct swim *s) {
    uint64_t next = earlier(s->suspicion_ns, s->clean_ns);
    next = earlier(next, swim_probe_next(s));
    next = earlier(next, s->gossip_ns);
    return s->leaving ? next : earlier(next, earlier(s->sync_ns, s->retry_ns));
}

/* Deadlines are looked at here only, so that a process that was stopped first reads what came in the meantime. The time
 * that it was stopped does not count: others had no chance to reach it. */
static void time_in(struct swim *s) {
    const uint64_t due = swim_next_ns(s);
    if (s->now > due && s->now - due > s->timing.timeout_ns) {
        swim_suspicions_wait(s, s->now - due);
        swim_probe_void(s);
        swim_worsen(s, 1);
    }
    swim_suspicions_due(s);
    swim_probe_due(s);
    swim_gossip_due(s);
    swim_sync_due(s);
    clean_due(s);
}

void swim_input(struct swim *s, uint64_t now_ns, const struct swim_in *in, const struct swim_sink *sink) {
    s->sink = sink;
    if (now_ns > s->now) s->now = now_ns;
    switch (in->kind) {
    case SWIM_IN_TIME: time_in(s); break;
    case SWIM_IN_DATAGRAM: datagram_in(s, in); break;
    case SWIM_IN_PONG_TCP: swim_probe_pong(s, &in->from, in->boot, in->number); break;
    case SWIM_IN_FAILED_TCP: swim_probe_refused(s, in->number); break;
    case SWIM_IN_SYNC: swim_sync_in(s, in); break;
    case SWIM_IN_SEEDS: swim_seeds_in(s, in); break;
    case SWIM_IN_FORGET: forget_in(s, &in->from); break;
    case SWIM_IN_LEAVE: leave_in(s); break;
    case SWIM_IN_META:
        s->nmeta = in->n < PEER_SWIM_META_MAX ? in->n : PEER_SWIM_META_MAX;
        if (s->nmeta > 0) memcpy(s->meta, in->bytes, s->nmeta);
        break;
    case SWIM_IN_BOOT: boot_in(s, in->boot); break;
    }
    leave_due(s);
    s->sink = NULL;
}

/* ---- Looking on ---- */

const struct members *swim_members(const struct swim *s) {
    return &s->members;
}

bool swim_knows(const struct swim *s, const struct cluster_id *id, uint64_t boot) {
    const struct member *m = member_at(&s->members, member_find(&s->members, id));
    return m != NULL && m->boot == boot && m != swim_self(s);
}

unsigned swim_awareness(const struct swim *s) {
    return s->awareness;
}

const struct swim_counts *swim_counts(const struct swim *s) {
    return &s->counts;
}
