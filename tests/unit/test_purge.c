/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The purge table by itself: numbers, deadlines, conjunctions and their records, floors, announcements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store_lab.h"

struct table {
    struct purge_table t;
    uint64_t next;
};

static void open_table(struct table *t, uint64_t bytes) {
    assert_int_equal(purge_init(&t->t, bytes), 0);
    t->next = 1000;
}

/* Purges at the time `now`; returns its number. `sweep` may be NULL: then it must be filed. */
static uint64_t purge(struct table *t, unsigned n, const uint64_t *tags, bool soft, uint32_t deadline, uint32_t now,
                      bool *sweep) {
    struct store_selector sel = {.all = n == 0, .ntags = n};
    bool local;
    if (n) memcpy(sel.tags, tags, n * sizeof *tags);
    pthread_mutex_lock(&t->t.lock);
    uint64_t p = purge_apply(&t->t, &t->next, &sel, soft, deadline, now, sweep ? sweep : &local);
    pthread_mutex_unlock(&t->t.lock);
    if (sweep == NULL) assert_false(local);
    assert_int_equal(t->t.seq, p);
    t->next += 10;
    return p;
}

static void swept(struct table *t, uint64_t number) {
    pthread_mutex_lock(&t->t.lock);
    purge_swept(&t->t, number, true);
    pthread_mutex_unlock(&t->t.lock);
}

static enum purge_verdict ask(struct table *t, uint64_t birth, unsigned n, const uint64_t *tags, uint32_t now) {
    uint32_t deadline = 0;
    return purge_check(&t->t, birth, tags, n, now, &deadline);
}

static uint64_t spread(uint64_t n) {
    return n * 0x9e3779b97f4a7c15ull;
}

/* A tag that shares its bucket with every other one of these. */
static uint64_t crowded(unsigned n) {
    return 0x5555555500000000ull + n;
}

static void test_numbers_decide(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t a = spread(1), b = spread(2), p = purge(&t, 1, &a, false, 0, 10, NULL);
    assert_int_equal(ask(&t, p - 1, 1, &a, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, p + 1, 1, &a, 10), PURGE_FRESH);
    assert_int_equal(ask(&t, p - 1, 1, &b, 10), PURGE_FRESH);
    assert_int_equal(ask(&t, p - 1, 2, (uint64_t[]){b, a}, 10), PURGE_DEAD);
    uint64_t q = purge(&t, 0, NULL, false, 0, 10, NULL);
    assert_int_equal(ask(&t, q - 1, 1, &b, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, q - 1, 0, NULL, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, q + 1, 1, &b, 10), PURGE_FRESH);
    uint32_t deadline;
    assert_int_equal(purge_check_untagged(&t.t, q - 1, 10, &deadline), PURGE_DEAD);
    assert_int_equal(purge_check_untagged(&t.t, q + 1, 10, &deadline), PURGE_FRESH);
    purge_fini(&t.t);
}

static void test_soft_purges_and_their_deadlines(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t a = spread(1);
    uint32_t deadline = 0;
    uint64_t p = purge(&t, 1, &a, true, 20, 10, NULL);
    assert_int_equal(purge_check(&t.t, p - 1, &a, 1, 10, &deadline), PURGE_SOFT);
    assert_int_equal(deadline, 20);
    assert_int_equal(ask(&t, p - 1, 1, &a, 20), PURGE_DEAD);
    assert_int_equal(ask(&t, p + 1, 1, &a, 20), PURGE_FRESH);
    /* Two that are not over share the earlier deadline. */
    uint64_t q = purge(&t, 1, &a, true, 50, 15, NULL);
    assert_int_equal(purge_check(&t.t, q - 1, &a, 1, 15, &deadline), PURGE_SOFT);
    assert_int_equal(deadline, 20);
    /* One that is over counts as hard, and does not shorten the next. */
    uint64_t u = purge(&t, 1, &a, true, 90, 30, NULL);
    assert_int_equal(ask(&t, q - 1, 1, &a, 30), PURGE_DEAD);
    assert_int_equal(purge_check(&t.t, u - 1, &a, 1, 30, &deadline), PURGE_SOFT);
    assert_int_equal(deadline, 90);
    /* The earliest of several tags' deadlines counts. */
    uint64_t b = spread(2), both[2] = {a, b}, v = purge(&t, 1, &b, true, 60, 30, NULL);
    assert_int_equal(purge_check(&t.t, u - 1, both, 2, 30, &deadline), PURGE_SOFT);
    assert_int_equal(deadline, 60);
    /* A hard one ends it, a later soft one of everything joins. */
    uint64_t w = purge(&t, 1, &a, false, 0, 31, NULL);
    assert_int_equal(ask(&t, u - 1, 1, &a, 31), PURGE_DEAD);
    purge(&t, 0, NULL, true, 40, 31, NULL);
    assert_int_equal(purge_check(&t.t, w + 1, &a, 1, 31, &deadline), PURGE_SOFT);
    assert_int_equal(deadline, 40);
    assert_true(v < w);
    purge_fini(&t.t);
}

