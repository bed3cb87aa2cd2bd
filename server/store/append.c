/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/append.h"

#include "base/erase.h"
#include "base/sync.h"
#include "store/wake.h"

/* The last free segment is the maintenance thread's: eviction copies before it frees. */
static uint32_t reserve_of(const struct store_worker *w) {
    return w == maintenance(w->s) ? SEGMENT_OVERDRAW : 1;
}

#define REST_LEAST 64 /* bytes: too few to wait for a record that fits */
#define TRIES 16      /* records that did not fit since the last that did */

static bool fits(const struct store *s, uint32_t i, uint32_t bytes) {
    return i != SEGMENT_NONE && sync_load(&s->segs.seg[i].used) + bytes <= s->segs.bytes;
}

/* Whether smaller records may still come that fit into the open segment. */
static bool smaller_may_come(const struct store *s, struct opened *o) {
    uint32_t used = sync_load(&s->segs.seg[o->segment].used);
    if (o->used != used) o->tries = 0;
    o->used = used;
    return s->segs.bytes - used >= REST_LEAST && o->tries++ < TRIES;
}

uint32_t append_new_segment(struct store_worker *w, enum segment_queue q) {
    uint32_t i = segment_take(&w->s->segs, q, w->now, reserve_of(w));
    if (i == SEGMENT_NONE) {
        COUNT(w, segment_waits, 1);
        sync_store(&w->s->segment_missed, true);
    }
    wake_maintenance(w->s);
    return i;
}

/* An open segment with space for the bytes, or SEGMENT_NONE. */
static uint32_t open_for(struct store_worker *w, struct opened *o, uint32_t bytes, enum segment_queue q) {
    struct store *s = w->s;
    while (o->segment != SEGMENT_NONE && !fits(s, o->segment, bytes)) {
        bool wait = smaller_may_come(s, o);
        if (wait && o->next == SEGMENT_NONE && (o->next = append_new_segment(w, q)) == SEGMENT_NONE)
            return SEGMENT_NONE;
        if (wait && fits(s, o->next, bytes)) return o->next;
        segment_seal(&s->segs, o->segment, sync_load(&s->epoch.now) + 1);
        sync_store(&o->segment, o->next);
        o->next = SEGMENT_NONE;
    }
    if (o->segment == SEGMENT_NONE) sync_store(&o->segment, append_new_segment(w, q));
    return o->segment;
}

bool append_begin_slow(struct store_worker *w, uint32_t bytes, enum segment_queue q, struct append *r) {
    struct store *s = w->s;
    struct opened *o = q == SEGMENT_MAIN ? &s->main_open.open : &w->open;
    CHECK(bytes <= s->segs.bytes);
    if (q == SEGMENT_MAIN) sync_spin_lock(&s->main_open.lock);
    uint32_t i = open_for(w, o, bytes, q);
    if (i == SEGMENT_NONE) {
        if (q == SEGMENT_MAIN) sync_spin_unlock(&s->main_open.lock);
        return false;
    }
    r->g = &s->segs.seg[i];
    r->loc = segment_base(&s->segs, i) + sync_load(&r->g->used);
    r->p = segment_at(&s->segs, r->loc);
    r->bytes = bytes;
    r->queue = q;
    return true;
}

void append_cancel(struct store_worker *w, struct append *r) {
    if (w->s->cfg.erase) erase_bytes(r->p, r->bytes);
    if (r->queue == SEGMENT_MAIN) sync_spin_unlock(&w->s->main_open.lock);
}
