/* SPDX-License-Identifier: BSD-3-Clause
 *
 * talk - a test's conversation with a node in its own process, over real sockets.
 *
 * Waits for answers, never for time. Included by tests of commands; one thread at a time for a struct talk.
 */
#ifndef TAGCACHED_TESTS_TALK_H
#define TAGCACHED_TESTS_TALK_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/subject.h"

#define TALK_PATIENCE_MS 20000

/* Where the sockets of this program's nodes are, until it ends; "" before the first call of talk_sockets. */
static char talk_dir[64];

static inline void talk_dir_remove(void) {
    rmdir(talk_dir);
}

/* The folder for nodes_start and subject_start. */
static inline const char *talk_sockets(void) {
    if (talk_dir[0] == '\0') {
        snprintf(talk_dir, sizeof talk_dir, "/tmp/tagcached-test-XXXXXX");
        assert_non_null(mkdtemp(talk_dir));
        atexit(talk_dir_remove);
    }
    return talk_dir;
}

static inline struct subject *talk_node(const char *options) {
    struct subject_config cfg = {.dir = talk_sockets()};
    struct subject *p = subject_start(&cfg, options);
    assert_non_null(p);
    return p;
}

static inline int talk_open(struct subject *p) {
    int fd = subject_connect(p, SUBJECT_ANY);
    assert_true(fd >= 0);
    return fd;
}

static inline void talk_send(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

static inline void talk_say(int fd, const char *text) {
    talk_send(fd, text, strlen(text));
}

/* Takes exactly n bytes. */
static inline void talk_take(int fd, void *to, size_t n) {
    char *p = to;
    while (n > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, TALK_PATIENCE_MS), 1);
        ssize_t k = recv(fd, p, n, 0);
        if (k <= 0) fail_msg("the connection ended");
        p += k;
        n -= (size_t)k;
    }
}

/* What comes next must be this, byte for byte; what comes after it is left. */
static inline void talk_hear(int fd, const char *text) {
    const size_t n = strlen(text);
    char *got = malloc(n + 1);
    assert_non_null(got);
    talk_take(fd, got, n);
    got[n] = '\0';
    assert_string_equal(got, text);
    free(got);
}

/* Reads until what was read ends with `end` (or, end NULL, until the far side closes). The text is the caller's. */
static inline char *talk_read(int fd, const char *end) {
    size_t n = 0, max = 65536, want = end == NULL ? 0 : strlen(end);
    char *text = malloc(max + 1);
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_non_null(text);
        if (poll(&wait, 1, TALK_PATIENCE_MS) != 1) {
            text[n] = '\0';
            fail_msg("no answer; so far: %.2000s", text);
        }
        ssize_t k = recv(fd, text + n, max - n, 0);
        if (k <= 0 && end == NULL) break;
        if (k <= 0) {
            text[n] = '\0';
            fail_msg("connection ended; so far: %.2000s", text);
        }
        n += (size_t)k;
        if (end != NULL && n >= want && memcmp(text + n - want, end, want) == 0) break;
        if (n == max) text = realloc(text, (max *= 2) + 1);
    }
    text[n] = '\0';
    return text;
}

/* Sends a request and reads its answer, which ends with `end`. */
static inline char *talk_ask(int fd, const char *request, const char *end) {
    talk_say(fd, request);
    return talk_read(fd, end);
}

/* Sends a request; the answer must be exactly this. */
static inline void talk_expect(int fd, const char *request, const char *answer) {
    char *got = talk_ask(fd, request, answer);
    assert_string_equal(got, answer);
    free(got);
}

/* Takes the next "STAT <name> <value>\r\n" from *p. False at END. */
static inline bool talk_next_stat(char **p, char **name, char **value) {
    char *line = *p, *end = strstr(line, "\r\n");
    assert_non_null(end);
    *end = '\0';
    *p = end + 2;
    if (strcmp(line, "END") == 0) return false;
    assert_memory_equal(line, "STAT ", 5);
    *name = line + 5;
    *value = strchr(*name, ' ');
    assert_non_null(*value);
    *(*value)++ = '\0';
    assert_true((*value)[0] != '\0'); /* some readers refuse a line without a value */
    return true;
}

#endif
