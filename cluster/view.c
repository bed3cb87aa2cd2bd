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

void view_set_strip(struct view *v, const char *prefix) {
    const size_t n = prefix == NULL ? 0 : strlen(prefix);
    v->nstrip = n <= VIEW_STRIP_MAX ? (unsigned)n : 0;
    if (v->nstrip > 0) memcpy(v->strip, prefix, n);
}

/* The same keys without what is not hashed. */
static void owners_stripped(const struct view *v, const char *const key[], const uint32_t len[], unsigned n,
                            uint16_t owner[], uint64_t since[]) {
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
        ring_owners(v->ring, p, bytes, some, owner + from, since == NULL ? NULL : since + from);
    }
}

void view_owners(const struct view *v, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]) {
    if (v->ring != NULL && v->nstrip > 0) {
        owners_stripped(v, key, len, n, owner, since);
        return;
    }
    if (v->ring != NULL) {
        ring_owners(v->ring, key, len, n, owner, since);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        owner[i] = v->only;
        since[i] = 0;
    }
}
