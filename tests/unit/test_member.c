/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of members: which evidence wins, that any order of evidence ends the same, finding by id among thousands,
 * names and addresses, and who has to go when it is full. */
#include "cluster/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

#define SECOND UINT64_C(1000000000)

static struct peer_swim_update update(uint32_t id, uint64_t boot, uint64_t incarnation, enum peer_swim_state state) {
    static char texts[16][2][24];
    static unsigned turn;
    char(*text)[24] = texts[turn++ % 16];
    snprintf(text[0], sizeof text[0], "c%u:11211", id);
    snprintf(text[1], sizeof text[1], "10.0.%u.%u:21211", id / 256, id % 256);
    struct peer_swim_update u = {
        .boot = boot, .incarnation = incarnation, .state = state, .name = text[0], .address = text[1]};
    memcpy(u.id.bytes, &id, sizeof id);
    return u;
}

static unsigned add(struct members *m, uint32_t id, uint64_t boot, enum peer_swim_state state, uint64_t now_ns) {
    const struct peer_swim_update u = update(id, boot, 0, state);
    return member_add(m, &u, now_ns);
}

static void test_evidence_is_ordered(void **state) {
    (void)state;
    /* Ascending: each wins over all before it. */
    const struct peer_swim_update ladder[] = {
        update(1, 1, 0, PEER_SWIM_ALIVE),   update(1, 1, 0, PEER_SWIM_SUSPECT), update(1, 1, 0, PEER_SWIM_DEAD),
        update(1, 1, 0, PEER_SWIM_LEFT),    update(1, 1, 1, PEER_SWIM_ALIVE),   update(1, 1, 10, PEER_SWIM_DEAD),
        update(1, 2, 0, PEER_SWIM_ALIVE),   update(1, 2, 0, PEER_SWIM_DEAD),    update(1, 2, 3, PEER_SWIM_SUSPECT),
        update(1, 100, 0, PEER_SWIM_ALIVE),
    };
    const unsigned n = sizeof ladder / sizeof ladder[0];
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < n; b++) {
            const struct member m = {
                .boot = ladder[a].boot, .incarnation = ladder[a].incarnation, .state = (uint8_t)ladder[a].state};
            const int wins = member_compare(&m, &ladder[b]);
            assert_true(b > a ? wins > 0 : b < a ? wins < 0 : wins == 0);
        }
}

/* Whatever order it comes in, and however often: the table ends the same. */
static void test_any_order_ends_the_same(void **state) {
    (void)state;
    struct rand r;
    rand_init(&r, 1);
    for (unsigned round = 0; round < 500; round++) {
        struct peer_swim_update all[12];
        struct members m[2];
        for (unsigned i = 0; i < 12; i++)
            all[i] = update(1, 1 + rand_below(&r, 2), rand_below(&r, 3), (enum peer_swim_state)(1 + rand_below(&r, 4)));
        for (unsigned t = 0; t < 2; t++) {
            members_init(&m[t], t);
            const unsigned slot = add(&m[t], 1, 1, PEER_SWIM_ALIVE, 0);
            for (unsigned i = 0; i < 100; i++) {
                const struct peer_swim_update *u = &all[i < 12 ? (t == 0 ? i : 11 - i) : rand_below(&r, 12)];
                if (member_compare(member_at(&m[t], slot), u) > 0) member_take(&m[t], slot, u, 0);
            }
        }
        const struct member *a = member_at(&m[0], 0), *b = member_at(&m[1], 0);
        assert_int_equal(a->boot, b->boot);
        assert_int_equal(a->incarnation, b->incarnation);
        assert_int_equal(a->state, b->state);
        members_fini(&m[0]);
        members_fini(&m[1]);
    }
}

static void test_members_are_found_among_thousands(void **state) {
    (void)state;
    struct members m;
    static bool there[6000];
    struct rand r;
    rand_init(&r, 2);
    members_init(&m, 3);
    memset(there, 0, sizeof there);
    for (unsigned round = 0; round < 30000; round++) {
        const uint32_t id = 1 + (uint32_t)rand_below(&r, 5999);
        const struct peer_swim_update u = update(id, 1, 0, PEER_SWIM_ALIVE);
        const unsigned slot = member_find(&m, &u.id);
        assert_int_equal(slot != MEMBER_NONE, there[id]);
        if (there[id]) {
            assert_string_equal(member_at(&m, slot)->name, u.name);
            member_remove(&m, slot);
            there[id] = false;
        } else {
            there[id] = member_add(&m, &u, 0) != MEMBER_NONE;
            assert_int_equal(there[id], members_count(&m) <= MEMBERS_MAX);
        }
    }
    unsigned count = 0;
    for (uint32_t id = 1; id < 6000; id++) {
        const struct peer_swim_update u = update(id, 1, 0, PEER_SWIM_ALIVE);
        assert_int_equal(member_find(&m, &u.id) != MEMBER_NONE, there[id]);
        count += there[id];
    }
    assert_int_equal(members_count(&m), count);
    assert_int_equal(m.in_state[PEER_SWIM_ALIVE], count);
    const struct cluster_id nobody = {{0}};
    assert_int_equal(member_find(&m, &nobody), MEMBER_NONE);
    assert_null(member_at(&m, MEMBER_NONE));
    members_fini(&m);
}

