/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The agreed configuration under faults: random schedules by seed, and each rule broken on purpose.
 *
 *     test_sim_config                 what make check runs
 *     test_sim_config FROM TO [all|none|lost] [MUTATION]    these seeds; prints what happened, exit status 1: one
 * failed TAGCACHED_TRACE=1               with one seed: prints all that happens
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "tests/sim/config_world.h"

static const char *mutation;

static bool is_mutation(const char *name) {
    return mutation != NULL && strcmp(name, mutation) == 0;
}

struct totals {
    unsigned seeds, broken, adoptions, kept, fresh, foundings, ejected, crashes, lost, recoveries, seals, confirmed,
        resets, left;
};

/* 3 to 7 nodes; 20 s of faults, then calm until all agree. */
static struct world_options options_of(uint64_t seed, int disks) {
    struct world_options o = {
        .nodes = 3 + (unsigned)(seed % 5),
        .founders = 3,
        .disks = WORLD_DISKS_ALL,
        .faults = true,
        .tag_lease_ms = 500,
        .serve_lease_ms = 2000,
        .eject_after_ms = 3000,
    };
    if (o.nodes >= 5 && seed % 3 == 0) o.founders = 5;
    if (seed % 16 == 7) o.founders = 1;
    const unsigned kind = disks >= 0 ? (unsigned)disks : (unsigned)(seed / 5 % 3);
    if (kind == 1) o.disks = WORLD_DISKS_NONE;
    if (kind == 2) o.disks = WORLD_DISKS_LOST;
    return o;
}

static bool run_seed(uint64_t seed, int disks, FILE *trace, struct totals *t, char *why, size_t why_size) {
    const struct world_options o = options_of(seed, disks);
    struct world *w = world_new(seed, &o);
    if (trace != NULL) sim_trace(w->sim, trace, 0);
    world_faults(w, 20 * SIM_S);
    const bool held = world_run(w, 20 * SIM_S) && world_settle(w, 150 * SIM_S);
    snprintf(why, why_size, "%s", w->broken);
    t->seeds++;
    t->broken += !held;
    t->adoptions += w->adoptions;
    t->kept += w->kept;
    t->fresh += w->fresh;
    t->foundings += w->foundings;
    t->ejected += w->ejected;
    t->crashes += w->crashes;
    t->lost += w->lost;
    t->recoveries += w->recoveries;
    t->seals += w->seals;
    t->confirmed += w->confirmed;
    t->resets += w->resets;
    t->left += w->left;
    world_free(w);
    return held;
}

static void print_totals(const struct totals *t) {
    printf("seeds=%u broken=%u adoptions=%u kept=%u fresh=%u foundings=%u ejected=%u crashes=%u lost=%u recoveries=%u "
           "seals=%u confirmed=%u resets=%u left=%u\n",
           t->seeds, t->broken, t->adoptions, t->kept, t->fresh, t->foundings, t->ejected, t->crashes, t->lost,
           t->recoveries, t->seals, t->confirmed, t->resets, t->left);
}

static int run_by_hand(int argc, char **argv) {
    const uint64_t from = strtoull(argv[1], NULL, 10), to = strtoull(argv[2], NULL, 10);
    const int disks = argc < 4 || strcmp(argv[3], "mixed") == 0 ? -1
                      : strcmp(argv[3], "all") == 0             ? 0
                      : strcmp(argv[3], "none") == 0            ? 1
                                                                : 2;
    FILE *trace = getenv("TAGCACHED_TRACE") != NULL ? stdout : NULL;
    struct totals t = {0};
    char why[700];
    if (argc > 4) {
        mutation = argv[4];
        fault_hook = is_mutation;
    }
    for (uint64_t seed = from; seed <= to; seed++)
        if (!run_seed(seed, disks, trace, &t, why, sizeof why)) printf("seed %llu %s\n", (unsigned long long)seed, why);
    print_totals(&t);
    return t.broken > 0;
}

/* ---- random schedules */

#define SEEDS (TEST_SLOW ? 40 : 100)

