/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the checker of tests/cluster/faults calls stale: what a confirmed purge has killed, and nothing else. */
#include "tests/cluster/faultmodel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct faultmodel m;
static char value[FAULTMODEL_VALUE_MAX];

static int begin(void **state) {
    (void)state;
    faultmodel_init(&m, 10);
    return 0;
}

static int end(void **state) {
    (void)state;
    faultmodel_fini(&m);
    return 0;
}

static enum faultmodel_verdict read_now(uint32_t key, size_t n) {
    return faultmodel_check(&m, key, faultmodel_horizon(&m, key), value, n);
}

static void test_a_fill_from_before_a_confirmed_purge_is_stale(void **state) {
    (void)state;
    const size_t n = faultmodel_fill(4, faultmodel_event(&m), value);
    const uint64_t asked = faultmodel_event(&m), before = faultmodel_horizon(&m, 4);
    assert_int_equal(read_now(4, n), FAULTMODEL_FRESH); /* asked for is not confirmed */
    faultmodel_purged(&m, 3, 2, asked);
    assert_int_equal(read_now(4, n), FAULTMODEL_STALE);
    assert_int_equal(faultmodel_check(&m, 4, before, value, n), FAULTMODEL_FRESH); /* the read began before */
    assert_int_equal(read_now(4, faultmodel_fill(4, faultmodel_event(&m), value)), FAULTMODEL_FRESH);
    assert_int_equal(read_now(5, faultmodel_fill(5, 1, value)), FAULTMODEL_FRESH); /* another row */
    faultmodel_purged_all(&m, faultmodel_event(&m));
    assert_int_equal(read_now(5, n), FAULTMODEL_STALE);
}

static void test_an_older_purge_that_is_confirmed_later_takes_nothing_back(void **state) {
    (void)state;
    const uint64_t first = faultmodel_event(&m);
    const size_t n = faultmodel_fill(1, faultmodel_event(&m), value);
    faultmodel_purged(&m, 1, 1, faultmodel_event(&m));
    faultmodel_purged(&m, 1, 1, first);
    assert_int_equal(read_now(1, n), FAULTMODEL_STALE);
}

static void test_a_plain_store_is_stale_if_it_was_answered_before_the_purge(void **state) {
    (void)state;
    uint64_t serial;
    const size_t n = faultmodel_plain(&m, 2, value, &serial);
    faultmodel_purged(&m, 2, 1, faultmodel_event(&m));
    assert_int_equal(read_now(2, n), FAULTMODEL_FRESH); /* it may come after the purge */
    faultmodel_plain_answered(&m, serial);
    assert_int_equal(read_now(2, n), FAULTMODEL_FRESH);
    faultmodel_purged(&m, 2, 1, faultmodel_event(&m));
    assert_int_equal(read_now(2, n), FAULTMODEL_STALE);
}

static void test_what_was_never_stored_is_wrong(void **state) {
    (void)state;
    const size_t n = faultmodel_fill(2, faultmodel_event(&m), value);
    assert_int_equal(read_now(3, n), FAULTMODEL_WRONG);
    assert_int_equal(read_now(2, n - 1), FAULTMODEL_WRONG);
    assert_int_equal(read_now(2, faultmodel_fill(2, m.now + 1, value)), FAULTMODEL_WRONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_fill_from_before_a_confirmed_purge_is_stale, begin, end),
        cmocka_unit_test_setup_teardown(test_an_older_purge_that_is_confirmed_later_takes_nothing_back, begin, end),
        cmocka_unit_test_setup_teardown(test_a_plain_store_is_stale_if_it_was_answered_before_the_purge, begin, end),
        cmocka_unit_test_setup_teardown(test_what_was_never_stored_is_wrong, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
