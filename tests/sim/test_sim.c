/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The simulator itself: a seed repeats everything, and each fault does what its name says. */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 6

/* A process that remembers what it was told. */
struct probe {
    unsigned starts, crashes, timers, datagrams, accepted, opened, data, closed;
    uint64_t last_number, disorder, last_timer_local, stream;
};

static void on_start(void *process, struct sim *s, unsigned node) {
    (void)s, (void)node;
    ((struct probe *)process)->starts++;
}
static void on_crash(void *process, struct sim *s, unsigned node) {
    (void)s, (void)node;
    ((struct probe *)process)->crashes++;
}
static void on_timer(void *process, struct sim *s, unsigned node, unsigned timer) {
    struct probe *p = process;
    (void)timer;
    p->timers++;
    p->last_timer_local = sim_local(s, node);
}

static void see_number(struct probe *p, const void *bytes, size_t n) {
    uint64_t number;
    assert_int_equal(n, sizeof number);
    memcpy(&number, bytes, sizeof number);
    if (number < p->last_number) p->disorder++;
    p->last_number = number;
}

static void on_datagram(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n) {
    struct probe *p = process;
    (void)s, (void)node, (void)from;
    p->datagrams++;
    see_number(p, bytes, n);
}
static void on_stream(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n) {
    struct probe *p = process;
    (void)s, (void)node, (void)peer;
    p->stream = stream;
    if (what == SIM_STREAM_ACCEPTED) p->accepted++;
    if (what == SIM_STREAM_OPENED) p->opened++;
    if (what == SIM_STREAM_CLOSED) p->closed++;
    if (what != SIM_STREAM_DATA) return;
    p->data++;
    see_number(p, bytes, n);
}

static const struct sim_process calls = {on_start, on_crash, on_timer, on_datagram, on_stream};

struct lab {
    struct sim *s;
    struct probe p[NODES];
};

static void lab_open(struct lab *l, uint64_t seed) {
    memset(l, 0, sizeof *l);
    l->s = sim_new(seed);
    for (unsigned i = 0; i < NODES; i++) assert_int_equal(sim_add(l->s), i);
    for (unsigned i = 0; i < NODES; i++) sim_start(l->s, i, &calls, &l->p[i]);
}

static void datagrams(struct lab *l, unsigned from, unsigned to, unsigned n) {
    for (uint64_t i = 1; i <= n; i++) sim_datagram(l->s, from, to, &i, sizeof i);
}

static void messages(struct lab *l, unsigned node, uint64_t stream, unsigned n, bool sent) {
    for (uint64_t i = 1; i <= n; i++) assert_int_equal(sim_send(l->s, node, stream, &i, sizeof i), sent);
}

/* Everything that can go wrong, in an order that the seed decides. */
static uint64_t chaos(uint64_t seed) {
    struct lab l;
    lab_open(&l, seed);
    const struct sim_path bad = {200000, 50000, 100000, SIM_MS, 5 * SIM_MS, 50 * SIM_MS};
    sim_set_path(l.s, &bad);
    sim_set_stream_timeout(l.s, 300 * SIM_MS);
    for (unsigned step = 0; step < 2000; step++) {
        const unsigned a = (unsigned)sim_below(l.s, NODES), b = (unsigned)sim_below(l.s, NODES);
        const uint64_t number = step;
        switch (sim_below(l.s, 12)) {
        case 0: sim_pause(l.s, a); break;
        case 1: sim_resume(l.s, a); break;
        case 2: sim_crash(l.s, a); break;
        case 3: sim_power_off(l.s, a); break;
        case 4: sim_block(l.s, a, b, true); break;
        case 5: sim_set_group(l.s, a, b % 2); break;
        case 6: sim_heal(l.s); break;
        case 7:
            if (sim_is_running(l.s, a)) sim_dial(l.s, a, b);
            break;
        case 8: sim_close(l.s, a, l.p[a].stream); break;
        case 9: sim_set_timer(l.s, a, b, sim_local(l.s, a) + sim_below(l.s, SIM_S)); break;
        case 10: sim_send(l.s, a, l.p[a].stream, &number, sizeof number); break;
        default: sim_datagram(l.s, a, b, &number, sizeof number); break;
        }
        if (!sim_is_running(l.s, b)) sim_start(l.s, b, &calls, &l.p[b]);
        sim_run(l.s, sim_now(l.s) + sim_below(l.s, 100 * SIM_MS));
    }
    for (unsigned i = 0; i < NODES; i++) sim_crash(l.s, i);
    sim_heal(l.s);
    sim_run(l.s, sim_now(l.s) + 100 * SIM_S);
    assert_int_equal(sim_bytes_in_flight(l.s), 0);
    assert_true(sim_counts(l.s)->delivered > 20);
    assert_true(sim_counts(l.s)->streams_broken > 0);
    const uint64_t digest = sim_digest(l.s);
    sim_free(l.s);
    return digest;
}

