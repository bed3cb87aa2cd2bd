/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The purging machine in a world of faults: without arguments a few hundred seeds of everything, T7, T8, and each
 * shortcut, which has to be noticed.
 *
 *     sim_purges [seeds=N] [from=N] [faults=MASK] [nodes=N] [voters=N] [rate=N] [seconds=N] [first=N] [roll=MS]
 * [asked=N] [mutation=N] [v=1]
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/mutation.h"
#include "tests/sim/purge_world.h"

#ifdef SIM_SLOW
#define SEEDS 10
#else
#define SEEDS 60 /* in make check; by hand: sim_purges seeds=10000 */
#endif
#define ROLLS 1000 /* restarts of voters */

static void add(struct world_result *sum, const struct world_result *r) {
    for (unsigned i = 0; i < WORLD_VIOLATIONS; i++) sum->violations[i] += r->violations[i] > 0;
    sum->total += r->total > 0;
    sum->purges += r->purges;
    sum->confirmed += r->confirmed;
    sum->alone += r->alone;
    sum->repeated += r->repeated;
    sum->floors += r->floors;
    sum->kept += r->kept;
    sum->fresh += r->fresh;
    sum->versions += r->versions;
    sum->joins += r->joins;
    sum->ejected += r->ejected;
    sum->retired += r->retired;
    sum->events += r->events;
    sum->reads += r->reads;
    sum->leased += r->leased;
    sum->bound += r->bound;
    if (r->longest_vector > sum->longest_vector) sum->longest_vector = r->longest_vector;
    if (r->origins_end > sum->origins_end) sum->origins_end = r->origins_end;
}

static void print(const struct world_result *s, unsigned seeds) {
    printf("%u seeds, %u broken:", seeds, s->total);
    for (unsigned i = 0; i < WORLD_VIOLATIONS; i++)
        if (s->violations[i] > 0) printf(" %s %u;", world_violation_name(i), s->violations[i]);
    printf("\n  purges %" PRIu64 " confirmed in time %" PRIu64 " alone %" PRIu64 " events %" PRIu64 " repeated %" PRIu64
           " floors %" PRIu64 " kept %" PRIu64 " fresh %" PRIu64 " versions %" PRIu64 " joins %" PRIu64
           " ejected %" PRIu64 " retired %" PRIu64 " longest vector %u most origins %u reads %" PRIu64
           " leased %" PRIu64 " bound %" PRIu64 "\n",
           s->purges, s->confirmed, s->alone, s->events, s->repeated, s->floors, s->kept, s->fresh, s->versions,
           s->joins, s->ejected, s->retired, s->longest_vector, s->origins_end, s->reads, s->leased, s->bound);
}

/* Every seed is a cluster of another size; some have short logs, none has all faults at once all the time. */
static void vary(struct world_options *o, uint64_t seed) {
    static const unsigned nodes[] = {3, 4, 5, 6, 7}, voters[] = {3, 3, 3, 3, 5};
    o->seed = seed;
    o->nodes = nodes[seed % 5];
    o->voters = voters[seed % 5];
    o->faults = WORLD_ALL;
    o->first_voters = 0;
    if (seed % 3 != 0) o->faults &= ~(unsigned)WORLD_HORIZON;
    if (seed % 7 == 0) o->faults &= ~(unsigned)WORLD_CRASHES;
    if (seed % 11 == 0) {
        o->nodes = 2;
        o->voters = 1;
    } else if (seed % 13 == 0) {
        o->first_voters = 1;
    }
}

/* ------------------------------------------------------------------ checks */

static void run_seeds(uint64_t from, unsigned seeds, struct world_result *sum) {
    *sum = (struct world_result){0};
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        struct world_options o = {.purges_per_s = 60, .seconds = 8, .asked = -1, .print = true};
        struct world_result r;
        vary(&o, seed);
        world_run(&o, &r);
        add(sum, &r);
    }
}

