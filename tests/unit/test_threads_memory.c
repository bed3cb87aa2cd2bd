/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Real threads short of memory: values are whole, pinned ones too, and in the end every counter agrees with what is
 * there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "stage.h"

#define PRESSED_KEYS 40000
#define PINS 3

struct held {
    uint64_t token;
    const uint8_t *p;
    uint64_t n, sum;
};

/* A value says whose it is, and every byte of it follows from that. */
static void make_value(uint8_t *p, uint64_t n, uint32_t key, uint32_t seed) {
    memcpy(p, &key, 4);
    memcpy(p + 4, &seed, 4);
    for (uint64_t i = 8; i < n; i++) p[i] = (uint8_t)(key * 7 + seed * 13 + i * 31);
}

static void check_value(struct actor *a, const struct store_item *it, uint32_t key) {
    struct iovec v[32];
    uint32_t owner = 0, seed = 0;
    uint64_t at = 0;
    unsigned n = store_item_spans(a->w, it, v, 0, 32);
    for (unsigned k = 0; k < n; k++) {
        const uint8_t *p = v[k].iov_base;
        if (k == 0) {
            memcpy(&owner, p, 4);
            memcpy(&seed, p + 4, 4);
        }
        for (size_t i = 0; i < v[k].iov_len; i++, at++)
            if (at >= 8 && p[i] != (uint8_t)(key * 7 + seed * 13 + at * 31)) BROKEN("a value is torn\n");
    }
    if (owner != key || at != it->size) BROKEN("a value of another key, or not all of it\n");
}

static uint64_t sum_of(const uint8_t *p, uint64_t n) {
    return hash_key(p, n, 1);
}

static void pressed_set(struct actor *a, const struct store_key *k, uint32_t key, uint8_t *buf) {
    uint64_t n = 8 + rand_below(&a->rand, 16) * rand_below(&a->rand, 16) * 8, tag = tag_of(50 + key % 16);
    uint32_t seed = (uint32_t)rand_next(&a->rand);
    bool large = rand_below(&a->rand, 200) == 0;
    if (large) n = store_inline_max(a->stage->lab.s) + 1 + rand_below(&a->rand, 60000);
    make_value(buf, n, key, seed);
    struct store_put p = {.key = *k, .value = (char *)buf, .size = n, .tags = &tag, .ntags = key % 2};
    if (large) {
        if (store_upload_begin(a->w, n, &p.upload) != STORE_OK) return;
        while (store_upload_left(p.upload)) {
            uint64_t seen = sync_load_acq(&a->stage->rooms);
            if (lab_upload_some(a->w, p.upload, buf, n, n) != STORE_AGAIN) continue;
            /* Threads that all wait with bodies half done would wait for ever. */
            if (rand_below(&a->rand, 2)) {
                store_upload_abort(a->w, p.upload);
                return;
            }
            stage_wait(a->stage, seen);
        }
    }
    enum store_status st = actor_put(a, &p, NULL);
    if (st != STORE_OK && st != STORE_NO_MEMORY) BROKEN("a set fails: %d\n", st);
}

static void pressed_get(struct actor *a, const struct store_key *k, uint32_t key, struct held *h) {
    struct store_item it;
    store_enter(a->w);
    if (store_get(a->w, k, &it)) {
        check_value(a, &it, key);
        if (it.value && h->token == 0 && rand_below(&a->rand, 4) == 0) {
            h->token = store_pin(a->w, it.value);
            h->p = (const uint8_t *)it.value;
            h->n = it.size;
            h->sum = sum_of(h->p, h->n);
        }
    }
    store_leave(a->w);
}

static void pressed(struct actor *a) {
    struct held held[PINS] = {0};
    uint8_t *buf = malloc(1 << 18);
    char name[32];
    for (unsigned op = 0; op < SCALE(40000); op++) {
        uint32_t key =
            (uint32_t)(rand_below(&a->rand, PRESSED_KEYS) * rand_below(&a->rand, PRESSED_KEYS) / PRESSED_KEYS);
        unsigned what = (unsigned)rand_below(&a->rand, 100);
        struct held *h = &held[rand_below(&a->rand, PINS)];
        snprintf(name, sizeof name, "pressed%u", key);
        struct store_key k = store_key(a->stage->lab.s, name, strlen(name));
        if (what < 40) {
            pressed_set(a, &k, key, buf);
        } else if (what < 85) {
            pressed_get(a, &k, key, h);
        } else if (what < 90) {
            struct store_delete d = {.key = k};
            store_enter(a->w);
            (void)store_delete(a->w, &d, NULL);
            store_leave(a->w);
        } else if (what < 96) {
            store_enter(a->w);
            (void)store_touch(a->w, &k, store_now(a->w) + 5 + (uint32_t)rand_below(&a->rand, 60), NULL, NULL);
            store_leave(a->w);
        } else if (what < 97) {
            lab_purge(&a->stage->lab, a->index, 1, &(uint64_t){tag_of(50 + (unsigned)rand_below(&a->rand, 16))}, op % 2,
                      3);
        } else if (what < 98) {
            store_set_limit(a->stage->lab.s, (2 + rand_below(&a->rand, 3)) << 20);
        } else if (h->token) {
            if (sum_of(h->p, h->n) != h->sum) BROKEN("a pinned value has changed\n");
            store_unpin(a->w, h->token);
            h->token = 0;
        }
        actor_tick(a);
    }
    for (unsigned i = 0; i < PINS; i++)
        if (held[i].token) store_unpin(a->w, held[i].token);
    free(buf);
}

static bool count_item(void *arg, const struct store_item *it) {
    (void)it;
    ++*(uint64_t *)arg;
    return true;
}

static void test_short_of_memory_every_value_is_whole(void **state) {
    (void)state;
    struct stage stage;
    stage_open(&stage, 3 << 20);
    stage_run(&stage, (void (*const[])(struct actor *)){pressed, pressed, pressed, pressed}, 4);
    store_stop(stage.lab.s);
    store_sweep_all(stage.lab.s);
    struct store_cursor c = {0};
    uint64_t walked = 0;
    while (!c.done) {
        store_enter(stage.lab.w[0]);
        store_walk(stage.lab.w[0], &c, 1000, count_item, &walked);
        store_leave(stage.lab.w[0]);
    }
    struct store_gauges g;
    store_gauges(stage.lab.s, &g);
    assert_int_equal(walked, g.items);
    static const enum store_metric shown[] = {STORE_METRIC_evictions,          STORE_METRIC_copied_items,
                                              STORE_METRIC_segments_compacted, STORE_METRIC_sweep_passes,
                                              STORE_METRIC_index_splits,       STORE_METRIC_index_merges};
    print_message("%llu items; evictions, copies, compactions, sweeps, splits, merges:", (long long)walked);
    for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++)
        print_message(" %llu", (long long)store_metric(stage.lab.s, shown[i]));
    print_message("\n");
    assert_true(store_metric(stage.lab.s, STORE_METRIC_evictions) > 100);
    assert_true(store_metric(stage.lab.s, STORE_METRIC_copied_items) > 100);
    assert_int_equal(g.segments_pinned, 0);
    assert_int_equal(g.uploads, 0);
    stage_close(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_of_memory_every_value_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
