/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The hand-off's machine: each state, each way to end, the rule of purges for every chunk, the rate, the window. Node 1
 * is the donor, 2 the receiver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/mutation.h"
#include "handoff_lab.h"
#include "proto/moved_item.h"
#include "proto/peer_handoff.h"

#define MIB (UINT64_C(1) << 20)
#define FAST (1024 * MIB)

static struct lab lab;
static struct lab_node *const donor = &lab.node[1], *const receiver = &lab.node[2];

static int start(void **state) {
    (void)state;
    lab_start(&lab, FAST);
    return 0;
}

static int stop(void **state) {
    (void)state;
    mutation_on = MUTATION_NONE;
    lab_stop(&lab);
    return 0;
}

static void assert_over(enum handoff_end at_donor, enum handoff_end at_receiver) {
    assert_int_equal(donor->ended[0][2], at_donor);
    assert_int_equal(receiver->ended[1][1], at_receiver);
    assert_int_equal(receiver->state[1], MOVE_NONE);
    assert_int_equal(handoff_progress(donor->h, NULL, 0), 0);
    assert_int_equal(handoff_progress(receiver->h, NULL, 0), 0);
}

/* ------------------------------------------------------------------ from the beginning to the end */

static void test_items_move_and_the_donor_drops_them(void **state) {
    char key[32];
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        lab_item(&lab, 1, key, i, i % 6, i % 2 == 0 ? 2 : 1);
    }
    lab_begin(&lab, 1, 2);
    assert_int_equal(receiver->state[1], MOVE_ASKED);
    lab_run(&lab, 100);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        const struct lab_item *here = lab_find(&lab, 1, key), *there = lab_find(&lab, 2, key);
        assert_int_equal(here == NULL, i % 2 == 0);
        assert_int_equal(there == NULL, i % 2 == 1);
        if (there != NULL) assert_int_equal(there->size, i);
    }
    assert_int_equal(handoff_counters(donor->h)->sent, 500);
    assert_int_equal(handoff_counters(receiver->h)->received, 500);
    assert_int_equal(handoff_counters(receiver->h)->received_bytes, handoff_counters(donor->h)->sent_bytes);
    uint64_t items, expected;
    handoff_totals(receiver->h, &items, &expected);
    assert_true(items == 500 && expected == 500);
    assert_int_equal(handoff_counters(receiver->h)->done, 1);
    assert_int_equal(handoff_counters(receiver->h)->abandoned, 0);
}

static void test_the_hottest_go_first(void **state) {
    (void)state;
    lab_item(&lab, 1, "cold", 10, 0, 2);
    lab_item(&lab, 1, "warm", 10, 3, 2);
    lab_item(&lab, 1, "hot", 10, 4, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 100);
    assert_string_equal(receiver->items[0].key, "hot");
    assert_string_equal(receiver->items[1].key, "warm");
    assert_string_equal(receiver->items[2].key, "cold");
}

