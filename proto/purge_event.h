/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_event - one purge as bytes: the record that nodes send each other and that their logs keep.
 *
 *   0  u16 units       length of the record in units of 8 bytes
 *   2  u8  flags       bit 0: soft; bit 1: counted; bit 7 belongs to the log that keeps the record; the others are
 * ignored 3  u8  nselectors  1..64 4  u32 ttl_s       how long a softly purged item may still be served 8  u64 counter
 * of the via, below 2^48 16  u32 number      of the via: the member that was asked for the purge 20  u8
 * ntags[nselectors], filled up to a multiple of 8 bytes with zeros; 0 tags: everything (`*`)
 *   -  u64 tags        hashes, those of the first selector first
 *
 * All numbers are little-endian. A purge of one tag takes 32 bytes. The origin and the sequence are not in the record:
 * records stand in the order of their sequences, and what holds them says where they begin.
 *
 * Nothing here allocates; any thread.
 */
#ifndef TAGCACHED_PROTO_PURGE_EVENT_H
#define TAGCACHED_PROTO_PURGE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PURGE_EVENT_SELECTORS_MAX 64
#define PURGE_EVENT_TAGS_MAX 64 /* of one selector */
#define PURGE_EVENT_ONE_TAG 32  /* bytes of the record of a purge of one tag */
#define PURGE_EVENT_MIN 24      /* bytes of the shortest record: a purge of everything */
#define PURGE_EVENT_MAX (88 + PURGE_EVENT_SELECTORS_MAX * PURGE_EVENT_TAGS_MAX * 8)
#define PURGE_EVENT_COUNTER_MAX ((UINT64_C(1) << 48) - 1)

/* Where a purge came from: the member that a client asked, and that member's own count. The same purge keeps its via
 * however often it is submitted, so it is recognised. */
struct purge_via {
    uint32_t number; /* never 0 */
    uint64_t counter;
};

/* Every tag of a selector must be on an item; no tag at all means everything. */
struct purge_selector {
    unsigned ntags;
    const uint64_t *tags;
};

/* What a record says. */
struct purge_event {
    struct purge_via via;
    bool soft;
    bool counted; /* who asked wants to know how many items it takes out */
    uint32_t ttl_s;
    unsigned nselectors;
    const struct purge_selector *selectors;
};

/* Bytes that the record of `e` takes; 0: it is beyond the bounds above. */
size_t purge_event_bytes(const struct purge_event *e);
/* Writes the record to out, which has purge_event_bytes of room. Returns that number. `e` is within the bounds. */
size_t purge_event_write(const struct purge_event *e, uint8_t *out);

/* Bytes of the record that begins at p, of which n bytes are there; 0: they are no record. Reads nothing beyond n. */
size_t purge_event_check(const uint8_t *p, size_t n);

/* The following take a record that purge_event_check has passed. */
size_t purge_event_size(const uint8_t *record);
struct purge_via purge_event_via(const uint8_t *record);
bool purge_event_soft(const uint8_t *record);
bool purge_event_counted(const uint8_t *record);
uint32_t purge_event_ttl_s(const uint8_t *record);
/* Whether one of its selectors is everything. */
bool purge_event_everything(const uint8_t *record);
unsigned purge_event_nselectors(const uint8_t *record);
/* Copies the selectors to `selectors` and their tags to `tags`; returns how many tags. Both have room for all. */
unsigned purge_event_selectors(const uint8_t *record, struct purge_selector *selectors, uint64_t *tags);

/* The bit that belongs to the log: whether the purge was applied already when this record came. */
bool purge_event_repeated(const uint8_t *record);
void purge_event_set_repeated(uint8_t *record, bool repeated);

#endif
