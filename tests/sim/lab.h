/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lab - a whole cluster under the simulator: on every place a process that runs the production machines of the
 * configuration and of the purges, the production ring, and a small model of a store; clients that read through any
 * node, fill what they missed, delete and purge; faults; and a checker that knows all that happened.
 *
 * What is promised is checked on two levels.
 *
 * Purges. Each purge has a tag of its own beside what it selects, so what a process applied is known one by one. A
 * purge is *covered* by a process that has applied it, or that raised a floor for it after it was asked for. While a
 * process's tag lease runs by its own clock, it covers every confirmed purge; while its serve lease does, every
 * confirmed purge of everything (P2). What its vector and its acknowledgements claim is covered (P6). No process
 * applies a purge twice (P5) or before the one in front of it, one id is one purge for ever, and in the end what
 * somebody alive has is covered by everybody (P4). (Who becomes another member twice applies its own purges of the time
 * before again, as it applies others': the second time its floor covers them already.)
 *
 * Items. A value carries the time at which its client read it from the database. A hit must be younger than each purge
 * that selects it and that was confirmed before the read was invoked (P2), that its process has applied (P1, P3), that
 * its process's vector claims (P6), and, when a delete was acknowledged so long ago that no lease of before runs, than
 * that delete. A hit on a copy must be younger than each delete that was answered, before the read was invoked, by the
 * process that gave it, or by the one that took the key over from that. A hit that is marked stale may be older than
 * soft purges, up to their time after confirmation. In the end no item is left that is older than a purge that a living
 * member has applied (P4).
 *
 * Runs with equal options are equal.
 */
#ifndef TAGCACHED_TESTS_SIM_LAB_H
#define TAGCACHED_TESTS_SIM_LAB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/sim/sim.h"

#define LAB_PLACES 8
#define LAB_PURGES 8192 /* numbered from 1 */
#define LAB_KEYS 24
#define LAB_TAGS 12

enum lab_fault {
    LAB_CRASHES = 1,
    LAB_PARTITIONS = 2,
    LAB_PAUSES = 4,
    LAB_CHANGES = 8,  /* leaves, weights, drains, voters, leases, seats */
    LAB_LATE = 16,    /* messages that arrive again, late */
    LAB_SLOW = 32,    /* batches of purges that take time to apply, disks that take time to write */
    LAB_HORIZON = 64, /* logs of purges so short that they forget */
    LAB_ALL = 127
};

enum lab_disks {
    LAB_DISKS_ALL,  /* every process finds its state directory again */
    LAB_DISKS_NONE, /* there are none */
    LAB_DISKS_SOME, /* a restart loses it now and then; an operator recovers what only an operator can */
};

/* A rule that the clients, or the model of the store, break. Rules of the machines are broken by cluster/mutation.h. */
enum lab_shortcut {
    LAB_HONEST,
    LAB_NO_TOKEN,        /* a fill needs no token */
    LAB_ANY_TOKEN,       /* ... and may come with that of another process */
    LAB_DELETE_KEEPS,    /* a delete leaves the token of a fill that is under way valid */
    LAB_COALESCED,       /* a read joins one that its node has under way already */
    LAB_ASKED_LEASE,     /* the node that was asked looks at its lease, the owner does not */
    LAB_NO_SINCE,        /* what was stored before an arc was gained is served */
    LAB_NO_SERVE_LEASE,  /* untagged items need no lease */
    LAB_SOFT_ANYWAY,     /* a soft purge is applied as such without a lease */
    LAB_SOFT_HIDES_HARD, /* one number for both kinds of purges of a tag */
    LAB_SOFT_NEVER_HARD, /* a soft purge whose time is over counts for nothing */
    LAB_ONE_TAG_OF_TWO,  /* a purge of two tags is filed, and looked for, under the first one's hard purges only */
    LAB_NO_GUARD,        /* what comes from another node is stored whatever was purged meanwhile */
    LAB_OVER_WRITTEN,    /* ... and whatever was written meanwhile */
    LAB_LOCAL_MINTS,     /* ... and while a purge of this node itself has no id yet */
    LAB_COPY_NO_WAIT,    /* a change does not wait for who holds copies */
    LAB_COPY_ANY_ANSWER, /* what a holder answers to an earlier change counts for the last one */
    LAB_COPY_NO_CHANGES, /* a holder serves on what it was told is being changed */
    LAB_COPY_NO_LEASE,   /* ... and without a lease */
    LAB_COPY_NO_VECTOR,  /* ... and what came from an owner that lacked purges */
    LAB_COPY_NO_PURGES,  /* ... and what was purged here since */
    LAB_COPY_NOT_CLOSED, /* holders are not told when keys get another owner */
    LAB_SHORTCUTS
};

struct lab_options {
    uint64_t seed;
    unsigned places, founders;
    unsigned voters; /* agreed target; 0: by the number of members */
    enum lab_disks disks;
    unsigned faults; /* of enum lab_fault */
    enum lab_shortcut shortcut;
    unsigned purges_per_s, reads_per_s;
    unsigned seconds; /* of faults; then calm until all agree */
    unsigned roll_ms; /* every so often the next voter is killed, if the last one is back; 0: not at all */
    int asked;        /* the only place that is asked for purges; -1: all are */
    unsigned tag_ms, serve_ms, eject_ms; /* leases and eject-after; 0: 800, 3,000 and 4,000 */
    bool print;                          /* violations as they happen */
    bool swim;                           /* the machine of the membership says who is alive */
    bool wall_steps; /* the time of day of processes that start jumps by an hour, forward and back */
    FILE *trace;     /* NULL: none */
    bool digest;     /* the result's is made of all that happened, not of the counts only: slower */
};

enum lab_violation {
    LAB_TWICE,        /* P5: a purge applied twice */
    LAB_CLAIM,        /* P6: claimed and not covered */
    LAB_UNCOVERED,    /* P2: confirmed, not covered, and a lease runs */
    LAB_TWO_EVENTS,   /* one id for two purges */
    LAB_EARLY,        /* applied before the one in front of it */
    LAB_LOST,         /* P4: a purge */
    LAB_PENDING,      /* still pending after calm, or no agreement */
    LAB_LONG,         /* a vector longer than voters and closing origins */
    LAB_STALE,        /* P2: a hit older than a confirmed purge */
    LAB_OLDER,        /* P1, P3: a hit older than a purge applied there */
    LAB_BELOW_VECTOR, /* P6: a hit older than a purge that the vector claims */
    LAB_SOFT_LATE,    /* a stale hit longer after the soft purge was confirmed than it says */
    LAB_UNDELETED,    /* a hit older than a delete that was acknowledged */
    LAB_COPY_CHANGED, /* a hit on a copy older than a delete that its owner, or who took over from it, answered */
    LAB_OUTLIVED,     /* P4: an item, in the end */
    LAB_TWO_VERSIONS, /* two configurations with one version */
    LAB_SEALED,       /* a sealed voter acknowledged */
    LAB_VIOLATIONS
};

/* What happened, to see that a run was worth it. */
/* clang-format off */
#define LAB_COUNTS(X) \
    X(reads) X(hits) X(misses) X(waits) X(unreached) X(forwarded) X(hedged) X(untagged_hits) X(stale_hits) \
    X(no_lease) X(no_serve_lease) X(not_owner) X(fenced) X(asked_waits) X(unbound_reads) X(fills) X(fills_late) \
    X(fills_refused) X(fills_foreign) X(deletes) X(deletes_checked) \
    X(moved) X(pulls) X(pulled) X(pulls_behind) X(refused_written) X(refused_purged) X(handoffs) \
    X(handoffs_broken) \
    X(copies) X(copy_hits) X(copies_behind) X(copies_changed) X(copies_purged) X(changes_waited) X(recalls) \
    X(copies_checked) X(suspected) X(died) X(refuted) \
    X(purges) X(flushes) X(soft) X(pairs) X(confirmed) X(alone) X(repeated) X(floors) X(floors_all) X(events) \
    X(leased) X(covered_checks) X(soft_as_hard) \
    X(versions) X(founded) X(kept) X(fresh) X(joins) X(left) X(ejected) X(retired) X(bound) X(lowered) X(seals) \
    X(resets) X(recoveries) X(rings) X(drains) X(weights) \
    X(crashes) X(all_down) X(voters_down) X(disks_lost) X(pauses) X(partitions) X(blocks) X(cut_off) X(late) \
    X(duplicates) X(restarts) X(no_majority) \
    X(leases_lost) X(confirmed_fast) X(confirmed_slow) X(floors_horizon) X(floors_epoch) X(floors_new) X(syncs) \
    X(promised_values) X(rejected) X(seats_moved) X(restarts_kept) X(restarts_bare) X(rejoined) X(wiped) \
    X(foreign_collects) X(retried) X(holds) X(holds_all) X(pulls_behind_floor) X(ringless)
/* clang-format on */

struct lab_result {
    unsigned violations[LAB_VIOLATIONS];
    unsigned total;
#define LAB_COUNT(name) uint64_t name;
    LAB_COUNTS(LAB_COUNT)
#undef LAB_COUNT
    unsigned longest_vector, most_origins;
    uint64_t confirm_max_ns; /* of purges that somebody waited for */
    uint64_t calm_ns;        /* until all agreed */
    uint64_t digest;
};

/* Runs one seed: `seconds` of faults, then calm. */
void lab_run(const struct lab_options *o, struct lab_result *r);
/* The same in pieces, for a schedule made by hand. The result counts from lab_open on; lab_close waits for calm, checks
 * the end, and frees it. */
struct lab;
struct lab *lab_open(const struct lab_options *o, struct lab_result *r);
void lab_pass(struct lab *l, uint64_t ns);
void lab_close(struct lab *l);
const char *lab_violation_name(enum lab_violation v);

#endif
