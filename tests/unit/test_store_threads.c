/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store under real threads, the maintenance thread among them. Checkers watch every answer: nothing purged is seen
 * again (P1), a fill never leaves an overtaken value (P3), nothing stored after a purge goes by it (P5), values are
 * whole, sums and ids are exact, and in the end every counter agrees with what is there. Bounded by numbers of
 * operations; nobody sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "store_lab.h"

#ifdef SYNC_TSAN
#define SCALE(n) ((n) / 8)
#else
#define SCALE(n) (n)
#endif

#define MS 1000000ull

/* ------------------------------------------------------------------ threads and room */

struct bench {
    struct lab lab;
    pthread_mutex_t lock;
    pthread_cond_t room;
    pthread_barrier_t begin;
    uint64_t rooms; /* times that room was told */
    unsigned busy;  /* threads that others go on for */
};

struct actor {
    struct bench *b;
    struct store_worker *w;
    unsigned index;
    void (*fn)(struct actor *a);
    struct rand rand;
    pthread_t thread;
};

static void room_told(void *arg) {
    struct bench *b = arg;
    pthread_mutex_lock(&b->lock);
    sync_add(&b->rooms, 1);
    pthread_cond_broadcast(&b->room);
    pthread_mutex_unlock(&b->lock);
}

static void bench_open(struct bench *b, uint64_t limit) {
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->room, NULL);
    lab_open(&b->lab, limit, 0);
    b->lab.s->cfg.events = (struct store_events){.arg = b, .on_room = room_told};
    assert_int_equal(store_start(b->lab.s), 0);
}

static void bench_close(struct bench *b) {
    store_stop(b->lab.s);
    lab_close(&b->lab);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->room);
}

/* Waits until room was told since `seen`. */
static void wait_for_room(struct bench *b, uint64_t seen) {
    pthread_mutex_lock(&b->lock);
    while (b->rooms == seen) pthread_cond_wait(&b->room, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

static void *actor_main(void *arg) {
    struct actor *a = arg;
    pthread_barrier_wait(&a->b->begin);
    a->fn(a);
    return NULL;
}

/* Runs up to LAB_WORKERS threads to their end. */
static void run(struct bench *b, void (*const fns[])(struct actor *), unsigned n) {
    struct actor a[LAB_WORKERS];
    pthread_barrier_init(&b->begin, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        a[i] = (struct actor){.b = b, .w = b->lab.w[i], .index = i, .fn = fns[i]};
        rand_init(&a[i].rand, 1000 + i);
        assert_int_equal(pthread_create(&a[i].thread, NULL, actor_main, &a[i]), 0);
    }
    for (unsigned i = 0; i < n; i++) pthread_join(a[i].thread, NULL);
    pthread_barrier_destroy(&b->begin);
}

/* Puts, waiting for room as a parked connection would. */
static enum store_status put(struct actor *a, struct store_put *p, struct store_item *out) {
    for (;;) {
        uint64_t seen = sync_load_acq(&a->b->rooms);
        store_enter(a->w);
        enum store_status st = store_put(a->w, p, out);
        store_leave(a->w);
        if (st != STORE_AGAIN) return st;
        wait_for_room(a->b, seen);
    }
}

/* Lets the clock go on, so that sweeps begin. */
static void tick(struct actor *a) {
    if (rand_below(&a->rand, 32) == 0) clock_manual_advance(&a->b->lab.clock, 50 * MS);
}

#define BROKEN(...)                                                                                                    \
    do {                                                                                                               \
        fprintf(stderr, __VA_ARGS__);                                                                                  \
        abort();                                                                                                       \
    } while (0)

/* ------------------------------------------------------------------ P1 and P5 */

#define KEYS 48
#define SELECTORS 16
#define IDS (1u << 18)
#define WIDE (PURGE_RECORD_TAGS + 2)

/* Tags spread over the purge table as hashes of names do. */
static uint64_t tag_of(unsigned n) {
    return n * 0x9e3779b97f4a7c15ull;
}

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
    struct store_key k = store_key(a->b->lab.s, name, strlen(name));
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
    while (sync_load_acq(&a->b->busy)) {
        unsigned key = (unsigned)rand_below(&a->rand, KEYS / 2) * 2 + a->index; /* one writer a key */
        uint64_t id = sync_add(&p1.next_id, 1) + 1, ended[SELECTORS];
        if (id >= IDS) return;
        snprintf(name, sizeof name, "key%u", key);
        struct store_put p = {.key = store_key(a->b->lab.s, name, strlen(name)),
                              .value = (const char *)&id,
                              .size = 8,
                              .tags = tags,
                              .ntags = tags_of(key, tags)};
        for (unsigned s = 0; s < SELECTORS; s++) ended[s] = sync_load_acq(&p1.ended[s]);
        if (put(a, &p, NULL) != STORE_OK) BROKEN("a set fails\n");
        sync_store_rel(&p1.done[id], stamp_now());
        uint64_t got = read_id(a, key);
        bool quiet = true;
        for (unsigned s = 0; s < SELECTORS; s++)
            if (p1.matched[key][s] && sync_load_seq(&p1.started[s]) != ended[s]) quiet = false;
        if (quiet && got != id) BROKEN("P5: key %u, stored %llu, found %llu\n", key, (long long)id, (long long)got);
        if (!quiet && got != id && got != 0) BROKEN("key %u shows an older version\n", key);
        if (quiet) sync_add(&p1.held, 1);
        tick(a);
    }
}

static void read_p1(struct actor *a) {
    while (sync_load_acq(&a->b->busy)) check_p1(a, (unsigned)rand_below(&a->rand, KEYS));
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
        (void)__atomic_add_fetch(&p1.started[s], 1, __ATOMIC_SEQ_CST);
        uint64_t began = stamp_now();
        store_purge(a->w, &p);
        sync_store_rel(&p1.purged[s], began);
        (void)__atomic_add_fetch(&p1.ended[s], 1, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < 4; i++) check_p1(a, (unsigned)rand_below(&a->rand, KEYS));
    }
    sync_sub_rel(&a->b->busy, 1);
}

