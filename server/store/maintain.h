/* SPDX-License-Identifier: BSD-3-Clause
 *
 * maintain - the maintenance thread: what it alone knows, and its loop.
 */
#ifndef TAGCACHED_STORE_MAINTAIN_H
#define TAGCACHED_STORE_MAINTAIN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/cold.h"
#include "store/compact.h"
#include "store/evict.h"
#include "store/sweep.h"

/* The thread, and how it is woken. */
struct maintain_thread {
    pthread_t thread;
    pthread_mutex_t mutex; /* of the condition and of `stop` */
    pthread_cond_t wake;
    bool started, stop;   /* whoever starts and stops the store */
    bool woken, sleeping; /* any thread */
};

/* What only the maintenance thread touches. */
struct maintain {
    struct compact compact;
    struct evict evict;
    struct cold cold;
    struct sweep sweep;
    uint64_t items;          /* held, as of this round */
    uint64_t merged_at;      /* grace period after the last merge of index groups; 0: nothing to release */
    uint64_t ghost_grace;    /* that a ghost table to be freed waits for; 0: none */
    unsigned idle_rounds;    /* since there was something to do */
    unsigned starved_rounds; /* in which segments were wanted and none became free */
    uint64_t starved_ns;     /* when the first of them was */
    bool uploads_wait;       /* for their turn, as of this round */
};

/* So many segments exist whatever the limit: two open for each handle (the maintenance thread's stand for main), and
 * for uploads, what compaction moves, the reserve, some to evict. Else threads that hold open ones and are idle could
 * leave another none. */
static inline uint32_t maintain_segments_least(unsigned nhandles) {
    return 2 * nhandles + 8;
}

/* For how long the maintenance thread may sleep after a round that found nothing to do, unless it is woken. */
uint64_t maintain_idle_ns(struct store *s);

#endif
