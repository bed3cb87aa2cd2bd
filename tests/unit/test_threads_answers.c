/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What an answer promises while other threads are at the same keys: sums and ids are exact, a present key is not
 * missed, a header is that of one moment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stage.h"
#include "store/number.h"

/* ------------------------------------------------------------------ sums and ids */

#define COUNTERS 3
#define ID_OPS 20000

static struct {
    uint64_t added[COUNTERS];
    uint64_t won; /* cas that were stored */
    uint64_t ids[LAB_WORKERS][ID_OPS], nids[LAB_WORKERS];
} exact;

static void count_up(struct actor *a) {
    char name[16];
    for (unsigned op = 0; op < SCALE(20000); op++) {
        unsigned i = (unsigned)rand_below(&a->rand, COUNTERS);
        snprintf(name, sizeof name, "counter%u", i);
        struct store_arith r = {
            .key = store_key(a->stage->lab.s, name, strlen(name)), .delta = rand_below(&a->rand, 1000), .vivify = true};
        r.initial = r.delta;
        uint64_t n;
        bool created;
        enum store_status st;
        do {
            uint64_t seen = sync_load_acq(&a->stage->rooms);
            store_enter(a->w);
            st = store_arith(a->w, &r, &n, &created, NULL);
            store_leave(a->w);
            if (st == STORE_AGAIN) stage_wait(a->stage, seen);
        } while (st == STORE_AGAIN);
        if (st != STORE_OK) BROKEN("incr: %d\n", st);
        sync_add(&exact.added[i], r.delta);
        actor_tick(a);
    }
}

/* Reads a number, adds one, stores it if nobody was quicker. */
static void count_by_cas(struct actor *a) {
    struct store_key k = store_key(a->stage->lab.s, "by cas", 6);
    for (unsigned op = 0; op < SCALE(20000); op++) {
        struct store_item it;
        uint64_t n = 0;
        store_enter(a->w);
        if (!store_get(a->w, &k, &it)) BROKEN("the number is gone\n");
        memcpy(&n, it.value, 8);
        store_leave(a->w);
        n++;
        struct store_put p = {.key = k, .value = (char *)&n, .size = 8, .guarded = true, .guard = it.cas};
        if (actor_put(a, &p, NULL) == STORE_OK) sync_add(&exact.won, 1);
        actor_tick(a);
    }
}

static void test_sums_are_exact(void **state) {
    (void)state;
    struct stage stage;
    uint64_t zero = 0;
    memset(&exact, 0, sizeof exact);
    stage_open(&stage, 8 << 20);
    struct store_put p = {.key = store_key(stage.lab.s, "by cas", 6), .value = (char *)&zero, .size = 8};
    assert_int_equal(lab_put(&stage.lab, 0, &p), STORE_OK);
    stage_run(&stage, (void (*const[])(struct actor *)){count_up, count_up, count_by_cas, count_by_cas}, 4);
    for (unsigned i = 0; i < COUNTERS; i++) {
        char name[16], digits[32];
        snprintf(name, sizeof name, "counter%u", i);
        snprintf(digits, sizeof digits, "%llu", (long long)exact.added[i]);
        assert_true(lab_has(&stage.lab, 0, name, digits));
    }
    struct store_item it;
    uint64_t n;
    assert_true(lab_get(&stage.lab, 0, "by cas", &it));
    memcpy(&n, it.value, 8);
    assert_int_equal(n, exact.won);
    stage_close(&stage);
}

