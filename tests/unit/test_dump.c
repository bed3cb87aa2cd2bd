/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Dumps of keys: complete, in order with other answers, patient with slow readers, and bounded. */
#include <inttypes.h>

#include "tests/unit/talk.h"

#define ITEMS 20000

/* Stores item0 .. item<n-1>. */
static void store_items(int fd, unsigned n) {
    char *text = malloc(n * 40 + 8), *p = text;
    for (unsigned i = 0; i < n; i++) p += sprintf(p, "ms item%u 5 q T3600\r\nhello\r\n", i);
    p += sprintf(p, "mn\r\n");
    talk_send(fd, text, (size_t)(p - text));
    char *got = talk_read(fd, "MN\r\n");
    assert_string_equal(got, "MN\r\n");
    free(got);
    free(text);
}

/* Counts the lines of a dump that begin with `head` and name items 0..n-1, each at least once. (Functions that take a
 * string would have a sanitizer measure the whole dump for each of its lines.) */
static void check_all(const char *text, const char *head, unsigned n) {
    unsigned char *seen = calloc(n, 1);
    unsigned found = 0;
    const size_t len = strlen(head);
    const char *const end = text + strlen(text);
    for (const char *p = text, *eol; (eol = memchr(p, '\n', (size_t)(end - p))) != NULL; p = eol + 1) {
        unsigned i = 0;
        if ((size_t)(eol - p) < len + 4 || memcmp(p, head, len) != 0) continue;
        assert_memory_equal(p + len, "item", 4);
        for (const char *d = p + len + 4; *d >= '0' && *d <= '9'; d++) i = 10 * i + (unsigned)(*d - '0');
        assert_true(i < n);
        found += !seen[i];
        seen[i] = 1;
    }
    assert_int_equal(found, n);
    free(seen);
}

static void metadump_shows_every_item(void **state) {
    struct subject *node = talk_node("-m 64");
    int fd = talk_open(node);
    unsigned cls, flags;
    long long exp, la;
    unsigned long long cas, size;
    char fetch[8];
    (void)state;
    talk_expect(fd, "lru_crawler metadump all\r\n", "OK\r\nEND\r\n");
    store_items(fd, ITEMS);
    /* Answers behind it wait their turn. */
    char *text = talk_ask(fd, "lru_crawler metadump all\r\nmn\r\n", "MN\r\n");
    check_all(text, "key=", ITEMS);
    assert_string_equal(text + strlen(text) - 9, "END\r\nMN\r\n");
    free(text);
    text = talk_ask(fd, "lru_crawler metadump hash\r\n", "END\r\n");
    check_all(text, "key=", ITEMS);
    assert_int_equal(sscanf(text, "OK key=item%*u exp=%lld la=%lld cas=%llu fetch=%7s cls=%u size=%llu flags=%u\n",
                            &exp, &la, &cas, fetch, &cls, &size, &flags),
                     7);
    assert_string_equal(fetch, "no");
    assert_true(exp > la && exp <= la + 3700 && cls == 1 && size >= 10 + 5 && flags == 0);
    free(text);
    close(fd);
    subject_stop(node);
}

static void mgdump_can_be_sent_back(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "lru_crawler mgdump all\r\n", "OK\r\nEN\r\n");
    talk_expect(fd, "set plain 0 0 1\r\nx\r\n", "STORED\r\n");
    talk_expect(fd, "lru_crawler mgdump all\r\n", "OK\r\nmg plain\r\nEN\r\n");
    talk_expect(fd, "delete plain\r\n", "DELETED\r\n");
    talk_expect(fd, "ms Zm8gbw== 1 b\r\nx\r\n", "HD\r\n"); /* "fo o" */
    talk_expect(fd, "lru_crawler mgdump hash\r\n", "OK\r\nmg Zm8gbw== b\r\nEN\r\n");
    char *text = talk_ask(fd, "lru_crawler metadump all\r\n", "END\r\n");
    assert_memory_equal(text, "OK\r\nkey=fo%20o exp=-1 ", 22);
    free(text);
    talk_expect(fd, "stats cachedump 1 0\r\n", "END\r\n"); /* no way to name such a key there */
    close(fd);
    subject_stop(node);
}

static void classes(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    talk_expect(fd, "lru_crawler mgdump 1\r\n", "OK\r\nmg a\r\nEN\r\n");
    talk_expect(fd, "lru_crawler mgdump 3,1\r\n", "OK\r\nmg a\r\nEN\r\n");
    talk_expect(fd, "lru_crawler mgdump 2\r\n", "OK\r\nEN\r\n");
    talk_expect(fd, "lru_crawler metadump 2,63\r\n", "OK\r\nEND\r\n");
    talk_expect(fd, "lru_crawler metadump 64\r\n", "BADCLASS invalid class id\r\n");
    talk_expect(fd, "lru_crawler metadump 0\r\n", "BADCLASS invalid class id\r\n");
    talk_expect(fd, "lru_crawler metadump ALL\r\n", "BADCLASS invalid class id\r\n");
    talk_expect(fd, "lru_crawler metadump\r\n", "ERROR\r\n");
    talk_expect(fd, "lru_crawler metadump all x\r\n", "ERROR\r\n");
    close(fd);
    subject_stop(node);
}

static void dumps_can_be_forbidden(void **state) {
    struct subject *node = talk_node("-X");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "lru_crawler metadump all\r\n", "ERROR metadump not allowed\r\n");
    talk_expect(fd, "lru_crawler mgdump all\r\n", "ERROR key dump not allowed\r\n");
    talk_expect(fd, "stats cachedump 1 1\r\n", "CLIENT_ERROR stats cachedump not allowed\r\n");
    close(fd);
    subject_stop(node);
}

/* A reader that does not read holds up nobody, whatever is stored, purged or dumped meanwhile; several dumps may run.
 */
static void a_slow_reader_holds_nobody_up(void **state) {
    struct subject *node = talk_node("-m 64 -t 1");
    int fd = talk_open(node), slow = talk_open(node), gone = talk_open(node), small = 65536;
    (void)state;
    assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    store_items(fd, ITEMS);
    talk_send(slow, "lru_crawler metadump all\r\nmn\r\n", 30);
    talk_send(gone, "lru_crawler metadump all\r\n", 26);
    char *text = talk_ask(fd, "lru_crawler metadump all\r\n", "END\r\n"); /* the same worker serves all three */
    check_all(text, "key=", ITEMS);
    free(text);
    close(gone); /* in the middle of its dump */
    store_items(fd, ITEMS);
    talk_expect(fd, "get item7\r\n", "VALUE item7 0 5\r\nhello\r\nEND\r\n");
    text = talk_read(slow, "MN\r\n");
    check_all(text, "key=", ITEMS);
    free(text);
    close(slow);
    close(fd);
    subject_stop(node);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadump_shows_every_item),
        cmocka_unit_test(mgdump_can_be_sent_back),
        cmocka_unit_test(classes),
        cmocka_unit_test(dumps_can_be_forbidden),
        cmocka_unit_test(a_slow_reader_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
