/* SPDX-License-Identifier: BSD-3-Clause
 *
 * store_lab - a store on a bench: a clock the test moves, a few request handles, threads that stop at a named point
 * until the test lets them go, rules that the test breaks on purpose, and a check of everything the store counts.
 *
 * One lab at a time may use points and mutations (the hook is one per process). The test's own thread is the
 * maintenance thread unless the store was started.
 */
#ifndef TAGCACHED_TESTS_STORE_LAB_H
#define TAGCACHED_TESTS_STORE_LAB_H

#include <pthread.h>

#include "store/handle.h"
#include "store/state.h"
#include "store/store.h"

#define LAB_WORKERS 4
#define LAB_HANDLES (LAB_WORKERS + 1) /* the last one as of a thread that serves no requests */

struct lab {
    struct clock_manual clock;
    struct store *s;
    struct store_worker *w[LAB_HANDLES];
};

/* Makes a store of so many bytes; prefix: see store_config.prefix_delimiter. Fails the test if it cannot. */
void lab_open(struct lab *l, uint64_t limit, char prefix);
/* The same of a store that overwrites what is dead. */
void lab_open_erasing(struct lab *l, uint64_t limit);
/* Checks that everything is accounted for and frees the store. */
void lab_close(struct lab *l);

/* One call in a section of its own. */
enum store_status lab_put(struct lab *l, unsigned worker, struct store_put *p);
/* Sets, running maintenance when there is no room. */
enum store_status lab_set(struct lab *l, unsigned worker, const char *key, const char *value, const uint64_t *tags,
                          unsigned ntags);
/* Looks up; true for a hit. `it` may be NULL; its pointers are no longer valid. */
bool lab_get(struct lab *l, unsigned worker, const char *key, struct store_item *it);
/* Looks up and compares the value. */
bool lab_has(struct lab *l, unsigned worker, const char *key, const char *value);
/* Creates or wins through a meta get; returns the CAS id for the fill. */
uint64_t lab_token(struct lab *l, unsigned worker, const char *key);
/* A store guarded by an id. */
enum store_status lab_fill(struct lab *l, unsigned worker, const char *key, const char *value, uint64_t guard,
                           const uint64_t *tags, unsigned ntags);
/* Copies the next bytes of a body, at most `max`, into its upload; STORE_AGAIN if there is no room. */
enum store_status lab_upload_some(struct store_worker *w, struct store_upload *u, const void *body, uint64_t size,
                                  size_t max);
/* Uploads a body, running maintenance when there is no room; to be handed to a put. */
struct store_upload *lab_upload(struct lab *l, unsigned worker, const void *body, uint64_t size);
/* Sets "key-N" to so many bytes, as an upload if they are many, running maintenance when there is no room and now and
 * then otherwise. */
void lab_set_nth(struct lab *l, unsigned n, uint32_t bytes);
/* Looks "key-N" up; true for a hit. */
bool lab_has_nth(struct lab *l, unsigned n);
enum store_status lab_delete(struct lab *l, unsigned worker, const char *key);
/* Purges, waiting for room and for the end as a connection would; returns the number. Unless the store was started the
 * caller sweeps meanwhile. *n (may be NULL): what on_job said of a counted purge. */
uint64_t lab_purge_by(struct lab *l, struct store_worker *w, const struct store_purge *p, int64_t *n);
/* Purges a conjunction of n tags, or everything when n is 0. */
uint64_t lab_purge(struct lab *l, unsigned worker, unsigned n, const uint64_t *tags, bool soft, uint32_t ttl_s);
/* The i-th of the tags that have the same two buckets of the purge table as `tag`, other than it. */
uint64_t lab_neighbour(const struct purge_table *t, uint64_t tag, unsigned i);
/* Makes the purge table let go of a tag, by purging others that have the same buckets; what no sweep has carried out
 * goes, too. */
void lab_shed(struct lab *l, unsigned worker, uint64_t tag);
/* Stores other keys until the worker's open segment is another one. */
void lab_next_segment(struct lab *l, unsigned worker);
/* The segment that a key's record lies in. */
uint32_t lab_segment(struct lab *l, const char *key);

/* Breaks the rule of this name (a FAULT_POINT) from now on; NULL: none. */
void lab_mutate(const char *name);
/* Calls fn each time somebody passes the point, on that thread; NULL: no longer. */
void lab_at(const char *point, void (*fn)(void *arg), void *arg);

/* A thread that stops when it first passes a point. */
struct lab_thread {
    pthread_t thread;
    const char *point;
    void (*fn)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool passed, stopped, released, ended;
};
/* Runs fn until it stops at the point. False if it ended without passing it. */
bool lab_run(struct lab_thread *t, const char *point, void (*fn)(void *arg), void *arg);
/* Lets it go on. */
void lab_release(struct lab_thread *t);
/* Lets it go on and waits for its end. */
void lab_finish(struct lab_thread *t);

/* Walks index and segments and checks that they agree with each other and with every counter. Nobody may be using the
 * store. Returns NULL, or what is wrong. */
const char *lab_validate(struct store *s);

#endif
