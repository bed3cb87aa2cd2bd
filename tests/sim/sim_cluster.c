/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The whole cluster under faults; lab.h says what is promised. Without arguments: some seeds, T4, T5 and T7 to T10, and
 * each rule broken on purpose, which has to be noticed.
 *
 *     sim_cluster seeds=N [from=N] [broken=NAME] [print=1]    many seeds; exit status 1: one broke a promise
 *     sim_cluster trace=N [broken=NAME]                       one seed, and what happens in it
 *     sim_cluster find=NAME|all                               the first seed that shows each broken rule
 *     sim_cluster rules=                                      their names
 *
 * In make check the environment variable SIM_SEEDS says how many seeds.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/sim/lab_state.h"
#include "tests/sim/lab_vary.h"

#ifdef SIM_SLOW
#define SEEDS 8
#else
#define SEEDS 40
#endif
#define FIND_SEEDS 1000
#define MANY 1000 /* seeds in which everything happens */
#define ROLLS 150 /* restarts of voters; a thousand of them: test_sim_config */

static const struct lab_options usual = {.purges_per_s = 15, .reads_per_s = 300, .seconds = 20, .asked = -1};

static void run_seed(uint64_t seed, const struct lab_broken *b, bool print, FILE *trace, struct lab_result *r) {
    struct lab_options o = usual;
    lab_vary(&o, seed);
    lab_break(b, &o);
    o.print = print;
    o.trace = trace;
    lab_run(&o, r);
    lab_break(NULL, &o);
}

/* Schedules are worth something only while all that they are made for happens in them: what does not, NULL: nothing. */
static const char *never(const struct lab_result *sum, unsigned seeds) {
    static const char *const rare[] = {"fenced", "pulls_behind_floor", "recoveries",
                                       "ringless"}; /* looked for in many seeds only */
#define HAPPENS(name) {#name, sum->name},
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {LAB_COUNTS(HAPPENS)};
#undef HAPPENS
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        bool excused = strcmp(counts[i].name, "restarts") == 0; /* voters that are killed in turn: T7 and T8 */
        for (unsigned k = 0; k < sizeof rare / sizeof *rare && seeds < MANY; k++)
            excused |= strcmp(counts[i].name, rare[k]) == 0;
        if (counts[i].count == 0 && !excused) return counts[i].name;
    }
    return NULL;
}

/* ------------------------------------------------------------------ random schedules */

static void test_random_schedules_keep_every_promise(void **state) {
    const char *wanted = getenv("SIM_SEEDS");
    const unsigned seeds = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : SEEDS;
    struct lab_result sum = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct lab_result r;
        run_seed(seed, NULL, true, NULL, &r);
        lab_add(&sum, &r);
        if (!lab_has_hits(&r))
            fail_msg("seed %" PRIu64 ": %" PRIu64 " hits of %" PRIu64 " reads", seed, r.hits, r.reads);
    }
    lab_print(&sum, seeds, stdout);
    assert_int_equal(sum.total, 0);
#ifndef SIM_SLOW
    const char *lacks = never(&sum, seeds);
    if (lacks != NULL) fail_msg("never happens: %s", lacks);
#endif
}

static void test_a_seed_repeats(void **state) {
    struct lab_result a, b;
    (void)state;
    run_seed(4, NULL, true, NULL, &a);
    run_seed(4, NULL, true, NULL, &b);
    assert_int_equal(a.digest, b.digest);
}

#ifndef SIM_SLOW
static unsigned find(const struct lab_broken *b) {
    struct lab_result r;
    const unsigned step = b->step != 0 ? b->step : 1;
    if (b->seed != 0) {
        run_seed(b->seed, b, false, NULL, &r);
        if (r.total > 0) return b->seed;
    }
    for (unsigned seed = step; seed <= FIND_SEEDS * step; seed += step) {
        run_seed(seed, b, false, NULL, &r);
        if (r.total > 0) return seed;
    }
    return 0;
}

