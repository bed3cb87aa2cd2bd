/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The audit: its lines, its file, who waits, what is lost. */
#include "base/audit.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/sync.h"

static char dir[] = "/tmp/test_audit.XXXXXX", path[64], old[64];

static int set_up(void **state) {
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/audit", dir);
    snprintf(old, sizeof old, "%s/audit.1", dir);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    unlink(old);
    return rmdir(dir);
}

static const struct audit_event usual = {
    .event = "purge",
    .stage = "confirmed",
    .id = "4-88422",
    .mode = "hard",
    .selectors = "licence:7+region:de,a",
    .n = 21,
    .ttl_s = -1,
    .token = "legal",
    .kind = "http",
    .dialect = "fastly",
    .addr = "10.0.3.9:51230",
    .agent = "curl/7.88",
    .acked = 2,
    .members = 3,
    .pending = "c3:11211",
    .ms = 1.9,
    .items = -1,
    .bytes = -1,
    .reason = "TICKET-12",
};

/* ------------------------------------------------------------------ lines */

static void write_line(const struct audit_event *e, const unsigned char *key, char *to, size_t size) {
    const size_t n = audit_line_write(e, INT64_C(1795701731482), "c1", key, to, size - 1);
    assert_true(n < size);
    to[n] = '\0';
}

static void test_line(void **state) {
    char line[2048];
    (void)state;
    write_line(&usual, NULL, line, sizeof line);
    assert_string_equal(
        line,
        "{\"ts\":\"2026-11-26T14:02:11.482Z\",\"v\":1,\"id\":\"4-88422\",\"event\":\"purge\",\"stage\":\"confirmed\","
        "\"mode\":\"hard\",\"selectors\":[\"licence:7+region:de\",\"a\"],\"ttl\":null,\"actor\":{\"kind\":\"http\","
        "\"token\":\"legal\",\"dialect\":\"fastly\",\"addr\":\"10.0.3.9:51230\",\"agent\":\"curl/"
        "7.88\"},\"node\":\"c1\","
        "\"acked\":2,\"members\":3,\"pending\":[\"c3:11211\"],\"ms\":1.900,\"items\":null,\"bytes\":null,"
        "\"reason\":\"TICKET-12\",\"error\":null}\n");
}

/* What is told of a purge when all of it is gone, and of a change. */
static void test_later_lines(void **state) {
    char line[2048];
    const struct audit_gone gone[] = {{"c1:11211", 5, 600, INT64_C(1795701731482)}, {"c2", -1, 7, 0}};
    struct audit_event e = usual;
    (void)state;
    e.stage = "swept";
    e.gone = gone;
    e.ngone = 2;
    e.erased_ms = INT64_C(1795701731500);
    write_line(&e, NULL, line, sizeof line);
    assert_non_null(strstr(line, "\"bytes\":null,\"gone\":[{\"node\":\"c1:11211\",\"items\":5,\"bytes\":600,"
                                 "\"at\":\"2026-11-26T14:02:11.482Z\"},{\"node\":\"c2\",\"items\":null,\"bytes\":7,"
                                 "\"at\":null}],\"erased_at\":\"2026-11-26T14:02:11.500Z\",\"reason\""));
    e = (struct audit_event){.event = "cluster",
                             .stage = "applied",
                             .kind = "text",
                             .ttl_s = -1,
                             .ms = -1,
                             .items = -1,
                             .bytes = -1,
                             .detail = "weight c1 \"3\""};
    write_line(&e, NULL, line, sizeof line);
    assert_non_null(strstr(line, "\"selectors\":[],"));
    assert_non_null(strstr(line, ",\"detail\":\"weight c1 \\\"3\\\"\",\"reason\":null,\"error\":null}\n"));
    assert_null(strstr(line, "gone"));
}

/* Whatever clients send, the line is one line of JSON, and UTF-8 comes through. */
static void test_any_bytes(void **state) {
    char line[8192], text[3 * 256];
    struct audit_event e = usual;
    (void)state;
    for (unsigned i = 1; i < 256; i++) {
        snprintf(text, sizeof text, "%c\xc3\xa4%c\xe6\xa8%c", (char)i, (char)i, (char)i);
        e.reason = e.agent = e.error = text;
        write_line(&e, NULL, line, sizeof line);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        json_t *j = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (j == NULL) fail_msg("no JSON with byte %u: %s", i, line);
        assert_non_null(strstr(json_string_value(json_object_get(j, "reason")), "\xc3\xa4"));
        json_decref(j);
    }
}

