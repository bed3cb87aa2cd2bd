/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Membership, rule by rule: what evidence changes, how a node refutes, what becomes of suspects, the dead and those
 * that left, who wins a name or an address. Several tests are named after failures that other implementations had in
 * production. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/suspicion.h"
#include "swim_hand.h"

static struct hand h;

static int open_hand(void **state) {
    (void)state;
    hand_open(&h);
    return 0;
}
static int close_hand(void **state) {
    (void)state;
    hand_close(&h);
    return 0;
}

static void gossip(uint32_t about, uint64_t incarnation, enum peer_swim_state what) {
    struct peer_swim_update u = hand_update(about, incarnation, what);
    if (what != PEER_SWIM_ALIVE) u.name = u.address = "";
    hand_gossip(&h, 2, &u);
}
static unsigned state_of(uint32_t number) {
    const struct member *m = hand_member(&h, number);
    return m != NULL ? m->state : 0;
}
static void seeds(const char *const *texts, unsigned n) {
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_SEEDS, .texts = texts, .n = n});
}

/* ---- Evidence about others ---- */

/* al8n/memberlist PR 197: there the stored incarnation stayed 1, and the late alive@2 brought the dead back. */
static void test_dead_10_heard_while_dead_keeps_a_late_alive_2_out(void **state) {
    (void)state;
    hand_join(&h, 4);
    gossip(3, 1, PEER_SWIM_DEAD);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
    gossip(3, 10, PEER_SWIM_DEAD);
    assert_int_equal(hand_member(&h, 3)->incarnation, 10);
    gossip(3, 2, PEER_SWIM_ALIVE);
    gossip(3, 10, PEER_SWIM_ALIVE);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
    assert_int_equal(hand_changes(&h, SWIM_DIED, 3), 1);
    gossip(3, 11, PEER_SWIM_ALIVE);
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    assert_int_equal(hand_changes(&h, SWIM_REFUTED, 3), 1);
}

static void test_incarnation_rises_with_any_newer_evidence(void **state) {
    (void)state;
    hand_join(&h, 4);
    const enum peer_swim_state each[] = {PEER_SWIM_SUSPECT, PEER_SWIM_ALIVE, PEER_SWIM_DEAD,   PEER_SWIM_DEAD,
                                         PEER_SWIM_LEFT,    PEER_SWIM_LEFT,  PEER_SWIM_SUSPECT};
    for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
        gossip(3, 5 * (i + 1), each[i]);
        assert_int_equal(state_of(3), each[i]);
        assert_int_equal(hand_member(&h, 3)->incarnation, 5 * (i + 1));
        gossip(3, 5 * (i + 1) - 1, PEER_SWIM_LEFT);
        assert_int_equal(state_of(3), each[i]);
    }
}

static void test_gossip_of_a_stranger_without_a_name_is_no_member(void **state) {
    (void)state;
    hand_join(&h, 3);
    gossip(9, 0, PEER_SWIM_SUSPECT);
    gossip(9, 0, PEER_SWIM_DEAD);
    assert_null(hand_member(&h, 9));
    gossip(9, 0, PEER_SWIM_ALIVE);
    assert_int_equal(hand_changes(&h, SWIM_JOINED, 9), 1);
    hand_run(&h, SECOND, true);
    assert_string_equal(hand_told(&h, 9)->name, "c9:1"); /* others hear of it with its name */
}

static void test_strangers_datagrams_change_nothing(void **state) {
    (void)state;
    hand_join(&h, 3);
    const struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_DEAD);
    hand_gossip(&h, 77, &u);
    const struct peer_swim m = {.kind = PEER_SWIM_GOSSIP, .nupdates = 1, .updates = {u}};
    struct swim_in in = {.kind = SWIM_IN_DATAGRAM, .from = hand_id(2), .boot = 99, .datagram = &m};
    hand_input(&h, &in); /* an older process */
    in.boot = 101;
    hand_input(&h, &in); /* a newer one, not known yet */
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    assert_int_equal(swim_counts(h.s)->unknown_senders, 3);
    assert_true(swim_knows(h.s, &in.from, 100));
    assert_false(swim_knows(h.s, &in.from, 99));
}

