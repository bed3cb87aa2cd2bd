/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who lacks events pulls them from whoever has them, or raises a floor; a newcomer begins with a floor and a voter's
 * vector; a voter that is new in an epoch first learns what the voters before it knew; origins are retired when
 * everybody has all of theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "purge_lab.h"

static struct purge_lab l;

static void cut(uint32_t a) {
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != a) purge_lab_link(&l, a, i, false);
}

static void mend(uint32_t a) {
    for (uint32_t i = 1; i <= l.n; i++)
        if (i != a) purge_lab_link(&l, a, i, true);
}

/* ------------------------------------------------------------------ repair */

static void test_what_a_dead_origin_told_only_one_member_reaches_all(void **state) {
    (void)state;
    purge_lab_init(&l, 5, 3, 1 << 20);
    for (uint32_t i = 2; i <= 4; i++) purge_lab_link(&l, 1, i, false); /* the origin reaches member 5 only */
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    cut(1); /* and dies */
    purge_lab_run(&l, 1000);
    for (uint32_t i = 2; i <= 5; i++) {
        assert_int_equal(purge_lab_count(&l, i, 5), 1);
        assert_int_equal(purge_lab_seen(&l, i, 101), 1);
        assert_int_equal(purge_lab_node(&l, i)->floors_tagged + purge_lab_node(&l, i)->floors_all, 0);
    }
    purge_lab_fini(&l);
}

static uint32_t told_to; /* events of member 1 reach members up to this number only */
static bool stopped;     /* member 1 hears and says nothing; its links stay up */

static bool of_member_1(struct purge_lab *lab, uint32_t from, uint32_t to, const struct peer_purge *m) {
    (void)lab;
    return (stopped && (from == 1 || to == 1)) || (from == 1 && m->kind == PEER_PURGE_EVENTS && to > told_to);
}

/* Member 1 has shown three events to all, two of them to member 2 and one to the others, and is stopped. */
static void test_what_a_stopped_origin_does_not_send_is_pulled_from_others(void **state) {
    (void)state;
    purge_lab_init(&l, 5, 5, 1 << 20);
    l.drop = of_member_1;
    stopped = false;
    for (uint64_t tag = 1; tag <= 3; tag++) {
        told_to = tag == 1 ? 5 : tag == 2 ? 2 : 0;
        assert_int_equal(purge_lab_purge(&l, 1, tag), 0);
        purge_lab_settle(&l);
    }
    purge_lab_run(&l, 300); /* polls show it */
    stopped = true;
    purge_lab_run(&l, 600);
    for (uint32_t i = 2; i <= 5; i++) {
        assert_int_equal(purge_lab_seen(&l, i, 101), 2);
        assert_true(purging_leases(purge_lab_node(&l, i)->p).tag_ns > l.now_ns);
    }
    purge_lab_run(&l, 2000);
    for (uint32_t i = 2; i <= 5; i++) assert_true(purging_leases(purge_lab_node(&l, i)->p).tag_ns > l.now_ns);
    stopped = false;
    told_to = 5;
    purge_lab_run(&l, 300);
    for (uint32_t i = 2; i <= 5; i++) assert_int_equal(purge_lab_seen(&l, i, 101), 3);
    l.drop = NULL;
    purge_lab_fini(&l);
}

/* Members 1 and 2 go on while 3 is cut off, until their logs begin behind what it has; star: a `*` is among it. Then
 * the members come together again. */
static void fall_behind(bool star) {
    purge_lab_init(&l, 3, 1, 8 << 10);
    assert_int_equal(purge_lab_purge(&l, 1, 1), 0);
    purge_lab_settle(&l);
    l.c.version++; /* 3 is away: not to wait for it, they forget it for a while */
    configuration_by_number(&l.c, 3)->state = CONFIGURATION_EJECTED;
    purge_lab_adopt_one(&l, 1);
    purge_lab_adopt_one(&l, 2);
    cut(3);
    for (uint64_t i = 1; i <= 1500; i++) {
        assert_int_equal(purge_lab_purge(&l, 1, star && i == 700 ? 0 : 10000 + i), 0);
        if (i % 50 == 0) purge_lab_settle(&l);
    }
    l.c.version++;
    configuration_by_number(&l.c, 3)->state = CONFIGURATION_SERVING;
    mend(3);
    purge_lab_adopt(&l);
    purge_lab_run(&l, 3000);
}

