/* SPDX-License-Identifier: BSD-3-Clause
 *
 * record - an item's record as it lies in the arena: whether it is a key's, and how it is shown to callers of the
 * store.
 */
#ifndef TAGCACHED_STORE_RECORD_H
#define TAGCACHED_STORE_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "store/item.h"
#include "store/segment.h"
#include "store/state.h"
#include "store/store.h"

/* Whether the record at loc is the key's; its header is copied on the way. In line always: it is on the way of every
 * request, and a call costs as much as it does. */
static inline __attribute__((always_inline)) bool record_is(const struct store *s, uint64_t loc,
                                                            const struct store_key *k, uint8_t header[32]) {
    const uint8_t *p = segment_at(&s->segs, loc);
    if (unlikely(loc == 0)) return false;
    item_copy_header(header, p);
    return likely(header[6] == k->len) && likely(bytes_same(p + item_key_at(header), k->p, k->len));
}

_Static_assert(ITEM_LEN_B64 >> 11 == STORE_B64, "record_show moves one to the other");

/* Shows an item to the caller of the store: its header, copied to h or (bucket locked) in place, of the record at p.
 * Whether a purge that is not yet written into it makes it `soft` is for the caller to add. */
static inline void record_show(const uint8_t *h, uint8_t *p, uint64_t loc, struct store_item *out) {
    unsigned at = ITEM_FIXED, bits = h[7];
    uint16_t len;
    memcpy(&len, h + 8, 2);
    out->version = out->cas = item_get48(h);
    out->expiry = out->flags = 0;
    out->ntags = 0;
    if (bits & ITEM_EXPIRY) {
        memcpy(&out->expiry, h + at, 4);
        at += 4;
    }
    if (bits & ITEM_FLAGS) {
        memcpy(&out->flags, h + at, 4);
        at += 4;
    }
    if (unlikely(bits & ITEM_CAS)) {
        memcpy(&out->cas, h + at, 8);
        at += 8;
    }
    if (bits & ITEM_TAGS) {
        at = item_count_at(h, at);
        out->ntags = h[at];
        at += 1 + 8u * h[at];
    }
    out->key_len = h[6];
    out->key = (const char *)p + at;
    at += h[6];
    out->value = (const char *)p + at;
    out->size = len & ITEM_LEN_MASK;
    out->bits = (uint8_t)((bits & (ITEM_STALE | ITEM_WON | ITEM_FETCHED)) | (len & ITEM_LEN_B64) >> 11);
    out->soft = false;
    out->loc = loc;
    if (unlikely(bits & ITEM_SOFT)) {
        if (item_rearmed(bits)) out->bits |= STORE_REARMED;
        out->soft = item_softly_stale(bits) && !(bits & ITEM_WON);
    }
    if (unlikely(len & ITEM_LEN_LARGE)) {
        out->value = NULL;
        memcpy(&out->size, p + at, 8);
    }
}

#endif