static void test_every_broken_rule_is_noticed_within_a_thousand_seeds(void **state) {
    (void)state;
    for (unsigned i = 0; i < lab_nbrokens; i++) {
        const struct lab_broken *b = &lab_brokens[i];
        if (b->seed == 0) continue; /* too rare: a schedule of its own shows it */
        const unsigned seed = find(b);
        if (seed != b->seed) printf("%s: seed %u\n", b->name, seed);
        if (seed == 0) fail_msg("%s is noticed by no seed", b->name);
    }
}
#endif

/* ------------------------------------------------------------------ schedules */

static struct lab *open_calm(unsigned places, unsigned tag_ms, unsigned serve_ms, struct lab_result *r) {
    struct lab_options o = usual;
    o.seed = 1;
    o.places = places;
    o.founders = o.voters = 3;
    o.tag_ms = tag_ms;
    o.serve_ms = serve_ms;
    o.eject_ms = 2 * serve_ms;
    o.print = true;
    struct lab *l = lab_open(&o, r);
    lab_pass(l, 4 * SIM_S);
    return l;
}

static void test_t4_one_of_three_voters_is_killed(void **state) {
    struct lab_result r;
    struct lab *l = open_calm(3, 1000, 30000, &r);
    (void)state;
    r.confirm_max_ns = r.floors = r.floors_all = 0;
    lab_place_crash(l, 1, true, UINT64_MAX, true);
    lab_pass(l, 10 * SIM_S);
    assert_int_equal(r.floors, 0);
    assert_int_equal(r.fresh, 0);
    assert_true(r.confirm_max_ns > 0 && r.confirm_max_ns <= 1200 * SIM_MS);
    lab_place_start(l, 1);
    lab_close(l);
    assert_int_equal(r.total, 0);
    assert_int_equal(r.floors, r.floors_all); /* the restarted one's own */
}

static void test_t5_two_of_three_voters_are_killed_and_come_back(void **state) {
    struct lab_result r;
    struct lab *l = open_calm(4, 1000, 30000, &r);
    const uint64_t fresh = r.fresh;
    (void)state;
    lab_place_crash(l, 0, false, sim_now(l->s) + SIM_S, true);
    lab_place_crash(l, 1, false, sim_now(l->s) + SIM_S, true);
    r.floors = r.floors_all = 0;
    lab_pass(l, 8 * SIM_S);
    assert_true(r.fresh > fresh);
    assert_true(r.floors > r.floors_all); /* members that stayed drop what is tagged, and no more */
    lab_close(l);
    assert_int_equal(r.total, 0);
}

/* Kills voters in turn. */
static void roll(unsigned places, int asked, unsigned purges_per_s, unsigned seconds, unsigned every_ms,
                 struct lab_result *r) {
    const struct lab_options o = {.seed = 7,
                                  .places = places,
                                  .founders = 3,
                                  .voters = 3,
                                  .purges_per_s = purges_per_s,
                                  .reads_per_s = 100,
                                  .seconds = seconds,
                                  .roll_ms = every_ms,
                                  .asked = asked,
                                  .print = true};
    lab_run(&o, r);
    lab_print(r, 1, stdout);
}

static void test_t7_vectors_stay_short_when_voters_restart(void **state) {
    struct lab_result r;
    (void)state;
    roll(3, -1, 10, ROLLS * 5 / 4, 100, &r);
    assert_int_equal(r.total, 0);
    assert_true(r.restarts >= ROLLS);
    /* The voters', and those that are being retired: that takes a second or more, and every second one dies. (In the
     * end the vector has the voters' only, which every run checks.) */
    assert_true(r.longest_vector <= 3 + 12);
}

static void test_t8_a_thousand_purges_a_second_while_voters_are_killed_in_turn(void **state) {
    struct lab_result r;
    (void)state;
    roll(5, 4, 1000, 8, 400, &r);
    assert_int_equal(r.total, 0); /* none twice, none lost */
    assert_true(r.purges > 6000);
    assert_true(r.restarts >= 6);
    assert_true(r.confirmed * 1000 >= (r.purges - r.flushes) * 999); /* within two seconds */
}