static void test_every_purge_reaches_every_member_once(void **state) {
    (void)state;
    struct world_result sum;
    run_seeds(1, SEEDS, &sum);
    print(&sum, SEEDS);
    assert_int_equal(sum.total, 0);
    /* nothing interesting was left out */
    assert_true(sum.confirmed > 0 && sum.alone > 0 && sum.repeated > 0 && sum.floors > 0 && sum.kept > 0);
    assert_true(sum.fresh > 0 && sum.joins > 0 && sum.ejected > 0 && sum.retired > 0);
}

/* T7 */
static void test_vectors_stay_short_when_voters_restart_a_thousand_times(void **state) {
    (void)state;
    const struct world_options o = {.seed = 7,
                                    .nodes = 3,
                                    .voters = 3,
                                    .purges_per_s = 10,
                                    .seconds = ROLLS * 9 / 20,
                                    .roll_ms = 100,
                                    .asked = -1,
                                    .print = true};
    struct world_result r;
    world_run(&o, &r);
    print(&r, 1);
    assert_int_equal(r.total, 0);
    assert_true(r.restarts >= ROLLS);
    assert_true(r.retired >= r.restarts - 10);
    assert_true(r.longest_vector <= 3 + 5); /* the voters', and origins that are being retired */
}

/* T8 */
static void test_a_thousand_purges_a_second_while_voters_are_killed_in_turn(void **state) {
    (void)state;
    const struct world_options o = {.seed = 8,
                                    .nodes = 5,
                                    .voters = 3,
                                    .purges_per_s = 1000,
                                    .seconds = 7,
                                    .roll_ms = 400,
                                    .asked = 4,
                                    .print = true};
    struct world_result r;
    world_run(&o, &r);
    print(&r, 1);
    assert_int_equal(r.total, 0); /* none twice, none lost */
    assert_true(r.purges > 6000);
    assert_true(r.restarts >= 6);
    /* within two seconds, and 1,000 a second are no burden; but for some of everything, which wait for every member */
    assert_true(r.confirmed * 1000 >= r.purges * 999);
}

#ifndef SIM_SLOW
/* A shortcut of the machine, or of who governs the world. */
struct shortcut {
    enum mutation mutation;
    bool origin_again, bind_at_once;
    unsigned step;   /* seeds that may show it: every third has short logs, every thirteenth begins with one voter */
    unsigned likely; /* one that does, so that few have to be run; changes with the machines */
};

static bool notices(const struct shortcut *c, uint64_t seed) {
    struct world_options o = {.purges_per_s = 60, .seconds = 8, .asked = -1};
    struct world_result r;
    o.origin_again = c->origin_again;
    o.bind_at_once = c->bind_at_once;
    vary(&o, seed);
    mutation_on = c->mutation;
    world_run(&o, &r);
    mutation_on = MUTATION_NONE;
    return r.total > 0;
}

/* The seed by which the shortcut is noticed, 0: none of a thousand. */
static unsigned notice(const struct shortcut *c) {
    if (notices(c, c->likely)) return c->likely;
    for (unsigned seed = c->step; seed <= 1000; seed += c->step)
        if (notices(c, seed)) return seed;
    return 0;
}

