/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A store that erases: what of a value is left in the arena when a counted purge has ended. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/item.h"
#include "store/retire.h"
#include "store_lab.h"

#define CANARY "canary:7c1e94"
#define LIMIT (4u << 20)
#define ROUNDS_MAX 1000 /* of maintenance, until a purge has ended that nobody holds up */

static const uint64_t tag = 77, other = 78;

static struct told {
    struct store *s;
    unsigned carried_out, erased;
    int64_t n;
    struct store_erasing wait;
} told;

static void on_erased(struct store_erasing *w) {
    assert_ptr_equal(w, &told.wait);
    told.erased++;
}
static void on_job(void *arg, void *token, int64_t n, uint64_t bytes) {
    (void)arg;
    (void)token;
    (void)bytes;
    told.carried_out++;
    told.n = n;
    told.wait.done = on_erased;
    if (told.s->cfg.erase)
        store_erase(told.s, &told.wait);
    else
        told.erased++;
}

static void open_told(struct lab *l, bool erase) {
    if (erase)
        lab_open_erasing(l, LIMIT);
    else
        lab_open(l, LIMIT, 0);
    l->s->cfg.events = (struct store_events){.on_job = on_job};
    memset(&told, 0, sizeof told);
    told.s = l->s;
}

/* Canaries in the arena. */
static unsigned canaries(const struct lab *l) {
    const uint8_t *p = l->s->segs.arena, *const end = p + (uint64_t)l->s->segs.touched * l->s->segs.bytes;
    unsigned n = 0;
    while ((p = memmem(p, (size_t)(end - p), CANARY, sizeof CANARY - 1)) != NULL) {
        n++;
        p += sizeof CANARY - 1;
    }
    return n;
}

static void begin_purge(struct lab *l, const uint64_t *of) {
    struct store_selector sel = {.ntags = 1, .tags = {*of}};
    const struct store_purge p = {.selectors = &sel, .nselectors = 1, .counted = true};
    uint64_t number;
    assert_int_equal(store_purge(l->w[0], &p, &number), STORE_PENDING);
}

/* Runs maintenance until the purge has ended, or as often as there may be something to do. */
static bool maintain(struct lab *l) {
    for (unsigned i = 0; i < ROUNDS_MAX && told.erased == 0; i++) (void)store_maintain(l->s);
    return told.erased != 0;
}

static void store_several(struct lab *l) {
    char key[32], value[600];
    for (unsigned i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "%s%u", i % 2 ? "A" : "keep", i);
        snprintf(value, sizeof value, "%s %0*u", i % 2 ? CANARY : "good", (int)(i + 1), i);
        assert_int_equal(lab_set(l, i % LAB_WORKERS, key, value, i % 2 ? &tag : &other, 1), STORE_OK);
    }
}

static void check_kept(struct lab *l) {
    char key[32], value[600];
    for (unsigned i = 0; i < 400; i += 2) {
        snprintf(key, sizeof key, "keep%u", i);
        snprintf(value, sizeof value, "good %0*u", (int)(i + 1), i);
        assert_true(lab_has(l, 0, key, value));
    }
}

/* What was replaced or deleted before the purge goes, too: it may have carried the tag. */
static void make_dead(struct lab *l) {
    assert_int_equal(lab_set(l, 0, "A1", CANARY " again", &tag, 1), STORE_OK);
    assert_int_equal(lab_set(l, 0, "A3", "harmless", NULL, 0), STORE_OK);
    assert_int_equal(lab_delete(l, 0, "A5"), STORE_OK);
}

static void test_nothing_is_left(void **state) {
    (void)state;
    struct lab l;
    open_told(&l, true);
    store_several(&l);
    make_dead(&l);
    assert_true(canaries(&l) >= 200);
    begin_purge(&l, &tag);
    assert_true(maintain(&l));
    assert_int_equal(told.carried_out, 1);
    assert_int_equal(told.n, 198);
    assert_int_equal(canaries(&l), 0);
    check_kept(&l);
    assert_true(lab_has(&l, 0, "A3", "harmless"));
    assert_true(store_metric(l.s, STORE_METRIC_erased_bytes) > 0);
    /* What is overwritten is not looked at again. */
    const uint64_t bytes = store_metric(l.s, STORE_METRIC_erased_bytes);
    told.erased = 0;
    begin_purge(&l, &tag);
    assert_true(maintain(&l));
    assert_int_equal(store_metric(l.s, STORE_METRIC_erased_bytes), bytes);
    lab_close(&l);
}

/* That the scan would find something: without erasing it does. */
static void test_without_it_all_is_left(void **state) {
    (void)state;
    struct lab l;
    open_told(&l, false);
    store_several(&l);
    begin_purge(&l, &tag);
    assert_true(maintain(&l));
    assert_true(canaries(&l) >= 200);
    lab_close(&l);
}

/* Records too short for a piece's header keep their length as items without a key. */
static void test_short_records(void **state) {
    (void)state;
    struct lab l;
    open_told(&l, true);
    const char *const keys[] = {"k", "kk", "kkk", "kkkk", "kkkkk"};
    for (unsigned i = 0; i < 5; i++) assert_int_equal(lab_set(&l, 0, keys[i], "", NULL, 0), STORE_OK);
    assert_int_equal(lab_set(&l, 0, "behind", "them", NULL, 0), STORE_OK);
    for (unsigned i = 0; i < 5; i++) assert_int_equal(lab_delete(&l, 0, keys[i]), STORE_OK);
    const uint32_t at = segment_first(lab_segment(&l, "behind"));
    const uint8_t *p = segment_at(&l.s->segs, segment_base(&l.s->segs, lab_segment(&l, "behind")) + at);
    assert_memory_equal(p + ITEM_FIXED, "k", 1);
    begin_purge(&l, &tag);
    assert_true(maintain(&l));
    assert_memory_not_equal(p + ITEM_FIXED, "k", 1);
    assert_null(memmem(p, 60, "kk", 2));
    assert_true(lab_has(&l, 0, "behind", "them"));
    lab_close(&l);
}

