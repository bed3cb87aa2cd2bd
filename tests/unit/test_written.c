/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The set of keys that were changed while they moved: what is added is found, by several threads, and its bound. */
#include "cluster/written.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "threads.h"

#define MIB (1024 * UINT64_C(1024))
#define THREADS 4

static uint64_t hash_of(uint64_t i) {
    return i * UINT64_C(0x9e3779b97f4a7c15);
}

static void test_what_was_added_is_found(void **state) {
    (void)state;
    struct written *w = written_new(64 * MIB);
    assert_non_null(w);
    assert_false(written_has(w, 0));
    assert_true(written_add(w, 0));
    assert_true(written_has(w, 0));
    for (uint64_t i = 2; i < 20000; i += 2) assert_true(written_add(w, hash_of(i)));
    for (uint64_t i = 2; i < 20000; i += 2) {
        assert_true(written_has(w, hash_of(i)));
        assert_false(written_has(w, hash_of(i + 1)));
    }
    assert_int_equal(written_count(w), 10000);
    assert_true(written_add(w, hash_of(2)));
    assert_int_equal(written_count(w), 10000); /* it was there */
    written_free(w);
}

/* One in a hundred of the node's memory, at 12 bytes a key; then nothing is taken over any more. */
static void test_its_bound(void **state) {
    (void)state;
    struct written *w = written_new(100 * MIB);
    assert_int_equal(WRITTEN_PARTS, 100);
    assert_int_equal(WRITTEN_BYTES_A_KEY, 12);
    assert_int_equal(written_room(w), MIB / 12);
    uint64_t i = 1;
    while (written_add(w, hash_of(i))) i++;
    assert_int_equal(i - 1, MIB / 12);
    assert_true(written_is_full(w));
    assert_true(written_has(w, hash_of(1)));
    assert_true(written_has(w, hash_of(i + 1000))); /* it may have been written */
    written_free(w);
    w = written_new(1);
    assert_int_equal(written_room(w), WRITTEN_LEAST_BYTES / 12);
    written_free(w);
}

static void test_closed_it_has_everything(void **state) {
    (void)state;
    struct written *w = written_new(64 * MIB);
    assert_true(written_add(w, 1));
    written_close(w);
    assert_true(written_is_full(w));
    assert_true(written_has(w, 2));
    assert_false(written_add(w, 3));
    written_free(w);
}

static struct written *shared;

/* Each adds keys of its own, and keys that all add. */
static void *add_many(void *arg) {
    const uint64_t from = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 1; i <= 5000; i++) {
        (void)written_add(shared, hash_of(from * 100000 + i));
        (void)written_add(shared, hash_of(i));
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state) {
    (void)state;
    pthread_t t[THREADS];
    shared = written_new(64 * MIB);
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, add_many, (void *)(i + 1)),
                         0); // NOLINT(performance-no-int-to-ptr)
    for (unsigned i = 0; i < THREADS; i++) assert_true(threads_join(t[i]));
    for (uint64_t from = 0; from <= THREADS; from++)
        for (uint64_t i = 1; i <= 5000; i++) assert_true(written_has(shared, hash_of(from * 100000 + i)));
    assert_int_equal(written_count(shared), 5000 * (THREADS + 1));
    written_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_added_is_found),
        cmocka_unit_test(test_its_bound),
        cmocka_unit_test(test_closed_it_has_everything),
        cmocka_unit_test(test_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
