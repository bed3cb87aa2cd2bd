/* SPDX-License-Identifier: BSD-3-Clause */
#include "proto/purge_event.h"

#include <endian.h>
#include <string.h>

#include "base/check.h"

enum { FLAG_SOFT = 1, FLAG_COUNTED = 2, FLAG_REPEATED = 128 };
enum { AT_UNITS = 0, AT_FLAGS = 2, AT_NSELECTORS = 3, AT_TTL = 4, AT_COUNTER = 8, AT_NUMBER = 16, AT_NTAGS = 20 };

static uint64_t get64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

static uint32_t get32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static void put64(uint8_t *p, uint64_t v) {
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static void put32(uint8_t *p, uint32_t v) {
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

/* Where the tags begin. */
static size_t tags_at(unsigned nselectors) {
    return (AT_NTAGS + nselectors + 7u) & ~(size_t)7;
}

size_t purge_event_bytes(const struct purge_event *e) {
    size_t n = 0;
    if (e->nselectors == 0 || e->nselectors > PURGE_EVENT_SELECTORS_MAX) return 0;
    if (e->via.number == 0 || e->via.counter > PURGE_EVENT_COUNTER_MAX) return 0;
    for (unsigned i = 0; i < e->nselectors; i++) {
        if (e->selectors[i].ntags > PURGE_EVENT_TAGS_MAX) return 0;
        n += e->selectors[i].ntags;
    }
    return tags_at(e->nselectors) + 8 * n;
}

size_t purge_event_write(const struct purge_event *e, uint8_t *out) {
    const size_t bytes = purge_event_bytes(e);
    uint8_t *tag = out + tags_at(e->nselectors);
    CHECK(bytes != 0);
    memset(out, 0, tags_at(e->nselectors));
    const uint16_t units = htole16((uint16_t)(bytes / 8));
    memcpy(out + AT_UNITS, &units, sizeof units);
    out[AT_FLAGS] = (uint8_t)((e->soft ? FLAG_SOFT : 0) | (e->counted ? FLAG_COUNTED : 0));
    out[AT_NSELECTORS] = (uint8_t)e->nselectors;
    put32(out + AT_TTL, e->ttl_s);
    put64(out + AT_COUNTER, e->via.counter);
    put32(out + AT_NUMBER, e->via.number);
    for (unsigned i = 0; i < e->nselectors; i++) {
        out[AT_NTAGS + i] = (uint8_t)e->selectors[i].ntags;
        for (unsigned j = 0; j < e->selectors[i].ntags; j++, tag += 8) put64(tag, e->selectors[i].tags[j]);
    }
    return bytes;
}

size_t purge_event_check(const uint8_t *p, size_t n) {
    size_t ntags = 0;
    if (n < PURGE_EVENT_MIN) return 0;
    const size_t bytes = purge_event_size(p);
    const unsigned nselectors = p[AT_NSELECTORS];
    if (bytes > n || nselectors == 0 || nselectors > PURGE_EVENT_SELECTORS_MAX || bytes < tags_at(nselectors)) return 0;
    if (get32(p + AT_NUMBER) == 0 || get64(p + AT_COUNTER) > PURGE_EVENT_COUNTER_MAX) return 0;
    for (unsigned i = 0; i < nselectors; i++) {
        if (p[AT_NTAGS + i] > PURGE_EVENT_TAGS_MAX) return 0;
        ntags += p[AT_NTAGS + i];
    }
    return bytes == tags_at(nselectors) + 8 * ntags ? bytes : 0;
}

size_t purge_event_size(const uint8_t *record) {
    uint16_t units;
    memcpy(&units, record + AT_UNITS, sizeof units);
    return (size_t)le16toh(units) * 8;
}

struct purge_via purge_event_via(const uint8_t *record) {
    return (struct purge_via){.number = get32(record + AT_NUMBER), .counter = get64(record + AT_COUNTER)};
}

bool purge_event_soft(const uint8_t *record) {
    return record[AT_FLAGS] & FLAG_SOFT;
}

bool purge_event_counted(const uint8_t *record) {
    return record[AT_FLAGS] & FLAG_COUNTED;
}

uint32_t purge_event_ttl_s(const uint8_t *record) {
    return get32(record + AT_TTL);
}

bool purge_event_everything(const uint8_t *record) {
    return memchr(record + AT_NTAGS, 0, record[AT_NSELECTORS]) != NULL;
}

unsigned purge_event_nselectors(const uint8_t *record) {
    return record[AT_NSELECTORS];
}

unsigned purge_event_selectors(const uint8_t *record, struct purge_selector *selectors, uint64_t *tags) {
    const unsigned nselectors = record[AT_NSELECTORS];
    const uint8_t *tag = record + tags_at(nselectors);
    unsigned n = 0;
    for (unsigned i = 0; i < nselectors; i++) {
        selectors[i] = (struct purge_selector){.ntags = record[AT_NTAGS + i], .tags = tags + n};
        for (unsigned j = 0; j < selectors[i].ntags; j++, tag += 8) tags[n++] = get64(tag);
    }
    return n;
}

bool purge_event_repeated(const uint8_t *record) {
    return record[AT_FLAGS] & FLAG_REPEATED;
}

void purge_event_set_repeated(uint8_t *record, bool repeated) {
    record[AT_FLAGS] = (uint8_t)((record[AT_FLAGS] & ~FLAG_REPEATED) | (repeated ? FLAG_REPEATED : 0));
}
