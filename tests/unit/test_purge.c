/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The purge table by itself: numbers, deadlines, conjunctions and their records, floors, announcements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "store/purge.h"
#include "store_lab.h"

struct table {
    struct purge_table t;
    uint64_t next;
};

static void open_table(struct table *t, uint64_t bytes) {
    assert_int_equal(purge_init(&t->t, bytes), 0);
    t->next = 1000;
}

/* Purges at the time `now`; returns its number, or 0: no room. `sweep` may be NULL: then it must be filed. */
static uint64_t purge_list(struct table *t, unsigned nsel, const struct store_selector *sel, bool soft,
                           uint32_t deadline, uint32_t now, bool *sweep) {
    struct purge_plan plan;
    uint64_t p = 0;
    pthread_mutex_lock(&t->t.lock);
    bool room = purge_prepare(&t->t, sel, nsel, &plan);
    if (room) p = purge_commit(&t->t, &t->next, &plan, soft, deadline, now, NULL);
    pthread_mutex_unlock(&t->t.lock);
    if (!room) return 0;
    if (sweep) *sweep = plan.sweep;
    if (sweep == NULL) assert_false(plan.sweep);
    assert_int_equal(t->t.seq, p);
    t->next += 10;
    return p;
}

static void swept(struct table *t, uint64_t number) {
    pthread_mutex_lock(&t->t.lock);
    purge_swept(&t->t, number, true);
    pthread_mutex_unlock(&t->t.lock);
}

static uint64_t purge(struct table *t, unsigned n, const uint64_t *tags, bool soft, uint32_t deadline, uint32_t now,
                      bool *sweep) {
    struct store_selector sel = {.all = n == 0, .ntags = n};
    if (n) memcpy(sel.tags, tags, n * sizeof *tags);
    return purge_list(t, 1, &sel, soft, deadline, now, sweep);
}

/* What a whole pass does to the table. */
static void pass(struct table *t) {
    uint64_t number = purge_pass(&t->t);
    purge_filter_clear(&t->t);
    swept(t, number);
}

static enum purge_verdict ask(struct table *t, uint64_t version, unsigned n, const uint64_t *tags, uint32_t now) {
    uint32_t deadline = 0;
    return purge_check(&t->t, version, tags, n, now, &deadline);
}