static void test_a_log_that_begins_too_late_costs_a_floor_of_tagged_items(void **state) {
    (void)state;
    fall_behind(false);
    assert_int_equal(purge_lab_node(&l, 3)->floors_tagged, 1);
    assert_int_equal(purge_lab_node(&l, 3)->floors_all, 0);
    assert_int_equal(purge_lab_seen(&l, 3, 101), 1501);
    assert_true(purge_lab_node(&l, 3)->napplied < 1000); /* the rest was in the log still */
    assert_int_equal(purge_lab_count(&l, 3, 11500), 1);
    assert_int_equal(purge_lab_node(&l, 2)->floors_tagged, 0);
    purge_lab_fini(&l);
}

static void test_a_flush_that_is_in_no_log_costs_a_floor_of_everything(void **state) {
    (void)state;
    fall_behind(true);
    assert_int_equal(purge_lab_node(&l, 3)->floors_all, 1);
    assert_int_equal(purge_lab_node(&l, 3)->floors_tagged, 0);
    assert_int_equal(purge_lab_seen(&l, 3, 101), 1501);
    purge_lab_fini(&l);
}

static void test_a_short_log_is_not_believed_while_others_reach_back_further(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    cut(4);
    for (uint64_t i = 1; i <= 100; i++) assert_int_equal(purge_lab_purge(&l, 1, i), 0);
    purge_lab_settle(&l);
    /* a message of a newcomer, whose log begins at 90 */
    const struct peer_purge m = {.kind = PEER_PURGE_EVENTS,
                                 .flags = PEER_PURGE_HORIZON | PEER_PURGE_PULLED,
                                 .version = 1,
                                 .origin = 101,
                                 .sequence = 91};
    purging_receive(purge_lab_node(&l, 4)->p, l.now_ns, 3, &m);
    mend(4);
    purge_lab_run(&l, 400);
    assert_int_equal(purge_lab_seen(&l, 4, 101), 100);
    assert_int_equal(purge_lab_node(&l, 4)->floors_tagged, 0);
    assert_int_equal(purge_lab_node(&l, 4)->napplied, 100);
    purge_lab_fini(&l);
}

/* Members 1, 2 and 4 have two of an origin's events, member 5 has three, but of these its log has none any more; member
 * 4, to which nobody shows its vector, is asked first whether its log reaches back further. */
static void test_what_only_a_short_log_shows_reaches_who_has_asked_others_in_vain(void **state) {
    (void)state;
    purge_lab_init(&l, 5, 3, 1 << 20);
    assert_int_equal(purge_lab_purge(&l, 3, 1), 0);
    purge_lab_settle(&l);
    cut(4);
    cut(5);
    cut(3);
    const struct peer_purge m = {.kind = PEER_PURGE_EVENTS,
                                 .flags = PEER_PURGE_HORIZON | PEER_PURGE_PULLED,
                                 .version = 1,
                                 .origin = 103,
                                 .sequence = 4};
    purging_receive(purge_lab_node(&l, 5)->p, l.now_ns, 3, &m);
    purge_lab_run(&l, 600); /* nobody is there who has more */
    purging_receive(purge_lab_node(&l, 5)->p, l.now_ns, 3, &m);
    assert_int_equal(purge_lab_seen(&l, 5, 103), 3);
    assert_int_equal(purge_lab_purge(&l, 3, 2), 0);
    purge_lab_link(&l, 3, 4, true);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_seen(&l, 4, 103), 2);
    cut(3); /* for good */
    configuration_by_number(&l.c, 3)->state = CONFIGURATION_EJECTED;
    l.c.closing[l.c.nclosing++] = (struct configuration_closing){103, ++l.c.version};
    l.c.nvoters = 2;
    for (uint32_t i = 1; i <= 5; i++)
        if (i != 3) purge_lab_adopt_one(&l, i);
    for (uint32_t i = 1; i <= 5; i++)
        for (uint32_t n = 1; n < i; n++)
            if (i != 3 && n != 3) purge_lab_link(&l, i, n, true);
    purge_lab_run(&l, 3000);
    for (uint32_t i = 1; i <= 5; i++)
        if (i != 3) assert_int_equal(purge_lab_seen(&l, i, 103), 3);
    assert_true(purging_may_retire(purge_lab_node(&l, 1)->p, l.now_ns, 103));
    purge_lab_fini(&l);
}

