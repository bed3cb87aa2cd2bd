/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Push-pulls: both sides send their whole tables over TCP. With one member now and then; with seeds and dead members
 * for ever, so that a partition of any length heals. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cluster/swim_state.h"

#define SECOND UINT64_C(1000000000)
#define SCALE_FROM 32 /* members */
/* Whoever left is not told of any more for the last hour of its tombstone: nobody is to hear of it anew. */
#define QUIET_NS (3600 * SECOND)

/* ---- Out ---- */

static void start_with(struct swim *s, unsigned slot, const char *address, uint32_t number) {
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_SYNC, .slot = slot, .address = address, .number = number});
}

static uint64_t sync_interval(const struct swim *s) {
    unsigned times = 1;
    for (unsigned n = SCALE_FROM; n < swim_active(s); n *= 2) times++; /* 1 + ceil(log2(members / 32)) */
    return s->timing.sync_ns * times;
}

/* Whether trying this member could tell something new. */
static bool is_lost(const struct swim *s, unsigned slot) {
    const struct member *m = member_at(&s->members, slot);
    return m != NULL && slot != SWIM_SELF && m->state == PEER_SWIM_DEAD && !member_is_at(&s->members, m->address);
}

static bool seed_is_lost(const struct swim *s, const struct swim_seed *seed) {
    const struct member *m = member_at(&s->members, member_find(&s->members, &seed->answered));
    if (m == swim_self(s)) return false;
    return (m == NULL || !member_is_active(m)) && !member_is_at(&s->members, seed->address);
}

unsigned swim_lost(struct swim *s) {
    unsigned seen = 0, slot = MEMBER_NONE;
    for (unsigned i = 0; i < s->members.nslots; i++)
        if (is_lost(s, i) && rand_below(&s->rand, ++seen) == 0) slot = i;
    return slot;
}

/* One of all that are lost, each as likely; MEMBER_NONE and MEMBER_NONE: none. */
static void retry_one(struct swim *s) {
    unsigned seen = 0, slot = MEMBER_NONE, seed = MEMBER_NONE;
    for (unsigned i = 0; i < s->nseeds; i++)
        if (seed_is_lost(s, &s->seeds[i]) && rand_below(&s->rand, ++seen) == 0) seed = i;
    for (unsigned i = 0; i < s->members.nslots; i++)
        if (is_lost(s, i) && rand_below(&s->rand, ++seen) == 0) slot = i;
    if (slot != MEMBER_NONE)
        start_with(s, slot, s->members.all[slot].address, 0);
    else if (seed != MEMBER_NONE)
        start_with(s, MEMBER_NONE, s->seeds[seed].address, seed + 1);
}

void swim_sync_soon(struct swim *s) {
    s->retry_ns = s->now;
}

void swim_sync_due(struct swim *s) {
    if (s->leaving) return;
    if (s->retry_ns <= s->now) {
        const bool lonely = swim_active(s) < 2;
        s->retry_ns = s->now + (lonely ? s->timing.lonely_ns : s->timing.retry_ns);
        retry_one(s);
    }
    if (s->sync_ns > s->now) return;
    s->sync_ns = s->now + sync_interval(s);
    const unsigned slot = swim_pick(s, NULL, 0);
    if (slot != MEMBER_NONE) start_with(s, slot, s->members.all[slot].address, 0);
}

void swim_sync_part(const struct swim *s, unsigned *next, struct peer_swim_update *updates, unsigned max,
                    struct peer_sync *out) {
    size_t left = PEER_CONTROL_MAX - PEER_SYNC_HEAD_MAX;
    CHECK(max > 0 && max <= PEER_SYNC_UPDATES_MAX);
    out->nupdates = 0;
    out->updates = updates;
    for (; *next < s->members.nslots && out->nupdates < max; ++*next) {
        const struct member *m = member_at(&s->members, *next);
        if (m == NULL) continue;
        if (m->state == PEER_SWIM_LEFT && s->now - m->since_ns + QUIET_NS > s->timing.tombstone_ns) continue;
        struct peer_swim_update *u = &updates[out->nupdates];
        swim_update_of(s, *next, true, u);
        const size_t bytes = peer_swim_update_bytes(u);
        if (bytes > left) break;
        left -= bytes;
        out->nupdates++;
    }
    out->last = *next >= s->members.nslots;
}

/* ---- In ---- */

void swim_sync_in(struct swim *s, const struct swim_in *in) {
    const struct peer_sync *part = in->sync;
    const bool own = cluster_id_equal(&in->from, &swim_self(s)->id);
    if (part->reply && in->number > 0 && in->number <= s->nseeds) s->seeds[in->number - 1].answered = in->from;
    /* Who joins has no need to tell all members of all members. */
    if (swim_active(s) < 2) s->joined_from = in->from;
    s->quiet = cluster_id_equal(&s->joined_from, &in->from);
    if (!own)
        for (unsigned i = 0; i < part->nupdates; i++) swim_evidence(s, &part->updates[i], &in->from);
    s->quiet = false;
    if (part->last) s->joined_from = (struct cluster_id){0};
    if (!part->last || part->reply) return;
    swim_emit(s, &(struct swim_out){.kind = SWIM_OUT_SYNC, .slot = MEMBER_NONE, .link = in->link, .reply = true});
}

void swim_seeds_in(struct swim *s, const struct swim_in *in) {
    struct swim_seed seeds[SWIM_SEEDS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < in->n && n < SWIM_SEEDS_MAX; i++) {
        struct swim_seed *seed = &seeds[n];
        *seed = (struct swim_seed){.address = strdup(in->texts[i])};
        if (seed->address == NULL) continue;
        for (unsigned k = 0; k < s->nseeds; k++)
            if (strcmp(s->seeds[k].address, seed->address) == 0) seed->answered = s->seeds[k].answered;
        n++;
    }
    for (unsigned i = 0; i < s->nseeds; i++) free(s->seeds[i].address);
    memcpy(s->seeds, seeds, n * sizeof *seeds);
    s->nseeds = n;
    swim_sync_soon(s);
}
