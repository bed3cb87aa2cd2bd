/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/moved_item.h"

#include <string.h>

enum { HAS_CAS = 1, HAS_PART = 2, HAS_ALL = 3 };

/* What every record begins with. */
struct head {
    uint32_t bytes;
    uint8_t nkey, bits, ntags, has;
    uint32_t flags, ttl_s;
    uint64_t version;
};
_Static_assert(sizeof(struct head) == 24, "the struct is what travels");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers travel as they lie");

static unsigned what_it_has(const struct moved_item *it) {
    return (it->has_cas ? HAS_CAS : 0) | (it->at != 0 || it->nvalue != it->size ? HAS_PART : 0);
}

/* Bytes of a record beside the value. */
static size_t rest_bytes(unsigned has, unsigned ntags, unsigned nkey) {
    return sizeof(struct head) + (has & HAS_CAS ? 8 : 0) + (has & HAS_PART ? 16 : 0) + ntags * sizeof(uint64_t) + nkey;
}

size_t moved_item_bytes(const struct moved_item *it) {
    return rest_bytes(what_it_has(it), it->ntags, it->nkey) + it->nvalue;
}

static uint8_t *put(uint8_t *p, const void *from, size_t n) {
    if (n > 0) memcpy(p, from, n);
    return p + n;
}

size_t moved_item_pack(const struct moved_item *it, uint8_t *to) {
    const unsigned has = what_it_has(it);
    const struct head h = {.bytes = (uint32_t)moved_item_bytes(it),
                           .nkey = (uint8_t)it->nkey,
                           .bits = it->bits,
                           .ntags = (uint8_t)it->ntags,
                           .has = (uint8_t)has,
                           .flags = it->flags,
                           .ttl_s = it->ttl_s,
                           .version = it->version};
    uint8_t *p = put(to, &h, sizeof h);
    if (has & HAS_CAS) p = put(p, &it->cas, sizeof it->cas);
    if (has & HAS_PART) p = put(put(p, &it->size, sizeof it->size), &it->at, sizeof it->at);
    p = put(p, it->tags, it->ntags * sizeof it->tags[0]);
    p = put(p, it->key, it->nkey);
    p = put(p, it->value, it->nvalue);
    return (size_t)(p - to);
}

static const uint8_t *get(const uint8_t *p, void *to, size_t n) {
    if (n > 0) memcpy(to, p, n);
    return p + n;
}

size_t moved_item_read(const uint8_t *p, size_t n, struct moved_item *out) {
    struct head h;
    if (n < sizeof h) return 0;
    const uint8_t *end = p;
    p = get(p, &h, sizeof h);
    if (h.nkey == 0 || h.nkey > MOVED_ITEM_KEY_MAX || h.ntags > MOVED_ITEM_TAGS_MAX || h.has > HAS_ALL) return 0;
    if (h.bytes > n || h.bytes < rest_bytes(h.has, h.ntags, h.nkey)) return 0;
    end += h.bytes;
    *out = (struct moved_item){.nkey = h.nkey,
                               .version = h.version,
                               .flags = h.flags,
                               .ttl_s = h.ttl_s,
                               .bits = h.bits,
                               .has_cas = h.has & HAS_CAS,
                               .ntags = h.ntags};
    if (h.has & HAS_CAS) p = get(p, &out->cas, sizeof out->cas);
    if (h.has & HAS_PART) p = get(get(p, &out->size, sizeof out->size), &out->at, sizeof out->at);
    p = get(p, out->tags, h.ntags * sizeof out->tags[0]);
    out->key = (const char *)p;
    p += h.nkey;
    out->value = (const char *)p;
    out->nvalue = (uint32_t)(end - p);
    if (!(h.has & HAS_PART)) out->size = out->nvalue;
    return out->at <= out->size && out->nvalue <= out->size - out->at ? h.bytes : 0;
}