/* With a key no tag is in clear, and equal tags are equal. */
static void test_hashed(void **state) {
    char line[2048], again[2048];
    unsigned char key[AUDIT_KEY_BYTES] = {1};
    struct audit_event e = usual;
    (void)state;
    e.selectors = "user:42+x,user:42,*";
    e.n = strlen(e.selectors);
    write_line(&e, key, line, sizeof line);
    assert_null(strstr(line, "user"));
    json_t *j = json_loads(line, 0, NULL), *list = json_object_get(j, "selectors");
    const char *pair = json_string_value(json_array_get(list, 0)), *one = json_string_value(json_array_get(list, 1));
    assert_int_equal(json_array_size(list), 3);
    assert_int_equal(strlen(one), 35);
    assert_memory_equal(pair, one, 35);
    assert_int_equal(pair[35], '+');
    assert_string_equal(json_string_value(json_array_get(list, 2)), "*");
    json_decref(j);
    key[0] = 2;
    write_line(&e, key, again, sizeof again);
    assert_string_not_equal(line, again);
}

/* ------------------------------------------------------------------ the file */

static struct audit *make(const char *file, bool required, struct log *log) {
    const struct audit_config cfg = {
        .path = file, .node = "c1", .required = required, .clock = clock_system(), .log = log};
    struct audit *a = NULL;
    char err[256] = "";
    if (audit_new(&cfg, &a, err, sizeof err) != 0) fail_msg("%s", err);
    assert_int_equal(audit_start(a), 0);
    return a;
}

/* Waits for a line, by a condition. */
struct waiter {
    struct audit_wait wait;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int result; /* -1: none yet */
};

static void on_done(struct audit_wait *w, bool written) {
    struct waiter *k = (struct waiter *)w;
    pthread_mutex_lock(&k->lock);
    k->result = written;
    pthread_cond_signal(&k->cond);
    pthread_mutex_unlock(&k->lock);
}

static bool put_and_wait(struct audit *a, const struct audit_event *e) {
    struct waiter k = {.wait = {.done = on_done}, .result = -1};
    pthread_mutex_init(&k.lock, NULL);
    pthread_cond_init(&k.cond, NULL);
    audit_put_waiting(a, e, &k.wait);
    pthread_mutex_lock(&k.lock);
    while (k.result < 0) pthread_cond_wait(&k.cond, &k.lock);
    pthread_mutex_unlock(&k.lock);
    pthread_cond_destroy(&k.cond);
    pthread_mutex_destroy(&k.lock);
    return k.result != 0;
}

static unsigned lines_of(const char *file) {
    unsigned n = 0;
    int c;
    FILE *f = fopen(file, "r");
    if (f == NULL) return 0;
    while ((c = getc(f)) != EOF) n += c == '\n';
    fclose(f);
    return n;
}

/* Who is told that a line is written finds it in the file; behind SIGHUP the next one is in a new file. */
static void test_waiting_and_reopening(void **state) {
    struct audit *a = make(path, true, NULL);
    (void)state;
    assert_true(audit_required(a));
    assert_false(audit_required(NULL));
    assert_true(put_and_wait(a, &usual));
    assert_int_equal(lines_of(path), 1);
    for (unsigned i = 0; i < 99; i++) audit_put(a, &usual);
    assert_true(put_and_wait(a, &usual));
    assert_int_equal(lines_of(path), 101);
    assert_int_equal(rename(path, old), 0);
    audit_reopen(a);
    assert_true(put_and_wait(a, &usual));
    assert_int_equal(lines_of(path), 1);
    assert_int_equal(lines_of(old), 101);
    audit_put(a, &usual);
    audit_free(a); /* writes what is left */
    assert_int_equal(lines_of(path), 2);
}

/* A long list of selectors is a long line. */
static void test_a_long_line(void **state) {
    struct audit *a = make(path, false, NULL);
    struct audit_event e = usual;
    char *list = malloc(200000);
    (void)state;
    memset(list, 'a', 200000);
    e.selectors = list;
    e.n = 200000;
    const unsigned before = lines_of(path);
    assert_true(put_and_wait(a, &e));
    assert_int_equal(lines_of(path), before + 1);
    audit_free(a);
    free(list);
}

/* A full disk: who waits is told so, it is counted, and logged. */
static void test_a_full_disk(void **state) {
    int fds[2];
    char text[4096] = "";
    struct log log;
    (void)state;
    assert_int_equal(pipe(fds), 0);
    log_init(&log, fds[1], 0);
    struct audit *a = make("/dev/full", true, &log);
    assert_false(put_and_wait(a, &usual));
    assert_false(put_and_wait(a, &usual));
    assert_true(audit_lost(a) >= 2);
    audit_free(a);
    close(fds[1]);
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    close(fds[0]);
    assert_non_null(strstr(text, "audit_lost"));
    assert_non_null(strstr(text, "No space left"));
}

static bool has_no_patience(const char *point) {
    return strcmp(point, "audit.no_patience") == 0;
}

