/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections over real sockets: every byte comes in and goes out once and in order, whatever the sizes and cuts, and
 * an end is told after the bytes before it. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_lab.h"

/* ------------------------------------------------------------------ input */

static void splits_at_every_byte_and_pipelines(void **state) {
    static const char script[] = "echo one\nbody 5\nabcdeecho two\necho three\nnonsense\nbody 1\nzecho four\n";
    static const char answer[] = "one\nbody 5 495\ntwo\nthree\nwhat\nbody 1 122\nfour\n";
    struct net_lab *l = net_lab_new();
    (void)state;
    uint64_t before = 0;
    for (size_t cut = 0; cut <= sizeof script - 1; cut++) {
        int fd = dial(l);
        put(fd, script, cut);
        await_read(l, before + cut);
        put(fd, script + cut, sizeof script - 1 - cut);
        hear(fd, answer);
        close(fd);
        before += sizeof script - 1;
    }
    int fd = dial(l);
    for (size_t i = 0; i < sizeof script - 1; i++) {
        put(fd, script + i, 1);
        await_read(l, ++before);
    }
    hear(fd, answer);
    close(fd);
    net_lab_free(l);
}

static void long_line_is_kept_and_given_back(void **state) {
    static char line[300000], want[300000];
    struct net_lab *l = net_lab_new();
    struct net_gauges g;
    int fd = dial(l);
    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "echo ", 5);
    for (size_t at = 0; at < sizeof line - 1; at += 9973) {
        size_t n = sizeof line - 1 - at < 9973 ? sizeof line - 1 - at : 9973;
        put(fd, line + at, n);
        await_read(l, at + n);
    }
    await_worker(l, 0); /* what was read has been kept */
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes > 64000);
    put(fd, "\n", 1);
    take(fd, want, sizeof line - 6 + 1);
    assert_memory_equal(want, line + 5, sizeof line - 6);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
    close(fd);
    net_lab_free(l);
}

static void endless_line_ends_the_connection(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    for (size_t sent = 0; sent < 4 * NET_INPUT_MAX; sent += 65536)
        if (send(fd, pattern, 65536, MSG_NOSIGNAL) < 0) break; /* it has closed */
    hear_end(fd);
    assert_int_equal(net_metric(l->net, NET_METRIC_input_overflows), 1);
    net_lab_free(l);
}

static void large_bodies_go_where_they_belong_at_once(void **state) {
    struct net_lab *l = net_lab_new();
    char line[64];
    uint64_t sum = 0;
    int fd = dial(l);
    (void)state;
    for (size_t i = 0; i < 3000000; i++) sum += (unsigned char)pattern[i];
    for (int round = 0; round < 3; round++) {
        say(fd, "echo before\nbody 3000000\n");
        hear(fd, "before\n");
        put(fd, pattern, 3000000);
        say(fd, "echo after\n");
        snprintf(line, sizeof line, "body 3000000 %llu\nafter\n", (unsigned long long)sum);
        hear(fd, line);
    }
    assert_true(sync_load(&l->received) > 8000000);
    close(fd);
    net_lab_free(l);
}

/* ------------------------------------------------------------------ output */

static void slow_reader_is_held_back(void **state) {
    struct net_lab *l = net_lab_new();
    struct net_gauges g;
    int fd = dial(l), rounds = 200; /* 38 MB: more than sockets hold */
    (void)state;
    for (int i = 0; i < rounds; i++) say(fd, "big 50000\nref 40000\nref 100000\n");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes < 512 * 1024);
    int other = dial(l); /* served meanwhile */
    say(other, "echo hello\n");
    hear(other, "hello\n");
    for (int i = 0; i < rounds; i++) {
        hear_pattern(fd, 50000);
        hear_pattern(fd, 40000);
        hear_pattern(fd, 100000);
    }
    assert_true(sync_load(&l->pending_max) < 512 * 1024);
    say(fd, "echo done\n");
    hear(fd, "done\n");
    close(fd);
    close(other);
    net_lab_free(l);
}

