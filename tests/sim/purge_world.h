/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_world - nodes that run the purging machine under the simulator, a history of configurations that is made up as
 * it goes, faults, and a model of what each node's store must look like.
 *
 * Each purge has a tag of its own, so what a node applied is known one by one. The model knows of each process which
 * purges it has applied and when it last raised its floors: a purge is *covered* on a process that has applied it, or
 * that raised a floor for it after it was asked for. Checked at every message that leaves a node:
 *   - what its vector and its acknowledgements claim is covered (P6);
 *   - one (origin, sequence) is one purge, for ever;
 * at reads, some hundred a second at each process that runs, listed or not, and at all of them when a purge is
 * confirmed:
 *   - while a process's tag lease runs by its own clock, every confirmed purge is covered there; while its serve lease
 *     does, every confirmed purge of everything (P2);
 * at every purge that is applied: never twice (P5), never before the one in front of it; and in the end, when all has
 * been calm for a while: what a living member has is covered everywhere, and nothing is pending (P4).
 */
#ifndef TAGCACHED_TESTS_SIM_PURGE_WORLD_H
#define TAGCACHED_TESTS_SIM_PURGE_WORLD_H

#include "cluster/purging.h"
#include "tests/sim/sim.h"

#define WORLD_NODES 8
#define WORLD_PIDS 8192 /* purges, from 1 */
#define WORLD_NUMBERS 8192
#define WORLD_HISTORY 4096

enum world_fault {
    WORLD_CRASHES = 1,
    WORLD_PARTITIONS = 2,
    WORLD_PAUSES = 4,
    WORLD_CHANGES = 8,  /* joins, leaves, ejects, seats that move */
    WORLD_LATE = 16,    /* messages that arrive again, late */
    WORLD_SLOW = 32,    /* batches that take time to apply */
    WORLD_HORIZON = 64, /* logs so short that they forget */
    WORLD_ALL = 127
};

struct world_options {
    uint64_t seed;
    unsigned nodes, voters;
    unsigned faults;
    unsigned purges_per_s;
    unsigned seconds;          /* of faults; then ten of calm */
    unsigned roll_ms;          /* every so often the next voter is killed, if the last is back; 0: not at all */
    int asked;                 /* the only node that is asked for purges, -1: all are */
    unsigned tag_ms, serve_ms; /* leases; 0: 400 and 2,000 */
    unsigned first_voters;     /* to begin with; 0: `voters` */
    bool bind_at_once;         /* a shortcut: leases bind as soon as there are three voters */
    bool origin_again;         /* a shortcut: a voter's origin keeps its number when its process restarts */
    bool print;                /* violations as they happen */
    FILE *trace;               /* NULL: none */
};

enum world_violation {
    WORLD_TWICE,      /* P5 */
    WORLD_CLAIM,      /* P6: claimed and not covered */
    WORLD_STALE,      /* P2: confirmed, and could be read */
    WORLD_TWO_EVENTS, /* one id for two purges */
    WORLD_EARLY,      /* applied before the one in front of it */
    WORLD_LOST,       /* P4 */
    WORLD_PENDING,    /* still pending after calm */
    WORLD_LONG,       /* a vector longer than voters, previous voters and closing origins */
    WORLD_VIOLATIONS
};

struct world_result {
    unsigned violations[WORLD_VIOLATIONS];
    unsigned total;
    /* what happened, to see that the run was worth it */
    uint64_t purges, confirmed, alone, repeated, floors, kept, fresh, versions, joins, ejected, retired, events;
    uint64_t reads, leased; /* of which the tag lease ran */
    uint64_t bound;         /* times that leases came to bind */
    unsigned longest_vector, origins_end, restarts;
    uint64_t confirm_max_ns;
};

/* Runs one seed. Equal options give equal results. */
void world_run(const struct world_options *o, struct world_result *r);
const char *world_violation_name(enum world_violation v);

#endif