static void test_what_is_purged_stays_away_and_nothing_else_goes(void **state) {
    (void)state;
    struct bench b;
    memset(&p1, 0, sizeof p1);
    p1.stamp = 1;
    for (unsigned k = 0; k < KEYS; k++)
        for (unsigned s = 0; s < SELECTORS; s++) p1.matched[k][s] = selects(s, k);
    bench_open(&b, 16 << 20);
    b.busy = 1;
    run(&b, (void (*const[])(struct actor *)){write_p1, write_p1, read_p1, purge_p1}, 4);
    print_message("%llu hits, %llu undisturbed stores, %llu purges, %llu sweeps\n", (long long)p1.hits,
                  (long long)p1.held, (long long)store_metric(b.lab.s, STORE_METRIC_purges),
                  (long long)store_metric(b.lab.s, STORE_METRIC_sweep_passes));
    assert_true(p1.hits > 100 && p1.held > 100);
    bench_close(&b);
}

/* ------------------------------------------------------------------ P3 */

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
    struct store_key k = store_key(a->b->lab.s, name, strlen(name));
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
    while (sync_load_acq(&a->b->busy)) {
        unsigned key = (unsigned)rand_below(&a->rand, 16), t = key % TAGS;
        uint64_t token, tag = tag_of(10 + t);
        if (!look_p3(a, key, &token)) continue;
        uint64_t v = sync_load_acq(&p3.db[t]);
        char name[16];
        snprintf(name, sizeof name, "key%u", key);
        struct store_put p = {.key = store_key(a->b->lab.s, name, strlen(name)),
                              .value = (const char *)&v,
                              .size = 8,
                              .tags = &tag,
                              .ntags = 1,
                              .guarded = true,
                              .guard = token};
        enum store_status st = put(a, &p, NULL);
        if (st == STORE_OK) sync_add(&p3.filled, 1);
        if (st == STORE_EXISTS) sync_add(&p3.refused, 1);
        tick(a);
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
        store_purge(a->w, &p);
        if (!soft) sync_store_rel(&p3.hard[t], v);
        sync_store_rel(&p3.either[t], v);
        for (unsigned i = 0; i < 8; i++) (void)look_p3(a, (unsigned)rand_below(&a->rand, 16), &token);
    }
    sync_sub_rel(&a->b->busy, 1);
}

static void fills(uint64_t limit) {
    struct bench b;
    memset(&p3, 0, sizeof p3);
    p3.ops = SCALE(20000);
    bench_open(&b, limit);
    b.busy = 1;
    run(&b, (void (*const[])(struct actor *)){purge_p3, fill_p3, fill_p3, fill_p3}, 4);
    print_message("%llu hits, %llu of them stale, %llu fills, %llu refused for a purge, %llu refused\n",
                  (long long)p3.hits, (long long)p3.stale, (long long)p3.filled,
                  (long long)store_metric(b.lab.s, STORE_METRIC_fills_refused), (long long)p3.refused);
    assert_true(p3.hits > 100 && p3.filled > 100);
    bench_close(&b);
}

