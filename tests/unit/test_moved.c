/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Items from one store to another as records: what comes out is what went in, whole or in parts; and what refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd_moved.h"
#include "store_lab.h"

#define MIB (1u << 20)
#define PART 60000u

static const uint64_t tags[2] = {0x1234567800000001ull, 0x8234567800000002ull};

/* A ring of one and a ring of the other: everything moves from the first to the second. */
static struct move *make_move(void) {
    struct ring_member m[2];
    struct ring *before, *after;
    struct move *move;
    assert_true(ring_member_read("a:1", &m[0]) && ring_member_read("b:1", &m[1]));
    assert_int_equal(ring_new(1, &m[0], 1, &before), 0);
    assert_int_equal(ring_new(2, &m[1], 1, &after), 0);
    assert_int_equal(move_new(before, after, RING_NONE, 0, MIB, NULL, &move), 0);
    move_set_state(move, 0, MOVE_PULLING);
    ring_free(before);
    ring_free(after);
    return move;
}

/* The item of a key, from byte `at` on, as a record's bytes; 0: it does not move. */
static size_t give(struct lab *l, const char *key, uint64_t at, uint8_t *to) {
    const struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item it;
    struct moved_item m;
    size_t n = 0;
    store_enter(l->w[0]);
    if (store_peek(l->w[0], &k, &it) && cmd_moved_show(l->w[0], &it, at, PART, &m)) n = moved_item_pack(&m, to);
    store_leave(l->w[0]);
    return n;
}

static uint64_t on_its_way_ns; /* so long ago it was asked for */

static enum store_received take(struct lab *l, const uint8_t *record, size_t n, struct move *move, uint64_t g,
                                struct cmd_moved_parts *parts, bool *last) {
    struct moved_item m;
    const struct cmd_moved_guard guard = {.g = g, .asked_ns = l->clock.boot_ns - on_its_way_ns, .move = move};
    assert_int_equal(moved_item_read(record, n, &m), n);
    store_enter(l->w[0]);
    const struct store_key k = store_key(l->s, m.key, m.nkey);
    const enum store_received st = cmd_moved_take(l->s, l->w[0], &m, &k, &guard, parts);
    store_leave(l->w[0]);
    if (last) *last = moved_item_is_last(&m);
    return st;
}

/* The whole item from one store to the other. */
static enum store_received move_it(struct lab *from, struct lab *to, const char *key, struct move *move, uint64_t g) {
    static uint8_t record[PART + MOVED_ITEM_REST_MAX];
    struct cmd_moved_parts parts = {0};
    enum store_received st;
    bool last;
    unsigned turns = 0;
    do {
        const size_t n = give(from, key, parts.got, record);
        assert_true(n > 0 && n <= sizeof record && ++turns < 1000);
        while ((st = take(to, record, n, move, g, &parts, &last)) == STORE_RECEIVE_AGAIN) store_maintain(to->s);
    } while (st == STORE_RECEIVED && !last);
    assert_null(parts.upload);
    return st;
}

static void put(struct lab *l, const char *key, const char *value, uint64_t n) {
    struct store_put p = {.key = store_key(l->s, key, strlen(key)),
                          .value = value,
                          .size = n,
                          .flags = 77,
                          .has_cas = true,
                          .cas = 5,
                          .tags = tags,
                          .ntags = 2};
    store_enter(l->w[0]);
    p.expiry = store_now(l->w[0]) + 50;
    store_leave(l->w[0]);
    if (n > store_inline_max(l->s)) p.upload = lab_upload(l, 0, value, n);
    assert_int_equal(lab_put(l, 0, &p), STORE_OK);
}

static void check(struct lab *l, const char *key, const char *value, uint64_t n) {
    const struct store_key k = store_key(l->s, key, strlen(key));
    struct store_item it;
    struct iovec v;
    uint64_t got[2], at = 0;
    store_enter(l->w[0]);
    assert_true(store_get(l->w[0], &k, &it));
    assert_int_equal(it.size, n);
    assert_int_equal(it.flags, 77);
    assert_int_equal(it.cas, 5);
    assert_int_equal(it.expiry, store_now(l->w[0]) + 50);
    assert_int_equal(it.ntags, 2);
    store_item_tags(&it, got);
    assert_memory_equal(got, tags, sizeof tags);
    for (unsigned i = 0; n > 0 && store_item_spans(l->w[0], &it, &v, i, 1) > i; i++) {
        assert_memory_equal(v.iov_base, value + at, v.iov_len);
        at += v.iov_len;
    }
    assert_int_equal(at, n);
    store_leave(l->w[0]);
}

