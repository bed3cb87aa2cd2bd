/* SPDX-License-Identifier: BSD-3-Clause
 *
 * walk - showing all items of a store, step by step, while it changes. */
#include "store/walk.h"

#include "base/fault.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/record.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"
#include "store/verdict.h"

/* Shows the live items of one group; false if fn wants no more. */
static bool show_group(struct store_worker *w, uint64_t group, unsigned *shown,
                       bool (*fn)(void *arg, const struct store_item *it), void *arg) {
    struct store *s = w->s;
    uint64_t slots[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    for (unsigned i = 0; i < INDEX_BUCKETS; i++) {
        unsigned n = index_collect_locked(&s->ix, group, i, slots);
        for (unsigned k = 0; k < n; k++) {
            struct item it;
            struct store_item view;
            uint8_t header[32];
            uint32_t deadline;
            uint64_t loc = index_slot_loc(slots[k]);
            uint8_t *p = segment_at(&s->segs, loc);
            item_copy_header(header, p);
            item_decode(&it, header, p);
            enum verdict v = verdict_of(w, &it, &deadline);
            if (v > VERDICT_SOFT) continue;
            record_show(header, p, loc, &view);
            view.soft |= v == VERDICT_SOFT;
            if (!fn(arg, &view)) return false;
            ++*shown;
        }
    }
    return true;
}

/* Walks row by row: a row is the groups whose numbers are equal modulo min_groups, and splits and merges move items
 * only within one. In a row the walk goes upwards. A split moves items to a higher group: the walk is still to come
 * there, or it has shown them already. A merge may move items to a group behind the walk: then the row is walked once
 * more. */
bool walk_here(const struct index *ix, struct store_cursor *c) {
    if (c->group >= sync_load_acq(&ix->groups)) {
        uint64_t row = c->group % ix->min_groups, merges = sync_load_acq(&ix->merges);
        bool repeat = c->merges != merges && !FAULT_POINT("store.mutate.walk_once");
        c->merges = merges;
        c->group = repeat ? row : row + 1;
        if (c->group == ix->min_groups) {
            c->done = true;
            return false;
        }
    }
    if (c->group < ix->min_groups && !c->begun) c->merges = sync_load_acq(&ix->merges);
    c->begun = true;
    return true;
}

void walk_on(const struct index *ix, struct store_cursor *c) {
    c->group += ix->min_groups;
}

void store_walk(struct store_worker *w, struct store_cursor *c, unsigned max,
                bool (*fn)(void *arg, const struct store_item *it), void *arg) {
    const struct index *ix = &w->s->ix;
    unsigned shown = 0;
    for (unsigned groups = 0; groups < WALK_GROUPS && shown < max; groups++) {
        if (!walk_here(ix, c) || !show_group(w, c->group, &shown, fn, arg)) return;
        walk_on(ix, c);
    }
}
