/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The commands over connections in memory: the table, input cut anywhere, lines without end, blocks of every size,
 * what is held and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd_table.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "tests/fuzz/fake_net.h"

static struct fake_node *node(void) {
    return fake_node_new(&(struct fake_options){0});
}

static void expect(struct conn *c, const char *request, const char *answer) {
    size_t n;
    fake_clear(c);
    fake_feed(c, request, strlen(request));
    const char *got = fake_output(c, &n);
    if (n != strlen(answer) || (n > 0 && memcmp(got, answer, n) != 0))
        fail_msg("%.200s\nexpected: %.400s\nreceived: %.*s", request, answer, (int)(n > 400 ? 400 : n), got);
}

static void test_table(void **state) {
    (void)state;
    struct cmd_names t;
    cmd_names_init(&t);
    for (unsigned i = 0; i < CMD_IDS; i++) {
        const struct cmd_row *row = &cmd_rows[i];
        assert_int_equal(row->id, i);
        assert_true(row->name_len <= CMD_NAME_MAX && strlen(row->name) == row->name_len);
        /* A line of the name alone, with words behind it, and with one byte less or more. */
        char line[40], *block = malloc(40);
        const size_t n = (size_t)snprintf(line, sizeof line, "%s k", row->name);
        assert_non_null(block);
        assert_ptr_equal(cmd_names_line(&t, row->name, row->name_len), row);
        assert_ptr_equal(cmd_names_line(&t, line, n), row);
        assert_ptr_not_equal(cmd_names_line(&t, line, row->name_len - 1u), row);
        line[row->name_len] = 'x';
        assert_ptr_not_equal(cmd_names_line(&t, line, n), row);
        line[row->name_len] = ' ';
        for (size_t len = 0; len <= n; len++) { /* what is here of a line, in a block of its own size */
            char *p = block + 40 - len;
            memcpy(p, line, len);
            const bool all = len > row->name_len && len >= 4;
            assert_ptr_equal(cmd_names_begin(&t, p, p + len), all ? row : NULL);
        }
        free(block);
        assert_int_equal(strncmp(row->help, row->name, row->name_len), 0);
    }
    assert_null(cmd_names_line(&t, "", 0));
    assert_null(cmd_names_line(&t, "mx", 2));
    assert_null(cmd_names_line(&t, "GET", 3));
    assert_null(cmd_names_line(&t, "aaaaaaaaaaaaaaaaaaaaaaaa", 24));
}

/* A conversation with something of everything. */
static const char talk[] =
    "set a 1 0 3\r\nabc\r\nget a b a\r\ngets a\r\nset a 0 0 3 noreply\r\nxyz\r\nget a\n"
    "add a 0 0 1\r\n1\r\nset n 0 0 2\r\n10\r\nincr n 5\r\ndecr n 100\r\nincr n x\r\n"
    "get \r\nget\r\n\r\nfoo\r\n get a\r\nset a x 0 3\r\nget\r\nset a 0 0 -1\r\n"
    "set a 0 0 3\r\nabcde\r\nset a 0 0 2\r\nhi\r\nappend a 0 0 1\r\n!\r\nget  a   n \r\n"
    "gat 0 a n\r\ngat x a\r\ngat 0\r\ntouch a 100\r\nmg a v t s k Oq\r\nmg nope k\r\nmg nope q\r\n"
    "ms m 2 c\r\nhi\r\nms m 2 Q\r\nhi\r\nms m 2 MA s\r\n!!\r\nmd m k\r\nms Zm9v 1 b k\r\nz\r\n"
    "mg Zm9v b v k\r\nma q N0 J5 v\r\nma q v\r\nmn\r\nms t 1 Ga,b\r\nx\r\nmg t g\r\nmp a+b n s\r\n"
    "mg t\r\nset u|#|t=a,b 0 0 1\r\ny\r\nget u|#|t=q u\r\ndelete z|#|p=b\r\nget u\r\n"
    "get u|#|t=\r\npurge a b+c\r\ntag_add z a\r\ntag_delete z\r\ntags_delete y z\r\n"
    "flush_all\r\nget a\r\nversion\r\nmn\r\n";

static char *whole(size_t *n) {
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    fake_feed(c, talk, sizeof(talk) - 1);
    const char *out = fake_output(c, n);
    char *copy = malloc(*n);
    assert_non_null(copy);
    memcpy(copy, out, *n);
    fake_node_free(f);
    return copy;
}