static uint64_t spread(uint64_t n) {
    return n * 0x9e3779b97f4a7c15ull;
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

/* Whether a reader may skip the look at everything. */
static bool unknown(struct table *t, uint64_t version, unsigned n, const uint64_t *tags) {
    return purge_unknown(&t->t, version, (const uint8_t *)tags, n);
}

static void test_everything_that_has_a_tag(void **state) {
    (void)state;
    struct table t;
    uint64_t tags[2] = {spread(1), spread(2)};
    uint32_t deadline;
    open_table(&t, 1 << 16);
    assert_true(unknown(&t, 999, 2, tags));
    pthread_mutex_lock(&t.t.lock);
    const uint64_t p = purge_commit_tagged(&t.t, &t.next);
    pthread_mutex_unlock(&t.t.lock);
    assert_int_equal(t.t.seq, p);
    for (unsigned n = 1; n <= 2; n++) {
        assert_int_equal(ask(&t, p - 1, n, tags, 10), PURGE_DEAD);
        assert_int_equal(ask(&t, p + 1, n, tags, 10), PURGE_FRESH);
        assert_false(unknown(&t, p - 1, n, tags));
        assert_true(unknown(&t, p + 1, n, tags));
    }
    assert_int_equal(ask(&t, p - 1, 0, NULL, 10), PURGE_FRESH);
    assert_int_equal(purge_check_untagged(&t.t, p - 1, 10, &deadline), PURGE_FRESH);
    /* Who names a tag counts as tagged, reading and filling. */
    assert_int_equal(purge_check_read(&t.t, p - 1, p - 1, tags, 0, 1, 10, &deadline), PURGE_DEAD);
    assert_int_equal(purge_check_read(&t.t, p - 1, p - 1, tags, 0, 0, 10, &deadline), PURGE_FRESH);
    assert_int_equal(purge_check_read(&t.t, p + 1, p + 1, tags, 0, 1, 10, &deadline), PURGE_FRESH);
    assert_int_equal(purge_check_read(&t.t, p + 1, 0, tags, 0, 1, 10, &deadline), PURGE_DEAD);
    assert_int_equal(purge_check_read(&t.t, p + 1, 0, tags, 1, 1, 10, &deadline), PURGE_FRESH);
    assert_true(purge_overtook(&t.t, p - 1, tags, 1, NULL, 0));
    assert_true(purge_overtook(&t.t, p - 1, tags, 1, tags, 1));
    assert_false(purge_overtook(&t.t, p - 1, tags, 0, NULL, 0));
    assert_false(purge_overtook(&t.t, p + 1, tags, 1, NULL, 0));
    /* Announced, it counts for fills alone. */
    t.t.tagged |= PURGE_PENDING;
    assert_true(purge_overtook(&t.t, p + 1, tags, 1, NULL, 0));
    assert_int_equal(ask(&t, p + 1, 1, tags, 10), PURGE_FRESH);
    purge_fini(&t.t);
}

static void test_a_purge_of_everything_is_looked_for(void **state) {
    (void)state;
    struct table t;
    uint64_t tag = spread(1);
    open_table(&t, 1 << 16);
    for (unsigned soft = 0; soft < 2; soft++) {
        const uint64_t p = purge(&t, 0, NULL, soft, 20, 10, NULL);
        assert_false(unknown(&t, p - 1, 1, &tag));
        assert_true(unknown(&t, p + 1, 1, &tag));
    }
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
        uint64_t version = t.t.swept > t.next - 300 ? t.t.swept : t.next - 300, dead = 0;
        version += (uint64_t)rand() % (t.next - version + 1);
        for (unsigned m = 1; m < 256; m++)
            if ((m & mask) == m && last[m] > version) dead = 1;
        assert_int_equal(ask(&t, version, n, tags, 10), dead ? PURGE_DEAD : PURGE_FRESH);
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

/* Fills both buckets of `crowded`; returns how many purges that took. */
static unsigned fill(struct table *t, uint64_t tag, uint64_t *tags, uint64_t *numbers) {
    for (unsigned i = 0;; i++) {
        tags[i] = i ? lab_neighbour(&t->t, tag, i - 1) : tag;
        numbers[i] = purge(t, 1, &tags[i], false, 0, 10, NULL);
        if (numbers[i] == 0) return i;
    }
}

/* A purge without a place changes nothing; after a pass of the sweeper there is one, and only fills are refused. */
static void test_a_full_table_waits_for_a_sweep(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t tags[40], numbers[40], far = spread(77), seq, next, entries, stranger;
    unsigned n = fill(&t, spread(5), tags, numbers);
    assert_int_equal(n, 2 * PURGE_WAYS);
    seq = t.t.seq, next = t.next, entries = t.t.entries;
    stranger = lab_neighbour(&t.t, tags[0], 30);
    assert_int_equal(purge(&t, 1, &tags[n], false, 0, 10, NULL), 0);
    assert_int_equal(purge_list(&t, 2,
                                (struct store_selector[]){{.ntags = 1, .tags = {far}}, {.ntags = 1, .tags = {tags[n]}}},
                                false, 0, 10, NULL),
                     0);
    assert_int_equal(t.t.seq, seq);
    assert_int_equal(t.next, next);
    assert_int_equal(t.t.entries, entries + 1); /* far's place, with no number */
    assert_int_equal(ask(&t, seq, 2, (uint64_t[]){tags[n], far}, 10), PURGE_FRESH);
    assert_false(purge_overtook(&t.t, seq, (uint64_t[]){tags[n], far}, 2, NULL, 0));
    for (unsigned i = 0; i < n; i++) assert_int_equal(ask(&t, numbers[i] - 1, 1, &tags[i], 10), PURGE_DEAD);
    pass(&t);
    assert_true(purge(&t, 1, &tags[n], false, 0, 10, NULL) > seq);
    /* The oldest went: it kills nothing, but it refuses the fills that it would have refused. */
    assert_int_equal(t.t.floors, 0);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &tags[0], 10), PURGE_FRESH);
    assert_true(purge_overtook(&t.t, numbers[0] - 1, &tags[0], 1, NULL, 0));
    assert_false(purge_overtook(&t.t, numbers[0] - 1, &tags[0], 1, &tags[0], 1)); /* carried: it has proved it */
    assert_true(purge_overtook(&t.t, numbers[0] - 1, (uint64_t[]){tags[0], stranger}, 2, &tags[0], 1));
    assert_false(purge_overtook(&t.t, numbers[0], &tags[0], 1, NULL, 0));
    assert_false(purge_overtook(&t.t, numbers[0] - 1, &far, 1, NULL, 0));
    purge_fini(&t.t);
}

