/* SPDX-License-Identifier: BSD-3-Clause
 *
 * upload - bodies that are received piece by piece, straight into segments.
 *
 * Whole segments while the rest fills them, then pieces of at most a quarter of a segment, in segments that uploads
 * share; one that does not fit any more is cut so that it fills its segment. A segment that holds unfinished pieces is
 * not evicted, so what is under way is bounded (turn.c). */
#include "store/upload.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/account.h"
#include "store/append.h"
#include "store/change.h"
#include "store/item.h"
#include "store/seconds.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/turn.h"
#include "store/wake.h"

#define CUT_LEAST 1024 /* bytes at the end of a segment that are worth a piece of their own */
#define CUTS_MAX 4     /* of one upload: others may fill the segments in between */

static uint32_t whole_bytes(const struct store *s) {
    return s->segs.bytes - segment_first(0) - ITEM_PIECE_HEADER;
}

static uint32_t quarter_bytes(const struct store *s) {
    return s->segs.bytes / 4 - ITEM_PIECE_HEADER;
}

uint64_t store_inline_max(const struct store *s) {
    return s->inline_max;
}

/* Makes one that has no turn yet. */
static enum store_status upload_new(struct store_worker *w, uint64_t size, struct store_upload **out) {
    struct store *s = w->s;
    if (size > s->cfg.item_size_max) return STORE_TOO_LARGE;
    unsigned cap = (unsigned)(size / whole_bytes(s)) + 6 + CUTS_MAX;
    if (cap > ITEM_LEN_MASK) return STORE_TOO_LARGE;
    struct store_upload *u = calloc(1, sizeof *u + cap * sizeof *u->pieces);
    if (u == NULL) return STORE_NO_MEMORY;
    u->store = s;
    u->turn.handle = w->index;
    u->turn.size = size;
    u->cap = cap;
    u->since = store_number(s);
    *out = u;
    return STORE_OK;
}

enum store_status store_upload_begin(struct store_worker *w, uint64_t size, struct store_upload **out) {
    enum store_status st = upload_new(w, size, out);
    if (st == STORE_OK) turn_begin(w, &(*out)->turn);
    return st;
}

enum store_status upload_join(struct store_worker *w, uint64_t size, struct store_upload **out) {
    enum store_status st = upload_new(w, size, out);
    if (st == STORE_OK) (*out)->turn.state = TURN_UNDER_WAY; /* its bytes are here: it needs no turn */
    return st;
}

/* An unfinished piece came into the segment, or went. */
static void hold(struct store *s, struct segment *g) {
    if (sync_add(&g->uploads, 1) == 0) sync_add(&s->upload_segments, 1);
}
static void unhold(struct store *s, struct segment *g) {
    if (sync_sub_rel(&g->uploads, 1) == 1) sync_sub(&s->upload_segments, 1);
}

static bool piece_whole(struct store_worker *w, struct upload_piece *p) {
    struct store *s = w->s;
    uint32_t i = append_new_segment(w, SEGMENT_SMALL);
    if (i == SEGMENT_NONE) return false;
    struct segment *g = &s->segs.seg[i];
    hold(s, g);
    *p = (struct upload_piece){segment_base(&s->segs, i) + segment_first(i), whole_bytes(s)};
    item_write_piece_header(segment_at(&s->segs, p->loc), 0, p->bytes);
    sync_store(&g->whole, 1);
    sync_store_rel(&g->used, segment_first(i) + ITEM_PIECE_HEADER + p->bytes);
    return true;
}

/* Bytes of a piece that the rest of a segment can hold. */
static uint32_t rest_of(const struct segments *segs, uint32_t i) {
    uint32_t rest = segs->bytes - sync_load(&segs->seg[i].used);
    return rest > ITEM_PIECE_HEADER ? rest - ITEM_PIECE_HEADER : 0;
}

/* A piece of so many bytes, or fewer (if it may be cut) when they fill the segment that uploads share. */
static bool piece_shared(struct store_worker *w, uint32_t bytes, bool cut, struct upload_piece *p) {
    struct store *s = w->s;
    struct segments *segs = &s->segs;
    bool ok = true;
    sync_spin_lock(&s->upload_open.lock);
    uint32_t i = s->upload_open.open.segment, rest = i != SEGMENT_NONE ? rest_of(segs, i) : 0;
    if (i != SEGMENT_NONE && bytes > rest && cut && rest >= CUT_LEAST) bytes = rest;
    if (i != SEGMENT_NONE && bytes > rest) {
        segment_seal(segs, i, sync_load(&s->epoch.now) + 1);
        i = SEGMENT_NONE;
    }
    if (i == SEGMENT_NONE) i = append_new_segment(w, SEGMENT_SMALL);
    sync_store(&s->upload_open.open.segment, i);
    if (i == SEGMENT_NONE) {
        ok = false;
    } else {
        struct segment *g = &segs->seg[i];
        uint32_t used = sync_load(&g->used);
        *p = (struct upload_piece){segment_base(segs, i) + used, bytes};
        hold(s, g);
        item_write_piece_header(segment_at(segs, p->loc), 0, bytes);
        sync_store_rel(&g->used, used + ITEM_PIECE_HEADER + bytes);
    }
    sync_spin_unlock(&s->upload_open.lock);
    return ok;
}

