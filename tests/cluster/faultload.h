/* SPDX-License-Identifier: BSD-3-Clause
 *
 * faultload - the load of tests/cluster/faults and the checker in it: purges, guarded fills, plain stores and reads at
 * all nodes of a cluster, each answer compared with what may still be returned (faultmodel.h). `faults` starts it, and
 * makes the faults.
 *
 * Keys are in groups. A group's keys carry the group's tag, each one also the tag of its shelf; a purge is of a group,
 * or of a group and a shelf, which is one key. When a purge is confirmed one of its keys is read at every node at once,
 * and each at some node within a second. A miss is filled as applications do: the node's answer is a token, then the
 * database is read, then the value is stored under the token, often a while later.
 *
 * Steady keys are beside them. They are not purged; 20 times a second each node is asked for two of each owner's, so
 * that it shows which node serves whose keys at what time.
 *
 * The command line is in `usage` (faultload.c). It reads commands as lines:
 *   end             asks for no purge any more; `quiet` is said when all that were sent are answered, or lost
 *   confirmed N     the pending purge N has been confirmed meanwhile
 *   sweep           reads every key at every node, then prints the totals as a line of JSON and ends
 * It says a line `at NS purges N confirmed N pending N stale N` each second, `enough` when it has what it was told to
 * get, and `pending N NUMBER NODE ACKED` of each purge that was not confirmed in the time of its answer: NUMBER is what
 * the answer had as `s`, ACKED how many nodes had it by then.
 */
#ifndef TAGCACHED_TESTS_FAULTLOAD_H
#define TAGCACHED_TESTS_FAULTLOAD_H

#include <stdio.h>

#include "tests/bench/hist.h"
#include "tests/cluster/faultconn.h"
#include "tests/cluster/faultmodel.h"

#define FAULTLOAD_NODES_MAX 8
#define FAULTLOAD_PURGERS 6    /* connections to each node that carry `mp` alone */
#define FAULTLOAD_READERS 4    /* to each node: reads, fills, stores */
#define FAULTLOAD_SHELVES 3    /* keys of a group */
#define FAULTLOAD_BUCKET_MS 50 /* of what steady reads saw */

/* What is done later: a fill whose value was read from the database, or a read. */
struct faultload_later {
    uint64_t due_ns;
    uint32_t key;
    uint8_t node;
    bool is_fill;
    uint64_t cas, read_at;
};

/* A purge that was not confirmed in the time of its answer. */
struct faultload_pending {
    uint32_t key, count;
    uint64_t asked;
};

struct faultload_seen {
    unsigned hits, misses, errors;
};

struct faultload_totals {
    uint64_t purges, confirmed, pending, refused, purges_lost; /* lost: the connection broke before the answer */
    uint64_t armed; /* confirmed purges of keys of which one was in the cache */
    uint64_t reads, hits, misses, errors, reads_lost;
    uint64_t checks, checks_at_once; /* reads after a confirmation, those of them sent in the round that found it */
    uint64_t fills, filled, overtaken, unknown; /* stored; refused since a purge came between; the token is unknown */
    uint64_t plains, plains_done;
    uint64_t swept; /* keys times nodes that the sweep is through with; its reads count as checks too */
    uint64_t stale, wrong, stuck;
    uint64_t longest_round_ns; /* from what epoll told to the sending of what follows from it */
};

struct faultload {
    struct faultmodel model;
    unsigned nnodes;
    struct sockaddr_in addresses[FAULTLOAD_NODES_MAX];
    struct faultconn *purgers, *readers, *odd, *steady; /* [node][..], [node][..], [node], [node][owner] */
    uint32_t groups, nkeys;                             /* nkeys without the steady ones */
    uint32_t *idle;                                     /* a ring of groups that no purge is asked for */
    uint32_t idle_first, nidle;
    uint8_t *stored;                          /* [key] it was stored, and no purge of it was confirmed since */
    uint32_t nsteady;                         /* keys nkeys + i */
    uint8_t *owners;                          /* [i] of a steady key */
    uint32_t *steady_at[FAULTLOAD_NODES_MAX]; /* [owner] its keys */
    uint32_t nsteady_at[FAULTLOAD_NODES_MAX], next_steady[FAULTLOAD_NODES_MAX][FAULTLOAD_NODES_MAX];
    struct faultload_later *later; /* a heap by due_ns */
    size_t nlater, later_room;
    struct faultload_pending *pending;
    size_t npending, pending_room;
    struct faultload_seen seen[FAULTLOAD_NODES_MAX][FAULTLOAD_NODES_MAX];
    struct faultload_totals sum;
    struct hist latency; /* of confirmed purges */
    uint64_t random, now_ns;
    unsigned purges_under_way;
};

/* faultwork.c: what is asked, and what the answers mean. */
extern const struct faultconn_upcalls faultwork_upcalls;
/* Asks for a purge of the next group that has none under way; false: none can be asked for now. */
bool faultwork_purge(struct faultload *l);
/* Does what is due. */
void faultwork_due(struct faultload *l);
/* Two steady reads at each node for each owner. */
void faultwork_steady(struct faultload *l);
/* Reads a key at a node by whichever connection has room; false: none has. */
bool faultwork_read(struct faultload *l, uint32_t key, unsigned node, bool is_check);

#endif
