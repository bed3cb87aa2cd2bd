/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_task - messages to the cluster's thread (cluster.h): a purge, a question of an operator.
 *
 * A message is a member of what it is about and stays where it is until the thread has answered it.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_TASK_H
#define TAGCACHED_CLUSTER_CLUSTER_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include "base/sync.h"
#include "proto/purge_event.h"

struct purging_source;

struct cluster;

struct cluster_task {
    struct sync_stack_entry entry; /* first: it is found by it */
    void (*run)(struct cluster *c, struct cluster_task *t);
};

/* Who waits for an outcome: part of what was asked. The cluster's thread alone looks at it. */
struct cluster_waiter {
    TAILQ_ENTRY(cluster_waiter) entry;
    uint64_t token;                    /* the machines' name for it */
    struct cluster_purge *purge;       /* of a client; or */
    struct cluster_question *question; /* of an operator who asked what became of a purge, or of a change */
    struct purge_via via;              /* of a purge */
    unsigned counts;                   /* nodes that have said how many items a counted purge took out there */
    bool confirmed;                    /* it only waits for the rest of them, until */
    uint64_t deadline_ns;
};

#define CLUSTER_PURGE_MISSING_MAX 256
#define CLUSTER_PURGE_BY_MAX 127   /* bytes of who asked that are kept */
#define CLUSTER_PURGE_TEXT_MAX 200 /* bytes of what a purge selects that are shown to operators */

/* A purge, of selectors or of everything, to be carried out on every node. The asker keeps it in place until `done`. */
enum cluster_outcome {
    CLUSTER_CONFIRMED, /* every node that could serve an item it selects has carried it out */
    CLUSTER_PENDING,   /* not by all in time; it still spreads */
    CLUSTER_REFUSED,   /* nothing was done: `refusal` says why */
};
struct cluster_purge {
    struct cluster_task task;
    struct cluster_waiter waiter;
    /* What to purge: nselectors times a count of tags (0: everything) and their hashes. Read until `done`. */
    const uint64_t *words;
    unsigned nwords, nselectors;
    /* The same as it was written, for operators, parted by commas or blanks; also read until `done`. Of a longer one
     * CLUSTER_PURGE_TEXT_MAX + 1 bytes are enough. */
    const char *text;
    size_t text_bytes;
    /* Who asked, for operators: a client's address, behind "NAME@" the name of its token; zero-terminated, read until
     * `done`. */
    const char *by;
    bool soft;
    bool counted; /* `items` is wanted */
    uint32_t soft_ttl_s;
    uint32_t wait_ms;                      /* 0: `done` as soon as it is on its way */
    void (*done)(struct cluster_purge *p); /* on the cluster's thread, once */
    /* Set before `done`. */
    enum cluster_outcome outcome;
    const char *refusal;     /* a literal, behind "SERVER_ERROR " */
    unsigned acked, members; /* so many of so many have carried it out */
    int64_t items;  /* of a counted one: what the nodes that were in time have taken out; -1: too many to count */
    uint64_t bytes; /* theirs */
    uint64_t id;    /* origin * 2^40 + sequence; 0: it has none yet */
    /* Of a pending one: nodes that lack it, parted by commas, as many as fit. */
    char missing[CLUSTER_PURGE_MISSING_MAX];
};

/* The id of a purge as operators know it: ORIGIN-SEQUENCE, or vMEMBER-COUNTER while it has none. Any thread. */
#define CLUSTER_PURGE_ID_TEXT 48
void cluster_purge_source_id(const struct purging_source *s, char out[CLUSTER_PURGE_ID_TEXT]);
/* The same of one that was asked for; "" if it was refused. Behind `done`. */
void cluster_purge_id(const struct cluster_purge *p, char out[CLUSTER_PURGE_ID_TEXT]);

/* A line of an operator: `cluster ...`, without that word. The asker keeps it in place until `done`. */
#define CLUSTER_LINE_MAX 1024
struct cluster_question {
    struct cluster_task task;
    struct cluster_waiter waiter;
    char line[CLUSTER_LINE_MAX + 1];
    bool privileged;                          /* it may change something */
    void (*done)(struct cluster_question *q); /* on the cluster's thread, once */
    /* Set before `done`: the whole answer, from malloc, the asker's to free; NULL: no memory. */
    char *reply;
    size_t reply_bytes;
    bool changes; /* it was to change something; the answer says whether it did */
};

#endif
