/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Orders of steps: a thread is stopped while it holds a lock. Readers go on wherever it stopped; of those who want to
 * change something only those wait who want to change the same bucket. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "order.h"
#include "store/evict.h"
#include "store/index.h"
#include "threads.h"

#define KEYS 3000

static struct store_key nth(const struct lab *l, unsigned n, char key[32]) {
    return store_key(l->s, key, (size_t)snprintf(key, 32, "key-%u", n));
}

static void fill(struct lab *l) {
    char key[32];
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(lab_set(l, 0, key, key, NULL, 0), STORE_OK);
    }
}

/* ------------------------------------------------------------------ readers */

struct reading {
    struct lab *l;
    unsigned wrong;
};

/* Looks every key up, as a client's get does, and expects its value. */
static void *read_all(void *arg) {
    struct reading *r = arg;
    char key[32];
    for (unsigned i = 0; i < KEYS; i++) {
        struct store_key k = nth(r->l, i, key);
        struct store_item it;
        store_enter(r->l->w[2]);
        if (!store_get(r->l->w[2], &k, &it) || it.size != k.len || memcmp(it.value, key, k.len) != 0)
            r->wrong++;
        else
            store_note_fetch(r->l->w[2], &it);
        store_leave(r->l->w[2]);
    }
    return NULL;
}

/* Every key is found while `fn` is stopped at this point. */
static void readers_go_on(struct lab *l, const char *point, void (*fn)(void *)) {
    struct lab_thread held;
    struct reading r = {l, 0};
    pthread_t t;
    assert_true(lab_run(&held, point, fn, l));
    assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
    assert_true(threads_join(t));
    assert_int_equal(r.wrong, 0);
    lab_finish(&held);
}

static void split(void *lab) {
    struct lab *l = lab;
    for (unsigned i = 0; i < 20; i++) assert_true(index_split(&l->s->ix));
}

static void merge(void *lab) {
    struct lab *l = lab;
    for (unsigned i = 0; i < 20; i++) assert_true(index_merge(&l->s->ix));
}

static void pack(void *lab) {
    struct lab *l = lab;
    for (uint64_t g = 0; g < l->s->ix.groups; g++) (void)index_compact(&l->s->ix, g);
}

static void evict(void *lab) {
    struct lab *l = lab;
    for (unsigned i = 0; i < 3; i++) (void)evict_one(l->s);
}

static void test_readers_go_on_while_the_index_changes(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    for (unsigned i = 0; i < 3; i++) {
        readers_go_on(&l, "index.split", split);
        readers_go_on(&l, "index.merge", merge);
    }
    for (unsigned i = 0; i < KEYS; i += 2) { /* holes, so that there is something to pack */
        char key[32];
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(lab_delete(&l, 0, key), STORE_OK);
    }
    for (unsigned i = 0; i < KEYS; i += 2) {
        char key[32];
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(lab_set(&l, 1, key, key, NULL, 0), STORE_OK);
    }
    lab_close(&l);
}

static void test_readers_go_on_while_the_index_is_packed(void **state) {
    (void)state;
    struct lab l;
    char key[32];
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    for (unsigned i = KEYS; i < 8 * KEYS; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(lab_set(&l, 0, key, "more", NULL, 0), STORE_OK);
    }
    for (unsigned i = KEYS; i < 8 * KEYS; i++) {
        snprintf(key, sizeof key, "key-%u", i);
        assert_int_equal(lab_delete(&l, 0, key), STORE_OK);
    }
    readers_go_on(&l, "index.compact", pack);
    lab_close(&l);
}

/* Eviction holds the bucket of the record that it looks at. */
static void test_readers_go_on_while_a_record_is_evicted(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    struct reading r = {&l, 0};
    (void)read_all(&r); /* hit, so that they are moved and not dropped */
    for (int i = 0; i < 20; i++) lab_next_segment(&l, 0);
    readers_go_on(&l, "evict.locked", evict);
    readers_go_on(&l, "evict.moved", evict);
    lab_close(&l);
}

/* ------------------------------------------------------------------ writers */