static void test_the_table_is_bounded(void **state) {
    (void)state;
    struct members m;
    members_init(&m, 4);
    for (uint32_t id = 1; id <= 4096; id++) assert_int_equal(add(&m, id, 1, PEER_SWIM_ALIVE, 0), id - 1);
    assert_int_equal(add(&m, 5000, 1, PEER_SWIM_ALIVE, 0), MEMBER_NONE);
    assert_int_equal(member_victim(&m, 0), MEMBER_NONE);
    member_set_state(&m, 10, PEER_SWIM_DEAD, 5 * SECOND);
    member_set_state(&m, 11, PEER_SWIM_DEAD, 2 * SECOND);
    assert_int_equal(member_victim(&m, 10 * SECOND), 11); /* dead for longest */
    const struct peer_swim_update heir = {
        .id = {{1}}, .boot = 2, .state = PEER_SWIM_ALIVE, .name = member_at(&m, 10)->name, .address = "elsewhere:1"};
    member_take(&m, 0, &heir, 6 * SECOND);
    assert_int_equal(member_victim(&m, 10 * SECOND), 10); /* a newer process has its name */
    member_set_state(&m, 12, PEER_SWIM_LEFT, 9 * SECOND);
    member_set_state(&m, 13, PEER_SWIM_LEFT, 8 * SECOND);
    assert_int_equal(member_victim(&m, 10 * SECOND), 13); /* left longest ago */
    assert_true(sizeof(struct member) <= 104);            /* 150 bytes with two texts and what malloc adds */
    members_fini(&m);
}

static void test_names_and_addresses(void **state) {
    (void)state;
    struct members m;
    members_init(&m, 5);
    const unsigned older = add(&m, 1, 10, PEER_SWIM_ALIVE, 0);
    struct peer_swim_update u = update(2, 11, 0, PEER_SWIM_ALIVE);
    u.name = member_at(&m, older)->name;
    const unsigned newer = member_add(&m, &u, 0);
    assert_int_equal(member_by_name(&m, "c1:11211"), newer);
    assert_int_equal(member_by_name(&m, "c2:11211"), MEMBER_NONE);
    assert_int_equal(member_other_of_name(&m, older), newer);
    assert_int_equal(member_other_of_address(&m, older), MEMBER_NONE);
    assert_true(member_is_superseded(&m, older));
    assert_false(member_is_superseded(&m, newer));
    member_set_state(&m, newer, PEER_SWIM_DEAD, 0); /* who is gone takes nobody's name */
    assert_int_equal(member_by_name(&m, "c1:11211"), older);
    assert_false(member_is_superseded(&m, older));
    assert_true(member_is_at(&m, "10.0.0.1:21211"));
    assert_false(member_is_at(&m, "10.0.0.2:21211"));
    u = update(3, 12, 0, PEER_SWIM_SUSPECT);
    u.address = member_at(&m, older)->address;
    const unsigned tenant = member_add(&m, &u, 0);
    assert_int_equal(member_other_of_address(&m, older), tenant);
    assert_true(member_is_superseded(&m, older));
    /* An update without texts keeps them. */
    u = update(1, 10, 7, PEER_SWIM_SUSPECT);
    u.name = u.address = "";
    member_take(&m, older, &u, 0);
    assert_string_equal(member_at(&m, older)->name, "c1:11211");
    u = update(9, 10, 8, PEER_SWIM_ALIVE);
    member_take(&m, older, &u, 0);
    assert_string_equal(member_at(&m, older)->address, "10.0.0.9:21211");
    assert_int_equal(member_by_name(&m, "c9:11211"), older);
    members_fini(&m);
}

static void test_ages(void **state) {
    (void)state;
    struct members m;
    members_init(&m, 6);
    struct peer_swim_update u = update(1, 1, 0, PEER_SWIM_LEFT);
    u.ended_s = 3600; /* before this clock began */
    const unsigned slot = member_add(&m, &u, 5 * SECOND);
    assert_int_equal(member_age_s(member_at(&m, slot), 5 * SECOND), 3600);
    assert_int_equal(member_age_s(member_at(&m, slot), 15 * SECOND + 1), 3610);
    u.ended_s = UINT32_MAX;
    member_take(&m, slot, &u, 5 * SECOND);
    assert_int_equal(member_age_s(member_at(&m, slot), 6 * SECOND), UINT32_MAX);
    members_fini(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evidence_is_ordered),
        cmocka_unit_test(test_any_order_ends_the_same),
        cmocka_unit_test(test_members_are_found_among_thousands),
        cmocka_unit_test(test_the_table_is_bounded),
        cmocka_unit_test(test_names_and_addresses),
        cmocka_unit_test(test_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
