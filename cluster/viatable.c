/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/viatable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* 32 bits of number, 48 of counter and 48 of value. A number is never 0, so an entry of zeros is free. */
struct viatable_entry {
    uint32_t number;
    uint16_t counter_high, value_high;
    uint32_t counter_low, value_low;
};

static uint64_t home(const struct viatable *t, struct purge_via via) {
    uint64_t x = via.counter * UINT64_C(0x9e3779b97f4a7c15) ^ via.number * UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 32;
    x *= UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 29) & t->mask;
}

static struct purge_via via_of(const struct viatable_entry *e) {
    return (struct purge_via){e->number, (uint64_t)e->counter_high << 32 | e->counter_low};
}

static uint64_t value_of(const struct viatable_entry *e) {
    return (uint64_t)e->value_high << 32 | e->value_low;
}

static bool same(struct purge_via a, struct purge_via b) {
    return a.number == b.number && a.counter == b.counter;
}

/* Where the via is, or the free entry that it would take. */
static uint64_t place(const struct viatable *t, struct purge_via via) {
    uint64_t i = home(t, via);
    while (t->entries[i].number != 0 && !same(via_of(&t->entries[i]), via)) i = (i + 1) & t->mask;
    return i;
}

int viatable_init(struct viatable *t, uint64_t expected) {
    uint64_t n = 64;
    while (n * 3 / 4 < expected) n *= 2;
    *t = (struct viatable){.entries = calloc(n, sizeof *t->entries), .mask = n - 1};
    return t->entries == NULL ? -ENOMEM : 0;
}

void viatable_fini(struct viatable *t) {
    free(t->entries);
    *t = (struct viatable){0};
}

static int grow(struct viatable *t) {
    struct viatable wider;
    if (viatable_init(&wider, (t->mask + 1) * 3 / 2) != 0) return -ENOMEM;
    for (uint64_t i = 0; i <= t->mask; i++)
        if (t->entries[i].number != 0) wider.entries[place(&wider, via_of(&t->entries[i]))] = t->entries[i];
    wider.used = t->used;
    viatable_fini(t);
    *t = wider;
    return 0;
}

int viatable_set(struct viatable *t, struct purge_via via, uint64_t value) {
    CHECK(via.number != 0 && via.counter <= PURGE_EVENT_COUNTER_MAX && value <= VIATABLE_VALUE_MAX);
    uint64_t i = place(t, via);
    if (t->entries[i].number == 0) {
        if ((t->used + 1) * 4 > (t->mask + 1) * 3) {
            if (grow(t) != 0) return -ENOMEM;
            i = place(t, via);
        }
        t->used++;
    }
    t->entries[i] = (struct viatable_entry){
        .number = via.number,
        .counter_high = (uint16_t)(via.counter >> 32),
        .counter_low = (uint32_t)via.counter,
        .value_high = (uint16_t)(value >> 32),
        .value_low = (uint32_t)value,
    };
    return 0;
}

bool viatable_get(const struct viatable *t, struct purge_via via, uint64_t *value) {
    const struct viatable_entry *e = &t->entries[place(t, via)];
    if (e->number == 0) return false;
    *value = value_of(e);
    return true;
}

void viatable_remove(struct viatable *t, struct purge_via via, uint64_t value) {
    uint64_t hole = place(t, via);
    if (t->entries[hole].number == 0 || value_of(&t->entries[hole]) != value) return;
    for (uint64_t i = (hole + 1) & t->mask; t->entries[i].number != 0; i = (i + 1) & t->mask) {
        /* an entry may move to the hole unless its home lies behind the hole */
        const uint64_t from_home = (i - home(t, via_of(&t->entries[i]))) & t->mask;
        if (from_home < ((i - hole) & t->mask)) continue;
        t->entries[hole] = t->entries[i];
        hole = i;
    }
    t->entries[hole] = (struct viatable_entry){0};
    t->used--;
}

void viatable_clear(struct viatable *t) {
    memset(t->entries, 0, (t->mask + 1) * sizeof *t->entries);
    t->used = 0;
}
