/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Membership: what is sent when. Probes and those for others, gossip within its limits, push-pulls within theirs, meta,
 * the promised times; and inputs without any sense, which must change nothing but counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
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

static void test_promised_times(void **state) {
    (void)state;
    struct swim_timing t;
    swim_timing_default(&t);
    assert_int_equal(t.probe_ns, 500 * MS);
    assert_int_equal(t.timeout_ns, 200 * MS);
    assert_int_equal(t.gossip_ns, 200 * MS);
    assert_int_equal(t.sync_ns, 30 * SECOND);
    assert_int_equal(t.retry_ns, 10 * SECOND);
    assert_int_equal(t.lonely_ns, SECOND);
    assert_int_equal(t.tombstone_ns, 72 * 3600 * SECOND);
    assert_int_equal(t.helpers, 3);
    assert_int_equal(t.fanout, 3);
    assert_int_equal(t.transmits, 4);
    assert_int_equal(t.suspicion, 4);
    assert_int_equal(t.suspicion_max, 6);
    assert_int_equal(SWIM_AWARENESS_MAX, 7);
    assert_int_equal(MEMBERS_MAX, 4096);
}

/* Runs until the next probe; its first ping. */
static struct hand_out next_probe(void) {
    for (unsigned i = 0; i < 2000; i++) {
        hand_clear(&h);
        hand_run(&h, 5 * MS, false);
        const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 0);
        if (o != NULL && o->datagram.kind == PEER_SWIM_PING) return *o;
    }
    fail();
    return (struct hand_out){0};
}

static void test_all_are_probed_in_turn(void **state) {
    (void)state;
    unsigned order_differs = 0, last[12] = {0};
    hand_join(&h, 12);
    hand_run(&h, 5500 * MS, true); /* the round in which they joined */
    for (unsigned round = 0; round < 10; round++) {
        unsigned seen[13] = {0}, order[12] = {0};
        for (unsigned i = 0; i < 11; i++) {
            hand_clear(&h);
            hand_run(&h, 500 * MS, true);
            assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, 0), 1);
            for (unsigned k = 0; k < h.nouts; k++)
                if (h.outs[k].datagram.kind == PEER_SWIM_PING) order[i] = h.outs[k].subject;
            seen[order[i]]++;
        }
        for (unsigned i = 2; i <= 12; i++) assert_int_equal(seen[i], 1);
        order_differs += memcmp(order, last, sizeof order) != 0;
        memcpy(last, order, sizeof order);
    }
    assert_in_range(order_differs, 9, 10);
}

static void test_a_probe_tries_every_way_and_then_judges(void **state) {
    (void)state;
    hand_join(&h, 10);
    hand_run(&h, 10 * SECOND, true);
    const struct hand_out ping = next_probe();
    const uint64_t start = ping.at;
    hand_clear(&h);
    hand_run(&h, start + 199 * MS - h.now, false);
    assert_int_equal(h.nouts, 0);
    hand_run(&h, 2 * MS, false);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING_REQ, 0), 3);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING_REQ, ping.subject), 0);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, ping.subject), 1);
    assert_int_equal(hand_last(&h, SWIM_OUT_PING_TCP, ping.subject)->number, ping.datagram.number);
    for (unsigned i = 0; i < h.nouts; i++) /* all helpers say that they got no answer */
        if (h.outs[i].datagram.kind == PEER_SWIM_PING_REQ)
            hand_datagram(&h, h.outs[i].subject, PEER_SWIM_NACK, ping.datagram.number, ping.subject);
    hand_run(&h, start + 499 * MS - h.now, false);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 0), 0);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, ping.subject), 3);
    hand_run(&h, 2 * MS, false);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, ping.subject), 1);
    assert_int_equal(swim_awareness(h.s), 0); /* the helpers answered: this node is well */
}

