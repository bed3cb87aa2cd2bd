/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Promises made in numbers that only a whole node keeps: what its connections may hold, how many long answers are under
 * way at a time. Each test fails when its number is another. Threads are held where a test needs many questions at
 * once.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sync.h"
#include "net/net.h"
#include "net/net_state.h"
#include "net/worker.h"
#include "node_lab.h"

/* ------------------------------------------------------------------ what connections may hold */

static uint64_t held_max(const char *memory) {
    struct node_lab u;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-m", memory, NULL);
    const uint64_t n = node_net(u.node)->cfg.held_max;
    node_lab_end(&u);
    return n;
}

static void test_connections_hold_an_eighth(void **state) {
    (void)state;
    assert_int_equal(held_max("1024"), 128 << 20);
    assert_int_equal(held_max("64"), 16 << 20); /* at least */
}

/* ------------------------------------------------------------------ long answers under way at a time */

struct hold {
    struct net_post post;
    uint32_t held, released, left; /* atomic */
};

static void wait_for_release(struct net_worker *w, void *arg) {
    struct hold *h = arg;
    (void)w;
    sync_store_rel(&h->held, 1);
    while (!sync_load_acq(&h->released)) sched_yield();
    sync_store_rel(&h->left, 1);
}

/* Holds a worker until it is released. */
static void hold(struct hold *h, const struct node_lab *u, unsigned worker) {
    *h = (struct hold){.held = 0};
    worker_post(net_worker_at(node_net(u->node), worker), &h->post, wait_for_release, h);
    while (!sync_load_acq(&h->held)) sched_yield();
}

/* Lets it go on; it does not look at h any more. */
static void release(struct hold *h) {
    sync_store_rel(&h->released, 1);
    while (!sync_load_acq(&h->left)) sched_yield();
}

static void say(int fd, const char *text) {
    const size_t n = strlen(text);
    assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

/* A connection that is served. Connections go to the workers in turn. */
static int dial_served(void) {
    int fd = node_lab_dial_unix();
    say(fd, "mn\r\n");
    node_lab_hear(fd, "MN\r\n");
    return fd;
}

/* Reads an answer's last line: whether it was given; else it was refused. */
static bool given(int fd) {
    static const char refused[] = "SERVER_ERROR out of memory writing stats\r\n";
    char buf[65536];
    size_t n = 0;
    for (;;) {
        ssize_t k = recv(fd, buf + n, sizeof buf - n, 0);
        assert_true(k > 0);
        n += (size_t)k;
        if (n >= 5 && memcmp(buf + n - 5, "END\r\n", 5) == 0) return true;
        if (n == sizeof refused - 1 && memcmp(buf, refused, n) == 0) return false;
    }
}

/* Asks on all connections while worker `held` cannot go on, which sees to it that no answer ends before the last one
 * has asked, and the worker `asked`, if it is another, has read all. How many were answered. */
static unsigned answered(const struct node_lab *u, const int *fds, unsigned n, const char *question, unsigned held,
                         unsigned asked) {
    struct hold h, seen;
    unsigned good = 0;
    const uint64_t before = net_metric(node_net(u->node), NET_METRIC_bytes_read);
    hold(&h, u, held);
    for (unsigned i = 0; i < n; i++) say(fds[i], question);
    if (asked != held) {
        while (net_metric(node_net(u->node), NET_METRIC_bytes_read) < before + n * strlen(question)) sched_yield();
        hold(&seen, u, asked); /* it is behind the last one */
        release(&seen);
    }
    release(&h);
    for (unsigned i = 0; i < n; i++) good += given(fds[i]);
    return good;
}

/* The question goes from worker to worker: it stays at the second one. */
static void test_16_stats_conns_at_a_time(void **state) {
    enum { N = 20 };
    struct node_lab u;
    int fds[N], others[N];
    (void)state;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t2", NULL, NULL);
    assert_int_equal(node_start(u.node), 0);
    for (unsigned i = 0; i < N; i++) {
        fds[i] = dial_served();
        others[i] = dial_served();
    }
    for (unsigned i = 0; i < 2; i++) /* all over, and they may be asked for again */
        assert_int_equal(answered(&u, fds, N, "stats conns\r\n", 1, 0), 16);
    for (unsigned i = 0; i < N; i++) {
        close(fds[i]);
        close(others[i]);
    }
    node_lab_end(&u);
}

/* All ask before the only worker goes on; then (-R 1) the first part of each answer is made before any second one. */
static void test_8_stats_sizes_a_worker(void **state) {
    enum { N = 12, ITEMS = 6000 }; /* items: a few parts of an answer */
    struct node_lab u;
    int fds[N];
    char line[64];
    (void)state;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t1", "-R1", "-otrack_sizes");
    assert_int_equal(node_start(u.node), 0);
    for (unsigned i = 0; i < N; i++) fds[i] = dial_served();
    for (int i = 0; i < ITEMS; i++) {
        snprintf(line, sizeof line, "set k%d 0 0 1 noreply\r\nx\r\n", i);
        say(fds[0], line);
    }
    say(fds[0], "mn\r\n");
    node_lab_hear(fds[0], "MN\r\n");
    for (unsigned i = 0; i < 2; i++) assert_int_equal(answered(&u, fds, N, "stats sizes\r\n", 0, 0), 8);
    for (unsigned i = 0; i < N; i++) close(fds[i]);
    node_lab_end(&u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_hold_an_eighth),
        cmocka_unit_test(test_16_stats_conns_at_a_time),
        cmocka_unit_test(test_8_stats_sizes_a_worker),
    };
    node_lab_begin();
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    node_lab_clean();
    return r;
}
