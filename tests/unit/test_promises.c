/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Promises made in numbers that are no options: each test fails when its number is another. (tests/README.md lists
 * those that other programs see to.) One thread, the maintenance stepped by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/rand.h"
#include "cmd/cmd.h"
#include "store_lab.h"
#include "tests/fuzz/fake_net.h"

/* ------------------------------------------------------------------ small's tenth */

static void set_nth(struct lab *l, unsigned n) {
    char key[32], value[200];
    struct store_put p = {.value = value, .size = sizeof value};
    memset(value, 'x', sizeof value);
    p.key = store_key(l->s, key, (size_t)snprintf(key, sizeof key, "key-%u", n));
    while (lab_put(l, 0, &p) == STORE_AGAIN) store_maintain(l->s);
    if (n % 16 == 0) store_maintain(l->s);
}

static bool has_nth(struct lab *l, unsigned n) {
    char key[32];
    snprintf(key, sizeof key, "key-%u", n);
    return lab_get(l, 0, key, NULL);
}

/* Look-ups of keys of which some are wanted much more often than others, misses stored: main would take everything, and
 * has to leave small its tenth. */
static void test_small_has_a_tenth(void **state) {
    (void)state;
    enum { LIMIT = 8 << 20, FIT = LIMIT / 240 };
    struct lab l;
    struct store_gauges g;
    struct rand r;
    rand_init(&r, 1);
    lab_open(&l, LIMIT, 0);
    for (unsigned i = 0; i < 30 * FIT; i++) {
        const unsigned most = (unsigned)rand_below(&r, 4 * FIT) + 1, n = (unsigned)rand_below(&r, most);
        if (!has_nth(&l, n)) set_nth(&l, n);
    }
    store_gauges(l.s, &g);
    assert_in_range(g.segments_small, g.segments * 8 / 100, g.segments * 12 / 100);
    lab_close(&l);
}

/* ------------------------------------------------------------------ the 100,000 of counted purges */

/* What a counted purge of one tag that so many items carry is told. */
static int64_t counted(unsigned items) {
    struct lab l;
    const uint64_t tag = 0x1234567800000001;
    char key[32];
    int64_t n = 0;
    lab_open(&l, 32 << 20, 0);
    for (unsigned i = 0; i < items; i++) {
        snprintf(key, sizeof key, "%u", i);
        assert_int_equal(lab_set(&l, 0, key, "x", &tag, 1), STORE_OK);
        if (i % 64 == 0) store_maintain(l.s);
    }
    assert_int_equal(store_metric(l.s, STORE_METRIC_evictions), 0);
    struct store_selector one = {.ntags = 1, .tags = {tag}};
    struct store_purge p = {.selectors = &one, .nselectors = 1, .counted = true};
    lab_purge_by(&l, l.w[0], &p, &n);
    lab_close(&l);
    return n;
}

static void test_purges_are_counted_to_100000(void **state) {
    (void)state;
    assert_int_equal(counted(100000), 100000);
    assert_int_equal(counted(100001), -1);
}

/* ------------------------------------------------------------------ a get that meets a softly purged item */

static struct fake_node *node;

/* The item is stored anew between the get's look and its attempt to be the one who refills it. */
static bool refill(const char *point) {
    if (node == NULL || strcmp(point, "read.found") != 0) return false;
    struct store *s = node->store;
    struct store_worker *w = maintenance(s);
    struct store_put p = {.key = store_key(s, "k", 1), .value = "new", .size = 3};
    node = NULL;
    store_enter(w);
    assert_int_equal(store_put(w, &p, NULL), STORE_OK);
    store_leave(w);
    return false;
}

static void say(struct conn *c, const char *request, const char *reply) {
    size_t n;
    fake_clear(c);
    fake_feed(c, request, strlen(request));
    const char *got = fake_output(c, &n);
    if (n != strlen(reply) || memcmp(got, reply, n) != 0) fail_msg("%s: %.*s", request, (int)n, got);
}

static void test_a_get_that_others_overtake_looks_again(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){0});
    struct conn *c = fake_open(f);
    say(c, "ms k 3 Ga\r\nold\r\nmp a I\r\n", "HD\r\nHD\r\n");
    node = f;
    fault_hook = refill;
    say(c, "get k\r\n", "VALUE k 0 3\r\nnew\r\nEND\r\n");
    assert_null(node); /* it was overtaken */
    fault_hook = NULL;
    fake_node_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_has_a_tenth),
        cmocka_unit_test(test_purges_are_counted_to_100000),
        cmocka_unit_test(test_a_get_that_others_overtake_looks_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
