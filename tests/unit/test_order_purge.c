/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orders of steps: purges and their numbers, from the announcement to the answer; softness, deadlines, a flush that
 * falls due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "order.h"
#include "store/seconds.h"

/* ------------------------------------------------------------------ purges and numbers */

/* A fill that takes its number after a purge took its own, and looks before the purge is written. */
static const uint64_t *announced_tags;
static unsigned announced_ntags;
static bool announced_soft;

static bool announced(struct lab *l) {
    struct helper h = {.l = l, .tags = announced_tags, .ntags = announced_ntags, .soft = announced_soft};
    struct lab_thread t;
    struct store_item it;
    uint64_t token = lab_token(l, 0, "A"), one = TAG;
    assert_true(lab_run(&t, "purge.versioned", run_purge, &h));
    drop_block(l, 0);
    lab_fill(l, 0, "A", "late", token, announced_ntags ? announced_tags : &one, announced_ntags ? announced_ntags : 1);
    lab_finish(&t);
    return lab_get(l, 0, "A", &it) && it.size == 4 && !it.soft && !(it.bits & STORE_STALE);
}

static void test_a_purge_is_announced_before_it_takes_its_number(void **state) {
    (void)state;
    static uint64_t tags[17];
    for (unsigned i = 0; i < 17; i++) tags[i] = TAG + i;
    announced_tags = tags;
    for (int soft = 0; soft < 2; soft++) {
        announced_soft = soft;
        static const unsigned counts[] = {0, 1, 2, 3, 17}; /* everything, a tag, a pair, a record, not filed */
        for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
            announced_ntags = counts[i];
            holds(announced, 0);
            if (counts[i] <= 1) breaks(announced, 0, "purge.mutate.no_announcement");
        }
    }
}

/* A purge's answer comes after its number is known to readers. */
static bool sequence_raised(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, false, 0);
    return lab_get(l, 1, "A", NULL);
}

static void test_a_purge_is_visible_before_it_is_answered(void **state) {
    (void)state;
    guarded(sequence_raised, "purge.mutate.no_seq");
}

/* A pass that runs while a purge has its number but is not written covers nothing of it. */
static bool pass_during_purge(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread purger, sweeper;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_run(&purger, "purge.versioned", run_purge, &h));
    assert_true(lab_run(&sweeper, "sweep.passed", run_sweep, &h));
    lab_finish(&purger);
    lab_finish(&sweeper);
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_pass_covers_only_purges_that_are_written(void **state) {
    (void)state;
    guarded(pass_during_purge, "sweep.mutate.any_version");
}

