/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stage - a store_lab whose maintenance thread runs, and actors on it: real threads, each with a worker's handle, who
 * wait for room as connections do. Bounded by numbers of operations; nobody sleeps.
 *
 * For the programs test_threads_*. Everything here but opening, closing and stage_run is for actors, on their threads.
 */
#ifndef TAGCACHED_TESTS_STAGE_H
#define TAGCACHED_TESTS_STAGE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "store_lab.h"

/* Numbers of operations: less of everything where everything is slow. */
#ifdef SYNC_TSAN
#define SCALE(n) ((n) / 8)
#else
#define SCALE(n) (n)
#endif

struct stage {
    struct lab lab;
    pthread_mutex_t lock;
    pthread_cond_t room;
    pthread_barrier_t begin;
    uint64_t rooms; /* times that room was told */
    unsigned busy;  /* threads that others go on for */
};

struct actor {
    struct stage *stage;
    struct store_worker *w;
    unsigned index;
    void (*fn)(struct actor *a);
    struct rand rand;
    pthread_t thread;
};

void stage_open(struct stage *s, uint64_t limit);
/* As lab_close: everything must be accounted for. */
void stage_close(struct stage *s);
/* Runs up to LAB_WORKERS threads to their end. */
void stage_run(struct stage *s, void (*const fns[])(struct actor *), unsigned n);
/* Waits until room was told since `seen`, a reading of `rooms`. */
void stage_wait(struct stage *s, uint64_t seen);

/* Puts, waiting for room as a parked connection would. */
enum store_status actor_put(struct actor *a, struct store_put *p, struct store_item *out);
/* Lets the clock go on, so that sweeps begin. */
void actor_tick(struct actor *a);

/* Tags spread over the purge table as hashes of names do. */
static inline uint64_t tag_of(unsigned n) {
    return n * 0x9e3779b97f4a7c15ull;
}

/* Ends the program: on an actor's thread there is no test to fail. */
#define BROKEN(...)                                                                                                    \
    do {                                                                                                               \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        abort();                                                                                                       \
    } while (0)

#endif
