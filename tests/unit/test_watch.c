/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Watchers: the lines they read, and the rings that carry notes to them. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd_watch.h"

#define TS .gid = 7, .time_us = 1795386425000042, .fd = 28
#define HEAD "ts=1795386425.000042 gid=7 "

static const char *format(const struct watch_note *n, const char *key, const char *text) {
    static char line[WATCH_LINE_MAX + 1];
    size_t len = cmd_watch_format(n, key, text, 100, line);
    assert_true(len <= WATCH_LINE_MAX);
    line[len] = '\0';
    return line;
}

static void lines_read_as_those_of_memcached(void **state) {
    (void)state;
    struct watch_note get = {TS, .kind = WATCH_GET, .status = "found", .flag = true, .size = 3, .key_len = 1};
    assert_string_equal(format(&get, "a", NULL), HEAD "type=item_get key=a status=found clsid=1 cfd=28 size=3\n");
    struct watch_note miss = {TS, .kind = WATCH_GET, .status = "not_found", .key_len = 2};
    assert_string_equal(format(&miss, "zz", NULL),
                        HEAD "type=item_get key=zz status=not_found clsid=0 cfd=28 size=0\n");
    struct watch_note store = {TS,        .kind = WATCH_STORE, .status = "stored", .cmd = "set", .expiry = 150,
                               .size = 1, .key_len = 1};
    assert_string_equal(format(&store, "n", NULL),
                        HEAD "type=item_store key=n status=stored cmd=set ttl=50 clsid=1 cfd=28 size=1\n");
    store.expiry = 0;
    assert_string_equal(format(&store, "n", NULL),
                        HEAD "type=item_store key=n status=stored cmd=set ttl=0 clsid=1 cfd=28 size=1\n");
    struct watch_note deleted = {TS, .kind = WATCH_DELETED, .cmd = "md", .size = 9, .key_len = 1};
    assert_string_equal(format(&deleted, "n", NULL), HEAD "type=deleted key=n cmd=md clsid=1 size=9\n");
    struct watch_note evicted = {TS, .kind = WATCH_EVICTION, .flag = true, .size = 5, .key_len = 1};
    assert_string_equal(format(&evicted, "e", NULL), HEAD "type=eviction key=e fetch=yes ttl=-1 la=0 clsid=1 size=5\n");
    struct watch_note conn = {TS, .kind = WATCH_CONN_NEW, .status = "tcp", .rport = 44568, .text_len = 9};
    assert_string_equal(format(&conn, NULL, "127.0.0.1"),
                        HEAD "type=conn_new rip=127.0.0.1 rport=44568 transport=tcp cfd=28\n");
    conn.kind = WATCH_CONN_CLOSE;
    assert_string_equal(format(&conn, NULL, "127.0.0.1"),
                        HEAD "type=conn_close rip=127.0.0.1 rport=44568 transport=tcp reason=normal cfd=28\n");
}

static void our_own_lines(void **state) {
    (void)state;
    struct watch_note tags = {TS, .kind = WATCH_TAGS, .cmd = "ms", .ntags = 2, .key_len = 1};
    assert_string_equal(format(&tags, "a", NULL), HEAD "type=tags key=a cmd=ms ntags=2 cfd=28\n");
    struct watch_note purge = {TS, .kind = WATCH_PURGE, .cmd = "purge", .flag = true, .number = 88422, .text_len = 6};
    assert_string_equal(format(&purge, NULL, "a+b,*x"),
                        HEAD "type=purge cmd=purge soft=yes number=88422 cfd=28 sel=a%2Bb%2C%2Ax\n");
    struct watch_note raw = {TS, .kind = WATCH_RAWCMD, .text_len = 5};
    assert_string_equal(format(&raw, NULL, "get a"), HEAD "type=rawcmd cfd=28 cmd=get%20a\n");
    struct watch_note sys = {TS, .kind = WATCH_SYSEVENT, .status = "memlimit", .text_len = 12};
    assert_string_equal(format(&sys, NULL, "megabytes=64"), HEAD "type=memlimit megabytes=64\n");
}

static void keys_are_escaped(void **state) {
    (void)state;
    struct watch_note get = {TS, .kind = WATCH_GET, .status = "found", .flag = true, .size = 3, .key_len = 9};
    assert_string_equal(format(&get, "k%20\x01~-_.", NULL),
                        HEAD "type=item_get key=k%2520%01~-_. status=found clsid=1 cfd=28 size=3\n");
}