static void test_a_seed_repeats_everything(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        const uint64_t digest = chaos(seed);
        assert_int_equal(chaos(seed), digest);
        assert_int_not_equal(chaos(seed + 1000), digest);
    }
}

static void test_datagrams_are_lost_repeated_and_reordered(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 1);
    struct sim_path p = {.delay_min_ns = 1000, .delay_max_ns = 1000};
    sim_set_path(l.s, &p);
    datagrams(&l, 0, 1, 10000);
    sim_run(l.s, SIM_S);
    assert_int_equal(l.p[1].datagrams, 10000);
    assert_int_equal(l.p[1].disorder, 0);
    p = (struct sim_path){200000, 100000, 10000, 1000, 1000, SIM_MS};
    sim_set_path(l.s, &p);
    l.p[1] = (struct probe){0};
    for (unsigned i = 0; i < 10000; i++) {
        datagrams(&l, 0, 1, 1);
        sim_run(l.s, sim_now(l.s) + 2000);
    }
    sim_run(l.s, 2 * SIM_S);
    assert_in_range(l.p[1].datagrams, 8600, 9000); /* 80 % arrive, a tenth of these twice */
    assert_in_range(sim_counts(l.s)->lost, 1850, 2150);
    assert_int_equal(sim_node_counts(l.s, 0)->datagram_bytes, 20000 * 8);
    sim_set_node_path(l.s, 2, &p); /* one node's path is that node's only */
    p.loss = 0;
    sim_set_path(l.s, &p);
    const uint64_t lost = sim_counts(l.s)->lost;
    datagrams(&l, 0, 1, 1000);
    assert_int_equal(sim_counts(l.s)->lost, lost);
    datagrams(&l, 0, 2, 1000);
    assert_in_range(sim_counts(l.s)->lost - lost, 150, 250);
    sim_datagram(l.s, 0, 4000000000u, "", 0); /* an address where nobody is */
    sim_run(l.s, 3 * SIM_S);
    sim_free(l.s);
}

static void test_reordering(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 1);
    const struct sim_path p = {.reorder = 100000, .delay_min_ns = 1000, .delay_max_ns = 1000, .reorder_ns = SIM_MS};
    sim_set_path(l.s, &p);
    datagrams(&l, 0, 1, 1000);
    sim_run(l.s, SIM_S);
    assert_int_equal(l.p[1].datagrams, 1000);
    assert_in_range(l.p[1].disorder, 50, 120);
    sim_free(l.s);
}

