/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Purges as records, the table of vias, and the log of all origins. */
#include "cluster/purgelog.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "cluster/viatable.h"

static uint8_t record[PURGE_EVENT_MAX];

/* A purge of one tag, or of everything. */
static size_t one(uint32_t number, uint64_t counter, uint64_t tag) {
    const struct purge_selector sel = {.ntags = tag != 0, .tags = &tag};
    return purge_event_write(&(struct purge_event){.via = {number, counter}, .nselectors = 1, .selectors = &sel},
                             record);
}

/* ------------------------------------------------------------------ records */

static void test_a_purge_of_one_tag_takes_32_bytes(void **state) {
    (void)state;
    assert_int_equal(one(7, 9, 0x1122334455667788), 32);
    assert_int_equal(one(7, 9, 0), 24);
    assert_int_equal(PURGE_EVENT_ONE_TAG, 32);
    assert_int_equal(PURGE_EVENT_MIN, 24);
}

static void test_a_record_says_what_was_written(void **state) {
    (void)state;
    const uint64_t tags[] = {5, 6, 7};
    const struct purge_selector sels[] = {{2, tags}, {0, NULL}, {1, tags + 2}};
    const struct purge_event e = {{3, PURGE_EVENT_COUNTER_MAX}, true, true, 600, 3, sels};
    struct purge_selector out[3];
    uint64_t copy[3];
    const size_t n = purge_event_write(&e, record);
    assert_int_equal(purge_event_check(record, n), n);
    assert_int_equal(purge_event_via(record).number, 3);
    assert_int_equal(purge_event_via(record).counter, PURGE_EVENT_COUNTER_MAX);
    assert_true(purge_event_soft(record));
    assert_true(purge_event_counted(record));
    assert_int_equal(purge_event_ttl_s(record), 600);
    assert_true(purge_event_everything(record));
    assert_int_equal(purge_event_nselectors(record), 3);
    assert_int_equal(purge_event_selectors(record, out, copy), 3);
    assert_int_equal(out[0].ntags, 2);
    assert_memory_equal(out[0].tags, tags, 16);
    assert_int_equal(out[1].ntags, 0);
    assert_memory_equal(out[2].tags, tags + 2, 8);
}

static void test_records_have_bounds(void **state) {
    (void)state;
    static uint64_t tags[PURGE_EVENT_TAGS_MAX + 1];
    struct purge_selector sels[PURGE_EVENT_SELECTORS_MAX + 1];
    for (unsigned i = 0; i <= PURGE_EVENT_SELECTORS_MAX; i++) sels[i] = (struct purge_selector){64, tags};
    struct purge_event e = {{1, 1}, false, false, 0, 64, sels};
    assert_int_equal(purge_event_bytes(&e), PURGE_EVENT_MAX);
    assert_int_equal(purge_event_write(&e, record), PURGE_EVENT_MAX);
    assert_int_equal(purge_event_check(record, sizeof record), PURGE_EVENT_MAX);
    e.nselectors = 65;
    assert_int_equal(purge_event_bytes(&e), 0);
    e.nselectors = 0;
    assert_int_equal(purge_event_bytes(&e), 0);
    e.nselectors = 1;
    sels[0].ntags = 65;
    assert_int_equal(purge_event_bytes(&e), 0);
    sels[0].ntags = 1;
    e.via.number = 0;
    assert_int_equal(purge_event_bytes(&e), 0);
}

