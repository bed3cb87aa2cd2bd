/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/item.h"

void item_copy_record(uint8_t *to, const uint8_t *from, uint32_t bytes) {
#ifdef SYNC_TSAN
    for (uint32_t i = 0; i < bytes; i++) to[i] = from[i];
#else
    memcpy(to, from, bytes);
#endif
}

static uint8_t *piece_entry(const struct item *it, unsigned i) {
    return it->p + it->value_at + 8 + i * ITEM_PIECE_ENTRY;
}

void item_piece(const struct item *it, unsigned i, uint64_t *loc, uint32_t *bytes) {
    const uint8_t *e = piece_entry(it, i);
    uint64_t l = 0;
    uint32_t b = 0;
    for (int k = 0; k < 5; k++) l |= (uint64_t)e[k] << (8 * k);
    for (int k = 0; k < 4; k++) b |= (uint32_t)e[5 + k] << (8 * k);
    *loc = l;
    *bytes = b;
}

void item_write_piece(uint8_t *e, uint64_t loc, uint32_t bytes) {
    memcpy(e, &loc, 5);
    memcpy(e + 5, &bytes, 4);
}

void item_write_piece_header(uint8_t *p, uint64_t hash, uint32_t bytes) {
    item_put48(p, hash);
    p[6] = ITEM_PIECE_KEY;
    p[7] = (uint8_t)(hash >> 48);
    p[8] = (uint8_t)(hash >> 56);
    p[9] = 0;
    memcpy(p + 10, &bytes, 4);
}

void item_set_piece_owner(uint8_t *p, uint64_t hash) {
    for (int i = 0; i < 6; i++) p[i] = (uint8_t)(hash >> (8 * i));
    p[7] = (uint8_t)(hash >> 48);
    p[8] = (uint8_t)(hash >> 56);
}

uint64_t item_piece_owner(const uint8_t *p) {
    uint64_t h = 0;
    for (int i = 0; i < 6; i++) h |= (uint64_t)p[i] << (8 * i);
    return h | (uint64_t)p[7] << 48 | (uint64_t)p[8] << 56;
}

uint32_t item_any_bytes(uint8_t *p) {
    if (item_is_piece(p)) return ITEM_PIECE_HEADER + item_piece_bytes(p);
    struct item it;
    item_read(&it, p);
    return item_record_bytes(&it);
}
