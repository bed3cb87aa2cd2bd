/* SPDX-License-Identifier: BSD-3-Clause
 *
 * item - how a record lies in a segment, byte by byte, unaligned.
 *
 *   item    version 6 | key length 1 | bits 1 | length 2 | expiry 4? | client flags 4? | explicit CAS 8? |
 *           (255 1? | tag count 1 + 8 each)? | key | value
 *   large   the same, its value being: size 8 | pieces of (location 5, bytes 4)
 *   piece   owner's key hash 6 | 255 | hash 1 | hash 1 | 0 | bytes 4 | data
 *
 * 255 before the count of tags says that the item was moved here from another node (item_moved).
 *
 * The optional fields are there when their bit says so; that never changes in place. Version, state bits and expiry
 * do change in place, under the lock of the key's bucket: whoever reads without it validates the bucket's sequence
 * afterwards. Key, tags and value never change.
 */
#ifndef TAGCACHED_STORE_ITEM_H
#define TAGCACHED_STORE_ITEM_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/sync.h"

#define ITEM_FIXED 10      /* bytes every header has */
#define ITEM_HEADER_MAX 26 /* bytes before the tags at most */
#define ITEM_PIECE_KEY 255 /* key length byte of a piece */
#define ITEM_MOVED 255     /* in the place of a count of tags, which then follows */
#define ITEM_PIECE_HEADER 14
#define ITEM_PIECE_ERASED UINT64_MAX /* owner of what was overwritten (erase.c); */
#define ITEM_PIECE_GIVEN_UP                                                                                            \
    (UINT64_MAX - 1)       /* of a piece whose upload came to nothing; 0: it is still being received */
#define ITEM_PIECE_ENTRY 9 /* bytes of one entry in a large item's list */

enum item_bits {
    ITEM_STALE = 0x01,
    ITEM_WON = 0x02,
    ITEM_FETCHED = 0x04,
    ITEM_SOFT = 0x08, /* with STALE: because of a soft purge, a classic get may win too; without: see item_rearmed */
    ITEM_STATE = 0x0f,
    ITEM_EXPIRY = 0x10,
    ITEM_FLAGS = 0x20,
    ITEM_CAS = 0x40,
    ITEM_TAGS = 0x80,
};

#define ITEM_LEN_MASK 0x3fffu /* bytes of the value, or pieces of a large one */
#define ITEM_LEN_B64 0x4000u
#define ITEM_LEN_LARGE 0x8000u
#define ITEM_INLINE_MAX ITEM_LEN_MASK

/* A decoded header; pointers lead into the segment. */
struct item {
    uint8_t *p;
    uint64_t version;
    uint64_t cas; /* explicit, or the version */
    uint32_t expiry, flags;
    uint16_t len; /* raw length field */
    uint8_t key_len, bits, ntags;
    uint16_t tags_at, key_at, value_at; /* offsets from p */
};

/* Of a header: two more bytes lie behind. */
static inline uint64_t item_get48(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v & ((1ull << 48) - 1);
}

static inline void item_put48(uint8_t *p, uint64_t v) {
    uint32_t lo = (uint32_t)v;
    uint16_t hi = (uint16_t)(v >> 32);
    memcpy(p, &lo, 4);
    memcpy(p + 4, &hi, 2);
}

static inline bool item_is_piece(const uint8_t *p) {
    return p[6] == ITEM_PIECE_KEY;
}

static inline bool item_large(const struct item *it) {
    return (it->len & ITEM_LEN_LARGE) != 0;
}

/* Stale because of a soft purge. */
static inline bool item_softly_stale(unsigned bits) {
    return (bits & (ITEM_SOFT | ITEM_STALE)) == (ITEM_SOFT | ITEM_STALE);
}

/* A guarded fill was refused: the next meta get wins, though nothing is stale. */
static inline bool item_rearmed(unsigned bits) {
    return (bits & (ITEM_SOFT | ITEM_STALE | ITEM_WON)) == ITEM_SOFT;
}

/* Bytes of the value part within the record. */
static inline uint32_t item_value_bytes(const struct item *it) {
    uint32_t n = it->len & ITEM_LEN_MASK;
    return item_large(it) ? 8 + n * ITEM_PIECE_ENTRY : n;
}

