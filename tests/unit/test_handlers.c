/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections with handlers of their own: those of a listener that names one, and those that no listener accepted. And
 * a net that has nothing to do, which rests until it has. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/worker_state.h"
#include "net_lab.h"

/* ------------------------------------------------------------------ a handler that answers in capitals */

static uint64_t shouters, heard; /* atomic: open connections of it; bytes that came */

static bool shout_open(struct conn *c, void *session) {
    (void)c;
    *(uint64_t *)session = 42;
    sync_add_acqrel(&shouters, 1);
    return true;
}

static size_t shout_input(struct conn *c, void *session, char *p, size_t n) {
    assert_int_equal(*(uint64_t *)session, 42);
    for (size_t i = 0; i < n; i++) p[i] = (char)toupper((unsigned char)p[i]);
    conn_write(c, p, n);
    sync_add_acqrel(&heard, n);
    return n;
}

static void shout_close(struct conn *c, void *session) {
    (void)c;
    (void)session;
    sync_sub_rel(&shouters, 1);
}

static const struct net_handler shout = {
    .session_size = 200, .open = shout_open, .input = shout_input, .close = shout_close};

static void await_shouters(uint64_t n) {
    while (sync_load_acq(&shouters) != n) sched_yield();
}

static void a_listener_may_name_its_handler(void **state) {
    struct net_listen listen[] = {{.host = "127.0.0.1"}, {.host = "127.0.0.1", .handler = &shout, .tag = "loud"}};
    struct net_lab *l = net_lab_new_config((struct net_config){.listen = listen, .nlisten = 2});
    (void)state;
    int plain = dial(l), loud = dial_port(net_port(l->net, 1));
    say(plain, "echo a\n");
    say(loud, "echo a\n");
    hear(plain, "a\n");
    hear(loud, "ECHO A\n");
    close(loud);
    await_shouters(0);
    close(plain);
    net_lab_free(l);
}

/* ------------------------------------------------------------------ connections without a listener */

struct adopted {
    struct net_lab *lab;
    struct net_post post;
    const struct net_handler *handler;
    int fd;
    uint64_t done; /* atomic: 1 made, 2 refused */
};

static void post_adopt(struct net_worker *w, void *arg) {
    struct adopted *a = arg;
    struct conn *c = conn_adopt(w, a->fd, NULL, a->handler);
    if (c != NULL) assert_string_equal(conn_listener(c), "");
    sync_add_acqrel(&a->done, c != NULL ? 1 : 2);
}

static uint64_t adopt(struct net_lab *l, int fd, const struct net_handler *handler) {
    struct adopted a = {.lab = l, .handler = handler, .fd = fd};
    worker_post(net_worker_at(l->net, 0), &a.post, post_adopt, &a);
    await(&a.done, 1);
    return a.done;
}

static void a_pair_is_served(void **state) {
    struct net_lab *l = net_lab_new();
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    say(fds[1], "early "); /* before anybody listens */
    assert_int_equal(adopt(l, fds[0], &shout), 1);
    hear(fds[1], "EARLY ");
    say(fds[1], "later");
    hear(fds[1], "LATER");
    close(fds[1]);
    await_shouters(0);
    net_lab_free(l);
}

/* A client of this process: it greets first, then answers what it hears. */
static bool greet_open(struct conn *c, void *session) {
    (void)shout_open(c, session);
    reply(c, "echo Hello\n");
    return true;
}

static size_t greet_input(struct conn *c, void *session, char *p, size_t n) {
    (void)session;
    if (n < 6) return 0;
    assert_memory_equal(p, "Hello\n", 6);
    sync_add_acqrel(&heard, n);
    conn_close(c);
    return n;
}

static const struct net_handler greeter = {
    .session_size = 8, .open = greet_open, .input = greet_input, .close = shout_close};

static void a_connection_that_is_only_being_made_is_served(void **state) {
    struct net_lab *l = net_lab_new();
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)net_port(l->net, 0))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)state;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sync_store(&heard, 0);
    int r = connect(fd, (struct sockaddr *)&to, sizeof to);
    assert_true(r == 0 || errno == EINPROGRESS);
    assert_int_equal(adopt(l, fd, &greeter), 1);
    await(&heard, 6);
    await_shouters(0);
    net_lab_free(l);
}

static void a_connection_that_cannot_be_made_ends(void **state) {
    struct net_lab *l = net_lab_new();
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1)}; /* nobody is there */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)state;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)connect(fd, (struct sockaddr *)&to, sizeof to);
    assert_int_equal(adopt(l, fd, &greeter), 1);
    await_shouters(0);
    net_lab_free(l);
}

static bool refuse_open(struct conn *c, void *session) {
    (void)c;
    (void)session;
    return false;
}

static void a_handler_may_say_no(void **state) {
    static const struct net_handler refuses = {.open = refuse_open, .input = shout_input, .close = shout_close};
    struct net_lab *l = net_lab_new();
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(adopt(l, fds[0], &refuses), 2);
    hear_end(fds[1]);
    net_lab_free(l);
}

/* ------------------------------------------------------------------ rest */

static bool rests(struct net_lab *l) {
    return sync_load_seq(&net_worker_at(l->net, 0)->resting) != 0;
}

static void tick(struct net_lab *l, uint64_t seconds) {
    clock_manual_advance(&l->clock, seconds * 1000000000);
    net_tick(l->net);
    await_worker(l, 0);
}

/* A worker asks for ticks only while time matters to a connection: so an idle node wakes up for nothing. */
static void an_idle_worker_rests(void **state) {
    struct net_lab *l = net_lab_new();
    (void)state;
    assert_true(rests(l));
    int fd = dial(l);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    await_worker(l, 0);
    assert_false(rests(l));
    tick(l, 1);
    assert_false(rests(l)); /* a reset may have come with the last bytes */
    tick(l, 2);
    assert_true(rests(l));
    say(fd, "echo y\n");
    hear(fd, "y\n");
    await_worker(l, 0);
    assert_false(rests(l));
    say(fd, "body 9\nabc"); /* the rest of a block is waited for, and given up in time */
    await_read(l, 7 + 7 + 10);
    for (int i = 0; i < 5; i++) tick(l, 2);
    assert_false(rests(l));
    close(fd);
    await(&l->closed, 1);
    net_lab_free(l);
}

static void a_worker_that_rested_knows_the_time(void **state) {
    struct net_lab *l = net_lab_new_config((struct net_config){.idle_timeout_s = 10});
    (void)state;
    tick(l, 1);
    assert_true(rests(l));
    clock_manual_advance(&l->clock, 100000000000);
    int fd = dial(l);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    for (int i = 0; i < 5; i++) {
        tick(l, 2);
        assert_false(rests(l)); /* it may become idle for too long */
    }
    assert_int_equal(net_metric(l->net, NET_METRIC_idle_kicks), 0);
    tick(l, 1);
    hear_end(fd);
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_may_name_its_handler),
        cmocka_unit_test(a_pair_is_served),
        cmocka_unit_test(a_connection_that_is_only_being_made_is_served),
        cmocka_unit_test(a_connection_that_cannot_be_made_ends),
        cmocka_unit_test(a_handler_may_say_no),
        cmocka_unit_test(an_idle_worker_rests),
        cmocka_unit_test(a_worker_that_rested_knows_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