/* Cut in two at every byte, and into pieces of every size: the same answers. */
static void test_cut(void **state) {
    (void)state;
    const size_t len = sizeof(talk) - 1;
    size_t n, m;
    char *want = whole(&n);
    for (size_t at = 1; at < 2 * len; at++) {
        struct fake_node *f = node();
        struct conn *c = fake_open(f);
        if (at < len) {
            fake_feed(c, talk, at);
            fake_feed(c, talk + at, len - at);
        } else {
            const size_t piece = at - len + 1;
            for (size_t i = 0; i < len; i += piece) fake_feed(c, talk + i, piece < len - i ? piece : len - i);
            at += piece / 8;
        }
        const char *got = fake_output(c, &m);
        if (m != n || memcmp(got, want, n) != 0) fail_msg("cut %zu: %.*s", at, (int)m, got);
        fake_node_free(f);
    }
    free(want);
}

/* A line of 10,000 keys, whole and in pieces; an error in a line answers for the line. */
static void test_long_get(void **state) {
    (void)state;
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    const size_t max = 10000 * 60;
    char *line = malloc(max);
    size_t len = 4, n;
    assert_non_null(line);
    expect(c, "set k00077xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0 0 1\r\na\r\n", "STORED\r\n");
    memcpy(line, "get ", 4);
    for (int i = 0; i < 10000; i++)
        len += (size_t)sprintf(line + len, "k%05dxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ", i % 1000);
    memcpy(line + len, "\r\n", 2);
    len += 2;
    for (size_t piece = 1000; piece <= len * 2; piece *= 3) {
        fake_clear(c);
        for (size_t i = 0; i < len; i += piece) fake_feed(c, line + i, piece < len - i ? piece : len - i);
        fake_output(c, &n);
        assert_int_equal(n, 10 * strlen("VALUE k00077xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 0 1\r\na\r\n") + 5);
    }
    expect(c, "mn\r\n", "MN\r\n");
    /* 70 keys, the last too long: more than a batch, and yet one error and nothing else. */
    len = 4;
    for (int i = 0; i < 70; i++) len += (size_t)sprintf(line + len, "k00077xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ");
    memset(line + len, 'k', 251);
    memcpy(line + len + 251, "\r\n", 3);
    expect(c, line, "CLIENT_ERROR bad command line format\r\n");
    /* In a line that is answered as it comes, the error comes where it stands, and the stream stays in step. */
    len = 4;
    while (len < 70000) len += (size_t)sprintf(line + len, "nope%05zu ", len);
    memset(line + len, 'k', 251);
    memcpy(line + len + 251, " more\r\n", 8);
    fake_clear(c);
    for (size_t i = 0, all = strlen(line); i < all; i += 999) fake_feed(c, line + i, 999 < all - i ? 999 : all - i);
    const char *got = fake_output(c, &n);
    assert_int_equal(n, strlen(CMD_BAD_FORMAT) + 2);
    assert_memory_equal(got, CMD_BAD_FORMAT, n - 2);
    expect(c, "mn\r\n", "MN\r\n");
    free(line);
    fake_node_free(f);
}

/* A line without end: 64 KiB are waited for, no more. */
static void test_endless_line(void **state) {
    (void)state;
    static const char *const begins[] = {"xxxx", "set k", "mg k ", "get k"};
    for (unsigned i = 0; i < 4; i++) {
        struct fake_node *f = node();
        struct conn *c = fake_open(f);
        char block[1000];
        size_t fed = 0;
        memset(block, 'x', sizeof(block));
        fake_feed(c, begins[i], strlen(begins[i]));
        for (; fed < 200000 && !fake_closed(c); fed += sizeof(block)) fake_feed(c, block, sizeof(block));
        assert_true(fake_closed(c) && fed < 70000);
        fake_node_free(f);
    }
    /* An expiry that long is none: the line is answered and skipped. */
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    fake_feed(c, "gat 1", 5);
    char ones[200];
    memset(ones, '1', sizeof ones);
    for (int i = 0; i < 1000; i++) fake_feed(c, ones, i < 100 ? 2 : sizeof ones);
    expect(c, " k\r\nmn\r\n", "MN\r\n");
    fake_node_free(f);
}

/* Values of every kind of size, stored whole and in pieces and read back. */
static void test_sizes(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2047, 2048, 2049, 16383, 16384, 16385, 40000, 300000, 1048575};
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    char *block = malloc(1 << 21), head[64];
    size_t n;
    assert_non_null(block);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t piece = 700; piece < 4 << 20; piece *= 40) {
            size_t len = (size_t)sprintf(block, "set big 0 0 %zu\r\n", sizes[i]);
            for (size_t j = 0; j < sizes[i]; j++) block[len + j] = (char)('a' + (j * 7 + i) % 26);
            memcpy(block + len + sizes[i], "\r\nget big\r\n", 11);
            const size_t all = len + sizes[i] + 11;
            fake_clear(c);
            for (size_t j = 0; j < all; j += piece) fake_feed(c, block + j, piece < all - j ? piece : all - j);
            const char *got = fake_output(c, &n);
            size_t h = (size_t)sprintf(head, "STORED\r\nVALUE big 0 %zu\r\n", sizes[i]);
            assert_int_equal(n, h + sizes[i] + 7);
            assert_memory_equal(got, head, h);
            assert_memory_equal(got + h, block + len, sizes[i]);
            assert_memory_equal(got + h + sizes[i], "\r\nEND\r\n", 7);
        }
    }
    assert_true(fake_refs(c) > 0); /* large ones are sent from where they lie */
    struct store_gauges g;
    store_gauges(f->store, &g);
    assert_int_equal(g.segments_pinned, 0); /* and all of it was given back */
    free(block);
    fake_node_free(f);
}

