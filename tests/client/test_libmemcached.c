/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libmemcached, the C library under most clients, against a whole node: what it has always done must work as ever, and
 * tags and purges must work through it although it knows nothing of them. Real sockets, real threads, a clock that the
 * test moves.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmemcached/memcached.h>

#include "base/sync.h"
#include "tests/lib/subject.h"

#define THREADS 4

struct world {
    char dir[64];
    struct subject *subject;
    memcached_st *mc;
};

static memcached_st *client(struct world *w) {
    memcached_st *mc = memcached_create(NULL);
    assert_non_null(mc);
    assert_int_equal(memcached_server_add(mc, "127.0.0.1", (in_port_t)subject_port(w->subject)), MEMCACHED_SUCCESS);
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    return mc;
}

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    strcpy(w->dir, "/tmp/tagcached-client-XXXXXX");
    if (mkdtemp(w->dir) == NULL) return -1;
    struct subject_config cfg = {.dir = w->dir, .spawn = getenv("TAGCACHED_SPAWN")};
    w->subject = subject_start(&cfg, "-l 127.0.0.1:0 -t 4");
    if (w->subject == NULL) return -1;
    w->mc = client(w);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    memcached_free(w->mc);
    int bad = subject_stop(w->subject);
    rmdir(w->dir);
    free(w);
    return bad;
}

static void set(memcached_st *mc, const char *key, const char *value, time_t ttl, uint32_t flags) {
    assert_int_equal(memcached_set(mc, key, strlen(key), value, strlen(value), ttl, flags), MEMCACHED_SUCCESS);
}

/* value NULL: must be a miss. */
static void expect(memcached_st *mc, const char *key, const char *value) {
    size_t n;
    uint32_t flags;
    memcached_return_t rc;
    char *got = memcached_get(mc, key, strlen(key), &n, &flags, &rc);
    if (value == NULL) {
        assert_int_equal(rc, MEMCACHED_NOTFOUND);
        assert_null(got);
        return;
    }
    assert_int_equal(rc, MEMCACHED_SUCCESS);
    assert_int_equal(n, strlen(value));
    assert_memory_equal(got, value, n);
    free(got);
}

static void purge(memcached_st *mc, const char *selector) {
    char key[256];
    size_t n = (size_t)snprintf(key, sizeof key, "any|#|p=%s", selector);
    assert_int_equal(memcached_delete(mc, key, n, 0), MEMCACHED_SUCCESS);
}

/* ------------------------------------------------------------------ as ever */

static void test_set_and_get(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    size_t n;
    uint32_t flags;
    memcached_return_t rc;
    const char blob[] = "a\r\nb\0c\r\nEND\r\n";
    expect(mc, "k", NULL);
    assert_int_equal(memcached_set(mc, "k", 1, blob, sizeof blob, 0, 0xdeadbeef), MEMCACHED_SUCCESS);
    char *got = memcached_get(mc, "k", 1, &n, &flags, &rc);
    assert_int_equal(rc, MEMCACHED_SUCCESS);
    assert_int_equal(n, sizeof blob);
    assert_int_equal(flags, 0xdeadbeef);
    assert_memory_equal(got, blob, n);
    free(got);
    set(mc, "k", "", 0, 0);
    got = memcached_get(mc, "k", 1, &n, &flags, &rc);
    assert_int_equal(rc, MEMCACHED_SUCCESS);
    assert_int_equal(n, 0);
    free(got);
}

static void test_large_values(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    for (size_t size = 1; size < 1000000; size = size * 3 + 7) {
        char *v = malloc(size);
        for (size_t i = 0; i < size; i++) v[i] = (char)(i * 7 + size);
        size_t n;
        uint32_t flags;
        memcached_return_t rc;
        assert_int_equal(memcached_set(mc, "big", 3, v, size, 0, 0), MEMCACHED_SUCCESS);
        char *got = memcached_get(mc, "big", 3, &n, &flags, &rc);
        assert_int_equal(n, size);
        assert_memory_equal(got, v, size);
        free(got);
        free(v);
    }
    char *v = calloc(1, 1 << 20);
    memcached_return_t rc = memcached_set(mc, "big", 3, v, 1 << 20, 0, 0);
    assert_true(rc == MEMCACHED_E2BIG || rc == MEMCACHED_SERVER_ERROR);
    free(v);
    expect(mc, "big", NULL);
}

