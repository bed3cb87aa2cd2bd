/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whose turn it is to upload: what may be under way, who gives way, who comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_lab.h"

#define LIMIT (16u << 20)
#define QUARTER (LIMIT / 8 / 4) /* of what may be under way */
#define MS 1000000ull

static char body[2 * LIMIT / 8];

static struct store_upload *begin(struct lab *l, uint64_t size) {
    struct store_upload *u;
    assert_int_equal(store_upload_begin(l->w[0], size, &u), STORE_OK);
    return u;
}

static void pass(struct lab *l, uint64_t ms) {
    clock_manual_advance(&l->clock, ms * MS);
    while (store_maintain(l->s)) {}
}

/* So many bytes come. */
static void come(struct lab *l, struct store_upload *u, size_t n) {
    const size_t left = store_upload_left(u) - n;
    while (store_upload_left(u) > left)
        if (lab_upload_some(l->w[0], u, body, sizeof body, store_upload_left(u) - left) == STORE_AGAIN) pass(l, 0);
}

/* The upload has its turn: it can be given bytes. */
static bool may_go_on(struct lab *l, struct store_upload *u) {
    char *p;
    size_t n;
    return store_upload_span(l->w[0], u, &p, &n) == STORE_OK;
}

static struct lab *open_full(struct lab *l, struct store_upload *u[4]) {
    lab_open(l, LIMIT, 0);
    for (int i = 0; i < 4; i++) {
        u[i] = begin(l, QUARTER);
        assert_true(may_go_on(l, u[i]));
        clock_manual_advance(&l->clock, MS);
    }
    return l;
}

static void end(struct lab *l, struct store_upload **u, unsigned n) {
    for (unsigned i = 0; i < n; i++) store_upload_abort(l->w[0], u[i]);
    lab_close(l);
}

static void an_eighth_is_under_way_and_no_more(void **state) {
    struct lab l;
    struct store_upload *u[5];
    struct store_gauges g;
    (void)state;
    open_full(&l, u);
    u[4] = begin(&l, 1);
    assert_true(store_upload_waits(u[4]));
    assert_false(may_go_on(&l, u[4]));
    store_gauges(l.s, &g);
    assert_int_equal(g.uploads, 4);
    store_upload_abort(l.w[0], u[2]); /* one ends: the next has its turn */
    assert_false(store_upload_waits(u[4]));
    u[2] = begin(&l, QUARTER); /* all but one byte are free again */
    assert_true(store_upload_waits(u[2]));
    end(&l, u, 5);
}

static void who_stalls_longest_gives_way(void **state) {
    struct lab l;
    struct store_upload *u[5];
    (void)state;
    open_full(&l, u);
    pass(&l, 900);
    come(&l, u[0], 16384);
    u[4] = begin(&l, QUARTER);
    assert_false(store_upload_displaced(u[1])); /* not for a second yet */
    pass(&l, 99);
    assert_true(store_upload_displaced(u[1]));
    for (int i = 0; i < 4; i++) assert_int_equal(store_upload_displaced(u[i]), i == 1);
    pass(&l, 1000); /* the room that u[1] has yet to give up is enough, however long that takes */
    for (int i = 0; i < 4; i++) assert_int_equal(store_upload_displaced(u[i]), i == 1);
    assert_true(store_upload_waits(u[4]));
    assert_int_equal(store_metric(l.s, STORE_METRIC_uploads_displaced), 1);
    store_upload_abort(l.w[0], u[1]);
    assert_true(may_go_on(&l, u[4]));
    u[1] = begin(&l, 1);
    end(&l, u, 5);
}

/* Nobody waits: nobody gives way, however long it takes. */
static void nobody_gives_way_for_nothing(void **state) {
    struct lab l;
    struct store_upload *u[4];
    (void)state;
    open_full(&l, u);
    pass(&l, 100000);
    for (int i = 0; i < 4; i++) assert_true(may_go_on(&l, u[i]));
    end(&l, u, 4);
}

static void a_byte_now_and_then_is_no_progress(void **state) {
    struct lab l;
    struct store_upload *u[5];
    (void)state;
    open_full(&l, u);
    for (int i = 0; i < 12; i++) {
        pass(&l, 100);
        for (int k = 0; k < 4; k++) come(&l, u[k], k == 0 ? 1000 : 2000); /* 10 and 20 KB a second */
    }
    u[4] = begin(&l, QUARTER);
    for (int i = 0; i < 4; i++) assert_int_equal(store_upload_displaced(u[i]), i == 0);
    end(&l, u, 5);
}

static void once_the_line_is_slow_a_quarter_second_is_enough(void **state) {
    struct lab l;
    struct store_upload *u[5];
    (void)state;
    open_full(&l, u);
    u[4] = begin(&l, QUARTER);
    for (int i = 0; i < 4; i++) {
        pass(&l, 120);
        for (int k = 0; k < 4; k++) come(&l, u[k], 16384);
    }
    pass(&l, 100); /* waits for 580 ms; the others stall for 100 */
    for (int i = 0; i < 4; i++) assert_false(store_upload_displaced(u[i]));
    for (int k = 1; k < 4; k++) come(&l, u[k], 16384);
    pass(&l, 149);
    assert_false(store_upload_displaced(u[0]));
    pass(&l, 2);
    for (int i = 0; i < 4; i++) assert_int_equal(store_upload_displaced(u[i]), i == 0);
    end(&l, u, 5);
}

static void turns_go_in_order(void **state) {
    struct lab l;
    struct store_upload *u[7];
    (void)state;
    open_full(&l, u);
    for (int i = 4; i < 7; i++) u[i] = begin(&l, QUARTER);
    for (int i = 0; i < 3; i++) {
        store_upload_abort(l.w[0], u[i]);
        for (int k = 4; k < 7; k++) assert_int_equal(store_upload_waits(u[k]), k - 4 > i);
    }
    end(&l, u + 3, 4);
}

