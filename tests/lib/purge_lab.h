/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_lab - a few purging machines in one process, whose messages arrive at once or when the test lets them. Time
 * stands still until the test moves it.
 *
 * Member number n is machine n - 1; origins are 100 + the number of the voter. Purges of the lab have one tag.
 */
#ifndef TAGCACHED_TESTS_PURGE_LAB_H
#define TAGCACHED_TESTS_PURGE_LAB_H

#include "cluster/purging.h"

#define LAB_NODES 8
#define LAB_APPLIED 4096
#define LAB_OUTCOMES 4096

struct purge_lab_outcome {
    uint64_t token;
    struct purging_receipt receipt;
};

struct purge_lab_node {
    struct purge_lab *lab;
    struct purging *p;
    uint32_t number;
    bool slow;                     /* batches take time, until purge_lab_applied */
    uint64_t applied[LAB_APPLIED]; /* tags in order; 0: everything */
    unsigned napplied, nbatches;
    unsigned floors_tagged, floors_all;
    struct purge_lab_outcome outcomes[LAB_OUTCOMES];
    unsigned noutcomes;
    uint64_t newer;                   /* the highest version that it was told of */
    struct purging_receipt confirmed; /* the last of its own purges that was confirmed, */
    unsigned nconfirmed;              /* and how many were */
    uint64_t acked[LAB_NODES + 1];    /* by member: the last sequence of the own origin that it acknowledged */
};

struct purge_lab_message;

struct purge_lab {
    uint64_t now_ns;
    unsigned n;
    struct purge_lab_node nodes[LAB_NODES];
    bool cut[LAB_NODES + 1][LAB_NODES + 1];
    struct configuration c;
    struct purge_lab_message *first, **end;
    uint64_t messages, bytes;                                                                  /* delivered */
    bool (*drop)(struct purge_lab *l, uint32_t from, uint32_t to, const struct peer_purge *m); /* true: it is lost */
};

/* n machines in one cluster, of which the first `voters` vote; all links are up; the founders have begun. */
void purge_lab_init(struct purge_lab *l, unsigned n, unsigned voters, uint64_t log_bytes);
void purge_lab_fini(struct purge_lab *l);
struct purge_lab_node *purge_lab_node(struct purge_lab *l, uint32_t number);
/* All nodes (or one) adopt l->c as it is now. */
void purge_lab_adopt(struct purge_lab *l);
void purge_lab_adopt_one(struct purge_lab *l, uint32_t number);
/* The link between two members comes up or breaks; what is on its way is lost. */
void purge_lab_link(struct purge_lab *l, uint32_t a, uint32_t b, bool up);
/* Asks node `number` for a purge of one tag (0: everything); its token is the tag + 1000 * number. 0 or an error. */
int purge_lab_purge(struct purge_lab *l, uint32_t number, uint64_t tag);
/* Flushes all, delivers everything, until nothing is on its way. Time stands still. */
void purge_lab_settle(struct purge_lab *l);
/* Moves time, a step at a time, and settles after each. */
void purge_lab_run(struct purge_lab *l, uint64_t ms);
/* The slow node's batch is done. */
void purge_lab_applied(struct purge_lab *l, uint32_t number);
/* What became of a token; NULL: nothing yet. */
const struct purging_receipt *purge_lab_outcome(const struct purge_lab *l, uint32_t number, uint64_t token);
/* How often node `number` applied a tag. */
unsigned purge_lab_count(const struct purge_lab *l, uint32_t number, uint64_t tag);
/* The node's vector for an origin. */
uint64_t purge_lab_seen(const struct purge_lab *l, uint32_t number, uint32_t origin);

#endif