/* READY means that nobody there acts on the old ring any more. */
static void test_ready_waits_for_the_donors_workers(void **state) {
    (void)state;
    lab_change(&lab, 2, 1, 2);
    lab_settle(&lab, 2);
    handoff_up(receiver->h, lab.now, 1);
    lab_deliver(&lab); /* BEGIN comes before the donor has heard of the ring, which it now asks for */
    assert_int_equal(donor->newer, LAB_RING);
    lab_change(&lab, 1, 1, 2);
    lab_run(&lab, 100);
    assert_int_equal(receiver->state[1], MOVE_ASKED);
    assert_int_equal(receiver->asked, 0);
    lab_settle(&lab, 1);
    lab_run(&lab, 100);
    assert_true(receiver->asked > 0);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

/* However often and by however many it is said: 64 receivers are remembered, the others are told so. */
static void test_early_begins_are_bounded(void **state) {
    struct peer_handoff m = {.kind = PEER_HANDOFF_BEGIN, .ring_version = LAB_RING, .digest = 78};
    (void)state;
    for (unsigned i = 0; i < 1000; i++) lab_inject(&lab, 1, 3, false, &m);
    assert_null(lab.first);
    for (uint32_t i = 100; i < 163; i++) lab_inject(&lab, 1, i, false, &m);
    assert_null(lab.first);
    lab_inject(&lab, 1, 2, false, &m);
    assert_int_equal(lab.first->to, 2);
    m.digest = 77;
    lab_inject(&lab, 1, 3, false, &m); /* its last one counts */
    const struct handoff_part p = {.member = 3, .digest = 77};
    assert_int_equal(handoff_change(donor->h, lab.now, LAB_RING, &p, 1), 0);
    assert_int_equal(handoff_progress(donor->h, NULL, 0), 1);
}

static void begin_and_not_settle(void) {
    lab_item(&lab, 1, "k", 10, 0, 2);
    lab_change(&lab, 1, 1, 2);
    lab_change(&lab, 2, 1, 2);
    handoff_up(receiver->h, lab.now, 1);
}

static void test_after_250_ms_the_new_owner_takes_over(void **state) {
    (void)state;
    assert_int_equal(HANDOFF_READY_MS, 250);
    begin_and_not_settle();
    lab_run(&lab, 249);
    assert_int_equal(receiver->state[1], MOVE_ASKED);
    lab_run(&lab, 1);
    assert_int_equal(receiver->state[1], MOVE_LATE);
    assert_int_equal(receiver->asked, 0);
    /* A READY that comes later still brings the items. */
    lab_run(&lab, 1000);
    lab_settle(&lab, 1);
    lab_run(&lab, 100);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    assert_non_null(lab_find(&lab, 2, "k"));
}

static void test_who_is_not_ready_for_five_seconds_is_given_up(void **state) {
    (void)state;
    begin_and_not_settle();
    lab_run(&lab, 4999);
    assert_int_equal(receiver->state[1], MOVE_LATE);
    lab_run(&lab, 1);
    assert_over(HANDOFF_NOT_READY, HANDOFF_NOT_READY); /* the donor is told */
    assert_int_equal(handoff_counters(receiver->h)->abandoned, 1);
    lab_settle(&lab, 1);
    lab_run(&lab, 1000);
    assert_null(lab_find(&lab, 2, "k"));
    assert_int_equal(receiver->asked, 0);
}

static void test_a_donor_waits_five_seconds_for_begin(void **state) {
    (void)state;
    lab_change(&lab, 1, 1, 2);
    lab_settle(&lab, 1);
    lab_run(&lab, 4999);
    assert_int_equal(handoff_progress(donor->h, NULL, 0), 1);
    lab_run(&lab, 1);
    assert_int_equal(donor->ended[0][2], HANDOFF_NOT_READY);
}

/* ------------------------------------------------------------------ purges */

static void test_a_donor_that_lacks_purges_is_asked_again(void **state) {
    (void)state;
    lab_item(&lab, 1, "k", 10, 0, 2);
    receiver->cover.n = donor->cover.n = 1;
    receiver->cover.seen[0] = (struct cover_seen){9, 50};
    donor->cover.seen[0] = (struct cover_seen){9, 49};
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 95);
    assert_int_equal(receiver->state[1], MOVE_PULLING);
    assert_null(lab_find(&lab, 2, "k"));
    assert_int_equal(receiver->asked, 2 * 10); /* at once, and each 10 ms */
    donor->cover.seen[0].sequence = 50;
    lab_run(&lab, 20);
    assert_non_null(lab_find(&lab, 2, "k"));
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

static void test_floors_and_dropped_origins_count_too(void **state) {
    (void)state;
    lab_item(&lab, 1, "k", 10, 0, 2);
    receiver->cover.epoch = receiver->cover.floor_epoch = 2;
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 50);
    assert_null(lab_find(&lab, 2, "k"));
    donor->cover.epoch = 2;
    receiver->cover.version = receiver->cover.retire_version = 6;
    lab_run(&lab, 50);
    assert_null(lab_find(&lab, 2, "k"));
    donor->cover.version = 6;
    lab_run(&lab, 50);
    assert_non_null(lab_find(&lab, 2, "k"));
}

/* Rule 11, and a node that has no vector yet. */
static void test_without_a_cover_nothing_is_asked(void **state) {
    (void)state;
    lab_item(&lab, 1, "k", 10, 0, 2);
    receiver->cover.usable = false;
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 500);
    assert_int_equal(receiver->asked, 0);
    receiver->cover.usable = true;
    donor->cover.usable = false;
    lab_run(&lab, 500);
    assert_null(lab_find(&lab, 2, "k"));
    donor->cover.usable = true;
    lab_run(&lab, 50);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