static void test_readers_go_on_while_somebody_stores(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    struct helper h = {.l = &l, .key = "key-7", .value = "key-7"};
    struct lab_thread held;
    struct reading r = {&l, 0};
    pthread_t t;
    assert_true(lab_run(&held, "store.put.versioned", run_set, &h));
    assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
    assert_true(threads_join(t));
    assert_int_equal(r.wrong, 0);
    lab_finish(&held);
    assert_int_equal(h.st, STORE_OK);
    lab_close(&l);
}

struct storing {
    struct lab *l;
    unsigned worker;
    unsigned from, to; /* keys; those in the bucket of `held` apart */
    uint64_t held;
    int tid;
};

static void *store_all(void *arg) {
    struct storing *s = arg;
    char key[32];
    sync_store_rel(&s->tid, (int)syscall(SYS_gettid));
    for (unsigned i = s->from; i < s->to; i++) {
        struct store_key k = nth(s->l, i, key);
        if (s->held && index_bucket(&s->l->s->ix, k.hash) == index_bucket(&s->l->s->ix, s->held)) continue;
        struct store_put p = {.key = k, .value = key, .size = k.len};
        (void)lab_put(s->l, s->worker, &p);
    }
    return NULL;
}

static void test_only_the_same_bucket_waits(void **state) {
    (void)state;
    struct lab l;
    char key[32];
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    struct helper h = {.l = &l, .key = "key-7", .value = "key-7"};
    struct lab_thread held;
    struct storing others = {&l, 2, 0, KEYS, nth(&l, 7, key).hash, 0}, same = {&l, 3, 7, 8, 0, 0};
    pthread_t t, waits;
    assert_true(lab_run(&held, "store.put.versioned", run_set, &h)); /* worker 1 */
    assert_int_equal(pthread_create(&t, NULL, store_all, &others), 0);
    assert_true(threads_join(t));
    assert_int_equal(pthread_create(&waits, NULL, store_all, &same), 0);
    while (sync_load_acq(&same.tid) == 0) sched_yield();
    assert_true(threads_await_sleep(same.tid));
    lab_finish(&held);
    assert_true(threads_join(waits));
    assert_true(lab_has(&l, 0, "key-7", "key-7"));
    lab_close(&l);
}

/* A record that is written to in place: who reads it waits for that, asleep, and nobody else does. */
static void touch(void *lab) {
    struct lab *l = lab;
    struct store_key k = store_key(l->s, "T", 1);
    store_enter(l->w[1]);
    assert_int_equal(store_touch(l->w[1], &k, store_now(l->w[1]) + 500, NULL, NULL), STORE_OK);
    store_leave(l->w[1]);
}

static void *read_touched(void *arg) {
    struct storing *s = arg;
    struct store_item it;
    sync_store_rel(&s->tid, (int)syscall(SYS_gettid));
    assert_true(lab_get(s->l, 3, "T", &it));
    return NULL;
}

static void test_only_who_reads_what_is_written_in_place_waits(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 16u << 20, 0);
    fill(&l);
    struct store_put p = {.key = store_key(l.s, "T", 1), .value = "t", .size = 1, .expiry = 1000};
    assert_int_equal(lab_put(&l, 0, &p), STORE_OK);
    struct lab_thread held;
    struct storing reader = {.l = &l};
    pthread_t t;
    assert_true(lab_run(&held, "change.writing", touch, &l));
    assert_int_equal(pthread_create(&t, NULL, read_touched, &reader), 0);
    while (sync_load_acq(&reader.tid) == 0) sched_yield();
    assert_true(threads_await_sleep(reader.tid));
    struct storing others = {&l, 2, 0, KEYS, p.key.hash, 0};
    pthread_t u;
    assert_int_equal(pthread_create(&u, NULL, store_all, &others), 0);
    assert_true(threads_join(u));
    lab_finish(&held);
    assert_true(threads_join(t));
    lab_close(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_go_on_while_the_index_changes),
        cmocka_unit_test(test_readers_go_on_while_the_index_is_packed),
        cmocka_unit_test(test_readers_go_on_while_a_record_is_evicted),
        cmocka_unit_test(test_readers_go_on_while_somebody_stores),
        cmocka_unit_test(test_only_the_same_bucket_waits),
        cmocka_unit_test(test_only_who_reads_what_is_written_in_place_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
