/* SPDX-License-Identifier: BSD-3-Clause
 *
 * /healthz and /readyz of a node that stands alone: a worker that does not run, a node that ends; and each line
 * that /readyz has for a node of a cluster. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
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
#include "cluster/cluster_gauges.h"
#include "cluster/lease_ends.h"
#include "cmd/cmd.h"
#include "net/net.h"
#include "node_lab.h"

#define SECOND 1000000000ull

static uint32_t stands, goes_on; /* atomic */

/* A worker that does nothing else until it is told to go on. */
static void stand_still(struct net_worker *w, void *arg) {
    (void)w;
    (void)arg;
    sync_store_rel(&stands, 1);
    while (sync_load_acq(&goes_on) == 0) sched_yield();
    sync_store_rel(&stands, 0);
}

static void nothing(struct net_worker *w, void *arg) {
    (void)w;
    sync_store_rel((uint32_t *)arg, 1);
}

/* Until a worker has seen all that was posted to it. */
static void await_worker(const struct node_lab *u, unsigned i) {
    struct net_post post = {0};
    uint32_t done = 0;
    worker_post(net_worker_at(node_net(u->node), i), &post, nothing, &done);
    while (sync_load_acq(&done) == 0) sched_yield();
}

/* Asks on a connection of its own: the answer must have this status and end with this text. */
static void expect(const struct node_lab *u, const char *path, unsigned status, const char *text) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)node_http_port(u->node, 0))};
    char request[100], answer[2000], head[32];
    size_t n = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    const int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    assert_int_equal(send(fd, request, (size_t)length, 0), length);
    for (ssize_t k; (k = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0;) n += (size_t)k;
    close(fd);
    answer[n] = 0;
    snprintf(head, sizeof head, "HTTP/1.1 %u ", status);
    assert_memory_equal(answer, head, strlen(head));
    const char *body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    assert_string_equal(body + 4, text);
}

static void a_worker_that_stands_still_is_told_of(void **state) {
    struct node_lab u;
    struct net_post post = {0};
    (void)state;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t2", "--http=127.0.0.1:0", NULL);
    assert_int_equal(node_start(u.node), 0);
    expect(&u, "/healthz", 200, "healthy\n");
    for (unsigned i = 0; i < 2; i++) await_worker(&u, i);
    worker_post(net_worker_at(node_net(u.node), 1), &post, stand_still, NULL);
    while (sync_load_acq(&stands) == 0) sched_yield();
    expect(&u, "/healthz", 200, "healthy\n"); /* it was sent a message within this second */
    clock_manual_advance(&u.clock, SECOND);
    expect(&u, "/healthz", 200, "healthy\n"); /* which sends it another one */
    await_worker(&u, 0);
    clock_manual_advance(&u.clock, 5 * SECOND);
    expect(&u, "/healthz", 200, "healthy\n");
    await_worker(&u, 0);
    clock_manual_advance(&u.clock, SECOND);
    expect(&u, "/healthz", 503, "worker 1 has looked at nothing for 6 s\n");
    expect(&u, "/readyz", 200, "ready\n");
    sync_store_rel(&goes_on, 1);
    for (unsigned i = 0; i < 2; i++) await_worker(&u, i);
    expect(&u, "/healthz", 200, "healthy\n");
    node_lab_end(&u);
}

static void a_node_that_ends_is_not_ready(void **state) {
    struct node_lab u;
    (void)state;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t1", "--http=127.0.0.1:0", NULL);
    assert_int_equal(node_start(u.node), 0);
    expect(&u, "/readyz", 200, "ready\n");
    assert_true(node_drain(u.node, 1000));
    expect(&u, "/readyz", 503, "draining: this node accepts no more connections, and ends\n");
    expect(&u, "/healthz", 200, "healthy\n");
    node_lab_end(&u);
}

/* What the cluster says of itself; that it says so is for test_purging_confirm (lag_ms) and test_purging_repair
 * (active). */
static pthread_mutex_t saying = PTHREAD_MUTEX_INITIALIZER;
static struct cluster_gauges said;

static void show_said(void *arg, struct cluster_gauges *out) {
    (void)arg;
    pthread_mutex_lock(&saying);
    *out = said;
    pthread_mutex_unlock(&saying);
}

static void say(const struct cluster_ready *ready) {
    pthread_mutex_lock(&saying);
    said = (struct cluster_gauges){.state = "serving", .epoch = 7, .ready = *ready};
    pthread_mutex_unlock(&saying);
}

static void each_check_has_its_line(void **state) {
    static const struct lease_ends leases;
    static const struct cmd_cluster calls = {.leases = &leases, .gauges = show_said};
    struct cluster_ready ready = {.joined = true, .leased = true, .active = true};
    struct node_lab u;
    (void)state;
    node_lab_make(&u, "-s", node_lab_file("sock"), "-t1", "--http=127.0.0.1:0", NULL);
    say(&ready);
    cmd_set_cluster(node_cmd(u.node), &calls);
    assert_int_equal(node_start(u.node), 0);
    expect(&u, "/readyz", 200, "ready\n");
    ready.lag_ms = 1000;
    say(&ready);
    expect(&u, "/readyz", 200, "ready\n");
    ready.lag_ms = 1001;
    say(&ready);
    expect(&u, "/readyz", 503, "purges: one has been known for 1001 ms and is not applied\n");
    ready.lag_ms = 0;
    ready.active = false;
    say(&ready);
    expect(&u, "/readyz", 503, "voter: not active yet in epoch 7\n");
    ready = (struct cluster_ready){.joined = true, .drained = true, .lag_ms = 60000};
    say(&ready);
    expect(&u, "/readyz", 503,
           "draining: an operator has taken this node out of the ring\n"
           "purges: one has been known for 60000 ms and is not applied\nlease: serving\n"
           "voter: not active yet in epoch 7\n");
    node_lab_end(&u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_stands_still_is_told_of),
        cmocka_unit_test(a_node_that_ends_is_not_ready),
        cmocka_unit_test(each_check_has_its_line),
    };
    node_lab_begin();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    node_lab_clean();
    return failed;
}