static void test_random_schedules_keep_every_promise(void **state) {
    (void)state;
    struct totals t = {0};
    char why[700];
    for (int disks = 0; disks < 3; disks++)
        for (uint64_t seed = 1; seed <= SEEDS; seed++)
            if (!run_seed(seed, disks, NULL, &t, why, sizeof why))
                fail_msg("test_sim_config %llu %llu %s: %s", (unsigned long long)seed, (unsigned long long)seed,
                         disks == 0   ? "all"
                         : disks == 1 ? "none"
                                      : "lost",
                         why);
    /* the schedules are worth something only while all of this happens in them */
    assert_true(t.kept > 0 && t.fresh > 0 && t.foundings > 0 && t.ejected > 0 && t.lost > 0 && t.recoveries > 0);
    assert_true(t.seals > 0 && t.confirmed > 0 && t.resets > 0 && t.left > 0);
}

static void test_a_seed_repeats(void **state) {
    (void)state;
    const struct world_options o = options_of(3, 2);
    uint64_t digest[2];
    for (unsigned i = 0; i < 2; i++) {
        struct world *w = world_new(3, &o);
        world_faults(w, 10 * SIM_S);
        world_run(w, 15 * SIM_S);
        digest[i] = sim_digest(w->sim);
        world_free(w);
    }
    assert_int_equal(digest[0], digest[1]);
}

/* ---- rules broken on purpose */

#ifndef SIM_SLOW
static const struct {
    const char *mutation;
    int disks;
    unsigned seeds; /* within so many it must be found; rarer ones have schedules of their own in
                       tests/unit/test_config_acceptor and test_config_join */
} mutations[] = {
    {"config_minority", 0, 50}, {"config_seal_ignored", 0, 50},       {"config_numbers_reused", 0, 50},
    {"config_unbound", 1, 200}, {"config_accepted_ignored", 0, 1000}, {"config_recover_fixed", 2, 1000},
};

static void test_a_rule_that_is_broken_is_found(void **state) {
    (void)state;
    char why[700];
    fault_hook = is_mutation;
    for (unsigned m = 0; m < sizeof mutations / sizeof mutations[0]; m++) {
        struct totals t = {0};
        mutation = mutations[m].mutation;
        for (uint64_t seed = 1; seed <= mutations[m].seeds && t.broken == 0; seed++)
            run_seed(seed, mutations[m].disks, NULL, &t, why, sizeof why);
        if (t.broken == 0) fail_msg("%s is not found within %u seeds", mutation, mutations[m].seeds);
    }
    mutation = NULL;
    fault_hook = NULL;
}
#endif

/* ---- schedules */

static struct world *quiet_world(unsigned nodes, unsigned founders, int disks) {
    struct world_options o = {.nodes = nodes, .founders = founders};
    o.disks = disks == 1 ? WORLD_DISKS_NONE : disks == 2 ? WORLD_DISKS_LOST : WORLD_DISKS_ALL;
    struct world *w = world_new(nodes + founders, &o);
    if (!world_settle(w, 20 * SIM_S)) fail_msg("%s", w->broken);
    return w;
}

static void settle(struct world *w, unsigned seconds) {
    if (!world_settle(w, seconds * SIM_S)) fail_msg("%s", w->broken);
}

static const struct configuration *any_configuration(const struct world *w) {
    for (unsigned i = 0; i < w->options.nodes; i++)
        if (world_configuration(w, i) != NULL) return world_configuration(w, i);
    fail_msg("no configuration");
    return NULL;
}

static unsigned seated(const struct world *w) {
    unsigned n = 0;
    for (unsigned i = 0; i < w->options.nodes; i++)
        n += w->place[i].process != NULL && config_sits(w->place[i].process->config);
    return n;
}

/* Voters that have an origin. */
static unsigned numbering(const struct world *w) {
    unsigned n = 0;
    for (unsigned i = 0; i < w->options.nodes; i++)
        n += w->place[i].process != NULL && config_origin(w->place[i].process->config) != 0;
    return n;
}

static enum configuration_state state_of(const struct world *w, unsigned at) {
    const struct configuration_member *m = configuration_by_name(any_configuration(w), w->place[at].name);
    assert_non_null(m);
    return m->state;
}

/* T4 */
static void test_one_of_three_voters_dies_and_the_epoch_stays(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 0);
    const uint64_t epoch = any_configuration(w)->epoch, version = any_configuration(w)->version;
    world_crash(w, 1, UINT64_MAX, true);
    assert_true(world_run(w, 30 * SIM_S));
    assert_int_equal(any_configuration(w)->epoch, epoch);
    assert_int_equal(any_configuration(w)->version, version);
    world_start(w, 1); /* back: a new process in the same seat, which is a new epoch, and its memory is kept */
    settle(w, 5);
    assert_int_equal(any_configuration(w)->epoch, epoch + 1);
    assert_true(any_configuration(w)->floor_epoch <= epoch);
    assert_int_equal(seated(w), 3);
    world_free(w);
}

