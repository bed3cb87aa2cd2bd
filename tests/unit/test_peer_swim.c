/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Membership messages: what is packed is read back, never longer than its sender reckons; what is broken, absurd or of
 * a later release is refused or counted. */
#include "proto/peer_swim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena arena, scratch;
static struct peer_counts counts;
static char long_name[PEER_TEXT_MAX + 1], long_address[PEER_ADDRESS_MAX + 1];

static int set_up(void **state) {
    (void)state;
    peer_arena_init(&arena, memory, PEER_ARENA_BYTES);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
    counts = (struct peer_counts){0};
    memset(long_name, 'n', PEER_TEXT_MAX);
    memset(long_address, 'a', PEER_ADDRESS_MAX);
    return 0;
}

static struct peer_swim_update an_update(struct rand *r) {
    struct peer_swim_update u = {.boot = 1 + rand_next(r) % PEER_SWIM_NUMBER_MAX, .name = "", .address = ""};
    u.boot >>= rand_below(r, 62);
    if (u.boot == 0) u.boot = 1;
    u.incarnation = (rand_next(r) >> 1) >> rand_below(r, 63);
    u.state = (enum peer_swim_state)(1 + rand_below(r, 4));
    u.ended_s = (uint32_t)rand_next(r) >> rand_below(r, 32);
    for (unsigned i = 0; i < sizeof u.id.bytes; i++) u.id.bytes[i] = (uint8_t)(1 + rand_below(r, 255));
    u.naccusers = (unsigned)rand_below(r, PEER_SWIM_ACCUSERS_MAX + 1);
    for (unsigned i = 0; i < u.naccusers; i++) u.accusers[i].bytes[rand_below(r, 16)] = 7;
    if (rand_below(r, 2) == 0) {
        u.name = long_name + rand_below(r, PEER_TEXT_MAX);
        u.address = long_address + rand_below(r, PEER_ADDRESS_MAX);
    }
    return u;
}

static void assert_same_update(const struct peer_swim_update *a, const struct peer_swim_update *b) {
    assert_memory_equal(&a->id, &b->id, sizeof a->id);
    assert_int_equal(a->boot, b->boot);
    assert_int_equal(a->incarnation, b->incarnation);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->ended_s, b->ended_s);
    assert_int_equal(a->naccusers, b->naccusers);
    assert_memory_equal(a->accusers, b->accusers, sizeof a->accusers[0] * a->naccusers);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->address, b->address);
}

static bool read_datagram(const uint8_t *wire, size_t n, struct peer_swim *out) {
    Peer__Datagram *d = NULL;
    peer_arena_reset(&arena);
    return peer_datagram_unpack(&arena, wire, n, &counts, &d) == PEER_OK && peer_swim_read(d, &arena, &counts, out);
}

static bool read_sync(const uint8_t *wire, size_t n, struct peer_sync *out) {
    Peer__Control *c = NULL;
    peer_arena_init(&arena, memory, sizeof memory);
    return peer_control_unpack(&arena, wire, n, &counts, &c) == PEER_OK && peer_sync_read(c, &arena, &counts, out);
}

static void test_datagrams_come_back(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 1);
    for (unsigned round = 0; round < 3000; round++) {
        struct peer_swim m = {.kind = (enum peer_swim_kind)(1 + rand_below(&r, 6))}, back = {0};
        uint8_t wire[PEER_DATAGRAM_MAX];
        m.number = (uint32_t)rand_next(&r);
        if (round % 2 == 0) memset(&m.target, 0xfe, sizeof m.target);
        m.nmeta = (unsigned)rand_below(&r, PEER_SWIM_META_MAX + 1);
        memset(m.meta, 0xa5, m.nmeta);
        size_t bound = PEER_SWIM_HEAD_MAX;
        while (m.nupdates < PEER_SWIM_UPDATES_MAX) {
            m.updates[m.nupdates] = an_update(&r);
            bound += peer_swim_update_bytes(&m.updates[m.nupdates]);
            if (bound > sizeof wire) break;
            m.nupdates++;
        }
        peer_arena_reset(&scratch);
        const size_t n = peer_swim_pack(&m, &scratch, wire, sizeof wire);
        assert_in_range(n, 1, sizeof wire);
        assert_true(read_datagram(wire, n, &back));
        assert_int_equal(back.kind, m.kind);
        assert_int_equal(back.number, m.number);
        assert_memory_equal(&back.target, &m.target, sizeof m.target);
        assert_int_equal(back.nmeta, m.nmeta);
        assert_memory_equal(back.meta, m.meta, m.nmeta);
        assert_int_equal(back.nupdates, m.nupdates);
        for (unsigned i = 0; i < m.nupdates; i++) assert_same_update(&back.updates[i], &m.updates[i]);
    }
    assert_int_equal(counts.unknown_fields + counts.unknown_kinds, 0);
}

