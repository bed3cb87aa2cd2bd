/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Whether a node may give an item to another, by what both have applied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/mutation.h"
#include "cluster/pull.h"

static const struct pull_stand base = {
    .number = 900,
    .usable = 1,
    .known = 1,
    .epoch = 7,
    .version = 40,
    .floor_epoch = 5,
    .retire_version = 30,
    .n = 2,
    .seen = {{3, 100}, {9, UINT64_C(1) << 40}},
};

/* One of them has come in bytes. */
static bool covers(const struct pull_stand *giver, const struct pull_stand *receiver) {
    uint8_t packed[PULL_BYTES_MAX];
    struct pull_stand read;
    const size_t n = pull_pack(receiver, packed);
    assert_int_equal(n, PULL_HEAD + 12 * receiver->n);
    assert_int_equal(pull_unpack(packed, n, &read), n);
    const bool yes = pull_covers(giver, &read);
    assert_int_equal(pull_unpack(packed, pull_pack(giver, packed), &read), PULL_HEAD + 12 * giver->n);
    assert_int_equal(pull_covers(&read, receiver), yes);
    return yes;
}

static void the_giver_has_applied_all_that_the_receiver_has(void **state) {
    struct pull_stand giver = base, receiver = base;
    (void)state;
    assert_true(covers(&giver, &receiver));
    giver.seen[1].sequence++;
    assert_true(covers(&giver, &receiver));
    receiver.seen[0].sequence++;
    assert_false(covers(&giver, &receiver));
    giver.seen[0].sequence++;
    assert_true(covers(&giver, &receiver));
    receiver.seen[receiver.n++] = (struct pull_seen){12, 1}; /* an origin that the giver does not know */
    assert_false(covers(&giver, &receiver));
    receiver.seen[2].sequence = 0;
    assert_true(covers(&giver, &receiver));
}

static void the_giver_has_reached_the_receivers_floors(void **state) {
    struct pull_stand giver = base;
    (void)state;
    giver.epoch = 5;
    giver.version = 30;
    assert_true(covers(&giver, &base));
    giver.epoch = 4;
    assert_false(covers(&giver, &base));
    giver.epoch = 5;
    giver.version = 29;
    assert_false(covers(&giver, &base));
    giver.version = 30;
    giver.known = 0;
    assert_false(covers(&giver, &base));
    struct pull_stand receiver = base;
    giver.known = 1;
    receiver.usable = 0; /* it has purges of its own that no voter has */
    assert_false(covers(&giver, &receiver));
}

static void the_shortcut_is_noticed(void **state) {
    struct pull_stand giver = base;
    (void)state;
    giver.seen[0].sequence--;
    assert_false(covers(&giver, &base));
    mutation_on = MUTATION_PULL_NO_VECTOR;
    assert_true(covers(&giver, &base));
    mutation_on = MUTATION_NONE;
}

static void what_is_malformed_is_no_stand(void **state) {
    uint8_t packed[PULL_BYTES_MAX + 12];
    struct pull_stand full = base, read;
    const uint16_t n = PULL_ORIGINS_MAX + 1;
    (void)state;
    full.n = PULL_ORIGINS_MAX;
    assert_int_equal(pull_pack(&full, packed), PULL_BYTES_MAX);
    for (size_t i = 0; i < PULL_BYTES_MAX; i++) assert_int_equal(pull_unpack(packed, i, &read), 0);
    memcpy(packed + PULL_HEAD - sizeof n, &n, sizeof n);
    assert_int_equal(pull_unpack(packed, sizeof packed, &read), 0);
}

static void what_is_published_is_read(void **state) {
    static struct pull_board board;
    struct pull_stand got = {0};
    (void)state;
    pull_read(&board, &got);
    assert_int_equal(got.usable, 0);
    pull_publish(&board, &base);
    pull_read(&board, &got);
    assert_memory_equal(&got, &base, offsetof(struct pull_stand, seen) + 2 * sizeof base.seen[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_giver_has_applied_all_that_the_receiver_has),
        cmocka_unit_test(the_giver_has_reached_the_receivers_floors),
        cmocka_unit_test(the_shortcut_is_noticed),
        cmocka_unit_test(what_is_malformed_is_no_stand),
        cmocka_unit_test(what_is_published_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
