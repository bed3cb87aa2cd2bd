/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Which node may give an item to which (cover.h), what two nodes tell each other for it, items as bytes; who has a
 * key's item while the key moves. */
#include "cluster/cover.h"
#include "cluster/mutation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/md5.h"
#include "cluster/view.h"
#include "proto/moved_item.h"
#include "proto/peer_handoff.h"

static struct cover make(uint64_t version, uint64_t epoch, uint64_t floor_epoch, uint64_t retire_version) {
    return (struct cover){.usable = true,
                          .version = version,
                          .epoch = epoch,
                          .floor_epoch = floor_epoch,
                          .retire_version = retire_version};
}

static void test_a_giver_knows_all_that_the_other_does(void **state) {
    (void)state;
    struct cover own = make(9, 3, 1, 4), theirs = make(9, 3, 1, 4);
    assert_true(cover_covers(&own, &theirs));
    own.seen[0] = (struct cover_seen){5, 100};
    theirs.seen[0] = (struct cover_seen){5, 101};
    own.n = theirs.n = 1;
    assert_false(cover_covers(&own, &theirs));
    own.seen[0].sequence = 101;
    assert_true(cover_covers(&own, &theirs));
    own.usable = false;
    assert_false(cover_covers(&own, &theirs));
}

static void test_floors_and_dropped_origins(void **state) {
    (void)state;
    struct cover own = make(9, 3, 1, 4), theirs = make(9, 4, 4, 4);
    assert_false(cover_covers(&own, &theirs)); /* the floor of epoch 4 is not raised here */
    own.epoch = 4;
    assert_true(cover_covers(&own, &theirs));
    theirs.retire_version = theirs.version = 10;
    assert_false(cover_covers(&own, &theirs));
    own.version = 10;
    assert_true(cover_covers(&own, &theirs));
}

/* An origin that the giver does not know is one that was dropped, or one that is too new for it. */
/* A giver that has not raised the floor of the last fresh epoch, or does not know that an origin was dropped, may hold
 * what a purge of that time should have taken out. */
static void test_a_giver_without_the_floor_is_noticed(void **state) {
    (void)state;
    const struct cover old = make(5, 1, 1, 0), fresh = make(6, 2, 2, 0), dropped = make(6, 1, 1, 6);
    assert_false(cover_covers(&old, &fresh) || cover_covers(&old, &dropped));
    mutation_on = MUTATION_PULL_NO_FLOOR;
    const bool gives = cover_covers(&old, &fresh) && cover_covers(&old, &dropped);
    mutation_on = MUTATION_NONE;
    assert_true(gives);
}

static void test_unknown_origins(void **state) {
    (void)state;
    struct cover own = make(9, 3, 1, 4), theirs = make(9, 3, 1, 4);
    theirs.seen[0] = (struct cover_seen){6, 1};
    theirs.n = 1;
    assert_true(cover_covers(&own, &theirs));
    theirs.version = 10;
    assert_false(cover_covers(&own, &theirs));
}

static void test_as_bytes_and_in_its_cell(void **state) {
    (void)state;
    uint8_t bytes[COVER_BYTES_MAX];
    struct cover a = make(1, 2, 3, 4), b;
    struct cover_cell cell = {0};
    a.g = 77;
    a.n = PEER_PURGE_VECTOR_MAX;
    for (unsigned i = 0; i < a.n; i++) a.seen[i] = (struct cover_seen){i + 1, UINT64_MAX - i};
    const size_t n = cover_pack(&a, bytes);
    assert_int_equal(n, COVER_BYTES_MAX);
    assert_true(cover_read(bytes, n, &b));
    assert_int_equal(b.g, 0);
    b.g = 77;
    assert_memory_equal(&a, &b, sizeof a);
    assert_false(cover_read(bytes, n - 1, &b));
    assert_false(cover_read(bytes, COVER_HEAD_BYTES - 1, &b));
    cover_copy(&cell, &b);
    assert_false(b.usable);
    cover_publish(&cell, &a);
    cover_copy(&cell, &b);
    assert_memory_equal(&a, &b, sizeof a);
}

/* ------------------------------------------------------------------ items on their way */