static void test_streams_keep_their_order_through_loss(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 2);
    const struct sim_path p = {300000, 100000, 100000, SIM_MS, 20 * SIM_MS, SIM_S};
    sim_set_path(l.s, &p);
    const uint64_t stream = sim_dial(l.s, 0, 1);
    messages(&l, 0, stream, 500, true); /* before it is open */
    sim_run(l.s, 600 * SIM_S);
    assert_int_equal(l.p[0].opened, 1);
    assert_int_equal(l.p[1].accepted, 1);
    assert_int_equal(l.p[1].data, 500);
    assert_int_equal(l.p[1].disorder, 0);
    messages(&l, 1, stream, 10, true); /* and back */
    sim_close(l.s, 1, stream);
    messages(&l, 1, stream, 1, false);
    sim_run(l.s, 700 * SIM_S);
    assert_int_equal(l.p[0].data, 10);
    assert_int_equal(l.p[0].closed, 1);
    assert_int_equal(l.p[1].closed, 0); /* who closes is not told */
    assert_int_equal(sim_bytes_in_flight(l.s), 0);
    sim_free(l.s);
}

static void test_a_blocked_way_breaks_streams_in_time(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 3);
    const uint64_t stream = sim_dial(l.s, 0, 1);
    sim_run(l.s, SIM_S);
    sim_block(l.s, 1, 0, true); /* one way only: datagrams pass the other way, a stream passes neither */
    datagrams(&l, 0, 1, 1);
    datagrams(&l, 1, 0, 1);
    messages(&l, 0, stream, 1, true);
    sim_run(l.s, 4 * SIM_S);
    assert_int_equal(l.p[1].datagrams, 1);
    assert_int_equal(l.p[0].datagrams, 0);
    assert_int_equal(l.p[1].data, 0);
    sim_block(l.s, 1, 0, false);
    sim_run(l.s, 5 * SIM_S);
    assert_int_equal(l.p[1].data, 1);
    sim_set_group(l.s, 0, 1);
    messages(&l, 0, stream, 1, true);
    sim_run(l.s, 15 * SIM_S);
    assert_int_equal(l.p[0].closed, 1);
    assert_int_equal(l.p[1].closed, 0); /* that end knows nothing yet */
    sim_dial(l.s, 0, 1);
    sim_run(l.s, 25 * SIM_S);
    assert_int_equal(l.p[0].closed, 2);
    assert_int_equal(sim_counts(l.s)->streams_broken, 2);
    sim_heal(l.s);
    messages(&l, 1, stream, 1, true); /* the half that is left is reset when it sends */
    sim_run(l.s, 26 * SIM_S);
    assert_int_equal(l.p[1].closed, 1);
    assert_int_equal(l.p[0].data, 0);
    sim_free(l.s);
}

static void test_crash_is_told_and_a_power_cut_is_not(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 4);
    sim_dial(l.s, 0, 1);
    const uint64_t dark = sim_dial(l.s, 0, 2);
    sim_run(l.s, SIM_S);
    sim_crash(l.s, 1);
    sim_power_off(l.s, 2);
    assert_int_equal(l.p[1].crashes + l.p[2].crashes, 2);
    sim_run(l.s, 20 * SIM_S);
    assert_int_equal(l.p[0].closed, 1);
    sim_dial(l.s, 0, 1);
    sim_run(l.s, 21 * SIM_S);
    assert_int_equal(l.p[0].closed, 2);
    assert_int_equal(sim_counts(l.s)->streams_refused, 1);
    sim_start(l.s, 2, &calls, &l.p[2]); /* another process there: the old stream is reset, not its */
    messages(&l, 0, dark, 1, true);
    sim_run(l.s, 22 * SIM_S);
    assert_int_equal(l.p[0].closed, 3);
    assert_int_equal(l.p[2].data, 0);
    sim_free(l.s);
}

