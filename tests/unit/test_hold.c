/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What connections hold whose clients stall: never more than all of them may together, and those give way that have
 * stalled for longest. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_lab.h"

#define SHARE (1u << 20)
#define LEAST_SHARE (256u << 10) /* of a worker, whatever the net may hold */

/* What is held between the turns of two connections. */
static void post_look(struct net_worker *w, void *arg) {
    struct net_gauges g;
    (void)w;
    net_gauges(((struct net_lab *)arg)->net, &g);
    uint64_t most = sync_load(&((struct net_lab *)arg)->pending_max);
    if (g.buffer_bytes > most) sync_store(&((struct net_lab *)arg)->pending_max, g.buffer_bytes);
}

/* The most that was held at any of these looks. */
static uint64_t held(struct net_lab *l) {
    worker_post(net_worker_at(l->net, 0), &l->post, post_look, l);
    await_worker(l, 0);
    return sync_load(&l->pending_max);
}

static struct net_lab *lab(uint64_t held_max) {
    return net_lab_new_config((struct net_config){.held_max = held_max});
}

/* 64 KiB of requests for 20 MB, of which nothing is read. */
static void ask_much(int fd) {
    static char text[65536];
    for (size_t i = 0; i + 10 <= sizeof text; i += 10) memcpy(text + i, "big 03000\n", 10);
    put(fd, text, sizeof text / 10 * 10);
}

/* Until the socket of one more has taken what it can. */
static void await_blocked(struct net_lab *l, uint64_t n) {
    while (net_metric(l->net, NET_METRIC_output_blocked) < n) sched_yield();
}

static void few_that_do_not_read_hold_their_part_each(void **state) {
    struct net_lab *l = lab(0);
    int fd = dial(l);
    (void)state;
    ask_much(fd);
    await_blocked(l, 1);
    const uint64_t one = held(l);
    assert_true(one > 64 << 10);
    assert_true(one <= (256 + 64 + 4) << 10); /* output; the requests behind; the chunks' own */
    close(fd);
    net_lab_free(l);
}

static void many_that_do_not_read_hold_little_each(void **state) {
    struct net_lab *l = lab(SHARE);
    int fds[20];
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = dial(l);
        ask_much(fds[i]);
        await_blocked(l, i + 1);
        assert_true(held(l) <= SHARE);
    }
    assert_int_equal(net_metric(l->net, NET_METRIC_holders_closed), 0);
    for (unsigned i = 0; i < 20; i++) /* and all get what they asked for */
        for (unsigned k = 0; k < 65536 / 10; k++) hear_pattern(fds[i], 3000);
    for (unsigned i = 0; i < 20; i++) close(fds[i]);
    net_lab_free(l);
}

static void too_many_that_do_not_read_give_way(void **state) {
    enum { N = 300 };
    struct net_lab *l = lab(SHARE);
    int fds[N];
    (void)state;
    for (unsigned i = 0; i < N; i++) {
        fds[i] = dial(l);
        ask_much(fds[i]);
        await_blocked(l, i + 1);
        assert_true(held(l) <= SHARE);
    }
    assert_true(net_metric(l->net, NET_METRIC_holders_closed) > 0);
    for (unsigned k = 0; k < 65536 / 10; k++) hear_pattern(fds[N - 1], 3000);
    for (unsigned i = 0; i < N; i++) close(fds[i]);
    net_lab_free(l);
}

/* Begins a line of this many bytes. */
static void begin_line(struct net_lab *l, int fd, size_t n) {
    const uint64_t before = net_metric(l->net, NET_METRIC_bytes_read);
    say(fd, "echo ");
    put(fd, pattern, n - 5);
    await_read(l, before + n);
}

