/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The store against a naive model: whatever is found must be what was stored last; a miss is allowed only when room is
 * short. Sizes from nothing to several segments, evictions, purges, expiry on a clock that the test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "store/store.h"

struct fixture {
    struct clock_manual clock;
    struct store *s;
    struct store_worker *w;
};

static void open_store(struct fixture *f, uint64_t limit, uint64_t item_max, bool evict, char prefix) {
    clock_manual_init(&f->clock, 1000000000000ull, 1700000000);
    struct store_config cfg = {.memory_limit = limit,
                               .item_size_max = item_max,
                               .workers = 1,
                               .evict = evict,
                               .prefix_delimiter = prefix,
                               .seed = 42,
                               .clock = &f->clock.clock};
    assert_int_equal(store_new(&cfg, &f->s), 0);
    f->w = store_worker(f->s, 0);
}

static void maintain(struct fixture *f) {
    for (int i = 0; i < 200 && store_maintain(f->s); i++) {}
}

static void fill_value(char *p, size_t n, uint64_t seed) {
    for (size_t i = 0; i < n; i++) p[i] = (char)('a' + (seed * 31 + i * 7) % 26);
}

/* Stores through an upload when the value is large, waiting for room as a connection would. */
static enum store_status put(struct fixture *f, struct store_put *p, const char *value, uint64_t size,
                             struct store_item *out) {
    struct store_upload *u = NULL;
    if (size > store_inline_max(f->s)) {
        enum store_status st = store_upload_begin(f->w, size, &u);
        if (st != STORE_OK) return st;
        for (uint64_t at = 0; at < size;) {
            char *q;
            size_t n;
            st = store_upload_span(f->w, u, &q, &n);
            if (st == STORE_AGAIN) {
                maintain(f);
                continue;
            }
            assert_int_equal(st, STORE_OK);
            if (n > 3000) n = 3000;
            memcpy(q, value + at, n);
            store_upload_fill(u, n);
            at += n;
        }
    }
    p->value = value;
    p->size = size;
    p->upload = u;
    for (;;) {
        store_enter(f->w);
        enum store_status st = store_put(f->w, p, out);
        store_leave(f->w);
        if (st != STORE_AGAIN) return st;
        maintain(f);
    }
}

static enum store_status set(struct fixture *f, const char *key, const char *value, const uint64_t *tags, unsigned n) {
    struct store_put p = {.key = store_key(f->s, key, strlen(key)), .tags = tags, .ntags = n};
    return put(f, &p, value, strlen(value), NULL);
}

/* Copies the value out; -1 for a miss. */
static long get(struct fixture *f, const char *key, char *out, struct store_item *it) {
    struct store_item local;
    struct store_key k = store_key(f->s, key, strlen(key));
    if (it == NULL) it = &local;
    store_enter(f->w);
    long n = -1;
    if (store_get(f->w, &k, it)) {
        struct iovec v[64];
        unsigned pieces = store_item_spans(f->w, it, v, 0, 64);
        n = 0;
        for (unsigned i = 0; i < pieces; i++) {
            if (out) memcpy(out + n, v[i].iov_base, v[i].iov_len);
            n += (long)v[i].iov_len;
        }
        assert_int_equal(n, it->size);
    }
    store_leave(f->w);
    return n;
}

static uint64_t purge_tags(struct fixture *f, unsigned n, const uint64_t *tags, bool soft, uint32_t ttl) {
    struct store_selector sel = {.all = n == 0, .ntags = n};
    if (n) memcpy(sel.tags, tags, n * sizeof *tags);
    struct store_purge p = {.selectors = &sel, .nselectors = 1, .soft = soft, .soft_ttl_s = ttl};
    uint64_t number;
    enum store_status st;
    while ((st = store_purge(f->w, &p, &number)) == STORE_AGAIN) store_sweep_all(f->s);
    if (st == STORE_PENDING) store_sweep_all(f->s);
    return number;
}

#define KEYS 3000

