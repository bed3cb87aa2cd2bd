/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/internal.h"

/* The last free segment is the maintenance thread's: eviction copies before it frees. */
static uint32_t reserve_of(const struct store_worker *w) {
    return w->index == w->s->cfg.workers ? SEGMENT_OVERDRAW : 1;
}

/* Makes *open a segment with room for the bytes. */
static bool open_segment(struct store_worker *w, uint32_t *open, uint32_t bytes, enum segment_queue q) {
    struct store *s = w->s;
    if (*open != SEGMENT_NONE) {
        if (sync_load(&s->segs.seg[*open].used) + bytes <= s->segs.bytes) return true;
        segment_seal(&s->segs, *open, sync_load(&s->epoch.now) + 1);
        sync_store(open, SEGMENT_NONE);
    }
    uint32_t fresh = segment_take(&s->segs, q, w->now, reserve_of(w));
    store_kick(s);
    if (fresh == SEGMENT_NONE) {
        COUNT(w, segment_waits, 1);
        return false;
    }
    sync_store(open, fresh);
    return true;
}

bool room_take_slow(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct room *r) {
    struct store *s = w->s;
    uint32_t *open = &w->open;
    CHECK(bytes <= s->segs.bytes);
    if (q == SEGMENT_MAIN) {
        sync_spin_lock(&s->main_open.lock);
        open = &s->main_open.segment;
    }
    if (!open_segment(w, open, bytes, q)) {
        if (q == SEGMENT_MAIN) sync_spin_unlock(&s->main_open.lock);
        return false;
    }
    r->loc = segment_base(&s->segs, *open) + sync_load(&s->segs.seg[*open].used);
    r->p = segment_at(&s->segs, r->loc);
    r->bytes = bytes;
    r->queue = q;
    return true;
}

void room_drop(struct store_worker *w, struct room *r) {
    if (r->queue == SEGMENT_MAIN) sync_spin_unlock(&w->s->main_open.lock);
}
