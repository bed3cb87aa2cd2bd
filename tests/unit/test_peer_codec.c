/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages between nodes: what is packed is read back; what is broken, too long or unknown is refused or counted,
 * within the arena that was given. */
#include "proto/peer_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/peer_link.h"

static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena arena;
static struct peer_counts counts;

static int set_up(void **state) {
    (void)state;
    peer_arena_init(&arena, memory, sizeof memory);
    counts = (struct peer_counts){0};
    return 0;
}

static const struct peer_hello full = {
    .lowest = 1,
    .highest = 3,
    .cluster_name = "shop",
    .node = {{1, 2, 3, 0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    .boot = 0xfedcba9876543210,
    .wanted = {{16, 15}},
    .ring_name = "10.0.0.1:11211",
    .address = "[2001:db8::1]:21211",
    .tag_marker = "|#|",
    .tag_prefix = ':',
    .ring_strip_prefix = "prod.",
    .ring_version = 77,
    .worker = 3,
    .link = PEER_LINK_DATA,
};

static Peer__Control *unpacked(const void *bytes, size_t n) {
    Peer__Control *m = NULL;
    assert_int_equal(peer_control_unpack(&arena, bytes, n, &counts, &m), PEER_OK);
    assert_non_null(m);
    return m;
}

/* Packed again, it is the same bytes. */
static void assert_same_hello(const struct peer_hello *h, const uint8_t *wire, size_t n) {
    uint8_t again[PEER_HELLO_BYTES_MAX];
    assert_int_equal(peer_hello_pack(h, again, sizeof again), n);
    assert_memory_equal(again, wire, n);
}

static void test_a_hello_comes_back(void **state) {
    (void)state;
    uint8_t wire[PEER_HELLO_BYTES_MAX];
    size_t n = peer_hello_pack(&full, wire, sizeof wire);
    assert_in_range(n, 100, 200);
    Peer__Control *m = unpacked(wire, n);
    assert_int_equal(peer_control_kind(m), PEER_HELLO);
    struct peer_hello back;
    assert_true(peer_hello_read(m, &back));
    assert_same_hello(&back, wire, n);
    assert_string_equal(back.cluster_name, "shop");
    assert_string_equal(back.address, "[2001:db8::1]:21211");
    assert_int_equal(back.tag_prefix, ':');
    assert_int_equal(back.link, 2);
    assert_true(back.boot == 0xfedcba9876543210);
    assert_int_equal(counts.unknown_fields + counts.unknown_kinds, 0);
    /* The longest fits into what is promised for it. */
    struct peer_hello longest = full;
    memset(longest.cluster_name, 'c', PEER_TEXT_MAX);
    memset(longest.ring_name, 'r', PEER_TEXT_MAX);
    memset(longest.address, 'a', PEER_ADDRESS_MAX);
    memset(longest.tag_marker, 'm', PEER_TAG_MARKER_MAX);
    memset(longest.ring_strip_prefix, 's', PEER_STRIP_PREFIX_MAX);
    longest.lowest = longest.highest = longest.worker = longest.link = UINT32_MAX;
    n = peer_hello_pack(&longest, wire, sizeof wire);
    assert_true(n > 0);
    assert_true(peer_hello_read(unpacked(wire, n), &back));
    assert_same_hello(&back, wire, n);
    assert_int_equal(peer_hello_pack(&longest, wire, n - 1), 0); /* a byte too few */
    assert_int_equal(peer_hello_pack(&longest, wire, n), n);
}

static void test_a_hello_that_lacks_something_is_refused(void **state) {
    (void)state;
    struct peer_hello without[6] = {full, full, full, full, full, full}, back;
    without[0].cluster_name[0] = '\0';
    without[1].node = (struct cluster_id){{0}};
    without[2].boot = 0;
    without[3].lowest = 0;
    without[4].lowest = 4;
    strcpy(without[5].ring_name, "a b");
    for (unsigned i = 0; i < 6; i++) {
        uint8_t wire[PEER_HELLO_BYTES_MAX];
        size_t n = peer_hello_pack(&without[i], wire, sizeof wire);
        assert_false(peer_hello_read(unpacked(wire, n), &back));
    }
    uint8_t wire[64];
    assert_false(peer_hello_read(unpacked(wire, peer_ping_pack(1, wire, sizeof wire)), &back));
}

static void test_the_other_kinds_come_back(void **state) {
    (void)state;
    uint8_t wire[PEER_REFUSAL_BYTES_MAX];
    uint64_t number = 0;
    Peer__Control *m = unpacked(wire, peer_ping_pack(UINT64_MAX, wire, sizeof wire));
    assert_int_equal(peer_control_kind(m), PEER_PING);
    assert_true(peer_ping_read(m, &number));
    assert_true(number == UINT64_MAX);
    assert_false(peer_pong_read(m, &number));
    m = unpacked(wire, peer_pong_pack(5, wire, sizeof wire));
    assert_int_equal(peer_control_kind(m), PEER_PONG);
    assert_true(peer_pong_read(m, &number));
    assert_int_equal(number, 5);
    assert_false(peer_ping_read(m, &number));
    struct peer_refusal r = {.setting = "--key-tags", .reason = "say \"x\"\nforged=line"}, back;
    m = unpacked(wire, peer_refusal_pack(&r, wire, sizeof wire));
    assert_int_equal(peer_control_kind(m), PEER_REFUSAL);
    assert_true(peer_refusal_read(m, &back));
    assert_string_equal(back.setting, "--key-tags");
    assert_string_equal(back.reason, "say .x..forged=line");
}

static void test_what_is_unknown_is_counted(void **state) {
    (void)state;
    /* Field 200 as a varint; a ping (field 3) that holds field 2 as a varint and 3 as bytes; field 15, empty bytes. */
    static const uint8_t wire[] = {0xc0, 0x0c, 1,    0x1a, 0x10, 0x09, 7,   0,   0,   0,    0, 0,
                                   0,    0,    0x10, 1,    0x1a, 3,    'a', 'b', 'c', 0x7a, 0};
    Peer__Control *m = unpacked(wire, sizeof wire);
    uint64_t number;
    assert_true(peer_ping_read(m, &number));
    assert_int_equal(number, 7);
    assert_int_equal(counts.unknown_fields, 4);
    assert_int_equal(counts.unknown_kinds, 0);
    m = unpacked(wire, 3); /* nothing that is known */
    assert_int_equal(peer_control_kind(m), PEER_NONE);
    assert_int_equal(counts.unknown_fields, 5);
    assert_int_equal(counts.unknown_kinds, 1);
    unpacked(NULL, 0);
    assert_int_equal(counts.unknown_kinds, 2);
    Peer__Datagram *d = NULL;
    assert_int_equal(peer_datagram_unpack(&arena, "\x08\x01\x10\x02\x78\x05", 6, &counts, &d), PEER_OK);
    uint32_t lowest, highest;
    peer_datagram_versions(d, &lowest, &highest);
    assert_int_equal(lowest, 1);
    assert_int_equal(highest, 2);
    assert_int_equal(counts.unknown_fields, 6);
}

static void test_lengths_are_bounded(void **state) {
    (void)state;
    uint8_t *zeros = calloc(1, PEER_CONTROL_MAX + 1);
    assert_non_null(zeros);
    Peer__Control *m;
    Peer__Datagram *d;
    assert_int_equal(peer_control_unpack(&arena, zeros, 64 * 1024 + 1, &counts, &m), PEER_TOO_LONG);
    assert_int_equal(peer_control_unpack(&arena, zeros, 64 * 1024, &counts, &m), PEER_BROKEN);
    assert_int_equal(peer_datagram_unpack(&arena, zeros, 1313, &counts, &d), PEER_TOO_LONG);
    assert_int_equal(peer_datagram_unpack(&arena, zeros, 1312, &counts, &d), PEER_BROKEN);
    free(zeros);
}

/* Whatever a message would unpack to, it gets the arena and not a byte more; a smaller one refuses. */
static void test_the_arena_is_the_bound(void **state) {
    (void)state;
    static uint8_t wire[PEER_CONTROL_MAX];
    for (size_t i = 0; i + 2 <= sizeof wire; i += 2) memcpy(wire + i, "\x78\x01", 2); /* 32 Ki unknown fields */
    Peer__Control *m;
    assert_int_equal(peer_control_unpack(&arena, wire, sizeof wire, &counts, &m), PEER_BROKEN);
    assert_true(arena.used <= sizeof memory);
    uint8_t hello[PEER_HELLO_BYTES_MAX];
    size_t n = peer_hello_pack(&full, hello, sizeof hello);
    peer_arena_reset(&arena);
    unpacked(hello, n);
    size_t needed = arena.used;
    for (size_t size = 0; size < needed; size++) {
        peer_arena_init(&arena, memory, size);
        assert_int_equal(peer_control_unpack(&arena, hello, n, &counts, &m), PEER_BROKEN);
    }
    peer_arena_init(&arena, memory, needed);
    assert_int_equal(peer_control_unpack(&arena, hello, n, &counts, &m), PEER_OK);
}

/* Every prefix of a message and every byte of it turned over is refused or read, never more. */
static void test_broken_bytes_break_nothing(void **state) {
    (void)state;
    uint8_t wire[PEER_HELLO_BYTES_MAX];
    struct peer_hello back;
    size_t n = peer_hello_pack(&full, wire, sizeof wire);
    for (size_t i = 0; i < n; i++) {
        Peer__Control *m;
        peer_arena_reset(&arena);
        uint8_t *copy = malloc(i ? i : 1);
        assert_non_null(copy);
        memcpy(copy, wire, i);
        if (peer_control_unpack(&arena, copy, i, &counts, &m) == PEER_OK) assert_false(peer_hello_read(m, &back));
        free(copy);
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1U << bit);
            peer_arena_reset(&arena);
            if (peer_control_unpack(&arena, wire, n, &counts, &m) == PEER_OK) (void)peer_hello_read(m, &back);
            wire[i] ^= (uint8_t)(1U << bit);
        }
    }
}

static void test_the_arena_aligns(void **state) {
    (void)state;
    for (unsigned shift = 0; shift < 16; shift++) {
        peer_arena_init(&arena, memory + shift, 100);
        for (unsigned i = 0; i < 3; i++) {
            char *p = peer_arena_alloc(&arena, 3);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            assert_true(p >= (char *)memory + shift && p + 3 <= (char *)memory + shift + 100);
        }
        assert_null(peer_arena_alloc(&arena, 100));
        assert_null(peer_arena_alloc(&arena, SIZE_MAX));
        peer_arena_reset(&arena);
        assert_non_null(peer_arena_alloc(&arena, 84));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_hello_comes_back, set_up),
        cmocka_unit_test_setup(test_a_hello_that_lacks_something_is_refused, set_up),
        cmocka_unit_test_setup(test_the_other_kinds_come_back, set_up),
        cmocka_unit_test_setup(test_what_is_unknown_is_counted, set_up),
        cmocka_unit_test_setup(test_lengths_are_bounded, set_up),
        cmocka_unit_test_setup(test_the_arena_is_the_bound, set_up),
        cmocka_unit_test_setup(test_broken_bytes_break_nothing, set_up),
        cmocka_unit_test_setup(test_the_arena_aligns, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
