/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Giving pages back: what /proc/self/smaps says is resident falls, and nobody notices anything else. */
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pages.h"
#include "base/sync.h"

/* The kernel reads files in pieces of up to 2 MiB, and whoever touches a byte gets all of its piece back: the constants
 * beside the table are touched. */
#define TABLE (8u << 20)
#define PAGE_MIN 4096

/* In the program's file, as constants are. (In parts: clang needs seconds for one array with far designators.) */
static const struct { uint8_t first[TABLE / 2], second[TABLE / 2 - 1], last; } table = {{1, 2, 3}, {4}, 5};
static uint8_t written[TABLE] = {1};

/* ------------------------------------------------------------------ what is resident */

static char smaps[1 << 20];

/* Takes down what is resident just now; the text is looked at later, for that itself needs pages. */
static void snapshot(void) {
    int fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t k = 0;
    while (fd >= 0 && n < sizeof smaps - 1 && (k = read(fd, smaps + n, sizeof smaps - 1 - n)) > 0) n += (size_t)k;
    if (fd >= 0) close(fd);
    smaps[n] = '\0';
    if (n == 0) skip(); /* a kernel that does not tell */
    assert_int_equal(k, 0);
}

struct mapping {
    uintptr_t from, end;
    char perms[5], path[200];
    size_t resident; /* bytes */
};

/* The next mapping of the snapshot; false behind the last. */
static bool next_mapping(char **at, struct mapping *m) {
    unsigned long kb;
    for (bool found = false; **at != '\0';) {
        char *line = *at, *end = strchr(line, '\n');
        assert_non_null(end);
        *at = end + 1;
        *end = '\0'; /* for a while: sscanf looks for the end of all there is */
        if (!found) {
            m->path[0] = '\0';
            found = sscanf(line, "%lx-%lx %4s %*s %*s %*s %199s", &m->from, &m->end, m->perms, m->path) >= 3;
            assert_true(found);
        } else if (sscanf(line, "Rss: %lu kB", &kb) == 1) {
            m->resident = kb * 1024;
        }
        *end = '\n';
        if (strncmp(line, "VmFlags:", 8) == 0) return true; /* ends each of them */
    }
    return false;
}

/* The mapping that an address lies in. */
static struct mapping mapping_of(const void *p) {
    struct mapping m = {0};
    for (char *at = smaps; next_mapping(&at, &m);)
        if ((uintptr_t)p >= m.from && (uintptr_t)p < m.end) return m;
    fail_msg("%p is not mapped", p);
    return m;
}

/* The code of the C library; false if it is part of the program. */
static bool libc_code(struct mapping *m) {
    for (char *at = smaps; next_mapping(&at, m);) {
        const char *name = strrchr(m->path, '/');
        if (name && strncmp(name, "/libc.", 6) == 0 && strcmp(m->perms, "r-xp") == 0) return true;
    }
    return false;
}

static uint64_t touch(const void *p, size_t n) {
    const volatile uint8_t *q = p;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i += PAGE_MIN) sum += q[i] * (i + 1);
    return sum + q[n - 1];
}

/* ------------------------------------------------------------------ tests */

static void test_constants_go(void **state) {
    (void)state;
    uint64_t sum = touch(&table, sizeof table);
    snapshot();
    struct mapping before = mapping_of(&table);
    assert_true(before.perms[1] == '-'); /* the very ones that it is about */
    assert_true(before.resident > TABLE / 2);
    pages_shed();
    snapshot();
    assert_true(mapping_of(&table).resident < before.resident / 2); /* its two ends may have come back */
    assert_int_equal(touch(&table, sizeof table), sum);
    snapshot();
    assert_true(mapping_of(&table).resident > TABLE / 2); /* they have come back */
}