/* T5 */
static void test_two_of_three_voters_die_and_come_back_to_a_fresh_epoch(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 0);
    const uint64_t epoch = any_configuration(w)->epoch;
    const struct cluster_id cluster = any_configuration(w)->cluster;
    world_crash(w, 0, sim_now(w->sim) + 3 * SIM_S, true);
    world_crash(w, 2, sim_now(w->sim) + 4 * SIM_S, true);
    settle(w, 15);
    assert_true(any_configuration(w)->epoch > epoch && any_configuration(w)->floor_epoch > epoch);
    assert_true(cluster_id_equal(&any_configuration(w)->cluster, &cluster));
    world_free(w);
}

static void test_power_is_back_and_with_it_the_cluster_within_ten_seconds(void **state) {
    (void)state;
    struct world *w = quiet_world(5, 3, 0);
    const uint64_t epoch = any_configuration(w)->epoch;
    const struct cluster_id cluster = any_configuration(w)->cluster;
    for (unsigned i = 0; i < 5; i++) world_crash(w, i, sim_now(w->sim) + SIM_S + i * 200 * SIM_MS, true);
    settle(w, 12); /* from the cut; the last node starts 1.8 s after it */
    assert_true(cluster_id_equal(&any_configuration(w)->cluster, &cluster));
    assert_true(any_configuration(w)->floor_epoch > epoch);
    world_free(w);
}

/* T6 */
static void test_all_die_without_directories_and_a_majority_founds_anew_within_five_seconds(void **state) {
    (void)state;
    struct world *w = quiet_world(5, 3, 1);
    const struct cluster_id cluster = any_configuration(w)->cluster;
    for (unsigned i = 0; i < 5; i++) world_crash(w, i, UINT64_MAX, false);
    world_run(w, SIM_S);
    world_start(w, 2);
    world_run(w, 2 * SIM_S);
    assert_null(world_configuration(w, 2)); /* one of three founders founds nothing */
    world_start(w, 1);
    settle(w, 5);
    assert_false(cluster_id_equal(&any_configuration(w)->cluster, &cluster));
    world_start(w, 0); /* the third one sits down at the place that waits for its name */
    settle(w, 5);
    assert_int_equal(seated(w), 3);
    world_free(w);
}

static void test_two_of_three_die_without_directories_and_the_third_joins_what_they_found(void **state) {
    (void)state;
    struct world *w = quiet_world(4, 3, 1);
    world_crash(w, 0, sim_now(w->sim) + SIM_S, false);
    world_crash(w, 1, sim_now(w->sim) + SIM_S, false);
    settle(w, 40); /* node 2 sees most founders' names taken, and had no lease for 10 s */
    assert_int_equal(seated(w), 3);
    assert_true(w->resets > 0);
    world_free(w);
}

/* T7 */
static void test_a_thousand_restarts_of_voters_leave_few_origins(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 0);
    for (unsigned i = 0; i < (TEST_SLOW ? 100 : 1000); i++) {
        world_crash(w, i % 3, sim_now(w->sim) + 50 * SIM_MS, true);
        settle(w, 20);
        assert_true(any_configuration(w)->norigins <=
                    any_configuration(w)->nvoters + any_configuration(w)->nclosing + 3);
    }
    world_run(w, 3 * SIM_S);
    assert_int_equal(any_configuration(w)->norigins, 3);
    assert_int_equal(any_configuration(w)->nclosing, 0);
    world_free(w);
}

static void test_at_48_origins_a_restarted_voter_gets_none_until_one_is_retired(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 0);
    w->retire = false;
    for (unsigned i = 0; i < 60; i++) {
        world_crash(w, i % 2, sim_now(w->sim) + 50 * SIM_MS, true);
        world_run(w, 3 * SIM_S);
        assert_true(any_configuration(w)->norigins <= 50);
    }
    assert_true(any_configuration(w)->norigins >= 48 && numbering(w) < 3);
    assert_int_equal(seated(w), 3);
    w->retire = true;
    world_run(w, 20 * SIM_S);
    assert_int_equal(numbering(w), 3);
    world_free(w);
}

