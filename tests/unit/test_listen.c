/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where to listen: addresses as options give them, and sockets of the file system. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net_lab.h"

static void reads_addresses(void **state) {
    static const struct {
        const char *spec, *host, *tag;
        int port;
        enum net_tls_mode tls;
    } good[] = {
        {"127.0.0.1", "127.0.0.1", "", -1, NET_TLS_DEFAULT},
        {"localhost:0", "localhost", "", 0, NET_TLS_DEFAULT},
        {"*", "", "", -1, NET_TLS_DEFAULT},
        {":80", "", "", 80, NET_TLS_DEFAULT},
        {"::1", "::1", "", -1, NET_TLS_DEFAULT},
        {"[::1]", "::1", "", -1, NET_TLS_DEFAULT},
        {"[::1]:65535", "::1", "", 65535, NET_TLS_DEFAULT},
        {"notls:10.0.0.1:1", "10.0.0.1", "", 1, NET_TLS_NONE},
        {"btls:a", "a", "", -1, NET_TLS_BASIC},
        {"mtls:tag[in]:proto[ascii]:a:2", "a", "in", 2, NET_TLS_MUTUAL},
    };
    static const char *const bad[] = {"",       "a:",     "a:x",    "a:65536", "a:-1",           "[::1",
                                      "[::1]x", "[]:1",   "tag[:a", "tag[]:a", "proto[proxy]:a", "proto[binary]:a",
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_addresses),
        cmocka_unit_test(unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