/* Only when waiting does not help: what was let go of kills what is older than it. */
static void test_floors(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t tags[40], numbers[40], far = spread(77);
    unsigned n = fill(&t, spread(5), tags, numbers);
    uint64_t stranger = lab_neighbour(&t.t, tags[0], 30);
    t.t.shed = true;
    assert_true(purge(&t, 1, &tags[n], false, 0, 10, NULL) != 0);
    assert_int_equal(t.t.floors, 1);
    assert_int_equal(t.t.entries, n);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &tags[0], 10), PURGE_DEAD);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &stranger, 10), PURGE_DEAD);
    assert_false(purge_unknown(&t.t, numbers[0] - 1, (const uint8_t *)&stranger, 1));
    assert_int_equal(ask(&t, numbers[0], 1, &tags[0], 10), PURGE_FRESH);
    assert_int_equal(ask(&t, numbers[0] - 1, 1, &far, 10), PURGE_FRESH);
    purge_fini(&t.t);
}

/* ------------------------------------------------------------------ how much the table holds */

#define PROMISED 65536 /* README, man page, storage of a store of 64 MiB */

/* A store of 64 MiB has room for so many purges of different tags while no sweep ends; all are known, nothing else is
 * hurt; twenty times over, with other tags. */
static void test_the_promised_number_of_purges_has_room(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 64 << 20, 0);
    assert_true(l.s->purge.bytes <= (64u << 20) / 25);
    for (unsigned round = 0; round < 20; round++) {
        struct table t;
        open_table(&t, l.s->purge.bytes);
        for (uint64_t i = 0; i < PROMISED; i++) {
            uint64_t tag = hash_tag(&(uint64_t){round << 20 | i}, 8);
            assert_true(purge(&t, 1, &tag, false, 0, 10, NULL) != 0);
        }
        assert_int_equal(t.t.floors, 0);
        assert_int_equal(t.t.entries, PROMISED);
        assert_int_equal(t.t.unswept[0], PROMISED);
        assert_true(purge_crowded(&t.t));
        for (uint64_t i = 0; i < PROMISED; i++) {
            uint64_t tag = hash_tag(&(uint64_t){round << 20 | i}, 8), other = hash_tag(&(uint64_t){1ull << 40 | i}, 8);
            assert_int_equal(ask(&t, 500, 1, &tag, 10), PURGE_DEAD);
            assert_false(purge_unknown(&t.t, 500, (const uint8_t *)&tag, 1));
            assert_int_equal(ask(&t, 500, 1, &other, 10), PURGE_FRESH);
            assert_true(purge_unknown(&t.t, 500, (const uint8_t *)&other, 1));
        }
        pass(&t);
        assert_false(purge_crowded(&t.t));
        assert_int_equal(t.t.unswept[0] + t.t.unswept[1], 0);
        purge_fini(&t.t);
    }
    lab_close(&l);
}

/* What counts as not yet swept: an entry once for each pass that has it to carry out. */
static void test_what_is_unswept_is_counted(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 1 << 16);
    uint64_t a = spread(1), b = spread(2);
    for (unsigned i = 0; i < 5; i++) purge(&t, 1, &a, i % 2 == 0, 50, 10, NULL);
    assert_int_equal(t.t.unswept[0], 1);
    uint64_t number = purge_pass(&t.t);
    purge(&t, 1, &a, false, 0, 10, NULL);
    purge(&t, 1, &b, false, 0, 10, NULL);
    assert_int_equal(t.t.unswept[0], 2);
    assert_int_equal(t.t.unswept[1], 1);
    purge_filter_clear(&t.t);
    swept(&t, number);
    assert_int_equal(t.t.unswept[0], 2);
    assert_int_equal(t.t.unswept[1], 0);
    pass(&t);
    assert_int_equal(t.t.unswept[0], 0);
    purge_fini(&t.t);
}

/* The table costs what was touched of it. */
static void test_memory_counts_as_it_is_touched(void **state) {
    (void)state;
    struct table t;
    open_table(&t, 4 << 20);
    assert_int_equal(t.t.touched, 0);
    purge(&t, 1, &(uint64_t){spread(1)}, false, 0, 10, NULL);
    assert_in_range(t.t.touched, 4096, 3 * 4096);
    for (uint64_t i = 0; i < 50000; i++) purge(&t, 1, &(uint64_t){spread(i)}, false, 0, 10, NULL);
    assert_in_range(t.t.touched, 3 << 20, t.t.bytes);
    purge_fini(&t.t);
}

/* ------------------------------------------------------------------ lists */

