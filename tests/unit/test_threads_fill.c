/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Fills under real threads: one never leaves a value that a purge has overtaken (P3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stage.h"

#define TAGS 4

static struct {
    uint64_t db[TAGS];     /* the truth */
    uint64_t hard[TAGS];   /* no read that begins now may give less */
    uint64_t either[TAGS]; /* nor less without saying that it is stale */
    uint64_t filled, refused, hits, stale;
    unsigned ops;
} p3;

static void check_p3(unsigned t, const struct store_item *it, uint64_t hard, uint64_t either) {
    uint64_t v;
    if (it->size != 8) return;
    memcpy(&v, it->value, 8);
    sync_add(&p3.hits, 1);
    bool stale = it->soft || (it->bits & STORE_STALE);
    if (stale) sync_add(&p3.stale, 1);
    if (v < hard) BROKEN("P3: tag %u gives %llu, purged at %llu\n", t, (long long)v, (long long)hard);
    if (v < either && !stale)
        BROKEN("P3: tag %u gives %llu as fresh, softly purged at %llu\n", t, (long long)v, (long long)either);
}

/* Looks a key up, one way or another; true if it is to be filled under *token. */
static bool look_p3(struct actor *a, unsigned key, uint64_t *token) {
    char name[16];
    unsigned t = key % TAGS;
    struct store_item it;
    uint64_t hard = sync_load_acq(&p3.hard[t]), either = sync_load_acq(&p3.either[t]);
    snprintf(name, sizeof name, "key%u", key);
    struct store_key k = store_key(a->stage->lab.s, name, strlen(name));
    bool fill = false;
    store_enter(a->w);
    if (rand_below(&a->rand, 4) == 0) { /* gets, then cas */
        if (store_get(a->w, &k, &it)) {
            check_p3(t, &it, hard, either);
            *token = it.cas;
            fill = true;
        }
    } else {
        struct store_meta_get g = {.key = k, .vivify = true, .vivify_expiry = store_now(a->w) + 1000};
        enum store_win win;
        bool created;
        enum store_status st = store_meta_get(a->w, &g, &it, &win, &created, NULL);
        if (st == STORE_OK) {
            if (win != STORE_WIN_WON || !created) check_p3(t, &it, hard, either);
            *token = it.cas;
            fill = win == STORE_WIN_WON || rand_below(&a->rand, 8) == 0;
        } else if (st != STORE_AGAIN) {
            BROKEN("a meta get fails: %d\n", st);
        }
    }
    store_leave(a->w);
    return fill;
}

static void fill_p3(struct actor *a) {
    while (sync_load_acq(&a->stage->busy)) {
        unsigned key = (unsigned)rand_below(&a->rand, 16), t = key % TAGS;
        uint64_t token, tag = tag_of(10 + t);
        if (!look_p3(a, key, &token)) continue;
        uint64_t v = sync_load_acq(&p3.db[t]);
        char name[16];
        snprintf(name, sizeof name, "key%u", key);
        struct store_put p = {.key = store_key(a->stage->lab.s, name, strlen(name)),
                              .value = (const char *)&v,
                              .size = 8,
                              .tags = &tag,
                              .ntags = 1,
                              .guarded = true,
                              .guard = token};
        enum store_status st = actor_put(a, &p, NULL);
        if (st == STORE_OK) sync_add(&p3.filled, 1);
        if (st == STORE_EXISTS) sync_add(&p3.refused, 1);
        actor_tick(a);
    }
}

static void purge_p3(struct actor *a) {
    uint64_t token;
    for (unsigned op = 0; op < p3.ops || (sync_load(&p3.filled) < 500 && op < 100 * p3.ops); op++) {
        unsigned t = (unsigned)rand_below(&a->rand, TAGS);
        struct store_selector sel = {.ntags = 1, .tags = {tag_of(10 + t)}};
        bool soft = rand_below(&a->rand, 4) == 0;
        struct store_purge p = {.selectors = &sel, .nselectors = 1, .soft = soft, .soft_ttl_s = 1000};
        if (rand_below(&a->rand, 64) == 0) sel = (struct store_selector){.all = true};
        uint64_t v = sync_add_acqrel(&p3.db[t], 1) + 1;
        lab_purge_by(&a->stage->lab, a->w, &p, NULL);
        if (!soft) sync_store_rel(&p3.hard[t], v);
        sync_store_rel(&p3.either[t], v);
        for (unsigned i = 0; i < 8; i++) (void)look_p3(a, (unsigned)rand_below(&a->rand, 16), &token);
    }
    sync_sub_rel(&a->stage->busy, 1);
}

static void fills(uint64_t limit) {
    struct stage stage;
    memset(&p3, 0, sizeof p3);
    p3.ops = SCALE(20000);
    stage_open(&stage, limit);
    stage.busy = 1;
    stage_run(&stage, (void (*const[])(struct actor *)){purge_p3, fill_p3, fill_p3, fill_p3}, 4);
    print_message("%llu hits, %llu of them stale, %llu fills, %llu refused for a purge, %llu refused\n",
                  (long long)p3.hits, (long long)p3.stale, (long long)p3.filled,
                  (long long)store_metric(stage.lab.s, STORE_METRIC_fills_refused), (long long)p3.refused);
    assert_true(p3.hits > 100 && p3.filled > 100);
    stage_close(&stage);
}

static void test_a_fill_never_leaves_an_overtaken_value(void **state) {
    (void)state;
    fills(16 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fill_never_leaves_an_overtaken_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
