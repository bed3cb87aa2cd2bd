/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/item.h"

void item_copy_record(uint8_t *to, const uint8_t *from, uint32_t bytes) {
#ifdef SYNC_TSAN
    for (uint32_t i = 0; i < bytes; i++) to[i] = from[i];
#else
    memcpy(to, from, bytes);
#endif
}

void item_set_birth(uint8_t *p, uint64_t birth) {
    for (int i = 0; i < 6; i++) p[i] = (uint8_t)(birth >> (8 * i));
}

void item_set_bits(uint8_t *p, uint8_t bits) {
    p[7] = bits;
}

void item_set_expiry(uint8_t *p, uint32_t expiry) {
    for (int i = 0; i < 4; i++) p[ITEM_FIXED + i] = (uint8_t)(expiry >> (8 * i));
}

uint8_t *item_write(uint8_t *p, const struct item_spec *s) {
    uint8_t *q = p;
    item_put48(q, 0);
    q[6] = s->key_len;
    q[7] = s->bits;
    memcpy(q + 8, &s->len, 2);
    q += ITEM_FIXED;
    if (s->bits & ITEM_EXPIRY) {
        memcpy(q, &s->expiry, 4);
        q += 4;
    }
    if (s->bits & ITEM_FLAGS) {
        memcpy(q, &s->flags, 4);
        q += 4;
    }
    if (s->bits & ITEM_CAS) {
        memcpy(q, &s->cas, 8);
        q += 8;
    }
    if (s->bits & ITEM_TAGS) {
        *q++ = s->ntags;
        memcpy(q, s->tags, 8u * s->ntags);
        q += 8u * s->ntags;
    }
    memcpy(q, s->key, s->key_len);
    return q + s->key_len;
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