static bool piece_add(struct store_worker *w, struct store_upload *u) {
    struct store *s = w->s;
    const uint64_t left = u->turn.size - u->reserved;
    const uint32_t most = left < quarter_bytes(s) ? (uint32_t)left : quarter_bytes(s);
    struct upload_piece *p = &u->pieces[u->npieces];
    CHECK(u->npieces < u->cap);
    if (!(left >= whole_bytes(s) ? piece_whole(w, p) : piece_shared(w, most, u->cuts < CUTS_MAX, p))) return false;
    if (p->bytes < most) u->cuts++;
    u->reserved += p->bytes;
    u->npieces++;
    return true;
}

enum store_status store_upload_span(struct store_worker *w, struct store_upload *u, char **p, size_t *n) {
    CHECK(u->got < u->turn.size);
    const uint32_t state = sync_load(&u->turn.state);
    if (unlikely(state != TURN_UNDER_WAY)) return state == TURN_WAITS ? STORE_AGAIN : STORE_NO_MEMORY;
    if (!w->inside) seconds_read(w);
    if (u->got == u->reserved && !piece_add(w, u)) return change_no_segment(w->s);
    const struct upload_piece *last = &u->pieces[u->npieces - 1];
    uint64_t left = u->reserved - u->got;
    *p = (char *)segment_at(&w->s->segs, last->loc + ITEM_PIECE_HEADER + (last->bytes - left));
    *n = left;
    return STORE_OK;
}

void store_upload_fill(struct store_upload *u, size_t n) {
    CHECK(u->got + n <= u->reserved);
    u->got += n;
    turn_progress(u->store, &u->turn, u->got);
}

bool store_upload_waits(const struct store_upload *u) {
    return sync_load(&u->turn.state) == TURN_WAITS;
}

bool store_upload_displaced(const struct store_upload *u) {
    return sync_load(&u->turn.state) == TURN_DISPLACED;
}

uint64_t store_upload_left(const struct store_upload *u) {
    return u->turn.size - u->got;
}

bool upload_append(struct store_worker *w, struct store_upload *u, const void *from, uint64_t n) {
    const char *q = from;
    while (n > 0) {
        char *p = NULL;
        size_t most = 0;
        if (store_upload_span(w, u, &p, &most) != STORE_OK) return false;
        size_t k = n < most ? n : most;
        memcpy(p, q, k);
        store_upload_fill(u, k);
        q += k;
        n -= k;
    }
    return true;
}

unsigned upload_pieces(const struct store_upload *u) {
    return u->npieces;
}

uint64_t upload_since(const struct store_upload *u) {
    return u->since;
}

bool upload_span(const struct store *s, const struct store_upload *u, unsigned i, struct iovec *v) {
    if (i >= u->npieces) return false;
    *v = (struct iovec){segment_at(&s->segs, u->pieces[i].loc + ITEM_PIECE_HEADER), u->pieces[i].bytes};
    return true;
}

void upload_list(const struct store_upload *u, uint8_t *value) {
    CHECK(u->got == u->turn.size);
    memcpy(value, &u->turn.size, 8);
    for (unsigned i = 0; i < u->npieces; i++)
        item_write_piece(value + 8 + i * ITEM_PIECE_ENTRY, u->pieces[i].loc, u->pieces[i].bytes);
}

/* Ends the hold on every piece; a whole segment goes to its queue only now. */
static void release_pieces(struct store_worker *w, struct store_upload *u) {
    struct store *s = w->s;
    for (unsigned i = 0; i < u->npieces; i++) {
        if (!u->linked) {
            item_set_piece_owner(segment_at(&s->segs, u->pieces[i].loc), ITEM_PIECE_GIVEN_UP);
            account_dead(w, u->pieces[i].loc, ITEM_PIECE_HEADER + u->pieces[i].bytes);
        }
        uint32_t seg = segment_of(&s->segs, u->pieces[i].loc);
        struct segment *g = &s->segs.seg[seg];
        bool whole = sync_load(&g->whole);
        unhold(s, g);
        if (whole) segment_seal(&s->segs, seg, sync_load(&s->epoch.now) + 1);
    }
}

void upload_finish(struct store_worker *w, struct store_upload *u, uint64_t hash) {
    for (unsigned i = 0; i < u->npieces; i++) item_set_piece_owner(segment_at(&w->s->segs, u->pieces[i].loc), hash);
}

void upload_linked(struct store_upload *u) {
    u->linked = true;
}

void upload_end(struct store_worker *w, struct store_upload *u) {
    release_pieces(w, u); /* only now: linked or not, nobody will touch its segments any more */
    turn_end(w, &u->turn);
    free(u);
}

void store_upload_abort(struct store_worker *w, struct store_upload *u) {
    upload_end(w, u);
    wake_maintenance(w->s);
}
