/* SPDX-License-Identifier: BSD-3-Clause
 *
 * All connections together: their limit, the idle ones, what one costs, the end of them all. */
#include <malloc.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_lab.h"

static void refuses_at_the_limit(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.max_connections = 2, .refuse_fast = true});
    int a = dial(l), b = dial(l);
    (void)state;
    await(&l->opened, 2);
    int c = dial(l);
    hear(c, "ERROR Too many open connections\r\n");
    hear_end(c);
    assert_int_equal(net_metric(l->net, NET_METRIC_rejected_connections), 1);
    say(a, "echo a\n");
    hear(a, "a\n");
    close(a);
    await(&l->closed, 1);
    close(b);
    net_lab_free(l);
}

/* What the layer above keeps open from one input to the next is not open while the worker waits, nor (net_lab looks)
 * when anything else of it is called. A tick would end it, too, but reads the clock. */
static void nothing_is_kept_while_a_worker_waits(void **state) {
    struct net_lab *l = net_lab_new();
    int a = dial(l);
    bool by_itself = false;
    (void)state;
    for (int i = 0; i < 20 && !by_itself; i++) {
        const uint64_t before = sync_load(&l->clock_reads);
        say(a, "echo a\n");
        hear(a, "a\n");
        while (sync_load_acq(&l->keeping) != 0) sched_yield();
        await_worker(l, 0); /* a tick that was under way is over */
        by_itself = sync_load(&l->clock_reads) == before;
    }
    assert_true(by_itself);
    close(a);
    net_lab_free(l);
}

static void waits_at_the_limit(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.max_connections = 2});
    int a = dial(l), b = dial(l), c = dial(l);
    struct net_gauges g;
    (void)state;
    say(c, "echo c\n");
    do net_gauges(l->net, &g);
    while (g.accepting);
    await(&l->opened, 2);
    assert_int_equal(sync_load(&l->opened), 2);
    close(a);
    hear(c, "c\n");
    assert_int_equal(net_metric(l->net, NET_METRIC_rejected_connections), 0);
    assert_true(net_metric(l->net, NET_METRIC_listen_disabled_num) >= 1);
    close(b);
    close(c);
    net_lab_free(l);
}

/* The process has no descriptor left: connections wait in the backlog, and are served once there is one again. */
static void waits_for_a_descriptor(void **state) {
    struct net_lab *l = net_lab_new();
    struct rlimit whole, little;
    (void)state;
    int next = dup(STDIN_FILENO); /* all below it are in use */
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &whole), 0);
    little = whole;
    little.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &little), 0);
    int a = dial(l); /* takes the last one */
    while (net_metric(l->net, NET_METRIC_listen_disabled_num) == 0) sched_yield();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &whole), 0);
    say(a, "echo a\n");
    hear(a, "a\n");
    close(a);
    net_lab_free(l);
}

static void idle_connections_are_closed(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.idle_timeout_s = 10});
    int idle = dial(l), busy = dial(l);
    (void)state;
    await(&l->opened, 2);
    clock_manual_advance(&l->clock, 9000000000);
    net_tick(l->net);
    await_worker(l, 0);
    say(busy, "echo x\n");
    hear(busy, "x\n");
    clock_manual_advance(&l->clock, 3000000000);
    net_tick(l->net);
    hear_end(idle);
    say(busy, "echo y\n");
    hear(busy, "y\n");
    assert_int_equal(net_metric(l->net, NET_METRIC_idle_kicks), 1);
    close(busy);
    net_lab_free(l);
}

static void drains(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.threads = 2});
    (void)state;
    int idle = dial(l), parked = dial(l);
    say(parked, "park\n");
    await(&l->parked, 1);
    assert_false(net_drain(l->net, 1)); /* one is under way */
    hear_end(idle);
    for (unsigned i = 0; i < 2; i++) worker_resume_all(net_worker_at(l->net, i));
    assert_true(net_drain(l->net, PATIENCE_MS));
    hear(parked, "resumed\n");
    hear_end(parked);
    net_lab_free(l);
}

/* After this the acceptor has done what it was asked for before, unless it took both connections in one go: what has to
 * happen is waited for, this is for what must not. */
static void await_acceptor(struct net_lab *l) {
    for (int i = 0; i < 2; i++) {
        int fd = dial(l);
        say(fd, "echo x\n");
        hear(fd, "x\n");
        close(fd);
    }
}

static void second(struct net_lab *l) {
    net_tick(l->net);
    await_worker(l, 0);
    await_acceptor(l);
}

