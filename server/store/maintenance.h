/* SPDX-License-Identifier: BSD-3-Clause
 *
 * maintenance - what the maintenance thread knows from one round to the next, a struct for each file that does a part
 * of its work; and the thread itself.
 *
 * Types only, so that the store (state.h) can hold them below the files that they belong to.
 */
#ifndef TAGCACHED_STORE_MAINTENANCE_H
#define TAGCACHED_STORE_MAINTENANCE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/segment.h"

struct store_erasing;
struct store_job;

/* A record in a segment: move.h. */
struct move_record {
    uint64_t loc, hash; /* of a piece: of its item */
    uint32_t bytes;     /* of the record */
    bool piece;
};

/* The thread, and how it is woken. */
struct maintain_thread {
    pthread_t thread;
    pthread_mutex_t mutex; /* of the condition and of `stop` */
    pthread_cond_t wake;
    bool started, stop;   /* whoever starts and stops the store */
    bool woken, sleeping; /* any thread */
};

/* retire.c */
struct retire {
    struct segment_list list; /* segments that wait to become free; their sealed_at is the grace period they wait for */
    uint32_t stuck;           /* of those only a pin holds back, as of the latest look */
};

/* allowance.c */
struct allowance {
    uint64_t bytes; /* that may still be copied */
    uint32_t given; /* segments that stores had taken when it was last added to */
};

/* compact.c */
struct compact {
    uint32_t at, dead_at; /* where the next look for a partly dead segment, for dead ones begins */
    uint32_t target[2];   /* of each queue the segment that is being filled, or SEGMENT_NONE */
    struct allowance allowance;
};

/* evict.c */
struct evict {
    double density; /* running average of the median hits per byte of main segments, log2 */
    bool density_known;
    bool credit_begun;
    uint64_t credit; /* bytes that may still be carried on */
    struct allowance allowance;
    double leaving; /* running average of the size of what leaves small, log2 */
};

/* cold.c: whether main has gone cold, and its trial then */
struct cold {
    bool cold;         /* main is */
    unsigned look_in;  /* evictions until main's oldest segment is compared with small's again */
    uint32_t watched;  /* the segment of main that is, or SEGMENT_NONE */
    uint32_t tried;    /* the latest that was put on trial, or SEGMENT_NONE */
    uint32_t on_trial; /* segments */
};

/* sweep.c: the pass under way, or the latest one */
struct sweep {
    bool active;
    bool ending;            /* every segment was met: the pass ends when a grace period has passed */
    uint32_t at;            /* next segment */
    uint64_t version;       /* purges up to here are done when the pass ends */
    uint64_t grace;         /* the pass begins, or ends, when this grace period has passed */
    uint64_t began_ns;      /* when the pass began */
    uint64_t next_ns;       /* when the next step may be taken */
    uint64_t group;         /* next index group to pack */
    uint64_t removed;       /* items ever taken out that it has packed groups for */
    uint64_t progress_ns;   /* when it got on last, or no purge waited for it */
    uint64_t floors;        /* of the purge table, as told last */
    uint64_t floors_ns;     /* when */
    struct store_job *jobs; /* those this pass serves */
};

/* erase.c: the round under way */
enum erase_state { ERASE_IDLE, ERASE_WALK, ERASE_FOUND, ERASE_DEAD, ERASE_LAST };
enum erase_walk { ERASE_FIRST_WALK, ERASE_WALK_AGAIN, ERASE_LAST_WALK };
struct erase {
    enum erase_state state;
    bool wanted;                 /* a pass has ended since it began */
    uint32_t at, offset;         /* of the walk: the segment, where in it (SEGMENT_NONE: at its beginning) */
    uint32_t n;                  /* records on the list, whose state is that of the round */
    uint32_t nawaited;           /* segments that have to be freed before it may end */
    uint64_t grace;              /* the grace period that the state waits for */
    uint64_t next_ns;            /* when the next step may be taken */
    struct move_record *list;    /* LIST_MAX of them */
    uint32_t *done;              /* of each segment: dead bytes that are overwritten */
    bool *awaited, *again;       /* of each segment: it has to be freed; a body was being received into it */
    enum erase_walk walk;        /* which one this is */
    struct store_erasing *waits; /* who waits for the end of this round */
};

/* What only the maintenance thread touches. */
struct maintain {
    struct retire retire;
    struct compact compact;
    struct evict evict;
    struct cold cold;
    struct sweep sweep;
    struct erase erase;
    uint64_t items;          /* held, as of this round */
    uint64_t merged_at;      /* grace period after the last merge of index groups; 0: nothing to release */
    uint64_t ghost_grace;    /* that a ghost table to be freed waits for; 0: none */
    unsigned idle_rounds;    /* since there was something to do */
    unsigned starved_rounds; /* in which segments were wanted and none became free */
    uint64_t starved_ns;     /* when the first of them was */
    bool uploads_wait;       /* for their turn, as of this round */
};

#endif