static void test_refused_by_all_there_is_nothing_to_wait_for(void **state) {
    (void)state;
    hand_join(&h, 10);
    const struct hand_out ping = next_probe();
    hand_clear(&h);
    hand_run(&h, 210 * MS, false);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_FAILED_TCP, .number = ping.datagram.number});
    for (unsigned i = 0, n = h.nouts; i < n; i++)
        if (h.outs[i].datagram.kind == PEER_SWIM_PING_REQ)
            hand_datagram(&h, h.outs[i].subject, PEER_SWIM_NACK, ping.datagram.number, ping.subject);
    hand_run(&h, 1, false);
    assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, ping.subject), 1);
}

static void test_any_way_saves(void **state) {
    (void)state;
    hand_join(&h, 10);
    for (unsigned way = 0; way < 3; way++) {
        const struct hand_out ping = next_probe();
        hand_clear(&h);
        hand_run(&h, 300 * MS, false);
        const uint32_t number = ping.datagram.number;
        if (way == 0) hand_datagram(&h, ping.subject, PEER_SWIM_ACK, number, 0);
        if (way == 1) hand_datagram(&h, ping.subject == 5 ? 6 : 5, PEER_SWIM_ACK, number, ping.subject);
        if (way == 2)
            hand_input(&h, &(struct swim_in){
                               .kind = SWIM_IN_PONG_TCP, .from = hand_id(ping.subject), .boot = 100, .number = number});
        hand_run(&h, 190 * MS, false);
        assert_int_equal(hand_changes(&h, SWIM_SUSPECTED, 0), 0);
    }
}

static void test_missing_nacks_make_a_node_doubt_itself(void **state) {
    (void)state;
    hand_join(&h, 10);
    const struct hand_out ping = next_probe();
    hand_run(&h, 210 * MS, false);
    hand_datagram(&h, ping.subject == 5 ? 6 : 5, PEER_SWIM_NACK, ping.datagram.number, ping.subject);
    hand_run(&h, 280 * MS, false);
    const struct hand_out slower = next_probe();
    assert_int_equal(swim_awareness(h.s), 2);
    hand_clear(&h);
    hand_run(&h, slower.at + 590 * MS - h.now, false); /* three times as patient */
    assert_int_equal(hand_count(&h, SWIM_OUT_PING_TCP, 0, 0), 0);
    hand_run(&h, 20 * MS, false);
    assert_int_equal(hand_count(&h, SWIM_OUT_PING_TCP, 0, 0), 1);
    hand_datagram(&h, slower.subject, PEER_SWIM_ACK, slower.datagram.number, 0);
    assert_int_equal(swim_awareness(h.s), 1);
}

static void test_a_helper_pings_and_reports(void **state) {
    (void)state;
    hand_join(&h, 5);
    hand_run(&h, 20 * SECOND, true);
    hand_clear(&h);
    hand_datagram(&h, 2, PEER_SWIM_PING_REQ, 77, 3);
    const struct hand_out *o = hand_last(&h, SWIM_OUT_DATAGRAM, 3);
    assert_int_equal(o->datagram.kind, PEER_SWIM_PING);
    hand_datagram(&h, 4, PEER_SWIM_ACK, o->datagram.number, 0); /* not of whom it asked */
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_ACK, 2), 0);
    hand_datagram(&h, 3, PEER_SWIM_ACK, o->datagram.number, 0);
    o = hand_last(&h, SWIM_OUT_DATAGRAM, 2);
    assert_int_equal(o->datagram.kind, PEER_SWIM_ACK);
    assert_int_equal(o->datagram.number, 77);
    assert_memory_equal(&o->datagram.target, &(struct cluster_id){{3}}, 16);
    hand_datagram(&h, 2, PEER_SWIM_PING_REQ, 78, 3);
    hand_run(&h, 159 * MS, false);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_NACK, 2), 0);
    hand_run(&h, 2 * MS, false);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_NACK, 2), 1);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 2)->datagram.number, 78);
}