static void test_a_restart_is_a_higher_boot_number(void **state) {
    (void)state;
    hand_join(&h, 3);
    gossip(3, 50, PEER_SWIM_DEAD);
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_ALIVE);
    u.boot = 101;
    u.address = "h33:2";
    hand_push(&h, 3, &u);
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    assert_int_equal(hand_changes(&h, SWIM_RESTARTED, 3), 1);
    assert_int_equal(hand_changes(&h, SWIM_ADDRESS, 3), 1);
    assert_string_equal(hand_member(&h, 3)->address, "h33:2");
    gossip(3, 99, PEER_SWIM_DEAD); /* of the process before */
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
}

/* hashicorp/memberlist 311 (PR 345): all restart, their incarnations begin at 0 again, and an old dead@100 keeps them
 * out.
 */
static void test_mass_restart_is_not_kept_out_by_an_old_dead_100(void **state) {
    (void)state;
    hand_join(&h, 6);
    for (uint32_t i = 3; i <= 6; i++) gossip(i, 100, PEER_SWIM_DEAD);
    for (uint32_t i = 3; i <= 6; i++) {
        struct peer_swim_update u = hand_update(i, 0, PEER_SWIM_ALIVE);
        u.boot = 101;
        hand_push(&h, i, &u);
        assert_int_equal(state_of(i), PEER_SWIM_ALIVE);
    }
}

/* ---- Evidence about the node itself ---- */

static void test_a_node_refutes(void **state) {
    (void)state;
    hand_join(&h, 3);
    const struct member *self = hand_member(&h, 1);
    gossip(1, 0, PEER_SWIM_SUSPECT);
    assert_int_equal(self->incarnation, 1);
    assert_int_equal(self->state, PEER_SWIM_ALIVE);
    gossip(1, 0, PEER_SWIM_DEAD); /* out of date */
    assert_int_equal(self->incarnation, 1);
    gossip(1, 7, PEER_SWIM_DEAD);
    assert_int_equal(self->incarnation, 8);
    gossip(1, 20, PEER_SWIM_ALIVE); /* of a process that lost its memory of it: above that, too */
    assert_int_equal(self->incarnation, 21);
    gossip(1, 21, PEER_SWIM_LEFT); /* somebody had it forgotten */
    assert_int_equal(self->incarnation, 22);
    gossip(1, 22, PEER_SWIM_ALIVE);
    assert_int_equal(self->incarnation, 22);
    assert_int_equal(swim_counts(h.s)->refutations, 4);
    assert_int_equal(swim_awareness(h.s), 3);
    hand_run(&h, SECOND, true);
    assert_int_equal(hand_told(&h, 1)->incarnation, 22);
    assert_int_equal(hand_told(&h, 1)->state, PEER_SWIM_ALIVE);
}

static void test_who_repeats_a_suspicion_that_is_refuted_is_answered_with_the_refutation(void **state) {
    (void)state;
    hand_join(&h, 10);
    gossip(1, 0, PEER_SWIM_SUSPECT);
    hand_run(&h, 20 * SECOND, true); /* until gossip of the refutation is over */
    hand_clear(&h);
    hand_datagram(&h, 2, PEER_SWIM_PING, 8, 1);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 2)->datagram.nupdates, 0);
    gossip(1, 0, PEER_SWIM_SUSPECT); /* what a call has with it */
    hand_datagram(&h, 2, PEER_SWIM_PING, 9, 1);
    const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 2);
    assert_int_equal(o->datagram.kind, PEER_SWIM_ACK);
    assert_int_equal(o->datagram.nupdates, 1);
    assert_memory_equal(&o->datagram.updates[0].id, &(struct cluster_id){{1}}, 16);
    assert_int_equal(o->datagram.updates[0].state, PEER_SWIM_ALIVE);
    assert_int_equal(o->datagram.updates[0].incarnation, 1);
    assert_int_equal(hand_member(&h, 1)->incarnation, 1); /* it needs no other one */
}

