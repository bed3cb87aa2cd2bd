/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ghost remembers what left lately, forgets what left long ago, and seldom errs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store/ghost.h"

static uint64_t nth(uint64_t seed, uint64_t i) {
    struct rand r;
    rand_init(&r, seed * 1000003 + i);
    return rand_next(&r);
}

static unsigned known(const struct ghost *g, uint64_t seed, uint64_t from, uint64_t to) {
    unsigned n = 0;
    for (uint64_t i = from; i < to; i++) n += ghost_has(g, nth(seed, i));
    return n;
}

static void test_remembers_and_forgets(void **state) {
    (void)state;
    struct ghost g;
    ghost_init(&g);
    assert_int_equal(ghost_bytes(&g), 0);
    assert_false(ghost_has(&g, 1));
    for (uint64_t i = 0; i < 100000; i++) {
        ghost_add(&g, nth(1, i), 10000);
        ghost_reap(&g);
    }
    /* About nine tenths as many as are held. */
    assert_true(known(&g, 1, 95000, 100000) > 4500);
    assert_true(known(&g, 1, 0, 10000) < 500);
    assert_true(known(&g, 2, 0, 10000) < 500);
    assert_true(ghost_bytes(&g) < 2 * 10000 * 64 / 40 + 4096);
    ghost_fini(&g);
}

static void test_grows_and_shrinks(void **state) {
    (void)state;
    struct ghost g;
    ghost_init(&g);
    for (uint64_t i = 0; i < 1000; i++) ghost_add(&g, nth(1, i), 1000);
    uint64_t small = ghost_bytes(&g);
    for (uint64_t i = 1000; i < 1010; i++) ghost_add(&g, nth(1, i), 100000);
    assert_true(ghost_bytes(&g) > 10 * small);
    /* What the table before remembers is still known. */
    assert_true(known(&g, 1, 200, 1010) > 700);
    ghost_reap(&g);
    for (uint64_t i = 0; i < 500000; i++) {
        ghost_add(&g, nth(3, i), 1000);
        if (i % 64 == 0) ghost_reap(&g);
    }
    assert_true(ghost_bytes(&g) < 4 * small + 4096);
    assert_true(known(&g, 3, 499500, 500000) > 450);
    ghost_fini(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers_and_forgets),
        cmocka_unit_test(test_grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
