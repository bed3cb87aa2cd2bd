/* SPDX-License-Identifier: BSD-3-Clause
 *
 * leases - members whose leases bind, what is asked of them and done to them. Included by tests of leases, each of
 * which has one lab. */
#ifndef TAGCACHED_TESTS_LEASES_H
#define TAGCACHED_TESTS_LEASES_H

#include "cluster/lease.h"
#include "cluster/mutation.h"
#include "purge_lab.h"

#define MS UINT64_C(1000000)
#define WAITED_MS 1106 /* W(1 s) */

static struct purge_lab l;

/* When a member's leases end, by the lab's clock. */
static inline struct lease_ends ends(uint32_t number) {
    return purging_leases(purge_lab_node(&l, number)->p);
}

/* Whether it holds a tag lease. */
static inline bool holds(uint32_t number) {
    return ends(number).tag_ns > l.now_ns;
}

/* Whether a purge that `purge` has asked for is confirmed. */
static inline bool is_confirmed(uint32_t number, uint64_t tag) {
    const struct purging_receipt *r = purge_lab_outcome(&l, number, 1000 * number + tag);
    return r != NULL && r->status == PURGING_CONFIRMED;
}

/* Asks for a purge with much patience, and settles. */
static inline void purge(uint32_t number, uint64_t tag) {
    const struct purge_selector sel = {tag != 0, &tag};
    const struct purging_request r = {
        .selectors = &sel, .nselectors = 1, .wait_ns = 100000 * MS, .token = 1000 * number + tag};
    assert_int_equal(purging_purge(purge_lab_node(&l, number)->p, l.now_ns, &r, NULL), 0);
    purge_lab_settle(&l);
}

/* n members, three of which vote, in a cluster whose leases bind, later than all waits of its beginning. */
static inline void begin(unsigned n) {
    purge_lab_init(&l, n, 3, 1 << 20);
    l.c.leases = true;
    l.c.version++;
    purge_lab_adopt(&l);
    purge_lab_settle(&l);
    purge_lab_run(&l, 2000);
}

/* The member hears nobody, and nobody hears it. */
static inline void cut(uint32_t number) {
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != number) purge_lab_link(&l, number, i, false);
}

/* The voters of now will be the previous ones of the next configuration. */
static inline void keep_previous(void) {
    l.c.nprevious = l.c.nvoters;
    for (unsigned i = 0; i < l.c.nvoters; i++) l.c.previous[i] = l.c.voters[i];
}

/* All but `but` adopt a new epoch, whose previous voters are those of the last keep_previous. */
static inline void new_epoch(bool fresh, uint32_t but) {
    l.c.version++;
    l.c.epoch++;
    if (fresh) l.c.floor_epoch = l.c.epoch;
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != but) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
}

/* The promise holds, and not with the shortcut. */
static inline void is_noticed(bool (*holds_true)(void), enum mutation shortcut) {
    assert_true(holds_true());
    mutation_on = shortcut;
    assert_false(holds_true());
    mutation_on = MUTATION_NONE;
}

#endif