static void test_absurd_incarnations_are_not_followed(void **state) {
    (void)state;
    hand_join(&h, 3);
    gossip(1, PEER_SWIM_NUMBER_MAX, PEER_SWIM_DEAD);
    assert_int_equal(hand_member(&h, 1)->incarnation, 0);
    assert_int_equal(swim_counts(h.s)->ignored, 1);
    gossip(1, PEER_SWIM_NUMBER_MAX - 1, PEER_SWIM_DEAD);
    assert_int_equal(hand_member(&h, 1)->incarnation, PEER_SWIM_NUMBER_MAX);
}

/* A restored backup of the state directory: the member joined through knows a newer boot number of this very node. */
static void test_own_boot_is_learnt_from_the_member_joined_through(void **state) {
    (void)state;
    struct peer_swim_update u = hand_update(1, 12, PEER_SWIM_DEAD);
    u.boot = 140;
    hand_push(&h, 2, &u);
    assert_int_equal(hand_last(&h, SWIM_OUT_OUTDATED, 0)->boot, 140);
    assert_int_equal(hand_member(&h, 1)->boot, 100); /* only the driver may change it: it is written to disk first */
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_BOOT, .boot = 141});
    assert_int_equal(hand_member(&h, 1)->boot, 141);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_BOOT, .boot = 140});
    assert_int_equal(hand_member(&h, 1)->boot, 141);
}

static void test_who_leaves_is_told_to_all_and_refutes_nothing(void **state) {
    (void)state;
    hand_join(&h, 5);
    hand_run(&h, 10 * SECOND, true);
    hand_clear(&h);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_LEAVE});
    gossip(1, 0, PEER_SWIM_SUSPECT);
    assert_int_equal(hand_member(&h, 1)->state, PEER_SWIM_LEFT);
    assert_null(hand_last(&h, SWIM_OUT_LEFT, 0));
    hand_run(&h, 5 * SECOND, true);
    assert_non_null(hand_last(&h, SWIM_OUT_LEFT, 0));
    assert_int_equal(hand_told(&h, 1)->state, PEER_SWIM_LEFT);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_GOSSIP, 0), 4 * (2 + 1)); /* transmits x (2 + ceil(log10(5))) */
    assert_int_equal(hand_count(&h, SWIM_OUT_LEFT, 0, 0), 1);
    hand_clear(&h);
    hand_datagram(&h, 2, PEER_SWIM_PING, 5, 1); /* it still answers */
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_ACK, 2), 1);
    hand_run(&h, 60 * SECOND, true);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, 0), 0); /* and asks nobody */
}

static void test_who_is_alone_leaves_at_once(void **state) {
    (void)state;
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_LEAVE});
    assert_int_equal(hand_count(&h, SWIM_OUT_LEFT, 0, 0), 1);
}

/* ---- Suspicions ---- */

static void test_the_time_of_a_suspicion(void **state) {
    (void)state;
    assert_int_equal(suspicion_min_ns(4, 3, 500 * MS), 2 * SECOND);
    assert_int_equal(suspicion_min_ns(4, 10, 500 * MS), 2 * SECOND);
    assert_int_equal(suspicion_min_ns(4, 100, 500 * MS), 4 * SECOND);
    assert_int_equal(suspicion_min_ns(4, 1000, 500 * MS) / MS, 6000);
    assert_int_equal(suspicion_expected(4, 100), 2);
    assert_int_equal(suspicion_expected(4, 3), 1);
    assert_int_equal(suspicion_expected(4, 2), 0);
    assert_int_equal(suspicion_timeout_ns(SECOND, 6, 0, 2), 6 * SECOND);
    assert_in_range(suspicion_timeout_ns(SECOND, 6, 1, 2), 2800 * MS, 2900 * MS); /* 6 - ln 2 / ln 3 x 5 */
    assert_int_equal(suspicion_timeout_ns(SECOND, 6, 2, 2), SECOND);
    assert_int_equal(suspicion_timeout_ns(SECOND, 6, 9, 2), SECOND);
    assert_int_equal(suspicion_timeout_ns(SECOND, 6, 0, 0), SECOND);
}