static void test_bytes_that_are_no_record_are_refused(void **state) {
    (void)state;
    struct rand r;
    const size_t n = one(7, 9, 5);
    for (size_t i = 0; i < n; i++) assert_int_equal(purge_event_check(record, i), 0);
    record[3] = 0; /* no selector */
    assert_int_equal(purge_event_check(record, n), 0);
    record[3] = 65;
    assert_int_equal(purge_event_check(record, n), 0);
    one(7, 9, 5);
    record[20] = 2; /* more tags than bytes */
    assert_int_equal(purge_event_check(record, n), 0);
    one(7, 9, 5);
    record[0] = 0; /* no length: a reader would not get on */
    assert_int_equal(purge_event_check(record, n), 0);
    one(7, 9, 5);
    memset(record + 16, 0, 4); /* no member */
    assert_int_equal(purge_event_check(record, n), 0);
    one(7, 9, 5);
    record[14] = 1; /* a counter of more than 48 bits */
    assert_int_equal(purge_event_check(record, n), 0);
    rand_init(&r, 1);
    for (unsigned i = 0; i < 20000; i++) { /* whatever the bytes are, what passes lies within what is there */
        uint8_t bytes[64], *exact = malloc(40);
        for (unsigned j = 0; j < sizeof bytes; j++) bytes[j] = (uint8_t)rand_below(&r, j < 4 || j > 19 ? 6 : 256);
        memcpy(exact, bytes, 40);
        assert_true(purge_event_check(exact, 40) <= 40);
        free(exact);
    }
}

/* ------------------------------------------------------------------ vias */

static void test_vias_are_found_set_and_removed(void **state) {
    (void)state;
    struct viatable t;
    struct rand r;
    static uint64_t model[512];
    uint64_t value;
    rand_init(&r, 7);
    assert_int_equal(viatable_init(&t, 1), 0);
    for (unsigned i = 0; i < 50000; i++) { /* 512 vias against a plain array; the table grows once and stays dense */
        const unsigned k = (unsigned)rand_below(&r, 512);
        const struct purge_via via = {1 + k % 3, k * 65536ull};
        if (rand_below(&r, 2) == 0) {
            model[k] = 1 + rand_below(&r, VIATABLE_VALUE_MAX);
            assert_int_equal(viatable_set(&t, via, model[k]), 0);
        } else if (rand_below(&r, 2) == 0) {
            viatable_remove(&t, via, model[k]);
            model[k] = 0;
        } else {
            viatable_remove(&t, via, model[k] + 1); /* another value: it stays */
        }
        const unsigned l = (unsigned)rand_below(&r, 512);
        const bool there = viatable_get(&t, (struct purge_via){1 + l % 3, l * 65536ull}, &value);
        assert_int_equal(there, model[l] != 0);
        if (there) assert_true(value == model[l]);
    }
    assert_true(t.used * 4 <= (t.mask + 1) * 3);
    viatable_clear(&t);
    assert_int_equal(t.used, 0);
    assert_false(viatable_get(&t, (struct purge_via){1, 0}, &value));
    viatable_fini(&t);
}

/* ------------------------------------------------------------------ the log */

static struct purgelog *log_of(uint64_t bytes) {
    struct purgelog *log;
    assert_int_equal(purgelog_new(bytes, &log), 0);
    return log;
}

static void append(struct purgelog *log, int slot, uint32_t number, uint64_t counter, uint64_t tag) {
    one(number, counter, tag);
    assert_int_equal(purgelog_append(log, slot, record, false), 0);
    purgelog_set_applied(log, slot, purgelog_last(log, slot));
}

static void test_events_have_consecutive_sequences_and_are_found(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    const int a = purgelog_open(log, 4), b = purgelog_open(log, 9);
    uint64_t sequence;
    int slot;
    for (unsigned i = 1; i <= 1000; i++) {
        append(log, a, 7, i, 1000 + i);
        append(log, b, 8, i, 2000 + i);
    }
    assert_int_equal(purgelog_last(log, a), 1000);
    assert_int_equal(purgelog_begin(log, b), 0);
    for (unsigned i = 1; i <= 1000; i++) assert_int_equal(purge_event_via(purgelog_at(log, b, i)).counter, i);
    assert_null(purgelog_at(log, b, 0));
    assert_null(purgelog_at(log, b, 1001));
    assert_true(purgelog_find(log, (struct purge_via){8, 321}, &slot, &sequence));
    assert_int_equal(slot, b);
    assert_int_equal(sequence, 321);
    assert_false(purgelog_find(log, (struct purge_via){9, 321}, &slot, &sequence));
    purgelog_free(log);
}

