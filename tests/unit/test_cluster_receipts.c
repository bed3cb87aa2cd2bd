/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a node remembers of the purges that it was asked for. */
#include "cluster/cluster_receipts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct cluster_receipts *r;

static int open_receipts(void **state) {
    (void)state;
    r = cluster_receipts_new();
    return r == NULL;
}

static int close_receipts(void **state) {
    (void)state;
    cluster_receipts_free(r);
    return 0;
}

static void begin(uint64_t counter, uint64_t now, const char *text) {
    const struct cluster_purge p = {.soft = counter % 2 == 0, .text = text, .text_bytes = strlen(text)};
    cluster_receipts_begin(r, now, (struct purge_via){7, counter}, &p);
}

static void confirm(uint64_t counter, uint64_t now) {
    const struct purging_receipt last = {.status = PURGING_CONFIRMED,
                                         .via = {7, counter},
                                         .origin = 3,
                                         .sequence = counter + 100,
                                         .acked = 3,
                                         .members = 3};
    cluster_receipts_confirmed(r, now, &last);
}

static void test_a_purge_is_remembered(void **state) {
    (void)state;
    begin(1, 1000, "a+b c");
    const struct cluster_receipt *k = cluster_receipts_by_via(r, (struct purge_via){7, 1});
    assert_non_null(k);
    assert_string_equal(k->selectors, "a+b,c");
    assert_false(k->soft);
    assert_int_equal(k->begun_ns, 1000);
    assert_int_equal(k->confirmed_ns, 0);
    assert_null(cluster_receipts_by_id(r, 3, 101));
    assert_null(cluster_receipts_recent(r, 0));
    confirm(1, 3000);
    assert_int_equal(k->confirmed_ns, 3000);
    assert_ptr_equal(cluster_receipts_by_id(r, 3, 101), k);
    assert_ptr_equal(cluster_receipts_recent(r, 0), k);
    assert_null(cluster_receipts_recent(r, 1));
    assert_null(cluster_receipts_by_via(r, (struct purge_via){8, 1}));
    assert_null(cluster_receipts_by_via(r, (struct purge_via){7, 1 + CLUSTER_RECEIPTS}));
    assert_null(cluster_receipts_by_via(r, (struct purge_via){0, 0})); /* an empty place is none */
}

static void test_the_last_ones_are_remembered(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= CLUSTER_RECEIPTS + 10; i++) begin(i, i, "x");
    assert_null(cluster_receipts_by_via(r, (struct purge_via){7, 10}));
    assert_non_null(cluster_receipts_by_via(r, (struct purge_via){7, 11}));
    confirm(10, 9000); /* forgotten meanwhile: nothing is listed */
    assert_null(cluster_receipts_recent(r, 0));
    for (uint64_t i = 11; i <= CLUSTER_RECEIPTS + 10; i++) confirm(i, 9000 + i);
    for (unsigned i = 0; i < CLUSTER_RECEIPTS_CONFIRMED; i++)
        assert_int_equal(cluster_receipts_recent(r, i)->via.counter, CLUSTER_RECEIPTS + 10 - i);
    assert_null(cluster_receipts_recent(r, CLUSTER_RECEIPTS_CONFIRMED));
}

static void test_long_selectors_are_cut(void **state) {
    (void)state;
    char text[CLUSTER_PURGE_TEXT_MAX + 2] = "";
    memset(text, 't', CLUSTER_PURGE_TEXT_MAX);
    begin(1, 1, text);
    begin(2, 2, "");
    text[CLUSTER_PURGE_TEXT_MAX] = 't';
    begin(3, 3, text);
    const struct cluster_receipt *whole = cluster_receipts_by_via(r, (struct purge_via){7, 1}),
                                 *cut = cluster_receipts_by_via(r, (struct purge_via){7, 3});
    assert_int_equal(strlen(whole->selectors), CLUSTER_PURGE_TEXT_MAX);
    assert_null(strchr(whole->selectors, '.'));
    assert_int_equal(strlen(cut->selectors), CLUSTER_PURGE_TEXT_MAX);
    assert_string_equal(cut->selectors + CLUSTER_PURGE_TEXT_MAX - 4, "t...");
    assert_true(cluster_receipts_by_via(r, (struct purge_via){7, 2})->soft);
}

