/* SPDX-License-Identifier: BSD-3-Clause
 *
 * move - the records of a segment one after the other, and copying one elsewhere. Maintenance thread only.
 */
#ifndef TAGCACHED_STORE_MOVE_H
#define TAGCACHED_STORE_MOVE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/index.h"
#include "store/item.h"
#include "store/state.h"

#define MOVE_BLOCK 32 /* records looked up together, so that their cache misses overlap */

/* Fills out with the next records of a segment from *at (at first segment_first) on, and asks for their buckets.
 * Returns how many; 0 at the end. */
unsigned move_next(struct store *s, uint32_t seg, uint32_t *at, struct move_record *out, unsigned max);
/* The slot of the item that a record belongs to; NULL: the record is dead. Its bucket b is locked. */
uint64_t *move_slot(struct store *s, struct index_bucket *b, const struct move_record *r);
/* The same slot as it is now, and the record of its item; 0: dead. */
uint64_t move_look(struct store *s, const struct move_record *r, struct item *it);
/* Whether the item at loc may be copied on; a dead one is taken out. Bucket locked. */
bool move_allowed(struct store *s, struct index_bucket *b, uint64_t *slot, uint64_t loc, struct item *it);
/* Copies a record's bytes into the segment `target`, or (SEGMENT_NONE) to the end of main. Returns where to; 0: there
 * is no space. */
uint64_t move_copy(struct store *s, uint64_t loc, uint32_t bytes, uint32_t target);
/* A slot swings from one record to its copy; what changed in place meanwhile comes along. Bucket locked. */
void move_swing(struct store *s, uint64_t *slot, const struct item *old, uint64_t from, uint64_t to, unsigned freq);
/* Copies a piece, and its item's list of them, if it is live; the item keeps its hits, or (forget) a quarter of them.
 * False: no space. */
bool move_piece(struct store *s, const struct move_record *r, uint32_t target, bool forget);
/* Copies the record of an item, if it is live, with its hits. False: no space. */
bool move_item(struct store *s, const struct move_record *r, uint32_t target);

#endif