/* Bytes of the whole record. */
static inline uint32_t item_record_bytes(const struct item *it) {
    return it->value_at + item_value_bytes(it);
}

/* Bytes of the value as clients count them. */
static inline uint64_t item_size(const struct item *it) {
    if (!item_large(it)) return it->len & ITEM_LEN_MASK;
    uint64_t n;
    memcpy(&n, it->p + it->value_at, 8);
    return n;
}

/* Copies a header that others may be changing; the caller validates the bucket's sequence. */
SYNC_UNSANITIZED static inline void item_copy_header(uint8_t to[32], const uint8_t *from) {
#ifdef SYNC_TSAN
    for (int i = 0; i < 32; i++) to[i] = from[i];
#else
    memcpy(to, from, 32);
#endif
}

/* Copies a whole record whose header others may be changing. */
SYNC_UNSANITIZED void item_copy_record(uint8_t *to, const uint8_t *from, uint32_t bytes);

/* Bytes before the tags, or the key, of a record with these bits. */
static inline __attribute__((always_inline)) unsigned item_header_bytes(unsigned bits) {
    static const uint8_t bytes[8] = {10, 14, 14, 18, 18, 22, 22, 26}; /* by expiry, flags, CAS */
    return bytes[bits >> 4 & 7];
}

/* Where the tags, their count first, or else the key of the record with this header begin. What it depends on never
 * changes in place. In line always: whoever looks only to bring memory near is not to be sanitized (base/sync.h). */
static inline __attribute__((always_inline)) unsigned item_tags_at(const uint8_t *h) {
    return item_header_bytes(h[7]);
}

/* Where the count itself is, given where the tags begin (with ITEM_TAGS only). */
static inline __attribute__((always_inline)) unsigned item_count_at(const uint8_t *h, unsigned tags_at) {
    return unlikely(h[tags_at] == ITEM_MOVED) ? tags_at + 1 : tags_at;
}

/* Where its key begins. */
static inline unsigned item_key_at(const uint8_t *h) {
    if (h[7] < ITEM_EXPIRY) return ITEM_FIXED; /* no optional fields */
    const unsigned tags_at = item_tags_at(h);
    if (!(h[7] & ITEM_TAGS)) return tags_at;
    const unsigned at = item_count_at(h, tags_at);
    return at + 1 + 8u * h[at];
}

/* Decodes a copied header (32 bytes at h) of the item at p. */
static inline void item_decode(struct item *it, const uint8_t *h, uint8_t *p) {
    unsigned at = ITEM_FIXED;
    it->p = p;
    it->version = item_get48(h);
    it->key_len = h[6];
    it->bits = h[7];
    memcpy(&it->len, h + 8, 2);
    it->expiry = it->flags = 0;
    it->cas = it->version;
    it->ntags = 0;
    if (!(it->bits & (ITEM_EXPIRY | ITEM_FLAGS | ITEM_CAS | ITEM_TAGS))) { /* most items have none of these */
        it->tags_at = it->key_at = ITEM_FIXED;
        it->value_at = (uint16_t)(ITEM_FIXED + it->key_len);
        return;
    }
    if (it->bits & ITEM_EXPIRY) {
        memcpy(&it->expiry, h + at, 4);
        at += 4;
    }
    if (it->bits & ITEM_FLAGS) {
        memcpy(&it->flags, h + at, 4);
        at += 4;
    }
    if (it->bits & ITEM_CAS) {
        memcpy(&it->cas, h + at, 8);
        at += 8;
    }
    if (it->bits & ITEM_TAGS) {
        at = item_count_at(h, at);
        it->ntags = h[at++];
    }
    it->tags_at = (uint16_t)at;
    at += 8u * it->ntags;
    it->key_at = (uint16_t)at;
    it->value_at = (uint16_t)(at + it->key_len);
}

/* Decodes the item at p (which may be changing: then validate). */
static inline void item_read(struct item *it, uint8_t *p) {
    uint8_t h[32];
    item_copy_header(h, p);
    item_decode(it, h, p);
}

/* Whether it was moved here from another node: its version is younger than its value. So of tags that it does not carry
 * itself nothing is known since the value was read: as to those it is older than every purge. */
