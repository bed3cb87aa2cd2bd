/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lease - for how long a node may answer from its store without hearing of the purges of others
 * (README.md, "Leases").
 *
 * A member polls all voters. When a majority of them has granted a lease in one round of polls, and everything that
 * these voters have applied is applied here, too, the lease runs from the moment before the first poll of the round was
 * sent: for the tag lease's length for tagged items, for the serve lease's for everything.
 *
 * The clocks of two nodes may run at rates that differ by up to 5 % from the true one each; what one node waits for on
 * account of another's lease is therefore longer than the lease (lease_waited_ns).
 *
 * Pure data structures: one thread, no clock. Times are nanoseconds of one node's CLOCK_BOOTTIME.
 */
#ifndef TAGCACHED_CLUSTER_LEASE_H
#define TAGCACHED_CLUSTER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/lease_ends.h"
#include "proto/peer_purge.h"

/* Rounds of polls that may be unfinished. A member without a lease polls 20 times a second (HURRY_MS), so answers count
 * that take 1.6 s: frames that are lost and sent again, or a slow line. Were there as few as a member with a lease
 * needs, who has lost it on such a line would never get it back. */
#define LEASE_ROUNDS 32
#define LEASE_MARKS 40

/* W(d): how long a node waits by its own clock so that d milliseconds have passed by every other. */
uint64_t lease_waited_ns(uint64_t ms);

/* ------------------------------------------------------------------ the member's side */

/* One round of polls. */
struct lease_round {
    uint32_t number;                      /* 0: it is over, or void */
    uint64_t asked_ns;                    /* before the first poll was sent */
    uint32_t granted;                     /* bits by seat */
    uint64_t need[PEER_PURGE_VECTOR_MAX]; /* by slot of the log: what the granting voters have applied */
};

struct lease {
    uint64_t tag_ns, serve_ns; /* lengths */
    struct lease_ends ends;
    uint32_t rounds; /* begun so far */
    struct lease_round round[LEASE_ROUNDS];
};

/* Begins a round; returns its number, never 0. The oldest of LEASE_ROUNDS is void then. */
uint32_t lease_ask(struct lease *l, uint64_t now_ns);
/* The voter of this seat has granted a lease in answer to the round: the round, for its needs to be raised. NULL: it is
 * over or void. */
struct lease_round *lease_granted(struct lease *l, uint32_t number, unsigned seat);
/* The round has a majority, and all that it needs is applied: the leases run from its beginning on. */
void lease_take(struct lease *l, struct lease_round *r);
/* What was asked counts no more, since the configuration has changed. The leases go on. */
void lease_void(struct lease *l);

/* ------------------------------------------------------------------ the collector's side */

/* Since when a majority of the voters has acknowledged all up to a sequence; several sequences share a mark. */
struct lease_mark {
    uint64_t sequence, first_ns, last_ns;
};
struct lease_marks {
    struct lease_mark mark[LEASE_MARKS];
    unsigned first, n;
    uint64_t sequence; /* the highest noted */
    uint64_t passed;   /* all up to there was noted long enough ago */
};

/* A majority has all up to `sequence` now. wait_ns: for how long that will be waited for. */
void lease_marks_note(struct lease_marks *m, uint64_t sequence, uint64_t now_ns, uint64_t wait_ns);
/* The highest sequence that a majority has had for at least wait_ns. */
uint64_t lease_marks_passed(struct lease_marks *m, uint64_t now_ns, uint64_t wait_ns);

#endif
