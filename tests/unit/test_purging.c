/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Purging without waiting: what store_purge says instead, when floors rise, when the sweeper hurries; entries of the
 * purge table that move under a reader's eyes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "order.h"
#include "store/purge.h"
#include "store/sweep.h"

#define WIDE (PURGE_RECORD_TAGS + 1)

static struct store_selector one(uint64_t t) {
    return (struct store_selector){.ntags = 1, .tags = {t}};
}

static struct store_selector wide(void) {
    struct store_selector sel = {.ntags = WIDE};
    for (unsigned i = 0; i < WIDE; i++) sel.tags[i] = TAG + i;
    return sel;
}

static enum store_status purge_one(struct lab *l, uint64_t t) {
    struct store_selector sel = one(t);
    struct store_purge p = {.selectors = &sel, .nselectors = 1};
    uint64_t number;
    return store_purge(l->w[0], &p, &number);
}

static struct told {
    unsigned jobs, rooms, floors;
    void *token;
    int64_t n;
    uint64_t bytes;
    uint64_t last_floors;
} told;

static void on_job(void *arg, void *token, int64_t n, uint64_t bytes) {
    (void)arg;
    told.bytes = bytes;
    told.jobs++;
    told.token = token;
    told.n = n;
}
static void on_room(void *arg) {
    (void)arg;
    told.rooms++;
}
static void on_floors(void *arg, uint64_t floors) {
    (void)arg;
    told.floors++;
    told.last_floors = floors;
}

static void open_told(struct lab *l) {
    lab_open(l, 2 << 20, 0);
    l->s->cfg.events = (struct store_events){.on_job = on_job, .on_room = on_room, .on_floors = on_floors};
    memset(&told, 0, sizeof told);
}

/* ------------------------------------------------------------------ under way */

/* Nobody sweeps, so store_purge would not return if it waited for that. */
static void test_a_purge_that_takes_a_sweep_is_under_way(void **state) {
    (void)state;
    struct lab l;
    uint64_t number, a = TAG + 100;
    open_told(&l);
    struct store_selector list[3] = {wide(), one(a), one(a + 1)};
    lab_set(&l, 0, "A", "x", list[0].tags, WIDE);
    lab_set(&l, 0, "B", "x", &a, 1);
    lab_set(&l, 0, "C", "x", list[0].tags, WIDE - 1);
    uint64_t token = lab_token(&l, 0, "D");
    struct store_purge p = {.selectors = list, .nselectors = 3, .token = &l};
    assert_int_equal(store_purge(l.w[0], &p, &number), STORE_PENDING);
    assert_int_equal(number, l.s->purge.seq);
    assert_int_equal(store_metric(l.s, STORE_METRIC_purges), 1);
    /* What the table can file has taken effect, and guarded fills obey all of it. */
    assert_false(lab_get(&l, 0, "B", NULL));
    assert_int_equal(lab_fill(&l, 0, "D", "late", token, list[0].tags, WIDE), STORE_EXISTS);
    assert_int_equal(told.jobs, 0);
    store_sweep_all(l.s);
    assert_int_equal(told.jobs, 1);
    assert_ptr_equal(told.token, &l);
    assert_false(lab_get(&l, 0, "A", NULL));
    assert_true(lab_get(&l, 0, "C", NULL));
    lab_close(&l);
}

/* A pass that has begun before a purge does not end it. */
static void test_a_purge_waits_for_a_pass_of_its_own(void **state) {
    (void)state;
    struct lab l;
    uint64_t number;
    open_told(&l);
    struct store_selector sel = wide();
    struct store_purge p = {.selectors = &sel, .nselectors = 1};
    lab_set(&l, 0, "A", "x", sel.tags, WIDE);
    lab_purge(&l, 0, 1, tag, false, 0);
    while (!l.s->maintain.sweep.active) sweep_step(l.s, true);
    assert_int_equal(store_purge(l.w[0], &p, &number), STORE_PENDING);
    assert_true(sweep_pass(&l));
    assert_int_equal(told.jobs, 0);
    assert_int_equal(l.s->purge.unfiled, number);
    assert_true(sweep_pass(&l));
    assert_int_equal(told.jobs, 1);
    assert_int_equal(l.s->purge.unfiled, 0);
    lab_close(&l);
}

/* Items of several selectors of a counted list count once. */
static void test_a_counted_list(void **state) {
    (void)state;
    struct lab l;
    int64_t n;
    lab_open(&l, 2 << 20, 0);
    uint64_t tags[3] = {TAG, TAG + 1, TAG + 2};
    struct store_selector list[2] = {one(TAG), one(TAG + 1)};
    struct store_purge p = {.selectors = list, .nselectors = 2, .counted = true};
    lab_set(&l, 0, "A", "x", tags, 3);
    lab_set(&l, 0, "B", "x", tags + 1, 2);
    lab_set(&l, 0, "C", "x", tags + 2, 1);
    lab_purge_by(&l, l.w[0], &p, &n);
    assert_int_equal(n, 2);
    lab_close(&l);
}