struct model {
    bool there;
    uint64_t seed;
    size_t size;
};

static void random_operations(uint64_t limit, size_t size_max, bool complete) {
    struct fixture f;
    open_store(&f, limit, limit / 2, true, 0);
    struct model *m = calloc(KEYS, sizeof *m);
    char *v = malloc(size_max + 1), *got = malloc(size_max + 1);
    unsigned misses = 0, hits = 0;
    srand(7);
    for (unsigned op = 0; op < 60000; op++) {
        char key[32];
        unsigned i = (unsigned)rand() % KEYS, what = (unsigned)rand() % 10;
        snprintf(key, sizeof key, "key-%u", i);
        if (what < 4) {
            size_t size = (size_t)rand() % (size_max + 1);
            if (rand() % 20) size %= 300;
            fill_value(v, size, op);
            struct store_put p = {.key = store_key(f.s, key, strlen(key))};
            assert_int_equal(put(&f, &p, v, size, NULL), STORE_OK);
            m[i] = (struct model){true, op, size};
        } else if (what == 4) {
            struct store_delete d = {.key = store_key(f.s, key, strlen(key))};
            store_enter(f.w);
            store_delete(f.w, &d, NULL);
            store_leave(f.w);
            m[i].there = false;
        } else {
            long n = get(&f, key, got, NULL);
            if (n < 0) {
                misses += m[i].there;
                continue;
            }
            hits++;
            assert_true(m[i].there);
            assert_int_equal(n, m[i].size);
            fill_value(v, m[i].size, m[i].seed);
            assert_memory_equal(got, v, m[i].size);
        }
        if (op % 64 == 0) store_maintain(f.s);
    }
    if (complete) assert_int_equal(misses, 0);
    assert_true(hits > 1000);
    struct store_gauges g;
    store_gauges(f.s, &g);
    assert_true(g.segments * g.segment_bytes + g.index_bytes + g.purge_bytes + g.ghost_bytes <=
                limit + 2 * g.segment_bytes);
    free(m);
    free(v);
    free(got);
    store_free(f.s);
}

static void test_small_values(void **state) {
    (void)state;
    random_operations(64 << 20, 4000, true);
}

static void test_under_pressure(void **state) {
    (void)state;
    random_operations(2 << 20, 3000, false);
}

static void test_large_values(void **state) {
    (void)state;
    random_operations(8 << 20, 400000, false);
}

static void test_many_items_and_resizing(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 64 << 20, 1 << 20, true, 0);
    char key[32];
    for (unsigned i = 0; i < 300000; i++) {
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(set(&f, key, key, NULL, 0), STORE_OK);
        if (i % 256 == 0) store_maintain(f.s);
    }
    maintain(&f);
    struct store_gauges g;
    store_gauges(f.s, &g);
    assert_int_equal(g.items, 300000);
    double per_item = (double)g.index_bytes / (double)g.items;
    print_message("index: %.2f bytes an item\n", per_item);
    assert_true(per_item < 13.0);
    for (unsigned i = 0; i < 300000; i += 7) {
        char v[32];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(get(&f, key, v, NULL), strlen(key));
        assert_memory_equal(v, key, strlen(key));
    }
    /* And smaller again. */
    for (unsigned i = 0; i < 300000; i++) {
        if (i % 50 == 0) continue;
        snprintf(key, sizeof key, "k%u", i);
        struct store_delete d = {.key = store_key(f.s, key, strlen(key))};
        store_enter(f.w);
        assert_int_equal(store_delete(f.w, &d, NULL), STORE_OK);
        store_leave(f.w);
    }
    for (int i = 0; i < 100; i++) store_maintain(f.s);
    uint64_t before = g.index_groups;
    store_gauges(f.s, &g);
    assert_true(g.index_groups < before / 4);
    for (unsigned i = 0; i < 300000; i += 50) {
        snprintf(key, sizeof key, "k%u", i);
        assert_true(get(&f, key, NULL, NULL) > 0);
    }
    store_free(f.s);
}

