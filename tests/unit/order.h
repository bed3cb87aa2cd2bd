/* SPDX-License-Identifier: BSD-3-Clause
 *
 * order - scenarios: the orders of steps that the store's promises rest on, shown by holding a thread at the very place
 * where it hurts. Each runs twice: with the store as it is, where the promise must hold, and with one rule broken on
 * purpose, where the same scenario must see it broken: so the scenario is known to test that rule.
 *
 * For the programs test_order_*; what a scenario needs besides is in store_lab.h.
 */
#ifndef TAGCACHED_TESTS_ORDER_H
#define TAGCACHED_TESTS_ORDER_H

#include "store_lab.h"

#define TAG 0x1234567800000001ull
#define SECOND 1000000000ull

extern const uint64_t tag[1];

/* Returns true if it saw the promise broken. */
typedef bool scenario(struct lab *l);

/* Fails the test if the scenario sees the promise broken; prefix: see lab_open. */
void holds(scenario *f, char prefix);
/* Fails the test if it does not, with this rule broken (a FAULT_POINT). */
void breaks(scenario *f, char prefix, const char *mutation);
/* Both. */
void guarded(scenario *f, const char *mutation);

/* What a helper thread does, as worker 1. */
struct helper {
    struct lab *l;
    const char *key, *value;
    const uint64_t *tags;
    unsigned ntags;
    uint64_t guard;
    uint32_t ttl;
    bool soft, hit;
    enum store_status st;
};
void run_purge(void *helper);
void run_set(void *helper);
void run_fill(void *helper);
void run_get(void *helper);
void run_sweep(void *helper);

/* The worker's next number will be a new one. */
void drop_block(struct lab *l, unsigned worker);
/* Steps the sweeper until a pass ends; false if it does not. */
bool sweep_pass(struct lab *l);

#endif