/* Hits of the lab's own reads at a place, from now on for a while; of tagged keys or of the others. */
static unsigned hits_at(struct lab *l, unsigned place, bool tagged) {
    const struct lab_process *x = lab_place_at(l, place);
    const struct lease_ends ends = lab_node_leases(x);
    const uint64_t now = sim_local(l->s, place);
    unsigned n = 0;
    for (unsigned k = 0; k < LAB_KEYS; k++)
        n += (l->keys[k].ntags > 0) == tagged && lab_store_has(&x->store, k, now, x->since[k]) && now < ends.serve_ns &&
             (!tagged || now < ends.tag_ns);
    return n;
}

static void test_t9_a_node_that_is_cut_off_misses(void **state) {
    struct lab_result r;
    struct lab *l = open_calm(4, 400, 6000, &r);
    (void)state;
    assert_true(hits_at(l, 3, true) > 0);
    for (unsigned i = 0; i < 3; i++) {
        sim_block(l->s, i, 3, true);
        sim_block(l->s, 3, i, true);
    }
    lab_pass(l, 500 * SIM_MS); /* longer than the tag lease by any clock */
    assert_int_equal(hits_at(l, 3, true), 0);
    assert_true(hits_at(l, 3, false) > 0);
    lab_pass(l, 6 * SIM_S);
    assert_int_equal(hits_at(l, 3, false), 0);
    lab_close(l);
    assert_int_equal(r.total, 0);
}

/* Changes weights of four nodes again and again, each time with one of them cut off: it hears of no new ring, and still
 * has copies of keys that are another node's now. Returns how often it answered from a copy older than a change. */
static unsigned move_behind_a_back(enum lab_shortcut shortcut) {
    struct lab_options o = usual;
    struct lab_result r;
    o.seed = 3;
    o.places = 4;
    o.founders = o.voters = 3;
    o.tag_ms = 1000;
    o.serve_ms = 10000;
    o.eject_ms = 20000;
    o.shortcut = shortcut;
    o.print = shortcut == LAB_HONEST;
    struct lab *l = lab_open(&o, &r);
    lab_pass(l, 4 * SIM_S);
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned k = 0; k < 3; k++) {
            sim_block(l->s, k, 3, true);
            sim_block(l->s, 3, k, true);
        }
        lab_node_request(lab_place_at(l, 0), CONFIG_WEIGHT, l->place[1].name, 1 + i % 2 * 3);
        lab_node_round(lab_place_at(l, 0));
        lab_pass(l, 700 * SIM_MS);
        sim_heal(l->s);
        lab_pass(l, 1500 * SIM_MS);
    }
    lab_close(l);
    assert_true(r.copy_hits > 0 && r.changes_waited > 0 && r.handoffs > 0);
    assert_int_equal(r.total, r.violations[LAB_COPY_CHANGED]);
    return r.total;
}

static void test_copies_are_recalled_before_another_owner_may_change_their_keys(void **state) {
    (void)state;
    assert_int_equal(move_behind_a_back(LAB_HONEST), 0);
    assert_true(move_behind_a_back(LAB_COPY_NOT_CLOSED) > 0);
}

/* A node is asked by a client. */
static void ask(struct lab *l, unsigned place, enum lab_what what, unsigned key) {
    const struct lab_request r = {
        .from = place,
        .op = {
            .what = what, .key = key, .invoked_ns = sim_now(l->s), .read_ns = what == LAB_DELETE ? sim_now(l->s) : 0}};
    lab_clients_request(lab_place_at(l, place), &r);
}

static bool holds(const struct lab *l, unsigned place, unsigned key) {
    const struct lab_copy *y = &lab_place_at(l, place)->copies->copy[key];
    return y->held && sim_local(l->s, place) < y->end_ns;
}

