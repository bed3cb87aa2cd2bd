/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Purges under real threads: nothing purged is seen again (P1), and nothing stored after a purge goes by it (P5); what
 * the purge table knows is found while it fills up and its entries move. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "stage.h"
#include "store/purge.h"

#define KEYS 48
#define SELECTORS 16
#define IDS (1u << 18)
#define WIDE (PURGE_RECORD_TAGS + 2)

/* Key i carries tag i mod 8, tag 100 + i mod 4, tag 200 + i mod 2; keys with i mod 8 = 7 many more. */
static unsigned tags_of(unsigned key, uint64_t *tags) {
    tags[0] = tag_of(1 + key % 8);
    tags[1] = tag_of(100 + key % 4);
    tags[2] = tag_of(200 + key % 2);
    if (key % 8 != 7) return 3;
    for (unsigned i = 3; i < WIDE; i++) tags[i] = tag_of(300 + i);
    return WIDE;
}

static struct store_selector selector_of(unsigned sel) {
    struct store_selector s = {0};
    if (sel < 8) {
        s = (struct store_selector){.ntags = 1, .tags = {tag_of(1 + sel)}};
    } else if (sel < 12) {
        s = (struct store_selector){.ntags = 2, .tags = {tag_of(100 + sel % 4), tag_of(1 + sel % 8)}};
    } else if (sel < 14) {
        s = (struct store_selector){.ntags = 3,
                                    .tags = {tag_of(1 + sel % 8), tag_of(100 + sel % 4), tag_of(200 + sel % 2)}};
    } else if (sel == 14) {
        s.ntags = tags_of(7, s.tags);
    } else {
        s.all = true;
    }
    return s;
}

static bool selects(unsigned sel, unsigned key) {
    struct store_selector s = selector_of(sel);
    uint64_t tags[WIDE];
    unsigned n = tags_of(key, tags);
    for (unsigned i = 0; i < s.ntags; i++) {
        unsigned k = 0;
        while (k < n && tags[k] != s.tags[i]) k++;
        if (k == n) return false;
    }
    return true;
}

static struct {
    uint64_t stamp;             /* the order of everything */
    uint64_t done[IDS];         /* when the store of a version ended; 0: it has not */
    uint64_t next_id;           /* versions */
    uint64_t purged[SELECTORS]; /* when the latest purge that has ended began */
    uint64_t started[SELECTORS], ended[SELECTORS];
    uint64_t hits, held, matched[KEYS][SELECTORS];
} p1;

static uint64_t stamp_now(void) {
    return sync_add_acqrel(&p1.stamp, 1);
}

static uint64_t read_id(struct actor *a, unsigned key) {
    char name[16];
    struct store_item it;
    uint64_t id = 0;
    snprintf(name, sizeof name, "key%u", key);
    struct store_key k = store_key(a->stage->lab.s, name, strlen(name));
    store_enter(a->w);
    if (store_get(a->w, &k, &it)) {
        if (it.size != 8) BROKEN("a value of %llu bytes\n", (long long)it.size);
        memcpy(&id, it.value, 8);
    }
    store_leave(a->w);
    return id;
}

/* Reads a key and checks P1. */
static void check_p1(struct actor *a, unsigned key) {
    uint64_t floor = 0;
    for (unsigned s = 0; s < SELECTORS; s++)
        if (p1.matched[key][s] && sync_load_acq(&p1.purged[s]) > floor) floor = sync_load_acq(&p1.purged[s]);
    uint64_t id = read_id(a, key);
    if (id == 0) return;
    uint64_t done = sync_load_acq(&p1.done[id]);
    if (done != 0 && done < floor)
        BROKEN("P1: key %u, stored by %llu, purged at %llu\n", key, (long long)done, (long long)floor);
    sync_add(&p1.hits, 1);
}

static void write_p1(struct actor *a) {
    char name[16];
    uint64_t tags[WIDE];
    while (sync_load_acq(&a->stage->busy)) {
        unsigned key = (unsigned)rand_below(&a->rand, KEYS / 2) * 2 + a->index; /* one writer a key */
        uint64_t id = sync_add(&p1.next_id, 1) + 1, ended[SELECTORS];
        if (id >= IDS) return;
        snprintf(name, sizeof name, "key%u", key);
        struct store_put p = {.key = store_key(a->stage->lab.s, name, strlen(name)),
                              .value = (const char *)&id,
                              .size = 8,
                              .tags = tags,
                              .ntags = tags_of(key, tags)};
        for (unsigned s = 0; s < SELECTORS; s++) ended[s] = sync_load_acq(&p1.ended[s]);
        if (actor_put(a, &p, NULL) != STORE_OK) BROKEN("a set fails\n");
        sync_store_rel(&p1.done[id], stamp_now());
        uint64_t got = read_id(a, key);
        bool quiet = true;
        for (unsigned s = 0; s < SELECTORS; s++)
            if (p1.matched[key][s] && sync_load_seq(&p1.started[s]) != ended[s]) quiet = false;
        if (quiet && got != id) BROKEN("P5: key %u, stored %llu, found %llu\n", key, (long long)id, (long long)got);
        if (!quiet && got != id && got != 0) BROKEN("key %u shows an older version\n", key);
        if (quiet) sync_add(&p1.held, 1);
        actor_tick(a);
    }
}

static void read_p1(struct actor *a) {
    while (sync_load_acq(&a->stage->busy)) check_p1(a, (unsigned)rand_below(&a->rand, KEYS));
}

/* On a busy machine the others may hardly have had a turn. */
static bool p1_too_little(void) {
    return sync_load(&p1.hits) < 500 || (sync_load(&p1.held) < 500 && sync_load(&p1.next_id) < IDS);
}