static void suspect(uint32_t about, uint32_t accuser) {
    struct peer_swim_update u = hand_update(about, 0, PEER_SWIM_SUSPECT);
    u.name = u.address = "";
    u.naccusers = 1;
    u.accusers[0] = hand_id(accuser);
    hand_gossip(&h, 2, &u);
}

/* Runs until the member is dead; milliseconds. Everybody answers but the member itself. */
static uint64_t until_dead(uint32_t number) {
    const uint64_t start = h.now;
    while (state_of(number) == PEER_SWIM_SUSPECT && h.now - start < 60 * SECOND) {
        hand_run(&h, 10 * MS, false);
        for (unsigned i = 0; i < h.nouts; i++) {
            const struct hand_out o = h.outs[i];
            if (o.kind == SWIM_OUT_DATAGRAM && o.datagram.kind == PEER_SWIM_PING && o.subject != number)
                hand_datagram(&h, o.subject, PEER_SWIM_ACK, o.datagram.number, 0);
        }
        hand_clear(&h);
    }
    return (h.now - start) / MS;
}

static void test_confirmations_shorten_a_suspicion(void **state) {
    (void)state;
    hand_join(&h, 10);
    suspect(3, 4);
    suspect(3, 4); /* the same accuser twice is one accuser */
    suspect(3, 5);
    suspect(3, 6);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 3), 1);
    assert_in_range(until_dead(3), 2000, 2010); /* 4 x 500 ms */
    assert_in_range(hand_member(&h, 3)->since_ns, h.now - 20 * MS, h.now);
}

static void test_one_accuser_alone_has_to_wait(void **state) {
    (void)state;
    hand_join(&h, 300); /* so many that this node's own probe does not come round to it */
    suspect(3, 4);
    const uint64_t took = until_dead(3);
    assert_in_range(took, 4954 + 50, 6 * 4954 + 10); /* min 4 x log10(300) x 500 ms; own probes may confirm */
}

static void test_accusers_of_an_update_are_joined(void **state) {
    (void)state;
    hand_join(&h, 10);
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_SUSPECT);
    u.naccusers = 3;
    for (unsigned i = 0; i < 3; i++) u.accusers[i] = hand_id(4 + i);
    hand_gossip(&h, 2, &u);
    assert_in_range(until_dead(3), 2000, 2010);
}

static void test_a_refutation_ends_the_suspicion(void **state) {
    (void)state;
    hand_join(&h, 10);
    suspect(3, 4);
    hand_run(&h, SECOND, true);
    gossip(3, 1, PEER_SWIM_ALIVE);
    hand_run(&h, 30 * SECOND, true);
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    assert_int_equal(hand_changes(&h, SWIM_REFUTED, 3), 1);
    assert_int_equal(hand_changes(&h, SWIM_DIED, 3), 0);
}

static void test_suspects_are_told_on_the_next_message(void **state) {
    (void)state;
    hand_join(&h, 10);
    suspect(3, 4);
    hand_run(&h, 6 * SECOND, true); /* until gossip of it is over */
    hand_clear(&h);
    hand_datagram(&h, 3, PEER_SWIM_PING, 9, 1);
    const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 3);
    assert_int_equal(o->datagram.kind, PEER_SWIM_ACK);
    assert_int_equal(o->datagram.nupdates, 1);
    assert_memory_equal(&o->datagram.updates[0].id, &(struct cluster_id){{3}}, 16);
    assert_int_equal(o->datagram.updates[0].state, PEER_SWIM_SUSPECT);
    gossip(4, 0, PEER_SWIM_DEAD); /* and who is taken for dead */
    hand_run(&h, 20 * SECOND, true);
    hand_clear(&h);
    hand_datagram(&h, 4, PEER_SWIM_PING, 9, 1);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 4)->datagram.updates[0].state, PEER_SWIM_DEAD);
}