/* A value that is more than may be held for readers is sent in parts, and what follows it in step. */
static void test_larger_than_may_be_held(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){.memory = 16 << 20, .item_size_max = 6 << 20});
    struct conn *c = fake_open(f);
    const size_t size = 5 << 20;
    char *block = malloc(size + 100);
    struct store_gauges g;
    size_t n;
    assert_non_null(block);
    size_t len = (size_t)sprintf(block, "set big 0 0 %zu\r\n", size);
    for (size_t i = 0; i < size; i++) block[len + i] = (char)('a' + i * 31 % 26);
    memcpy(block + len + size, "\r\n", 2);
    fake_feed(c, block, len + size + 2);
    expect(c, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    fake_clear(c);
    fake_feed(c, "get big a\r\nmg big v\r\nmn\r\n", 25);
    const char *got = fake_output(c, &n);
    assert_int_equal(n, 21 + size + 23 + 12 + size + 6);
    assert_memory_equal(got, "VALUE big 0 5242880\r\n", 21);
    assert_memory_equal(got + 21, block + len, size);
    assert_memory_equal(got + 21 + size, "\r\nVALUE a 0 1\r\nx\r\nEND\r\nVA 5242880\r\n", 23 + 12);
    assert_memory_equal(got + n - 6, "\r\nMN\r\n", 6);
    store_gauges(f->store, &g);
    assert_int_equal(g.segments_pinned, 0);
    free(block);
    fake_node_free(f);
}

/* Refused blocks are discarded without being kept; what was stored before goes with a set, stays with an add. */
static void test_too_large(void **state) {
    (void)state;
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    char *block = malloc(3 << 20);
    assert_non_null(block);
    memset(block, '\n', 3 << 20);
    static const char *const lines[] = {"set a 0 0 3000000\r\n", "ms a 3000000\r\n",   "add a 0 0 3000000\r\n",
                                        "ms a 3000000 ME\r\n",   "ms a 3000000 Q\r\n", "set a x 0 3000000\r\n"};
    for (unsigned i = 0; i < 6; i++) {
        expect(c, "set a 0 0 1\r\nz\r\n", "STORED\r\n");
        fake_clear(c);
        fake_feed(c, lines[i], strlen(lines[i]));
        for (unsigned j = 0; j < 3; j++) fake_feed(c, block, 1000000);
        fake_feed(c, "\r\n", 2);
        expect(c, "get a\r\n", i < 2 ? "END\r\n" : "VALUE a 0 1\r\nz\r\nEND\r\n");
    }
    free(block);
    fake_node_free(f);
}

/* A connection that ends while its block is on the way leaves nothing behind. */
static void test_broken_off(void **state) {
    (void)state;
    struct fake_node *f = node();
    struct store_gauges g;
    for (int i = 0; i < 50; i++) {
        struct conn *c = fake_open(f);
        char block[20000];
        memset(block, 'x', sizeof(block));
        fake_feed(c, "set big 0 0 500000\r\n", 20);
        for (int j = 0; j < i % 5; j++) fake_feed(c, block, sizeof(block));
        fake_close(c);
    }
    store_gauges(f->store, &g);
    assert_int_equal(g.uploads, 0);
    fake_node_free(f);
}

/* A purge of an upload's tags while its block comes counts as after it. */
static void test_purge_during_upload(void **state) {
    (void)state;
    struct fake_node *f = node();
    struct conn *c = fake_open(f), *d = fake_open(f);
    char block[40002];
    memset(block, 'x', sizeof(block));
    memcpy(block + 40000, "\r\n", 2);
    fake_feed(c, "ms k 40000 Ga\r\n", 15);
    fake_feed(c, block, 1000);
    expect(d, "mp a\r\n", "HD\r\n");
    fake_feed(c, block + 1000, sizeof(block) - 1000);
    expect(d, "mg k\r\n", "EN\r\n");
    fake_node_free(f);
}