static void test_mget(void **state) {
    enum { N = 1000 };
    memcached_st *mc = ((struct world *)*state)->mc;
    static char keys[N][16];
    const char *names[N];
    size_t lens[N];
    bool seen[N] = {false};
    for (int i = 0; i < N; i++) {
        lens[i] = (size_t)snprintf(keys[i], sizeof keys[i], "key:%d", i);
        names[i] = keys[i];
        if (i % 3 == 0) set(mc, keys[i], keys[i], 0, (uint32_t)i);
    }
    assert_int_equal(memcached_mget(mc, names, lens, N), MEMCACHED_SUCCESS);
    memcached_return_t rc;
    int found = 0;
    for (memcached_result_st *r; (r = memcached_fetch_result(mc, NULL, &rc)) != NULL; memcached_result_free(r)) {
        uint32_t i = memcached_result_flags(r);
        assert_true(i < N && i % 3 == 0 && !seen[i]);
        seen[i] = true;
        found++;
        assert_int_equal(memcached_result_length(r), lens[i]);
        assert_memory_equal(memcached_result_value(r), keys[i], lens[i]);
    }
    assert_int_equal(found, (N + 2) / 3);
}

static void test_conditional_stores(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    assert_int_equal(memcached_replace(mc, "k", 1, "x", 1, 0, 0), MEMCACHED_NOTSTORED);
    assert_int_equal(memcached_append(mc, "k", 1, "x", 1, 0, 0), MEMCACHED_NOTSTORED);
    assert_int_equal(memcached_prepend(mc, "k", 1, "x", 1, 0, 0), MEMCACHED_NOTSTORED);
    assert_int_equal(memcached_add(mc, "k", 1, "b", 1, 0, 0), MEMCACHED_SUCCESS);
    assert_int_equal(memcached_add(mc, "k", 1, "y", 1, 0, 0), MEMCACHED_NOTSTORED);
    assert_int_equal(memcached_append(mc, "k", 1, "c", 1, 0, 0), MEMCACHED_SUCCESS);
    assert_int_equal(memcached_prepend(mc, "k", 1, "a", 1, 0, 0), MEMCACHED_SUCCESS);
    expect(mc, "k", "abc");
    assert_int_equal(memcached_replace(mc, "k", 1, "z", 1, 0, 0), MEMCACHED_SUCCESS);
    expect(mc, "k", "z");
}

/* The CAS id of a key. */
static uint64_t cas_of(memcached_st *mc, const char *key) {
    size_t n = strlen(key);
    memcached_return_t rc;
    assert_int_equal(memcached_mget(mc, &key, &n, 1), MEMCACHED_SUCCESS);
    memcached_result_st *r = memcached_fetch_result(mc, NULL, &rc);
    assert_non_null(r);
    uint64_t id = memcached_result_cas(r);
    memcached_result_free(r);
    assert_null(memcached_fetch_result(mc, NULL, &rc));
    return id;
}

static void test_cas(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    set(mc, "k", "one", 0, 0);
    uint64_t first = cas_of(mc, "k");
    assert_int_equal(first, cas_of(mc, "k"));
    assert_int_equal(memcached_cas(mc, "k", 1, "two", 3, 0, 0, first), MEMCACHED_SUCCESS);
    assert_true(cas_of(mc, "k") > first);
    assert_int_equal(memcached_cas(mc, "k", 1, "three", 5, 0, 0, first), MEMCACHED_DATA_EXISTS);
    expect(mc, "k", "two");
    assert_int_equal(memcached_cas(mc, "none", 4, "x", 1, 0, 0, first), MEMCACHED_NOTFOUND);
}

static void test_counting(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    uint64_t v;
    assert_int_equal(memcached_increment(mc, "n", 1, 1, &v), MEMCACHED_NOTFOUND);
    set(mc, "n", "10", 0, 0);
    assert_int_equal(memcached_increment(mc, "n", 1, 5, &v), MEMCACHED_SUCCESS);
    assert_int_equal(v, 15);
    assert_int_equal(memcached_decrement(mc, "n", 1, 6, &v), MEMCACHED_SUCCESS);
    assert_int_equal(v, 9);
    expect(mc, "n", "9");
    assert_int_equal(memcached_decrement(mc, "n", 1, 100, &v), MEMCACHED_SUCCESS);
    assert_int_equal(v, 0);
    set(mc, "w", "word", 0, 0);
    assert_int_not_equal(memcached_increment(mc, "w", 1, 1, &v), MEMCACHED_SUCCESS);
    expect(mc, "w", "word");
}