static void test_code_of_libraries_goes(void **state) {
    (void)state;
    struct mapping before, after;
    snapshot();
    if (!libc_code(&before)) skip();
    uint64_t sum = touch((const void *)before.from, before.end - before.from); // NOLINT(performance-no-int-to-ptr)
    snapshot();
    assert_true(libc_code(&before));
    pages_shed();
    snapshot();
    assert_true(libc_code(&after));
    assert_true(after.resident < before.resident);
    assert_int_equal(touch((const void *)before.from, before.end - before.from), // NOLINT(performance-no-int-to-ptr)
                     sum);
}

static int up(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}
static int down(const void *a, const void *b) {
    return up(b, a);
}

/* What differs from the file: variables, and constants that hold addresses. */
static void test_what_was_written_stays(void **state) {
    (void)state;
    static int (*const orders[])(const void *, const void *) = {up, down};
    for (size_t i = 0; i < TABLE; i++) written[i] = (uint8_t)(i * 7);
    pages_shed();
    for (size_t i = 0; i < TABLE; i++) assert_int_equal(written[i], (uint8_t)(i * 7));
    for (int k = 0; k < 2; k++) {
        int n[] = {3, 1, 2};
        qsort(n, 3, sizeof *n, orders[k]);
        assert_int_equal(n[0], k ? 3 : 1);
        assert_int_equal(n[1], 2);
    }
}

static void test_free_heap_goes(void **state) {
    (void)state;
    enum { BLOCKS = 1000, BYTES = 8000 };
    static char *block[BLOCKS];
    size_t had = mallinfo2().uordblks;
    for (int i = 0; i < BLOCKS; i++) memset(block[i] = malloc(BYTES), 1 + i, BYTES);
    bool known = mallinfo2().uordblks >= had + (size_t)BLOCKS * BYTES;
    const char *middle = block[BLOCKS / 2];
    for (int i = 0; i < BLOCKS - 1; i++) free(block[i]); /* the last one is in the way of giving the end back */
    snapshot();
    struct mapping before = mapping_of(middle);
    pages_shed();
    snapshot();
    struct mapping after = mapping_of(middle);
    free(block[BLOCKS - 1]);
    if (!known) skip(); /* under a sanitizer the allocator is another */
    assert_true(before.resident > (size_t)BLOCKS * BYTES / 2);
    assert_true(after.resident < before.resident / 2);
}

static void test_new_pages_come_as_they_are_touched(void **state) {
    (void)state;
    enum { BYTES = 16 << 20 };
    uint8_t *p = pages_new(BYTES);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % PAGE_MIN, 0);
    snapshot();
    size_t before = mapping_of(p).resident; /* of neighbours, if the kernel has made one mapping of them */
    p[BYTES / 2] = 1;
    snapshot();
    size_t after = mapping_of(p).resident;
    assert_true(after > before);
    assert_true(after - before < BYTES / 2);
    assert_int_equal(touch(p, BYTES), BYTES / 2 + 1); /* all else is zero */
    pages_free(p, BYTES);
    pages_free(NULL, BYTES);
}

struct user {
    uint64_t want;
    bool over, wrong;
};

static void *use(void *arg) {
    struct user *u = arg;
    for (int i = 0; i < 200; i++) {
        char text[32];
        int n[] = {i, 5, -i};
        qsort(n, 3, sizeof *n, up);
        snprintf(text, sizeof text, "%d", i);
        if (touch(&table, sizeof table) != u->want || n[0] != -i || atoi(text) != i) u->wrong = true;
    }
    sync_store_rel(&u->over, true);
    return NULL;
}

static void test_other_threads_go_on(void **state) {
    (void)state;
    struct user u = {.want = touch(&table, sizeof table)};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, use, &u), 0);
    while (!sync_load_acq(&u.over)) pages_shed();
    pthread_join(t, NULL);
    assert_false(u.wrong);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constants_go),
        cmocka_unit_test(test_code_of_libraries_goes),
        cmocka_unit_test(test_what_was_written_stays),
        cmocka_unit_test(test_free_heap_goes),
        cmocka_unit_test(test_new_pages_come_as_they_are_touched),
        cmocka_unit_test(test_other_threads_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