static void test_what_is_copied_is_whole_records_up_to_the_bounds(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    const int a = purgelog_open(log, 4);
    static uint8_t out[16384];
    unsigned count;
    for (unsigned i = 1; i <= 400; i++) append(log, a, 7, i, 5);
    assert_int_equal(purgelog_copy(log, a, 1, UINT64_MAX, out, sizeof out, &count), 400 * 32);
    assert_int_equal(count, 400);
    for (unsigned i = 0; i < 400; i++) assert_int_equal(purge_event_via(out + 32 * i).counter, i + 1);
    assert_int_equal(purgelog_copy(log, a, 120, UINT64_MAX, out, 100, &count), 96);
    assert_int_equal(count, 3);
    assert_int_equal(purge_event_via(out).counter, 120);
    assert_int_equal(purgelog_copy(log, a, 127, 130, out, sizeof out, &count), 128);
    assert_int_equal(purge_event_via(out + 96).counter, 130);
    assert_int_equal(purgelog_copy(log, a, 401, UINT64_MAX, out, sizeof out, &count), 0);
    purgelog_free(log);
}

static void test_the_log_of_2_mib_holds_64_ki_events_of_one_tag(void **state) {
    (void)state;
    assert_int_equal(purgelog_bytes(0), 2 << 20);
    assert_int_equal(purgelog_bytes(256ull << 20), 4 << 20);
    assert_int_equal(purgelog_bytes(1ull << 40), 64 << 20);
    struct purgelog *log = log_of(purgelog_bytes(64 << 20));
    const int a = purgelog_open(log, 4), b = purgelog_open(log, 9);
    for (unsigned i = 1; i <= 200000; i++) {
        append(log, i % 5 == 0 ? b : a, 7, i, 5);
        if (i < 65536) continue;
        const uint64_t held =
            purgelog_last(log, a) - purgelog_begin(log, a) + purgelog_last(log, b) - purgelog_begin(log, b);
        assert_true(held >= 65536);
        assert_true(purgelog_used(log) <= (2 << 20) + 4096);
    }
    uint64_t sequence;
    int slot;
    assert_true(purgelog_find(log, (struct purge_via){7, 200000}, &slot, &sequence));
    assert_true(purgelog_find(log, (struct purge_via){7, 200000 - 65535}, &slot, &sequence));
    assert_false(purgelog_find(log, (struct purge_via){7, 100000}, &slot, &sequence)); /* went with its event */
    purgelog_free(log);
}

static void test_a_via_that_comes_again_is_marked(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    const int a = purgelog_open(log, 4), b = purgelog_open(log, 9);
    uint64_t sequence;
    int slot;
    append(log, a, 7, 1, 5);
    append(log, b, 7, 1, 5);
    append(log, b, 7, 2, 5);
    assert_false(purge_event_repeated(purgelog_at(log, a, 1)));
    assert_true(purge_event_repeated(purgelog_at(log, b, 1)));
    assert_false(purge_event_repeated(purgelog_at(log, b, 2)));
    one(7, 3, 5);
    assert_int_equal(purgelog_append(log, b, record, true), 0); /* its caller knows */
    assert_true(purge_event_repeated(purgelog_at(log, b, 3)));
    purge_event_set_repeated(record, true); /* a peer's mark counts for nothing */
    memset(record + 8, 9, 1);
    assert_int_equal(purgelog_append(log, b, record, false), 0);
    assert_false(purge_event_repeated(purgelog_at(log, b, 4)));
    purgelog_close(log, a, false); /* the first is forgotten, the second is still known where it is */
    assert_true(purgelog_find(log, (struct purge_via){7, 1}, &slot, &sequence));
    assert_int_equal(slot, b);
    purgelog_close(log, b, true); /* its origin is retired: a late submission must not bring it back */
    assert_true(purgelog_find(log, (struct purge_via){7, 2}, &slot, &sequence));
    assert_int_equal(slot, -1);
    assert_false(purgelog_find(log, (struct purge_via){7, 3}, &slot, &sequence)); /* it was never applied */
    const int c = purgelog_open(log, 11);
    for (unsigned i = 1; i <= 40000; i++) append(log, c, 8, i, 5);
    assert_false(purgelog_find(log, (struct purge_via){7, 2}, &slot, &sequence)); /* not for ever */
    purgelog_free(log);
}