static void who_has_stalled_longest_gives_way(void **state) {
    enum { N = LEAST_SHARE / 10000 }; /* so many lines of 10,000 bytes are held; one more is not */
    struct net_lab *l = lab(1);
    int fds[N + 1];
    (void)state;
    for (unsigned i = 0; i < N; i++) begin_line(l, fds[i] = dial(l), 10000);
    assert_int_equal(net_metric(l->net, NET_METRIC_holders_closed), 0);
    const uint64_t before = net_metric(l->net, NET_METRIC_bytes_read);
    say(fds[0], "x"); /* the second has now waited longest */
    await_read(l, before + 1);
    begin_line(l, fds[N] = dial(l), 10000);
    hear_end(fds[1]);
    assert_true(held(l) <= LEAST_SHARE);
    assert_int_equal(net_metric(l->net, NET_METRIC_holders_closed), 1);
    for (unsigned i = 0; i <= N; i++) {
        if (i == 1) continue;
        say(fds[i], "\n");
        hear_pattern(fds[i], 9995);
        hear(fds[i], i == 0 ? "x\n" : "\n");
        close(fds[i]);
    }
    net_lab_free(l);
}

/* Whose answer is being worked out waits for this server: it is not to blame. */
static void who_is_parked_does_not_give_way(void **state) {
    struct net_lab *l = lab(1);
    int parked = dial(l), fds[40];
    (void)state;
    say(parked, "park\necho later\n");
    await(&l->parked, 1);
    for (unsigned i = 0; i < 40; i++) begin_line(l, fds[i] = dial(l), 10000);
    assert_true(net_metric(l->net, NET_METRIC_holders_closed) > 0);
    worker_resume_all(net_worker_at(l->net, 0));
    hear(parked, "resumed\nlater\n");
    close(parked);
    for (unsigned i = 0; i < 40; i++) close(fds[i]);
    net_lab_free(l);
}

/* If all are parked, what comes on top is not kept. */
static void those_that_are_parked_hold_no_more_either(void **state) {
    enum { N = 300 };
    struct net_lab *l = lab(1);
    int fds[N];
    char text[3000];
    (void)state;
    memcpy(text, "park\n", 5);
    memcpy(text + 5, pattern, sizeof text - 5);
    for (unsigned i = 0; i < N; i++) {
        const uint64_t parked = sync_load(&l->parked);
        fds[i] = dial(l);
        put(fds[i], text, sizeof text);
        await(&l->parked, parked + 1);
        assert_true(held(l) <= LEAST_SHARE);
    }
    assert_true(net_metric(l->net, NET_METRIC_holders_closed) > 0);
    worker_resume_all(net_worker_at(l->net, 0));
    hear(fds[0], "resumed\n");
    for (unsigned i = 0; i < N; i++) close(fds[i]);
    net_lab_free(l);
}

static void what_the_handler_keeps_counts(void **state) {
    struct net_lab *l = lab(1);
    int first = dial(l), second = dial(l);
    (void)state;
    say(first, "hold 200000\n");
    hear(first, "holding\n");
    say(second, "hold 40000\n");
    hear(second, "holding\n");
    assert_int_equal(held(l), 240000);
    say(second, "hold 100000\n");
    hear(second, "holding\n");
    hear_end(first);
    close(second);
    net_lab_free(l);
}

/* What waits for its own answer is not looked at each time that room is found for others. */
static void room_does_not_wake_who_waits_for_something_else(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "wait\n");
    await(&l->parked, 1);
    const uint64_t fed = sync_load(&l->fed);
    worker_resume_all(net_worker_at(l->net, 0));
    await_worker(l, 0);
    await_worker(l, 0);
    assert_int_equal(sync_load(&l->fed), fed);
    worker_post(net_worker_at(l->net, 0), &l->post, net_lab_resume_last, l);
    hear(fd, "resumed\n");
    close(fd);
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_that_do_not_read_hold_their_part_each),
        cmocka_unit_test(many_that_do_not_read_hold_little_each),
        cmocka_unit_test(too_many_that_do_not_read_give_way),
        cmocka_unit_test(who_has_stalled_longest_gives_way),
        cmocka_unit_test(who_is_parked_does_not_give_way),
        cmocka_unit_test(those_that_are_parked_hold_no_more_either),
        cmocka_unit_test(what_the_handler_keeps_counts),
        cmocka_unit_test(room_does_not_wake_who_waits_for_something_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
