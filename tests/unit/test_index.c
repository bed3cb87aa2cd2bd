/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The index against a list of what is in it, while it grows, shrinks and is packed; with chains of overflow lines; and
 * with a reader beside it that must never miss what is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/rand.h"
#include "store/index.h"

#define ITEMS 20000

/* Entry i lies at location i + 1 and has hash hashes[i]. */
static uint64_t hashes[ITEMS];
static bool present[ITEMS];

static void make_hashes(uint64_t mask) {
    struct rand r;
    rand_init(&r, 5);
    for (unsigned i = 0; i < ITEMS; i++) hashes[i] = rand_next(&r) & mask;
    memset(present, 0, sizeof present);
}

static void put(struct index *ix, unsigned i, bool want) {
    struct index_bucket *b = index_lock(ix, hashes[i]);
    bool ok = index_insert(ix, b, index_slot_make(i + 1, index_fp(ix, hashes[i]), 0));
    assert_int_equal(ok, want);
    present[i] = ok;
    index_unlock(b);
}

static void take(struct index *ix, unsigned i) {
    struct index_bucket *b = index_lock(ix, hashes[i]);
    uint64_t *slot = index_find_loc(ix, b, i + 1);
    assert_non_null(slot);
    index_remove(ix, b, slot);
    present[i] = false;
    index_unlock(b);
}

/* A look-up as readers do it: without a lock, repeated when the word has changed. */
static bool has(const struct index *ix, unsigned i) {
    uint32_t fp = index_fp(ix, hashes[i]);
    for (;;) {
        struct index_bucket *b = index_bucket(ix, hashes[i]);
        uint64_t word = sync_load_acq(&b->word);
        bool hit = false;
        for (unsigned m = index_match(b->slot, fp); m && !hit; m &= m - 1)
            hit = index_slot_loc(sync_load_acq(&b->slot[__builtin_ctz(m)])) == i + 1;
        uint32_t n = index_word_count(word) ? index_word_head(word) : 0;
        for (unsigned k = 0; n && !hit && k < 96; k++) {
            struct index_line *l = &ix->lines[n];
            for (unsigned m = index_match(l->slot, fp); m && !hit; m &= m - 1)
                hit = index_slot_loc(sync_load_acq(&l->slot[__builtin_ctz(m)])) == i + 1;
            n = index_line_next(l);
        }
        if (!index_unchanged(b, word)) continue;
        if (hit) return true;
        if (index_belongs(ix, b, word, hashes[i])) return false;
    }
}

static void check_all(struct index *ix) {
    static uint8_t seen[ITEMS];
    uint64_t slots[INDEX_SLOTS + INDEX_OVERFLOW_MAX];
    unsigned n = 0, want = 0;
    memset(seen, 0, sizeof seen);
    for (uint64_t g = 0; g < ix->groups; g++)
        for (unsigned b = 0; b < INDEX_BUCKETS; b++) {
            unsigned k = index_collect_locked(ix, g, b, slots);
            for (unsigned i = 0; i < k; i++) {
                uint64_t at = index_slot_loc(slots[i]) - 1;
                assert_true(at < ITEMS && present[at] && !seen[at]);
                seen[at] = 1;
                n++;
            }
        }
    for (unsigned i = 0; i < ITEMS; i++) {
        want += present[i];
        assert_int_equal(has(ix, i), present[i]);
    }
    assert_int_equal(n, want);
}

static void test_against_a_list(void **state) {
    (void)state;
    struct index ix;
    struct rand r;
    rand_init(&r, 9);
    make_hashes(UINT64_MAX);
    assert_int_equal(index_init(&ix, 1000, 100000, false), 0);
    unsigned n = 0;
    for (unsigned op = 0; op < 200000; op++) {
        /* Waves: fuller, then emptier. */
        unsigned i = (unsigned)rand_below(&r, ITEMS), what = (unsigned)rand_below(&r, 100);
        bool filling = op / 40000 % 2 == 0;
        if (what < 90 && !present[i] && (filling || what < 20)) {
            put(&ix, i, true);
            n++;
        } else if (what < 90 && present[i] && (!filling || what < 20)) {
            take(&ix, i);
            n--;
        } else if (what < 94 && n > ix.groups * INDEX_GROUP_SLOTS * 8 / 10) {
            index_split(&ix);
        } else if (what < 97 && n < ix.groups * INDEX_GROUP_SLOTS * 6 / 10) {
            index_merge(&ix);
        } else {
            index_compact(&ix, rand_below(&r, ix.groups));
        }
        if (op % 20000 == 0) check_all(&ix);
    }
    check_all(&ix);
    while (index_merge(&ix)) {}
    check_all(&ix);
    index_release(&ix);
    check_all(&ix);
    while (ix.groups < 300) assert_true(index_split(&ix));
    check_all(&ix);
    index_fini(&ix);
}

/* All into one bucket: seven slots, sixty-three in lines, then no more. */
static void test_a_bucket_overflows(void **state) {
    (void)state;
    struct index ix;
    make_hashes(0);
    assert_int_equal(index_init(&ix, 100, 100000, false), 0);
    for (unsigned i = 0; i < INDEX_SLOTS + INDEX_OVERFLOW_MAX; i++) put(&ix, i, true);
    put(&ix, INDEX_SLOTS + INDEX_OVERFLOW_MAX, false);
    assert_int_equal(ix.overflow_drops, 1);
    assert_true(index_split(&ix)); /* nothing to part */
    for (unsigned i = 0; i < INDEX_SLOTS + INDEX_OVERFLOW_MAX; i++) assert_true(has(&ix, i));
    uint64_t lines = ix.line_limit - 1 - ix.lines_free;
    assert_int_equal(lines, INDEX_OVERFLOW_MAX / INDEX_SLOTS);
    for (unsigned i = 0; i < 60; i++) take(&ix, i);
    assert_true(index_compact(&ix, 0));
    assert_false(index_compact(&ix, 0));
    assert_int_equal(ix.line_limit - 1 - ix.lines_free, 1);
    for (unsigned i = 60; i < INDEX_SLOTS + INDEX_OVERFLOW_MAX; i++) assert_true(has(&ix, i));
    index_fini(&ix);
}