static inline bool item_moved(const struct item *it) {
    return (it->bits & ITEM_TAGS) && it->p[item_header_bytes(it->bits)] == ITEM_MOVED;
}

/* In-place changes; the caller holds the bucket's lock. */
SYNC_UNSANITIZED static inline void item_set_version(uint8_t *p, uint64_t version) {
#ifdef SYNC_TSAN
    for (int i = 0; i < 6; i++) p[i] = (uint8_t)(version >> (8 * i));
#else
    item_put48(p, version);
#endif
}
SYNC_UNSANITIZED static inline void item_set_bits(uint8_t *p, uint8_t bits) {
    p[7] = bits;
}
/* Anybody who found the item may say so, without the lock. */
SYNC_UNSANITIZED static inline void item_note_fetched(uint8_t *p) {
    sync_or(&p[7], (uint8_t)ITEM_FETCHED);
}
/* Only on an item that has the field. */
SYNC_UNSANITIZED static inline void item_set_expiry(uint8_t *p, uint32_t expiry) {
#ifdef SYNC_TSAN
    for (int i = 0; i < 4; i++) p[ITEM_FIXED + i] = (uint8_t)(expiry >> (8 * i));
#else
    memcpy(p + ITEM_FIXED, &expiry, 4);
#endif
}

/* What a new record is made of. */
struct item_spec {
    const char *key;
    const void *tags; /* ntags hashes of 8 bytes, any alignment */
    uint64_t cas;     /* used with ITEM_CAS */
    uint32_t expiry, flags;
    uint32_t value_bytes; /* bytes of the value part */
    uint16_t len;         /* the length field */
    uint8_t key_len, bits, ntags;
    bool moved; /* item_spec_move sets it */
};

/* The record is to say that the item was moved here (item_moved). */
static inline void item_spec_move(struct item_spec *s) {
    s->moved = true;
    s->bits |= ITEM_TAGS;
}

/* Sets the layout bits that the spec's fields ask for. */
static inline void item_spec_layout(struct item_spec *s) {
    s->bits &= ITEM_STATE | ITEM_CAS | ITEM_TAGS;
    if (s->ntags) s->bits |= ITEM_TAGS | ITEM_EXPIRY;
    if (s->expiry) s->bits |= ITEM_EXPIRY;
    if (s->flags) s->bits |= ITEM_FLAGS;
}

static inline uint32_t item_spec_bytes(const struct item_spec *s) {
    const uint32_t n = item_header_bytes(s->bits) + s->key_len + s->value_bytes;
    return s->bits & ITEM_TAGS ? n + 1 + 8u * s->ntags + s->moved : n;
}

/* Writes header, tags and key (version 0) and returns where the value part goes. */
static inline uint8_t *item_write(uint8_t *p, const struct item_spec *s) {
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
        if (unlikely(s->moved)) *q++ = ITEM_MOVED;
        *q++ = s->ntags;
        if (likely(s->ntags > 0)) memcpy(q, s->tags, 8u * s->ntags);
        q += 8u * s->ntags;
    }
    bytes_copy(q, s->key, s->key_len);
    return q + s->key_len;
}

/* Pieces of a large item. */
static inline unsigned item_pieces(const struct item *it) {
    return item_large(it) ? it->len & ITEM_LEN_MASK : 0;
}
/* The location and the bytes of piece i. */
void item_piece(const struct item *it, unsigned i, uint64_t *loc, uint32_t *bytes);
void item_write_piece(uint8_t *entry, uint64_t loc, uint32_t bytes);

/* Piece records. */
void item_write_piece_header(uint8_t *p, uint64_t hash, uint32_t bytes);
SYNC_UNSANITIZED void item_set_piece_owner(uint8_t *p, uint64_t hash);
SYNC_UNSANITIZED uint64_t item_piece_owner(const uint8_t *p);
static inline uint32_t item_piece_bytes(const uint8_t *p) {
    uint32_t n;
    memcpy(&n, p + 10, 4);
    return n;
}

/* Bytes of the record at p, of whatever kind. */
uint32_t item_any_bytes(uint8_t *p);

#endif