/* Reads at the place until it holds a copy of the key. */
static void become_holder(struct lab *l, unsigned place, unsigned key) {
    for (unsigned i = 0; i < 50 && !holds(l, place, key); i++) {
        ask(l, place, LAB_READ, key);
        lab_pass(l, 10 * SIM_MS);
    }
    assert_true(holds(l, place, key));
}

/* All datagrams that a place sends or is sent from now on take so long. 0: as long as all others. */
static void slow_down(struct lab *l, unsigned place, uint64_t ns) {
    const struct sim_path path = {.delay_min_ns = ns, .delay_max_ns = ns};
    sim_set_node_path(l->s, place, ns == 0 ? NULL : &path);
}

/* A holder is told of a change, and what it answers takes 1.2 s. Its copy ends, the change is done, and it gets another
 * copy; and when the answer arrives the owner waits for another one, to the next change. Returns how often the holder
 * answered from a copy older than a change. */
static unsigned answer_late(enum lab_shortcut shortcut) {
    enum { HOLDER = 3, KEY = 2, LATE_MS = 1200 };
    struct lab_options o = {.seed = 1, .places = 4, .founders = 3, .voters = 3, .seconds = 20, .asked = -1};
    struct lab_result r;
    o.purges_per_s = o.reads_per_s = 1;
    o.shortcut = shortcut;
    o.print = shortcut == LAB_HONEST;
    struct lab *l = lab_open(&o, &r);
    lab_pass(l, 4 * SIM_S);
    const unsigned owner = lab_place_at(l, HOLDER)->owner[KEY];
    assert_true(owner < o.places && owner != HOLDER);
    const uint64_t *const done_ns = &lab_place_at(l, owner)->deleted_ns[KEY];
    become_holder(l, HOLDER, KEY);
    lab_pass(l, (HOLDERS_COPY_MS - 20) * SIM_MS);
    const uint64_t first_ns = sim_now(l->s);
    ask(l, owner, LAB_DELETE, KEY);
    lab_pass(l, SIM_MS / 10);
    slow_down(l, HOLDER, LATE_MS * SIM_MS);
    sim_block(l->s, owner, HOLDER, true); /* else it is told again */
    lab_pass(l, 2 * SIM_MS);
    slow_down(l, HOLDER, 0);
    assert_true(*done_ns < first_ns);
    lab_pass(l, 150 * SIM_MS);
    assert_true(*done_ns > first_ns);
    sim_block(l->s, owner, HOLDER, false);
    become_holder(l, HOLDER, KEY);
    lab_pass(l, first_ns + (LATE_MS - 10) * SIM_MS - sim_now(l->s));
    const uint64_t second_ns = sim_now(l->s);
    slow_down(l, HOLDER, 100 * SIM_MS);
    ask(l, owner, LAB_DELETE, KEY);
    lab_pass(l, 50 * SIM_MS);
    assert_int_equal(*done_ns > second_ns, shortcut == LAB_COPY_ANY_ANSWER);
    ask(l, HOLDER, LAB_READ, KEY);
    lab_pass(l, 250 * SIM_MS);
    slow_down(l, HOLDER, 0);
    assert_true(*done_ns > second_ns);
    lab_close(l);
    assert_int_equal(r.total, r.violations[LAB_COPY_CHANGED]);
    return r.total;
}

static void test_an_answer_of_a_holder_counts_for_no_later_change(void **state) {
    (void)state;
    assert_int_equal(answer_late(LAB_HONEST), 0);
    assert_true(answer_late(LAB_COPY_ANY_ANSWER) > 0);
}

static void test_t10_steps_of_the_time_of_day_change_nothing(void **state) {
    struct lab_options o = usual;
    struct lab_result r;
    (void)state;
    lab_vary(&o, 9);
    o.wall_steps = true;
    o.print = true;
    lab_run(&o, &r);
    assert_int_equal(r.total, 0);
}

/* ------------------------------------------------------------------ by hand */

