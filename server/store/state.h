/* SPDX-License-Identifier: BSD-3-Clause
 *
 * state - the store itself: what all threads share, and in a part of its own what only the maintenance thread touches.
 *
 * Lock order: see README.md.
 */
#ifndef TAGCACHED_STORE_STATE_H
#define TAGCACHED_STORE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/sync.h"
#include "store/age.h"
#include "store/ghost.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/maintenance.h"
#include "store/purge.h"
#include "store/segment.h"
#include "store/store.h"

/* Segments that several threads append to. */
struct shared_open {
    struct sync_spin lock;
    struct opened open;
};

TAILQ_HEAD(turn_list, turn);

struct store {
    struct store_config cfg;
    uint64_t number_first;                        /* no version is below this */
    uint64_t number __attribute__((aligned(64))); /* the next version to give out */
    struct segments segs __attribute__((aligned(64)));
    struct index ix;
    struct purge_table purge;
    struct ghost ghost;
    struct ages ages;
    struct epoch epoch;
    struct epoch_record *records;
    struct store_worker *handles; /* those of the callers and, last, the maintenance thread's */
    unsigned nhandles;            /* of these */
    struct shared_open main_open, upload_open;
    uint64_t start_ns;
    uint64_t inline_max;
    uint64_t limit; /* bytes; may change while running */
    uint32_t flush_at;
    uint32_t soonest; /* no item expires before this second; 0: none expires at all. Any thread lowers it */
    bool watch_evictions;

    pthread_mutex_t uploads_lock; /* for the lists; nothing is locked under it */
    struct turn_list uploads_waiting, uploads_under_way;
    uint64_t turns;                                  /* uploads that ever began */
    uint64_t uploads, upload_bytes, upload_segments; /* under way; their bytes; segments that hold some of them */

    uint32_t segments_wanted; /* free ones, that somebody needs at once */
    uint32_t pinned;          /* segments with a pin, estimated */
    bool segment_missed;      /* somebody found no segment since a sweep pass ended */
    bool exhausted;           /* and none is to be had (maintain.c) */
    bool index_waits;         /* somebody found the bucket of a new key full: on_room when the index has grown */
    bool purge_waits;         /* a purge found no place: on_room when there is one; written with the table's mutex */

    pthread_mutex_t jobs_lock;      /* for the lists; nothing is locked under it */
    struct store_job *jobs;         /* for the next pass of the sweeper */
    struct store_erasing *erasings; /* who waits for a round of erase.c that has not begun */

    uint64_t reset[STORE_METRICS]; /* counters as of the last `stats reset` */
    struct maintain_thread thread;
    struct maintain maintain; /* the maintenance thread's own */
};

/* How many items there are. Any thread; while others store and delete, an estimate. */
static inline uint64_t store_items(const struct store *s) {
    return store_metric(s, STORE_METRIC_items_added) - store_metric(s, STORE_METRIC_items_removed);
}

/* The maintenance thread's handle. */
static inline struct store_worker *maintenance(struct store *s) {
    return &s->handles[s->nhandles - 1];
}
static inline struct segment *segment_by_loc(const struct store *s, uint64_t loc) {
    return &s->segs.seg[segment_of(&s->segs, loc)];
}

#endif