/* A suspect is called five times in the last second of its time. */
static void test_suspects_are_called_before_they_are_dead(void **state) {
    (void)state;
    hand_join(&h, 3);
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_SUSPECT);
    u.naccusers = 3;
    for (unsigned i = 0; i < 3; i++) u.accusers[i] = hand_id(4 + i);
    hand_gossip(&h, 2, &u);
    hand_run(&h, 990 * MS, true);
    hand_clear(&h);
    hand_run(&h, 1020 * MS, true);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
    assert_in_range(hand_datagrams(&h, PEER_SWIM_PING, 3), 5, 8); /* with its turn as any member */
}

/* A process that was stopped for long reads what came meanwhile before it judges, and its stop is nobody's fault. */
static void test_a_stopped_process_buries_nobody(void **state) {
    (void)state;
    hand_join(&h, 10);
    suspect(3, 4);
    suspect(3, 5);
    suspect(3, 6);
    hand_run(&h, 500 * MS, true);
    h.now += 10 * SECOND;
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_TIME});
    hand_run(&h, 500 * MS, true);
    assert_int_equal(state_of(3), PEER_SWIM_SUSPECT);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 0), 1);
    hand_run(&h, 1500 * MS, true);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
}

/* hashicorp/consul 5567: an observer whose own network is sick accuses everybody. */
static void test_a_sick_observer_doubts_itself_first(void **state) {
    (void)state;
    hand_join(&h, 10);
    hand_run(&h, 60 * SECOND, false); /* nobody answers, nor do helpers say that they got no answer */
    assert_int_equal(swim_awareness(h.s), SWIM_AWARENESS_MAX);
    assert_in_range(swim_counts(h.s)->probes, 5, 30); /* not 120 */
    hand_clear(&h);
    for (uint32_t i = 2; i <= 10; i++) gossip(i, 5, PEER_SWIM_ALIVE);
    hand_run(&h, 60 * SECOND, true);
    assert_int_equal(swim_awareness(h.s), 0);
}

/* ---- The dead, and those that left ---- */

/* hashicorp/memberlist 222, metallb 589: partitions of more than 30 s never heal there, since the dead are not tried.
 */
static void test_the_dead_are_tried_for_ever(void **state) {
    (void)state;
    hand_join(&h, 4);
    gossip(3, 0, PEER_SWIM_DEAD);
    for (unsigned day = 0; day < 10; day++) {
        h.now += 24 * 3600 * SECOND;
        hand_input(&h, &(struct swim_in){.kind = SWIM_IN_TIME});
        hand_clear(&h);
        hand_run(&h, 11 * SECOND, true);
        assert_int_equal(hand_count(&h, SWIM_OUT_SYNC, 0, 3), 1);
        assert_string_equal(hand_last(&h, SWIM_OUT_SYNC, 3)->address, "h3:2");
    }
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
}

/* In a small cluster every member calls one of the dead in each probe interval, and says that it is dead. */
static void test_the_dead_are_called(void **state) {
    (void)state;
    hand_join(&h, 6);
    gossip(3, 0, PEER_SWIM_DEAD);
    gossip(4, 0, PEER_SWIM_DEAD);
    hand_run(&h, 20 * SECOND, true);
    hand_clear(&h);
    hand_run(&h, 20 * SECOND, true);
    const unsigned of_3 = hand_datagrams(&h, PEER_SWIM_PING, 3), of_4 = hand_datagrams(&h, PEER_SWIM_PING, 4);
    assert_in_range(of_3 + of_4, 39, 41);
    assert_in_range(of_3, 10, 30);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 3)->datagram.updates[0].state, PEER_SWIM_DEAD);
    gossip(3, 1, PEER_SWIM_ALIVE); /* as its answer says */
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_LEAVE});
    hand_clear(&h);
    hand_run(&h, 10 * SECOND, true);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, 4), 0); /* who leaves has nothing to ask */
}