static void test_delete(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    assert_int_equal(memcached_delete(mc, "k", 1, 0), MEMCACHED_NOTFOUND);
    set(mc, "k", "x", 0, 0);
    assert_int_equal(memcached_delete(mc, "k", 1, 0), MEMCACHED_SUCCESS);
    expect(mc, "k", NULL);
}

static void test_expiry(void **state) {
    struct world *w = *state;
    set(w->mc, "brief", "x", 10, 0);
    set(w->mc, "ever", "y", 0, 0);
    assert_int_equal(subject_advance(w->subject, 9000), 0);
    expect(w->mc, "brief", "x");
    assert_int_equal(memcached_touch(w->mc, "brief", 5, 10), MEMCACHED_SUCCESS);
    assert_int_equal(subject_advance(w->subject, 9000), 0);
    expect(w->mc, "brief", "x");
    assert_int_equal(subject_advance(w->subject, 2000), 0);
    expect(w->mc, "brief", NULL);
    expect(w->mc, "ever", "y");
    assert_int_equal(memcached_touch(w->mc, "brief", 5, 10), MEMCACHED_NOTFOUND);
}

static void test_flush(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    set(mc, "k", "x", 0, 0);
    assert_int_equal(memcached_flush(mc, 0), MEMCACHED_SUCCESS);
    expect(mc, "k", NULL);
    set(mc, "k", "y", 0, 0);
    expect(mc, "k", "y");
}

static void test_noreply_and_buffering(void **state) {
    struct world *w = *state;
    memcached_st *mc = client(w);
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_NOREPLY, 1);
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_BUFFER_REQUESTS, 1);
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "b%d", i);
        memcached_set(mc, key, strlen(key), key, strlen(key), 0, 0);
    }
    assert_int_equal(memcached_flush_buffers(mc), MEMCACHED_SUCCESS);
    expect(mc, "b499", "b499"); /* on the same connection, so everything before it was done */
    expect(w->mc, "b0", "b0");
    memcached_free(mc);
}

static void test_version_and_stats(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    assert_int_equal(memcached_version(mc), MEMCACHED_SUCCESS);
    const memcached_instance_st *s = memcached_server_instance_by_position(mc, 0);
    assert_int_equal(memcached_server_major_version(s), 1);
    assert_int_equal(memcached_server_minor_version(s), 6);
    assert_int_equal(memcached_server_micro_version(s), 45);
    memcached_return_t rc;
    set(mc, "k", "x", 0, 0);
    memcached_stat_st *stat = memcached_stat(mc, NULL, &rc);
    assert_non_null(stat);
    char *items = memcached_stat_get_value(mc, stat, "curr_items", &rc);
    assert_string_equal(items, "1");
    free(items);
    memcached_stat_free(mc, stat);
}

/* ------------------------------------------------------------------ tags */

static void test_tags_through_the_key(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    set(mc, "song:1|#|t=artist:42,album:7", "one", 0, 0);
    set(mc, "song:2|#|t=artist:42", "two", 0, 0);
    set(mc, "song:3|#|t=artist:43,album:7", "three", 0, 0);
    set(mc, "song:4", "four", 0, 0);
    expect(mc, "song:1", "one");
    expect(mc, "song:1|#|t=artist:42,album:7", "one");
    purge(mc, "artist:42+album:7");
    expect(mc, "song:1", NULL);
    expect(mc, "song:2", "two");
    expect(mc, "song:3", "three");
    purge(mc, "artist:42");
    expect(mc, "song:2", NULL);
    expect(mc, "song:3", "three");
    set(mc, "song:2|#|t=artist:42", "again", 0, 0);
    expect(mc, "song:2", "again");
    purge(mc, "artist:42,artist:43");
    expect(mc, "song:2", NULL);
    expect(mc, "song:3", NULL);
    expect(mc, "song:4", "four");
}