/* Clients that stall stand in line: who comes last is not behind all of them. */
static void in_a_slow_line_the_newest_takes_turns_with_the_first(void **state) {
    struct lab l;
    struct store_upload *u[9];
    unsigned begun = 0, last_begun = 0;
    (void)state;
    open_full(&l, u);
    for (int i = 4; i < 9; i++) u[i] = begin(&l, QUARTER);
    clock_manual_advance(&l.clock, 600 * MS);
    for (int i = 0; i < 2; i++) store_upload_abort(l.w[0], u[i]);
    for (int i = 4; i < 9; i++) begun += !store_upload_waits(u[i]);
    last_begun = !store_upload_waits(u[8]);
    assert_int_equal(begun, 2);
    assert_int_equal(last_begun, 1);
    assert_false(store_upload_waits(u[4]));
    end(&l, u + 2, 7);
}

static void one_of_any_size_goes_alone(void **state) {
    struct lab l;
    struct store_upload *u[3];
    (void)state;
    lab_open(&l, LIMIT, 0);
    u[0] = begin(&l, QUARTER);
    u[1] = begin(&l, LIMIT / 4);
    assert_true(store_upload_waits(u[1]));
    pass(&l, 1000);
    assert_true(store_upload_displaced(u[0]));
    store_upload_abort(l.w[0], u[0]);
    assert_true(may_go_on(&l, u[1]));
    u[2] = begin(&l, 1);
    assert_true(store_upload_waits(u[2]));
    store_upload_abort(l.w[0], u[1]);
    assert_true(may_go_on(&l, u[2]));
    end(&l, u + 2, 1);
}

/* What is given up while it waits must not get a turn that nobody would use. */
static void who_gives_up_leaves_the_line(void **state) {
    struct lab l;
    struct store_upload *u[6];
    (void)state;
    open_full(&l, u);
    u[4] = begin(&l, QUARTER);
    u[5] = begin(&l, QUARTER);
    store_upload_abort(l.w[0], u[4]);
    store_upload_abort(l.w[0], u[0]);
    assert_true(may_go_on(&l, u[5]));
    u[4] = begin(&l, 1);
    assert_true(store_upload_waits(u[4]));
    end(&l, u + 1, 5);
}

/* append brings its bytes along: stalled bodies do not keep it out. */
static void joining_needs_no_turn(void **state) {
    struct lab l;
    struct store_upload *u[4];
    struct store_put p = {.size = QUARTER};
    (void)state;
    lab_open(&l, LIMIT, 0);
    p.key = store_key(l.s, "k", 1);
    p.upload = lab_upload(&l, 0, body, QUARTER);
    assert_int_equal(lab_put(&l, 0, &p), STORE_OK);
    for (int i = 0; i < 4; i++) u[i] = begin(&l, QUARTER);
    struct store_put more = {.key = store_key(l.s, "k", 1), .mode = STORE_APPEND, .value = "end", .size = 3};
    enum store_status st;
    while ((st = lab_put(&l, 0, &more)) == STORE_AGAIN) pass(&l, 0);
    assert_int_equal(st, STORE_OK);
    end(&l, u, 4);
}

/* Far more than there is room for, sent in turns, a little at a time: each comes to its end, or is displaced; none
 * waits for ever, and none that gets its bytes is displaced. */
static void everybody_comes_to_an_end(uint64_t limit, unsigned n, uint64_t size) {
    struct lab l;
    struct store_upload **u = calloc(n, sizeof *u);
    unsigned left = n;
    lab_open(&l, limit, 0);
    for (unsigned i = 0; i < n; i++) u[i] = begin(&l, size);
    for (unsigned round = 0; left > 0; round++) {
        assert_true(round < 20000);
        for (unsigned i = 0; i < n; i++) {
            if (u[i] == NULL) continue;
            assert_false(store_upload_displaced(u[i]));
            if (store_upload_left(u[i]) > 0) (void)lab_upload_some(l.w[0], u[i], body, sizeof body, 16384);
            if (store_upload_left(u[i]) > 0) continue;
            struct store_put p = {.size = size, .upload = u[i]};
            char key[16];
            p.key = store_key(l.s, key, (size_t)snprintf(key, sizeof key, "k%u", i));
            if (lab_put(&l, 0, &p) == STORE_AGAIN) continue;
            u[i] = NULL;
            left--;
        }
        pass(&l, 1);
    }
    free(u);
    lab_close(&l);
}

static void many_uploads_come_to_an_end(void **state) {
    (void)state;
    everybody_comes_to_an_end(3u << 20, 40, 1u << 20); /* one at a time: each is more than an eighth */
    everybody_comes_to_an_end(16u << 20, 200, 700000);
    everybody_comes_to_an_end(16u << 20, 1000, 20000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_eighth_is_under_way_and_no_more),
        cmocka_unit_test(who_stalls_longest_gives_way),
        cmocka_unit_test(nobody_gives_way_for_nothing),
        cmocka_unit_test(a_byte_now_and_then_is_no_progress),
        cmocka_unit_test(once_the_line_is_slow_a_quarter_second_is_enough),
        cmocka_unit_test(turns_go_in_order),
        cmocka_unit_test(in_a_slow_line_the_newest_takes_turns_with_the_first),
        cmocka_unit_test(one_of_any_size_goes_alone),
        cmocka_unit_test(who_gives_up_leaves_the_line),
        cmocka_unit_test(joining_needs_no_turn),
        cmocka_unit_test(many_uploads_come_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