static void test_conjunctions(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 18);
    uint64_t g[6];
    for (unsigned i = 0; i < 6; i++) g[i] = spread(i + 1);
    uint64_t p = purge(&t, 2, (uint64_t[]){g[1], g[0]}, false, 0, 10, NULL);
    assert_int_equal(ask(&t, p - 1, 1, &g[0], 10), PURGE_FRESH);
    assert_int_equal(ask(&t, p - 1, 2, (uint64_t[]){g[0], g[2]}, 10), PURGE_FRESH);
    assert_int_equal(ask(&t, p - 1, 2, g, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, p - 1, 6, g, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, p + 1, 6, g, 10), PURGE_FRESH);
    uint64_t q = purge(&t, 4, (uint64_t[]){g[5], g[2], g[4], g[2]}, true, 30, 10, NULL); /* a repeat does not matter */
    assert_int_equal(ask(&t, q - 1, 2, (uint64_t[]){g[2], g[5]}, 10), PURGE_FRESH);
    assert_int_equal(ask(&t, q - 1, 3, (uint64_t[]){g[4], g[2], g[5]}, 10), PURGE_SOFT);
    assert_int_equal(ask(&t, q - 1, 4, (uint64_t[]){g[4], g[2], g[3], g[5]}, 10), PURGE_SOFT);
    assert_int_equal(ask(&t, q - 1, 3, (uint64_t[]){g[4], g[2], g[5]}, 30), PURGE_DEAD);
    assert_int_equal(ask(&t, q + 1, 3, (uint64_t[]){g[4], g[2], g[5]}, 30), PURGE_FRESH);
    purge_fini(&t.t);
}

/* Any subset of a tag set is found again by what carries all of it, and by nothing else. */
static void test_conjunctions_against_a_list(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 20);
    uint64_t g[8], last[256] = {0};
    for (unsigned i = 0; i < 8; i++) g[i] = spread(i + 100);
    srand(3);
    for (unsigned op = 0; op < 3000; op++) {
        unsigned mask = (unsigned)rand() % 256, n = 0;
        uint64_t tags[8];
        for (unsigned i = 0; i < 8; i++)
            if (mask >> i & 1) tags[n++] = g[i];
        if (rand() % 3 == 0 && n > 0) {
            bool sweep;
            uint64_t p = purge(&t, n, tags, false, 0, 10, &sweep);
            if (!sweep) last[mask] = p;
            if (rand() % 8 == 0) swept(&t, t.t.seq), memset(last, 0, sizeof last);
            continue;
        }
        uint64_t birth = t.t.swept > t.next - 300 ? t.t.swept : t.next - 300, dead = 0;
        birth += (uint64_t)rand() % (t.next - birth + 1);
        for (unsigned m = 1; m < 256; m++)
            if ((m & mask) == m && last[m] > birth) dead = 1;
        assert_int_equal(ask(&t, birth, n, tags, 10), dead ? PURGE_DEAD : PURGE_FRESH);
    }
    purge_fini(&t.t);
}

static void test_records_run_out(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 18);
    bool sweep;
    uint64_t lo = spread(1), hi = spread(2), p = 0;
    if (lo > hi) {
        uint64_t x = lo;
        lo = hi;
        hi = x;
    }
    for (unsigned i = 0; i < PURGE_SET; i++) p = purge(&t, 3, (uint64_t[]){lo, hi, UINT64_MAX - i}, false, 0, 10, NULL);
    purge(&t, 3, (uint64_t[]){lo, hi, UINT64_MAX - 100}, false, 0, 10, &sweep);
    assert_true(sweep);
    /* One that is filed merges with itself. */
    purge(&t, 3, (uint64_t[]){lo, hi, UINT64_MAX}, false, 0, 10, NULL);
    /* What a sweep has carried out makes room. */
    swept(&t, p);
    purge(&t, 3, (uint64_t[]){lo, hi, UINT64_MAX - 101}, false, 0, 10, NULL);
    /* Wider than a record. */
    uint64_t wide[PURGE_RECORD_TAGS + 1];
    for (unsigned i = 0; i < PURGE_RECORD_TAGS + 1; i++) wide[i] = spread(i + 50);
    uint64_t w = purge(&t, PURGE_RECORD_TAGS + 1, wide, false, 0, 10, &sweep);
    assert_true(sweep);
    /* Nothing in the table says so, so every fill of a tagged item that began before is refused. */
    uint64_t other = spread(999);
    assert_true(purge_overtook(&t.t, w - 1, &other, 1, NULL, 0));
    assert_false(purge_overtook(&t.t, w - 1, NULL, 0, NULL, 0));
    assert_false(purge_overtook(&t.t, w, &other, 1, NULL, 0));
    assert_int_equal(t.t.unfiled, w);
    swept(&t, w);
    assert_int_equal(t.t.unfiled, 0);
    purge_fini(&t.t);
}