static void test_helpers_are_bounded(void **state) {
    (void)state;
    hand_join(&h, 5);
    hand_run(&h, 20 * SECOND, true);
    hand_clear(&h);
    for (uint32_t i = 0; i < 200; i++) hand_datagram(&h, 2, PEER_SWIM_PING_REQ, i, 3);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_PING, 3), 64);
    assert_int_equal(swim_counts(h.s)->ignored, 136);
    hand_datagram(&h, 2, PEER_SWIM_PING_REQ, 1, 99); /* of nobody */
    hand_datagram(&h, 2, PEER_SWIM_PING_REQ, 1, 1);  /* of itself */
    assert_int_equal(swim_counts(h.s)->ignored, 138);
    hand_run(&h, 200 * MS, true);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_NACK, 2), 64);
    hand_datagram(&h, 2, PEER_SWIM_PING_REQ, 1, 3);
    assert_int_equal(swim_counts(h.s)->ignored, 138);
}

/* ---- Gossip ---- */

static void test_an_update_is_sent_so_often_and_no_more(void **state) {
    (void)state;
    hand_join(&h, 20);
    hand_run(&h, 30 * SECOND, true);
    hand_clear(&h);
    struct peer_swim_update u = hand_update(3, 1, PEER_SWIM_LEFT);
    u.name = u.address = "";
    hand_gossip(&h, 2, &u);
    hand_run(&h, 11 * MS, true); /* news set out at once */
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_GOSSIP, 0), 3);
    hand_run(&h, 20 * SECOND, true);
    unsigned told = 0;
    for (unsigned i = 0; i < h.nouts; i++)
        if (h.outs[i].kind == SWIM_OUT_DATAGRAM)
            for (unsigned k = 0; k < h.outs[i].datagram.nupdates; k++)
                told += memcmp(&h.outs[i].datagram.updates[k].id, &u.id, sizeof u.id) == 0;
    assert_int_equal(told, 4 * (2 + 2)); /* transmits x (2 + ceil(log10(20))) */
}

static void test_what_a_newcomer_reads_it_tells_nobody(void **state) {
    (void)state;
    hand_join(&h, 50);
    hand_run(&h, 10 * SECOND, true);
    assert_int_equal(hand_datagrams(&h, PEER_SWIM_GOSSIP, 0), 0);
    hand_clear(&h);
    const struct peer_swim_update u = hand_update(60, 0, PEER_SWIM_ALIVE);
    hand_push(&h, 7, &u);
    hand_run(&h, SECOND, true);
    assert_non_null(hand_told(&h, 60));
}

/* With the longest names there are, and as many as there can be at once: every datagram and every part fits. */
static void test_messages_stay_within_their_bounds(void **state) {
    (void)state;
    static char name[PEER_TEXT_MAX + 1], address[PEER_ADDRESS_MAX + 1];
    static unsigned char memory[PEER_CONTROL_ARENA_BYTES];
    static uint8_t wire[PEER_CONTROL_MAX];
    struct peer_arena scratch;
    peer_arena_init(&scratch, memory, sizeof memory);
    hand_join(&h, 3);
    for (uint32_t i = 10; i < 600; i++) {
        struct peer_swim_update u = hand_update(i, PEER_SWIM_NUMBER_MAX, PEER_SWIM_ALIVE);
        u.boot = PEER_SWIM_NUMBER_MAX;
        if (i % 3 == 0) {
            memset(name, 'n', sizeof name - 1);
            memset(address, 'a', sizeof address - 1);
            memcpy(name, u.name, strlen(u.name));
            memcpy(address, u.address, strlen(u.address));
            u.name = name;
            u.address = address;
        }
        if (i % 5 == 0) u.state = PEER_SWIM_SUSPECT;
        u.naccusers = PEER_SWIM_ACCUSERS_MAX;
        memset(u.accusers, 0xee, sizeof u.accusers);
        hand_push(&h, 3, &u);
    }
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_META, .bytes = name, .n = PEER_SWIM_META_MAX});
    size_t most = 0;
    for (unsigned i = 0; i < 300; i++) {
        hand_clear(&h);
        hand_run(&h, 100 * MS, true);
        for (unsigned k = 0; k < h.nouts; k++) {
            if (h.outs[k].kind != SWIM_OUT_DATAGRAM) continue;
            peer_arena_reset(&scratch);
            const size_t n = peer_swim_pack(&h.outs[k].datagram, &scratch, wire, PEER_DATAGRAM_MAX);
            assert_in_range(n, 1, PEER_DATAGRAM_MAX);
            if (n > most) most = n;
        }
    }
    assert_in_range(most, 1200, PEER_DATAGRAM_MAX);
    static struct peer_swim_update updates[PEER_SYNC_UPDATES_MAX];
    struct peer_sync part = {.last = false};
    unsigned seen = 0, parts = 0;
    for (unsigned next = 0; !part.last; parts++) {
        swim_sync_part(h.s, &next, updates, PEER_SYNC_UPDATES_MAX, &part);
        peer_arena_reset(&scratch);
        assert_in_range(peer_sync_pack(&part, &scratch, wire, sizeof wire), 1, PEER_CONTROL_MAX);
        seen += part.nupdates;
    }
    assert_int_equal(seen, members_count(swim_members(h.s)));
    assert_in_range(parts, 3, 10);
}