/* The largest head and the largest update are exactly as long as their bounds say, or shorter. */
static void test_bounds_hold(void **state) {
    (void)state;
    struct peer_swim m = {.kind = PEER_SWIM_OTHER, .number = UINT32_MAX, .nmeta = PEER_SWIM_META_MAX};
    uint8_t wire[PEER_DATAGRAM_MAX];
    memset(&m.target, 0xff, sizeof m.target);
    const size_t head = peer_swim_pack(&m, &scratch, wire, sizeof wire);
    assert_in_range(head, 1, PEER_SWIM_HEAD_MAX - 1); /* one byte more once the message is longer than 127 */
    struct peer_swim_update u = {.boot = PEER_SWIM_NUMBER_MAX,
                                 .incarnation = PEER_SWIM_NUMBER_MAX,
                                 .state = PEER_SWIM_LEFT,
                                 .ended_s = UINT32_MAX,
                                 .naccusers = PEER_SWIM_ACCUSERS_MAX,
                                 .name = long_name,
                                 .address = long_address};
    memset(&u.id, 0xff, sizeof u.id);
    memset(u.accusers, 0xff, sizeof u.accusers);
    m.updates[m.nupdates++] = u;
    const size_t one = peer_swim_pack(&m, &scratch, wire, sizeof wire);
    assert_int_equal(one - head, peer_swim_update_bytes(&u) + 1); /* the byte of above */
    m.updates[m.nupdates++] = u;
    assert_int_equal(peer_swim_pack(&m, &scratch, wire, sizeof wire), 0); /* too long: says so */
    struct peer_arena tiny;
    peer_arena_init(&tiny, scratch_memory, 64);
    assert_int_equal(peer_swim_pack(&m, &tiny, wire, sizeof wire), 0);
}

static void test_a_push_pull_comes_back(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 2);
    static struct peer_swim_update updates[PEER_SYNC_UPDATES_MAX];
    static uint8_t wire[PEER_CONTROL_MAX];
    struct peer_sync m = {.reply = true, .updates = updates}, back = {.updates = updates};
    size_t bound = PEER_SYNC_HEAD_MAX;
    while (m.nupdates < PEER_SYNC_UPDATES_MAX) {
        updates[m.nupdates] = an_update(&r);
        bound += peer_swim_update_bytes(&updates[m.nupdates]);
        if (bound > sizeof wire) break;
        m.nupdates++;
    }
    const size_t n = peer_sync_pack(&m, &scratch, wire, sizeof wire);
    assert_in_range(n, PEER_CONTROL_MAX - 1000, PEER_CONTROL_MAX);
    assert_true(read_sync(wire, n, &back));
    assert_true(back.reply && !back.last);
    assert_int_equal(back.nupdates, m.nupdates);
    for (unsigned i = 0; i < m.nupdates; i++) assert_same_update(&back.updates[i], &updates[i]);
    m = (struct peer_sync){.last = true, .updates = updates};
    assert_true(read_sync(wire, peer_sync_pack(&m, &scratch, wire, sizeof wire), &back));
    assert_true(!back.reply && back.last && back.nupdates == 0);
    uint8_t ping[] = {0x1a, 0x00}; /* another kind */
    assert_false(read_sync(ping, sizeof ping, &back));
}

/* What the packer itself would not write, byte by byte: {18: swim} {8: kind} {42: update} ... */
static bool reads(const char *swim, size_t n, struct peer_swim *out) {
    uint8_t wire[200] = {0x1a, (uint8_t)n};
    memcpy(wire + 2, swim, n);
    return read_datagram(wire, n + 2, out);
}
#define READS(text, out) reads((text), sizeof(text) - 1, out)
#define ID                                                                                                             \
    "\x0a\x10"                                                                                                         \
    "0123456789abcdef"

