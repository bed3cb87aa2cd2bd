/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/account.h"

#include "base/check.h"
#include "store/segment.h"
#include "store/state.h"

void account_pieces_dead(struct store_worker *w, const struct item *it) {
    for (unsigned i = 0; i < item_pieces(it); i++) {
        uint64_t loc;
        uint32_t bytes;
        item_piece(it, i, &loc, &bytes);
        account_dead(w, loc, bytes + ITEM_PIECE_HEADER);
    }
}

void account_added(struct store_worker *w, const struct item *it) {
    COUNT(w, items_added, 1);
    COUNT(w, bytes_added, account_bytes(it));
}

void account_removed(struct store_worker *w, uint64_t loc, const struct item *it) {
    COUNT(w, items_removed, 1);
    COUNT(w, bytes_removed, account_bytes(it));
    account_pieces_dead(w, it); /* whose list lies in the record */
    account_dead(w, loc, item_record_bytes(it));
}

/* The rows go on from one life of a segment to the next, modulo 2^32; dead_before is what they said as this one began.
 */
uint32_t account_dead_bytes(const struct store *s, uint32_t i) {
    uint32_t n = 0;
    for (unsigned k = 0; k < s->nhandles; k++) n += sync_load_acq(&s->handles[k].dead[i]);
    return n - s->segs.seg[i].dead_before;
}

uint32_t account_live_bytes(const struct store *s, uint32_t i) {
    const uint32_t dead = account_dead_bytes(s, i); /* first: what dies was appended before */
    return sync_load_acq(&s->segs.seg[i].used) - segment_first(i) - dead;
}

void account_empty(struct store *s, uint32_t i) {
    struct segment *g = &s->segs.seg[i];
    CHECK(account_live_bytes(s, i) == 0);
    g->dead_before += g->used - segment_first(i);
    sync_store(&g->used, segment_first(i));
}