/* A pipe that nobody reads is refused. One whose reader stands still takes what it can; who waits is told that his line
 * is lost, and the audit can be stopped. Once it reads again lines are whole again. */
static void test_a_pipe(void **state) {
    struct audit *a = NULL;
    struct log log;
    int fds[2];
    char err[256] = "", fifo[256], text[1 << 17];
    const struct audit_config cfg = {.path = fifo, .node = "c1", .clock = clock_system()};
    (void)state;
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_not_equal(audit_new(&cfg, &a, err, sizeof err), 0);
    assert_non_null(strstr(err, "cannot write to --audit"));

    const int reader = open(fifo, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_int_equal(pipe(fds), 0);
    log_init(&log, fds[1], 0);
    fault_hook = has_no_patience;
    a = make(fifo, true, &log);
    unsigned written = 0;
    while (put_and_wait(a, &usual)) assert_true(++written < 1000);
    assert_true(written > 10);
    assert_false(put_and_wait(a, &usual));
    const ssize_t got = read(reader, text, sizeof text - 1);
    assert_true(got > 0);
    assert_true(put_and_wait(a, &usual));
    text[got + read(reader, text + got, sizeof text - 1 - (size_t)got)] = 0;
    audit_free(a);
    fault_hook = NULL;
    unsigned whole = 0, lines = 0;
    for (char *p = text, *end; (end = strchr(p, '\n')) != NULL; p = end + 1) {
        lines++;
        whole += *p == '{' && end[-1] == '}';
    }
    assert_int_equal(whole, written + 1);
    assert_true(lines <= whole + 1); /* half of the first that was lost may be there */
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "nobody reads the pipe"));
    log_fini(&log);
    close(fds[0]);
    close(fds[1]);
    close(reader);
    unlink(fifo);
}

static void *read_all(void *arg) {
    const int fd = *(int *)arg;
    static char part[1 << 16];
    uintptr_t lines = 0;
    for (ssize_t got; (got = read(fd, part, sizeof part)) > 0;)
        for (ssize_t i = 0; i < got; i++) lines += part[i] == '\n';
    return (void *)lines;
}

/* Of a pipe whose reader does read nothing is lost, though it is full again and again. */
static void test_a_pipe_that_is_read(void **state) {
    enum { MANY = 5000 };
    char fifo[256];
    pthread_t reader;
    void *lines;
    (void)state;
    snprintf(fifo, sizeof fifo, "%s.fifo", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    int fd = open(fifo, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    struct audit *a = make(fifo, true, NULL);
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* it waits for more, to the end */
    for (unsigned i = 0; i < MANY; i++) audit_put(a, &usual);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &fd), 0);
    assert_true(put_and_wait(a, &usual));
    assert_int_equal(audit_lost(a), 0);
    audit_free(a);
    assert_int_equal(pthread_join(reader, &lines), 0);
    assert_int_equal((uintptr_t)lines, MANY + 1);
    close(fd);
    unlink(fifo);
}

/* The queue is bounded, and nobody waits for room in it. (Without its thread nothing empties it.) */
static void test_a_full_queue(void **state) {
    const struct audit_config cfg = {.path = path, .node = "c1", .clock = clock_system()};
    struct audit *a = NULL;
    char err[256], line[2048];
    (void)state;
    assert_int_equal(audit_new(&cfg, &a, err, sizeof err), 0);
    write_line(&usual, NULL, line, sizeof line);
    const unsigned before = lines_of(path), fit = (4u << 20) / (unsigned)strlen(line);
    for (unsigned i = 0; i < fit + 100; i++) audit_put(a, &usual);
    assert_int_equal(audit_lost(a), 100);
    audit_free(a);
    assert_int_equal(lines_of(path), before + fit);
}

static void test_bad_files(void **state) {
    struct audit *a = NULL;
    char err[256] = "";
    (void)state;
    struct audit_config cfg = {.path = "/nonexistent/audit", .node = "c1", .clock = clock_system()};
    assert_int_not_equal(audit_new(&cfg, &a, err, sizeof err), 0);
    assert_non_null(strstr(err, "cannot write to --audit /nonexistent/audit"));
    cfg.path = path;
    cfg.key_path = path; /* no key */
    assert_int_not_equal(audit_new(&cfg, &a, err, sizeof err), 0);
    assert_non_null(strstr(err, "64 hexadecimal digits"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_later_lines),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_hashed),
        cmocka_unit_test(test_waiting_and_reopening),
        cmocka_unit_test(test_a_long_line),
        cmocka_unit_test(test_a_full_disk),
        cmocka_unit_test(test_a_pipe),
        cmocka_unit_test(test_a_pipe_that_is_read),
        cmocka_unit_test(test_a_full_queue),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