static void test_values_of_all_sizes(void **state) {
    (void)state;
    static const uint64_t sizes[] = {0, 1, 100, 16000, 20000, PART, PART + 1, 500000, 2 * MIB};
    struct lab a, b;
    struct move *move = make_move();
    char *value = malloc(2 * MIB), key[16];
    assert_non_null(value);
    for (unsigned i = 0; i < 2 * MIB; i++) value[i] = (char)(i * 7 + i / 251);
    lab_open(&a, 64 * MIB, 0);
    lab_open(&b, 64 * MIB, 0);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        snprintf(key, sizeof key, "k%u", i);
        put(&a, key, value, sizes[i]);
        assert_int_equal(move_it(&a, &b, key, move, store_number(b.s)), STORE_RECEIVED);
        check(&b, key, value, sizes[i]);
        assert_int_equal(move_it(&a, &b, key, move, store_number(b.s)), STORE_RECEIVE_PRESENT);
    }
    lab_close(&a);
    lab_close(&b); /* uploads that were refused are accounted for */
    move_put(move);
    free(value);
}

/* Parts of two versions of a value are not put together, nor is a part taken twice. */
static void test_parts_that_do_not_fit(void **state) {
    (void)state;
    static char value[200000];
    static uint8_t first[PART + MOVED_ITEM_REST_MAX], second[PART + MOVED_ITEM_REST_MAX];
    struct lab a, b;
    struct move *move = make_move();
    struct cmd_moved_parts parts = {0};
    lab_open(&a, 16 * MIB, 0);
    lab_open(&b, 16 * MIB, 0);
    put(&a, "k", value, sizeof value);
    const size_t n = give(&a, "k", 0, first), m = give(&a, "k", PART, second);
    assert_int_equal(take(&b, second, m, move, store_number(b.s), &parts, NULL), STORE_RECEIVE_PRESENT);
    assert_int_equal(take(&b, first, n, move, store_number(b.s), &parts, NULL), STORE_RECEIVED);
    assert_in_range(parts.got, 1, PART);
    put(&a, "k", value, sizeof value); /* another version */
    assert_int_equal(take(&b, second, give(&a, "k", parts.got, second), move, store_number(b.s), &parts, NULL),
                     STORE_RECEIVE_PRESENT);
    assert_null(parts.upload);
    assert_int_equal(take(&b, first, n, move, store_number(b.s), &parts, NULL), STORE_RECEIVED);
    store_enter(b.w[0]);
    cmd_moved_forget(b.w[0], &parts);
    store_leave(b.w[0]);
    lab_close(&a);
    lab_close(&b);
    move_put(move);
}

/* What was written to, and everything once the move has ended. */
static void test_what_refuses(void **state) {
    (void)state;
    struct lab a, b;
    struct move *move = make_move();
    lab_open(&a, 4 * MIB, 0);
    lab_open(&b, 4 * MIB, 0);
    put(&a, "k", "v", 1);
    put(&a, "l", "v", 1);
    const uint64_t g = store_number(b.s);
    assert_true(written_add(move->written, store_key(b.s, "k", 1).hash));
    assert_int_equal(move_it(&a, &b, "k", move, g), STORE_RECEIVE_WRITTEN);
    assert_int_equal(move_it(&a, &b, "l", move, g), STORE_RECEIVED);
    assert_int_equal(lab_delete(&b, 0, "l"), STORE_OK);
    move_set_state(move, 0, MOVE_NONE);
    assert_int_equal(move_it(&a, &b, "l", move, g), STORE_RECEIVE_WRITTEN);
    move_set_state(move, 0, MOVE_PULLING);
    lab_purge(&b, 0, 1, tags, false, 0);
    assert_int_equal(move_it(&a, &b, "l", move, g), STORE_RECEIVE_PURGED);
    lab_close(&a);
    lab_close(&b);
    move_put(move);
}

/* An item that was long on its way ends when it would have ended at the giver, not later. */
static void test_the_way_lengthens_no_life(void **state) {
    (void)state;
    struct lab a, b;
    struct move *move = make_move();
    struct store_item it;
    lab_open(&a, 4 * MIB, 0);
    lab_open(&b, 4 * MIB, 0);
    clock_manual_advance(&b.clock, UINT64_C(100000000000));
    const struct store_key k = store_key(b.s, "k", 1);
    put(&a, "k", "v", 1); /* for 50 s */
    on_its_way_ns = UINT64_C(30000000000);
    assert_int_equal(move_it(&a, &b, "k", move, store_number(b.s)), STORE_RECEIVED);
    store_enter(b.w[0]);
    assert_true(store_get(b.w[0], &k, &it));
    assert_int_equal(it.expiry, store_now(b.w[0]) + 20);
    store_leave(b.w[0]);
    assert_int_equal(lab_delete(&b, 0, "k"), STORE_OK);
    on_its_way_ns = UINT64_C(50000000000);
    assert_int_equal(move_it(&a, &b, "k", move, store_number(b.s)), STORE_RECEIVE_PRESENT);
    on_its_way_ns = 0;
    lab_close(&a);
    lab_close(&b);
    move_put(move);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_all_sizes),
        cmocka_unit_test(test_parts_that_do_not_fit),
        cmocka_unit_test(test_what_refuses),
        cmocka_unit_test(test_the_way_lengthens_no_life),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