static void references_are_released_when_the_reader_dies(void **state) {
    struct net_lab *l = net_lab_new();
    struct linger hard = {1, 0};
    (void)state;
    for (int round = 0; round < 20; round++) {
        int fd = dial(l), small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        for (int i = 0; i < 20; i++) say(fd, "ref 100000\nref 70000\nref 10\n");
        await_worker(l, 0);
        if (round % 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* a reset */
        close(fd);
    }
    await(&l->closed, 20);
    assert_int_equal(sync_load(&l->refs), sync_load(&l->releases));
    net_lab_free(l);
}

static void many_references_in_one_batch(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    char *script = malloc(200000);
    size_t n = 0;
    for (int i = 0; i < 5000; i++) n += (size_t)sprintf(script + n, "echo %04d\nref 7\n", i);
    put(fd, script, n);
    for (int i = 0; i < 5000; i++) {
        char want[32];
        snprintf(want, sizeof want, "%04d\n%.7s", i, pattern);
        hear(fd, want);
    }
    free(script);
    close(fd);
    net_lab_free(l);
}

static void large_reference_is_not_copied(void **state) {
    struct net_lab *l = net_lab_new();
    struct net_gauges g;
    int fd = dial(l);
    (void)state;
    say(fd, "ref 8000000\necho end\n");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes < 65536);
    hear_pattern(fd, 8000000);
    hear(fd, "end\n");
    close(fd);
    net_lab_free(l);
}

static void one_greedy_connection_yields(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.batches_per_event = 1});
    int fd = dial(l);
    (void)state;
    for (int i = 0; i < 200; i++) say(fd, "big 50000\n");
    for (int i = 0; i < 200; i++) hear_pattern(fd, 50000);
    assert_true(net_metric(l->net, NET_METRIC_turns_given) > 0);
    close(fd);
    net_lab_free(l);
}

/* ------------------------------------------------------------------ ends */

static void half_closed_sockets_are_answered(void **state) {
    struct net_lab *l = net_lab_new();
    (void)state;
    int fd = dial(l);
    for (int i = 0; i < 100; i++) say(fd, "big 50000\n");
    say(fd, "echo last\nunfinished");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100; i++) hear_pattern(fd, 50000);
    hear(fd, "last\n");
    hear_end(fd);
    fd = dial(l);
    say(fd, "produce 20000\n");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 20000; i++) hear(fd, "produced\n");
    hear(fd, "end\n");
    hear_end(fd);
    fd = dial(l);
    say(fd, "watch\n");
    hear(fd, "watching\n");
    shutdown(fd, SHUT_WR); /* a watcher that says no more has gone */
    hear_end(fd);
    net_lab_free(l);
}

static void close_sends_what_waits(void **state) {
    struct net_lab *l = net_lab_new();
    int fd = dial(l);
    (void)state;
    for (int i = 0; i < 40; i++) say(fd, "big 50000\n");
    say(fd, "close\necho never\n");
    for (int i = 0; i < 40; i++) hear_pattern(fd, 50000);
    hear(fd, "bye\n");
    hear_end(fd);
    net_lab_free(l);
}

static void post_hold(struct net_worker *w, void *arg) {
    uint64_t *stage = arg;
    (void)w;
    sync_add_acqrel(stage, 1);
    await(stage, 2);
}

/* Makes n connections that have been answered once, then holds the worker until *stage is 2. */
static void dial_and_hold(struct net_lab *l, int *fds, int n, uint64_t *stage) {
    for (int i = 0; i < n; i++) {
        fds[i] = dial(l);
        say(fds[i], "echo x\n");
        hear(fds[i], "x\n");
    }
    worker_post(net_worker_at(l->net, 0), &l->post, post_hold, stage);
    await(stage, 1);
}

