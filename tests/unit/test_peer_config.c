/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages about the configuration on the wire: what was packed is read, in parts where it is long, and every bound is
 * kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "proto/peer.pb-c.h"
#include "proto/peer_config.h"

static uint8_t scratch[PEER_CONTROL_ARENA_BYTES], memory[PEER_CONTROL_ARENA_BYTES];
static uint8_t frame[PEER_CONTROL_MAX];
static struct peer_counts counts;

static struct peer_config full(void) {
    struct peer_config m = {
        .kind = PEER_CONFIG_PROMISE,
        .cluster = {{1}},
        .version = UINT64_MAX,
        .hash = 3,
        .ballot = {4, 5, {{6}}},
        .accepted = {7, 8, {{9}}},
        .active = true,
        .has_lease = true,
        .keeps_state = true,
        .eligible = true,
        .boot = 10,
        .weight = 11,
        .request = 12,
        .number = 13,
        .argument = 14,
        .token = 15,
    };
    strcpy(m.text, "name n3:1 is in use by 10.0.0.3:2");
    return m;
}

static size_t pack(const struct peer_config *m, unsigned part) {
    struct peer_arena a;
    peer_arena_init(&a, scratch, sizeof scratch);
    return peer_config_pack(m, part, &a, frame, sizeof frame);
}

static enum peer_config_result read_frame(struct peer_config_reader *r, size_t n, struct peer_config *out) {
    struct peer_arena a;
    Peer__Control *c;
    peer_arena_init(&a, memory, sizeof memory);
    if (peer_control_unpack(&a, frame, n, &counts, &c) != PEER_OK) return PEER_CONFIG_BROKEN;
    return peer_config_read(r, c, &counts, out);
}

static void test_every_field_is_read_back(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = full(), out;
    const uint8_t value[3] = {1, 2, 3};
    const struct peer_silent silent[2] = {{4, 10000}, {5, UINT32_MAX}};
    (void)state;
    m.value = value;
    m.nvalue = sizeof value;
    m.silent = silent;
    m.nsilent = 2;
    assert_int_equal(peer_config_parts(&m), 1);
    const size_t n = pack(&m, 0);
    assert_true(n > 0 && n < 300);
    assert_int_equal(read_frame(&r, n, &out), PEER_CONFIG_WHOLE);
    assert_memory_equal(out.value, value, sizeof value);
    assert_int_equal(out.silent[1].number, 5);
    assert_int_equal(out.silent[1].ms, UINT32_MAX);
    assert_int_equal(out.nsilent, 2);
    out.value = value;
    out.silent = silent;
    assert_int_equal(peer_ballot_compare(&out.accepted, &m.accepted), 0);
    assert_string_equal(out.text, m.text);
    assert_int_equal(out.version, UINT64_MAX);
    assert_true(out.active && out.has_lease && out.keeps_state && out.eligible);
    assert_int_equal(out.boot + out.weight + out.request + out.number, 10 + 11 + 12 + 13);
    assert_int_equal(out.argument + out.token, 29);
    peer_config_reader_fini(&r);
}

static void test_every_kind_is_read_and_those_of_later_releases_are_skipped(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = full(), out;
    (void)state;
    for (m.kind = PEER_CONFIG_NEWS; m.kind < PEER_CONFIG_KINDS; m.kind++) {
        assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_WHOLE);
        assert_int_equal(out.kind, m.kind);
    }
    const uint64_t before = counts.unknown_kinds;
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_SKIPPED);
    m.kind = 0;
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_SKIPPED);
    assert_int_equal(counts.unknown_kinds, before + 2);
    peer_config_reader_fini(&r);
}

static void test_an_unknown_field_is_skipped_and_counted(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = {.kind = PEER_CONFIG_NEWS, .version = 7}, out;
    static const uint8_t field_100[] = {0xa2, 0x06, 0x02, 'h', 'i'}; /* bytes */
    (void)state;
    size_t n = pack(&m, 0);
    assert_int_equal(frame[0], 6 << 3 | 2); /* Control.config, of one byte of length */
    frame[1] = (uint8_t)(frame[1] + sizeof field_100);
    memcpy(frame + n, field_100, sizeof field_100);
    const uint64_t before = counts.unknown_fields;
    assert_int_equal(read_frame(&r, n + sizeof field_100, &out), PEER_CONFIG_WHOLE);
    assert_int_equal(out.version, 7);
    assert_int_equal(counts.unknown_fields, before + 1);
    peer_config_reader_fini(&r);
}

/* The largest message there may be: in 8 frames, each of which fits. */
static void test_the_largest_message_goes_in_parts_and_comes_out_whole(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = full(), out;
    uint8_t *value = malloc(PEER_CONFIG_VALUE_MAX);
    static struct peer_silent silent[PEER_CONFIG_SILENT_MAX];
    (void)state;
    for (unsigned i = 0; i < PEER_CONFIG_VALUE_MAX; i++) value[i] = (uint8_t)(i * 7 + i / 251);
    for (unsigned i = 0; i < PEER_CONFIG_SILENT_MAX; i++) silent[i] = (struct peer_silent){UINT32_MAX - i, UINT32_MAX};
    m.value = value;
    m.nvalue = PEER_CONFIG_VALUE_MAX;
    m.silent = silent;
    m.nsilent = PEER_CONFIG_SILENT_MAX;
    assert_int_equal(peer_config_parts(&m), 8);
    for (unsigned round = 0; round < 2; round++) /* the reader is good for the next message, too */
        for (unsigned i = 0; i < 8; i++) {
            const size_t n = pack(&m, i);
            assert_in_range(n, 32 * 1024, 64 * 1024);
            assert_int_equal(read_frame(&r, n, &out), i < 7 ? PEER_CONFIG_MORE : PEER_CONFIG_WHOLE);
        }
    assert_int_equal(out.nvalue, PEER_CONFIG_VALUE_MAX);
    assert_memory_equal(out.value, value, PEER_CONFIG_VALUE_MAX);
    assert_int_equal(out.nsilent, PEER_CONFIG_SILENT_MAX);
    assert_int_equal(out.silent[1999].number, UINT32_MAX - 1999);
    assert_int_equal(out.ballot.counter, 4);
    peer_config_reader_fini(&r);
    free(value);
}

