/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The difference of two rings against the owners of single points in both. */
#include "cluster/ringdiff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

#define MOST 10

static struct ring *make(const struct ring_member *m, unsigned n) {
    struct ring *r = NULL;
    assert_int_equal(ring_new(1, m, n, &r), 0);
    return r;
}

static struct ringdiff *compare(const struct ring *a, const struct ring *b) {
    struct ringdiff *d = NULL;
    assert_int_equal(ringdiff_new(a, b, &d), 0);
    return d;
}

static void name_member(struct ring_member *m, unsigned i) {
    char name[32];
    snprintf(name, sizeof name, "node%u:11211", i);
    assert_true(ring_member_read(name, m));
}

/* The arc that a point is in, or NULL. */
static const struct ringdiff_arc *arc_of(const struct ringdiff *d, uint32_t p) {
    for (unsigned i = 0; i < d->n; i++)
        if (d->arcs[i].first <= p && p <= d->arcs[i].last) return &d->arcs[i];
    return NULL;
}

static void check_point(const struct ring *a, const struct ring *b, const struct ringdiff *d, uint32_t p) {
    unsigned from = ring_owner(a, p), to = ring_owner(b, p);
    const struct ringdiff_arc *arc = arc_of(d, p);
    if (cluster_id_equal(&ring_member(a, from)->id, &ring_member(b, to)->id)) {
        assert_null(arc);
    } else {
        assert_non_null(arc);
        assert_int_equal(arc->from, from);
        assert_int_equal(arc->to, to);
    }
}

/* Sums over all arcs; each member's loss and gain explain its shares before and after. */
static void check_sums(const struct ring *a, const struct ring *b, const struct ringdiff *d) {
    uint64_t moved = 0, staying = 0;
    for (unsigned i = 0; i < d->n; i++) {
        uint64_t points = (uint64_t)d->arcs[i].last + 1 - d->arcs[i].first;
        moved += points;
        if (i) assert_true(d->arcs[i].first > d->arcs[i - 1].last);
        if (ring_find(b, &ring_member(a, d->arcs[i].from)->id) != RING_NONE &&
            ring_find(a, &ring_member(b, d->arcs[i].to)->id) != RING_NONE)
            staying += points;
    }
    assert_int_equal(moved, d->moved);
    assert_int_equal(staying, d->moved_between_staying);
    assert_int_equal(ringdiff_points(d, RING_NONE, RING_NONE), moved);
    for (unsigned i = 0; i < ring_nmembers(a); i++) {
        unsigned now = ring_find(b, &ring_member(a, i)->id);
        uint64_t lost = ringdiff_points(d, i, RING_NONE), part = 0;
        for (unsigned j = 0; j < ring_nmembers(b); j++) part += ringdiff_points(d, i, j);
        assert_int_equal(part, lost);
        uint64_t gained = now == RING_NONE ? 0 : ringdiff_points(d, RING_NONE, now);
        assert_int_equal(ring_share(a, i) - lost + gained, now == RING_NONE ? 0 : ring_share(b, now));
    }
}

static void test_random_changes(void **state) {
    (void)state;
    struct rand rnd;
    rand_init(&rnd, 1);
    for (unsigned round = 0; round < 100; round++) {
        struct ring_member m[2][MOST];
        unsigned n[2] = {0, 0};
        for (unsigned i = 0; i < MOST; i++) {
            for (unsigned side = 0; side < 2; side++) {
                if (rand_below(&rnd, 3) == 0) continue;
                name_member(&m[side][n[side]], i);
                if (round % 2) m[side][n[side]].weight = 1 + (uint32_t)rand_below(&rnd, 5);
                n[side]++;
            }
        }
        if (!n[0]) name_member(&m[0][n[0]++], 0);
        if (!n[1]) name_member(&m[1][n[1]++], 1);
        struct ring *a = make(m[0], n[0]), *b = make(m[1], n[1]);
        struct ringdiff *d = compare(a, b);
        for (unsigned i = 0; i < 40; i++) check_point(a, b, d, (uint32_t)rand_next(&rnd));
        for (unsigned i = 0; i < 20 && d->n; i++) {
            const struct ringdiff_arc *arc = &d->arcs[rand_below(&rnd, d->n)];
            check_point(a, b, d, i % 2 ? arc->first : arc->last);
            check_point(a, b, d, i % 2 ? arc->first - 1 : arc->last + 1);
        }
        check_point(a, b, d, 0);
        check_point(a, b, d, UINT32_MAX);
        check_sums(a, b, d);
        ringdiff_free(d);
        ring_free(a);
        ring_free(b);
    }
}

static void test_no_change(void **state) {
    (void)state;
    struct ring_member m[2];
    name_member(&m[0], 0);
    name_member(&m[1], 1);
    struct ring *a = make(m, 2), *b = make(m, 2);
    struct ringdiff *d = compare(a, b);
    assert_int_equal(d->n, 0);
    assert_int_equal(d->moved, 0);
    ringdiff_free(d);
    ring_free(b);
    m[1].id.bytes[0] ^= 1; /* another node under the same name: all of its keys change hands */
    b = make(m, 2);
    d = compare(a, b);
    assert_int_equal(d->moved, ring_share(a, 1));
    assert_int_equal(d->moved_between_staying, 0);
    ringdiff_free(d);
    ring_free(a);
    ring_free(b);
}

/* From 99 to 100 nodes each has 156 points instead of 160: 3.6 % of the keys move, 2.6 % between nodes that stay. */
static void test_99_to_100(void **state) {
    (void)state;
    static struct ring_member m[100];
    for (unsigned i = 0; i < 100; i++) name_member(&m[i], i);
    struct ring *a = make(m, 99), *b = make(m, 100);
    struct ringdiff *d = compare(a, b);
    double percent = 100.0 * (double)d->moved / (double)RING_CIRCLE;
    double staying = 100.0 * (double)d->moved_between_staying / (double)RING_CIRCLE;
    assert_true(percent > 3.2 && percent < 4.0);
    assert_true(staying > 2.3 && staying < 2.9);
    ringdiff_free(d);
    ring_free(a);
    ring_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_no_change),
        cmocka_unit_test(test_99_to_100),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