static void test_another_member_knows_the_vias_of_its_own_purges_only(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    const int a = purgelog_open(log, 4);
    uint8_t own[PURGE_EVENT_MAX], other[PURGE_EVENT_MAX];
    const uint64_t tag = 5;
    const struct purge_selector sel = {1, &tag};
    purge_event_write(&(struct purge_event){.via = {7, 1}, .nselectors = 1, .selectors = &sel}, own);
    purge_event_write(&(struct purge_event){.via = {8, 1}, .nselectors = 1, .selectors = &sel}, other);
    assert_int_equal(purgelog_append(log, a, own, false), 0);
    assert_int_equal(purgelog_append(log, a, other, false), 0);
    purgelog_set_applied(log, a, 2);
    purgelog_leave(log, a, 7);
    const int b = purgelog_open(log, 9);
    assert_int_equal(purgelog_append(log, b, own, false), 0);
    assert_int_equal(purgelog_append(log, b, other, false), 0);
    assert_true(purge_event_repeated(purgelog_at(log, b, 1)));
    assert_false(purge_event_repeated(purgelog_at(log, b, 2)));
    purgelog_free(log);
}

static void test_what_is_kept_or_not_applied_stays(void **state) {
    (void)state;
    struct purgelog *log = log_of(64 << 10);
    const int own = purgelog_open(log, 4), other = purgelog_open(log, 9);
    purgelog_keep(log, own, 0);
    for (unsigned i = 1; i <= 1000; i++) append(log, own, 7, i, 5);
    for (unsigned i = 1; i <= 9000; i++) append(log, other, 8, i, 5);
    assert_int_equal(purgelog_begin(log, own), 0); /* unconfirmed: the other's went in its place */
    assert_true(purgelog_begin(log, other) > 7000);
    int status = 0;
    for (unsigned i = 1001; status == 0; i++) { /* until there are only unconfirmed ones */
        assert_true(i < 4000);
        one(7, i, 5);
        status = purgelog_append(log, own, record, false);
        if (status == 0) purgelog_set_applied(log, own, i);
    }
    assert_int_equal(status, -ENOSPC);
    assert_int_equal(purgelog_last(log, own), 1024); /* half of the log */
    purgelog_keep(log, own, 500);                    /* confirmed up to there: there is room again */
    append(log, own, 7, 100000, 5);
    for (unsigned i = 1; i <= 4000; i++) append(log, other, 10, i, 5);
    assert_true(purgelog_begin(log, own) > 0 && purgelog_begin(log, own) <= 500);
    purgelog_keep(log, own, UINT64_MAX);
    for (unsigned i = 0; i < 5000; i++) { /* received and not applied */
        one(9, i, 5);
        if (purgelog_append(log, other, record, false) != 0) break;
        assert_true(i < 4000);
    }
    assert_true(purgelog_begin(log, other) <= purgelog_applied(log, other));
    purgelog_free(log);
}

static void test_a_slot_begins_anew_behind_a_sequence(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    const int a = purgelog_open(log, 4);
    struct peer_purge_seen vector[PURGELOG_SLOTS];
    for (unsigned i = 1; i <= 300; i++) append(log, a, 7, i, i == 200 ? 0 : 5);
    assert_int_equal(purgelog_star(log, a), 200);
    purgelog_reset(log, a, 1000, 900);
    assert_int_equal(purgelog_begin(log, a), 1000);
    append(log, a, 7, 301, 5);
    assert_non_null(purgelog_at(log, a, 1001));
    assert_int_equal(purgelog_vector(log, vector), 1);
    assert_int_equal(vector[0].origin, 4);
    assert_int_equal(vector[0].sequence, 1001);
    assert_int_equal(vector[0].star, 900);
    purgelog_free(log);
}

