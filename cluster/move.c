/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/move.h"

#include <errno.h>
#include <stdlib.h>

/* A ring of the same members. */
static int copy_ring(const struct ring *r, struct ring **out) {
    const unsigned n = ring_nmembers(r);
    struct ring_member *m = calloc(n, sizeof *m);
    if (m == NULL) return -ENOMEM;
    for (unsigned i = 0; i < n; i++) m[i] = *ring_member(r, i);
    const int e = ring_new(ring_version(r), m, n, out);
    free(m);
    return e;
}

int move_new(const struct ring *before, const struct ring *after, uint16_t self, uint16_t self_after,
             uint64_t memory_limit, const struct cover_cell *cover, struct move **out) {
    struct move *m = calloc(1, sizeof *m + ring_nmembers(before) * sizeof m->donor[0]);
    if (m == NULL) return -ENOMEM;
    m->refs = 1;
    m->ring_version = ring_version(after);
    m->self = self;
    m->self_after = self_after;
    m->cover = cover;
    m->ndonors = ring_nmembers(before);
    int r = copy_ring(before, &m->before);
    if (r == 0) r = ringdiff_new(before, after, &m->diff);
    if (r == 0 && memory_limit > 0 && (m->written = written_new(memory_limit)) == NULL) r = -ENOMEM;
    if (r != 0) {
        move_put(m);
        return r;
    }
    *out = m;
    return 0;
}

struct move *move_get(struct move *m) {
    sync_add(&m->refs, 1u);
    return m;
}

void move_put(struct move *m) {
    if (m == NULL || sync_sub_rel(&m->refs, 1u) != 1) return;
    ring_free(m->before);
    ringdiff_free(m->diff);
    written_free(m->written);
    free(m);
}

void move_set_state(struct move *m, unsigned donor, enum move_state s) {
    const enum move_state was = move_state(m, donor);
    if (was == s) return;
    sync_store_rel(&m->donor[donor].state, (uint32_t)s);
    if (was == MOVE_NONE) sync_add(&m->gaining, 1u);
    if (s == MOVE_NONE) sync_sub(&m->gaining, 1u);
}