static void test_what_breaks_a_bound_is_refused(void **state) {
    (void)state;
    struct peer_swim m = {0};
    assert_true(READS("\x08\x01", &m) && m.kind == PEER_SWIM_PING);
    assert_true(READS("\x08\x05\x2a\x16" ID "\x10\x01\x20\x01", &m) && m.nupdates == 1);
    assert_false(READS("\x08\x05\x2a\x14" ID "\x20\x01", &m));                            /* no boot */
    assert_false(READS("\x08\x05\x2a\x04\x10\x01\x20\x01", &m));                          /* no id */
    assert_false(READS("\x08\x05\x2a\x07\x0a\x01x\x10\x01\x20\x01", &m));                 /* an id of one byte */
    assert_false(READS("\x08\x05\x2a\x19" ID "\x10\x01\x20\x01\x32\x01n", &m));           /* a name without address */
    assert_false(READS("\x08\x05\x2a\x1c" ID "\x10\x01\x20\x01\x32\x01\n\x3a\x01x", &m)); /* would forge a log line */
    assert_false(READS("\x08\x05\x2a\x19" ID "\x10\x01\x20\x01\x2a\x01x", &m));           /* an accuser of one byte */
    assert_false(READS("\x08\x01\x1a\x02xy", &m));                                        /* a target of two bytes */
    assert_false(READS("\x08\x05\x2a\x1f" ID "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x01", &m)); /* boot */
    assert_false(read_datagram((const uint8_t *)"", 0, &m)); /* nothing of membership */
    uint8_t many[3 + 41 * 24], *at = many;
    *at++ = 0x1a;
    *at++ = 0xd8, *at++ = 0x07; /* 41 x 24 */
    for (unsigned i = 0; i < 41; i++, at += 24) memcpy(at, "\x2a\x16" ID "\x10\x01\x20\x01", 24);
    assert_false(read_datagram(many, sizeof many, &m));
    many[1] = 0xc0; /* 40 of them */
    assert_true(read_datagram(many, sizeof many - 24, &m) && m.nupdates == 40);
}

static void test_later_releases_are_understood_in_part(void **state) {
    (void)state;
    struct peer_swim m = {0};
    assert_true(READS("\x08\x63\x2a\x16" ID "\x10\x01\x20\x01", &m)); /* kind 99 */
    assert_int_equal(m.kind, PEER_SWIM_UNKNOWN);
    assert_int_equal(m.nupdates, 1);
    assert_int_equal(counts.unknown_kinds, 1);
    assert_true(READS("\x08\x05\x2a\x16" ID "\x10\x01\x20\x09\x2a\x16" ID "\x10\x02\x20\x01", &m)); /* state 9 */
    assert_int_equal(m.nupdates, 1);
    assert_int_equal(m.updates[0].boot, 2);
    assert_int_equal(counts.unknown_kinds, 2);
    assert_true(READS("\x08\x01\xf0\x07\x01", &m)); /* field 126 */
    assert_int_equal(counts.unknown_fields, 1);
}

/* Valid messages with bytes changed: refused or read, within the arena and the struct's bounds. */
static void test_garbage_never_breaks_a_bound(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 3);
    unsigned read = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct peer_swim m = {.kind = PEER_SWIM_GOSSIP}, back = {0};
        uint8_t wire[PEER_DATAGRAM_MAX];
        while (m.nupdates < 5) m.updates[m.nupdates++] = an_update(&r);
        for (unsigned i = 0; i < 5; i++) m.updates[i].name = m.updates[i].address = "x";
        peer_arena_reset(&scratch);
        const size_t n = peer_swim_pack(&m, &scratch, wire, sizeof wire);
        for (uint64_t k = 1 + rand_below(&r, 4); k > 0; k--) wire[rand_below(&r, n)] = (uint8_t)rand_next(&r);
        if (!read_datagram(wire, rand_below(&r, 8) == 0 ? rand_below(&r, n) : n, &back)) continue;
        read++;
        assert_true(back.nupdates <= PEER_SWIM_UPDATES_MAX && back.nmeta <= PEER_SWIM_META_MAX);
        for (unsigned i = 0; i < back.nupdates; i++) {
            const struct peer_swim_update *u = &back.updates[i];
            assert_in_range(u->state, PEER_SWIM_ALIVE, PEER_SWIM_LEFT);
            assert_in_range(u->boot, 1, PEER_SWIM_NUMBER_MAX);
            assert_true(u->incarnation <= PEER_SWIM_NUMBER_MAX && u->naccusers <= PEER_SWIM_ACCUSERS_MAX);
            assert_true(strlen(u->name) <= PEER_TEXT_MAX && strlen(u->address) <= PEER_ADDRESS_MAX);
        }
    }
    assert_true(read > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_datagrams_come_back, set_up),
        cmocka_unit_test_setup(test_bounds_hold, set_up),
        cmocka_unit_test_setup(test_a_push_pull_comes_back, set_up),
        cmocka_unit_test_setup(test_what_breaks_a_bound_is_refused, set_up),
        cmocka_unit_test_setup(test_later_releases_are_understood_in_part, set_up),
        cmocka_unit_test_setup(test_garbage_never_breaks_a_bound, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