static void test_purge_by_incr_returns_rising_numbers(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    const char *key = "any|#|p=t";
    uint64_t a, b;
    set(mc, "k|#|t=t", "x", 0, 0);
    assert_int_equal(memcached_increment(mc, key, strlen(key), 1, &a), MEMCACHED_SUCCESS);
    assert_int_equal(memcached_increment(mc, key, strlen(key), 1, &b), MEMCACHED_SUCCESS);
    assert_true(b > a && a > 0);
    expect(mc, "k", NULL);
}

static void test_mget_after_a_purge(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    const char *keys[] = {"a", "b", "c"};
    const size_t lens[] = {1, 1, 1};
    set(mc, "a|#|t=red", "1", 0, 0);
    set(mc, "b", "2", 0, 0);
    set(mc, "c|#|t=red", "3", 0, 0);
    purge(mc, "red");
    memcached_return_t rc;
    assert_int_equal(memcached_mget(mc, keys, lens, 3), MEMCACHED_SUCCESS);
    memcached_result_st *r = memcached_fetch_result(mc, NULL, &rc);
    assert_non_null(r);
    assert_memory_equal(memcached_result_key_value(r), "b", 1);
    memcached_result_free(r);
    assert_null(memcached_fetch_result(mc, NULL, &rc));
}

/* A cas with an id from before a purge of one of its tags is refused. */
static void test_guarded_fill(void **state) {
    memcached_st *mc = ((struct world *)*state)->mc;
    const char *tagged = "k|#|t=table";
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    set(mc, "k", "v1", 0, 0);
    uint64_t id = cas_of(mc, "k");
    purge(mc, "table");
    assert_int_equal(memcached_cas(mc, tagged, strlen(tagged), "old", 3, 0, 0, id), MEMCACHED_DATA_EXISTS);
    id = cas_of(mc, "k");
    assert_int_equal(memcached_cas(mc, tagged, strlen(tagged), "new", 3, 0, 0, id), MEMCACHED_SUCCESS);
    expect(mc, "k", "new");
}

/* ------------------------------------------------------------------ many clients at once */

struct job {
    struct world *w;
    int id;
    uint64_t *purged; /* the last number whose purge was acknowledged */
    const char *wrong;
};

static void run_threads(struct world *w, void *(*fn)(void *)) {
    pthread_t t[THREADS];
    struct job jobs[THREADS];
    uint64_t purged = 0;
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.w = w, .id = i, .purged = &purged};
        assert_int_equal(pthread_create(&t[i], NULL, fn, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS; i++)
        if (jobs[i].wrong != NULL) fail_msg("thread %d: %s", i, jobs[i].wrong);
}