static void test_equal_vectors_have_equal_hashes_in_any_order_of_slots(void **state) {
    (void)state;
    struct purgelog *one_log = log_of(1 << 20), *two = log_of(1 << 20);
    const int a = purgelog_open(one_log, 4), b = purgelog_open(one_log, 9);
    const int c = purgelog_open(two, 9), d = purgelog_open(two, 4);
    assert_true(purgelog_hash(one_log) == purgelog_hash(two));
    append(one_log, a, 7, 1, 5);
    append(one_log, b, 7, 2, 5);
    append(two, c, 7, 2, 5);
    assert_true(purgelog_hash(one_log) != purgelog_hash(two));
    append(two, d, 7, 1, 5);
    assert_true(purgelog_hash(one_log) == purgelog_hash(two));
    purgelog_open(two, 11); /* nothing of it is applied: not in the vector */
    assert_true(purgelog_hash(one_log) == purgelog_hash(two));
    purgelog_free(one_log);
    purgelog_free(two);
}

static void test_slots_are_64(void **state) {
    (void)state;
    struct purgelog *log = log_of(1 << 20);
    assert_int_equal(purgelog_end(log), 0);
    for (uint32_t i = 1; i <= 64; i++) {
        assert_true(purgelog_open(log, i) >= 0);
        assert_int_equal(purgelog_end(log), i);
    }
    assert_int_equal(purgelog_open(log, 65), -1);
    purgelog_close(log, purgelog_slot(log, 30), true);
    assert_int_equal(purgelog_slot(log, 30), -1);
    assert_int_equal(purgelog_end(log), 64);
    assert_true(purgelog_open(log, 65) >= 0);
    /* the end goes back behind the last one that is open */
    for (uint32_t i = 10; i <= 64; i++) purgelog_close(log, purgelog_slot(log, i == 30 ? 65 : i), false);
    assert_int_equal(purgelog_end(log), 9);
    purgelog_free(log);
}

static void test_large_records_are_kept_whole(void **state) {
    (void)state;
    struct purgelog *log = log_of(256 << 10);
    const int a = purgelog_open(log, 4);
    static uint64_t tags[64];
    static uint8_t big[PURGE_EVENT_MAX];
    struct purge_selector sels[64];
    unsigned count;
    for (unsigned i = 0; i < 64; i++) sels[i] = (struct purge_selector){64, tags};
    for (unsigned i = 1; i <= 100; i++) {
        tags[0] = i;
        purge_event_write(&(struct purge_event){{7, i}, false, false, 0, 64, sels}, big);
        assert_int_equal(purgelog_append(log, a, big, false), 0);
        purgelog_set_applied(log, a, i);
        assert_true(purgelog_used(log) <= (256 << 10) + PURGE_EVENT_MAX);
    }
    static uint8_t out[PEER_PURGE_EVENTS_MAX];
    assert_int_equal(purgelog_copy(log, a, 98, 100, out, sizeof out, &count), PURGE_EVENT_MAX);
    assert_int_equal(count, 1); /* a frame of 64 KiB holds one of this size */
    purgelog_free(log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_purge_of_one_tag_takes_32_bytes),
        cmocka_unit_test(test_a_record_says_what_was_written),
        cmocka_unit_test(test_records_have_bounds),
        cmocka_unit_test(test_bytes_that_are_no_record_are_refused),
        cmocka_unit_test(test_vias_are_found_set_and_removed),
        cmocka_unit_test(test_events_have_consecutive_sequences_and_are_found),
        cmocka_unit_test(test_what_is_copied_is_whole_records_up_to_the_bounds),
        cmocka_unit_test(test_the_log_of_2_mib_holds_64_ki_events_of_one_tag),
        cmocka_unit_test(test_a_via_that_comes_again_is_marked),
        cmocka_unit_test(test_another_member_knows_the_vias_of_its_own_purges_only),
        cmocka_unit_test(test_what_is_kept_or_not_applied_stays),
        cmocka_unit_test(test_a_slot_begins_anew_behind_a_sequence),
        cmocka_unit_test(test_equal_vectors_have_equal_hashes_in_any_order_of_slots),
        cmocka_unit_test(test_slots_are_64),
        cmocka_unit_test(test_large_records_are_kept_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
