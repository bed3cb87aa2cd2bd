/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_world - a few nodes that run cluster/config.h in the simulator: their disks, the polls that tell who was
 * heard, and a small stand-in for purges, so that what an epoch promises can be checked.
 *
 * A disk keeps what was written; a write is done a while later, or fails, and a crash loses it or not. A state
 * directory can be lost as a whole.
 *
 * The stand-in for purges: a voter makes an event, counts the acknowledgements of active voters of its epoch, and calls
 * it confirmed at a majority. A voter of a kept epoch becomes active when a majority of the voters before, or one that
 * is active already, have told it what they know. So a confirmed event must be known to every voter that is active
 * later, unless a fresh epoch lies between.
 *
 * Checks (config_check.c) look at each adoption and each acknowledgement; the first one that fails is kept as a
 * sentence.
 */
#ifndef TAGCACHED_TESTS_SIM_CONFIG_WORLD_H
#define TAGCACHED_TESTS_SIM_CONFIG_WORLD_H

#include "cluster/config.h"
#include "tests/sim/sim.h"

enum { WORLD_NODES_MAX = 9, WORLD_EVENTS = 1024 };
enum { TIMER_CONFIG, TIMER_WORLD }; /* of a process: the machine's, and that of polls and the rest */

struct config_checks; /* config_check.c */

struct world_disk {
    bool exists; /* a state directory with a record in it */
    struct cluster_id id;
    uint64_t boot;
    uint8_t *bytes; /* the record as it is on disk */
    size_t n;
};

/* What one process remembers of the stand-in's events. */
struct world_memory {
    uint64_t bits[WORLD_EVENTS / 64];
};

struct world_event {
    uint64_t epoch; /* in which it was confirmed; 0: not */
    struct cluster_id cluster;
};

struct world_process {
    struct world *world;
    unsigned place;
    struct config *config;
    struct config_outs outs;
    unsigned run; /* of its place, to tell late writes apart */
    bool leaving; /* it asked to leave */
    bool serve_asked;
    uint64_t poll_ns, sync_ns;
    /* one round of polls */
    unsigned granted; /* bits by seat */
    uint64_t granted_version, polled_ns;
    /* the stand-in */
    struct world_memory memory;
    uint64_t active, last_active; /* epochs */
    struct cluster_id active_cluster, number_cluster;
    unsigned synced; /* previous seats that answered, as bits */
    bool synced_active;
    uint64_t sync_epoch;
    uint32_t last_number;  /* member number while last active */
    int event;             /* that this process collects acknowledgements of, -1: none */
    unsigned acknowledged; /* bits by seat */
    uint64_t event_epoch, event_ns;
};

struct world_place {
    char name[64], address[64];
    bool keeps_state, found;
    struct world_disk disk;
    struct world_process *process; /* NULL: down */
    unsigned run;
    uint64_t up_at; /* true time at which a process starts again, 0: one runs */
};

struct world_options {
    unsigned nodes, founders;
    enum { WORLD_DISKS_ALL, WORLD_DISKS_NONE, WORLD_DISKS_LOST } disks; /* LOST: some restarts find theirs empty */
    bool faults;
    uint32_t tag_lease_ms, serve_lease_ms, eject_after_ms;
};

struct world {
    struct sim *sim;
    struct world_options options;
    struct world_place place[WORLD_NODES_MAX];
    struct world_event event[WORLD_EVENTS];
    unsigned nevents;
    bool retire;      /* origins that close may go; else none ever may */
    bool quiet;       /* no more faults */
    uint64_t unix_ns; /* time of day at true time 0 */
    struct config_checks *checks;
    char broken[600]; /* the first check that failed, empty: none */
    /* what happened */
    unsigned adoptions, kept, fresh, foundings, ejected, crashes, lost, joins_refused, recoveries, seals, confirmed,
        resets, left;
    uint64_t no_majority_ns;
    uint64_t recovered_version;
};

struct world *world_new(uint64_t seed, const struct world_options *options);
void world_free(struct world *w);

/* Starts a process at a place; crashes it, and when it comes back (true time; UINT64_MAX: never), with its state
 * directory or without. */
void world_start(struct world *w, unsigned place);
void world_crash(struct world *w, unsigned place, uint64_t back_at, bool keep_disk);
/* Asks the machine at a place for something. */
void world_request(struct world *w, unsigned place, enum config_request_kind kind, const char *name, uint64_t argument);
/* Runs for so long, or until a check failed (false). */
bool world_run(struct world *w, uint64_t ns);
/* Whether all places that are up agree: one configuration, everybody serving, the epoch active. Else says what is
 * missing. */
bool world_agrees(struct world *w, char *why, size_t why_size);
/* Runs until all agree, at most for so long. False: they never did, or a check failed. */
bool world_settle(struct world *w, uint64_t ns);
/* The configuration of a place, NULL: none. */
const struct configuration *world_configuration(const struct world *w, unsigned place);
/* A number of steps of a random schedule: crashes, partitions, pauses, requests; then everything is healed. */
void world_faults(struct world *w, uint64_t until_ns);

/* ---- between config_world.c and config_node.c */
extern const struct sim_process node_calls;
void node_input(struct world_process *p, const struct config_in *in);
void node_set_timer(struct world_process *p);
/* The seat that the process is listed for, NULL: none; and whether it is active in the epoch. */
const struct configuration_voter *node_seat(const struct world_process *p);
bool node_is_active(const struct world_process *p);
/* Writes the record of an out to the place's disk, and tells the process some time later. */
void world_write(struct world_process *p, struct config_out *o);

/* ---- config_check.c */
struct config_checks *checks_new(void);
void checks_free(struct config_checks *c);
void world_break(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_adopted(struct world *w, unsigned place, const struct configuration_value *v);
void check_accept_seen(struct world *w, struct world_process *p, const struct peer_config *m);
void check_sent(struct world *w, struct world_process *p, const struct peer_config *m, const struct cluster_id *to);
void check_acknowledged(struct world *w, struct world_process *p, uint64_t epoch);
void check_active(struct world *w, struct world_process *p);
void check_forget_process(struct world *w, struct world_process *p);

#endif