static void test_first_byte(void **state) {
    (void)state;
    struct fake_node *f = node();
    static const char noop[24] = {(char)0x80, 0x0a}, done[24] = {(char)0x81, 0x0a};
    size_t n;
    struct conn *c = fake_open(f);
    fake_feed(c, noop, sizeof noop);
    assert_memory_equal(fake_output(c, &n), done, sizeof done);
    assert_int_equal(n, sizeof done);
    c = fake_open(f);
    expect(c, "mn\r\n\x80xx\r\n", "MN\r\nERROR\r\n");
    fake_feed(c, "GET / HTTP/1.1\r\n", 16);
    assert_true(fake_closed(c));
    fake_node_free(f);
}

static void test_switches(void **state) {
    (void)state;
    struct fake_node *f = fake_node_new(&(struct fake_options){.key_tags = "", .no_flush = true});
    struct conn *c = fake_open(f);
    expect(c, "set k|#|t=a 0 0 1\r\nx\r\nget k|#|t=a k\r\n", "STORED\r\nVALUE k|#|t=a 0 1\r\nx\r\nEND\r\n");
    expect(c, "delete x|#|p=a\r\n", "NOT_FOUND\r\n");
    expect(c, "flush_all\r\nmp *\r\npurge * noreply\r\npurge *\r\n",
           "CLIENT_ERROR flush_all not allowed\r\nCLIENT_ERROR flush_all not allowed\r\n"
           "CLIENT_ERROR flush_all not allowed\r\n");
    fake_node_free(f);
    f = fake_node_new(&(struct fake_options){.key_tags = "@"});
    c = fake_open(f);
    expect(c, "set k@t=a 0 0 1\r\nx\r\nget k@t=a k|#|t=a\r\ndelete q@p=a\r\nget k\r\n",
           "STORED\r\nVALUE k@t=a 0 1\r\nx\r\nEND\r\nDELETED\r\nEND\r\n");
    fake_node_free(f);
}

/* Replies of earlier commands are not lost when a later get has a key too long, and nothing else is sent. */
static void test_get_error_keeps_replies(void **state) {
    (void)state;
    struct fake_node *f = node();
    struct conn *c = fake_open(f);
    char line[400];
    snprintf(line, sizeof(line), "set a 0 0 1\r\nx\r\nget a\r\nget a %0251d\r\nget a\r\n", 1);
    expect(c, line,
           "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nCLIENT_ERROR bad command line format\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    fake_node_free(f);
}

/* Idle connections are small. */
static void test_session_size(void **state) {
    (void)state;
    assert_true(sizeof(struct session) <= 128);
}

/* conn_yields counts as memcached does: once for each -R requests that one connection has sent at once. The keys of a
 * line are one request. */
static void test_yields(void **state) {
    static const struct {
        const char *request;
        unsigned times, yields;
    } rows[] = {
        {"mn\r\n", 4, 0},
        {"mn\r\n", 5, 1},
        {"mn\r\n", 9, 1},
        {"mn\r\n", 200, 40},
        {"get a\r\n", 200, 40},
        {"get a b c\r\n", 4, 0},
        {"get a b c \r\n", 105, 21},
        {"set a 0 0 1\r\nx\r\n", 11, 2},
        {"ms a 1 Q\r\nx\r\n", 10, 2},
        {"nonsense\r\n", 5, 1},
        {"get \r\n", 5, 1},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fake_node *f = fake_node_new(&(struct fake_options){.requests_per_event = 5});
        struct conn *c = fake_open(f);
        const size_t n = strlen(rows[i].request);
        char *all = malloc(n * rows[i].times);
        assert_non_null(all);
        for (unsigned k = 0; k < rows[i].times; k++) memcpy(all + k * n, rows[i].request, n);
        fake_feed(c, all, n * rows[i].times);
        if (cmd_metric(f->cmd, CMD_METRIC_conn_yields) != rows[i].yields)
            fail_msg("%u times %s: %d yields", rows[i].times, rows[i].request,
                     (int)cmd_metric(f->cmd, CMD_METRIC_conn_yields));
        /* Coming one after the other they never keep anybody waiting. */
        for (unsigned k = 0; k < rows[i].times; k++) fake_feed(c, rows[i].request, n);
        assert_int_equal(cmd_metric(f->cmd, CMD_METRIC_conn_yields), rows[i].yields);
        free(all);
        fake_node_free(f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yields),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_long_get),
        cmocka_unit_test(test_endless_line),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_larger_than_may_be_held),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_broken_off),
        cmocka_unit_test(test_purge_during_upload),
        cmocka_unit_test(test_first_byte),
        cmocka_unit_test(test_switches),
        cmocka_unit_test(test_get_error_keeps_replies),
        cmocka_unit_test(test_session_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
