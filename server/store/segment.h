/* SPDX-License-Identifier: BSD-3-Clause
 *
 * segment - the arena: one reserved address range cut into equal segments, each a log of records.
 *
 * A segment is absent, free, open (somebody appends to it), sealed (in a queue), or retired (everything in it is
 * unlinked; it waits for a grace period and for its pins). Segments are named by index; a location is an offset in the
 * arena.
 *
 * Threads: free segments under a spinlock; the queues under another; a segment's counters are atomic. Only the
 * maintenance thread takes segments out of queues.
 */
#ifndef TAGCACHED_STORE_SEGMENT_H
#define TAGCACHED_STORE_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sync.h"

#define SEGMENT_NONE UINT32_MAX
#define SEGMENT_OVERDRAW UINT32_MAX
#define SEGMENT_MIN (32u << 10)
#define SEGMENT_MAX (1u << 20)

enum segment_state { SEGMENT_ABSENT, SEGMENT_FREE, SEGMENT_OPEN, SEGMENT_SEALED, SEGMENT_RETIRED };
enum segment_queue { SEGMENT_SMALL, SEGMENT_MAIN };

struct segment {
    uint64_t sealed_at;   /* grace period after which nobody still writes to it */
    uint64_t swept;       /* version of the latest purge when it was last swept */
    uint32_t used;        /* bytes appended; released after the record's lengths are there */
    uint32_t soonest;     /* of the expiries in it; 0: none expires */
    uint32_t opened;      /* store time */
    uint32_t uploads;     /* bodies being received into it: not to be evicted */
    uint32_t prev, next;  /* in its queue, or the free list */
    uint32_t inherited;   /* hits that do not count: they were there when the others began to; maintenance thread */
    uint32_t taken;       /* segments taken before it (see segment_older) */
    uint32_t since;       /* and before its hits began to count anew; maintenance thread */
    uint32_t dead_before; /* what all had counted of it as dead when it was taken (account.c); maintenance thread */
    uint32_t packed_dead; /* of its bytes, dead when compaction had filled it (compact.c); maintenance thread */
    uint8_t state, queue;
    uint8_t whole; /* it is one piece of a large value from end to end */
    bool trial;    /* its items' hits were forgotten when it was put on trial; maintenance thread */
};

_Static_assert(sizeof(struct segment) == 64, "what each segment costs beside its records");

struct segment_list {
    uint32_t head, tail, count;
};

struct segments {
    uint8_t *arena;
    uint32_t bytes;   /* of one segment */
    unsigned shift;   /* log2 of that */
    uint32_t max;     /* reserved */
    uint32_t limit;   /* how many may exist; maintenance thread, read by all */
    uint32_t exist;   /* exist now; free lock */
    uint32_t touched; /* lowest index never used yet; free lock */
    struct sync_spin free_lock, queue_lock;
    struct segment_list free, absent;
    struct segment_list queues[2];
    struct segment *seg;
    uint32_t taken; /* ever, modulo 2^32: the clock of their ages; free lock */
    uint32_t given; /* of these, to others than the maintenance thread; free lock */
    bool hugepages;
    bool erase; /* a segment is overwritten before it is free */
};

/* Reserves address space for max_bytes, in segments of `bytes` (a power of two). 0 or -ENOMEM. */
int segments_init(struct segments *s, uint64_t max_bytes, uint32_t bytes, bool hugepages);
void segments_fini(struct segments *s);

static inline uint32_t segment_of(const struct segments *s, uint64_t loc) {
    return (uint32_t)(loc >> s->shift);
}
static inline uint8_t *segment_at(const struct segments *s, uint64_t loc) {
    return s->arena + loc;
}
static inline uint64_t segment_loc(const struct segments *s, const void *p) {
    return (uint64_t)((const uint8_t *)p - s->arena);
}
static inline uint64_t segment_base(const struct segments *s, uint32_t i) {
    return (uint64_t)i << s->shift;
}
/* The offset of the first record: location 0 means "no item", so the first segment begins a little later. */
static inline uint32_t segment_first(uint32_t i) {
    return i == 0 ? 16 : 0;
}

/* Segments that could be had now: free ones, and ones that may yet come to exist. Any thread. */
uint32_t segment_available(const struct segments *s);
/* Takes a free segment, leaving at least `leave`, and opens it. SEGMENT_NONE if there is none. Any thread; the
 * maintenance thread, which moves records in order to free more, says SEGMENT_OVERDRAW: it may go over the limit (which
 * falls when the index grows) by what it has retired, so that nothing is lost for want of a place to move it to. */
uint32_t segment_take(struct segments *s, enum segment_queue q, uint32_t now, uint32_t leave);
/* An open segment is full: it goes to the end of its queue. `grace` is the number of a grace period begun after. */
void segment_seal(struct segments *s, uint32_t i, uint64_t grace);
/* Takes a sealed segment out of its queue. Maintenance thread. */
void segment_unqueue(struct segments *s, uint32_t i);
/* Puts a sealed segment at the end of a queue, or right behind another one of it. Maintenance thread. */
void segment_requeue(struct segments *s, uint32_t i, enum segment_queue q);
void segment_requeue_after(struct segments *s, uint32_t i, uint32_t after);
/* Whether nobody writes to a sealed segment any more. Maintenance thread, whose the epoch's grace periods are. */
bool segment_quiet(const struct segment *g, struct epoch *e);
/* The oldest quiet segment of a queue, or SEGMENT_NONE if it is not among the first few. Maintenance thread. */
uint32_t segment_oldest(struct segments *s, struct epoch *e, enum segment_queue q);
/* A retired segment is free again; or ceases to exist if there are more than `limit`. Maintenance thread. */
void segment_free(struct segments *s, uint32_t i);

/* Whether a was taken before b, of which neither is 2^31 segments old. */
static inline bool segment_older(const struct segment *a, const struct segment *b) {
    return (int32_t)(a->taken - b->taken) < 0;
}

/* Lowers a segment's soonest expiry, before an item with this expiry is visible; 0 never expires. True: it was later.
 * For whoever has told the sweeper (soonest.h). */
bool segment_expiry(struct segment *g, uint32_t expiry);

#endif
