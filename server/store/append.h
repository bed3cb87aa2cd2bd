/* SPDX-License-Identifier: BSD-3-Clause
 *
 * append - appending records to open segments: a handle's own of small, and the one of main, which has a lock.
 *
 * Threads: through the caller's own handle.
 */
#ifndef TAGCACHED_STORE_APPEND_H
#define TAGCACHED_STORE_APPEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/segment.h"
#include "store/state.h"

/* Space in a segment for a record that is being written. */
struct append {
    uint64_t loc;
    uint8_t *p;
    struct segment *g;
    uint32_t bytes;
    enum segment_queue queue;
};

bool append_begin_slow(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct append *r);

/* Finds space for a record in the small segment of the handle, or in main; false: there is none. The record must be
 * complete before append_end; nothing else may be appended meanwhile through this handle. In a section. */
static inline bool append_begin(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct append *r) {
    struct segments *segs = &w->s->segs;
    const uint32_t open = w->open.segment;
    if (likely(q == SEGMENT_SMALL && open != SEGMENT_NONE)) {
        struct segment *g = &segs->seg[open];
        uint32_t used = sync_load(&g->used);
        if (likely(bytes <= segs->bytes - used)) {
            uint64_t loc = segment_base(segs, open) + used;
            *r = (struct append){loc, segment_at(segs, loc), g, bytes, q};
            return true;
        }
    }
    return append_begin_slow(w, bytes, q, r);
}

/* The record is there. From now on its bytes are live, until they are counted as dead (account.h). */
static inline void append_end(struct store_worker *w, struct append *r) {
    sync_store_rel(&r->g->used, sync_load(&r->g->used) + r->bytes);
    if (r->queue == SEGMENT_MAIN) sync_spin_unlock(&w->s->main_open.lock);
}

/* The record is not written after all. */
void append_cancel(struct store_worker *w, struct append *r);

/* Takes a segment to append to and wakes the maintenance thread, which sees to the next one. SEGMENT_NONE: there is
 * none now. In a section or not. */
uint32_t append_new_segment(struct store_worker *w, enum segment_queue q);

#endif
