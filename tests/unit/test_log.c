/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log, when whoever reads it does not: nobody waits, and what was dropped is said. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

#define LINES 20000 /* more than a pipe or a socket takes */
#define THREADS 3

/* All that is there to be read now, as a string. */
static char *drained(int fd) {
    size_t n = 0, size = 8u << 20;
    char *text = malloc(size);
    assert_non_null(text);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (ssize_t got; (got = read(fd, text + n, size - 1 - n)) > 0;) n += (size_t)got;
    text[n] = '\0';
    return text;
}

static unsigned lines_of(const char *text, const char *event) {
    unsigned n = 0;
    for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
        assert_non_null(strchr(p, '\n'));
        n += strncmp(p, event, strlen(event)) == 0;
    }
    return n;
}

static void *log_lines(void *arg) {
    for (unsigned i = 0; i < LINES; i++) log_event(arg, LOG_ALWAYS, "happened", "number=%u", i);
    return NULL;
}

/* With nobody reading, so many threads log all of their lines without a wait; later, when there is room, the next line
 * says how many are not there. */
static void nobody_reads(const int fds[2], unsigned nthreads, bool journal) {
    pthread_t threads[THREADS];
    char wanted[128];
    const char *const priority = journal ? "<4>" : "";
    struct log l;
    log_init(&l, fds[1], LOG_ALWAYS);
    l.priorities = journal;
    for (unsigned i = 0; i < nthreads; i++) assert_int_equal(pthread_create(&threads[i], NULL, log_lines, &l), 0);
    for (unsigned i = 0; i < nthreads; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    char *text = drained(fds[0]);
    snprintf(wanted, sizeof wanted, "%shappened ", priority);
    const unsigned kept = lines_of(text, wanted);
    assert_true(kept > 100 && kept < nthreads * LINES);
    assert_null(strstr(text, "log_lost"));
    free(text);

    log_event(&l, LOG_ALWAYS, "again", NULL);
    log_event(&l, LOG_ALWAYS, "again", NULL);
    text = drained(fds[0]);
    snprintf(wanted, sizeof wanted, "%slog_lost lines=%u\n%sagain\n%sagain\n", priority, nthreads * LINES - kept,
             priority, priority);
    assert_string_equal(text, wanted);
    free(text);
    log_fini(&l);
    close(fds[0]);
    close(fds[1]);
}

static void test_a_pipe(void **state) {
    (void)state;
    for (unsigned nthreads = 1; nthreads <= THREADS; nthreads += THREADS - 1) {
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        nobody_reads(fds, nthreads, false);
    }
}

/* As journald's is. */
static void test_a_socket(void **state) {
    (void)state;
    for (unsigned nthreads = 1; nthreads <= THREADS; nthreads += THREADS - 1) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        nobody_reads(fds, nthreads, true);
    }
}

/* Nothing is dropped of what is logged to a file, and what is not to be logged is not counted as dropped. */
static void test_a_file(void **state) {
    (void)state;
    char name[] = "/tmp/tagcached-log-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    struct log l;
    log_init(&l, fd, LOG_NOTICE);
    for (unsigned i = 0; i < LINES; i++) {
        log_event(&l, LOG_NOTICE, "happened", NULL);
        log_event(&l, LOG_INFO, "command", NULL);
    }
    assert_int_equal(lseek(fd, 0, SEEK_END), LINES * strlen("happened\n"));
    log_fini(&l);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipe),
        cmocka_unit_test(test_a_socket),
        cmocka_unit_test(test_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