/* What was under way when the store ends is told, so that nobody keeps its token. */
static void test_the_end_of_the_store_ends_purges(void **state) {
    (void)state;
    for (unsigned begun = 0; begun < 2; begun++) {
        struct lab l;
        uint64_t number;
        open_told(&l);
        struct store_selector sel = wide();
        struct store_purge p = {.selectors = &sel, .nselectors = 1, .token = &p};
        lab_set(&l, 0, "A", "x", NULL, 0); /* so that a pass takes more than one step */
        assert_int_equal(store_purge(l.w[0], &p, &number), STORE_PENDING);
        while (begun && !l.s->maintain.sweep.active) sweep_step(l.s, true);
        lab_close(&l);
        assert_int_equal(told.jobs, 1);
        assert_ptr_equal(told.token, &p);
    }
}

/* ------------------------------------------------------------------ no room */

/* Purges until there is no room beside a tag. */
static unsigned crowd(struct lab *l, uint64_t t) {
    unsigned i = 0;
    while (purge_one(l, lab_neighbour(&l->s->purge, t, i)) == STORE_OK) i++;
    return i;
}

static void test_a_purge_without_room_comes_again(void **state) {
    (void)state;
    struct lab l;
    open_told(&l);
    lab_set(&l, 0, "A", "x", tag, 1);
    assert_int_equal(crowd(&l, TAG), 2 * PURGE_WAYS);
    uint64_t number = store_number(l.s);
    assert_int_equal(purge_one(&l, TAG), STORE_AGAIN);
    assert_int_equal(store_number(l.s), number);
    assert_int_equal(store_metric(l.s, STORE_METRIC_purge_waits), 2);
    assert_true(lab_get(&l, 0, "A", NULL));
    unsigned rooms = told.rooms;
    assert_true(sweep_pass(&l)); /* by itself: nobody has to ask for it */
    assert_int_equal(told.rooms, rooms + 1);
    assert_int_equal(purge_one(&l, TAG), STORE_OK);
    assert_false(lab_get(&l, 0, "A", NULL));
    assert_true(sweep_pass(&l));
    assert_int_equal(told.rooms, rooms + 1); /* nobody waits any more */
    assert_int_equal(l.s->purge.floors, 0);
    lab_close(&l);
}

/* A floor is the last resort: after a second in which the sweeper, held up by a section that does not end, does not get
 * on. It is counted, and told once a minute at most. */
static void test_floors_are_the_last_resort(void **state) {
    (void)state;
    struct lab l;
    struct store_gauges g;
    open_told(&l);
    lab_set(&l, 0, "A", "x", &(uint64_t){lab_neighbour(&l.s->purge, TAG, 50)}, 1);
    store_maintain(l.s);
    store_enter(l.w[3]);
    crowd(&l, TAG);
    for (unsigned i = 0; i < 5; i++) store_maintain(l.s); /* a pass that begins and does not get on */
    unsigned rooms = told.rooms;
    clock_manual_advance(&l.clock, SECOND * 9 / 10);
    store_maintain(l.s);
    assert_int_equal(purge_one(&l, TAG), STORE_AGAIN);
    assert_int_equal(told.rooms, rooms);
    clock_manual_advance(&l.clock, SECOND / 10);
    store_maintain(l.s);
    assert_int_equal(told.rooms, rooms + 1);
    assert_int_equal(l.s->purge.floors, 0);
    assert_int_equal(purge_one(&l, TAG), STORE_OK);
    assert_false(lab_get(&l, 0, "A", NULL)); /* a neighbour, older than what was let go of: a miss, no lie */
    for (unsigned minute = 0; minute < 2; minute++) {
        for (unsigned i = 0; i < 3; i++) {
            assert_int_equal(purge_one(&l, lab_neighbour(&l.s->purge, TAG, 60 + 10 * minute + i)), STORE_OK);
            store_maintain(l.s);
        }
        assert_int_equal(told.floors, minute + 1);
        clock_manual_advance(&l.clock, 60 * SECOND);
    }
    store_gauges(l.s, &g);
    assert_int_equal(g.purge_floors, 7);
    store_leave(l.w[3]);
    /* The sweeper gets on: purges wait for it again. */
    assert_true(sweep_pass(&l));
    crowd(&l, TAG + 1);
    assert_int_equal(l.s->purge.floors, 7);
    lab_close(&l);
}

/* ------------------------------------------------------------------ hurry */

