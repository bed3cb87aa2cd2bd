/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The ring against libmemcached itself: random clusters with mixed ports, IPv6 addresses and weights so uneven that
 * some servers have no point, and sizes at which the number of points changes. No connection is made. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libmemcached/memcached.h>

#include "base/md5.h"
#include "base/rand.h"
#include "cluster/ring.h"

#define MOST 100 /* more servers than that, libmemcached 1.1 does not take */
#define KEYS 40

static void compare(struct rand *rnd, const struct ring_member *m, unsigned n) {
    struct ring *r = NULL;
    memcached_st *mc = memcached_create(NULL);
    assert_non_null(mc);
    assert_int_equal(memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1), MEMCACHED_SUCCESS);
    memcached_server_st *list = NULL;
    for (unsigned i = 0; i < n; i++) {
        memcached_return_t rc;
        list = memcached_server_list_append_with_weight(list, m[i].host, m[i].port, m[i].weight, &rc);
        assert_int_equal(rc, MEMCACHED_SUCCESS);
    }
    assert_int_equal(memcached_server_push(mc, list), MEMCACHED_SUCCESS);
    memcached_server_list_free(list);
    assert_int_equal(ring_new(1, m, n, &r), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[64];
        int len = snprintf(key, sizeof key, "key:%llu", (unsigned long long)rand_next(rnd));
        assert_int_equal(ring_owner(r, md5_first_of_one(key, (size_t)len)),
                         memcached_generate_hash(mc, key, (size_t)len));
    }
    ring_free(r);
    memcached_free(mc);
}

static void name_member(struct rand *rnd, struct ring_member *m, unsigned i) {
    char name[64];
    unsigned port = rand_below(rnd, 2) ? 11211 : 1 + (unsigned)rand_below(rnd, 65535);
    snprintf(name, sizeof name, rand_below(rnd, 4) ? "10.0.%u.9:%u" : "[fd00::%x]:%u", i, port);
    assert_true(ring_member_read(name, m));
}

static void test_random_clusters(void **state) {
    (void)state;
    static struct ring_member m[MOST];
    struct rand rnd;
    rand_init(&rnd, 1);
    for (unsigned round = 0; round < 100; round++) {
        unsigned n = 1 + (unsigned)rand_below(&rnd, 12);
        for (unsigned i = 0; i < n; i++) {
            name_member(&rnd, &m[i], i);
            m[i].weight = (uint32_t)rand_below(&rnd, 1000) >> rand_below(&rnd, round % 4 * 3 + 1);
        }
        compare(&rnd, m, n);
    }
}

static void test_sizes(void **state) {
    (void)state;
    static const unsigned sizes[] = {1, 2, 3, 24, 25, 26, 47, 50, 55, 61, 71, 94, 99, 100};
    static struct ring_member m[MOST];
    struct rand rnd;
    rand_init(&rnd, 2);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned j = 0; j < sizes[i]; j++) name_member(&rnd, &m[j], j);
        compare(&rnd, m, sizes[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_clusters),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
