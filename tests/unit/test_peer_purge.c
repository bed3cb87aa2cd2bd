/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Messages about purges on the wire: each comes back as it was, at its bounds too; what is beyond them is refused. */
#include "proto/peer_purge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

static unsigned char memory[PEER_CONTROL_ARENA_BYTES], scratch_memory[PEER_CONTROL_ARENA_BYTES];
static struct peer_arena arena, scratch;
static struct peer_counts counts;
static uint8_t wire[PEER_CONTROL_MAX + 64];

static struct peer_purge_seen vector[PEER_PURGE_VECTOR_MAX + 1];
static struct peer_purge_run runs[PEER_PURGE_RUNS_MAX + 1];
static struct peer_purge_lack lacks[PEER_PURGE_LACKS_MAX + 1];
static uint8_t events[PEER_PURGE_EVENTS_MAX + 1];

static int set_up(void **state) {
    (void)state;
    peer_arena_init(&arena, memory, sizeof memory);
    peer_arena_init(&scratch, scratch_memory, sizeof scratch_memory);
    counts = (struct peer_counts){0};
    for (unsigned i = 0; i <= PEER_PURGE_VECTOR_MAX; i++)
        vector[i] = (struct peer_purge_seen){UINT32_MAX - i, (UINT64_C(1) << 40) - i, i};
    for (unsigned i = 0; i <= PEER_PURGE_RUNS_MAX; i++)
        runs[i] = (struct peer_purge_run){{i + 1, PURGE_EVENT_COUNTER_MAX - i}, i, (UINT64_C(1) << 40) - i, i};
    for (unsigned i = 0; i <= PEER_PURGE_LACKS_MAX; i++)
        lacks[i] = (struct peer_purge_lack){i, (UINT64_C(1) << 40) - i};
    for (unsigned i = 0; i < sizeof events; i++) events[i] = (uint8_t)i;
    return 0;
}

static bool back(size_t n, struct peer_purge *out) {
    Peer__Control *c = NULL;
    assert_true(n > 0);
    assert_int_equal(peer_control_unpack(&arena, wire, n, &counts, &c), PEER_OK);
    assert_int_equal(peer_control_kind(c), PEER_PURGE);
    return peer_purge_read(c, &arena, out);
}

static void assert_same(const struct peer_purge *a, const struct peer_purge *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->flags, b->flags);
    assert_true(a->version == b->version && a->epoch == b->epoch && a->sequence == b->sequence && a->star == b->star);
    assert_true(a->boot == b->boot && a->active_epoch == b->active_epoch);
    assert_int_equal(a->origin, b->origin);
    assert_int_equal(a->stream, b->stream);
    assert_int_equal(a->members, b->members);
    assert_int_equal(a->events_bytes, b->events_bytes);
    assert_int_equal(a->nvector, b->nvector);
    assert_int_equal(a->nruns, b->nruns);
    assert_int_equal(a->nlacks, b->nlacks);
    if (a->events_bytes > 0) assert_memory_equal(a->events, b->events, a->events_bytes);
    for (unsigned i = 0; i < a->nvector; i++)
        assert_true(a->vector[i].origin == b->vector[i].origin && a->vector[i].sequence == b->vector[i].sequence &&
                    a->vector[i].star == b->vector[i].star);
    for (unsigned i = 0; i < a->nruns; i++)
        assert_true(a->runs[i].via.number == b->runs[i].via.number &&
                    a->runs[i].via.counter == b->runs[i].via.counter && a->runs[i].origin == b->runs[i].origin &&
                    a->runs[i].sequence == b->runs[i].sequence && a->runs[i].count == b->runs[i].count);
    for (unsigned i = 0; i < a->nlacks; i++)
        assert_true(a->lacks[i].member == b->lacks[i].member && a->lacks[i].sequence == b->lacks[i].sequence);
}

