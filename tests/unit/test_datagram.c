/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sealed datagrams: what one node seals another opens, once; each refusal; what is remembered is bounded. */
#include "cluster/datagram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

static const struct cluster_id id_a = {{0xa}}, id_b = {{0xb}};
static struct rand generator;
static struct keyring ring;
static struct datagram *a, *b; /* b knows a */
static uint8_t wire[DATAGRAM_MAX], out[DATAGRAM_PAYLOAD_MAX];
static size_t out_n;
static struct datagram_sender from;

static void fill(void *arg, void *to, size_t n) {
    uint8_t *p = to;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)rand_next(arg);
}

static struct datagram *make(const char *cluster, struct cluster_id self, uint64_t boot, const struct keyring *k) {
    struct datagram *d = datagram_new(&(struct datagram_config){
        .cluster_name = cluster, .self = self, .boot = boot, .keyring = k, .random = {fill, &generator}});
    assert_non_null(d);
    return d;
}

static struct keyring keys(const char *first, const char *second) {
    struct keyring k = {0};
    char text[200], err[200];
    snprintf(text, sizeof text, "%s\n%s\n", first, second);
    assert_true(keyring_read(&k, text, strlen(text), err, sizeof err));
    return k;
}

#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "//////////////////////////////////////////8="

static int set_up(void **state) {
    (void)state;
    rand_init(&generator, 42);
    ring = keys(KEY_1, "");
    a = make("shop", id_a, 100, &ring);
    b = make("shop", id_b, 7, &ring);
    return datagram_know(b, &id_a, 100, 1);
}

static int tear_down(void **state) {
    (void)state;
    datagram_free(a);
    datagram_free(b);
    return 0;
}

static enum datagram_verdict opened(const uint8_t *p, size_t n) {
    uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a step beyond it */
    assert_non_null(exact);
    memcpy(exact, p, n);
    memset(out, 0xee, sizeof out);
    enum datagram_verdict v = datagram_open(b, exact, n, out, &out_n, &from);
    free(exact);
    if (v != DATAGRAM_OPENED) /* nothing of what was refused is to be seen */
        for (size_t i = 0; i < sizeof out; i++) assert_int_equal(out[i], 0xee);
    return v;
}

static void test_what_is_sealed_is_opened(void **state) {
    (void)state;
    static const uint8_t payload[DATAGRAM_PAYLOAD_MAX] = "ping";
    size_t sizes[] = {0, 1, 500, DATAGRAM_PAYLOAD_MAX};
    for (unsigned i = 0; i < 4; i++) {
        size_t n = datagram_seal(a, 1, payload, sizes[i], wire);
        assert_int_equal(n, sizes[i] + 88);
        assert_int_equal(opened(wire, n), DATAGRAM_OPENED);
        assert_int_equal(out_n, sizes[i]);
        assert_memory_equal(out, payload, sizes[i]);
        assert_true(cluster_id_equal(&from.id, &id_a));
        assert_int_equal(from.boot, 100);
        assert_int_equal(from.version, 1);
    }
    assert_int_equal(DATAGRAM_MAX, 1400);
    assert_int_equal(datagram_count(b, DATAGRAM_OPENED), 4);
    assert_int_equal(datagram_refused(b), 0);
}

static void test_each_refusal(void **state) {
    (void)state;
    size_t n = datagram_seal(a, 1, "hello", 5, wire);
    uint8_t bad[DATAGRAM_MAX + 1] = {0};
#define WITH(at, value, verdict)                                                                                       \
    memcpy(bad, wire, n);                                                                                              \
    bad[at] = (uint8_t)(value);                                                                                        \
    assert_int_equal(opened(bad, n), verdict);
    WITH(0, 'x', DATAGRAM_MAGIC)
    WITH(3, '2', DATAGRAM_MAGIC)
    WITH(4, 0, DATAGRAM_VERSION)
    WITH(4, 2, DATAGRAM_VERSION)
    WITH(5, 1, DATAGRAM_VERSION)
    WITH(6, bad[6] + 1, DATAGRAM_KEY)
    WITH(8, bad[8] + 1, DATAGRAM_CLUSTER)
    WITH(16, 0xc, DATAGRAM_STRANGER)
    WITH(39, 101, DATAGRAM_BOOT)
    WITH(39, 99, DATAGRAM_BOOT)
    WITH(47, bad[47] + 1, DATAGRAM_FORGED)
    for (size_t at = 48; at < n; at++) {
        WITH(at, bad[at] ^ 1, DATAGRAM_FORGED)
    }
    for (size_t shorter = 0; shorter < n; shorter++)
        assert_int_equal(opened(wire, shorter), shorter < 88 ? DATAGRAM_LENGTH : DATAGRAM_FORGED);
    assert_int_equal(opened(bad, sizeof bad), DATAGRAM_LENGTH);
    assert_int_equal(opened(wire, n), DATAGRAM_OPENED); /* none of them used its counter up */
    assert_int_equal(opened(wire, n), DATAGRAM_REPLAYED);
    datagram_count_broken(b);
    for (enum datagram_verdict v = 0; v < DATAGRAM_VERDICTS; v++) assert_true(datagram_count(b, v) > 0);
    assert_int_equal(datagram_count(b, DATAGRAM_BOOT), 2);
    assert_int_equal(datagram_count(b, DATAGRAM_VERSION), 3);
    uint64_t sum = 0;
    for (enum datagram_verdict v = DATAGRAM_OPENED + 1; v < DATAGRAM_VERDICTS; v++) sum += datagram_count(b, v);
    assert_int_equal(datagram_refused(b), sum);
    assert_string_equal(datagram_verdict_name(DATAGRAM_STRANGER), "stranger");
    assert_string_equal(datagram_verdict_name(DATAGRAM_PAYLOAD), "payload");
}

