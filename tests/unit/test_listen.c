/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where to listen: addresses as options give them, and sockets of the file system; whose turn it is when many come at
 * once. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_lab.h"

static void reads_addresses(void **state) {
    static const struct {
        const char *spec, *host, *tag;
        int port;
        enum net_tls_mode tls;
        enum net_protocol protocol;
    } good[] = {
        {"127.0.0.1", "127.0.0.1", "", -1, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"localhost:0", "localhost", "", 0, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"*", "", "", -1, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {":80", "", "", 80, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"::1", "::1", "", -1, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"[::1]", "::1", "", -1, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"[::1]:65535", "::1", "", 65535, NET_TLS_DEFAULT, NET_PROTOCOL_DEFAULT},
        {"notls:10.0.0.1:1", "10.0.0.1", "", 1, NET_TLS_NONE, NET_PROTOCOL_DEFAULT},
        {"btls:a", "a", "", -1, NET_TLS_BASIC, NET_PROTOCOL_DEFAULT},
        {"mtls:tag[in]:proto[ascii]:a:2", "a", "in", 2, NET_TLS_MUTUAL, NET_PROTOCOL_TEXT},
        {"proto[binary]:[::1]:3", "::1", "", 3, NET_TLS_DEFAULT, NET_PROTOCOL_BINARY},
        {"proto[negotiating]:a", "a", "", -1, NET_TLS_DEFAULT, NET_PROTOCOL_AUTO},
    };
    static const char *const bad[] = {"",       "a:",     "a:x",    "a:65536", "a:-1",           "[::1",
                                      "[::1]x", "[]:1",   "tag[:a", "tag[]:a", "proto[proxy]:a", "proto[]:a",
                                      "notls:", "[::1]:", "a: 1"};
    struct net_listen got;
    char err[256];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (net_listen_parse(good[i].spec, &got, err, sizeof err) != 0) fail_msg("%s: %s", good[i].spec, err);
        assert_string_equal(got.host, good[i].host);
        assert_string_equal(got.tag, good[i].tag);
        assert_int_equal(got.port, good[i].port);
        assert_int_equal(got.tls, good[i].tls);
        assert_int_equal(got.protocol, good[i].protocol);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err[0] = 0;
        if (net_listen_parse(bad[i], &got, err, sizeof err) != -EINVAL) fail_msg("taken: %s", bad[i]);
        assert_true(strlen(err) > 10);
    }
}

static void unix_sockets(void **state) {
    char dir[] = "/tmp/tagcached-test-XXXXXX", path[64];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&to, sizeof to), 0);
    close(stale); /* the file stays behind, nobody answers */
    struct net_lab *l = net_lab_new_config((struct net_config){.unix_path = path, .unix_mask = 0700});
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    struct net *second;
    char err[256];
    struct net_config again = {.threads = 1, .unix_path = path, .handler = &net_lab_handler, .clock = clock_system()};
    assert_int_equal(net_new(&again, &second, err, sizeof err), -EADDRINUSE);
    close(fd);
    net_lab_free(l);
    assert_int_equal(rmdir(dir), 0);
}

/* ------------------------------------------------------------------ turns */

enum { TURN = 256 }; /* connections that a listener may take before the others */

static uint32_t accepts_hold, accepts_held; /* atomic: whoever accepts is to wait; waits */
static int accepted_at[2 * TURN];           /* by which socket, in order; the acceptor's until it has taken all */
static uint32_t naccepted;                  /* atomic */

static void await_word(uint32_t *word, uint32_t value) {
    while (sync_load_acq(word) < value) sched_yield();
}

/* In place of the C library's, in this program and libevent: waits while it is told to, and notes what comes where. */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
    if (sync_load_acq(&accepts_hold)) sync_store_rel(&accepts_held, 1);
    while (sync_load_acq(&accepts_hold)) sched_yield();
    const int got = (int)syscall(SYS_accept4, fd, addr, len, flags);
    const uint32_t n = sync_load(&naccepted);
    if (got >= 0 && n < sizeof accepted_at / sizeof *accepted_at) accepted_at[n] = fd;
    if (got >= 0) sync_store_rel(&naccepted, n + 1);
    return got;
}

/* Many wait at one socket, one at another, before either has been looked at: it has its turn after 256 of them. */
static void no_listener_waits_for_more_than_256(void **state) {
    enum { MANY = TURN + 50 };
    const struct net_listen listen[2] = {{.host = "127.0.0.1"}, {.host = "127.0.0.1"}};
    struct net_lab *l = net_lab_new_config((struct net_config){.listen = listen, .nlisten = 2});
    int fds[MANY + 1];
    (void)state;
    sync_store(&naccepted, 0); /* those of before are another net's */
    sync_store_rel(&accepts_hold, 1);
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = dial_port(net_port(l->net, 0));
        await_word(&accepts_held, 1);
    }
    fds[MANY] = dial_port(net_port(l->net, 1));
    sync_store_rel(&accepts_hold, 0);
    await_word(&naccepted, MANY + 1);
    for (unsigned i = 0; i <= MANY; i++) {
        const bool first = accepted_at[i] == accepted_at[0];
        if (first == (i == TURN)) fail_msg("the %uth came at the %s socket", i + 1, first ? "first" : "second");
    }
    for (unsigned i = 0; i <= MANY; i++) {
        say(fds[i], "echo x\n");
        hear(fds[i], "x\n");
        close(fds[i]);
    }
    net_lab_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(no_listener_waits_for_more_than_256),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