/* Whether a reader's section keeps a value from being overwritten under him that dies while a round looks for such. */
static bool waits_for_readers(const char *mutation) {
    struct lab l;
    struct store_item it;
    open_told(&l, true);
    lab_set(&l, 0, "A", CANARY, &tag, 1);
    lab_set(&l, 0, "B", CANARY, &other, 1);
    begin_purge(&l, &tag);
    while (l.s->maintain.erase.state != ERASE_WALK) (void)store_maintain(l.s);
    const struct store_key k = store_key(l.s, "B", 1);
    store_enter(l.w[1]);
    assert_true(store_get(l.w[1], &k, &it));
    assert_int_equal(lab_delete(&l, 2, "B"), STORE_OK);
    lab_mutate(mutation);
    (void)maintain(&l);
    const bool same = memcmp(it.value, CANARY, sizeof CANARY - 1) == 0;
    store_leave(l.w[1]);
    lab_mutate(NULL);
    assert_true(maintain(&l));
    assert_int_equal(canaries(&l), 0);
    lab_close(&l);
    return same;
}

static void test_readers(void **state) {
    (void)state;
    assert_true(waits_for_readers(NULL));
    assert_false(waits_for_readers("erase.mutate.no_grace"));
}

/* Whether a pin does, when the section is over; and the purge has been carried out meanwhile. */
static bool waits_for_pins(const char *mutation) {
    struct lab l;
    struct store_item it;
    open_told(&l, true);
    lab_set(&l, 0, "A", CANARY, &tag, 1);
    const struct store_key k = store_key(l.s, "A", 1);
    store_enter(l.w[1]);
    assert_true(store_get(l.w[1], &k, &it));
    const uint64_t pin = store_pin(l.w[1], it.value);
    store_leave(l.w[1]);
    lab_mutate(mutation);
    begin_purge(&l, &tag);
    (void)maintain(&l);
    assert_int_equal(told.carried_out, 1);
    const bool same = memcmp(it.value, CANARY, sizeof CANARY - 1) == 0;
    store_unpin(l.w[1], pin);
    assert_true(maintain(&l));
    lab_close(&l);
    return same;
}

static void test_pins(void **state) {
    (void)state;
    assert_true(waits_for_pins(NULL));
    assert_false(waits_for_pins("erase.mutate.no_pins"));
}

/* A body whose line came before the purge is refused by it; the purge ends when that one has. */
static void test_a_body_on_its_way(void **state) {
    (void)state;
    struct lab l;
    const uint64_t size = 100000;
    char *body = malloc(size);
    for (uint64_t i = 0; i < size; i++) body[i] = CANARY[i % (sizeof CANARY - 1)];
    open_told(&l, true);
    struct store_upload *u, *given_up = lab_upload(&l, 1, body, size);
    assert_int_equal(store_upload_begin(l.w[0], size, &u), STORE_OK);
    assert_int_equal(lab_upload_some(l.w[0], u, body, size, 5000), STORE_OK);
    begin_purge(&l, &tag);
    assert_false(maintain(&l));
    store_upload_abort(l.w[1], given_up);
    assert_false(maintain(&l));
    assert_int_equal(told.carried_out, 1);
    while (store_upload_left(u) > 0) assert_int_equal(lab_upload_some(l.w[0], u, body, size, SIZE_MAX), STORE_OK);
    struct store_put p = {.key = store_key(l.s, "A", 1), .size = size, .upload = u, .tags = &tag, .ntags = 1};
    assert_int_not_equal(lab_put(&l, 0, &p), STORE_AGAIN);
    assert_true(maintain(&l));
    assert_int_equal(canaries(&l), 0);
    lab_close(&l);
    free(body);
}

/* Eviction and compaction have left copies everywhere. */
static void test_what_was_moved(void **state) {
    (void)state;
    struct lab l;
    char key[32], value[2000];
    open_told(&l, true);
    memset(value, '.', sizeof value);
    memcpy(value, CANARY, sizeof CANARY - 1);
    value[sizeof value - 1] = '\0';
    for (unsigned i = 0; i < 16000; i++) {
        value[1999 - i % 1900] = '\0';
        snprintf(key, sizeof key, "k%u", i % 9000);
        assert_int_equal(lab_set(&l, i % LAB_WORKERS, key, value, i % 5 ? &tag : &other, 1), STORE_OK);
        value[1999 - i % 1900] = '.';
        value[1999] = '\0';
        if (i % 3 == 0) (void)lab_get(&l, 0, key, NULL);
        if (i % 7 == 0) (void)lab_delete(&l, 0, key);
    }
    assert_true(store_metric(l.s, STORE_METRIC_segments_evicted) > 0);
    lab_purge(&l, 0, 1, &other, false, 0);
    begin_purge(&l, &tag);
    assert_true(maintain(&l));
    assert_int_equal(canaries(&l), 0);
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_without_it_all_is_left),
        cmocka_unit_test(test_short_records),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_a_body_on_its_way),
        cmocka_unit_test(test_what_was_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
