/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/retire.h"

#include "base/fault.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/cold.h"
#include "store/erased.h"
#include "store/handle.h"
#include "store/segment.h"
#include "store/state.h"

void retire_init(struct retire *r) {
    *r = (struct retire){.list = {SEGMENT_NONE, SEGMENT_NONE, 0}};
}

void retire_segment(struct store *s, uint32_t i) {
    struct segment_list *l = &s->maintain.retire.list;
    uint32_t *target = s->maintain.compact.target;
    struct segment *g = &s->segs.seg[i];
    account_empty(s, i);
    erased_retired(s, i);
    if (target[sync_load(&g->queue)] == i) target[sync_load(&g->queue)] = SEGMENT_NONE; /* it is filled no further */
    cold_left(s, i);
    segment_unqueue(&s->segs, i);
    sync_store_rel(&g->state, SEGMENT_RETIRED);
    g->sealed_at = epoch_advance(&s->epoch);
    g->next = SEGMENT_NONE;
    g->prev = l->tail;
    if (l->tail == SEGMENT_NONE)
        l->head = i;
    else
        s->segs.seg[l->tail].next = i;
    l->tail = i;
    l->count++;
}

bool retire_is_pinned(const struct store *s, uint32_t i) {
    for (unsigned k = 0; k < s->nhandles; k++)
        if (sync_load_seq(&s->handles[k].pins[i])) return true;
    return false;
}

bool retire_reap(struct store *s) {
    struct retire *own = &s->maintain.retire;
    bool any = false;
    own->stuck = 0;
    for (uint32_t i = own->list.head, next; i != SEGMENT_NONE; i = next) {
        struct segment *g = &s->segs.seg[i];
        next = g->next;
        /* The later ones wait even longer. */
        if (!epoch_passed(&s->epoch, g->sealed_at) && !FAULT_POINT("evict.mutate.no_grace")) break;
        if (retire_is_pinned(s, i) && !FAULT_POINT("evict.mutate.no_pins")) {
            own->stuck++;
            continue;
        }
        *(g->prev == SEGMENT_NONE ? &own->list.head : &s->segs.seg[g->prev].next) = g->next;
        *(g->next == SEGMENT_NONE ? &own->list.tail : &s->segs.seg[g->next].prev) = g->prev;
        own->list.count--;
        segment_free(&s->segs, i);
        erased_freed(s, i);
        any = true;
    }
    return any;
}
