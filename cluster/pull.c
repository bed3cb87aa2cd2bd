/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/pull.h"

#include <string.h>

#include "cluster/mutation.h"

#define WORD sizeof(uint64_t)
#define ORIGIN_BYTES 12 /* of a packed stand */

_Static_assert(sizeof(struct pull_stand) % WORD == 0, "it is copied word by word");

/* Words of a stand with n origins. */
static size_t words(uint64_t n) {
    return (offsetof(struct pull_stand, seen) + n * sizeof(struct pull_seen)) / WORD;
}

void pull_publish(struct pull_board *b, const struct pull_stand *s) {
    uint64_t *to = (uint64_t *)(void *)&b->stand;
    const uint64_t *from = (const uint64_t *)(const void *)s;
    sync_sequence_write_begin(&b->sequence);
    for (size_t i = 0; i < words(s->n); i++) sync_store(&to[i], from[i]);
    sync_sequence_write_end(&b->sequence);
}

void pull_read(const struct pull_board *b, struct pull_stand *out) {
    const uint64_t *from = (const uint64_t *)(const void *)&b->stand;
    uint64_t *to = (uint64_t *)(void *)out;
    unsigned version;
    do {
        version = sync_sequence_read_begin(&b->sequence);
        const uint64_t n = sync_load(&b->stand.n);
        for (size_t i = 0; i < words(n < PULL_ORIGINS_MAX ? n : PULL_ORIGINS_MAX); i++) to[i] = sync_load(&from[i]);
    } while (sync_sequence_read_retry(&b->sequence, version));
}

/* ------------------------------------------------------------------ on the wire: little-endian, as it lies */

/* known and usable u8 | epoch, version, floor_epoch, retire_version u64 | n u16 | n times origin u32, sequence u64 */
size_t pull_pack(const struct pull_stand *s, void *to) {
    const uint64_t numbers[4] = {s->epoch, s->version, s->floor_epoch, s->retire_version};
    uint8_t *p = to;
    const uint16_t n = (uint16_t)s->n;
    *p = (uint8_t)(s->known | s->usable << 1);
    memcpy(p + 1, numbers, sizeof numbers);
    memcpy(p + 1 + sizeof numbers, &n, sizeof n);
    p += PULL_HEAD;
    for (unsigned i = 0; i < n; i++, p += ORIGIN_BYTES) {
        const uint32_t origin = (uint32_t)s->seen[i].origin;
        memcpy(p, &origin, 4);
        memcpy(p + 4, &s->seen[i].sequence, 8);
    }
    return (size_t)(p - (uint8_t *)to);
}

size_t pull_unpack(const void *bytes, size_t size, struct pull_stand *out) {
    const uint8_t *p = bytes;
    uint64_t numbers[4];
    uint16_t n;
    if (size < PULL_HEAD) return 0;
    memcpy(numbers, p + 1, sizeof numbers);
    memcpy(&n, p + 1 + sizeof numbers, sizeof n);
    if (n > PULL_ORIGINS_MAX || size < PULL_HEAD + ORIGIN_BYTES * (size_t)n) return 0;
    out->number = 0;
    out->known = *p & 1;
    out->usable = *p >> 1 & 1;
    out->epoch = numbers[0];
    out->version = numbers[1];
    out->floor_epoch = numbers[2];
    out->retire_version = numbers[3];
    out->n = n;
    p += PULL_HEAD;
    for (unsigned i = 0; i < n; i++, p += ORIGIN_BYTES) {
        uint32_t origin;
        memcpy(&origin, p, 4);
        out->seen[i].origin = origin;
        memcpy(&out->seen[i].sequence, p + 4, 8);
    }
    return PULL_HEAD + ORIGIN_BYTES * (size_t)n;
}

/* What the node has applied of an origin. */
static uint64_t applied(const struct pull_stand *s, uint64_t origin) {
    for (unsigned i = 0; i < s->n; i++)
        if (s->seen[i].origin == origin) return s->seen[i].sequence;
    return 0;
}

bool pull_covers(const struct pull_stand *giver, const struct pull_stand *receiver) {
    if (MUTATED(MUTATION_PULL_NO_VECTOR)) return true;
    if (giver->known == 0 || receiver->usable == 0) return false;
    if (giver->epoch < receiver->floor_epoch || giver->version < receiver->retire_version) return false;
    for (unsigned i = 0; i < receiver->n; i++)
        if (applied(giver, receiver->seen[i].origin) < receiver->seen[i].sequence) return false;
    return true;
}
