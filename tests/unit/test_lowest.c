/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The set that knows its lowest number, against a plain list: whatever is put in and taken out, at the sizes where its
 * levels begin and end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store/lowest.h"

#define MEMBERS 300
#define GUARD 0x5a5a5a5a5a5a5a5aull

/* A set of numbers below n, and the same as a list. */
struct both {
    struct lowest s;
    uint32_t n;
    uint32_t list[MEMBERS];
    unsigned count;
    uint64_t *memory, *guard;
};

static void both_open(struct both *b, uint32_t n) {
    size_t bytes = lowest_bytes(n);
    memset(b, 0, sizeof *b);
    assert_int_equal(bytes % 8, 0);
    b->memory = calloc(1, bytes + 8);
    assert_non_null(b->memory);
    b->guard = b->memory + bytes / 8;
    *b->guard = GUARD;
    b->n = n;
    lowest_init(&b->s, n, b->memory);
}

static unsigned list_find(const struct both *b, uint32_t n) {
    unsigned i = 0;
    while (i < b->count && b->list[i] != n) i++;
    return i;
}

static uint32_t list_first(const struct both *b) {
    uint32_t low = LOWEST_NONE;
    for (unsigned i = 0; i < b->count; i++)
        if (b->list[i] < low) low = b->list[i];
    return low;
}

static void both_add(struct both *b, uint32_t n) {
    unsigned i = list_find(b, n);
    if (i == MEMBERS) return;
    assert_int_equal(lowest_has(&b->s, n), i < b->count);
    lowest_add(&b->s, n);
    b->list[i] = n;
    b->count += i == b->count;
    assert_true(lowest_has(&b->s, n));
    assert_int_equal(lowest_first(&b->s), list_first(b));
}

static void both_remove(struct both *b, uint32_t n) {
    unsigned i = list_find(b, n);
    assert_int_equal(lowest_has(&b->s, n), i < b->count);
    lowest_remove(&b->s, n);
    if (i < b->count) b->list[i] = b->list[--b->count];
    assert_false(lowest_has(&b->s, n));
    assert_int_equal(lowest_first(&b->s), list_first(b));
}

/* Empties it; of an empty set every bit of every level is 0. */
static void both_close(struct both *b) {
    while (b->count) both_remove(b, b->list[0]);
    assert_int_equal(lowest_first(&b->s), LOWEST_NONE);
    for (unsigned l = 0; l < LOWEST_LEVELS; l++) {
        const uint64_t *end = l + 1 < LOWEST_LEVELS ? b->s.level[l + 1] : b->guard;
        if (l == 0 && b->n > 20000000) continue; /* it would need memory only to be looked at */
        for (const uint64_t *p = b->s.level[l]; p < end; p++) assert_int_equal(*p, 0);
    }
    assert_int_equal(*b->guard, GUARD);
    free(b->memory);
}

/* Around the powers of 64, where a level needs another word, and some between them. */
static const uint32_t sizes[] = {1,     2,      63,     64,     65,       500,      4095,     4096,      4097,
                                 70000, 262143, 262144, 262145, 16777215, 16777216, 16777217, 100000000, 1u << 30};
#define SIZES (sizeof sizes / sizeof *sizes)

static void test_random_adds_and_takes(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 1);
    for (unsigned i = 0; i < SIZES; i++) {
        static struct both b;
        both_open(&b, sizes[i]);
        assert_int_equal(lowest_first(&b.s), LOWEST_NONE);
        for (unsigned op = 0; op < 3000; op++) {
            /* Anywhere, or close together at one of the ends, so that words fill and empty. */
            uint32_t n = (uint32_t)rand_below(&r, op % 3 == 0 || b.n < 200 ? b.n : 200), low = lowest_first(&b.s);
            if (op % 3 == 1) n = b.n - 1 - n;
            switch (rand_below(&r, 4)) {
            case 0:
            case 1: both_add(&b, n); break;
            case 2: both_remove(&b, n); break;
            default:
                if (low != LOWEST_NONE) both_remove(&b, low);
            }
        }
        both_close(&b);
    }
}

/* One number alone, with the lowest and the highest that there can be, and without: its way from a bit to the top. */
static void test_where_words_meet(void **state) {
    (void)state;
    static struct both b;
    both_open(&b, 1u << 30);
    for (unsigned i = 0; i < SIZES; i++)
        for (uint32_t n = sizes[i]; n >= sizes[i] - 1 && n > 0; n--) {
            if (n >= b.n - 1) continue;
            both_add(&b, n);
            both_add(&b, n); /* twice is once */
            both_add(&b, b.n - 1);
            both_add(&b, 0);
            both_remove(&b, 0);
            both_remove(&b, 0);
            assert_int_equal(lowest_first(&b.s), n);
            both_remove(&b, n);
            assert_int_equal(lowest_first(&b.s), b.n - 1);
            both_remove(&b, b.n - 1);
            assert_int_equal(lowest_first(&b.s), LOWEST_NONE);
        }
    both_close(&b);
}

static void test_all_of_them_come_in_order(void **state) {
    (void)state;
    for (unsigned i = 0; i < SIZES && sizes[i] < 1000000; i++) {
        static struct both b;
        both_open(&b, sizes[i]);
        for (uint32_t n = sizes[i]; n-- > 0;) lowest_add(&b.s, n);
        for (uint32_t n = 0; n < sizes[i]; n++) {
            assert_int_equal(lowest_first(&b.s), n);
            lowest_remove(&b.s, n);
        }
        both_close(&b);
    }
}

static void test_memory(void **state) {
    (void)state;
    assert_int_equal(lowest_bytes(1), 8 * 5);
    assert_int_equal(lowest_bytes(64), 8 * 5);
    assert_int_equal(lowest_bytes(65), 8 * (2 + 4));
    assert_int_equal(lowest_bytes(4096), 8 * (64 + 4));
    assert_int_equal(lowest_bytes(4097), 8 * (65 + 2 + 3));
    assert_int_equal(lowest_bytes(1u << 30), 8ull * ((1 << 24) + (1 << 18) + (1 << 12) + 64 + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_adds_and_takes),
        cmocka_unit_test(test_where_words_meet),
        cmocka_unit_test(test_all_of_them_come_in_order),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