/* One number for all selectors of a list, each announced before it is taken. */
struct listed {
    struct table *t;
    unsigned seen;
};

static void while_listed(void *arg) {
    struct listed *l = arg;
    for (unsigned i = 0; i < 6; i++) {
        uint64_t tags[3] = {spread(10 * i), spread(10 * i + 1), spread(10 * i + 2)};
        assert_true(purge_overtook(&l->t->t, l->t->next, tags, 1 + i % 3, NULL, 0));
    }
    l->seen++;
}

static void test_a_list_has_one_number(void **state) {
    (void)state;
    for (unsigned soft = 0; soft < 2; soft++) {
        struct table t;
        struct store_selector list[8];
        struct listed l = {.t = &t};
        uint64_t before;
        bool sweep;
        open_table(&t, 1 << 18);
        memset(list, 0, sizeof list);
        for (unsigned i = 0; i < 6; i++) {
            list[i].ntags = 1 + i % 3;
            for (unsigned k = 0; k < list[i].ntags; k++) list[i].tags[k] = spread(10 * i + k);
        }
        list[6] = list[0]; /* a repeat does not matter */
        list[7].ntags = PURGE_RECORD_TAGS + 1;
        for (unsigned k = 0; k < list[7].ntags; k++) list[7].tags[k] = spread(1000 + k);
        before = t.next;
        lab_at("purge.versioned", while_listed, &l);
        uint64_t p = purge_list(&t, 8, list, soft, 20, 10, &sweep);
        lab_at(NULL, NULL, NULL);
        assert_int_equal(l.seen, 1);
        assert_int_equal(t.next, before + 1 + 10);
        assert_true(sweep); /* the last one; the others are in the table */
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(ask(&t, p - 1, list[i].ntags, list[i].tags, 10), soft ? PURGE_SOFT : PURGE_DEAD);
            assert_int_equal(ask(&t, p, list[i].ntags, list[i].tags, 10), PURGE_FRESH);
            assert_true(purge_overtook(&t.t, p - 1, list[i].tags, list[i].ntags, NULL, 0));
            assert_false(purge_overtook(&t.t, p, list[i].tags, list[i].ntags, NULL, 0));
        }
        purge_fini(&t.t);
    }
}

/* A list that needs more places than its tags have: it is no use waiting, a sweep carries out the rest. */
static void test_a_list_cannot_crowd_itself_out(void **state) {
    (void)state;
    struct table t;
    struct store_selector list[4 * PURGE_WAYS];
    bool sweep;
    open_table(&t, 1 << 16);
    memset(list, 0, sizeof list);
    for (unsigned i = 0; i < 4 * PURGE_WAYS; i++)
        list[i] = (struct store_selector){.ntags = 1, .tags = {i ? lab_neighbour(&t.t, spread(5), i - 1) : spread(5)}};
    uint64_t p = purge_list(&t, 4 * PURGE_WAYS, list, false, 0, 10, &sweep);
    assert_true(p != 0);
    assert_true(sweep);
    assert_int_equal(t.t.unfiled, p);
    for (unsigned i = 0; i < 2 * PURGE_WAYS; i++) assert_int_equal(ask(&t, p - 1, 1, list[i].tags, 10), PURGE_DEAD);
    for (uint32_t i = 0; i < (t.t.nbuckets * PURGE_WAYS + t.t.nsets * PURGE_SET) / 64; i++)
        assert_int_equal(t.t.held[i], 0);
    pass(&t);
    assert_true(purge(&t, 1, list[9].tags, false, 0, 10, NULL) != 0);
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
        lab_at("purge.versioned", while_pending, &p);
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
        cmocka_unit_test(test_numbers_decide),
        cmocka_unit_test(test_everything_that_has_a_tag),
        cmocka_unit_test(test_a_purge_of_everything_is_looked_for),
        cmocka_unit_test(test_soft_purges_and_their_deadlines),
        cmocka_unit_test(test_conjunctions),
        cmocka_unit_test(test_conjunctions_against_a_list),
        cmocka_unit_test(test_records_run_out),
        cmocka_unit_test(test_floors),
        cmocka_unit_test(test_announcements),
        cmocka_unit_test(test_a_full_table_waits_for_a_sweep),
        cmocka_unit_test(test_the_promised_number_of_purges_has_room),
        cmocka_unit_test(test_what_is_unswept_is_counted),
        cmocka_unit_test(test_memory_counts_as_it_is_touched),
        cmocka_unit_test(test_a_list_has_one_number),
        cmocka_unit_test(test_a_list_cannot_crowd_itself_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