static void test_what_was_written_or_purged_meanwhile_is_refused(void **state) {
    (void)state;
    lab_item(&lab, 1, "written", 10, 4, 2);
    lab_item(&lab, 1, "there", 10, 4, 2);
    lab_item(&lab, 2, "there", 11, 4, 2);
    receiver->written = "written";
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 100);
    assert_null(lab_find(&lab, 2, "written"));
    assert_int_equal(lab_find(&lab, 2, "there")->size, 11);
    assert_int_equal(handoff_counters(receiver->h)->refused_written, 1);
    assert_int_equal(handoff_counters(receiver->h)->refused_present, 1);
    assert_null(lab_find(&lab, 1, "written")); /* it is of no use there */
}

/* A purge here, after the number was taken: the donor has not seen it. */
static void purge_on_the_way(void) {
    lab_item(&lab, 1, "k", 10, 0, 2);
    lab_begin(&lab, 1, 2);
    receiver->purged = 101; /* g is 100 */
    lab_run(&lab, 100);
}

static void test_a_purge_on_the_way(void **state) {
    (void)state;
    purge_on_the_way();
    assert_null(lab_find(&lab, 2, "k"));
    assert_int_equal(handoff_counters(receiver->h)->refused_purged, 1);
}

static void test_the_guard_is_noticed(void **state) {
    (void)state;
    mutation_on = MUTATION_PULL_NO_GUARD;
    purge_on_the_way();
    assert_non_null(lab_find(&lab, 2, "k"));
}

/* ------------------------------------------------------------------ values in parts */

static void test_a_large_value_comes_in_parts(void **state) {
    (void)state;
    lab_item(&lab, 1, "small", 10, 0, 2);
    lab_item(&lab, 1, "large", 3 * MIB + 17, 0, 2);
    lab_item(&lab, 1, "middle", 60 * 1024, 0, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 1000);
    assert_int_equal(lab_find(&lab, 2, "large")->size, 3 * MIB + 17);
    assert_int_equal(lab_find(&lab, 2, "middle")->size, 60 * 1024);
    assert_int_equal(handoff_counters(receiver->h)->received, 3);
    assert_int_equal(handoff_counters(donor->h)->sent, 3);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

/* The largest value that goes whole, one as large as a message and one as a chunk, and those with a byte more or less.
 * The first one's last part is a byte; the others find a message begun by what is before them. */
static void test_values_around_the_bounds(void **state) {
    static const uint64_t bounds[] = {PEER_HANDOFF_ITEMS_MAX - MOVED_ITEM_REST_MAX, PEER_HANDOFF_ITEMS_MAX,
                                      HANDOFF_CHUNK_BYTES};
    char key[32];
    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        snprintf(key, sizeof key, "large%u", i);
        lab_item(&lab, 1, key, bounds[i / 3] + 1 - i % 3, 0, 2);
        snprintf(key, sizeof key, "small%u", i);
        lab_item(&lab, 1, key, 10, 0, 2);
    }
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 1000);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    assert_int_equal(handoff_counters(receiver->h)->received, 18);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(key, sizeof key, "large%u", i);
        assert_int_equal(lab_find(&lab, 2, key)->size, bounds[i / 3] + 1 - i % 3);
    }
}

/* The first part was read before the purge: the last one's number must not count. */
static void test_a_purge_between_parts(void **state) {
    (void)state;
    lab_stop(&lab);
    lab_start(&lab, 8 * MIB);
    lab_item(&lab, 1, "large", 4 * MIB, 0, 2);
    const uint64_t begun = lab.now;
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 200);
    assert_true(receiver->value_n > 0 && receiver->value_n < 4 * MIB);
    assert_true(receiver->asked_ns > begun && receiver->asked_ns <= lab.now);
    receiver->purged = 101;
    receiver->cover.g = 102;
    lab_run(&lab, 2000);
    assert_null(lab_find(&lab, 2, "large"));
    assert_int_equal(handoff_counters(receiver->h)->refused_purged, 1);
}