static void time_passes(void *arg) {
    struct lab *l = arg;
    clock_manual_advance(&l->clock, SECOND / 100);
}

/* Steps without being pressed until it pauses; returns how many. */
static unsigned steps(struct lab *l) {
    unsigned n = 0;
    while (n < 100 && sweep_step(l->s, false)) n++;
    return n;
}

/* The sweeper keeps to its share of a core until the table is half full of what it has to carry out. */
static void test_a_crowded_table_hurries_the_sweeper(void **state) {
    (void)state;
    struct lab l;
    open_told(&l);
    for (unsigned i = 0; i < 6; i++) lab_next_segment(&l, 0);
    clock_manual_advance(&l.clock, 5 * SECOND);
    lab_at("sweep.stepped", time_passes, &l);
    lab_purge(&l, 0, 1, tag, false, 0);
    assert_int_equal(steps(&l), 1); /* a step of 10 ms, then a pause of 190 */
    uint64_t half = purge_capacity(&l.s->purge) / 2;
    for (uint64_t i = 0; l.s->purge.unswept[0] + l.s->purge.unswept[1] < half; i++)
        assert_int_equal(purge_one(&l, hash_tag(&i, 8)), STORE_OK);
    assert_int_equal(steps(&l), 0);
    assert_int_equal(purge_one(&l, hash_tag("x", 1)), STORE_OK);
    assert_int_equal(purge_one(&l, hash_tag("y", 1)), STORE_OK);
    assert_true(steps(&l) > 6);
    lab_at(NULL, NULL, NULL);
    lab_close(&l);
}

/* ------------------------------------------------------------------ entries that move */

/* The n-th tag with these two buckets. */
static uint64_t tag_in(const struct purge_table *t, const struct purge_bucket *first, const struct purge_bucket *second,
                       unsigned n) {
    uint64_t high = ((uint64_t)(first - t->buckets) << 32) / t->nbuckets + 1;
    for (uint64_t low = 1;; low++) {
        uint64_t x = high << 32 | low;
        if (purge_first(t, x) == first && purge_second(t, x) == second && n-- == 0) return x;
    }
}

static struct moving {
    struct lab *l;
    const struct purge_bucket *second, *third;
} moving;

/* TAG's entry goes from its second bucket to its first, where entries have retired: another one needs its place. */
static void make_it_move(void) {
    struct purge_table *t = &moving.l->s->purge;
    for (unsigned i = 0; purge_bucket_may_hold(moving.second, TAG); i++)
        lab_purge(moving.l, 2, 1, &(uint64_t){tag_in(t, moving.second, moving.third, i)}, false, 0);
}

/* A reader has not found the entry in the first bucket and not yet looked into the second. */
static bool missed(struct lab *l, const char *point) {
    struct purge_table *t = &l->s->purge;
    struct purge_bucket *first = purge_first(t, TAG), *second = purge_second(t, TAG);
    struct helper h = {.l = l, .key = "A"};
    struct lab_thread reader;
    moving = (struct moving){l, second, first + 1 == second ? first + 2 : first + 1};
    for (unsigned i = 0; i < PURGE_WAYS; i++) {
        uint64_t x = tag_in(t, first, moving.third, i);
        lab_purge(l, 0, 1, &x, false, 0);
    }
    store_sweep_all(l->s);
    lab_set(l, 0, "A", "x", tag, 1);
    lab_purge(l, 0, 1, tag, false, 0);
    assert_true(purge_bucket_may_hold(second, TAG) && !purge_bucket_may_hold(first, TAG));
    assert_true(lab_run(&reader, point, run_get, &h));
    make_it_move();
    lab_finish(&reader);
    assert_true(!purge_bucket_may_hold(second, TAG) && purge_bucket_may_hold(first, TAG));
    return h.hit;
}

static bool missed_by_check(struct lab *l) {
    return missed(l, "purge.look.second");
}
static bool missed_at_a_glance(struct lab *l) {
    return missed(l, "purge.unknown.second");
}

static void test_an_entry_that_moves_is_not_missed(void **state) {
    (void)state;
    guarded(missed_by_check, "purge.mutate.moved_unseen");
    guarded(missed_at_a_glance, "purge.mutate.moved_unseen");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_purge_that_takes_a_sweep_is_under_way),
        cmocka_unit_test(test_a_purge_waits_for_a_pass_of_its_own),
        cmocka_unit_test(test_a_counted_list),
        cmocka_unit_test(test_the_end_of_the_store_ends_purges),
        cmocka_unit_test(test_a_purge_without_room_comes_again),
        cmocka_unit_test(test_floors_are_the_last_resort),
        cmocka_unit_test(test_a_crowded_table_hurries_the_sweeper),
        cmocka_unit_test(test_an_entry_that_moves_is_not_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
