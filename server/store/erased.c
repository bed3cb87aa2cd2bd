/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/erased.h"

#include "store/segment.h"
#include "store/state.h"

void erased_retired(struct store *s, uint32_t segment) {
    struct erase *e = &s->maintain.erase;
    uint32_t n = 0;
    if (!s->cfg.erase) return;
    e->done[segment] = 0;
    for (uint32_t i = 0; i < e->n; i++)
        if (segment_of(&s->segs, e->list[i].loc) != segment) e->list[n++] = e->list[i];
    if (n < e->n && !e->awaited[segment]) {
        e->awaited[segment] = true;
        e->nawaited++;
    }
    e->n = n;
    if (e->at == segment) e->offset = SEGMENT_NONE;
}

void erased_freed(struct store *s, uint32_t segment) {
    struct erase *e = &s->maintain.erase;
    if (!s->cfg.erase || !e->awaited[segment]) return;
    e->awaited[segment] = false;
    e->nawaited--;
}