static void idle_connections_cost_little(void **state) {
    enum { N_MAX = 10000 };
    static int fds[N_MAX];
    struct rlimit limit;
    struct net_lab *l = net_lab_new();
    struct net_gauges g;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int N = limit.rlim_cur > 2 * N_MAX + 100 ? N_MAX : (int)(limit.rlim_cur - 100) / 2; /* both ends are ours */
    fds[0] = dial(l);
    say(fds[0], "echo x\n");
    hear(fds[0], "x\n");
    size_t before = mallinfo2().uordblks;
    for (int i = 1; i < N; i++) {
        fds[i] = dial(l);
        say(fds[i], "echo x\n");
        hear(fds[i], "x\n");
    }
    size_t each = (mallinfo2().uordblks - before) / (size_t)(N - 1);
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
    assert_int_equal(g.curr_connections, N);
    print_message("%zu bytes a connection\n", each);
    assert_true(each < 1024); /* under a sanitizer the allocator is another and tells nothing */
    assert_int_equal(net_metric(l->net, NET_METRIC_heap_trims), 0);
    for (int i = 0; i < N; i++) close(fds[i]);
    await(&l->closed, (uint64_t)N);
    second(l); /* in this one they were there */
    second(l);
    while (N >= 2000 && net_metric(l->net, NET_METRIC_heap_trims) == 0) sched_yield(); /* what they took goes back */
    net_lab_free(l);
}

/* Enough to go back, and too little to go back by halves, should the net's own second end in between. */
enum { BURST = 32, BURST_BYTES = 12000 };

/* Makes connections that each leave a line unfinished. */
static void burst(struct net_lab *l, int fds[BURST]) {
    struct net_gauges g;
    for (int i = 0; i < BURST; i++) {
        fds[i] = dial(l);
        say(fds[i], "echo ");
        put(fds[i], pattern, BURST_BYTES);
    }
    await_read(l, BURST * (BURST_BYTES + 5ull));
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes >= (uint64_t)BURST * BURST_BYTES);
}

/* Ends their lines. */
static void finish(struct net_lab *l, const int fds[BURST]) {
    struct net_gauges g;
    for (int i = 0; i < BURST; i++) {
        say(fds[i], "\n");
        hear_pattern(fds[i], BURST_BYTES);
        hear(fds[i], "\n");
    }
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
}

static void memory_goes_back(void **state) {
    struct net_lab *l = net_lab_new();
    int fds[BURST];
    (void)state;
    burst(l, fds);
    for (int i = 0; i < 3; i++) second(l);
    assert_int_equal(net_metric(l->net, NET_METRIC_heap_trims), 0); /* all is in use */
    finish(l, fds);
    second(l); /* in this one it was in use */
    second(l);
    while (net_metric(l->net, NET_METRIC_heap_trims) == 0) sched_yield(); /* the acceptor does it */
    for (int i = 0; i < 3; i++) second(l);
    assert_int_equal(net_metric(l->net, NET_METRIC_heap_trims), 1);
    for (int i = 0; i < BURST; i++) close(fds[i]);
    net_lab_free(l);
}

/* How often memory went back, in so many seconds at most, after one connection held so much for a second and no more.
 */
static uint64_t trims_after(uint64_t bytes, unsigned seconds) {
    struct net_lab *l = net_lab_new();
    char line[64];
    int fd = dial(l);
    snprintf(line, sizeof line, "hold %llu\n", (unsigned long long)bytes);
    say(fd, line);
    hear(fd, "holding\n");
    second(l);
    say(fd, "hold 0\n");
    hear(fd, "holding\n");
    while (seconds-- > 0 && net_metric(l->net, NET_METRIC_heap_trims) == 0) second(l);
    const uint64_t n = net_metric(l->net, NET_METRIC_heap_trims);
    close(fd);
    net_lab_free(l);
    return n;
}

/* Less is not worth the work. */
static void a_quarter_of_a_mebibyte_goes_back(void **state) {
    (void)state;
    assert_int_equal(trims_after(255 << 10, 3), 0);
    assert_int_equal(trims_after(257 << 10, 1000), 1);
}

static void memory_goes_back_at_the_limit(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.max_connections = BURST});
    struct net_gauges g;
    int fds[BURST];
    (void)state;
    burst(l, fds);
    do net_gauges(l->net, &g);
    while (g.accepting);
    finish(l, fds);
    for (int i = 0; i < 2; i++) {
        net_tick(l->net);
        await_worker(l, 0);
    }
    while (net_metric(l->net, NET_METRIC_heap_trims) == 0) sched_yield();
    for (int i = 0; i < BURST; i++) close(fds[i]);
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_at_the_limit),
        cmocka_unit_test(nothing_is_kept_while_a_worker_waits),
        cmocka_unit_test(waits_at_the_limit),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(drains),
        cmocka_unit_test(idle_connections_cost_little),
        cmocka_unit_test(memory_goes_back),
        cmocka_unit_test(a_quarter_of_a_mebibyte_goes_back),
        cmocka_unit_test(memory_goes_back_at_the_limit),
        cmocka_unit_test(waits_for_a_descriptor),
    };
    mallopt(M_ARENA_MAX, 1); /* so that mallinfo2 tells of every thread */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