/* ---- Push-pulls, meta ---- */

static void test_push_pulls_become_rarer_with_many_members(void **state) {
    (void)state;
    const unsigned sizes[] = {32, 33, 100, 1000}, times[] = {1, 2, 3, 6};
    for (unsigned i = 0; i < 4; i++) {
        hand_close(&h);
        hand_open(&h);
        hand_join(&h, sizes[i]);
        hand_run(&h, 200 * SECOND, true);
        h.nouts = 0;
        unsigned n = 0;
        for (unsigned k = 0; k < 36; k++) {
            hand_clear(&h);
            hand_run(&h, 5 * SECOND * times[i], true);
            n += hand_count(&h, SWIM_OUT_SYNC, 0, 0);
        }
        assert_in_range(n, 6 - 1, 6 + 1);
    }
}

static void test_meta_goes_round(void **state) {
    (void)state;
    struct peer_swim m = {.kind = PEER_SWIM_PING, .number = 1, .target = hand_id(1), .nmeta = 2, .meta = {1, 2}};
    const struct swim_in in = {.kind = SWIM_IN_DATAGRAM, .from = hand_id(2), .boot = 100, .datagram = &m};
    hand_join(&h, 3);
    hand_input(&h, &in);
    assert_int_equal(hand_count(&h, SWIM_OUT_META, 0, 2), 1);
    hand_input(&h, &(struct swim_in){.kind = SWIM_IN_META, .bytes = m.meta, .n = 2});
    hand_input(&h, &in); /* the same again: what is older may have been heard in between */
    assert_int_equal(hand_count(&h, SWIM_OUT_META, 0, 2), 2);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 2)->datagram.nmeta, 2);
    assert_int_equal(hand_last(&h, SWIM_OUT_DATAGRAM, 2)->datagram.meta[1], 2);
}

/* ---- Nonsense ---- */

static uint64_t many; /* members that nonsense speaks of */

static struct peer_swim_update nonsense_update(struct rand *r) {
    struct peer_swim_update u = hand_update(1 + (uint32_t)rand_below(r, many), rand_next(r) >> rand_below(r, 64) >> 1,
                                            (enum peer_swim_state)(1 + rand_below(r, 4)));
    u.boot = 1 + rand_next(r) % PEER_SWIM_NUMBER_MAX;
    u.boot = rand_below(r, 4) == 0 ? u.boot : 99 + rand_below(r, 3);
    u.ended_s = (uint32_t)(rand_next(r) >> rand_below(r, 64));
    u.naccusers = (unsigned)rand_below(r, PEER_SWIM_ACCUSERS_MAX + 1);
    for (unsigned i = 0; i < u.naccusers; i++) u.accusers[i] = hand_id((uint32_t)rand_below(r, 20));
    if (rand_below(r, 3) == 0) u.name = u.address = "";
    if (rand_below(r, 9) == 0) u.name = "c2:1";
    return u;
}