static void test_what_a_dead_member_showed_hides_nothing_that_others_have(void **state) {
    (void)state;
    purge_lab_init(&l, 5, 3, 1 << 20);
    cut(5);
    assert_int_equal(purge_lab_purge(&l, 3, 1), 0);
    purge_lab_settle(&l);
    purge_lab_link(&l, 5, 1, true);
    purge_lab_run(&l, 600); /* member 5 has pulled that from member 1 */
    assert_int_equal(purge_lab_seen(&l, 5, 103), 1);
    purge_lab_link(&l, 3, 1, false);
    purge_lab_link(&l, 3, 4, false);
    purge_lab_link(&l, 2, 1, false);
    purge_lab_link(&l, 2, 4, false);
    assert_int_equal(purge_lab_purge(&l, 3, 2), 0); /* reaches member 2 alone */
    purge_lab_settle(&l);
    const struct peer_purge m = {
        .kind = PEER_PURGE_EVENTS, .flags = PEER_PURGE_HORIZON, .version = 1, .origin = 103, .sequence = 6};
    purging_receive(purge_lab_node(&l, 5)->p, l.now_ns, 3, &m); /* the origin has more, and dies */
    cut(3);
    purge_lab_run(&l, 600);
    purge_lab_link(&l, 5, 2, true);
    purge_lab_run(&l, 600);
    assert_int_equal(purge_lab_seen(&l, 5, 103), 2);
    purge_lab_fini(&l);
}

/* ------------------------------------------------------------------ newcomers */