/* Nobody can tell that an origin may go but an active voter; so seats do not wait for that. */
static void test_all_voters_are_killed_again_and_again_before_an_origin_is_retired(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 0);
    w->retire = false;
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned node = 0; node < 3; node++) world_crash(w, node, sim_now(w->sim) + 50 * SIM_MS, true);
        settle(w, 20);
    }
    assert_true(any_configuration(w)->norigins > 48 && seated(w) == 3);
    assert_int_equal(numbering(w), 1); /* purges can be made */
    w->retire = true;
    world_run(w, 20 * SIM_S);
    assert_int_equal(numbering(w), 3);
    assert_int_equal(any_configuration(w)->norigins, 3);
    world_free(w);
}

static void test_seats_follow_the_number_of_members(void **state) {
    (void)state;
    struct world *w = quiet_world(7, 3, 0);
    settle(w, 10);
    assert_int_equal(any_configuration(w)->nvoters, 5); /* 5 from 7 members */
    unsigned voter = 0;
    while (config_origin(w->place[voter].process->config) == 0) voter++;
    world_crash(w, voter, UINT64_MAX, true);
    world_run(w, 8 * SIM_S);
    assert_int_equal(seated(w), 4);
    world_run(w, 8 * SIM_S); /* silent for 10 s: its seat is another member's */
    assert_int_equal(seated(w), 5);
    assert_int_equal(state_of(w, voter), CONFIGURATION_SERVING);
    world_run(w, 25 * SIM_S); /* and after 35 s it is ejected */
    assert_int_equal(state_of(w, voter), CONFIGURATION_EJECTED);
    world_start(w, voter);
    settle(w, 10);
    assert_int_equal(state_of(w, voter), CONFIGURATION_SERVING);
    assert_int_equal(any_configuration(w)->nvoters, 5);
    world_free(w);
}

static void test_one_node_becomes_two_then_three_then_two_again(void **state) {
    (void)state;
    struct world_options o = {.nodes = 3, .founders = 1};
    struct world *w = world_new(5, &o);
    w->place[1].up_at = w->place[2].up_at = UINT64_MAX; /* not yet */
    settle(w, 5);
    assert_int_equal(any_configuration(w)->nmembers, 1);
    world_start(w, 1);
    settle(w, 5);
    assert_int_equal(any_configuration(w)->nvoters, 1); /* two members have one voter */
    world_start(w, 2);
    settle(w, 5);
    world_run(w, 2 * SIM_S);
    assert_int_equal(any_configuration(w)->nvoters, 3);
    world_request(w, 2, CONFIG_LEAVE, w->place[0].name, 0); /* asked at another node */
    w->place[0].process->leaving = true;
    world_run(w, 5 * SIM_S);
    assert_true(config_left(w->place[0].process->config));
    world_crash(w, 0, UINT64_MAX, true);
    settle(w, 5);
    assert_int_equal(any_configuration(w)->nvoters, 1);
    assert_int_equal(seated(w), 1);
    world_free(w);
}

static void test_two_nodes_with_one_voter_eject_nobody(void **state) {
    (void)state;
    struct world *w = quiet_world(2, 1, 0);
    world_crash(w, 1, UINT64_MAX, true);
    world_run(w, 60 * SIM_S);
    assert_int_equal(state_of(w, 1), CONFIGURATION_SERVING);
    world_request(w, 0, CONFIG_FORGET, w->place[1].name, 0);
    world_run(w, SIM_S);
    assert_int_equal(any_configuration(w)->nmembers, 1);
    world_start(w, 1); /* it was not down for good after all */
    settle(w, 5);
    assert_int_equal(any_configuration(w)->nmembers, 2);
    world_free(w);
}

static void test_a_second_process_of_a_name_is_refused_while_the_first_one_answers(void **state) {
    (void)state;
    struct world *w = quiet_world(4, 3, 0);
    const uint64_t version = any_configuration(w)->version;
    world_crash(w, 3, UINT64_MAX, true);
    w->place[3].disk.exists = false; /* another node, with the name of node 1 */
    memcpy(w->place[3].name, w->place[1].name, sizeof w->place[3].name);
    world_start(w, 3);
    world_run(w, 5 * SIM_S);
    assert_true(w->joins_refused > 0);
    assert_int_equal(config_number(w->place[3].process->config), 0);
    assert_int_not_equal(config_number(w->place[1].process->config), 0);
    assert_int_equal(any_configuration(w)->version, version);
    world_crash(w, 1, UINT64_MAX, true); /* the first one is gone: the second one is taken */
    world_run(w, 5 * SIM_S);
    assert_int_not_equal(config_number(w->place[3].process->config), 0);
    world_free(w);
}

