/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The state directory: one process has it, a record is whole or the old one, newer records replace those that wait. */
#include "cluster/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "statedir.XXXXXX"; /* beside the program */
static char path[256];
static char err[512];

static int setup(void **state) {
    (void)state;
    strcpy(dir, "statedir.XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(path, sizeof path, "%s/node", dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void assert_record(struct statedir *d, const char *text) {
    void *bytes;
    size_t n;
    assert_int_equal(statedir_read(d, 100, &bytes, &n), 0);
    assert_int_equal(n, strlen(text));
    if (n > 0) assert_memory_equal(bytes, text, n);
    free(bytes);
}

static void test_it_is_made_for_its_owner_alone(void **state) {
    (void)state;
    struct statedir *d;
    struct stat st;
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_record(d, "");
    statedir_close(d);
}

static void test_one_process_has_it(void **state) {
    (void)state;
    struct statedir *d, *other;
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(statedir_open(path, &other, err, sizeof err), -EBUSY);
    assert_non_null(strstr(err, "is in use by another process"));
    statedir_close(d);
    assert_int_equal(statedir_open(path, &other, err, sizeof err), 0);
    statedir_close(other);
}

static void test_a_place_that_is_none_is_refused(void **state) {
    (void)state;
    struct statedir *d;
    assert_int_equal(statedir_open("/dev/null/x", &d, err, sizeof err), -ENOTDIR);
    assert_non_null(strstr(err, "/dev/null/x"));
}

static void test_a_record_comes_back(void **state) {
    (void)state;
    struct statedir *d;
    void *bytes;
    size_t n;
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(statedir_write_now(d, "first", 5), 0);
    assert_int_equal(statedir_write_now(d, "second", 6), 0);
    statedir_close(d);
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_record(d, "second");
    assert_int_equal(statedir_read(d, 5, &bytes, &n), -EFBIG);
    statedir_close(d);
}

/* What a crash in the middle of a write leaves is not taken for the record. */
static void test_a_torn_write_leaves_the_old_record(void **state) {
    (void)state;
    struct statedir *d;
    char torn[300];
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(statedir_write_now(d, "old", 3), 0);
    snprintf(torn, sizeof torn, "%s/cluster.new", path);
    int fd = open(torn, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "ne", 2), 2);
    close(fd);
    assert_record(d, "old");
    assert_int_equal(statedir_write_now(d, "new", 3), 0);
    assert_record(d, "new");
    statedir_close(d);
}

struct heard {
    sem_t reached, go;
    uint64_t tokens[8];
    int errors[8];
    unsigned n;
};

static void on_done(void *arg, uint64_t token, int error) {
    struct heard *h = arg;
    h->tokens[h->n] = token;
    h->errors[h->n++] = error;
    sem_post(&h->reached);
    sem_wait(&h->go);
}

static void test_a_newer_record_replaces_one_that_waits(void **state) {
    (void)state;
    struct statedir *d;
    struct heard h = {0};
    sem_init(&h.reached, 0, 0);
    sem_init(&h.go, 0, 0);
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(statedir_start(d, on_done, &h), 0);
    statedir_write(d, strdup("one"), 3, 1);
    sem_wait(&h.reached); /* the thread stands in on_done */
    statedir_write(d, strdup("two"), 3, 2);
    statedir_write(d, strdup("three"), 5, 3);
    sem_post(&h.go);
    sem_post(&h.go);
    statedir_close(d); /* writes what waits */
    assert_int_equal(h.n, 2);
    assert_int_equal(h.tokens[0], 1);
    assert_int_equal(h.tokens[1], 3);
    assert_int_equal(h.errors[1], 0);
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_record(d, "three");
    statedir_close(d);
}

static void test_a_write_that_fails_says_so(void **state) {
    (void)state;
    struct statedir *d;
    struct heard h = {0};
    char command[300];
    sem_init(&h.reached, 0, 0);
    sem_init(&h.go, 0, 1);
    assert_int_equal(statedir_open(path, &d, err, sizeof err), 0);
    assert_int_equal(statedir_start(d, on_done, &h), 0);
    snprintf(command, sizeof command, "rm -rf %s", path); /* the directory is gone */
    assert_int_equal(system(command), 0);
    statedir_write(d, strdup("one"), 3, 9);
    statedir_close(d);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.tokens[0], 9);
    assert_int_equal(h.errors[0], -ENOENT);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        test(test_it_is_made_for_its_owner_alone),     test(test_one_process_has_it),
        test(test_a_place_that_is_none_is_refused),    test(test_a_record_comes_back),
        test(test_a_torn_write_leaves_the_old_record), test(test_a_newer_record_replaces_one_that_waits),
        test(test_a_write_that_fails_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