static memcached_st *thread_client(struct job *j) {
    memcached_st *mc = memcached_create(NULL);
    memcached_server_add(mc, "127.0.0.1", (in_port_t)subject_port(j->w->subject));
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(mc, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    return mc;
}

static void *count_together(void *arg) {
    struct job *j = arg;
    memcached_st *mc = thread_client(j);
    uint64_t v;
    for (int i = 0; i < 1000 && j->wrong == NULL; i++)
        if (memcached_increment(mc, "sum", 3, 1, &v) != MEMCACHED_SUCCESS) j->wrong = "an increment failed";
    memcached_free(mc);
    return NULL;
}

static void test_counting_together(void **state) {
    struct world *w = *state;
    set(w->mc, "sum", "0", 0, 0);
    run_threads(w, count_together);
    expect(w->mc, "sum", "4000");
}

static void *own_keys(void *arg) {
    struct job *j = arg;
    memcached_st *mc = thread_client(j);
    char key[32], value[300];
    for (int i = 0; i < 2000 && j->wrong == NULL; i++) {
        int nk = snprintf(key, sizeof key, "t%d:%d", j->id, i % 50);
        int nv = snprintf(value, sizeof value, "%s=%d%*s", key, i, i % 200, "");
        size_t n;
        uint32_t flags;
        memcached_return_t rc;
        if (memcached_set(mc, key, (size_t)nk, value, (size_t)nv, 0, 0) != MEMCACHED_SUCCESS) j->wrong = "a set failed";
        char *got = memcached_get(mc, key, (size_t)nk, &n, &flags, &rc);
        if (got == NULL || n != (size_t)nv || memcmp(got, value, n) != 0)
            j->wrong = "read something else than was stored";
        free(got);
    }
    memcached_free(mc);
    return NULL;
}

static void test_everybody_reads_his_own(void **state) {
    run_threads(*state, own_keys);
}

/* Reads a decimal number; -1 on a miss. */
static long long read_number(memcached_st *mc, const char *key) {
    size_t n;
    uint32_t flags;
    memcached_return_t rc;
    char *got = memcached_get(mc, key, strlen(key), &n, &flags, &rc);
    long long v = -1;
    if (got != NULL) {
        char text[32] = {0};
        memcpy(text, got, n < 31 ? n : 31);
        v = atoll(text);
    }
    free(got);
    return v;
}

/*
 * The first promise: what was stored before a purge is not served by any read that begins after it was acknowledged;
 * and the fifth: what is stored afterwards stays. Thread 0 stores 1, 2, 3, ... and purges after each; once the purge of
 * n is acknowledged it says so, and from then on nobody may read a number up to n.
 */
static void *purge_and_read(void *arg) {
    struct job *j = arg;
    memcached_st *mc = thread_client(j);
    char value[32];
    for (long long i = 1; i <= 500 && j->wrong == NULL; i++) {
        long long purged = (long long)sync_load_seq(j->purged);
        if (j->id > 0) {
            long long v = read_number(mc, "hot");
            if (v >= 0 && v <= purged) j->wrong = "read what had been purged";
            continue;
        }
        int n = snprintf(value, sizeof value, "%lld", i);
        if (memcached_set(mc, "hot|#|t=all,red", 15, value, (size_t)n, 0, 0) != MEMCACHED_SUCCESS)
            j->wrong = "a set failed";
        if (read_number(mc, "hot") != i) j->wrong = "what was stored after a purge is gone";
        if (memcached_delete(mc, "x|#|p=red", 9, 0) != MEMCACHED_SUCCESS) j->wrong = "a purge failed";
        sync_store_seq(j->purged, (uint64_t)i);
    }
    memcached_free(mc);
    return NULL;
}

static void test_purging_while_others_read(void **state) {
    struct world *w = *state;
    run_threads(w, purge_and_read);
    expect(w->mc, "hot", NULL);
}

static void *cas_together(void *arg) {
    struct job *j = arg;
    memcached_st *mc = thread_client(j);
    char value[32];
    for (int done = 0; done < 200 && j->wrong == NULL;) {
        const char *key = "c";
        size_t len = 1;
        memcached_return_t rc;
        memcached_mget(mc, &key, &len, 1);
        memcached_result_st *r = memcached_fetch_result(mc, NULL, &rc);
        if (r == NULL) {
            j->wrong = "the counter is missing";
            break;
        }
        int n = snprintf(value, sizeof value, "%d", atoi(memcached_result_value(r)) + 1);
        uint64_t id = memcached_result_cas(r);
        memcached_result_free(r);
        while (memcached_fetch_result(mc, NULL, &rc) != NULL) {}
        rc = memcached_cas(mc, "c", 1, value, (size_t)n, 0, 0, id);
        if (rc == MEMCACHED_SUCCESS)
            done++;
        else if (rc != MEMCACHED_DATA_EXISTS)
            j->wrong = "a cas answered something odd";
    }
    memcached_free(mc);
    return NULL;
}

static void test_cas_together(void **state) {
    struct world *w = *state;
    set(w->mc, "c", "0", 0, 0);
    run_threads(w, cas_together);
    expect(w->mc, "c", "800");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_set_and_get),
        TEST(test_large_values),
        TEST(test_mget),
        TEST(test_conditional_stores),
        TEST(test_cas),
        TEST(test_counting),
        TEST(test_delete),
        TEST(test_expiry),
        TEST(test_flush),
        TEST(test_noreply_and_buffering),
        TEST(test_version_and_stats),
        TEST(test_tags_through_the_key),
        TEST(test_purge_by_incr_returns_rising_numbers),
        TEST(test_mget_after_a_purge),
        TEST(test_guarded_fill),
        TEST(test_counting_together),
        TEST(test_everybody_reads_his_own),
        TEST(test_purging_while_others_read),
        TEST(test_cas_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