/* In a large one each does so now and then: eight of a hundred in an interval. */
static void test_few_of_many_members_call_a_dead_one(void **state) {
    (void)state;
    hand_join(&h, 101);
    gossip(3, 0, PEER_SWIM_DEAD);
    hand_run(&h, 20 * SECOND, true);
    unsigned calls = 0;
    for (unsigned i = 0; i < 1000; i++) { /* ten thousand intervals: 800 calls, give or take 27 */
        hand_clear(&h);
        hand_run(&h, 5 * SECOND, true);
        calls += hand_datagrams(&h, PEER_SWIM_PING, 3);
    }
    assert_in_range(calls, 760, 880);
}

static void test_a_dead_member_that_is_forgotten_is_not_tried(void **state) {
    (void)state;
    hand_join(&h, 4);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_FORGET, .from = hand_id(3)});
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE); /* only the dead are */
    gossip(3, 0, PEER_SWIM_DEAD);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_FORGET, .from = hand_id(3)});
    assert_int_equal(hand_changes(&h, SWIM_ENDED, 3), 1);
    hand_clear(&h);
    hand_run(&h, 60 * SECOND, true);
    assert_int_equal(hand_count(&h, SWIM_OUT_SYNC, 0, 3), 0);
    assert_int_equal(hand_told(&h, 3)->state, PEER_SWIM_LEFT); /* others forget it, too */
}

static void test_tombstones_last_72_hours(void **state) {
    (void)state;
    hand_join(&h, 4);
    gossip(3, 0, PEER_SWIM_LEFT);
    h.now += (72 * 3600 - 100) * SECOND;
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_TIME});
    gossip(3, 0, PEER_SWIM_ALIVE); /* late, and told by nobody who knows better */
    assert_int_equal(state_of(3), PEER_SWIM_LEFT);
    h.now += 200 * SECOND;
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_TIME});
    assert_null(hand_member(&h, 3));
    assert_int_equal(hand_changes(&h, SWIM_REMOVED, 3), 1);
    /* Who still has the tombstone does not bring it back. */
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_LEFT);
    u.ended_s = 72 * 3600;
    hand_push(&h, 2, &u);
    assert_null(hand_member(&h, 3));
}

static void test_the_oldest_tombstone_counts(void **state) {
    (void)state;
    hand_join(&h, 4);
    gossip(3, 0, PEER_SWIM_LEFT);
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_LEFT);
    u.ended_s = 71 * 3600;
    hand_push(&h, 2, &u);
    assert_int_equal(member_age_s(hand_member(&h, 3), h.now), 71 * 3600);
    u.ended_s = 5;
    hand_push(&h, 2, &u);
    assert_int_equal(member_age_s(hand_member(&h, 3), h.now), 71 * 3600);
}

/* A push-pull after a partition calls half of the cluster dead: they become suspect, and refute. */
static void test_dead_of_a_push_pull_may_refute(void **state) {
    (void)state;
    hand_join(&h, 10);
    struct peer_swim_update u = hand_update(3, 0, PEER_SWIM_DEAD);
    hand_push(&h, 5, &u);
    assert_int_equal(state_of(3), PEER_SWIM_SUSPECT);
    hand_run(&h, SECOND, true);
    assert_memory_equal(&hand_told(&h, 3)->accusers[0], &(struct cluster_id){{5}}, 16);
    u.boot = 101; /* of a process that this node never saw: then the one before is gone as well */
    hand_push(&h, 5, &u);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
}

/* ---- Joining ---- */

/* prometheus/alertmanager 1661: names that do not resolve at the start made islands of one. */
static void test_no_islands_when_names_resolve_late(void **state) {
    (void)state;
    hand_run(&h, 3600 * SECOND, true);
    assert_int_equal(h.nouts, 0);
    const char *const late[] = {"h2:2", "h1:2"};
    seeds(late, 2);
    hand_run(&h, 600 * SECOND, true);                               /* nobody answers yet */
    assert_in_range(hand_count(&h, SWIM_OUT_SYNC, 0, 0), 599, 601); /* each second */
    hand_join(&h, 2);
    hand_clear(&h);
    hand_run(&h, 20 * SECOND, true);
    assert_int_equal(hand_count(&h, SWIM_OUT_SYNC, 0, 0) - hand_count(&h, SWIM_OUT_SYNC, 0, 2),
                     0); /* its own address */
}

