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
    free(v->members);
    free(v->state);
    free(v);
}

void view_owners(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]) {
    if (v->ring != NULL) {
        ring_owners(v->ring, key, len, n, owner, since);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        owner[i] = v->only;
        since[i] = 0;
    }
}