static void test_an_item_that_goes_while_it_is_read(void **state) {
    (void)state;
    lab_stop(&lab);
    lab_start(&lab, 8 * MIB);
    lab_item(&lab, 1, "large", 4 * MIB, 0, 2);
    lab_item(&lab, 1, "k", 10, 0, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 200);
    donor->items[0].dropped = true; /* evicted */
    lab_run(&lab, 2000);
    assert_null(lab_find(&lab, 2, "large"));
    assert_non_null(lab_find(&lab, 2, "k"));
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

/* ------------------------------------------------------------------ bounds */

static void fill_donor(unsigned n, uint64_t size, uint32_t to) {
    char key[32];
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "f%u-%u", to, i);
        lab_item(&lab, 1, key, size, 0, to);
    }
}

static void test_two_chunks_of_62_kib_at_most(void **state) {
    (void)state;
    assert_int_equal(PEER_HANDOFF_ITEMS_MAX, 62 * 1024);
    assert_int_equal(HANDOFF_CHUNKS, 2);
    fill_donor(300, 20000, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 3000);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    assert_int_equal(receiver->most_open, 2);
    assert_in_range(donor->most_bytes, 40 * 1024, 62 * 1024);
}

/* Whoever shares the CPU with the thread waits for a step at least: none reads, stores or drops more than 128 items,
 * and messages cause no work by themselves. */
static void test_steps_are_small(void **state) {
    (void)state;
    assert_int_equal(HANDOFF_STEP_ITEMS, 128);
    fill_donor(5000, 1, 2);
    lab_begin(&lab, 1, 2);
    lab_deliver(&lab);
    assert_true(donor->calls == 0 && receiver->calls == 0);
    lab_run(&lab, 3000);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    assert_int_equal(receiver->nitems, 5000);
    assert_int_equal(receiver->most_calls, 128);
    assert_in_range(donor->most_calls, 128, 129); /* a step of the scan may be in it */
}

/* A donor of the releases before sends a chunk in pieces, 256 KiB in all. */
static void test_a_chunk_may_come_in_pieces(void **state) {
    static const uint8_t bytes[PEER_HANDOFF_ITEMS_MAX];
    struct peer_handoff m = {.kind = PEER_HANDOFF_ITEMS, .chunk = 1, .items = bytes, .nitems = sizeof bytes};
    (void)state;
    assert_int_equal(HANDOFF_CHUNK_BYTES, 256 * 1024);
    lab_change(&lab, 2, 1, 2);
    handoff_up(receiver->h, lab.now, 1);
    lab_inject(&lab, 2, 1, true, &(struct peer_handoff){.kind = PEER_HANDOFF_READY, .ring_version = LAB_RING});
    handoff_time(receiver->h, lab.now);
    assert_int_equal(receiver->asked, 2);
    for (unsigned i = 0; i < 4; i++) lab_inject(&lab, 2, 1, true, &m);
    assert_int_equal(receiver->ended[1][1], HANDOFF_ENDS);
    m.nitems = 8 * 1024 + 1; /* the first byte too many */
    lab_inject(&lab, 2, 1, true, &m);
    assert_int_equal(receiver->ended[1][1], HANDOFF_BROKEN);
}

static void test_the_rate_holds(void **state) {
    (void)state;
    lab_stop(&lab);
    lab_start(&lab, HANDOFF_RATE_MIB * MIB);
    assert_int_equal(HANDOFF_RATE_MIB, 32);
    fill_donor(400, MIB / 4, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 2000);
    assert_in_range(handoff_counters(donor->h)->sent_bytes, 61 * MIB, 65 * MIB);
    lab_run(&lab, 2000);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

/* It is the donor's, however many receivers there are; each has its turn. */
static void test_the_rate_is_shared(void **state) {
    const struct handoff_part both[] = {{.member = 2, .digest = 77}, {.member = 3, .digest = 77}};
    (void)state;
    lab_stop(&lab);
    lab_start(&lab, 16 * MIB);
    fill_donor(200, MIB / 4, 2);
    fill_donor(200, MIB / 4, 3);
    assert_int_equal(handoff_change(donor->h, lab.now, LAB_RING, both, 2), 0);
    lab_settle(&lab, 1);
    for (uint32_t i = 2; i <= 3; i++) {
        lab_change(&lab, i, 1, i);
        handoff_up(lab.node[i].h, lab.now, 1);
    }
    lab_run(&lab, 2000);
    const uint64_t a = handoff_counters(lab.node[2].h)->received_bytes,
                   b = handoff_counters(lab.node[3].h)->received_bytes;
    assert_in_range(a + b, 30 * MIB, 33 * MIB);
    assert_in_range(a, 14 * MIB, 18 * MIB);
}

static void test_without_room_it_is_tried_again(void **state) {
    (void)state;
    fill_donor(100, 10000, 2);
    receiver->no_room = 7;
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 50);
    assert_true(receiver->nitems < 100);
    lab_run(&lab, 200);
    assert_int_equal(receiver->nitems, 100);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
}