/* The longest of everything stays within the bound that cmd_watch_format promises. */
static void the_longest_line_fits(void **state) {
    (void)state;
    char key[255], text[WATCH_TEXT_MAX];
    memset(key, 1, sizeof key);
    memset(text, 1, sizeof text);
    for (unsigned kind = WATCH_GET; kind <= WATCH_SYSEVENT; kind++) {
        struct watch_note n = {.gid = UINT64_MAX,
                               .time_us = INT64_MAX,
                               .size = UINT64_MAX,
                               .number = UINT64_MAX,
                               .status = "not_stored",
                               .cmd = "tags_delete",
                               .fd = INT32_MIN,
                               .rport = 65535,
                               .key_len = 255,
                               .kind = (uint8_t)kind,
                               .text_len = kind >= WATCH_CONN_NEW && kind <= WATCH_CONN_CLOSE ? 64 : WATCH_TEXT_MAX};
        format(&n, key, text);
    }
}

/* ------------------------------------------------------------------ rings */

static struct watch_ring *ring_new(uint32_t size) {
    struct watch_ring *r = aligned_alloc(SYNC_CACHE_LINE, sizeof *r);
    *r = (struct watch_ring){.buf = malloc(size), .size = size};
    return r;
}

static void ring_free(struct watch_ring *r) {
    free(r->buf);
    free(r);
}

static void a_full_ring_counts_what_it_drops(void **state) {
    (void)state;
    struct watch_ring *r = ring_new(512);
    struct watch_note n = {.kind = WATCH_RAWCMD, .text_len = 40}, got;
    char key[256], text[WATCH_TEXT_MAX], sent[40] = {0};
    unsigned put = 0;
    while (cmd_watch_ring_put(r, &n, NULL, sent)) put++;
    assert_true(put >= 3);
    assert_int_equal(r->skipped, 1);
    assert_false(cmd_watch_ring_put(r, &n, NULL, sent));
    assert_int_equal(r->skipped, 2);
    assert_true(cmd_watch_ring_peek(r, &got));
    cmd_watch_ring_take(r, &got, key, text);
    assert_true(cmd_watch_ring_put(r, &n, NULL, sent)); /* room for exactly one again */
    assert_false(cmd_watch_ring_put(r, &n, NULL, sent));
    ring_free(r);
}

#define RING_NOTES 200000

static void *fill(void *arg) {
    struct watch_ring *r = arg;
    char text[64];
    memset(text, 'x', sizeof text);
    for (uint64_t i = 1; i <= RING_NOTES; i++) {
        struct watch_note n = {.gid = i, .kind = WATCH_RAWCMD, .key_len = (uint8_t)(i % 200), .text_len = i % 64};
        char key[200];
        memset(key, (char)i, sizeof key);
        cmd_watch_ring_put(r, &n, key, text);
    }
    return NULL;
}

/* One thread fills, another empties: every note arrives whole and in order, or is counted as skipped. */
static void notes_cross_threads_whole(void **state) {
    (void)state;
    struct watch_ring *r = ring_new(4096);
    pthread_t filler;
    struct watch_note n;
    char key[256], text[WATCH_TEXT_MAX];
    uint64_t last = 0, got = 0, bad = 0;
    assert_int_equal(pthread_create(&filler, NULL, fill, r), 0);
    while (got + sync_load(&r->skipped) < RING_NOTES) {
        if (!cmd_watch_ring_peek(r, &n)) {
            sync_pause();
            continue;
        }
        cmd_watch_ring_take(r, &n, key, text);
        got++;
        bad += n.gid <= last || n.key_len != n.gid % 200 || n.text_len != n.gid % 64;
        for (unsigned i = 0; i < n.key_len; i++) bad += key[i] != (char)n.gid;
        for (unsigned i = 0; i < n.text_len; i++) bad += text[i] != 'x';
        last = n.gid;
    }
    pthread_join(filler, NULL);
    assert_int_equal(bad, 0);
    assert_true(got > 0);
    ring_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_read_as_those_of_memcached),
        cmocka_unit_test(our_own_lines),
        cmocka_unit_test(keys_are_escaped),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(a_full_ring_counts_what_it_drops),
        cmocka_unit_test(notes_cross_threads_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