static void test_tags_and_purges(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    uint64_t a = hash_tag("a", 1), b = hash_tag("b", 1), c = hash_tag("c", 1), ab[] = {a, b}, abc[] = {a, b, c};
    set(&f, "none", "x", NULL, 0);
    set(&f, "A", "x", &a, 1);
    set(&f, "B", "x", &b, 1);
    set(&f, "AB", "x", ab, 2);
    set(&f, "ABC", "x", abc, 3);
    purge_tags(&f, 3, abc, false, 0);
    assert_int_equal(get(&f, "ABC", NULL, NULL), -1);
    assert_int_equal(get(&f, "AB", NULL, NULL), 1);
    set(&f, "ABC", "y", abc, 3);
    assert_int_equal(get(&f, "ABC", NULL, NULL), 1);
    purge_tags(&f, 2, ab, false, 0);
    assert_int_equal(get(&f, "ABC", NULL, NULL), -1);
    assert_int_equal(get(&f, "AB", NULL, NULL), -1);
    assert_int_equal(get(&f, "A", NULL, NULL), 1);
    assert_int_equal(get(&f, "B", NULL, NULL), 1);
    purge_tags(&f, 1, &a, false, 0);
    assert_int_equal(get(&f, "A", NULL, NULL), -1);
    assert_int_equal(get(&f, "B", NULL, NULL), 1);
    purge_tags(&f, 0, NULL, false, 0);
    assert_int_equal(get(&f, "B", NULL, NULL), -1);
    assert_int_equal(get(&f, "none", NULL, NULL), -1);
    store_sweep_all(f.s);
    struct store_gauges g;
    store_gauges(f.s, &g);
    assert_int_equal(g.items, 0);
    store_free(f.s);
}

/* Soft: one winner, the others the stale value, the winner's refill is stored, an old token refused. */
static void test_soft_purge(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    uint64_t a = hash_tag("a", 1);
    for (int swept = 0; swept < 2; swept++) {
        set(&f, "A", "old", &a, 1);
        struct store_item it;
        assert_int_equal(get(&f, "A", NULL, &it), 3);
        uint64_t token = it.cas;
        purge_tags(&f, 1, &a, true, 10);
        if (swept) store_sweep_all(f.s);
        struct store_key k = store_key(f.s, "A", 1);
        assert_int_equal(get(&f, "A", NULL, &it), 3);
        assert_true(it.soft);
        store_enter(f.w);
        assert_int_equal(store_win(f.w, &k, &it), STORE_WIN_WON);
        uint64_t won = it.cas;
        assert_true(won > token);
        assert_int_equal(store_win(f.w, &k, &it), STORE_WIN_OTHERS);
        store_leave(f.w);
        struct store_put p = {.key = k, .tags = &a, .ntags = 1, .guarded = true, .guard = token};
        assert_int_equal(put(&f, &p, "late", 4, NULL), STORE_EXISTS);
        p.guard = won;
        assert_int_equal(put(&f, &p, "fresh", 5, NULL), STORE_OK);
        assert_int_equal(get(&f, "A", NULL, &it), 5);
        assert_false(it.soft);
    }
    purge_tags(&f, 1, &a, true, 10);
    clock_manual_advance(&f.clock, 11000000000ull);
    assert_int_equal(get(&f, "A", NULL, NULL), -1);
    store_free(f.s);
}