static void test_items_come_back(void **state) {
    (void)state;
    uint8_t bytes[MOVED_ITEM_REST_MAX + 100];
    struct moved_item
        a = {.key = "k", .nkey = 1, .value = "value", .nvalue = 5, .size = 5, .version = 9, .ttl_s = 60, .flags = 7},
        b;
    size_t n = moved_item_pack(&a, bytes);
    assert_int_equal(n, 24 + 1 + 5);
    assert_int_equal(n, moved_item_bytes(&a));
    assert_int_equal(moved_item_read(bytes, n, &b), n);
    assert_true(b.size == 5 && b.at == 0 && b.version == 9 && b.ttl_s == 60 && b.flags == 7 && b.ntags == 0 &&
                !b.has_cas && b.bits == 0 && moved_item_is_last(&b));
    assert_memory_equal(b.value, "value", 5);
    a.has_cas = true;
    a.cas = UINT64_MAX;
    a.size = UINT64_C(1) << 40; /* a part */
    a.at = 17;
    a.bits = 255;
    a.ntags = MOVED_ITEM_TAGS_MAX;
    for (unsigned i = 0; i < a.ntags; i++) a.tags[i] = i;
    n = moved_item_pack(&a, bytes);
    assert_int_equal(moved_item_read(bytes, n, &b), n);
    assert_true(b.size == a.size && b.at == 17 && b.cas == UINT64_MAX && b.bits == 255 && !moved_item_is_last(&b));
    assert_memory_equal(b.tags, a.tags, sizeof a.tags);
}

static void test_broken_items_are_refused(void **state) {
    (void)state;
    uint8_t bytes[512];
    struct moved_item
        a = {.key = "key", .nkey = 3, .value = "value", .nvalue = 5, .size = 9, .at = 4, .ntags = 2, .tags = {1, 2}},
        b;
    const size_t n = moved_item_pack(&a, bytes);
    assert_int_equal(moved_item_read(bytes, n, &b), n);
    for (size_t i = 0; i < n; i++) assert_int_equal(moved_item_read(bytes, i, &b), 0);
    for (size_t i = 0; i < n; i++) { /* whatever a byte is: no more than n bytes are read (with the sanitizers) */
        for (unsigned v = 0; v < 256; v++) {
            uint8_t changed[512];
            memcpy(changed, bytes, n);
            changed[i] = (uint8_t)v;
            assert_true(moved_item_read(changed, n, &b) <= n);
        }
    }
    a.at = 5; /* ends behind the value */
    (void)moved_item_pack(&a, bytes);
    assert_int_equal(moved_item_read(bytes, n, &b), 0);
}

/* What is beyond the bounds of a message is refused; at them it is not. */
static void test_messages_are_bounded(void **state) {
    static uint8_t wire[PEER_CONTROL_MAX], items[PEER_HANDOFF_ITEMS_MAX + 1];
    static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
    static uint64_t seen[PEER_PURGE_VECTOR_MAX + 1];
    const struct {
        struct peer_handoff m;
        bool good;
    } messages[] = {
        {{.kind = PEER_HANDOFF_ITEMS, .items = items, .nitems = PEER_HANDOFF_ITEMS_MAX}, true},
        {{.kind = PEER_HANDOFF_ITEMS, .items = items, .nitems = PEER_HANDOFF_ITEMS_MAX + 1}, false},
        {{.kind = PEER_HANDOFF_NEXT, .nseen = PEER_PURGE_VECTOR_MAX, .seen_origin = seen, .seen_sequence = seen}, true},
        {{.kind = PEER_HANDOFF_NEXT, .nseen = PEER_PURGE_VECTOR_MAX + 1, .seen_origin = seen, .seen_sequence = seen},
         false},
        {{.kind = PEER_HANDOFF_ABORT}, true},
        {{.kind = 0}, false},
        {{.kind = PEER_HANDOFF_KINDS}, false},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct peer_arena arena;
        struct peer_counts counts = {0};
        struct peer_handoff back;
        Peer__Control *c;
        peer_arena_init(&arena, memory, sizeof memory);
        const size_t n = peer_handoff_pack(&messages[i].m, wire, sizeof wire);
        assert_true(n > 0);
        assert_int_equal(peer_control_unpack(&arena, wire, n, &counts, &c), PEER_OK);
        assert_int_equal(peer_handoff_read(c, &back), messages[i].good);
        if (messages[i].good) assert_int_equal(back.nitems + back.nseen, messages[i].m.nitems + messages[i].m.nseen);
    }
}

