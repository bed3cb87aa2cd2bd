/* SPDX-License-Identifier: BSD-3-Clause */
#include "node_lab.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

#include "base/check.h"

#define BOOT_NS 1000000000000ull

static char dir[] = "/tmp/tagcached-test-XXXXXX";

void node_lab_begin(void) {
    CHECK(mkdtemp(dir) != NULL);
}

void node_lab_clean(void) {
    unlink(node_lab_file("sock"));
    rmdir(dir);
}

const char *node_lab_file(const char *name) {
    static char path[2][100];
    static unsigned at;
    char *p = path[at++ % 2];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

void node_lab_make(struct node_lab *u, const char *a, const char *b, const char *c, const char *d, const char *e) {
    char err[256] = "";
    const char *argv[] = {"tagcached", a, b, c, d, e, NULL};
    int argc = 1;
    struct option_report report;
    while (argv[argc] != NULL) argc++;
    clock_manual_init(&u->clock, BOOT_NS, 1700000000);
    assert_int_equal(settings_init(&u->settings), 0);
    assert_int_equal(settings_parse(&u->settings, argc, (char *const *)argv, &report), 0);
    struct node_config cfg = {.settings = &u->settings, .clock = &u->clock.clock, .log_fd = -1};
    if (node_new(&cfg, &u->node, err, sizeof err) != 0) fail_msg("%s", err);
}

void node_lab_end(struct node_lab *u) {
    node_free(u->node);
    settings_fini(&u->settings);
}

static int dial(const struct sockaddr *to, socklen_t size) {
    int fd = socket(to->sa_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, to, size), 0);
    return fd;
}

int node_lab_dial_unix(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", node_lab_file("sock"));
    return dial((struct sockaddr *)&to, sizeof to);
}

int node_lab_dial_tcp(const struct node_lab *u) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)node_port(u->node, 0))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return dial((struct sockaddr *)&to, sizeof to);
}

void node_lab_hear(int fd, const char *last) {
    static char buf[1 << 16];
    size_t kept = 0, want = strlen(last);
    for (;;) {
        ssize_t n = recv(fd, buf + kept, sizeof buf - kept, 0);
        assert_true(n > 0);
        kept += (size_t)n;
        if (kept >= want && memcmp(buf + kept - want, last, want) == 0) return;
        size_t rest = kept < want ? kept : want;
        memmove(buf, buf + kept - rest, rest);
        kept = rest;
    }
}
