/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orders of steps: what is being written when its tags are purged: fills, bodies that come in, changes that carry a
 * value on under a new number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "order.h"

/* ------------------------------------------------------------------ fills */

/* A refused fill gives the present version a new number: not one above a purge of its own tags. */
static bool refusal(struct lab *l, bool soft) {
    struct store_item it;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_get(l, 0, "A", &it));
    struct helper h = {.l = l, .key = "A", .value = "late", .tags = tag, .ntags = 1, .guard = it.cas};
    struct lab_thread t;
    assert_true(lab_run(&t, "store.put.written", run_fill, &h));
    lab_purge(l, 0, 1, tag, soft, 0);
    lab_finish(&t);
    assert_int_not_equal(h.st, STORE_OK);
    return lab_get(l, 0, "A", &it) && !it.soft && !(it.bits & STORE_STALE);
}

static bool refusal_hard(struct lab *l) {
    return refusal(l, false);
}
static bool refusal_soft(struct lab *l) {
    return refusal(l, true);
}
static bool refusal_pending(struct lab *l) {
    struct store_item it;
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread t;
    lab_set(l, 0, "A", "old", tag, 1);
    assert_true(lab_get(l, 0, "A", &it));
    assert_true(lab_run(&t, "purge.versioned", run_purge, &h));
    drop_block(l, 0);
    assert_int_not_equal(lab_fill(l, 0, "A", "late", it.cas, tag, 1), STORE_OK);
    lab_finish(&t);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_refusal_does_not_carry_the_old_value_over_a_purge(void **state) {
    (void)state;
    guarded(refusal_hard, "store.mutate.refuse_blindly");
    guarded(refusal_soft, "store.mutate.refuse_blindly");
    guarded(refusal_pending, "store.mutate.refuse_blindly");
}

static bool guard_asked(struct lab *l) {
    uint64_t token = lab_token(l, 0, "A");
    lab_purge(l, 1, 1, tag, false, 0);
    lab_fill(l, 0, "A", "late", token, tag, 1);
    return lab_has(l, 0, "A", "late");
}

static void test_a_fill_asks_for_purges_since_its_token(void **state) {
    (void)state;
    guarded(guard_asked, "store.mutate.no_guard");
}

static bool fill_floor(struct lab *l) {
    uint64_t token = lab_token(l, 0, "A"), other = TAG ^ 9 << 16, third = TAG ^ 10 << 16;
    struct store_item it;
    lab_set(l, 0, "B", "x", &other, 1);
    assert_true(lab_get(l, 0, "B", &it));
    lab_purge(l, 1, 1, tag, false, 0);
    store_sweep_all(l->s);
    lab_shed(l, 1, TAG);
    lab_fill(l, 0, "A", "late", token, tag, 1);
    /* A live item has proved its own tags; the others are refused. */
    assert_true(lab_get(l, 0, "B", NULL));
    assert_int_equal(lab_fill(l, 0, "B", "y", it.cas, &other, 1), STORE_OK);
    assert_true(lab_get(l, 0, "B", &it));
    if (it.version < l->s->purge.seq) fail();
    uint64_t both[2] = {other, third};
    assert_int_equal(lab_fill(l, 0, "B", "z", it.cas, both, 2), STORE_OK); /* it has a new number by now */
    return lab_has(l, 0, "A", "late");
}

static void test_what_the_table_lets_go_of_refuses_older_fills(void **state) {
    (void)state;
    guarded(fill_floor, "purge.mutate.no_fill_floor");
}

static bool fill_floor_foreign(struct lab *l) {
    uint64_t other = TAG ^ 9 << 16, both[2] = {other, TAG};
    struct store_item it;
    lab_set(l, 0, "B", "x", &other, 1);
    assert_true(lab_get(l, 0, "B", &it));
    lab_purge(l, 1, 1, tag, false, 0);
    store_sweep_all(l->s);
    lab_shed(l, 1, TAG);
    bool stored = lab_fill(l, 0, "B", "late", it.cas, both, 2) == STORE_OK;
    if (!stored) {
        /* Reading again and retrying succeeds. */
        assert_true(lab_get(l, 0, "B", &it));
        assert_int_equal(lab_fill(l, 0, "B", "good", it.cas, both, 2), STORE_OK);
    }
    return stored;
}

static void test_a_fill_with_a_tag_its_item_had_not_is_refused(void **state) {
    (void)state;
    guarded(fill_floor_foreign, "purge.mutate.no_fill_floor");
}

/* A body that was being received when its tags were purged. */
static bool upload_purged(struct lab *l) {
    static char body[20000];
    struct store_put p = {.key = store_key(l->s, "A", 1), .size = sizeof body, .tags = tag, .ntags = 1};
    assert_true(sizeof body > store_inline_max(l->s));
    assert_int_equal(store_upload_begin(l->w[0], sizeof body, &p.upload), STORE_OK);
    for (bool purged = false; store_upload_left(p.upload); purged = true) {
        assert_int_equal(lab_upload_some(l->w[0], p.upload, body, sizeof body, sizeof body), STORE_OK);
        if (!purged) lab_purge(l, 1, 1, tag, false, 0);
    }
    struct store_item it;
    memset(&it, 0xff, sizeof it);
    store_enter(l->w[0]);
    assert_int_equal(store_put(l->w[0], &p, &it), STORE_OK);
    store_leave(l->w[0]);
    assert_int_equal(it.size, sizeof body); /* the answer may show it, stored and purged at once */
    assert_true(it.cas == it.version && it.version < l->s->number);
    return lab_get(l, 0, "A", NULL);
}

static void test_a_body_whose_tags_are_purged_while_it_comes_in_is_not_kept(void **state) {
    (void)state;
    guarded(upload_purged, "store.mutate.upload_blindly");
}

/* Everything that carries a value on under a new number, while a purge has its number but is not written. */
enum carrier { INCR, APPEND, INVALIDATE, CLEAR, ADD_TAG, WIN, META_WIN, CARRIERS };
static enum carrier carrier;

static void carry_on(struct lab *l) {
    struct store_worker *w = l->w[0];
    struct store_key k = store_key(l->s, "A", 1);
    struct store_item it;
    uint64_t n;
    bool created;
    enum store_win win;
    store_enter(w);
    switch (carrier) {
    case INCR: store_arith(w, &(struct store_arith){.key = k, .delta = 1}, &n, &created, NULL); break;
    case APPEND:
        store_put(w, &(struct store_put){.key = k, .mode = STORE_APPEND, .value = "5", .size = 1}, NULL);
        break;
    case INVALIDATE: store_delete(w, &(struct store_delete){.key = k, .invalidate = true}, NULL); break;
    case CLEAR: store_delete(w, &(struct store_delete){.key = k, .clear = true}, NULL); break;
    case ADD_TAG: store_tag_add(w, &k, 4711); break;
    case WIN: store_win(w, &k, &it); break;
    case META_WIN: store_meta_get(w, &(struct store_meta_get){.key = k}, &it, &win, &created, NULL); break;
    case CARRIERS: break;
    }
    store_leave(w);
}

static bool carried(struct lab *l) {
    struct helper h = {.l = l, .tags = tag, .ntags = 1};
    struct lab_thread t;
    lab_set(l, 0, "A", "1", tag, 1);
    if (carrier >= WIN) lab_purge(l, 2, 1, tag, true, 100); /* there has to be something to win */
    assert_true(lab_run(&t, "purge.versioned", run_purge, &h));
    drop_block(l, 0);
    carry_on(l);
    lab_finish(&t);
    return lab_get(l, 0, "A", NULL);
}

static void test_nothing_carries_a_value_over_a_purge_under_way(void **state) {
    (void)state;
    for (carrier = INCR; carrier < CARRIERS; carrier++) guarded(carried, "change.mutate.carry_blindly");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refusal_does_not_carry_the_old_value_over_a_purge),
        cmocka_unit_test(test_a_fill_asks_for_purges_since_its_token),
        cmocka_unit_test(test_what_the_table_lets_go_of_refuses_older_fills),
        cmocka_unit_test(test_a_fill_with_a_tag_its_item_had_not_is_refused),
        cmocka_unit_test(test_a_body_whose_tags_are_purged_while_it_comes_in_is_not_kept),
        cmocka_unit_test(test_nothing_carries_a_value_over_a_purge_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
