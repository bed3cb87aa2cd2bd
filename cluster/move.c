/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/move.h"

#include <errno.h>
#include <stdlib.h>

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
    int r = ring_copy(before, &m->before);
    if (r == 0) r = ringdiff_new(before, after, &m->diff);
    m->nreceivers = ring_nmembers(after);
    if (r == 0 && (m->receiver = calloc(m->nreceivers, sizeof *m->receiver)) == NULL) r = -ENOMEM;
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
    free(m->receiver);
    written_free(m->written);
    free(m);
}

unsigned move_receiver(const struct move *m, uint32_t number) {
    for (unsigned i = 0; i < m->nreceivers; i++)
        if (number != 0 && m->receiver[i] == number) return i;
    return RING_NONE;
}

unsigned move_donor(const struct move *m, uint32_t number) {
    for (unsigned i = 0; i < m->ndonors; i++)
        if (number != 0 && m->donor[i].number == number) return i;
    return RING_NONE;
}

unsigned move_taker(const struct move *m, uint32_t point, uint64_t *since) {
    unsigned low = 0, high = m->diff->n; /* the first arc that does not end before the point */
    *since = UINT64_MAX;
    while (low < high) {
        const unsigned middle = low + (high - low) / 2;
        if (m->diff->arcs[middle].last < point)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == m->diff->n || m->diff->arcs[low].first > point || m->diff->arcs[low].from != m->self) return RING_NONE;
    *since = ring_since(m->before, point);
    return m->diff->arcs[low].to;
}

void move_set_state(struct move *m, unsigned donor, enum move_state s) {
    const enum move_state was = move_state(m, donor);
    if (was == s) return;
    sync_store_rel(&m->donor[donor].state, (uint32_t)s);
    if (was == MOVE_NONE) sync_add(&m->gaining, 1u);
    if (s == MOVE_NONE) sync_sub(&m->gaining, 1u);
}