/* The race of protocol.md: miss, token, purge, late fill. */
static void test_fill_guard(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    uint64_t a = hash_tag("a", 1);
    struct store_key k = store_key(f.s, "A", 1);
    struct store_meta_get g = {.key = k, .vivify = true, .vivify_expiry = 100};
    struct store_item it;
    enum store_win win;
    bool created;
    store_enter(f.w);
    assert_int_equal(store_meta_get(f.w, &g, &it, &win, &created, NULL), STORE_OK);
    store_leave(f.w);
    assert_true(created && win == STORE_WIN_WON);
    purge_tags(&f, 1, &a, false, 0);
    struct store_put p = {.key = k, .tags = &a, .ntags = 1, .guarded = true, .guard = it.cas};
    assert_int_equal(put(&f, &p, "late", 4, NULL), STORE_EXISTS);
    store_enter(f.w);
    assert_int_equal(store_meta_get(f.w, &g, &it, &win, &created, NULL), STORE_OK);
    store_leave(f.w);
    assert_true(!created && win == STORE_WIN_WON); /* the refusal has re-armed it */
    p.guard = it.cas;
    assert_int_equal(put(&f, &p, "fresh", 5, NULL), STORE_OK);
    assert_int_equal(get(&f, "A", NULL, NULL), 5);
    store_free(f.s);
}

/* The ninth wide conjunction of a pair is done by a sweep, wide ones too; nothing else goes. */
static void test_conjunctions_beyond_the_table(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t tags[3] = {1, 2, 100 + i};
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        set(&f, key, "x", tags, 3);
    }
    for (unsigned i = 0; i < 20; i += 2) {
        uint64_t tags[3] = {1, 2, 100 + i};
        purge_tags(&f, 3, tags, false, 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(get(&f, key, NULL, NULL), i % 2 ? 1 : -1);
    }
    store_free(f.s);
}

/* More purges than the table holds at once: they wait for sweeps, and nothing goes but what they name. */
static void test_purge_table_overflows(void **state) {
    (void)state;
    struct fixture f;
    struct store_gauges g;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        uint64_t t = hash_tag(key, (size_t)snprintf(key, sizeof key, "i%u", i));
        set(&f, key, "x", &t, 1);
    }
    for (unsigned i = 0; i < 30000; i++) {
        char key[16];
        uint64_t t = hash_tag(&i, sizeof i);
        snprintf(key, sizeof key, "k%u", i);
        if (i % 10 == 0) set(&f, key, "x", &t, 1);
        if (i % 10000 == 0) maintain(&f);
        purge_tags(&f, 1, &t, false, 0);
    }
    for (unsigned i = 0; i < 30000; i += 10) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(get(&f, key, NULL, NULL), -1);
    }
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "i%u", i);
        assert_int_equal(get(&f, key, NULL, NULL), 1);
    }
    store_gauges(f.s, &g);
    assert_int_equal(g.purge_floors, 0);
    assert_true(store_metric(f.s, STORE_METRIC_purge_waits) > 0);
    assert_true(store_metric(f.s, STORE_METRIC_purge_waits) < 20);
    store_free(f.s);
}

static void test_expiry_and_prefix_tags(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 8 << 20, 1 << 20, true, ':');
    struct store_put p = {.key = store_key(f.s, "shop:42:cart", 12), .expiry = store_expiry(f.w, 5)};
    put(&f, &p, "x", 1, NULL);
    set(&f, "shop:42:name", "x", NULL, 0);
    set(&f, "shop:43:name", "x", NULL, 0);
    clock_manual_advance(&f.clock, 5000000000ull);
    assert_int_equal(get(&f, "shop:42:cart", NULL, NULL), 1);
    clock_manual_advance(&f.clock, 1000000000ull);
    assert_int_equal(get(&f, "shop:42:cart", NULL, NULL), -1);
    purge_tags(&f, 1, &(uint64_t){hash_tag("shop:42:", 8)}, false, 0);
    assert_int_equal(get(&f, "shop:42:name", NULL, NULL), -1);
    assert_int_equal(get(&f, "shop:43:name", NULL, NULL), 1);
    assert_int_equal(store_metric(f.s, STORE_METRIC_get_expired), 1);
    assert_int_equal(store_metric(f.s, STORE_METRIC_get_purged), 1);
    store_sweep_all(f.s);
    assert_int_equal(store_metric(f.s, STORE_METRIC_expired), 1);
    assert_int_equal(store_metric(f.s, STORE_METRIC_purged_items), 1);
    store_free(f.s);
}

static struct store_cause cause; /* of the last one explained */