static void test_a_paused_process_gets_everything_afterwards(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 5);
    sim_pause(l.s, 1);
    sim_set_timer(l.s, 1, 0, SIM_S);
    const uint64_t stream = sim_dial(l.s, 0, 1);
    messages(&l, 0, stream, 5, true);
    datagrams(&l, 0, 1, SIM_INBOX_BYTES / 8 + 100);
    sim_run(l.s, 2 * SIM_S);
    assert_int_equal(l.p[0].opened, 1); /* by the kernel */
    assert_int_equal(l.p[1].accepted + l.p[1].timers + l.p[1].datagrams, 0);
    assert_int_equal(sim_counts(l.s)->inbox_full, 100);
    sim_resume(l.s, 1);
    assert_int_equal(l.p[1].accepted, 1);
    assert_int_equal(l.p[1].timers, 1);
    assert_int_equal(l.p[1].data, 5);
    assert_int_equal(l.p[1].datagrams, SIM_INBOX_BYTES / 8);
    sim_pause(l.s, 2); /* what a paused process accepted dies with it */
    sim_dial(l.s, 0, 2);
    sim_run(l.s, 3 * SIM_S);
    assert_int_equal(l.p[0].opened, 2);
    sim_crash(l.s, 2);
    sim_run(l.s, 4 * SIM_S);
    assert_int_equal(l.p[0].closed, 1);
    sim_free(l.s);
}

static void test_clocks_go_their_own_way(void **state) {
    (void)state;
    struct lab l;
    lab_open(&l, 6);
    sim_set_clock(l.s, 0, 1000 * SIM_S, 50000);
    sim_set_clock(l.s, 1, 0, -50000);
    sim_set_timer(l.s, 0, 0, 1105 * SIM_S);
    sim_set_timer(l.s, 1, 0, 95 * SIM_S);
    sim_run(l.s, 100 * SIM_S - 1000);
    assert_int_equal(l.p[0].timers + l.p[1].timers, 0);
    sim_run(l.s, 100 * SIM_S + 1000);
    assert_int_equal(l.p[0].timers, 1);
    assert_int_equal(l.p[1].timers, 1);
    assert_in_range(l.p[0].last_timer_local, 1105 * SIM_S, 1105 * SIM_S + 1000);
    sim_set_timer(l.s, 0, 0, UINT64_MAX); /* off; later and earlier again */
    sim_set_timer(l.s, 1, 0, 500 * SIM_S);
    sim_set_timer(l.s, 1, 0, 190 * SIM_S);
    sim_run(l.s, 300 * SIM_S);
    assert_int_equal(l.p[0].timers, 1);
    assert_int_equal(l.p[1].timers, 2);
    sim_crash(l.s, 1); /* timers end with their process */
    sim_start(l.s, 1, &calls, &l.p[1]);
    sim_set_timer(l.s, 1, 0, 400 * SIM_S);
    sim_crash(l.s, 1);
    sim_start(l.s, 1, &calls, &l.p[1]);
    sim_run(l.s, 600 * SIM_S);
    assert_int_equal(l.p[1].timers, 2);
    sim_free(l.s);
}

static void stop_at(struct sim *s, void *arg, uint64_t number) {
    *(uint64_t *)arg = number;
    sim_stop(s);
}

static void test_scripts_and_stopping(void **state) {
    (void)state;
    struct lab l;
    uint64_t seen = 0;
    lab_open(&l, 7);
    sim_at(l.s, SIM_S, stop_at, &seen, 42);
    sim_at(l.s, 9 * SIM_S, stop_at, &seen, 43);
    assert_false(sim_run(l.s, 2 * SIM_S));
    assert_int_equal(sim_now(l.s), SIM_S);
    assert_int_equal(seen, 42);
    assert_true(sim_run(l.s, 2 * SIM_S));
    assert_int_equal(sim_now(l.s), 2 * SIM_S);
    sim_free(l.s); /* with an event left */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_repeats_everything),
        cmocka_unit_test(test_datagrams_are_lost_repeated_and_reordered),
        cmocka_unit_test(test_reordering),
        cmocka_unit_test(test_streams_keep_their_order_through_loss),
        cmocka_unit_test(test_a_blocked_way_breaks_streams_in_time),
        cmocka_unit_test(test_crash_is_told_and_a_power_cut_is_not),
        cmocka_unit_test(test_a_paused_process_gets_everything_afterwards),
        cmocka_unit_test(test_clocks_go_their_own_way),
        cmocka_unit_test(test_scripts_and_stopping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