/* ------------------------------------------------------------------ ends */

/* A transfer that has begun and is far from done. */
static void begin_long(void) {
    lab_stop(&lab);
    lab_start(&lab, MIB);
    fill_donor(100, MIB / 8, 2);
    lab_begin(&lab, 1, 2);
    lab_run(&lab, 1000);
    assert_int_equal(receiver->state[1], MOVE_PULLING);
    assert_int_equal(handoff_progress(receiver->h, NULL, 0), 1);
}

static void test_a_full_written_set_ends_it(void **state) {
    (void)state;
    begin_long();
    receiver->full = true;
    lab_run(&lab, 1000);
    assert_over(HANDOFF_FULL, HANDOFF_FULL);
}

static void test_a_link_that_breaks_ends_it(void **state) {
    (void)state;
    begin_long();
    const unsigned came = receiver->nitems;
    assert_true(came > 0);
    handoff_lost(receiver->h, lab.now, 1, true);
    handoff_lost(donor->h, lab.now, 2, false);
    assert_over(HANDOFF_UNREACHABLE, HANDOFF_UNREACHABLE);
    assert_int_equal(receiver->nitems, came); /* what came stays */
    handoff_up(receiver->h, lab.now, 1);      /* for good */
    lab_run(&lab, 1000);
    assert_int_equal(receiver->nitems, came);
}

static void test_no_link_ends_it(void **state) {
    (void)state;
    lab_change(&lab, 2, 1, 2);
    handoff_lost(receiver->h, lab.now, 1, true);
    assert_int_equal(receiver->ended[1][1], HANDOFF_UNREACHABLE);
    assert_int_equal(receiver->state[1], MOVE_NONE);
}

/* A donor that has not heard of this node yet closes the link: it is dialled again, until the time for READY is over.
 */
static void test_a_link_that_is_closed_too_soon_is_dialled_again(void **state) {
    (void)state;
    lab_item(&lab, 1, "k", 10, 0, 2);
    lab_change(&lab, 2, 1, 2);
    receiver->link_down[1] = true;
    for (unsigned i = 0; i < 3; i++) {
        handoff_up(receiver->h, lab.now, 1);
        handoff_lost(receiver->h, lab.now, 1, true);
        assert_int_equal(receiver->state[1], MOVE_ASKED);
        assert_int_equal(receiver->dialled, i);
        lab_run(&lab, HANDOFF_DIAL_MS);
        assert_int_equal(receiver->dialled, i + 1);
    }
    receiver->link_down[1] = false;
    lab_change(&lab, 1, 1, 2);
    lab_settle(&lab, 1);
    handoff_up(receiver->h, lab.now, 1);
    lab_run(&lab, 100);
    assert_over(HANDOFF_DONE, HANDOFF_DONE);
    assert_non_null(lab_find(&lab, 2, "k"));
}

static void test_another_change_ends_it(void **state) {
    (void)state;
    begin_long();
    assert_int_equal(handoff_change(receiver->h, lab.now, LAB_RING + 1, NULL, 0), 0);
    assert_int_equal(receiver->ended[1][1], HANDOFF_CHANGED);
    lab_run(&lab, 10);
    assert_over(HANDOFF_CHANGED, HANDOFF_CHANGED);
}

static void test_silence_ends_it(void **state) {
    (void)state;
    begin_long();
    receiver->link_down[1] = donor->link_down[2] = true;
    lab_run(&lab, 59000);
    assert_int_equal(handoff_progress(receiver->h, NULL, 0), 1);
    lab_run(&lab, 2000);
    assert_over(HANDOFF_SILENT, HANDOFF_SILENT);
}

