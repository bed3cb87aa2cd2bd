/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lab_vary - what a seed stands for: the size of the cluster, its state directories, which faults there are; and the
 * rules that may be broken on purpose, each with a seed that finds it.
 */
#ifndef TAGCACHED_TESTS_SIM_LAB_VARY_H
#define TAGCACHED_TESTS_SIM_LAB_VARY_H

#include "cluster/mutation.h"
#include "tests/sim/lab.h"

#define LAB_HITS_PERCENT 30 /* of all reads, at least, while there is a majority of the voters */

/* A rule that is broken: by a mutation of the machines, a fault point of the configuration's, or a shortcut of the lab.
 */
struct lab_broken {
    const char *name;
    enum mutation mutation;
    enum lab_shortcut shortcut;
    const char *fault;
    unsigned step; /* only seeds that are multiples of it can show it; 0: all may */
    unsigned seed; /* one that does; changes with the machines: sim_cluster find=NAME. 0: too rare, see the README */
};
extern const struct lab_broken lab_brokens[];
extern const unsigned lab_nbrokens;

/* Sets what a seed decides: places, founders, voters, disks, faults. */
void lab_vary(struct lab_options *o, uint64_t seed);
const struct lab_broken *lab_broken_named(const char *name); /* NULL: there is none */
/* Breaks the rule, for the whole process. NULL: none any more. */
void lab_break(const struct lab_broken *b, struct lab_options *o);
/* Adds a run to a sum, in which violations count runs. */
void lab_add(struct lab_result *sum, const struct lab_result *r);
void lab_print(const struct lab_result *sum, unsigned seeds, FILE *to);
/* Whether a run had as many hits as is promised. */
bool lab_has_hits(const struct lab_result *r);

#endif