static void test_other_clusters_and_keys(void **state) {
    (void)state;
    struct datagram *other = make("shop2", id_a, 100, &ring);
    assert_int_equal(opened(wire, datagram_seal(other, 1, "x", 1, wire)), DATAGRAM_CLUSTER);
    datagram_free(other);
    struct keyring wrong = keys(KEY_2, "");
    other = make("shop", id_a, 100, &wrong);
    assert_int_equal(opened(wire, datagram_seal(other, 1, "x", 1, wire)), DATAGRAM_KEY);
    wrong.keys[0].id[0] = ring.keys[0].id[0]; /* two keys of one short id: the tag tells */
    wrong.keys[0].id[1] = ring.keys[0].id[1];
    datagram_set_keyring(other, &wrong);
    assert_int_equal(opened(wire, datagram_seal(other, 1, "x", 1, wire)), DATAGRAM_FORGED);
    /* ... and a receiver that has both opens both. */
    struct keyring both = ring;
    both.keys[both.n++] = wrong.keys[0];
    datagram_set_keyring(b, &both);
    assert_int_equal(opened(wire, datagram_seal(other, 1, "x", 1, wire)), DATAGRAM_OPENED);
    assert_int_equal(opened(wire, datagram_seal(other, 1, "x", 1, wire)), DATAGRAM_OPENED);
    datagram_free(other);
}

/* As the operator does it: the new key behind the old one everywhere, then in front, then alone. */
static void test_a_key_is_changed_while_datagrams_flow(void **state) {
    (void)state;
    struct keyring old_new = keys(KEY_1, KEY_2), new_old = keys(KEY_2, KEY_1), only_new = keys(KEY_2, "");
    const struct keyring *steps[] = {&ring, &old_new, &new_old, &only_new};
    for (unsigned i = 0; i < 4; i++) {
        datagram_set_keyring(a, steps[i]);
        assert_int_equal(opened(wire, datagram_seal(a, 1, "x", 1, wire)), DATAGRAM_OPENED);
        datagram_set_keyring(b, steps[i]);
        assert_int_equal(opened(wire, datagram_seal(a, 1, "x", 1, wire)), DATAGRAM_OPENED);
    }
    datagram_set_keyring(a, &ring);
    assert_int_equal(opened(wire, datagram_seal(a, 1, "x", 1, wire)), DATAGRAM_KEY);
}

