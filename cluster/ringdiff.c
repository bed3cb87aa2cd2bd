/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/ringdiff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* same[i]: the index in `to` of the i-th member of `from`, or RING_NONE. */
static uint16_t *match(const struct ring *from, const struct ring *to) {
    uint16_t *same = calloc(ring_nmembers(from), sizeof *same);
    if (!same) return NULL;
    for (unsigned i = 0; i < ring_nmembers(from); i++) same[i] = (uint16_t)ring_find(to, &ring_member(from, i)->id);
    return same;
}

static void add(struct ringdiff *d, struct ringdiff_arc arc) {
    if (d->n > 0) {
        struct ringdiff_arc *before = &d->arcs[d->n - 1];
        if (before->last + 1 == arc.first && before->from == arc.from && before->to == arc.to) {
            before->last = arc.last;
            return;
        }
    }
    d->arcs[d->n++] = arc;
}

static void compare(struct ringdiff *d, const struct ring *old, const struct ring *next, const uint16_t *new_of,
                    const uint16_t *old_of) {
    struct ring_arcs a = ring_arcs(old), b = ring_arcs(next);
    uint32_t first = 0, last;
    for (unsigned i = 0, j = 0; i < a.n && j < b.n; first = last + 1) {
        unsigned from = a.owner[i], to = b.owner[j];
        last = a.last[i] < b.last[j] ? a.last[i] : b.last[j];
        if (new_of[from] != to) {
            uint64_t points = (uint64_t)last + 1 - first;
            d->moved += points;
            if (new_of[from] != RING_NONE && old_of[to] != RING_NONE) d->moved_between_staying += points;
            add(d, (struct ringdiff_arc){first, last, (uint16_t)from, (uint16_t)to});
        }
        if (a.last[i] == last) i++;
        if (b.last[j] == last) j++;
    }
}

int ringdiff_new(const struct ring *old, const struct ring *next, struct ringdiff **out) {
    struct ringdiff *d = calloc(1, sizeof *d);
    uint16_t *new_of = match(old, next), *old_of = match(next, old);
    if (d) d->arcs = calloc((size_t)ring_arcs(old).n + ring_arcs(next).n, sizeof *d->arcs);
    int err = d && d->arcs && new_of && old_of ? 0 : -ENOMEM;
    if (!err) {
        compare(d, old, next, new_of, old_of);
        *out = d;
    } else {
        ringdiff_free(d);
    }
    free(new_of);
    free(old_of);
    return err;
}

void ringdiff_free(struct ringdiff *d) {
    if (!d) return;
    free(d->arcs);
    free(d);
}

uint64_t ringdiff_points(const struct ringdiff *d, unsigned from, unsigned to) {
    uint64_t points = 0;
    for (unsigned i = 0; i < d->n; i++)
        if ((from == RING_NONE || d->arcs[i].from == from) && (to == RING_NONE || d->arcs[i].to == to))
            points += (uint64_t)d->arcs[i].last + 1 - d->arcs[i].first;
    return points;
}
