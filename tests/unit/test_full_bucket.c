/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The thread that makes the index grow may get no processor while others fill the memory with small items. Who then
 * finds a key's bucket full waits until the index has grown, as for a segment; and is refused only where it is not to
 * grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/index.h"
#include "store_lab.h"

#define LIMIT (8u << 20)
#define BUCKET_MOST (INDEX_SLOTS + INDEX_OVERFLOW_MAX)

struct named {
    char text[24];
    struct store_key key;
};

static struct named name(struct lab *l, unsigned i) {
    struct named n;
    const int len = snprintf(n.text, sizeof n.text, "%u", i);
    n.key = store_key(l->s, n.text, (size_t)len);
    return n;
}

static struct store_put put_of(const struct named *n) {
    struct store_put p = {.value = "1", .size = 1};
    p.key = n->key;
    p.key.p = n->text;
    return p;
}

static enum store_status put_nth(struct lab *l, unsigned i) {
    const struct named n = name(l, i);
    struct store_put p = put_of(&n);
    return lab_put(l, 0, &p);
}

static void count_room(void *arg) {
    ++*(unsigned *)arg;
}

static void open_counting(struct lab *l, unsigned *told) {
    lab_open(l, LIMIT, 0);
    *told = 0;
    l->s->cfg.events.on_room = count_room;
    l->s->cfg.events.arg = told;
}

/* Stores new keys, the maintenance thread standing still, until one is not stored. Returns its number. */
static unsigned fill(struct lab *l, enum store_status *st) {
    unsigned i = 0;
    while ((*st = put_nth(l, i)) == STORE_OK) i++;
    return i;
}

static void test_a_full_bucket_waits_for_the_index_to_grow(void **state) {
    struct lab l;
    unsigned told;
    enum store_status st;
    (void)state;
    open_counting(&l, &told);
    const uint64_t groups = l.s->ix.groups;
    const unsigned n = fill(&l, &st);
    assert_true(segment_available(&l.s->segs) > l.s->segs.limit / 2); /* it was not the memory that was full */
    assert_int_equal(st, STORE_AGAIN);
    assert_int_equal(put_nth(&l, 0), STORE_OK); /* a key that has its slot needs none */
    assert_true(l.s->thread.woken);
    store_maintain(l.s);
    assert_true(l.s->ix.groups > groups);
    assert_int_equal(told, 1);
    while (put_nth(&l, n) == STORE_AGAIN) store_maintain(l.s);
    for (unsigned i = 0; i <= n; i++) assert_true(lab_get(&l, 0, name(&l, i).text, NULL));
    lab_close(&l);
}

/* Nothing may be evicted, but nothing has to be: the memory is not full. */
static void test_it_waits_with_eviction_off_too(void **state) {
    struct lab l;
    enum store_status st;
    (void)state;
    lab_open(&l, LIMIT, 0);
    l.s->cfg.evict = false;
    const unsigned n = fill(&l, &st);
    assert_int_equal(st, STORE_AGAIN);
    while ((st = put_nth(&l, n)) == STORE_AGAIN) store_maintain(l.s);
    assert_int_equal(st, STORE_OK);
    lab_close(&l);
}

static void test_refused_at_once_without_the_rule(void **state) {
    struct lab l;
    enum store_status st;
    (void)state;
    lab_open(&l, LIMIT, 0);
    lab_mutate("change.mutate.never_wait");
    (void)fill(&l, &st);
    assert_int_equal(st, STORE_NO_MEMORY);
    lab_close(&l);
}

/* Everything that stores a new key: all wait, none leaves anything behind. */
static void test_every_way_to_store_a_new_key_waits(void **state) {
    static char large[100000];
    struct lab l;
    enum store_status st;
    uint64_t number;
    bool created;
    enum store_win win;
    uint32_t old_expiry;
    (void)state;
    lab_open(&l, LIMIT, 0);
    const struct named n = name(&l, fill(&l, &st));
    struct store_put p = put_of(&n);
    for (unsigned mode = STORE_SET; mode <= STORE_PREPEND; mode++) {
        p.mode = (enum store_mode)mode;
        p.vivify = true;
        if (mode != STORE_REPLACE) assert_int_equal(lab_put(&l, 0, &p), STORE_AGAIN);
    }
    p = put_of(&n);
    p.upload = lab_upload(&l, 0, large, sizeof large);
    p.size = sizeof large;
    assert_true(index_bucket_full(index_bucket(&l.s->ix, n.key.hash)));
    assert_int_equal(lab_put(&l, 0, &p), STORE_AGAIN);
    struct store_arith a = {.key = p.key, .vivify = true, .initial = 5};
    struct store_meta_get g = {.key = p.key, .vivify = true};
    struct store_receive r = {.put = put_of(&n), .since = store_number(l.s)};
    store_enter(l.w[0]);
    assert_int_equal(store_arith(l.w[0], &a, &number, &created, NULL), STORE_AGAIN);
    assert_int_equal(store_meta_get(l.w[0], &g, NULL, &win, &created, &old_expiry), STORE_AGAIN);
    assert_int_equal(store_receive(l.w[0], &r), STORE_RECEIVE_AGAIN);
    store_leave(l.w[0]);
    while ((st = lab_put(&l, 0, &p)) == STORE_AGAIN) store_maintain(l.s);
    assert_int_equal(st, STORE_OK);
    lab_close(&l);
}

/* Whether key i belongs to the bucket of key 0, when the index is so many times as large as it begins. */
static bool same_bucket(struct lab *l, unsigned i, uint64_t times) {
    const uint64_t buckets = INDEX_BUCKETS * l->s->ix.min_groups * times;
    return ((name(l, i).key.hash ^ name(l, 0).key.hash) & (buckets - 1)) == 0;
}

/* The first key from i on that belongs there, also when the index has grown eightfold. */
static unsigned next_of_bucket(struct lab *l, unsigned i) {
    while (!same_bucket(l, i, 8)) i++;
    return i;
}

/* A bucket is full, and there are so few items that the index is not to grow. */
static void test_a_flooded_bucket_is_refused(void **state) {
    struct lab l;
    unsigned told, i = 0;
    (void)state;
    open_counting(&l, &told);
    for (unsigned n = 0; n < BUCKET_MOST; n++, i = next_of_bucket(&l, i + 1))
        assert_int_equal(put_nth(&l, i), STORE_OK);
    l.s->thread.woken = false;
    assert_int_equal(put_nth(&l, i), STORE_NO_MEMORY);
    assert_false(l.s->thread.woken);
    /* Other buckets are not concerned; and while the index is to grow, this one is waited for as any other. */
    for (unsigned k = 10000000; !index_to_grow(&l.s->ix, k - 10000000); k++)
        if (!same_bucket(&l, k, 1)) assert_int_equal(put_nth(&l, k), STORE_OK);
    assert_int_equal(put_nth(&l, i), STORE_AGAIN);
    while (put_nth(&l, i) == STORE_AGAIN) store_maintain(l.s);
    assert_true(told > 0);
    assert_int_equal(put_nth(&l, i), STORE_NO_MEMORY); /* it has grown, and the bucket is full still */
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_bucket_waits_for_the_index_to_grow),
        cmocka_unit_test(test_it_waits_with_eviction_off_too),
        cmocka_unit_test(test_refused_at_once_without_the_rule),
        cmocka_unit_test(test_every_way_to_store_a_new_key_waits),
        cmocka_unit_test(test_a_flooded_bucket_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
