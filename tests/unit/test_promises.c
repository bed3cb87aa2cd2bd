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
#include "cmd/cmd_auth.h"
#include "cmd/cmd_watch.h"
#include "net/net.h"
#include "proto/keytags.h"
#include "proto/meta.h"
#include "slow.h"
#include "store_lab.h"
#include "tests/fuzz/fake_net.h"

/* ------------------------------------------------------------------ small's tenth */

/* Look-ups of keys of which some are wanted much more often than others, misses stored: main would take everything, and
 * has to leave small its tenth. */
static void test_small_has_a_tenth(void **state) {
    (void)state;
    enum { LIMIT = 8 << 20, FIT = LIMIT / 240 };
    struct lab l;
    struct store_gauges g;
    struct rand r;
    if (TEST_SLOW) skip(); /* statistics */
    rand_init(&r, 1);
    lab_open(&l, LIMIT, 0);
    for (unsigned i = 0; i < 30 * FIT; i++) {
        const unsigned most = (unsigned)rand_below(&r, 4 * FIT) + 1, n = (unsigned)rand_below(&r, most);
        if (!lab_has_nth(&l, n)) lab_set_nth(&l, n, 200);
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

/* ------------------------------------------------------------------ pinned segments */

/* A value of each segment is pinned until no more may be: an eighth of them, and the one that makes it more. */
static void test_an_eighth_may_be_pinned(void **state) {
    enum { LIMIT = 16 << 20, FIT = LIMIT / 240 };
    static uint64_t pins[FIT];
    struct lab l;
    struct store_gauges g;
    unsigned n = 0;
    bool refused = false;
    (void)state;
    lab_open(&l, LIMIT, 0);
    for (unsigned i = 0; i < FIT; i++) lab_set_nth(&l, i, 200);
    store_enter(l.w[0]);
    for (unsigned i = 0; i < FIT && !refused; i++) {
        char key[32];
        struct store_item it;
        const struct store_key k = store_key(l.s, key, (size_t)snprintf(key, sizeof key, "key-%u", i));
        if (!store_peek(l.w[0], &k, &it)) continue;
        const uint64_t pin = store_pin(l.w[0], it.value);
        refused = pin == 0;
        if (!refused) pins[n++] = pin;
    }
    store_leave(l.w[0]);
    assert_true(refused);
    store_gauges(l.s, &g);
    assert_int_equal(g.segments_pinned, l.s->segs.limit / 8 + 1);
    while (n > 0) store_unpin(l.w[0], pins[--n]);
    lab_close(&l);
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

/* ------------------------------------------------------------------ where a block waits */

/* How many blocks of a size are received into the store's memory, of which the beginning has come. */
static uint64_t uploads_of(unsigned bytes) {
    struct fake_node *f = fake_node_new(&(struct fake_options){.memory = 64 << 20});
    struct conn *c = fake_open(f);
    struct store_gauges g;
    char begin[64];
    int n = snprintf(begin, sizeof begin, "set k 0 0 %u\r\nabc", bytes);
    fake_feed(c, begin, (size_t)n);
    store_gauges(f->store, &g);
    fake_node_free(f);
    return g.uploads;
}

static void test_blocks_to_16k_wait_in_the_buffer(void **state) {
    (void)state;
    assert_int_equal(uploads_of(16 * 1024 - 1), 0);
    assert_int_equal(uploads_of(16 * 1024 + 1), 1);
}

/* ------------------------------------------------------------------ as they are written down */

/* Other tests see to it that these bounds are kept, but name them as the code does: here is what README.md and
 * PROTOCOL.md promise. */
static void test_bounds_are_as_promised(void **state) {
    static const struct {
        const char *name;
        long long is, promised;
    } bounds[] = {
        {"bytes of a key", STORE_KEY_MAX, 250},
        {"bytes of a tag", STORE_TAG_MAX, 200},
        {"bytes of a tag in a suffix", KEYTAGS_TAG_MAX, 200},
        {"tags of an item", STORE_TAGS_MAX, 128},
        {"tags that a reader names", STORE_READ_TAGS_MAX, 64},
        {"tags of a selector", STORE_SELECTOR_TAGS_MAX, 64},
        {"selectors of a purge", STORE_SELECTORS_MAX, 64},
        {"tags of a selector in a suffix", KEYTAGS_SELECTOR_MAX, 64},
        {"selectors in a suffix", KEYTAGS_SELECTORS_MAX, 64},
        {"seconds that a softly purged item is served", STORE_SOFT_TTL_S, 60},
        {"seconds of a relative time to live", STORE_RELATIVE_TTL_MAX_S, 30LL * 24 * 3600},
        {"bytes of an opaque", META_OPAQUE_MAX, 31},
        {"watchers", WATCH_MAX, 20},
        {"lines of a password file", AUTH_USERS_MAX, 256},
        {"bytes that all connections hold, at least", NET_HELD_DEFAULT, 16 << 20},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++)
        if (bounds[i].is != bounds[i].promised)
            fail_msg("%s: %lld, not %lld", bounds[i].name, bounds[i].is, bounds[i].promised);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_has_a_tenth),
        cmocka_unit_test(test_purges_are_counted_to_100000),
        cmocka_unit_test(test_an_eighth_may_be_pinned),
        cmocka_unit_test(test_a_get_that_others_overtake_looks_again),
        cmocka_unit_test(test_blocks_to_16k_wait_in_the_buffer),
        cmocka_unit_test(test_bounds_are_as_promised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