static void test_a_clock_that_is_behind_keeps_nobody_out(void **state) {
    (void)state;
    struct world *w = quiet_world(4, 3, 0);
    world_crash(w, 3, UINT64_MAX, false);
    w->unix_ns = 1000 * SIM_S; /* long before the boot that is listed */
    world_start(w, 3);
    settle(w, 5);
    world_free(w);
}

static void test_a_minority_changes_nothing_and_learns_all_when_it_is_back(void **state) {
    (void)state;
    struct world *w = quiet_world(5, 3, 0);
    unsigned cut = 0;
    while (config_origin(w->place[cut].process->config) == 0) cut++;
    const uint64_t version = any_configuration(w)->version;
    sim_set_group(w->sim, cut, 1);
    world_run(w, 60 * SIM_S);
    assert_int_equal(world_configuration(w, cut)->version, version);
    assert_true(world_configuration(w, (cut + 1) % 5)->version > version);
    assert_int_equal(configuration_by_name(world_configuration(w, (cut + 1) % 5), w->place[cut].name)->state,
                     CONFIGURATION_EJECTED);
    sim_heal(w->sim);
    settle(w, 10); /* it was ejected, and joins again under a new number, in the same process */
    assert_int_equal(w->ejected, 1);
    world_free(w);
}

static void test_a_lost_majority_of_directories_is_recovered_by_the_operator(void **state) {
    (void)state;
    struct world *w = quiet_world(3, 3, 2);
    const uint64_t version = any_configuration(w)->version;
    world_crash(w, 0, sim_now(w->sim) + SIM_S, false);
    world_crash(w, 1, sim_now(w->sim) + SIM_S, false);
    world_run(w, 20 * SIM_S);
    assert_int_equal(world_configuration(w, 2)->version, version); /* nothing can change */
    world_request(w, 2, CONFIG_RECOVER, "", 0);
    settle(w, 10);
    assert_true(any_configuration(w)->version >= version + 1000 && any_configuration(w)->version < version + 1001100);
    assert_int_equal(seated(w), 3); /* and the voters are three again */
    world_free(w);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules_keep_every_promise),
        cmocka_unit_test(test_a_seed_repeats),
#ifndef SIM_SLOW
        cmocka_unit_test(test_a_rule_that_is_broken_is_found),
#endif
        cmocka_unit_test(test_one_of_three_voters_dies_and_the_epoch_stays),
        cmocka_unit_test(test_two_of_three_voters_die_and_come_back_to_a_fresh_epoch),
        cmocka_unit_test(test_power_is_back_and_with_it_the_cluster_within_ten_seconds),
        cmocka_unit_test(test_all_die_without_directories_and_a_majority_founds_anew_within_five_seconds),
        cmocka_unit_test(test_two_of_three_die_without_directories_and_the_third_joins_what_they_found),
        cmocka_unit_test(test_a_thousand_restarts_of_voters_leave_few_origins),
        cmocka_unit_test(test_at_48_origins_a_restarted_voter_gets_none_until_one_is_retired),
        cmocka_unit_test(test_all_voters_are_killed_again_and_again_before_an_origin_is_retired),
        cmocka_unit_test(test_seats_follow_the_number_of_members),
        cmocka_unit_test(test_one_node_becomes_two_then_three_then_two_again),
        cmocka_unit_test(test_two_nodes_with_one_voter_eject_nobody),
        cmocka_unit_test(test_a_second_process_of_a_name_is_refused_while_the_first_one_answers),
        cmocka_unit_test(test_a_clock_that_is_behind_keeps_nobody_out),
        cmocka_unit_test(test_a_minority_changes_nothing_and_learns_all_when_it_is_back),
        cmocka_unit_test(test_a_lost_majority_of_directories_is_recovered_by_the_operator),
    };
    if (argc >= 3) return run_by_hand(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