static void test_parts_that_do_not_follow_each_other_break_the_link(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = full(), other = full(), out;
    static uint8_t value[3 * PEER_CONFIG_PART];
    (void)state;
    m.value = value;
    m.nvalue = sizeof value;
    other.kind = PEER_CONFIG_NEWS;
    assert_int_equal(read_frame(&r, pack(&m, 1), &out), PEER_CONFIG_BROKEN); /* begins in the middle */
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_MORE);
    assert_int_equal(read_frame(&r, pack(&m, 2), &out), PEER_CONFIG_BROKEN); /* leaves one out */
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_MORE);
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_BROKEN); /* begins again */
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_MORE);
    assert_int_equal(read_frame(&r, pack(&other, 0), &out), PEER_CONFIG_BROKEN); /* another message between */
    assert_int_equal(read_frame(&r, pack(&other, 0), &out), PEER_CONFIG_WHOLE);
    peer_config_reader_fini(&r);
}

static size_t pack_raw(const Peer__Config *config) {
    Peer__Control c = PEER__CONTROL__INIT;
    c.payload_case = PEER__CONTROL__PAYLOAD_CONFIG;
    c.config = (Peer__Config *)(uintptr_t)config;
    return peer_control_pack(&c, frame, sizeof frame);
}

static void test_lengths_out_of_bounds_are_broken(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config out;
    uint8_t bytes[1000] = {0};
    uint32_t numbers[PEER_CONFIG_SILENT_MAX + 1] = {0};
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        Peer__Config c = PEER__CONFIG__INIT;
        c.kind = PEER_CONFIG_PUSH;
        switch (i) {
        case 0: c.cluster = peer_bytes(bytes, 15); break;
        case 1: c.ballot_node = peer_bytes(bytes, 17); break;
        case 2: c.text = peer_bytes(bytes, PEER_CONFIG_TEXT_MAX + 1); break;
        case 3: c.value_bytes = PEER_CONFIG_VALUE_MAX + 1; break;
        case 4: /* more than it says */
            c.value_bytes = 3;
            c.value = peer_bytes(bytes, 4);
            break;
        case 5: /* says something, brings nothing */ c.value_bytes = 10; break;
        case 6:
            c.n_silent_number = c.n_silent_ms = PEER_CONFIG_SILENT_MAX + 1;
            c.silent_number = c.silent_ms = numbers;
            break;
        default:
            c.n_silent_number = 2;
            c.n_silent_ms = 1;
            c.silent_number = c.silent_ms = numbers;
            break;
        }
        assert_int_equal(read_frame(&r, pack_raw(&c), &out), PEER_CONFIG_BROKEN);
        assert_null(r.value);
    }
    peer_config_reader_fini(&r);
}

static void test_a_text_cannot_forge_a_log_line(void **state) {
    struct peer_config_reader r = {0};
    struct peer_config m = full(), out;
    (void)state;
    strcpy(m.text, "in use\" level=0\nevent=left");
    assert_int_equal(read_frame(&r, pack(&m, 0), &out), PEER_CONFIG_WHOLE);
    assert_string_equal(out.text, "in use. level=0.event=left");
    peer_config_reader_fini(&r);
}

static void test_changed_bytes_do_no_harm(void **state) {
    struct peer_config_reader r = {0};
    struct rand random;
    const uint8_t value[200] = {1};
    const struct peer_silent silent[3] = {{4, 10000}, {5, 1}, {6, 2}};
    (void)state;
    rand_init(&random, 2);
    for (unsigned i = 0; i < 20000; i++) {
        struct peer_config m = full(), out;
        m.value = value;
        m.nvalue = sizeof value;
        m.silent = silent;
        m.nsilent = 3;
        const size_t n = pack(&m, 0);
        for (unsigned k = 0; k < 3; k++) frame[rand_below(&random, n)] = (uint8_t)rand_next(&random);
        if (read_frame(&r, n, &out) != PEER_CONFIG_WHOLE) continue;
        assert_true(out.kind > 0 && out.kind < PEER_CONFIG_KINDS && strlen(out.text) <= PEER_CONFIG_TEXT_MAX);
        assert_true(out.nsilent <= PEER_CONFIG_SILENT_MAX && out.nvalue <= PEER_CONFIG_VALUE_MAX);
    }
    peer_config_reader_fini(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read_back),
        cmocka_unit_test(test_every_kind_is_read_and_those_of_later_releases_are_skipped),
        cmocka_unit_test(test_an_unknown_field_is_skipped_and_counted),
        cmocka_unit_test(test_the_largest_message_goes_in_parts_and_comes_out_whole),
        cmocka_unit_test(test_parts_that_do_not_follow_each_other_break_the_link),
        cmocka_unit_test(test_lengths_out_of_bounds_are_broken),
        cmocka_unit_test(test_a_text_cannot_forge_a_log_line),
        cmocka_unit_test(test_changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