static void test_a_newcomer_raises_the_floor_and_takes_a_voters_vector(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    l.c.version++;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_EJECTED;
    purge_lab_adopt(&l);
    assert_false(purging_begun(purge_lab_node(&l, 4)->p));
    for (uint64_t i = 1; i <= 20; i++) assert_int_equal(purge_lab_purge(&l, 1, i), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_node(&l, 4)->floors_all, 0);
    /* back, under another number: the lab has one machine a number, so the configuration gives it its old one */
    l.c.version++;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_JOINING;
    purge_lab_adopt(&l);
    assert_int_equal(purge_lab_purge(&l, 2, 30), 0);
    purge_lab_settle(&l);
    purge_lab_run(&l, 300);
    assert_true(purging_begun(purge_lab_node(&l, 4)->p));
    assert_int_equal(purge_lab_node(&l, 4)->floors_all, 1);
    assert_int_equal(purge_lab_seen(&l, 4, 101), 20);
    assert_int_equal(purge_lab_seen(&l, 4, 102), 1);
    for (uint64_t i = 1; i <= 20; i++)
        assert_int_equal(purge_lab_count(&l, 4, i), 0); /* its store holds nothing older */
    assert_int_equal(purge_lab_outcome(&l, 2, 2030)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

static void test_an_ejected_node_keeps_its_outbox(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    cut(4);
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 1000); /* applied alone */
    l.c.version++;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_EJECTED;
    purge_lab_adopt(&l);
    purge_lab_run(&l, 500);
    mend(4);
    l.c.version++;
    configuration_by_number(&l.c, 4)->state = CONFIGURATION_SERVING;
    purge_lab_adopt(&l);
    purge_lab_run(&l, 1000);
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    struct purging_counters c;
    purging_read_counters(purge_lab_node(&l, 4)->p, &c);
    assert_int_equal(c.pending, 0);
    assert_int_equal(purging_local(purge_lab_node(&l, 4)->p), 0);
    purge_lab_fini(&l);
}

/* ------------------------------------------------------------------ epochs */

/* Voter 3's seat goes to member 4, in a new epoch. */
static void move_seat(bool kept) {
    for (unsigned i = 0; i < l.c.nvoters; i++) l.c.previous[i] = l.c.voters[i];
    l.c.nprevious = l.c.nvoters;
    l.c.voters[2] = (struct configuration_voter){.id = {{4}}, .member = 4, .origin = 104};
    l.c.origins[l.c.norigins++] = 104;
    l.c.version++;
    l.c.closing[l.c.nclosing++] = (struct configuration_closing){103, l.c.version};
    l.c.epoch++;
    if (!kept) l.c.floor_epoch = l.c.epoch;
}

/* Of four members nobody hears `unheard`; `maker` purges tag 5; then the seat of 3 becomes that of 4. */
static void purge_and_move_seat(uint32_t unheard, uint32_t maker) {
    purge_lab_init(&l, 4, 3, 1 << 20);
    cut(unheard);
    assert_int_equal(purge_lab_purge(&l, maker, 5), 0);
    purge_lab_settle(&l);
    move_seat(true);
    purge_lab_adopt(&l);
}

static bool active(uint32_t number) {
    uint64_t since;
    return purging_active(purge_lab_node(&l, number)->p, &since);
}

static void test_a_voter_is_active_once_it_has_what_a_majority_of_the_voters_before_knew(void **state) {
    (void)state;
    purge_and_move_seat(4, 1);
    purge_lab_run(&l, 500);
    assert_false(active(4)); /* it has heard nobody */
    assert_true(active(1) && active(2));
    purge_lab_link(&l, 4, 1, true);
    purge_lab_link(&l, 4, 2, true);
    purge_lab_run(&l, 200);
    assert_true(active(4));
    assert_int_equal(purge_lab_seen(&l, 4, 101), 1);
    assert_int_equal(purge_lab_node(&l, 4)->floors_tagged, 0);
    purge_lab_fini(&l);
}

static void test_a_voter_without_an_origin_votes_and_makes_no_events(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    move_seat(true);
    l.c.voters[2].origin = 0;
    l.c.norigins--;
    l.c.leases = true;
    purge_lab_adopt(&l);
    purge_lab_run(&l, 500);
    assert_true(active(4));
    assert_int_equal(purge_lab_purge(&l, 4, 5), 0);
    purge_lab_run(&l, 1500); /* another voter makes it an event */
    assert_int_equal(purge_lab_node(&l, 4)->nconfirmed, 1);
    cut(2); /* of three voters these are the majority */
    assert_int_equal(purge_lab_purge(&l, 1, 6), 0);
    purge_lab_run(&l, 3000);
    assert_int_equal(purge_lab_node(&l, 1)->nconfirmed, 1);
    assert_int_equal(purge_lab_seen(&l, 4, 104), 0);
    l.c.version++;
    l.c.voters[2].origin = 104;
    l.c.origins[l.c.norigins++] = 104;
    purge_lab_adopt(&l);
    assert_int_equal(purge_lab_purge(&l, 4, 7), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_seen(&l, 4, 104), 1);
    purge_lab_fini(&l);
}

static void test_one_voter_before_is_not_enough_unless_it_is_active_now(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    move_seat(true);
    cut(1);
    cut(2);
    purge_lab_link(&l, 4, 3, false);
    purge_lab_link(&l, 4, 3, true);
    for (uint32_t i = 1; i <= 4; i++) purge_lab_adopt_one(&l, i);
    purge_lab_run(&l, 1000);
    assert_false(active(4)); /* member 3 alone remembers, and is no voter any more */
    assert_false(active(1)); /* alone with its own memory */
    purge_lab_link(&l, 1, 2, true);
    purge_lab_run(&l, 200);
    assert_true(active(1));
    assert_true(active(2));
    purge_lab_link(&l, 4, 1, true);
    purge_lab_run(&l, 200);
    assert_true(active(4));
    purge_lab_fini(&l);
}

static void test_a_fresh_epoch_is_active_at_once_behind_a_floor(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    for (uint32_t i = 1; i <= 4; i++) cut(i);
    move_seat(false);
    purge_lab_adopt(&l);
    purge_lab_settle(&l);
    assert_true(active(1) && active(2) && active(4));
    assert_false(active(3));
    for (uint32_t i = 1; i <= 4; i++) {
        assert_int_equal(purge_lab_node(&l, i)->floors_tagged, 1);
        assert_int_equal(purge_lab_node(&l, i)->floors_all, 0);
    }
    purge_lab_fini(&l);
}

static void test_with_one_voter_a_fresh_epoch_costs_nothing(void **state) {
    (void)state;
    purge_lab_init(&l, 2, 1, 1 << 20);
    l.c.version++;
    l.c.epoch++;
    l.c.floor_epoch = l.c.epoch;
    purge_lab_adopt(&l);
    for (uint32_t i = 1; i <= 2; i++) assert_int_equal(purge_lab_node(&l, i)->floors_tagged, 0);
    assert_true(active(1));
    purge_lab_fini(&l);
}

static void test_a_sealed_voter_numbers_nothing(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    purging_seal(purge_lab_node(&l, 1)->p, true);
    assert_false(active(1));
    assert_int_equal(purge_lab_purge(&l, 1, 5), 0);
    purge_lab_settle(&l);
    assert_int_equal(purge_lab_seen(&l, 1, 101), 0);
    purge_lab_run(&l, 100);
    assert_int_equal(purge_lab_outcome(&l, 1, 1005)->status, PURGING_CONFIRMED); /* another voter did */
    assert_int_not_equal(purge_lab_outcome(&l, 1, 1005)->origin, 101);
    purge_lab_fini(&l);
}

/* ------------------------------------------------------------------ retiring */

static bool may_retire(uint32_t origin) {
    return purging_may_retire(purge_lab_node(&l, 1)->p, l.now_ns, origin);
}

static void test_an_origin_is_dropped_when_everybody_has_all_of_it(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    purge_lab_link(&l, 3, 4, false);
    purge_lab_link(&l, 1, 4, false); /* member 4 can pull from 2 only */
    purge_lab_link(&l, 2, 4, false);
    assert_int_equal(purge_lab_purge(&l, 3, 5), 0);
    purge_lab_settle(&l);
    assert_false(may_retire(103)); /* it has a seat */
    move_seat(true);
    for (uint32_t i = 1; i <= 3; i++) purge_lab_adopt_one(&l, i);
    purge_lab_run(&l, 1000);
    assert_false(may_retire(103)); /* member 4 has not polled at that version */
    purge_lab_adopt_one(&l, 4);
    purge_lab_link(&l, 2, 4, true);
    purge_lab_run(&l, 600);
    assert_int_equal(purge_lab_seen(&l, 4, 103), 1); /* pulled */
    assert_false(may_retire(103));                   /* this voter has not heard of it */
    purge_lab_link(&l, 1, 4, true);
    purge_lab_run(&l, 600);
    assert_true(may_retire(103));
    purge_lab_run(&l, 400);
    cut(4);
    purge_lab_run(&l, 1000);
    assert_false(may_retire(103)); /* not heard lately */
    purge_lab_fini(&l);
}

static void test_an_origin_is_kept_while_a_member_may_have_an_event_from_who_has_left(void **state) {
    (void)state;
    purge_and_move_seat(3, 3);
    purge_lab_run(&l, 1000);
    purge_lab_link(&l, 1, 4, false);
    purge_lab_link(&l, 2, 4, false);
    purge_lab_link(&l, 3, 4, true);
    purge_lab_run(&l, 300);
    assert_int_equal(purge_lab_seen(&l, 4, 103), 1); /* pulled, after its last poll of the others */
    cut(3);
    configuration_by_number(&l.c, 3)->state = CONFIGURATION_EJECTED;
    l.c.version++;
    for (uint32_t i = 1; i <= 2; i++) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    assert_false(may_retire(103));
    purge_lab_adopt_one(&l, 4);
    purge_lab_link(&l, 1, 4, true);
    purge_lab_link(&l, 2, 4, true);
    purge_lab_run(&l, 1000);
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    assert_true(may_retire(103));
    purge_lab_fini(&l);
}

static void test_nothing_of_a_closing_origin_is_taken_from_who_does_not_know_that_it_closes(void **state) {
    (void)state;
    purge_lab_init(&l, 4, 3, 1 << 20);
    cut(3);
    assert_int_equal(purge_lab_purge(&l, 3, 5), 0);
    purge_lab_settle(&l);
    move_seat(true);
    for (uint32_t i = 1; i <= 4; i++)
        if (i != 3) purge_lab_adopt_one(&l, i);
    purge_lab_settle(&l);
    mend(3); /* the old voter, with the old configuration, sends its event */
    purge_lab_run(&l, 90);
    for (uint32_t i = 1; i <= 4; i++)
        if (i != 3) assert_int_equal(purge_lab_count(&l, i, 5), 0);
    purge_lab_adopt_one(&l, 3);
    purge_lab_run(&l, 1500); /* now it is pulled */
    for (uint32_t i = 1; i <= 4; i++) assert_int_equal(purge_lab_count(&l, i, 5), 1);
    purge_lab_fini(&l);
}

static void test_purges_of_a_retired_origin_are_confirmed(void **state) {
    (void)state;
    struct purging_counters c;
    purge_lab_init(&l, 4, 3, 1 << 20);
    purge_lab_link(&l, 3, 4, false); /* the origin does not hear member 4's acknowledgement */
    assert_int_equal(purge_lab_purge(&l, 3, 5), 0);
    purge_lab_settle(&l);
    move_seat(true);
    purge_lab_adopt(&l);
    purge_lab_run(&l, 1500);
    assert_true(may_retire(103));
    l.c.version++;
    l.c.nclosing = 0;
    for (unsigned i = 0; i < l.c.norigins; i++)
        if (l.c.origins[i] == 103) l.c.origins[i] = l.c.origins[--l.c.norigins];
    purge_lab_adopt(&l);
    purge_lab_settle(&l);
    purging_read_counters(purge_lab_node(&l, 3)->p, &c);
    assert_int_equal(c.pending, 0);
    assert_int_equal(purging_ask_id(purge_lab_node(&l, 2)->p, l.now_ns, 103, 1, 300000000, 78), 0);
    assert_int_equal(purge_lab_outcome(&l, 2, 78)->status, PURGING_CONFIRMED);
    purge_lab_fini(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_dead_origin_told_only_one_member_reaches_all),
        cmocka_unit_test(test_what_a_stopped_origin_does_not_send_is_pulled_from_others),
        cmocka_unit_test(test_a_log_that_begins_too_late_costs_a_floor_of_tagged_items),
        cmocka_unit_test(test_a_flush_that_is_in_no_log_costs_a_floor_of_everything),
        cmocka_unit_test(test_a_short_log_is_not_believed_while_others_reach_back_further),
        cmocka_unit_test(test_what_only_a_short_log_shows_reaches_who_has_asked_others_in_vain),
        cmocka_unit_test(test_what_a_dead_member_showed_hides_nothing_that_others_have),
        cmocka_unit_test(test_a_newcomer_raises_the_floor_and_takes_a_voters_vector),
        cmocka_unit_test(test_an_ejected_node_keeps_its_outbox),
        cmocka_unit_test(test_a_voter_is_active_once_it_has_what_a_majority_of_the_voters_before_knew),
        cmocka_unit_test(test_a_voter_without_an_origin_votes_and_makes_no_events),
        cmocka_unit_test(test_one_voter_before_is_not_enough_unless_it_is_active_now),
        cmocka_unit_test(test_a_fresh_epoch_is_active_at_once_behind_a_floor),
        cmocka_unit_test(test_with_one_voter_a_fresh_epoch_costs_nothing),
        cmocka_unit_test(test_a_sealed_voter_numbers_nothing),
        cmocka_unit_test(test_an_origin_is_dropped_when_everybody_has_all_of_it),
        cmocka_unit_test(test_an_origin_is_kept_while_a_member_may_have_an_event_from_who_has_left),
        cmocka_unit_test(test_nothing_of_a_closing_origin_is_taken_from_who_does_not_know_that_it_closes),
        cmocka_unit_test(test_purges_of_a_retired_origin_are_confirmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