static void purge_p1(struct actor *a) {
    for (unsigned op = 0; op < 20 + SCALE(280) || (op < 100000 && p1_too_little()); op++) {
        unsigned s = (unsigned)rand_below(&a->rand, SELECTORS);
        if (s == 15 && rand_below(&a->rand, 4)) continue;
        struct store_selector sel = selector_of(s);
        struct store_purge p = {.selectors = &sel, .nselectors = 1};
        (void)sync_add_acqrel(&p1.started[s], 1);
        uint64_t began = stamp_now();
        lab_purge_by(&a->stage->lab, a->w, &p, NULL);
        sync_store_rel(&p1.purged[s], began);
        (void)sync_add_acqrel(&p1.ended[s], 1);
        for (unsigned i = 0; i < 4; i++) check_p1(a, (unsigned)rand_below(&a->rand, KEYS));
    }
    sync_sub_rel(&a->stage->busy, 1);
}

static void test_what_is_purged_stays_away_and_nothing_else_goes(void **state) {
    (void)state;
    struct stage stage;
    memset(&p1, 0, sizeof p1);
    p1.stamp = 1;
    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned s = 0; s < SELECTORS; s++) p1.matched[k][s] = selects(s, k);
    stage_open(&stage, 16 << 20);
    stage.busy = 1;
    stage_run(&stage, (void (*const[])(struct actor *)){write_p1, write_p1, read_p1, purge_p1}, 4);
    print_message("%llu hits, %llu undisturbed stores, %llu purges, %llu sweeps\n", (long long)p1.hits,
                  (long long)p1.held, (long long)store_metric(stage.lab.s, STORE_METRIC_purges),
                  (long long)store_metric(stage.lab.s, STORE_METRIC_sweep_passes));
    assert_true(p1.hits > 100 && p1.held > 100);
    stage_close(&stage);
}

/* ------------------------------------------------------------------ a table that fills up */

#define ROUNDS (10 + SCALE(30))

static struct {
    struct purge_table t;
    uint64_t n;       /* tags 0..n-1 are in it */
    uint64_t readers; /* that have seen the table of this round full */
    uint64_t round, looks, moves;
} filling;

static uint64_t filling_tag(uint64_t round, uint64_t i) {
    return hash_tag(&(uint64_t){round << 32 | i}, 8);
}

/* Purges one tag after the other until there is no room. */
static void fill_table(struct actor *a) {
    uint64_t counter = 1000;
    struct purge_plan plan;
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        if (purge_init(&filling.t, 1 << 16)) BROKEN("no memory\n");
        sync_store(&filling.n, 0);
        sync_store_rel(&filling.round, round);
        for (uint64_t i = 0;; i++) {
            struct store_selector sel = {.ntags = 1, .tags = {filling_tag(round, i)}};
            pthread_mutex_lock(&filling.t.lock);
            bool room = purge_prepare(&filling.t, &sel, 1, &plan);
            if (room) purge_commit(&filling.t, &counter, &plan, false, 0, 10, NULL);
            pthread_mutex_unlock(&filling.t.lock);
            if (!room) break;
            sync_store_rel(&filling.n, i + 1);
        }
        sync_add(&filling.moves, filling.t.moves);
        for (unsigned turns = 0; sync_load_acq(&filling.readers) < 2;) sync_wait(&turns);
        sync_store(&filling.readers, 0);
        sync_store_rel(&filling.round, 0);
        for (unsigned turns = 0; sync_load_acq(&filling.readers) < 2;) sync_wait(&turns);
        sync_store(&filling.readers, 0);
        purge_fini(&filling.t);
    }
    sync_sub_rel(&a->stage->busy, 1);
}

static void look_at(uint64_t round, uint64_t i) {
    uint64_t tag = filling_tag(round, i);
    uint32_t deadline;
    if (purge_check(&filling.t, 500, &tag, 1, 10, &deadline) != PURGE_DEAD) BROKEN("an entry is missed\n");
    if (purge_unknown(&filling.t, 500, (const uint8_t *)&tag, 1)) BROKEN("an entry is missed at a glance\n");
    sync_add(&filling.looks, 1);
}

static void look_at_table(struct actor *a) {
    unsigned turns = 0;
    for (uint64_t last = 0; sync_load_acq(&a->stage->busy);) {
        uint64_t round = sync_load_acq(&filling.round), n, seen = 0;
        if (round == last) {
            sync_wait(&turns);
            continue;
        }
        /* Until it has been full for as long as it takes to look at some. */
        for (unsigned same = 0; round && same < 200;) {
            n = sync_load_acq(&filling.n);
            same = n == seen ? same + 1 : 0;
            seen = n;
            if (n) look_at(round, rand_below(&a->rand, n));
        }
        last = round;
        sync_add_acqrel(&filling.readers, 1);
    }
}

static void test_what_the_table_knows_is_found_while_it_moves(void **state) {
    (void)state;
    struct stage stage;
    memset(&filling, 0, sizeof filling);
    stage_open(&stage, 8 << 20);
    stage.busy = 1;
    stage_run(&stage, (void (*const[])(struct actor *)){fill_table, look_at_table, look_at_table}, 3);
    print_message("%llu looks, %llu moves\n", (long long)filling.looks, (long long)filling.moves);
    assert_true(filling.looks > 1000 && filling.moves > 1000);
    stage_close(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_purged_stays_away_and_nothing_else_goes),
        cmocka_unit_test(test_what_the_table_knows_is_found_while_it_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