static void test_when_a_member_acknowledged(void **state) {
    (void)state;
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 1), 0);
    cluster_receipts_acked(r, 10, 5, 3, 4);
    cluster_receipts_acked(r, 20, 5, 3, 9);
    cluster_receipts_acked(r, 15, 6, 3, 2);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 4), 10);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 5), 20);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 9), 20);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 10), 0);
    assert_int_equal(cluster_receipts_acked_ns(r, 6, 3, 2), 15);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 4, 4), 0); /* of another origin */
    for (uint64_t i = 10; i < 1000; i++) cluster_receipts_acked(r, 10 * i, 5, 3, i);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 990), 9900);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 5), 0); /* not known any more, instead of too late */
    /* One that falls on the same place takes it. */
    cluster_receipts_acked(r, 50, 5 + CLUSTER_RECEIPTS_MEMBERS, 3, 990);
    assert_int_equal(cluster_receipts_acked_ns(r, 5, 3, 990), 0);
    assert_int_equal(cluster_receipts_acked_ns(r, 5 + CLUSTER_RECEIPTS_MEMBERS, 3, 990), 50);
}

/* What proto/PROTOCOL.md promises. */
static void test_bounds_are_as_promised(void **state) {
    (void)state;
    assert_int_equal(CLUSTER_RECEIPTS, 1024);
    assert_int_equal(CLUSTER_RECEIPTS_CONFIRMED, 64);
    assert_int_equal(CLUSTER_PURGE_TEXT_MAX, 200);
}

/* What a counted purge took out, by member, each once; and who asked, in one word. */
static void test_counts(void **state) {
    const struct cluster_purge p = {.counted = true, .text = "a", .text_bytes = 1, .by = "legal@/run/a b.sock"};
    const struct purge_via via = {7, 50};
    (void)state;
    cluster_receipts_begin(r, 1000, via, &p);
    const struct cluster_receipt *k = cluster_receipts_by_via(r, via);
    assert_string_equal(k->by, "legal@/run/a_b.sock");
    assert_null(cluster_receipt_count(k, 3));
    cluster_receipts_counted(r, 5000, via, &(struct cluster_receipt_count){3, 10, 4000, 0});
    cluster_receipts_counted(r, 9000, via, &(struct cluster_receipt_count){3, 11, 4001, 0});
    cluster_receipts_counted(r, 9000, (struct purge_via){7, 51}, &(struct cluster_receipt_count){4, 1, 1, 0});
    assert_int_equal(cluster_receipt_count(k, 3)->items, 10);
    assert_int_equal(cluster_receipt_count(k, 3)->gone_ns, 5000);
    assert_null(cluster_receipt_count(k, 4));
    for (uint32_t member = 100; member < 200; member++)
        cluster_receipts_counted(r, 9000, via, &(struct cluster_receipt_count){member, -1, 1, 0});
    assert_int_equal(k->ncounts, 101);
    assert_int_equal(cluster_receipt_count(k, 3)->items, 10);
    assert_int_equal(cluster_receipt_count(k, 199)->items, -1);
    cluster_receipts_begin(r, 2000, via, &p);
    assert_null(cluster_receipt_count(k, 3));
}

/* It is told once that all have taken out what a counted purge selects, whatever comes last. */
static void test_all_is_gone(void **state) {
    (void)state;
    const struct purge_via via = {7, 60}, plain = {7, 61};
    struct cluster_purge p = {.text = "t", .text_bytes = 1, .counted = true};
    cluster_receipts_begin(r, 1000, via, &p);
    cluster_receipts_counted(r, 2000, via, &(struct cluster_receipt_count){3, 10, 4000, 0});
    assert_null(cluster_receipts_swept(r, via));
    const struct purging_receipt last = {
        .status = PURGING_CONFIRMED, .via = via, .origin = 3, .sequence = 1, .acked = 1, .members = 2};
    cluster_receipts_confirmed(r, 3000, &last); /* without the second member */
    assert_null(cluster_receipts_swept(r, via));
    cluster_receipts_counted(r, 4000, via, &(struct cluster_receipt_count){4, 1, 1, 0});
    assert_ptr_equal(cluster_receipts_swept(r, via), cluster_receipts_by_via(r, via));
    assert_null(cluster_receipts_swept(r, via));
    p.counted = false;
    cluster_receipts_begin(r, 1000, plain, &p);
    cluster_receipts_confirmed(r, 3000, &(struct purging_receipt){.status = PURGING_CONFIRMED, .via = plain});
    assert_null(cluster_receipts_swept(r, plain));
    assert_false(cluster_receipts_by_via(r, plain)->late);
    cluster_receipts_late(r, plain);
    assert_true(cluster_receipts_by_via(r, plain)->late);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts, open_receipts, close_receipts),
        cmocka_unit_test_setup_teardown(test_all_is_gone, open_receipts, close_receipts),
        cmocka_unit_test(test_bounds_are_as_promised),
        cmocka_unit_test_setup_teardown(test_a_purge_is_remembered, open_receipts, close_receipts),
        cmocka_unit_test_setup_teardown(test_the_last_ones_are_remembered, open_receipts, close_receipts),
        cmocka_unit_test_setup_teardown(test_long_selectors_are_cut, open_receipts, close_receipts),
        cmocka_unit_test_setup_teardown(test_when_a_member_acknowledged, open_receipts, close_receipts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
