/* SPDX-License-Identifier: BSD-3-Clause
 *
 * account - which bytes of a segment are dead, and how many items and bytes are held.
 *
 * Whatever is appended to a segment is live until somebody says that it is dead: who has unlinked it, or appended it
 * and not linked it after all. Each record and each piece is told of once. Each handle counts in a row of its own, one
 * counter a segment, so no instruction is locked; the maintenance thread adds the rows up.
 *
 * Order: first nothing leads to the record any more, then it is counted. So when all of a segment is dead, whoever
 * begins a section from then on finds nothing in it, and a grace period later it can be reused.
 */
#ifndef TAGCACHED_STORE_ACCOUNT_H
#define TAGCACHED_STORE_ACCOUNT_H

#include <stdint.h>

#include "base/check.h"
#include "base/sync.h"
#include "store/handle.h"
#include "store/item.h"
#include "store/state.h"

/* The record or piece at loc, of so many bytes, is dead from now on. Any thread, through its own handle. */
static inline void account_dead(struct store_worker *w, uint64_t loc, uint32_t bytes) {
    uint32_t *n = &w->dead[segment_of(&w->s->segs, loc)];
    sync_store_rel(n, sync_load(n) + bytes);
}

/* Bytes that an item answers for: its record and its pieces. */
static inline uint64_t account_bytes(const struct item *it) {
    uint64_t n = item_record_bytes(it);
    if (unlikely(item_large(it))) n += item_size(it) + (uint64_t)item_pieces(it) * ITEM_PIECE_HEADER;
    return n;
}

/* All pieces of an item are dead. */
void account_pieces_dead(struct store_worker *w, const struct item *it);
/* An item was linked under a key that had none. */
void account_added(struct store_worker *w, const struct item *it);
/* The item whose record lies at loc was unlinked and nothing has taken its place: it and its pieces are dead. */
void account_removed(struct store_worker *w, uint64_t loc, const struct item *it);

/* Bytes of a segment that are dead; that are not. Maintenance thread. */
uint32_t account_dead_bytes(const struct store *s, uint32_t segment);
uint32_t account_live_bytes(const struct store *s, uint32_t segment);
/* A segment in which all is dead counts from 0 again. Maintenance thread. */
void account_empty(struct store *s, uint32_t segment);

#endif