static void test_seeds_are_tried_for_ever_but_not_while_they_are_members(void **state) {
    (void)state;
    const char *const three[] = {"name-of-2:2", "h9:2", "h1:2"};
    seeds(three, 3);
    hand_join(&h, 4);
    /* Whoever answers at a seed's name is noted: the name is not its address. */
    const struct peer_sync part = {.reply = true, .last = true};
    hand_input(&h,
               &(struct swim_in){.kind = SWIM_IN_SYNC, .from = hand_id(2), .boot = 100, .number = 1, .sync = &part});
    hand_clear(&h);
    hand_run(&h, 101 * SECOND, true);
    unsigned tried = 0;
    for (unsigned i = 0; i < h.nouts; i++) {
        assert_string_not_equal(h.outs[i].address, "name-of-2:2");
        tried += strcmp(h.outs[i].address, "h9:2") == 0;
    }
    assert_in_range(tried, 9, 11); /* each 10 s */
}

static void test_a_push_is_answered_with_the_whole_table(void **state) {
    (void)state;
    hand_join(&h, 4);
    const struct peer_swim_update u = hand_update(5, 0, PEER_SWIM_ALIVE);
    hand_push(&h, 5, &u);
    const struct hand_out *o = hand_last(&h, SWIM_OUT_SYNC, 0);
    assert_true(o->reply && o->link == 7);
    assert_int_equal(hand_changes(&h, SWIM_JOINED, 5), 1);
    struct peer_swim_update updates[PEER_SYNC_UPDATES_MAX];
    struct peer_sync part = {.reply = true};
    unsigned next = 0;
    swim_sync_part(h.s, &next, updates, 3, &part);
    assert_true(part.nupdates == 3 && !part.last && part.reply);
    assert_memory_equal(&updates[0].id, &(struct cluster_id){{1}}, 16);
    swim_sync_part(h.s, &next, updates, 3, &part);
    assert_true(part.nupdates == 2 && part.last);
}

/* ---- Names and addresses ---- */

/* Runs until a member is probed; the probe's number. All others answer. */
static uint32_t number_of_probe(uint32_t target) {
    for (unsigned i = 0; i < 1000; i++) {
        hand_clear(&h);
        hand_run(&h, 10 * MS, false);
        const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 0);
        if (o == NULL || o->datagram.kind != PEER_SWIM_PING) continue;
        if (o->subject == target) return o->datagram.number;
        hand_datagram(&h, o->subject, PEER_SWIM_ACK, o->datagram.number, 0);
    }
    return 0;
}

/* weaviate 3045, consul 733: a pod comes back at its address as another node, and the old one lingers. */
static void test_another_node_at_the_address_proves_the_old_one_dead(void **state) {
    (void)state;
    hand_join(&h, 2);
    struct peer_swim_update u = hand_update(9, 0, PEER_SWIM_ALIVE);
    u.boot = 200;
    u.address = "h2:2";
    hand_push(&h, 9, &u);
    assert_int_equal(hand_last(&h, SWIM_OUT_CONFLICT, 9)->other, 2);
    assert_int_equal(hand_last(&h, SWIM_OUT_CONFLICT, 9)->change, SWIM_ADDRESS);
    assert_int_equal(state_of(2), PEER_SWIM_ALIVE); /* nothing is proved yet */
    const uint32_t number = number_of_probe(2);
    assert_int_not_equal(number, 0);
    struct peer_swim m = {.kind = PEER_SWIM_OTHER, .number = number, .target = hand_id(2)};
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_DATAGRAM, .from = hand_id(9), .boot = 200, .datagram = &m});
    assert_int_equal(state_of(2), PEER_SWIM_DEAD); /* without a suspicion */
    hand_clear(&h);
    hand_run(&h, 60 * SECOND, true);
    assert_int_equal(hand_count(&h, SWIM_OUT_SYNC, 0, 2), 0); /* and not tried where the other one is */
}