static void test_every_kind_comes_back(void **state) {
    (void)state;
    for (int kind = PEER_PURGE_SUBMIT; kind < PEER_PURGE_KINDS; kind++) {
        const struct peer_purge m = {.kind = (enum peer_purge_kind)kind,
                                     .flags = PEER_PURGE_BEGUN | PEER_PURGE_GAP,
                                     .version = UINT64_MAX,
                                     .epoch = 7,
                                     .origin = UINT32_MAX,
                                     .stream = 3,
                                     .sequence = UINT64_C(1) << 40,
                                     .star = 9,
                                     .boot = 0xfedcba9876543210,
                                     .active_epoch = 6,
                                     .members = 2000,
                                     .events = events,
                                     .events_bytes = kind == PEER_PURGE_SUBMIT || kind == PEER_PURGE_EVENTS ? 64 : 0,
                                     .vector = vector,
                                     .nvector = kind == PEER_PURGE_POLL ? 5 : 0,
                                     .runs = runs,
                                     .nruns = kind == PEER_PURGE_ANSWER ? 2 : 0,
                                     .lacks = lacks,
                                     .nlacks = kind == PEER_PURGE_STATUS ? 3 : 0};
        struct peer_purge out;
        set_up(NULL);
        assert_true(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
        assert_same(&m, &out);
    }
}

static void test_messages_fit_at_their_bounds(void **state) {
    (void)state;
    struct peer_purge out, m = {.kind = PEER_PURGE_EVENTS,
                                .sequence = UINT64_MAX,
                                .star = UINT64_MAX,
                                .version = UINT64_MAX,
                                .epoch = UINT64_MAX,
                                .origin = UINT32_MAX,
                                .stream = UINT32_MAX,
                                .flags = UINT32_MAX,
                                .events = events,
                                .events_bytes = PEER_PURGE_EVENTS_MAX};
    assert_true(back(peer_purge_pack(&m, &scratch, wire, PEER_CONTROL_MAX), &out));
    assert_same(&m, &out);
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_STATUS, .lacks = lacks, .nlacks = PEER_PURGE_LACKS_MAX};
    assert_true(back(peer_purge_pack(&m, &scratch, wire, PEER_CONTROL_MAX), &out));
    assert_same(&m, &out);
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_ANSWER, .runs = runs, .nruns = PEER_PURGE_RUNS_MAX};
    assert_true(back(peer_purge_pack(&m, &scratch, wire, PEER_CONTROL_MAX), &out));
    assert_same(&m, &out);
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_PULL, .vector = vector, .nvector = PEER_PURGE_VECTOR_MAX};
    assert_true(back(peer_purge_pack(&m, &scratch, wire, PEER_CONTROL_MAX), &out));
    assert_same(&m, &out);
}

static void test_a_poll_of_five_voters_is_small(void **state) {
    (void)state;
    struct peer_purge_seen eight[8];
    for (unsigned i = 0; i < 8; i++)
        eight[i] = (struct peer_purge_seen){1000 + i, UINT64_C(1) << 39, UINT64_C(1) << 38};
    const struct peer_purge m = {.kind = PEER_PURGE_POLL,
                                 .flags = PEER_PURGE_BEGUN,
                                 .version = 100000,
                                 .epoch = 1000,
                                 .boot = UINT64_MAX,
                                 .vector = eight,
                                 .nvector = 8};
    const size_t n = peer_purge_pack(&m, &scratch, wire, sizeof wire);
    assert_true(n > 0 && n <= 300);
}

static void test_a_purge_of_one_tag_is_32_bytes_of_a_frame(void **state) {
    (void)state;
    struct peer_purge m = {
        .kind = PEER_PURGE_EVENTS, .origin = 9, .sequence = 1000, .events = events, .events_bytes = 3200};
    const size_t hundred = peer_purge_pack(&m, &scratch, wire, sizeof wire);
    m.events_bytes = 6400;
    assert_int_equal(peer_purge_pack(&m, &scratch, wire, sizeof wire) - hundred, 3200);
}