static void nonsense(struct rand *r) {
    static struct peer_swim_update updates[PEER_SYNC_UPDATES_MAX];
    struct peer_swim m = {.kind = (enum peer_swim_kind)rand_below(r, 7), .nmeta = (unsigned)rand_below(r, 33)};
    struct peer_sync part = {.reply = rand_below(r, 2) == 0, .last = rand_below(r, 2) == 0, .updates = updates};
    const char *const texts[] = {"", "h2:2", "h3:2"};
    struct swim_in in = {.kind = (enum swim_in_kind)rand_below(r, SWIM_IN_BOOT + 1),
                         .from = hand_id((uint32_t)rand_below(r, 30)),
                         .boot = rand_below(r, 3) != 0 ? 100 : rand_next(r),
                         .datagram = &m,
                         .sync = &part,
                         .link = rand_next(r),
                         .number = (uint32_t)rand_below(r, 100),
                         .texts = texts,
                         .bytes = m.meta,
                         .n = (unsigned)rand_below(r, 4)};
    if (in.kind == SWIM_IN_LEAVE && rand_below(r, 500) != 0) return;
    const struct hand_out *ping = h.nouts > 0 ? hand_last(&h, SWIM_OUT_DATAGRAM, 0) : NULL;
    m.number = ping != NULL && rand_below(r, 2) == 0 ? ping->datagram.number : (uint32_t)rand_next(r);
    m.target = hand_id((uint32_t)rand_below(r, 30));
    m.nupdates = (unsigned)rand_below(r, PEER_SWIM_UPDATES_MAX + 1);
    for (unsigned i = 0; i < m.nupdates; i++) m.updates[i] = nonsense_update(r);
    part.nupdates = (unsigned)rand_below(r, 40);
    for (unsigned i = 0; i < part.nupdates; i++) updates[i] = nonsense_update(r);
    if (in.kind == SWIM_IN_TIME) h.now += rand_below(r, rand_below(r, 50) == 0 ? 3600 * SECOND : SECOND);
    hand_input(&h, &in);
}

static void test_nonsense_never_breaks_the_machine(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct rand r;
        rand_init(&r, seed);
        many = seed == 1 ? 6000 : 60;
        hand_close(&h);
        hand_open(&h);
        hand_join(&h, 20);
        for (unsigned i = 0; i < 1500; i++) {
            if (h.nouts > HAND_OUTS / 2) hand_clear(&h);
            nonsense(&r);
            const struct members *m = swim_members(h.s);
            assert_true(members_count(m) >= 1 && members_count(m) <= MEMBERS_MAX);
            assert_true(swim_next_ns(h.s) > 0 && swim_awareness(h.s) <= SWIM_AWARENESS_MAX);
            assert_int_equal(m->in_state[1] + m->in_state[2] + m->in_state[3] + m->in_state[4], members_count(m));
        }
        assert_memory_equal(&swim_members(h.s)->all[SWIM_SELF].id, &(struct cluster_id){{1}}, 16);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_hand, close_hand)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_promised_times),
        T(test_all_are_probed_in_turn),
        T(test_a_probe_tries_every_way_and_then_judges),
        T(test_refused_by_all_there_is_nothing_to_wait_for),
        T(test_any_way_saves),
        T(test_missing_nacks_make_a_node_doubt_itself),
        T(test_a_helper_pings_and_reports),
        T(test_helpers_are_bounded),
        T(test_an_update_is_sent_so_often_and_no_more),
        T(test_what_a_newcomer_reads_it_tells_nobody),
        T(test_messages_stay_within_their_bounds),
        T(test_push_pulls_become_rarer_with_many_members),
        T(test_meta_goes_round),
        T(test_nonsense_never_breaks_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