static void test_a_fill_never_leaves_an_overtaken_value(void **state) {
    (void)state;
    fills(16 << 20);
}

/* ------------------------------------------------------------------ short of memory */

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
    if (large) n = store_inline_max(a->b->lab.s) + 1 + rand_below(&a->rand, 60000);
    make_value(buf, n, key, seed);
    struct store_put p = {.key = *k, .value = (char *)buf, .size = n, .tags = &tag, .ntags = key % 2};
    if (large) {
        if (store_upload_begin(a->w, n, &p.upload) != STORE_OK) return;
        while (store_upload_left(p.upload)) {
            uint64_t seen = sync_load_acq(&a->b->rooms);
            if (lab_upload_some(a->w, p.upload, buf, n, n) != STORE_AGAIN) continue;
            /* Threads that all wait with bodies half done would wait for ever. */
            if (rand_below(&a->rand, 2)) {
                store_upload_abort(a->w, p.upload);
                return;
            }
            wait_for_room(a->b, seen);
        }
    }
    enum store_status st = put(a, &p, NULL);
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
        struct store_key k = store_key(a->b->lab.s, name, strlen(name));
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
            lab_purge(&a->b->lab, a->index, 1, &(uint64_t){tag_of(50 + (unsigned)rand_below(&a->rand, 16))}, op % 2, 3);
        } else if (what < 98) {
            store_set_limit(a->b->lab.s, (2 + rand_below(&a->rand, 3)) << 20);
        } else if (h->token) {
            if (sum_of(h->p, h->n) != h->sum) BROKEN("a pinned value has changed\n");
            store_unpin(a->w, h->token);
            h->token = 0;
        }
        tick(a);
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
    struct bench b;
    bench_open(&b, 3 << 20);
    run(&b, (void (*const[])(struct actor *)){pressed, pressed, pressed, pressed}, 4);
    store_stop(b.lab.s);
    store_sweep_all(b.lab.s);
    struct store_cursor c = {0};
    uint64_t walked = 0;
    while (!c.done) {
        store_enter(b.lab.w[0]);
        store_walk(b.lab.w[0], &c, 1000, count_item, &walked);
        store_leave(b.lab.w[0]);
    }
    struct store_gauges g;
    store_gauges(b.lab.s, &g);
    assert_int_equal(walked, g.items);
    static const enum store_metric shown[] = {STORE_METRIC_evictions,          STORE_METRIC_copied_items,
                                              STORE_METRIC_segments_compacted, STORE_METRIC_sweep_passes,
                                              STORE_METRIC_index_splits,       STORE_METRIC_index_merges};
    print_message("%llu items; evictions, copies, compactions, sweeps, splits, merges:", (long long)walked);
    for (unsigned i = 0; i < sizeof shown / sizeof *shown; i++)
        print_message(" %llu", (long long)store_metric(b.lab.s, shown[i]));
    print_message("\n");
    assert_true(store_metric(b.lab.s, STORE_METRIC_evictions) > 100);
    assert_true(store_metric(b.lab.s, STORE_METRIC_copied_items) > 100);
    assert_int_equal(g.segments_pinned, 0);
    assert_int_equal(g.uploads, 0);
    bench_close(&b);
}

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
            .key = store_key(a->b->lab.s, name, strlen(name)), .delta = rand_below(&a->rand, 1000), .vivify = true};
        r.initial = r.delta;
        uint64_t n;
        bool created;
        enum store_status st;
        do {
            uint64_t seen = sync_load_acq(&a->b->rooms);
            store_enter(a->w);
            st = store_arith(a->w, &r, &n, &created, NULL);
            store_leave(a->w);
            if (st == STORE_AGAIN) wait_for_room(a->b, seen);
        } while (st == STORE_AGAIN);
        if (st != STORE_OK) BROKEN("incr: %d\n", st);
        sync_add(&exact.added[i], r.delta);
        tick(a);
    }
}

