/* SPDX-License-Identifier: BSD-3-Clause
 *
 * moved_item - an item on its way from the node that had its key to the node that has it now, as bytes: in chunks of a
 * hand-off (peer.proto, Handoff) and in answers to pulls. A long value may come in parts, each with all the rest.
 *
 *     bytes u32 | key_len u8 | bits u8 | ntags u8 | has u8 | flags u32 | ttl u32 | version u64
 *     [cas u64]              has & 1
 *     [size u64 | at u64]    has & 2: a part of a value of so many bytes, that begins there
 *     tags, u64 each | key | value, or the part of it
 *
 * Numbers are little-endian; `bytes` counts the whole record. Pure.
 */
#ifndef TAGCACHED_PROTO_MOVED_ITEM_H
#define TAGCACHED_PROTO_MOVED_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOVED_ITEM_KEY_MAX 250
#define MOVED_ITEM_TAGS_MAX 128
#define MOVED_ITEM_TTL_NEVER UINT32_MAX
/* Bytes of a record beside the value, at most. */
#define MOVED_ITEM_REST_MAX (24 + 8 + 16 + 8 * MOVED_ITEM_TAGS_MAX + MOVED_ITEM_KEY_MAX)

struct moved_item {
    const char *key; /* 1..MOVED_ITEM_KEY_MAX bytes */
    unsigned nkey;
    const char *value; /* this part of it */
    uint32_t nvalue;
    uint64_t size, at; /* of the whole value; where the part begins. A whole value: nvalue and 0 */
    uint64_t version;  /* the giver's, so that it can tell whether it still has the very item */
    uint64_t cas;      /* with has_cas: an explicit id */
    uint32_t flags;
    uint32_t ttl_s; /* left to live, in seconds; MOVED_ITEM_TTL_NEVER */
    uint8_t bits;   /* of the store (store.h, enum store_bits): stale, fetched, key in base64 */
    bool has_cas;
    unsigned ntags;
    uint64_t tags[MOVED_ITEM_TAGS_MAX]; /* hashes */
};

/* Whether the record has the end of its value. */
static inline bool moved_item_is_last(const struct moved_item *it) {
    return it->at + it->nvalue == it->size;
}

/* Bytes of its record. */
size_t moved_item_bytes(const struct moved_item *it);
/* Writes it to `to`, which has moved_item_bytes of room; returns that number. */
size_t moved_item_pack(const struct moved_item *it, uint8_t *to);
/* Reads the record that begins at p, of which n bytes are there; key and value point into it. Bytes of the record, or
 * 0: it is none. */
size_t moved_item_read(const uint8_t *p, size_t n, struct moved_item *out);

#endif