/* Everything that gives a new id, on two keys. */
static void make_ids(struct actor *a) {
    for (unsigned op = 0; op < SCALE(ID_OPS); op++) {
        struct store_key k = store_key(a->stage->lab.s, op % 2 ? "one" : "two", 3);
        struct store_item it;
        unsigned what = (unsigned)rand_below(&a->rand, 8);
        uint64_t id = 0, n, tag = 5;
        bool created;
        if (what < 4) {
            struct store_put p = {.key = k, .value = "1", .size = 1, .tags = &tag, .ntags = what == 0};
            if (actor_put(a, &p, &it) == STORE_OK) id = it.cas;
        } else if (what < 6) {
            struct store_arith r = {.key = k, .delta = 1, .vivify = true};
            store_enter(a->w);
            if (store_arith(a->w, &r, &n, &created, &it) == STORE_OK) id = it.cas;
            store_leave(a->w);
        } else if (what == 6) {
            struct store_delete d = {.key = k, .invalidate = op % 3 == 0};
            store_enter(a->w);
            if (store_delete(a->w, &d, &it) == STORE_OK && d.invalidate) id = it.cas;
            store_leave(a->w);
        } else {
            lab_purge(&a->stage->lab, a->index, 1, &tag, false, 0);
        }
        if (id) exact.ids[a->index][exact.nids[a->index]++] = id;
        actor_tick(a);
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_ids_never_repeat(void **state) {
    (void)state;
    struct stage stage;
    memset(&exact, 0, sizeof exact);
    stage_open(&stage, 8 << 20);
    stage_run(&stage, (void (*const[])(struct actor *)){make_ids, make_ids, make_ids, make_ids}, 4);
    uint64_t *all = calloc(LAB_WORKERS * ID_OPS, sizeof *all), n = 0;
    for (unsigned w = 0; w < LAB_WORKERS; w++)
        for (uint64_t i = 0; i < exact.nids[w]; i++) all[n++] = exact.ids[w][i];
    qsort(all, n, sizeof *all, by_value);
    assert_true(n > 1000);
    for (uint64_t i = 1; i < n; i++) assert_true(all[i] != all[i - 1]);
    free(all);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ the index while it is resized */

#define STAYING 500
#define CHURN (4000 + SCALE(16000))
#define SPLITS 11 /* while which nothing may be missed */

static void churn(struct actor *a) {
    char name[32];
    /* On a machine that is busy the store's thread resizes less often than this thread changes direction. */
    const struct store *s = a->stage->lab.s;
    for (unsigned round = 0; round < 3 || store_metric(s, STORE_METRIC_index_splits) < SPLITS; round++) {
        for (unsigned i = 0; i < CHURN; i++) {
            snprintf(name, sizeof name, "churn-%u-%u", a->index, i);
            struct store_put p = {.key = store_key(a->stage->lab.s, name, strlen(name)), .value = "x", .size = 1};
            if (actor_put(a, &p, NULL) != STORE_OK) BROKEN("a set fails\n");
        }
        for (unsigned i = 0; i < CHURN; i++) {
            snprintf(name, sizeof name, "churn-%u-%u", a->index, i);
            if (lab_delete(&a->stage->lab, a->index, name) != STORE_OK) BROKEN("%s is gone\n", name);
        }
    }
    sync_sub_rel(&a->stage->busy, 1);
}

static void watch_staying(struct actor *a) {
    char name[32];
    while (sync_load_acq(&a->stage->busy)) {
        snprintf(name, sizeof name, "stays-%u", (unsigned)rand_below(&a->rand, STAYING));
        if (!lab_get(&a->stage->lab, a->index, name, NULL)) BROKEN("%s is missed\n", name);
    }
}

static void test_a_present_key_is_never_missed(void **state) {
    (void)state;
    struct stage stage;
    char name[32];
    stage_open(&stage, 8 << 20);
    for (unsigned i = 0; i < STAYING; i++) {
        snprintf(name, sizeof name, "stays-%u", i);
        struct store_put p = {.key = store_key(stage.lab.s, name, strlen(name)), .value = "x", .size = 1};
        assert_int_equal(lab_put(&stage.lab, 0, &p), STORE_OK);
    }
    stage.busy = 2;
    stage_run(&stage, (void (*const[])(struct actor *)){churn, churn, watch_staying, watch_staying}, 4);
    print_message("%llu splits, %llu merges\n", (long long)store_metric(stage.lab.s, STORE_METRIC_index_splits),
                  (long long)store_metric(stage.lab.s, STORE_METRIC_index_merges));
    assert_int_equal(store_metric(stage.lab.s, STORE_METRIC_evictions), 0);
    assert_true(store_metric(stage.lab.s, STORE_METRIC_index_splits) >= SPLITS);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ headers that change in place */

#define CHANGES 300000 /* at most; the readers decide */
#define SAMPLES 3000

static struct {
    uint64_t first;               /* births are counted from here */
    uint32_t expiry[4 * CHANGES]; /* by version */
    uint64_t births[2][SAMPLES];  /* what readers saw */
    uint32_t expiries[2][SAMPLES], n[2];
    bool over;
} inplace;

/* Number, state and expiry in one go. */
static void change_in_place(struct actor *a) {
    for (unsigned op = 0; op < CHANGES && sync_load_acq(&a->stage->busy); op++) {
        struct store_item it;
        struct store_delete d = {.key = store_key(a->stage->lab.s, "A", 1),
                                 .invalidate = true,
                                 .set_expiry = true,
                                 .expiry = 0x1000000u + (uint32_t)rand_below(&a->rand, 1u << 30)};
        store_enter(a->w);
        if (store_delete(a->w, &d, &it) != STORE_OK) BROKEN("A is gone\n");
        store_leave(a->w);
        uint64_t i = it.version - inplace.first;
        if (i >= 4 * CHANGES) BROKEN("a number out of range\n");
        inplace.expiry[i] = d.expiry;
        for (uint64_t k = rand_below(&a->rand, 200); k > 0; k--) sync_pause(); /* or readers hardly get a look */
    }
    sync_store_rel(&inplace.over, true);
}

static void look_on(struct actor *a) {
    struct store_key k = store_key(a->stage->lab.s, "A", 1);
    unsigned me = a->index - 1;
    while (!sync_load_acq(&inplace.over) && inplace.n[me] < SAMPLES) {
        struct store_item it;
        store_enter(a->w);
        if (!store_get(a->w, &k, &it)) BROKEN("A is missed\n");
        store_leave(a->w);
        uint32_t i = inplace.n[me];
        if (i > 0 && inplace.births[me][i - 1] == it.version) {
            if (inplace.expiries[me][i - 1] != it.expiry) BROKEN("one version, two expiries\n");
        } else {
            inplace.births[me][i] = it.version;
            inplace.expiries[me][i] = it.expiry;
            inplace.n[me]++;
        }
    }
    sync_sub_rel(&a->stage->busy, 1);
}

static void test_a_header_is_seen_as_it_was_at_one_moment(void **state) {
    (void)state;
    struct stage stage;
    uint64_t tag = tag_of(1);
    memset(&inplace, 0, sizeof inplace);
    stage_open(&stage, 8 << 20);
    lab_set(&stage.lab, 0, "A", "a value", &tag, 1);
    inplace.first = stage.lab.s->number - NUMBER_BLOCK;
    stage.busy = 2;
    stage_run(&stage, (void (*const[])(struct actor *)){change_in_place, look_on, look_on}, 3);
    unsigned compared = 0;
    for (unsigned r = 0; r < 2; r++)
        for (uint32_t i = 0; i < inplace.n[r]; i++) {
            uint64_t at = inplace.births[r][i] - inplace.first;
            assert_true(at < 4 * CHANGES);
            if (inplace.expiries[r][i] == 0) continue; /* as it was set */
            assert_int_equal(inplace.expiries[r][i], inplace.expiry[at]);
            compared++;
        }
    print_message("%u states compared\n", compared);
    assert_true(compared > 10);
    stage_close(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_are_exact),
        cmocka_unit_test(test_ids_never_repeat),
        cmocka_unit_test(test_a_present_key_is_never_missed),
        cmocka_unit_test(test_a_header_is_seen_as_it_was_at_one_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