/* Reads a number, adds one, stores it if nobody was quicker. */
static void count_by_cas(struct actor *a) {
    struct store_key k = store_key(a->b->lab.s, "by cas", 6);
    for (unsigned op = 0; op < SCALE(20000); op++) {
        struct store_item it;
        uint64_t n = 0;
        store_enter(a->w);
        if (!store_get(a->w, &k, &it)) BROKEN("the number is gone\n");
        memcpy(&n, it.value, 8);
        store_leave(a->w);
        n++;
        struct store_put p = {.key = k, .value = (char *)&n, .size = 8, .guarded = true, .guard = it.cas};
        if (put(a, &p, NULL) == STORE_OK) sync_add(&exact.won, 1);
        tick(a);
    }
}

static void test_sums_are_exact(void **state) {
    (void)state;
    struct bench b;
    uint64_t zero = 0;
    memset(&exact, 0, sizeof exact);
    bench_open(&b, 8 << 20);
    struct store_put p = {.key = store_key(b.lab.s, "by cas", 6), .value = (char *)&zero, .size = 8};
    assert_int_equal(lab_put(&b.lab, 0, &p), STORE_OK);
    run(&b, (void (*const[])(struct actor *)){count_up, count_up, count_by_cas, count_by_cas}, 4);
    for (unsigned i = 0; i < COUNTERS; i++) {
        char name[16], digits[32];
        snprintf(name, sizeof name, "counter%u", i);
        snprintf(digits, sizeof digits, "%llu", (long long)exact.added[i]);
        assert_true(lab_has(&b.lab, 0, name, digits));
    }
    struct store_item it;
    uint64_t n;
    assert_true(lab_get(&b.lab, 0, "by cas", &it));
    memcpy(&n, it.value, 8);
    assert_int_equal(n, exact.won);
    bench_close(&b);
}

/* Everything that gives a new id, on two keys. */
static void make_ids(struct actor *a) {
    for (unsigned op = 0; op < SCALE(ID_OPS); op++) {
        struct store_key k = store_key(a->b->lab.s, op % 2 ? "one" : "two", 3);
        struct store_item it;
        unsigned what = (unsigned)rand_below(&a->rand, 8);
        uint64_t id = 0, n, tag = 5;
        bool created;
        if (what < 4) {
            struct store_put p = {.key = k, .value = "1", .size = 1, .tags = &tag, .ntags = what == 0};
            if (put(a, &p, &it) == STORE_OK) id = it.cas;
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
            lab_purge(&a->b->lab, a->index, 1, &tag, false, 0);
        }
        if (id) exact.ids[a->index][exact.nids[a->index]++] = id;
        tick(a);
    }
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_ids_never_repeat(void **state) {
    (void)state;
    struct bench b;
    memset(&exact, 0, sizeof exact);
    bench_open(&b, 8 << 20);
    run(&b, (void (*const[])(struct actor *)){make_ids, make_ids, make_ids, make_ids}, 4);
    uint64_t *all = calloc(LAB_WORKERS * ID_OPS, sizeof *all), n = 0;
    for (unsigned w = 0; w < LAB_WORKERS; w++)
        for (uint64_t i = 0; i < exact.nids[w]; i++) all[n++] = exact.ids[w][i];
    qsort(all, n, sizeof *all, by_value);
    assert_true(n > 1000);
    for (uint64_t i = 1; i < n; i++) assert_true(all[i] != all[i - 1]);
    free(all);
    bench_close(&b);
}

/* ------------------------------------------------------------------ the index while it is resized */

#define STAYING 500
#define CHURN (4000 + SCALE(16000))

static void churn(struct actor *a) {
    char name[32];
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < CHURN; i++) {
            snprintf(name, sizeof name, "churn-%u-%u", a->index, i);
            struct store_put p = {.key = store_key(a->b->lab.s, name, strlen(name)), .value = "x", .size = 1};
            if (put(a, &p, NULL) != STORE_OK) BROKEN("a set fails\n");
        }
        for (unsigned i = 0; i < CHURN; i++) {
            snprintf(name, sizeof name, "churn-%u-%u", a->index, i);
            if (lab_delete(&a->b->lab, a->index, name) != STORE_OK) BROKEN("%s is gone\n", name);
        }
    }
    sync_sub_rel(&a->b->busy, 1);
}

static void watch_staying(struct actor *a) {
    char name[32];
    while (sync_load_acq(&a->b->busy)) {
        snprintf(name, sizeof name, "stays-%u", (unsigned)rand_below(&a->rand, STAYING));
        if (!lab_get(&a->b->lab, a->index, name, NULL)) BROKEN("%s is missed\n", name);
    }
}