/* NO_SEAL and MIXED_EPOCHS are too rare: tests/unit/test_lease.c. */
static void test_every_shortcut_is_noticed_within_a_thousand_seeds(void **state) {
    static const struct shortcut shortcuts[] = {
        {MUTATION_MAX_SEQUENCE, false, false, 1, 2},
        {MUTATION_OWN_TWICE, false, false, 1, 1},
        {MUTATION_ACK_EARLY, false, false, 1, 1},
        {MUTATION_NO_VIA, false, false, 1, 1},
        {MUTATION_VECTOR_AHEAD, false, false, 1, 1},
        {MUTATION_NO_HORIZON_FLOOR, false, false, 3, 9},
        {MUTATION_HORIZON_NO_STAR, false, false, 3, 69},
        {MUTATION_NEWCOMER_NO_FLOOR, false, false, 1, 1},
        {MUTATION_CONFIRM_LINKED, false, false, 1, 11},
        {MUTATION_MAJORITY_ONLY, false, false, 1, 1},
        {MUTATION_LEASE_MINORITY, false, false, 1, 1},
        {MUTATION_LEASE_EARLY, false, false, 1, 1},
        {MUTATION_LEASE_FROM_REPLY, false, false, 1, 12},
        {MUTATION_NO_DRIFT, false, false, 1, 9},
        {MUTATION_NO_HOLD, false, false, 1, 21},
        {MUTATION_FLUSH_BY_LEASE, false, false, 1, 1},
        {MUTATION_NO_EPOCH_FLOOR, false, false, 1, 20},
        {MUTATION_CACHED_CLOCK, false, false, 1, 36},
        {MUTATION_NONE, true, false, 1, 1},    /* an origin's number is used again */
        {MUTATION_NONE, false, true, 13, 546}, /* leases bind before all know of them */
    };
    (void)state;
    for (unsigned i = 0; i < sizeof shortcuts / sizeof *shortcuts; i++) {
        const unsigned seed = notice(&shortcuts[i]);
        printf("shortcut %u (%u): seed %u\n", i, (unsigned)shortcuts[i].mutation, seed);
        assert_int_not_equal(seed, 0);
    }
}
#endif

int main(int argc, char **argv) {
    struct world_options o = {.purges_per_s = 60, .seconds = 8, .asked = -1};
    struct world_result sum = {0};
    uint64_t from = 1;
    unsigned seeds = 100, first = 0;
    bool varied = true;
    if (argc == 1) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_every_purge_reaches_every_member_once),
            cmocka_unit_test(test_vectors_stay_short_when_voters_restart_a_thousand_times),
            cmocka_unit_test(test_a_thousand_purges_a_second_while_voters_are_killed_in_turn),
#ifndef SIM_SLOW
            cmocka_unit_test(test_every_shortcut_is_noticed_within_a_thousand_seeds),
#endif
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
    }
    for (int i = 1; i < argc; i++) {
        const char *is = strchr(argv[i], '=');
        const unsigned long v = is != NULL ? strtoul(is + 1, NULL, 0) : 0;
        if (strncmp(argv[i], "seeds=", 6) == 0)
            seeds = (unsigned)v;
        else if (strncmp(argv[i], "from=", 5) == 0)
            from = v;
        else if (strncmp(argv[i], "rate=", 5) == 0)
            o.purges_per_s = (unsigned)v;
        else if (strncmp(argv[i], "seconds=", 8) == 0)
            o.seconds = (unsigned)v;
        else if (strncmp(argv[i], "mutation=", 9) == 0)
            mutation_on = (enum mutation)v;
        else if (strncmp(argv[i], "roll=", 5) == 0)
            o.roll_ms = (unsigned)v;
        else if (strncmp(argv[i], "asked=", 6) == 0)
            o.asked = (int)v;
        else if (strncmp(argv[i], "again=", 6) == 0)
            o.origin_again = v;
        else if (strncmp(argv[i], "trace=", 6) == 0)
            o.trace = stdout;
        else if (strncmp(argv[i], "first=", 6) == 0)
            first = (unsigned)v;
        else if (strncmp(argv[i], "v=", 2) == 0)
            o.print = v;
        else if (strncmp(argv[i], "faults=", 7) == 0) {
            o.faults = (unsigned)v;
            varied = false;
        } else if (strncmp(argv[i], "nodes=", 6) == 0)
            o.nodes = (unsigned)v;
        else if (strncmp(argv[i], "voters=", 7) == 0)
            o.voters = (unsigned)v;
        else
            return 2;
    }
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        struct world_result r;
        if (varied) vary(&o, seed);
        if (first != 0) o.first_voters = first;
        o.seed = seed;
        world_run(&o, &r);
        add(&sum, &r);
    }
    print(&sum, seeds);
    return sum.total > 0;
}