static enum store_found explain(struct fixture *f, const char *key, struct store_item *it) {
    struct store_key k = store_key(f->s, key, strlen(key));
    store_enter(f->w);
    enum store_found found = store_explain(f->w, &k, it, &cause);
    store_leave(f->w);
    return found;
}

/* What a purge has taken is told apart from what never was, until a sweep takes it away. */
static void test_explain(void **state) {
    (void)state;
    struct fixture f;
    struct store_item it;
    uint64_t hard = hash_tag("hard", 4), soft = hash_tag("soft", 4);
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    assert_int_equal(explain(&f, "a", &it), STORE_ABSENT);
    assert_int_equal(set(&f, "a", "AA", &hard, 1), STORE_OK);
    assert_int_equal(set(&f, "b", "B", &soft, 1), STORE_OK);
    assert_int_equal(explain(&f, "a", &it), STORE_LIVE);
    assert_int_equal(it.size, 2);
    assert_int_equal(it.ntags, 1);
    assert_int_equal(cause.number, 0);
    uint64_t number = purge_tags(&f, 1, &hard, false, 0);
    assert_int_equal(explain(&f, "a", &it), STORE_HARD_PURGED);
    assert_int_equal(it.size, 2);
    assert_int_equal(cause.number, number);
    assert_int_equal(cause.tag, hard);
    number = purge_tags(&f, 1, &soft, true, 10);
    assert_int_equal(explain(&f, "b", &it), STORE_SOFT_PURGED);
    assert_int_equal(cause.number, number);
    assert_int_equal(cause.tag, soft);
    assert_int_equal(get(&f, "a", NULL, NULL), -1);
    clock_manual_advance(&f.clock, 11000000000ull);
    assert_int_equal(explain(&f, "b", &it), STORE_HARD_PURGED);
    store_sweep_all(f.s);
    assert_int_equal(explain(&f, "a", &it), STORE_ABSENT);
    /* Several tags together, and everything: the purge is known, no tag is to blame. */
    const uint64_t both[] = {hard, soft};
    assert_int_equal(set(&f, "c", "C", both, 2), STORE_OK);
    assert_int_equal(set(&f, "d", "D", NULL, 0), STORE_OK);
    number = purge_tags(&f, 2, both, false, 0);
    assert_int_equal(explain(&f, "c", &it), STORE_HARD_PURGED);
    assert_int_equal(cause.number, number);
    assert_int_equal(cause.tag, 0);
    assert_int_equal(explain(&f, "d", &it), STORE_LIVE);
    assert_int_equal(cause.number, 0);
    number = purge_tags(&f, 0, NULL, false, 0);
    assert_int_equal(explain(&f, "d", &it), STORE_HARD_PURGED);
    assert_int_equal(cause.number, number);
    assert_int_equal(cause.tag, 0);
    store_free(f.s);
}

/* Handles reserve versions; one that gives them up stores above whatever number was taken before. */
static void test_renumber(void **state) {
    (void)state;
    struct fixture f;
    struct store_item it;
    open_store(&f, 8 << 20, 1 << 20, true, 0);
    set(&f, "a", "x", NULL, 0);
    const uint64_t number = store_number(f.s);
    store_renumber(f.w);
    set(&f, "b", "x", NULL, 0);
    assert_int_equal(get(&f, "a", NULL, &it), 1);
    assert_true(it.version <= number);
    assert_int_equal(get(&f, "b", NULL, &it), 1);
    assert_true(it.version > number);
    store_free(f.s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_values),
        cmocka_unit_test(test_under_pressure),
        cmocka_unit_test(test_large_values),
        cmocka_unit_test(test_many_items_and_resizing),
        cmocka_unit_test(test_tags_and_purges),
        cmocka_unit_test(test_soft_purge),
        cmocka_unit_test(test_fill_guard),
        cmocka_unit_test(test_conjunctions_beyond_the_table),
        cmocka_unit_test(test_purge_table_overflows),
        cmocka_unit_test(test_expiry_and_prefix_tags),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_renumber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