static void test_a_present_key_is_never_missed(void **state) {
    (void)state;
    struct bench b;
    char name[32];
    bench_open(&b, 8 << 20);
    for (unsigned i = 0; i < STAYING; i++) {
        snprintf(name, sizeof name, "stays-%u", i);
        struct store_put p = {.key = store_key(b.lab.s, name, strlen(name)), .value = "x", .size = 1};
        assert_int_equal(lab_put(&b.lab, 0, &p), STORE_OK);
    }
    b.busy = 2;
    run(&b, (void (*const[])(struct actor *)){churn, churn, watch_staying, watch_staying}, 4);
    print_message("%llu splits, %llu merges\n", (long long)store_metric(b.lab.s, STORE_METRIC_index_splits),
                  (long long)store_metric(b.lab.s, STORE_METRIC_index_merges));
    assert_int_equal(store_metric(b.lab.s, STORE_METRIC_evictions), 0);
    assert_true(store_metric(b.lab.s, STORE_METRIC_index_splits) > 10);
    bench_close(&b);
}

/* ------------------------------------------------------------------ headers that change in place */

#define CHANGES 300000 /* at most; the readers decide */
#define SAMPLES 3000

static struct {
    uint64_t first;               /* births are counted from here */
    uint32_t expiry[4 * CHANGES]; /* by birth */
    uint64_t births[2][SAMPLES];  /* what readers saw */
    uint32_t expiries[2][SAMPLES], n[2];
    bool over;
} inplace;

/* Number, state and expiry in one go. */
static void change_in_place(struct actor *a) {
    for (unsigned op = 0; op < CHANGES && sync_load_acq(&a->b->busy); op++) {
        struct store_item it;
        struct store_delete d = {.key = store_key(a->b->lab.s, "A", 1),
                                 .invalidate = true,
                                 .set_expiry = true,
                                 .expiry = 0x1000000u + (uint32_t)rand_below(&a->rand, 1u << 30)};
        store_enter(a->w);
        if (store_delete(a->w, &d, &it) != STORE_OK) BROKEN("A is gone\n");
        store_leave(a->w);
        uint64_t i = it.birth - inplace.first;
        if (i >= 4 * CHANGES) BROKEN("a number out of range\n");
        inplace.expiry[i] = d.expiry;
        for (uint64_t k = rand_below(&a->rand, 200); k > 0; k--) sync_pause(); /* or readers hardly get a look */
    }
    sync_store_rel(&inplace.over, true);
}

static void look_on(struct actor *a) {
    struct store_key k = store_key(a->b->lab.s, "A", 1);
    unsigned me = a->index - 1;
    while (!sync_load_acq(&inplace.over) && inplace.n[me] < SAMPLES) {
        struct store_item it;
        store_enter(a->w);
        if (!store_get(a->w, &k, &it)) BROKEN("A is missed\n");
        store_leave(a->w);
        uint32_t i = inplace.n[me];
        if (i > 0 && inplace.births[me][i - 1] == it.birth) {
            if (inplace.expiries[me][i - 1] != it.expiry) BROKEN("one version, two expiries\n");
        } else {
            inplace.births[me][i] = it.birth;
            inplace.expiries[me][i] = it.expiry;
            inplace.n[me]++;
        }
    }
    sync_sub_rel(&a->b->busy, 1);
}

static void test_a_header_is_seen_as_it_was_at_one_moment(void **state) {
    (void)state;
    struct bench b;
    uint64_t tag = tag_of(1);
    memset(&inplace, 0, sizeof inplace);
    bench_open(&b, 8 << 20);
    lab_set(&b.lab, 0, "A", "a value", &tag, 1);
    inplace.first = b.lab.s->number - NUMBER_BLOCK;
    b.busy = 2;
    run(&b, (void (*const[])(struct actor *)){change_in_place, look_on, look_on}, 3);
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
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_purged_stays_away_and_nothing_else_goes),
        cmocka_unit_test(test_a_fill_never_leaves_an_overtaken_value),
        cmocka_unit_test(test_short_of_memory_every_value_is_whole),
        cmocka_unit_test(test_sums_are_exact),
        cmocka_unit_test(test_ids_never_repeat),
        cmocka_unit_test(test_a_present_key_is_never_missed),
        cmocka_unit_test(test_a_header_is_seen_as_it_was_at_one_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