static void test_what_is_beyond_the_bounds_is_refused(void **state) {
    (void)state;
    struct peer_purge out, m = {.kind = PEER_PURGE_EVENTS, .events = events, .events_bytes = PEER_PURGE_EVENTS_MAX + 1};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_STATUS, .lacks = lacks, .nlacks = PEER_PURGE_LACKS_MAX + 1};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_ANSWER, .runs = runs, .nruns = PEER_PURGE_RUNS_MAX + 1};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_PULL, .vector = vector, .nvector = PEER_PURGE_VECTOR_MAX + 1};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    set_up(NULL);
    m = (struct peer_purge){.kind = PEER_PURGE_KINDS};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    set_up(NULL);
    m = (struct peer_purge){.kind = (enum peer_purge_kind)0};
    assert_false(back(peer_purge_pack(&m, &scratch, wire, sizeof wire), &out));
    peer_arena_init(&scratch, scratch_memory, 64); /* no room for its lists */
    m = (struct peer_purge){.kind = PEER_PURGE_STATUS, .lacks = lacks, .nlacks = 100};
    assert_int_equal(peer_purge_pack(&m, &scratch, wire, sizeof wire), 0);
}

/* Wraps the fields of a Purge into a Control: field 7, its length, the bytes. */
static size_t wrap(const uint8_t *fields, size_t n) {
    assert_true(n < 128);
    wire[0] = 7 << 3 | 2;
    wire[1] = (uint8_t)n;
    memcpy(wire + 2, fields, n);
    return n + 2;
}

static void test_lists_that_belong_together_have_one_length(void **state) {
    (void)state;
    struct peer_purge out;
    const uint8_t vector_without_sequences[] = {0x08, PEER_PURGE_POLL, 0x6a, 2, 5, 6};
    assert_false(back(wrap(vector_without_sequences, sizeof vector_without_sequences), &out));
    const uint8_t lacks_without_members[] = {0x08, PEER_PURGE_STATUS, 0xb2, 0x01, 1, 5};
    assert_false(back(wrap(lacks_without_members, sizeof lacks_without_members), &out));
}

static void test_fields_of_later_versions_are_counted_and_skipped(void **state) {
    (void)state;
    struct peer_purge out;
    const uint8_t fields[] = {0x08, PEER_PURGE_ACK, 0x38, 42, 0xc0, 0x3e, 1}; /* kind, sequence, number 1000 */
    assert_true(back(wrap(fields, sizeof fields), &out));
    assert_int_equal(out.kind, PEER_PURGE_ACK);
    assert_int_equal(out.sequence, 42);
    assert_int_equal(counts.unknown_fields, 1);
}

static void test_any_bytes_do_no_harm(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 5);
    const struct peer_purge m = {.kind = PEER_PURGE_STATUS,
                                 .lacks = lacks,
                                 .nlacks = 20,
                                 .vector = vector,
                                 .nvector = 3,
                                 .events = events,
                                 .events_bytes = 64,
                                 .runs = runs,
                                 .nruns = 4};
    const size_t n = peer_purge_pack(&m, &scratch, wire, sizeof wire);
    uint8_t sound[1024];
    assert_true(n < sizeof sound);
    memcpy(sound, wire, n);
    unsigned read = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *exact = malloc(n);
        memcpy(exact, sound, n);
        for (unsigned k = 0; k < 3; k++) exact[rand_below(&r, n)] = (uint8_t)rand_next(&r);
        Peer__Control *c;
        struct peer_purge out;
        peer_arena_reset(&arena);
        if (peer_control_unpack(&arena, exact, n, &counts, &c) == PEER_OK && peer_purge_read(c, &arena, &out)) {
            assert_true(out.nvector <= PEER_PURGE_VECTOR_MAX && out.nruns <= PEER_PURGE_RUNS_MAX);
            assert_true(out.nlacks <= PEER_PURGE_LACKS_MAX && out.events_bytes <= PEER_PURGE_EVENTS_MAX);
            read++;
        }
        free(exact);
    }
    assert_true(read > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_kind_comes_back, set_up),
        cmocka_unit_test_setup(test_messages_fit_at_their_bounds, set_up),
        cmocka_unit_test_setup(test_a_poll_of_five_voters_is_small, set_up),
        cmocka_unit_test_setup(test_a_purge_of_one_tag_is_32_bytes_of_a_frame, set_up),
        cmocka_unit_test_setup(test_what_is_beyond_the_bounds_is_refused, set_up),
        cmocka_unit_test_setup(test_lists_that_belong_together_have_one_length, set_up),
        cmocka_unit_test_setup(test_fields_of_later_versions_are_counted_and_skipped, set_up),
        cmocka_unit_test_setup(test_any_bytes_do_no_harm, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