/* A worker learns in one round of a tick, and of bytes for connections that the tick closes. */
static void closed_with_bytes_waiting(void **state) {
    enum { N = 50 };
    struct net_lab *l = net_lab_new_config((struct net_config){.idle_timeout_s = 10});
    int fds[N];
    uint64_t stage = 0;
    (void)state;
    dial_and_hold(l, fds, N, &stage);
    clock_manual_advance(&l->clock, 11000000000);
    net_tick(l->net);
    for (int i = 0; i < N; i++) say(fds[i], "echo y\n");
    sync_add_acqrel(&stage, 1);
    await(&l->closed, N);
    assert_int_equal(net_metric(l->net, NET_METRIC_idle_kicks), N);
    for (int i = 0; i < N; i++) close(fds[i]);
    net_lab_free(l);
}

/* All of it comes while nobody looks, so that the kernel has one readiness to tell: of more than one read takes, and of
 * the end behind it. */
static void bytes_and_end_told_once(void **state) {
    static const size_t lines[] = {1, 1000, 65536 / 5, 40000, 100000};
    struct net_lab *l = net_lab_new();
    (void)state;
    for (size_t k = 0; k < 2 * sizeof lines / sizeof *lines; k++) {
        size_t n = lines[k / 2] * 5;
        bool half_closed = k % 2;
        uint64_t stage = 0, read_before = net_metric(l->net, NET_METRIC_bytes_read);
        char *out = malloc(n + 1), *in = malloc(n + 1);
        int fd = dial(l), size = 1 << 20;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
        for (size_t i = 0; i < n; i += 5) memcpy(out + i, "what\n", 5);
        say(fd, "echo x\n");
        hear(fd, "x\n");
        worker_post(net_worker_at(l->net, 0), &l->post, post_hold, &stage);
        await(&stage, 1);
        ssize_t sent = send(fd, out, n, MSG_DONTWAIT); /* as much as fits while nobody reads */
        assert_true(sent > 0);
        sent -= sent % 5;
        if (half_closed) assert_int_equal(shutdown(fd, SHUT_WR), 0);
        sync_add_acqrel(&stage, 1);
        await_worker(l, 0); /* it has done with `stage` */
        take(fd, in, (size_t)sent);
        assert_memory_equal(in, out, (size_t)sent);
        if (half_closed) {
            hear_end(fd);
        } else {
            await_read(l, read_before + 7 + (size_t)sent);
            close(fd);
        }
        free(out);
        free(in);
    }
    net_lab_free(l);
}

/* The loop tells once of what comes together: a request that needs no answer, and the reset of its connection. Nothing
 * is written to it, so only looking at it again shows that it is gone. */
static void resets_behind_the_last_request_leave_none(void **state) {
    enum { N = 20 };
    struct net_lab *l = net_lab_new();
    const struct linger reset = {1, 0};
    int fds[N];
    uint64_t stage = 0;
    (void)state;
    dial_and_hold(l, fds, N, &stage);
    for (int i = 0; i < N; i++) {
        say(fds[i], "quiet\n");
        assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        close(fds[i]);
    }
    sync_add_acqrel(&stage, 1);
    await(&l->quiet, N); /* the requests were carried out all the same */
    await_worker(l, 0);
    clock_manual_advance(&l->clock, 2000000000);
    net_tick(l->net);
    await(&l->closed, N);
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_at_every_byte_and_pipelines),
        cmocka_unit_test(long_line_is_kept_and_given_back),
        cmocka_unit_test(endless_line_ends_the_connection),
        cmocka_unit_test(large_bodies_go_where_they_belong_at_once),
        cmocka_unit_test(slow_reader_is_held_back),
        cmocka_unit_test(references_are_released_when_the_reader_dies),
        cmocka_unit_test(many_references_in_one_batch),
        cmocka_unit_test(large_reference_is_not_copied),
        cmocka_unit_test(one_greedy_connection_yields),
        cmocka_unit_test(half_closed_sockets_are_answered),
        cmocka_unit_test(close_sends_what_waits),
        cmocka_unit_test(closed_with_bytes_waiting),
        cmocka_unit_test(bytes_and_end_told_once),
        cmocka_unit_test(resets_behind_the_last_request_leave_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