static void test_other_arcs_or_an_old_ring_are_refused(void **state) {
    (void)state;
    lab_change(&lab, 1, 1, 2);
    lab_settle(&lab, 1);
    lab_inject(&lab, 1, 2, false,
               &(struct peer_handoff){.kind = PEER_HANDOFF_BEGIN, .ring_version = LAB_RING - 1, .digest = 77});
    assert_int_equal(handoff_progress(donor->h, NULL, 0), 1); /* it may come with the right one */
    lab_inject(&lab, 1, 2, false,
               &(struct peer_handoff){.kind = PEER_HANDOFF_BEGIN, .ring_version = LAB_RING, .digest = 78});
    assert_int_equal(donor->ended[0][2], HANDOFF_CHANGED);
    lab_change(&lab, 2, 1, 2);
    handoff_up(receiver->h, lab.now, 1);
    lab_run(&lab, 10);
    assert_int_equal(receiver->ended[1][1], HANDOFF_CHANGED); /* the donor says so, nothing is waited for */
}

static void test_nonsense_ends_it(void **state) {
    static const uint8_t bytes[100] = {1};
    const struct peer_handoff to_receiver[] = {
        {.kind = PEER_HANDOFF_READY, .ring_version = LAB_RING},
        {.kind = PEER_HANDOFF_ITEMS, .chunk = 999, .items = bytes, .nitems = 100},
        {.kind = PEER_HANDOFF_END, .chunk = 999},
        {.kind = PEER_HANDOFF_BEHIND, .chunk = 0},
        {.kind = PEER_HANDOFF_NEXT, .chunk = 1},
    };
    const struct peer_handoff to_donor[] = {
        {.kind = PEER_HANDOFF_ACK, .chunk = 999},
        {.kind = PEER_HANDOFF_NEXT, .chunk = 999}, /* the third */
        {.kind = PEER_HANDOFF_READY},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof to_receiver / sizeof *to_receiver; i++) {
        begin_long();
        lab_inject(&lab, 2, 1, true, &to_receiver[i]);
        assert_int_equal(receiver->ended[1][1], HANDOFF_BROKEN);
    }
    for (unsigned i = 0; i < sizeof to_donor / sizeof *to_donor; i++) {
        begin_long();
        lab_inject(&lab, 1, 2, false, &to_donor[i]);
        assert_int_equal(donor->ended[0][2], HANDOFF_BROKEN);
    }
    begin_long(); /* a record that is none */
    lab_inject(&lab, 2, 1, true,
               &(struct peer_handoff){.kind = PEER_HANDOFF_ITEMS,
                                      .chunk = receiver->asked,
                                      .items = bytes,
                                      .nitems = sizeof bytes,
                                      .last = true});
    lab_run(&lab, 10);
    assert_int_equal(receiver->ended[1][1], HANDOFF_BROKEN);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(test_items_move_and_the_donor_drops_them),
        TEST(test_the_hottest_go_first),
        TEST(test_ready_waits_for_the_donors_workers),
        TEST(test_early_begins_are_bounded),
        TEST(test_after_250_ms_the_new_owner_takes_over),
        TEST(test_who_is_not_ready_for_five_seconds_is_given_up),
        TEST(test_a_donor_waits_five_seconds_for_begin),
        TEST(test_a_donor_that_lacks_purges_is_asked_again),
        TEST(test_floors_and_dropped_origins_count_too),
        TEST(test_without_a_cover_nothing_is_asked),
        TEST(test_what_was_written_or_purged_meanwhile_is_refused),
        TEST(test_a_purge_on_the_way),
        TEST(test_the_guard_is_noticed),
        TEST(test_a_large_value_comes_in_parts),
        TEST(test_values_around_the_bounds),
        TEST(test_a_purge_between_parts),
        TEST(test_an_item_that_goes_while_it_is_read),
        TEST(test_two_chunks_of_62_kib_at_most),
        TEST(test_steps_are_small),
        TEST(test_a_chunk_may_come_in_pieces),
        TEST(test_the_rate_holds),
        TEST(test_the_rate_is_shared),
        TEST(test_without_room_it_is_tried_again),
        TEST(test_a_full_written_set_ends_it),
        TEST(test_a_link_that_breaks_ends_it),
        TEST(test_no_link_ends_it),
        TEST(test_a_link_that_is_closed_too_soon_is_dialled_again),
        TEST(test_another_change_ends_it),
        TEST(test_silence_ends_it),
        TEST(test_other_arcs_or_an_old_ring_are_refused),
        TEST(test_nonsense_ends_it),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
