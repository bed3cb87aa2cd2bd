/* SPDX-License-Identifier: BSD-3-Clause
 *
 * swim_lab - membership in the simulator: every node runs cluster/swim, its datagrams and push-pulls go through the
 * codec, and somebody who sees all notes who believes what when.
 *
 * A node's address is "n<place>:1". A node keeps its id and its boot number over restarts (its state directory), unless
 * it is started as a new one.
 */
#ifndef TAGCACHED_TESTS_SIM_SWIM_LAB_H
#define TAGCACHED_TESTS_SIM_SWIM_LAB_H

#include "cluster/swim.h"
#include "tests/sim/sim.h"

/* On the wire beside the packed message: seal, UDP, IPv4. */
#define SWIM_LAB_DATAGRAM_OVERHEAD (88 + 28)

/* What became of a member, as one node reports it. */
struct swim_lab_event {
    unsigned node;    /* who reports */
    unsigned subject; /* the place of whom it is about; SIM_NODES_MAX: none that ever was */
    enum swim_out_kind kind;
    enum swim_change change;
    const struct member *member; /* NULL: of no member */
};

struct swim_lab;
typedef void swim_lab_watch(void *arg, struct swim_lab *l, const struct swim_lab_event *e);

struct swim_lab_node {
    struct swim_lab *lab;
    struct swim *swim; /* NULL: it does not run */
    struct cluster_id id;
    uint64_t boot;
    char name[32], address[32];
    uint64_t ping_stream; /* the last dial for a ping, and its number */
    uint32_t ping_number;
    uint32_t answering; /* the number of the push-pull that is being answered */
};

struct swim_lab {
    struct sim *s;
    unsigned n;
    struct swim_lab_node *nodes;
    struct swim_timing timing;
    swim_lab_watch *watch; /* may be NULL */
    void *watch_arg;
    uint64_t ids; /* made so far */
    uint64_t false_deaths, deaths, suspicions, false_suspicions, outdated, left, metas;
    uint64_t decode_errors; /* messages that a machine made and the codec refused */
};

/* n nodes, none started; clocks run up to 500 parts of a million wrong. */
struct swim_lab *swim_lab_new(uint64_t seed, unsigned n);
void swim_lab_free(struct swim_lab *l);
/* Gives a node another identity: what is started there next is a new node. */
void swim_lab_renew(struct swim_lab *l, unsigned node);
/* Starts it with a boot number one higher; its seeds are the places 0..nseeds-1. */
void swim_lab_start(struct swim_lab *l, unsigned node, unsigned nseeds);
/* Starts all within a second, and runs until all are known to all; false: that took longer than 120 s. */
bool swim_lab_form(struct swim_lab *l, unsigned nseeds);
/* Gives a machine an input of its driver. */
void swim_lab_input(struct swim_lab *l, unsigned node, const struct swim_in *in);

/* Who is the member with this id: its place; SIM_NODES_MAX: nobody. */
unsigned swim_lab_place(const struct swim_lab *l, const struct cluster_id *id);
/* What `node` believes of the process at `subject`; 0: it knows nothing of it (or does not run). */
unsigned swim_lab_view(const struct swim_lab *l, unsigned node, unsigned subject);
/* Whether all that run know all that run as alive with their present boot number, and everybody else as not active. */
bool swim_lab_agrees(const struct swim_lab *l);
/* Runs until swim_lab_agrees, looking each step_ns; the nanoseconds that it took; UINT64_MAX: more than limit_ns. */
uint64_t swim_lab_settle(struct swim_lab *l, uint64_t step_ns, uint64_t limit_ns);

#endif