static void test_another_id_over_tcp_proves_the_same(void **state) {
    (void)state;
    hand_join(&h, 3);
    const uint32_t number = number_of_probe(3);
    struct swim_in in = {.kind = SWIM_IN_PONG_TCP, .from = hand_id(9), .boot = 1, .number = number + 1};
    hand_input(&h, &in); /* of no probe */
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    in.number = number;
    hand_input(&h, &in);
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
}

static void test_asked_for_another_a_node_says_so(void **state) {
    (void)state;
    hand_join(&h, 3);
    hand_clear(&h);
    hand_datagram(&h, 2, PEER_SWIM_PING, 5, 8);
    const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 2);
    assert_int_equal(o->datagram.kind, PEER_SWIM_OTHER);
    assert_int_equal(o->datagram.number, 5);
    assert_memory_equal(&o->datagram.target, &(struct cluster_id){{8}}, 16);
}

/* A newer process of a name proves the older one dead only when that one does not answer. */
static void test_a_name_is_taken_over_from_who_does_not_answer(void **state) {
    (void)state;
    hand_join(&h, 3);
    struct peer_swim_update u = hand_update(9, 0, PEER_SWIM_ALIVE);
    u.boot = 200;
    u.name = "c3:1";
    hand_push(&h, 9, &u);
    assert_int_equal(hand_last(&h, SWIM_OUT_CONFLICT, 9)->change, SWIM_NAME);
    hand_run(&h, 120 * SECOND, true);
    assert_int_equal(state_of(3), PEER_SWIM_ALIVE);
    hand_close(&h);
    hand_open(&h);
    hand_join(&h, 3);
    hand_push(&h, 9, &u);
    hand_clear(&h);
    hand_run(&h, 40 * SECOND, false); /* nobody answers: the others are suspect, 3 is dead */
    assert_int_equal(state_of(3), PEER_SWIM_DEAD);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 3), 0);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 2), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_hand, close_hand)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_dead_10_heard_while_dead_keeps_a_late_alive_2_out),
        T(test_incarnation_rises_with_any_newer_evidence),
        T(test_gossip_of_a_stranger_without_a_name_is_no_member),
        T(test_strangers_datagrams_change_nothing),
        T(test_a_restart_is_a_higher_boot_number),
        T(test_mass_restart_is_not_kept_out_by_an_old_dead_100),
        T(test_a_node_refutes),
        T(test_who_repeats_a_suspicion_that_is_refuted_is_answered_with_the_refutation),
        T(test_absurd_incarnations_are_not_followed),
        T(test_own_boot_is_learnt_from_the_member_joined_through),
        T(test_who_leaves_is_told_to_all_and_refutes_nothing),
        T(test_who_is_alone_leaves_at_once),
        T(test_the_time_of_a_suspicion),
        T(test_confirmations_shorten_a_suspicion),
        T(test_one_accuser_alone_has_to_wait),
        T(test_accusers_of_an_update_are_joined),
        T(test_a_refutation_ends_the_suspicion),
        T(test_suspects_are_told_on_the_next_message),
        T(test_suspects_are_called_before_they_are_dead),
        T(test_a_stopped_process_buries_nobody),
        T(test_a_sick_observer_doubts_itself_first),
        T(test_the_dead_are_tried_for_ever),
        T(test_the_dead_are_called),
        T(test_few_of_many_members_call_a_dead_one),
        T(test_a_dead_member_that_is_forgotten_is_not_tried),
        T(test_tombstones_last_72_hours),
        T(test_the_oldest_tombstone_counts),
        T(test_dead_of_a_push_pull_may_refute),
        T(test_no_islands_when_names_resolve_late),
        T(test_seeds_are_tried_for_ever_but_not_while_they_are_members),
        T(test_a_push_is_answered_with_the_whole_table),
        T(test_another_node_at_the_address_proves_the_old_one_dead),
        T(test_another_id_over_tcp_proves_the_same),
        T(test_asked_for_another_a_node_says_so),
        T(test_a_name_is_taken_over_from_who_does_not_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
