/* SPDX-License-Identifier: BSD-3-Clause
 *
 * room - appending records to open segments: a handle's own of small, and the one of main, which has a lock.
 *
 * Threads: through the caller's own handle.
 */
#ifndef TAGCACHED_STORE_ROOM_H
#define TAGCACHED_STORE_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/segment.h"
#include "store/state.h"

/* Room for one record. */
struct room {
    uint64_t loc;
    uint8_t *p;
    struct segment *g;
    uint32_t bytes;
    enum segment_queue queue;
};

bool room_take_slow(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct room *r);

/* Finds room for a record in the small segment of the handle, or in main; false: there is none. The record must be
 * complete before room_done; nothing else may be appended meanwhile through this handle. In a section. */
static inline bool room_take(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct room *r) {
    struct segments *segs = &w->s->segs;
    const uint32_t open = w->open.segment;
    if (likely(q == SEGMENT_SMALL && open != SEGMENT_NONE)) {
        struct segment *g = &segs->seg[open];
        uint32_t used = sync_load(&g->used);
        if (likely(bytes <= segs->bytes - used)) {
            uint64_t loc = segment_base(segs, open) + used;
            *r = (struct room){loc, segment_at(segs, loc), g, bytes, q};
            return true;
        }
    }
    return room_take_slow(w, bytes, q, r);
}

/* The record is there. From now on its bytes are live, until they are counted as dead (account.h). */
static inline void room_done(struct store_worker *w, struct room *r) {
    sync_store_rel(&r->g->used, sync_load(&r->g->used) + r->bytes);
    if (r->queue == SEGMENT_MAIN) sync_spin_unlock(&w->s->main_open.lock);
}

/* Gives the room back unused. */
void room_drop(struct store_worker *w, struct room *r);

/* Takes a segment to append to and wakes the maintenance thread, which sees to the next one. SEGMENT_NONE: there is
 * none now. In a section or not. */
uint32_t room_segment(struct store_worker *w, enum segment_queue q);

#endif