/* ------------------------------------------------------------------ whose a moving key is */

static struct ring *ring_of(uint64_t version, unsigned n) {
    struct ring_member m[4];
    struct ring *r = NULL;
    const char *const names[] = {"a:1", "b:1", "c:1", "d:1"};
    for (unsigned i = 0; i < n; i++) assert_true(ring_member_read(names[i], &m[i]));
    assert_int_equal(ring_new(version, m, n, &r), 0);
    return r;
}

/* A view of a ring of n, as node `self` sees it, that came from a ring of n - 1. */
static struct view *view_of(unsigned n, unsigned self, struct move **move) {
    struct ring *before = ring_of(1, n - 1), *after = ring_of(2, n);
    struct view_member members[4] = {{.number = 11}, {.number = 12}, {.number = 13}, {.number = 14}};
    struct view *v = NULL;
    const uint16_t self_before = self < n - 1 ? (uint16_t)self : RING_NONE;
    assert_int_equal(move_new(before, after, self_before, (uint16_t)self, 1 << 26, NULL, move), 0);
    for (unsigned i = 0; i + 1 < n; i++) (*move)->donor[i].number = members[i].number;
    assert_int_equal(view_new(2, after, members, n, self, VIEW_NOBODY, &v), 0);
    assert_int_equal(view_set_move(v, *move), 0);
    ring_free(before);
    return v;
}

static void test_whose_a_moving_key_is(void **state) {
    (void)state;
    struct move *gains, *loses;
    struct view *new = view_of(4, 3, &gains), *old = view_of(4, 0, &loses);
    unsigned moved = 0;
    assert_false(view_gains(new));
    for (unsigned i = 0; i < 3; i++) move_set_state(gains, i, MOVE_ASKED);
    assert_true(view_gains(new));
    move_set_state(gains, 0, MOVE_PULLING);
    move_set_state(gains, 1, MOVE_NONE);
    for (unsigned i = 0; i < 1000; i++) {
        char text[128] = {0}; /* keys are read beyond their ends (md5.h) */
        const char *key = text;
        uint32_t len = (uint32_t)snprintf(text, sizeof text, "key%u", i);
        uint16_t before, now, donor;
        uint64_t since;
        ring_owners(gains->before, &key, &len, 1, &before, NULL);
        view_owners(new, &key, &len, 1, &now, &(uint64_t){0});
        if (now == 3) {
            view_donors(new, &key, &len, 1, &donor);
            assert_int_equal(donor, before == 1 ? RING_NONE : before); /* that of b is over */
            if (donor != RING_NONE) assert_int_equal(new->donor[donor], before);
        }
        assert_int_equal(view_gave(old, key, len, 3, &since), before == 0 && now == 3);
        assert_false(view_gave(old, key, len, 0, &since));
        const uint32_t point = md5_first_of_one(key, len);
        assert_int_equal(move_taker(loses, point, &since), before == 0 && now != 0 ? now : RING_NONE);
        assert_int_equal(move_taker(gains, point, &since), RING_NONE); /* it had nothing */
        moved += before == 0 && now == 3;
    }
    assert_true(moved > 30);
    loses->receiver[3] = 14;
    assert_int_equal(move_receiver(loses, 14), 3);
    assert_int_equal(move_receiver(loses, 0), RING_NONE);
    assert_int_equal(move_donor(gains, 13), 2);
    assert_int_equal(move_donor(gains, 14), RING_NONE);
    move_set_state(gains, 0, MOVE_NONE);
    move_set_state(gains, 2, MOVE_NONE);
    assert_false(view_gains(new));
    view_free(new);
    view_free(old);
    move_put(gains);
    move_put(loses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_giver_knows_all_that_the_other_does),
        cmocka_unit_test(test_floors_and_dropped_origins),
        cmocka_unit_test(test_a_giver_without_the_floor_is_noticed),
        cmocka_unit_test(test_unknown_origins),
        cmocka_unit_test(test_as_bytes_and_in_its_cell),
        cmocka_unit_test(test_items_come_back),
        cmocka_unit_test(test_broken_items_are_refused),
        cmocka_unit_test(test_messages_are_bounded),
        cmocka_unit_test(test_whose_a_moving_key_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
