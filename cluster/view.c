/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Whether an arc of this node was gained while it had a store. */
static bool has_fences(const struct view *v) {
    if (v->ring == NULL) return false;
    const struct ring_arcs arcs = ring_arcs(v->ring);
    for (unsigned i = 0; i < arcs.n; i++)
        if (arcs.owner[i] == v->self && arcs.since[i] > 0) return true;
    return false;
}

int view_new(uint64_t version, struct ring *ring, const struct view_member *members, unsigned n, unsigned self,
             unsigned only, struct view **out) {
    if (n == 0 || n > RING_MEMBERS_MAX || (self >= n && self != VIEW_NOBODY)) return -EINVAL;
    if (ring == NULL ? only >= n : ring_nmembers(ring) > n) return -EINVAL;
    struct view *v = calloc(1, sizeof *v);
    if (v == NULL) return -ENOMEM;
    v->members = calloc(n, sizeof *v->members);
    v->state = calloc(n, sizeof *v->state);
    if (v->members == NULL || v->state == NULL) {
        view_free(v);
        return -ENOMEM;
    }
    memcpy(v->members, members, n * sizeof *v->members);
    v->ring_version = ring != NULL ? ring_version(ring) : version;
    v->ring = ring;
    v->self = (uint16_t)self;
    v->only = ring != NULL ? VIEW_NOBODY : (uint16_t)only;
    v->nmembers = n;
    v->fenced = has_fences(v);
    *out = v;
    return 0;
}

void view_free(struct view *v) {
    if (v == NULL) return;
    ring_free(v->ring);
    move_put(v->move);
    free(v->donor);
    free(v->members);
    free(v->state);
    free(v);
}

void view_set_strip(struct view *v, const char *prefix) {
    const size_t n = prefix == NULL ? 0 : strlen(prefix);
    v->nstrip = n <= VIEW_STRIP_MAX ? (unsigned)n : 0;
    if (v->nstrip > 0) memcpy(v->strip, prefix, n);
}

int view_set_move(struct view *v, struct move *m) {
    v->donor = calloc(m->ndonors, sizeof *v->donor);
    if (v->donor == NULL) return -ENOMEM;
    for (unsigned i = 0; i < m->ndonors; i++) {
        v->donor[i] = VIEW_NOBODY;
        for (unsigned j = 0; j < v->nmembers && m->donor[i].number != 0; j++)
            if (v->members[j].number == m->donor[i].number) v->donor[i] = (uint16_t)j;
    }
    v->move = move_get(m);
    return 0;
}

/* The owners in a ring, of the same keys without what is not hashed. */
static void owners_stripped(const struct view *v, const struct ring *ring, const char *const key[],
                            const uint32_t len[], unsigned n, uint16_t owner[], uint64_t since[]) {
    enum { BATCH = 64 };
    for (unsigned from = 0; from < n; from += BATCH) {
        const char *p[BATCH];
        uint32_t bytes[BATCH];
        const unsigned some = n - from < BATCH ? n - from : BATCH;
        for (unsigned i = 0; i < some; i++) {
            const bool has = len[from + i] >= v->nstrip && memcmp(key[from + i], v->strip, v->nstrip) == 0;
            p[i] = key[from + i] + (has ? v->nstrip : 0);
            bytes[i] = len[from + i] - (has ? v->nstrip : 0);
        }
        ring_owners(ring, p, bytes, some, owner + from, since == NULL ? NULL : since + from);
    }
}

static void owners_in(const struct view *v, const struct ring *ring, const char *const key[], const uint32_t len[],
                      unsigned n, uint16_t owner[], uint64_t since[]) {
    if (v->nstrip > 0)
        owners_stripped(v, ring, key, len, n, owner, since);
    else
        ring_owners(ring, key, len, n, owner, since);
}

void view_owners(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]) {
    if (v->ring != NULL) {
        owners_in(v, v->ring, key, len, n, owner, since);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        owner[i] = v->only;
        since[i] = 0;
    }
}

void view_donors(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t donor[]) {
    owners_in(v, v->move->before, key, len, n, donor, NULL);
    for (unsigned i = 0; i < n; i++)
        if (donor[i] == v->move->self || move_state(v->move, donor[i]) == MOVE_NONE) donor[i] = RING_NONE;
}

bool view_gave(const struct view *v, const char *key, uint32_t len, unsigned member, uint64_t *since) {
    uint16_t before, now;
    if (v->move == NULL || v->ring == NULL) return false;
    owners_in(v, v->move->before, &key, &len, 1, &before, since);
    owners_in(v, v->ring, &key, &len, 1, &now, NULL);
    return before == v->move->self && now == member && now != v->self;
}
