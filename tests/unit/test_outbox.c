/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The outbox: purges that are not confirmed yet, their states, and who waits for them. */
#include "cluster/outbox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"

static int add(struct outbox *o, uint64_t counter, unsigned ntags, uint32_t *i) {
    static uint8_t record[PURGE_EVENT_MAX];
    static const uint64_t tags[PURGE_EVENT_TAGS_MAX] = {3};
    const struct purge_selector sel = {ntags, tags};
    purge_event_write(&(struct purge_event){.via = {7, counter}, .nselectors = 1, .selectors = &sel}, record);
    return outbox_add(o, record, counter, i);
}

static void test_an_entry_goes_from_list_to_list(void **state) {
    (void)state;
    struct outbox o;
    uint32_t a, b, c;
    assert_int_equal(outbox_init(&o), 0);
    assert_int_equal(add(&o, 1, 1, &a), 0);
    assert_int_equal(add(&o, 2, 20, &b), 0);
    assert_int_equal(add(&o, 3, 0, &c), 0);
    assert_int_equal(outbox_first(&o, OUTBOX_UNANSWERED), a);
    assert_int_equal(outbox_first(&o, OUTBOX_TODO), a);
    assert_int_equal(outbox_next(&o, a), b);
    assert_int_equal(purge_event_size(outbox_record(&o, b)), 24 + 20 * 8);
    outbox_set_local(&o, a);
    assert_int_equal(outbox_first(&o, OUTBOX_LOCAL), a);
    outbox_identify(&o, c, 5, 100);
    outbox_identify(&o, b, 5, 90); /* comes later, stands in front */
    outbox_identify(&o, a, 5, 95);
    assert_int_equal(outbox_first(&o, OUTBOX_SLOTS + 5), b);
    assert_int_equal(outbox_next(&o, b), a);
    assert_int_equal(outbox_next(&o, a), OUTBOX_NONE);
    assert_int_equal(outbox_first(&o, OUTBOX_STARS + 5), c); /* it is one of everything */
    assert_int_equal(outbox_slot(&o.entries[a]), 5);
    assert_int_equal(outbox_slot(&o.entries[c]), 5);
    outbox_unidentify(&o, a, 50); /* what is applied here alone stays so */
    outbox_unidentify(&o, c, 50);
    assert_int_equal(outbox_first(&o, OUTBOX_LOCAL), a);
    assert_int_equal(outbox_first(&o, OUTBOX_UNANSWERED), c);
    assert_int_equal(outbox_find(&o, (struct purge_via){7, 2}), b);
    outbox_remove(&o, b);
    assert_int_equal(outbox_find(&o, (struct purge_via){7, 2}), OUTBOX_NONE);
    outbox_set_todo(&o, a, false);
    assert_int_equal(outbox_first(&o, OUTBOX_TODO), c);
    outbox_fini(&o);
}

static void test_a_watcher_has_no_record(void **state) {
    (void)state;
    struct outbox o;
    uint32_t a;
    assert_int_equal(outbox_init(&o), 0);
    assert_int_equal(outbox_watch(&o, 3, 44, false, 1, &a), 0);
    assert_int_equal(outbox_first(&o, OUTBOX_SLOTS + 3), a);
    assert_int_equal(outbox_first(&o, OUTBOX_TODO), OUTBOX_NONE);
    outbox_remove(&o, a);
    assert_int_equal(o.used, 0);
    outbox_fini(&o);
}

static void test_64_ki_purges_and_no_more(void **state) {
    (void)state;
    struct outbox o;
    uint32_t i;
    assert_int_equal(outbox_init(&o), 0);
    for (unsigned n = 1; n <= 65536; n++) assert_int_equal(add(&o, n, 1, &i), 0);
    assert_int_equal(add(&o, 65537, 1, &i), -ENOSPC);
    outbox_remove(&o, outbox_find(&o, (struct purge_via){7, 4000}));
    assert_int_equal(add(&o, 65537, 1, &i), 0);
    assert_int_equal(add(&o, 65538, 1, &i), -ENOSPC);
    outbox_fini(&o);
}

static void test_who_waits_the_shortest_is_first(void **state) {
    (void)state;
    struct outbox o;
    struct rand r;
    uint32_t i;
    rand_init(&r, 3);
    assert_int_equal(outbox_init(&o), 0);
    for (unsigned n = 1; n <= 3000; n++) {
        assert_int_equal(add(&o, n, 1, &i), 0);
        outbox_wait(&o, i, n, rand_below(&r, 500));
        if (rand_below(&r, 3) == 0) outbox_unwait(&o, (uint32_t)rand_below(&r, i + 1)); /* some are answered */
        if (rand_below(&r, 5) == 0) outbox_remove(&o, i);
    }
    uint64_t last = 0;
    unsigned seen = 0;
    for (; outbox_earliest(&o) != OUTBOX_NONE; seen++) {
        i = outbox_earliest(&o);
        assert_true(o.entries[i].deadline_ns >= last);
        last = o.entries[i].deadline_ns;
        outbox_unwait(&o, i);
    }
    assert_true(seen > 500);
    outbox_fini(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_goes_from_list_to_list),
        cmocka_unit_test(test_a_watcher_has_no_record),
        cmocka_unit_test(test_64_ki_purges_and_no_more),
        cmocka_unit_test(test_who_waits_the_shortest_is_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