/* The same, with the sequence raised before the purge is written. */
static bool pass_between(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread purger, sweeper;
    lab_set(l, 0, "A", "old", tag, 1);
    if (!lab_run(&purger, "purge.mutated", run_purge, &h)) {
        lab_finish(&purger);
        return pass_during_purge(l);
    }
    assert_true(lab_run(&sweeper, "sweep.passed", run_sweep, &h));
    lab_finish(&purger);
    lab_finish(&sweeper);
    lab_shed(l, 0, TAG);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_purge_is_written_before_the_sequence_is_raised(void **state) {
    (void)state;
    guarded(pass_between, "purge.mutate.seq_first");
}

/* A store that begins after a purge's answer is not hurt by it, whichever thread's numbers are older. */
static bool blocks_dropped(struct lab *l) {
    lab_set(l, 0, "other", "x", NULL, 0);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_set(l, 0, "A", "new", tag, 1);
    return !lab_get(l, 0, "A", NULL);
}

static void test_number_blocks_are_dropped_after_a_purge(void **state) {
    (void)state;
    guarded(blocks_dropped, "number.mutate.keep_block");
}

/* An id handed out twice lets a client win `cas` against a value it never read. */
static bool number_invented(struct lab *l) {
    struct store_item mine;
    lab_set(l, 1, "other", "x", NULL, 0); /* worker 1's block is the older one */
    lab_set(l, 0, "A", "first", NULL, 0);
    lab_set(l, 1, "A", "second", NULL, 0);
    assert_true(lab_get(l, 1, "A", &mine));
    lab_delete(l, 0, "A");
    lab_set(l, 0, "A", "third", NULL, 0);
    return lab_fill(l, 1, "A", "fourth", mine.cas, NULL, 0) == STORE_OK;
}

static void test_a_number_is_never_invented(void **state) {
    (void)state;
    guarded(number_invented, "number.mutate.invent");
}

/* ------------------------------------------------------------------ what the table lets go of */

static bool item_floor(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_shed(l, 1, TAG);
    bool broken = lab_get(l, 0, "A", NULL);
    lab_set(l, 0, "A", "new", tag, 1);
    assert_true(lab_get(l, 0, "A", NULL));
    return broken;
}

static void test_what_is_let_go_of_unswept_kills_older_items(void **state) {
    (void)state;
    guarded(item_floor, "purge.mutate.no_item_floor");
}

/* ------------------------------------------------------------------ soft and hard */

static bool hard_then_soft(struct lab *l) {
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 1, 1, tag, false, 0);
    lab_set(l, 0, "B", "x", tag, 1);
    lab_purge(l, 1, 1, tag, true, 0);
    struct store_item it;
    assert_true(lab_get(l, 0, "B", &it) && it.soft);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_soft_purge_does_not_bring_back_what_a_hard_one_killed(void **state) {
    (void)state;
    guarded(hard_then_soft, "purge.mutate.one_number");
}

static void test_a_hard_purge_kills_what_a_soft_one_made_stale(void **state) {
    (void)state;
    for (int swept = 0; swept < 2; swept++) {
        struct lab l;
        struct store_item it;
        lab_open(&l, 2 << 20, 0);
        lab_set(&l, 0, "A", "old", tag, 1);
        lab_purge(&l, 1, 1, tag, true, 0);
        if (swept) store_sweep_all(l.s);
        assert_true(lab_get(&l, 0, "A", &it) && it.soft);
        lab_purge(&l, 1, 1, tag, false, 0);
        assert_false(lab_get(&l, 0, "A", NULL));
        lab_set(&l, 0, "A", "new", tag, 1);
        assert_true(lab_get(&l, 0, "A", &it) && !it.soft);
        lab_close(&l);
    }
}

/* A second soft purge after the first one's deadline: a reader must not meet the old number with the new deadline. */
static bool deadline_renewed(struct lab *l) {
    struct helper h = {.l = l, .key = "A"};
    struct lab_thread t;
    lab_set(l, 0, "A", "old", tag, 1);
    lab_purge(l, 0, 1, tag, true, 5);
    clock_manual_advance(&l->clock, 6 * SECOND);
    assert_true(lab_run(&t, "purge.look.soft", run_get, &h));
    lab_purge(l, 0, 1, tag, true, 60);
    lab_finish(&t);
    return h.hit;
}

static void test_a_deadline_that_has_passed_stays_passed(void **state) {
    (void)state;
    guarded(deadline_renewed, "purge.mutate.torn");
}

/* ------------------------------------------------------------------ flush_all with a delay */

static bool flushed_twice(struct lab *l) {
    struct helper h = {.l = l, .key = "other"};
    struct lab_thread t;
    lab_set(l, 0, "old", "x", NULL, 0);
    store_flush_at(l->w[0], seconds_now(l->s) + 10);
    clock_manual_advance(&l->clock, 10 * SECOND);
    assert_true(lab_run(&t, "store.flush_due", run_get, &h));
    assert_false(lab_get(l, 0, "old", NULL)); /* carries it out */
    lab_set(l, 0, "A", "new", NULL, 0);
    lab_finish(&t);
    return !lab_get(l, 0, "A", NULL);
}

static void test_a_due_flush_is_carried_out_once(void **state) {
    (void)state;
    guarded(flushed_twice, "store.mutate.flush_again");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_purge_is_announced_before_it_takes_its_number),
        cmocka_unit_test(test_a_purge_is_visible_before_it_is_answered),
        cmocka_unit_test(test_a_pass_covers_only_purges_that_are_written),
        cmocka_unit_test(test_a_purge_is_written_before_the_sequence_is_raised),
        cmocka_unit_test(test_number_blocks_are_dropped_after_a_purge),
        cmocka_unit_test(test_a_number_is_never_invented),
        cmocka_unit_test(test_what_is_let_go_of_unswept_kills_older_items),
        cmocka_unit_test(test_a_soft_purge_does_not_bring_back_what_a_hard_one_killed),
        cmocka_unit_test(test_a_hard_purge_kills_what_a_soft_one_made_stale),
        cmocka_unit_test(test_a_deadline_that_has_passed_stays_passed),
        cmocka_unit_test(test_a_due_flush_is_carried_out_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