/* Counters in any order are taken once each; those that fell out of the window are not taken. */
static void test_the_window(void **state) {
    (void)state;
    enum { N = 3000 };
    static uint8_t all[N][DATAGRAM_OVERHEAD];
    for (unsigned i = 0; i < N; i++) assert_int_equal(datagram_seal(a, 1, NULL, 0, all[i]), DATAGRAM_OVERHEAD);
#define COUNTER(i) all[(i)-1] /* the i-th has counter i */
    assert_int_equal(opened(COUNTER(1500), 88), DATAGRAM_OPENED);
    assert_int_equal(opened(COUNTER(1500 - 1024), 88), DATAGRAM_REPLAYED); /* too old to tell */
    assert_int_equal(opened(COUNTER(1500 - 1023), 88), DATAGRAM_OPENED);
    assert_int_equal(opened(COUNTER(1500 - 1023), 88), DATAGRAM_REPLAYED);
    assert_int_equal(opened(COUNTER(2523), 88), DATAGRAM_OPENED);
    assert_int_equal(opened(COUNTER(1500), 88), DATAGRAM_REPLAYED); /* still remembered */
    assert_int_equal(opened(COUNTER(1501), 88), DATAGRAM_OPENED);
    assert_int_equal(opened(COUNTER(2524), 88), DATAGRAM_OPENED);
    assert_int_equal(opened(COUNTER(1502), 88), DATAGRAM_OPENED);

    /* Against a list of what was taken, in random order and with repetitions. */
    static bool taken[N + 1];
    struct datagram *c = make("shop", id_b, 7, &ring);
    assert_int_equal(datagram_know(c, &id_a, 100, 1), 0);
    uint64_t highest = 0;
    struct rand r;
    rand_init(&r, 1);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t n = i * (uint64_t)N / 20000 + rand_below(&r, 1200); /* around a place that moves on */
        n = n < 1 ? 1 : n > N ? N : n;
        bool fresh = !taken[n] && n + 1024 > highest;
        enum datagram_verdict v = datagram_open(c, COUNTER(n), 88, out, &out_n, &from);
        assert_int_equal(v, fresh ? DATAGRAM_OPENED : DATAGRAM_REPLAYED);
        if (!fresh) continue;
        taken[n] = true;
        if (n > highest) highest = n;
    }
    assert_true(datagram_count(c, DATAGRAM_OPENED) > 1000 && datagram_count(c, DATAGRAM_REPLAYED) > 1000);
    datagram_free(c);
}

static void test_a_restarted_sender(void **state) {
    (void)state;
    size_t n = datagram_seal(a, 1, "old", 3, wire);
    struct datagram *again = make("shop", id_a, 101, &ring);
    uint8_t first[DATAGRAM_MAX];
    size_t first_n = datagram_seal(again, 1, "new", 3, first);
    assert_int_equal(opened(first, first_n), DATAGRAM_BOOT); /* no link has shown it yet */
    assert_int_equal(datagram_know(b, &id_a, 101, 1), 0);
    assert_int_equal(opened(first, first_n), DATAGRAM_OPENED);
    assert_int_equal(opened(wire, n), DATAGRAM_BOOT);
    assert_int_equal(datagram_know(b, &id_a, 100, 1), -ESTALE);
    assert_int_equal(datagram_know(b, &id_a, 101, 1), 0); /* shown once more: what was taken stays taken */
    assert_int_equal(opened(first, first_n), DATAGRAM_REPLAYED);
    assert_int_equal(datagram_known(b), 1);
    datagram_free(again);
    datagram_forget(b, &id_a);
    assert_int_equal(opened(wire, n), DATAGRAM_STRANGER);
}

static struct cluster_id numbered(unsigned i) {
    struct cluster_id id = {{(uint8_t)i, (uint8_t)(i >> 8), 1}};
    return id;
}

static void test_senders_are_bounded(void **state) {
    (void)state;
    struct datagram *d = make("shop", id_b, 1, &ring);
    for (unsigned i = 0; i < 4096; i++) {
        struct cluster_id id = numbered(i);
        assert_int_equal(datagram_know(d, &id, 5, i % 3), 0);
    }
    struct cluster_id more = numbered(4096);
    assert_int_equal(datagram_know(d, &more, 5, 1), -ENOSPC);
    assert_int_equal(datagram_version_of(d, &more), 1);
    struct cluster_id known = numbered(17);
    assert_int_equal(datagram_know(d, &known, 6, 2), 0); /* one that is known may come back */
    /* Forgotten in an order of its own, the rest is found all the time. */
    static bool gone[4096];
    struct rand r;
    rand_init(&r, 3);
    for (unsigned left = 4096; left > 0; left--) {
        unsigned i = (unsigned)rand_below(&r, 4096);
        while (gone[i]) i = (i + 1) % 4096;
        struct cluster_id id = numbered(i);
        assert_int_equal(datagram_version_of(d, &id), i == 17 ? 2 : i % 3);
        datagram_forget(d, &id);
        datagram_forget(d, &id);
        gone[i] = true;
        assert_int_equal(datagram_known(d), left - 1);
        if (left % 512 == 0)
            for (unsigned j = 0; j < 4096; j++) {
                struct cluster_id other = numbered(j);
                assert_int_equal(datagram_version_of(d, &other), gone[j] ? 1 : j == 17 ? 2 : j % 3);
            }
    }
    datagram_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_sealed_is_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_refusal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_clusters_and_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_key_is_changed_while_datagrams_flow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_restarted_sender, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_senders_are_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
