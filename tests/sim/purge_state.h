/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_state - what the files of the world of purges share.
 *
 *   purge_model.c    what each store must look like; what is checked of each message
 *   purge_life.c     processes: links, messages, upcalls of the machine
 *   purge_govern.c   the history of configurations
 *   purge_faults.c   load, faults, the end
 */
#ifndef TAGCACHED_TESTS_SIM_PURGE_STATE_H
#define TAGCACHED_TESTS_SIM_PURGE_STATE_H

#include "tests/sim/purge_world.h"

struct world;

/* A process: what it has in memory, and what the model knows of its store (which outlives it, for the checks). */
struct process {
    struct world *w;
    unsigned node;
    uint64_t boot;
    bool alive;
    bool voted; /* it has had a seat: it may have numbered purges that nobody has seen */
    struct purging *p;
    uint32_t number;
    uint64_t version;
    uint64_t floor_all_ns, floor_tagged_ns; /* true times */
    uint64_t streams[WORLD_NODES], boots[WORLD_NODES];
    uint64_t checked;   /* of the confirmed purges, those that are covered */
    uint64_t cached_ns; /* its clock, when it was last looked at for something else than a read */
    bool applying;
    uint32_t batch[PURGING_BATCH_SELECTORS]; /* what takes time to apply */
    unsigned nbatch;
    uint32_t *upto; /* by origin: the highest sequence applied as that event */
    uint64_t applied[WORLD_PIDS / 64];
    uint16_t applied_as[WORLD_PIDS]; /* the number under which */
    uint32_t *verified;              /* by origin: all up to there is covered */
};

struct origin {
    const struct process *process; /* whose seat it is or was */
    uint32_t *pids;                /* by sequence, from 1 */
    uint64_t last;
    uint64_t confirmed, everything; /* up to there: purges of tags; of everything */
};

struct world {
    struct sim *s;
    const struct world_options *o;
    struct world_result *r;
    struct configuration history[WORLD_HISTORY]; /* by version */
    uint64_t version;
    struct process *all[WORLD_NUMBERS];
    unsigned nall;
    struct process *of_number[WORLD_NUMBERS];
    struct origin origins[WORLD_NUMBERS];
    uint64_t asked_ns[WORLD_PIDS];
    bool everything[WORLD_PIDS];
    uint32_t id_origin[WORLD_PIDS], id_sequence[WORLD_PIDS]; /* the first id that it got */
    bool ids[WORLD_PIDS];                                    /* it got more than one */
    struct process *asker[WORLD_PIDS];
    uint32_t npids;
    bool is_confirmed[WORLD_PIDS];
    uint32_t confirmed[WORLD_PIDS]; /* in the order of confirmation */
    uint64_t nconfirmed;
    uint64_t boots;
    uint64_t down_ns[WORLD_NODES];
    uint64_t cut_off_ns[WORLD_NODES];  /* cut off from all others until then */
    uint64_t listed_ns[WORLD_NUMBERS]; /* since when a member is on the list */
    uint64_t three_version;            /* since which there are three voters, and leases do not bind; 0: they do */
    uint64_t lowered_version, lowered_ns;
    uint64_t wanted_ns, epoch_ns; /* a change of epoch is wanted since; the epoch began */
    bool calm;
};

/* purge_model.c */
void purge_model_violation(struct world *w, enum world_violation v, unsigned node, uint64_t a, uint64_t b);
bool purge_model_has_applied(const struct process *x, uint32_t pid);
bool purge_model_covered(const struct process *x, uint32_t pid); /* applied, or a floor was raised for it since */
void purge_model_applies(struct process *x, uint32_t pid);
void purge_model_message(struct process *x, const struct peer_purge *m); /* that leaves the node */
/* x says that all of an origin is confirmed up to `tags`, purges of everything up to `everything`. */
void purge_model_confirmed(struct process *x, uint32_t origin, uint64_t tags, uint64_t everything);
void purge_model_confirm(struct world *w, uint32_t pid);
void purge_model_read(struct process *x); /* looks whether it could return something that is confirmed purged */

/* purge_life.c */
struct process *purge_life_at(const struct world *w, unsigned node); /* NULL: none runs */
void purge_life_start(struct world *w, unsigned node);
void purge_life_finish_round(struct process *x);
/* Lets a node adopt a version: for sim_at, with node | version << 8. */
void purge_life_adopt(struct sim *s, void *world, uint64_t number);

/* purge_govern.c */
void purge_govern_found(struct world *w);
void purge_govern(struct sim *s, void *world, uint64_t unused); /* for sim_at, once */

#endif
