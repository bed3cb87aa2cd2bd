/* SPDX-License-Identifier: BSD-3-Clause
 *
 * holders - which other nodes hold copies of a node's hot keys, and since when no more are given.
 *
 * The owner of a key enters who asks for a copy before it looks the item up. A change of the key waits until every
 * holder has said that its copy is gone, or until the copies have ended by themselves; meanwhile, and for a moment
 * after, no copies are given. So whoever reads once the change is answered finds it, on every node.
 *
 * A worker looks at the table only if its own filter has the key's bit, so that changes of other keys cost next to
 * nothing. It rebuilds the filter whenever keys were added (holders_filter). Therefore copies of a key are given only
 * once all workers have rebuilt theirs since the key was added: what a worker changes before that, without a look, no
 * copy can be older than.
 *
 * Pure, and bounded. The caller's lock guards it.
 */
#ifndef TAGCACHED_CLUSTER_HOLDERS_H
#define TAGCACHED_CLUSTER_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define HOLDERS_KEYS_MAX 256      /* keys of which copies may be held */
#define HOLDERS_NODES_MAX 64      /* nodes that may hold one */
#define HOLDERS_COPY_MS 1000      /* for how long a copy is served, by its holder's clock, from when it was asked for */
#define HOLDERS_KEPT_MS 1106      /* ... at most, by the owner's: clocks' rates differ by up to 5 % */
#define HOLDERS_QUIET_MS 100      /* no copies of a key that was changed so lately */
#define HOLDERS_IDLE_MS 10000     /* a key that nobody has asked for so long makes room for others, if they need it */
#define HOLDERS_VALUE_MAX 16384   /* bytes of a value that is copied */
#define HOLDERS_TAGS_MAX 8        /* tags of an item that is */
#define HOLDERS_FILTER_BITS 65536 /* of a worker's filter */

/* A change that waits. Part of what the caller keeps of it. */
struct holders_waiter {
    TAILQ_ENTRY(holders_waiter) entry;
};
TAILQ_HEAD(holders_waiters, holders_waiter);

struct holders_node {
    uint32_t member;
    uint64_t until_ns; /* its copy has ended by then */
};

struct holders_key {
    bool used, closed; /* closed: no copies are given */
    uint64_t hash;     /* this node's; */
    uint64_t name;     /* and the hash by which other nodes know the key */
    uint64_t generation;
    uint64_t asked_ns; /* last */
    uint64_t quiet_ns; /* closed: until when at least */
    uint64_t closing;  /* closed: as the table's closing of this number */
    unsigned nnodes;
    struct holders_node nodes[HOLDERS_NODES_MAX];
    struct holders_waiters waiters;
};

struct holders {
    uint64_t generation; /* rises whenever keys are added */
    uint64_t closings;   /* rises whenever a key is closed */
    struct holders_key keys[HOLDERS_KEYS_MAX];
};

/* A worker's filter: of which keys copies may be held. */
struct holders_filter {
    uint64_t generation; /* of the table when it was made */
    unsigned nkeys;      /* 0: no bit is set */
    uint64_t bits[HOLDERS_FILTER_BITS / 64];
};

/* Whether the table has to be asked about this key. */
static inline bool holders_may_hold(const struct holders_filter *f, uint64_t hash) {
    return (f->bits[hash % HOLDERS_FILTER_BITS / 64] >> (hash % 64) & 1) != 0;
}
/* Makes the filter anew. Between changes of the worker's, never in the middle of one. */
void holders_filter(const struct holders *h, struct holders_filter *f);

void holders_init(struct holders *h);

enum holders_answer {
    HOLDERS_GIVE,  /* the node is entered: look the item up now, and give it a copy */
    HOLDERS_LATER, /* not now */
    HOLDERS_ADDED, /* not now: the key is new, and the filters have to be made anew */
};
/* A member asks for a copy of a key. `generation`: the lowest of all workers' filters. */
enum holders_answer holders_ask(struct holders *h, uint64_t hash, uint64_t name, uint32_t member, uint64_t generation,
                                uint64_t now_ns);

/* A worker, whose filter has this generation, is about to change a key. NULL: it may. Else it has to wait for the key's
 * waiters to be woken: the caller enters itself among them; if *tell, it tells all nodes of the key, too. */
struct holders_key *holders_change(struct holders *h, uint64_t hash, uint64_t generation, uint64_t now_ns, bool *tell);
/* A member that was told of this closing of a key says that its copy is gone. The answer counts for no later closing:
 * it may come when the copies have ended and the member has been given another, of which it says nothing. Returns the
 * key if no copies are left though changes wait for that, whose waiters the caller takes and wakes; else NULL. */
struct holders_key *holders_gone(struct holders *h, uint64_t closing, uint32_t member);
/* The same for copies that have ended by now: the next such key. To be called until there is none. */
struct holders_key *holders_ended(struct holders *h, uint64_t now_ns);
/* Closes all keys, as if each was changed: to be called until it returns NULL; the nodes of those that it returns have
 * to be told. */
struct holders_key *holders_close(struct holders *h, uint64_t now_ns);
/* Whether any change waits. */
bool holders_wait(const struct holders *h);
/* Whether no copy of a closed key is left. */
bool holders_recalled(const struct holders *h, uint64_t now_ns);
/* How many nodes hold a copy of a key, as far as is known. */
unsigned holders_count(const struct holders *h, uint64_t hash, uint64_t now_ns);

#endif