static int run_many(uint64_t from, unsigned seeds, const struct lab_broken *b, bool print) {
    struct lab_result sum = {0}, r;
    unsigned dry = 0, with_majority = 0;
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        run_seed(seed, b, true, NULL, &r);
        lab_add(&sum, &r);
        with_majority += r.no_majority == 0;
        dry += !lab_has_hits(&r);
        if (print || !lab_has_hits(&r))
            printf("seed %" PRIu64 " hits %.2f majority %s calm %.1f s fresh %" PRIu64 " digest %016" PRIx64 "\n", seed,
                   (double)r.hits / (double)r.reads, r.no_majority == 0 ? "kept" : "lost", (double)r.calm_ns / 1e9,
                   r.fresh, r.digest);
    }
    lab_print(&sum, seeds, stdout);
    printf("  %u seeds with a majority all the time, %u of them with too few hits\n", with_majority, dry);
    const char *lacks = b == NULL && seeds >= MANY ? never(&sum, seeds) : NULL;
    if (lacks != NULL) printf("  never happens: %s\n", lacks);
    return sum.total > 0 || dry > 0 || lacks != NULL;
}

#ifndef SIM_SLOW
static void find_all(const char *name) {
    for (unsigned i = 0; i < lab_nbrokens; i++)
        if (strcmp(name, "all") == 0 || strcmp(name, lab_brokens[i].name) == 0)
            printf("%s: %u\n", lab_brokens[i].name, find(&lab_brokens[i]));
}
#endif

static int run_by_hand(int argc, char **argv) {
    uint64_t from = 1, trace = 0;
    unsigned seeds = 0;
    const struct lab_broken *b = NULL;
    bool print = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *is = strchr(argv[i], '=');
        const char *value = is != NULL ? is + 1 : "";
        if (strncmp(argv[i], "seeds=", 6) == 0)
            seeds = (unsigned)strtoul(value, NULL, 10);
        else if (strncmp(argv[i], "from=", 5) == 0)
            from = strtoull(value, NULL, 10);
        else if (strncmp(argv[i], "trace=", 6) == 0)
            trace = strtoull(value, NULL, 10);
        else if (strncmp(argv[i], "print=", 6) == 0)
            print = true;
        else if (strncmp(argv[i], "rules=", 6) == 0)
            for (unsigned k = 0; k < lab_nbrokens; k++) puts(lab_brokens[k].name);
#ifndef SIM_SLOW
        else if (strncmp(argv[i], "find=", 5) == 0)
            find_all(value);
#endif
        else if (strncmp(argv[i], "broken=", 7) != 0 || (b = lab_broken_named(value)) == NULL) {
            fprintf(stderr, "sim_cluster: %s: not understood; the head of tests/sim/sim_cluster.c says what is\n",
                    argv[i]);
            return 2;
        }
    }
    if (trace != 0) {
        struct lab_result r;
        run_seed(trace, b, false, stdout, &r);
        lab_print(&r, 1, stdout);
        return r.total > 0;
    }
    return seeds > 0 ? run_many(from, seeds, b, print) : 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules_keep_every_promise),
        cmocka_unit_test(test_a_seed_repeats),
#ifndef SIM_SLOW
        cmocka_unit_test(test_every_broken_rule_is_noticed_within_a_thousand_seeds),
#endif
        cmocka_unit_test(test_t4_one_of_three_voters_is_killed),
        cmocka_unit_test(test_t5_two_of_three_voters_are_killed_and_come_back),
        cmocka_unit_test(test_t7_vectors_stay_short_when_voters_restart),
        cmocka_unit_test(test_t8_a_thousand_purges_a_second_while_voters_are_killed_in_turn),
        cmocka_unit_test(test_t9_a_node_that_is_cut_off_misses),
        cmocka_unit_test(test_copies_are_recalled_before_another_owner_may_change_their_keys),
        cmocka_unit_test(test_an_answer_of_a_holder_counts_for_no_later_change),
        cmocka_unit_test(test_t10_steps_of_the_time_of_day_change_nothing),
    };
    if (argc > 1) return run_by_hand(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