static void test_floors(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t numbers[PURGE_WAYS + 2], far = spread(77);
    for (unsigned i = 0; i < PURGE_WAYS + 1; i++) {
        uint64_t tag = crowded(i);
        numbers[i] = purge(&t, 1, &tag, false, 0, 10, NULL);
    }
    /* The first was let go of before any sweep: what is older dies with it, what is younger does not. */
    uint64_t first = crowded(0), stranger = crowded(1000);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &first, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &stranger, 10), PURGE_DEAD);
    assert_int_equal(ask(&t, numbers[0], 1, &first, 10), PURGE_FRESH);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &far, 10), PURGE_FRESH);
    assert_int_equal(t.t.floors, 1);
    assert_int_equal(t.t.entries, PURGE_WAYS);
    /* The next one is let go of after a sweep: only fills are refused. */
    swept(&t, t.t.seq);
    uint64_t tag = crowded(50), second = crowded(1);
    purge(&t, 1, &tag, false, 0, 10, NULL);
    assert_int_equal(ask(&t, numbers[1] - 1, 1, &second, 10), PURGE_FRESH);
    assert_true(purge_overtook(&t.t, numbers[1] - 1, &second, 1, NULL, 0));
    assert_false(purge_overtook(&t.t, numbers[1] - 1, &second, 1, &second, 1)); /* carried: it has proved it */
    assert_true(purge_overtook(&t.t, numbers[1] - 1, (uint64_t[]){second, stranger}, 2, &second, 1));
    assert_false(purge_overtook(&t.t, numbers[1], &second, 1, NULL, 0));
    assert_false(purge_overtook(&t.t, numbers[1] - 1, &far, 1, NULL, 0));
    purge_fini(&t.t);
}

/* Between announcement and number: readers see nothing yet, guarded stores are refused. */
struct pending {
    struct table *t;
    uint64_t *tags;
    unsigned n;
    unsigned seen;
};

static void while_pending(void *arg) {
    struct pending *p = arg;
    uint64_t other = spread(4242);
    assert_true(purge_overtook(&p->t->t, p->t->next, p->tags, p->n ? p->n : 1, NULL, 0));
    if (p->n != 0 && p->n <= PURGE_RECORD_TAGS) assert_false(purge_overtook(&p->t->t, p->t->next, &other, 1, NULL, 0));
    assert_int_equal(ask(p->t, 10, p->n ? p->n : 1, p->tags, 10), PURGE_FRESH);
    p->seen++;
}

static void test_announcements(void **state) {
    (void)state;
    uint64_t tags[PURGE_RECORD_TAGS + 1];
    for (unsigned i = 0; i < PURGE_RECORD_TAGS + 1; i++) tags[i] = spread(i + 1);
    static const unsigned counts[] = {0, 1, 2, 3, PURGE_RECORD_TAGS, PURGE_RECORD_TAGS + 1};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct table t;
        bool sweep;
        open_table(&t, 1 << 18);
        struct pending p = {.t = &t, .tags = tags, .n = counts[i]};
        lab_at("purge.numbered", while_pending, &p);
        uint64_t number = purge(&t, counts[i], tags, false, 0, 10, &sweep);
        lab_at(NULL, NULL, NULL);
        assert_int_equal(p.seen, 1);
        assert_true(purge_overtook(&t.t, number - 1, tags, counts[i] ? counts[i] : 1, NULL, 0));
        assert_false(purge_overtook(&t.t, number, tags, counts[i] ? counts[i] : 1, NULL, 0));
        purge_fini(&t.t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_decide),  cmocka_unit_test(test_soft_purges_and_their_deadlines),
        cmocka_unit_test(test_conjunctions),    cmocka_unit_test(test_conjunctions_against_a_list),
        cmocka_unit_test(test_records_run_out), cmocka_unit_test(test_floors),
        cmocka_unit_test(test_announcements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