/* The eight buckets of a group share its lines. */
static void test_lines_are_shared(void **state) {
    (void)state;
    struct index ix;
    make_hashes(7);
    assert_int_equal(index_init(&ix, 56, 100000, false), 0);
    unsigned n = 0;
    for (unsigned i = 0; i < ITEMS && n < INDEX_GROUP_SLOTS + 14; i++) {
        struct index_bucket *b = index_bucket(&ix, hashes[i]);
        if (index_word_count(b->word) >= 3) continue;
        put(&ix, i, true);
        n++;
    }
    check_all(&ix);
    assert_true(ix.line_limit - 1 <= 4);
    index_fini(&ix);
}

/* Lines of before go back when few are needed any more, wherever those lie that still are. */
static void test_lines_are_given_back(void **state) {
    (void)state;
    struct index ix;
    make_hashes(UINT64_MAX);
    assert_int_equal(index_init(&ix, 3000, 100000, false), 0);
    for (unsigned i = 0; i < ITEMS; i++) put(&ix, i, true);
    const uint64_t many = ix.line_limit, bytes = index_bytes(&ix);
    assert_true(many > 2 * 1024);
    for (unsigned i = 0; i < ITEMS; i++)
        if (i % 4 != 3) take(&ix, i);
    assert_false(index_trim(&ix)); /* the last lines are still used */
    assert_int_equal(ix.line_limit, many);
    /* A group is packed into new lines before its old ones are free; so the first ones go up before they come down. */
    for (uint64_t k = 0; k < 2 * ix.groups; k++) index_compact(&ix, k % ix.groups);
    while (index_trim(&ix)) {}
    check_all(&ix);
    const uint64_t used = ix.line_limit - ix.lines_free;
    assert_true(ix.line_limit <= used + used / 4 + 1024);
    assert_true(index_bytes(&ix) < bytes - (many - ix.line_limit) * 63);
    for (unsigned i = 0; i < ITEMS; i++)
        if (i % 4 != 3) put(&ix, i, true);
    check_all(&ix);
    assert_true(ix.line_limit <= many + 64);
    index_fini(&ix);
}

static void test_counts_of_hits(void **state) {
    (void)state;
    uint64_t slot = index_slot_make(12345, 0xabcde, 0);
    for (unsigned i = 0; i < 20; i++) index_bump(&slot, slot);
    assert_int_equal(index_slot_freq(slot), INDEX_FREQ_MAX);
    assert_int_equal(index_slot_loc(slot), 12345);
    assert_int_equal(index_slot_fp(slot), 0xabcde);
    uint64_t before = slot;
    index_bump(&slot, slot ^ 1); /* another one by now */
    assert_int_equal(slot, before);
    index_swing(&slot, 777, 3);
    assert_int_equal(index_slot_loc(slot), 777);
    assert_int_equal(index_slot_fp(slot), 0xabcde);
    assert_int_equal(index_slot_freq(slot), 3);
}

struct reader {
    struct index *ix;
    bool stop;
    unsigned rounds, missed;
};

static void *read_on(void *arg) {
    struct reader *r = arg;
    while (!sync_load_acq(&r->stop) || r->rounds == 0) {
        for (unsigned i = 0; i < ITEMS; i += 4) r->missed += !has(r->ix, i);
        r->rounds++;
    }
    return NULL;
}

/* Every fourth entry stays; the others come and go while the index is resized. */
static void test_a_reader_never_misses(void **state) {
    (void)state;
    struct index ix;
    pthread_t t;
    struct reader r = {.ix = &ix};
    make_hashes(UINT64_MAX);
    assert_int_equal(index_init(&ix, 500, 100000, false), 0);
    for (unsigned i = 0; i < ITEMS; i += 4) {
        put(&ix, i, true);
        if (i % 40 == 0 && ix.groups * 40 < i) index_split(&ix);
    }
    assert_int_equal(pthread_create(&t, NULL, read_on, &r), 0);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < ITEMS; i++) {
            if (i % 4 == 0) continue;
            put(&ix, i, true);
            if (i % 50 == 0) index_split(&ix);
        }
        for (unsigned i = 0; i < ITEMS; i++) {
            if (i % 4 == 0) continue;
            take(&ix, i);
            if (i % 50 == 0) index_merge(&ix);
            if (i % 20 == 0) index_compact(&ix, i % ix.groups);
            if (i % 200 == 0) index_trim(&ix);
        }
    }
    sync_store_rel(&r.stop, true);
    pthread_join(t, NULL);
    assert_int_equal(r.missed, 0);
    check_all(&ix);
    index_fini(&ix);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),   cmocka_unit_test(test_a_bucket_overflows),
        cmocka_unit_test(test_lines_are_shared), cmocka_unit_test(test_lines_are_given_back),
        cmocka_unit_test(test_counts_of_hits),   cmocka_unit_test(test_a_reader_never_misses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
