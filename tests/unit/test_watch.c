/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Watchers: the lines they read, and the rings that carry notes to them. */
#include <inttypes.h>
#include <pthread.h>

#include "cmd/cmd_watch.h"
#include "cmd/cmd_watch_line.h"
#include "cmd/observers.h"
#include "page.h"
#include "tests/unit/talk.h"

#define TS .gid = 7, .time_us = 1795386425000042, .fd = 28
#define HEAD "ts=1795386425.000042 gid=7 "

static const char *format(const struct watch_event *n, const char *key, const char *text) {
    static char line[WATCH_LINE_MAX + 1];
    size_t len = cmd_watch_format(n, key, text, 100, line);
    assert_true(len <= WATCH_LINE_MAX);
    line[len] = '\0';
    return line;
}

static void lines_read_as_those_of_memcached(void **state) {
    (void)state;
    struct watch_event get = {TS, .kind = WATCH_GET, .status = "found", .flag = true, .size = 3, .key_len = 1};
    assert_string_equal(format(&get, "a", NULL), HEAD "type=item_get key=a status=found clsid=1 cfd=28 size=3\n");
    struct watch_event miss = {TS, .kind = WATCH_GET, .status = "not_found", .key_len = 2};
    assert_string_equal(format(&miss, "zz", NULL),
                        HEAD "type=item_get key=zz status=not_found clsid=0 cfd=28 size=0\n");
    struct watch_event store = {TS,        .kind = WATCH_STORE, .status = "stored", .cmd = "set", .expiry = 151,
                                .size = 1, .key_len = 1};
    assert_string_equal(format(&store, "n", NULL),
                        HEAD "type=item_store key=n status=stored cmd=set ttl=50 clsid=1 cfd=28 size=1\n");
    store.expiry = 0;
    assert_string_equal(format(&store, "n", NULL),
                        HEAD "type=item_store key=n status=stored cmd=set ttl=0 clsid=1 cfd=28 size=1\n");
    struct watch_event deleted = {TS, .kind = WATCH_DELETED, .cmd = "md", .size = 9, .key_len = 1};
    assert_string_equal(format(&deleted, "n", NULL), HEAD "type=deleted key=n cmd=md clsid=1 size=9\n");
    struct watch_event evicted = {TS, .kind = WATCH_EVICTION, .flag = true, .size = 5, .key_len = 1};
    assert_string_equal(format(&evicted, "e", NULL), HEAD "type=eviction key=e fetch=yes ttl=-1 la=0 clsid=1 size=5\n");
    struct watch_event conn = {TS, .kind = WATCH_CONN_NEW, .status = "tcp", .rport = 44568, .text_len = 9};
    assert_string_equal(format(&conn, NULL, "127.0.0.1"),
                        HEAD "type=conn_new rip=127.0.0.1 rport=44568 transport=tcp cfd=28\n");
    conn.kind = WATCH_CONN_CLOSE;
    assert_string_equal(format(&conn, NULL, "127.0.0.1"),
                        HEAD "type=conn_close rip=127.0.0.1 rport=44568 transport=tcp reason=normal cfd=28\n");
}

static void our_own_lines(void **state) {
    (void)state;
    struct watch_event tags = {TS, .kind = WATCH_TAGS, .cmd = "ms", .ntags = 2, .key_len = 1};
    assert_string_equal(format(&tags, "a", NULL), HEAD "type=tags key=a cmd=ms ntags=2 cfd=28\n");
    struct watch_event purge = {TS, .kind = WATCH_PURGE, .cmd = "purge", .flag = true, .number = 88422, .text_len = 6};
    assert_string_equal(format(&purge, NULL, "a+b,*x"),
                        HEAD "type=purge cmd=purge soft=yes number=88422 cfd=28 sel=a%2Bb%2C%2Ax\n");
    struct watch_event raw = {TS, .kind = WATCH_RAWCMD, .text_len = 5};
    assert_string_equal(format(&raw, NULL, "get a"), HEAD "type=rawcmd cfd=28 cmd=get%20a\n");
    struct watch_event sys = {TS, .kind = WATCH_SYSEVENT, .status = "memlimit", .text_len = 12};
    assert_string_equal(format(&sys, NULL, "megabytes=64"), HEAD "type=memlimit megabytes=64\n");
}

static void keys_are_escaped(void **state) {
    (void)state;
    struct watch_event get = {TS, .kind = WATCH_GET, .status = "found", .flag = true, .size = 3, .key_len = 9};
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
        struct watch_event n = {.gid = UINT64_MAX,
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
    struct watch_event n = {.kind = WATCH_RAWCMD, .text_len = 40}, got;
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
        struct watch_event n = {.gid = i, .kind = WATCH_RAWCMD, .key_len = (uint8_t)(i % 200), .text_len = i % 64};
        char key[200];
        memset(key, (char)i, sizeof key);
        cmd_watch_ring_put(r, &n, key, text);
    }
    return NULL;
}

/* One thread fills, another empties: every note arrives whole and in order, or is counted as skipped. */
static void events_cross_threads_whole(void **state) {
    (void)state;
    struct watch_ring *r = ring_new(4096);
    pthread_t filler;
    struct watch_event n;
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

/* ------------------------------------------------------------------ a node */

/* What a watcher has read and not looked at yet. */
struct lines {
    int fd;
    size_t n, at;
    char buf[65536], line[8192];
};

static struct lines *lines_new(int fd) {
    struct lines *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->fd = fd;
    return l;
}

/* The next line, newline and all. */
static char *next_line(struct lines *l) {
    for (size_t n = 0;;) {
        if (l->at == l->n) {
            struct pollfd wait = {.fd = l->fd, .events = POLLIN};
            if (poll(&wait, 1, TALK_PATIENCE_MS) != 1) fail_msg("no further line");
            ssize_t k = recv(l->fd, l->buf, sizeof l->buf, 0);
            assert_true(k > 0);
            l->n = (size_t)k;
            l->at = 0;
        }
        assert_true(n < sizeof l->line - 1);
        if ((l->line[n++] = l->buf[l->at++]) != '\n') continue;
        l->line[n] = '\0';
        return l->line;
    }
}

/* The next lines a watcher reads, up to and with one that contains `last`; without time stamps and numbers. */
static char *lines_until(int fd, const char *last) {
    struct lines *l = lines_new(fd);
    char *out = calloc(1, 1 << 20), *to = out;
    for (bool done = false; !done;) {
        char *line = next_line(l), *body = strstr(line, "type=");
        done = strstr(line, last) != NULL;
        char *cfd = strstr(line, "cfd="); /* a number that is not the test's to know */
        if (cfd != NULL) memmove(cfd + 4, cfd + strcspn(cfd, " \n"), strlen(cfd + strcspn(cfd, " \n")) + 1);
        assert_true(to - out < (1 << 20) - 8192);
        to += sprintf(to, "%s", body != NULL ? body : line);
    }
    free(l);
    return out;
}

static void watchers_see_what_they_asked_for(void **state) {
    struct subject *node = talk_node("-t 2");
    int fd = talk_open(node), all = talk_open(node), gets = talk_open(node);
    (void)state;
    talk_expect(all, "watch fetchers mutations deletions tags purges\r\n", "OK\r\n");
    talk_expect(gets, "watch\r\n", "OK\r\n");
    talk_expect(fd, "get a\r\n", "END\r\n");
    talk_expect(fd, "set a 0 0 3\r\nabc\r\n", "STORED\r\n");
    talk_expect(fd, "get a\r\n", "VALUE a 0 3\r\nabc\r\nEND\r\n");
    talk_expect(fd, "delete a\r\n", "DELETED\r\n");
    talk_expect(fd, "purge t1 t2+t3\r\n", "PURGED\r\n");
    talk_expect(fd, "get last\r\n", "END\r\n");
    char *text = lines_until(gets, "key=last");
    assert_non_null(strstr(text, "type=item_get key=a status=not_found clsid=0 cfd= size=0\n"));
    assert_non_null(strstr(text, "type=item_get key=a status=found clsid=1 cfd= size=3\n"));
    assert_null(strstr(text, "item_store"));
    free(text);
    text = lines_until(all, "key=last");
    assert_non_null(strstr(text, "type=item_store key=a status=stored cmd=set ttl=0 clsid=1 cfd= size=3\n"));
    assert_non_null(strstr(text, "type=deleted key=a cmd=delete clsid=1 size=3\n"));
    assert_non_null(strstr(text, "type=purge cmd=purge soft=no number="));
    free(text);
    close(fd);
    close(all);
    close(gets);
    subject_stop(node);
}

static void words_of_watch(void **state) {
    struct subject *node = talk_node("");
    int fd = talk_open(node);
    (void)state;
    talk_expect(fd, "watch x\r\n", "ERROR\r\n");
    talk_expect(fd, "watch fetchers x\r\n", "ERROR\r\n");
    talk_expect(fd, "watch proxyreqs\r\n", "OK\r\n");
    close(fd);
    subject_stop(node);
    node = talk_node("-W");
    fd = talk_open(node);
    talk_expect(fd, "watch fetchers\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
    talk_expect(fd, "mn\r\n", "MN\r\n");
    close(fd);
    subject_stop(node);
}

/* A watcher that does not read misses lines and is told how many; nobody else notices. */
static void a_slow_watcher_is_told_what_it_missed(void **state) {
    enum { GETS = 200000 };
    struct subject *node = talk_node("-t 1");
    int fd = talk_open(node), slow = talk_open(node), small = 65536;
    uint64_t lines = 0, skipped = 0;
    char *text = malloc(GETS * 16), *p = text;
    (void)state;
    assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    talk_expect(slow, "watch fetchers\r\n", "OK\r\n");
    for (unsigned i = 0; i < GETS; i++) p += sprintf(p, "mg k%u q\r\n", i);
    p += sprintf(p, "mn\r\n");
    talk_send(fd, text, (size_t)(p - text));
    talk_expect(fd, "", "MN\r\n");
    free(text);
    struct lines *l = lines_new(slow);
    while (lines + skipped < GETS) {
        const char *line = next_line(l);
        if (strncmp(line, "skipped=", 8) == 0)
            skipped += strtoull(line + 8, NULL, 10);
        else
            lines++;
    }
    assert_int_equal(lines + skipped, GETS);
    assert_true(skipped > 0 && lines > 0);
    free(l);
    close(slow);
    close(fd);
    subject_stop(node);
}

/* What a watcher sends is ignored, be it behind `watch` in the same packet; places are given back. */
static void watchers_only_listen(void **state) {
    struct subject *node = talk_node("-t 2");
    int fd = talk_open(node), watchers[WATCH_MAX + 1];
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < WATCH_MAX; i++) {
            watchers[i] = talk_open(node);
            talk_expect(watchers[i], "watch mutations\r\nget a\r\nbad\r\n", "OK\r\n");
            talk_send(watchers[i], "get b\r\n", 7);
        }
        watchers[WATCH_MAX] = talk_open(node);
        talk_expect(watchers[WATCH_MAX], "watch\r\n", "WATCHER_TOO_MANY log watcher limit reached\r\n");
        talk_expect(fd, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
        for (unsigned i = 0; i < WATCH_MAX; i++) {
            char *text = lines_until(watchers[i], "item_store");
            assert_memory_equal(text, "type=item_store key=a ", 22);
            free(text);
        }
        for (unsigned i = 0; i <= WATCH_MAX; i++) close(watchers[i]);
        for (bool none = false; !none;) { /* until the node has noticed that they are gone */
            char *text = talk_ask(fd, "stats\r\n", "END\r\n");
            none = strstr(text, "STAT log_watchers 0\r\n") != NULL;
            free(text);
        }
    }
    close(fd);
    subject_stop(node);
}

/* What leaves for want of room is told of while it happens. */
static void evictions_are_seen(void **state) {
    struct subject *node = talk_node("-m 8 -t 1");
    int fd = talk_open(node), watcher = talk_open(node);
    char request[4200], *text;
    (void)state;
    talk_expect(watcher, "watch evictions\r\n", "OK\r\n");
    for (unsigned i = 0; i < 4000; i++) { /* twice the memory */
        size_t head = (size_t)snprintf(request, sizeof request, "set k%u 0 0 4096\r\n", i);
        memset(request + head, 'v', 4096);
        memcpy(request + head + 4096, "\r\n", 3);
        talk_expect(fd, request, "STORED\r\n");
    }
    text = lines_until(watcher, "type=eviction");
    assert_non_null(strstr(text, "type=eviction key=k"));
    assert_non_null(strstr(text, " fetch=no ttl=-1 la=0 clsid=1 size=4096\n"));
    free(text);
    close(watcher);
    talk_expect(fd, "mn\r\n", "MN\r\n");
    close(fd);
    subject_stop(node);
}

/* Every row of watch.def is a word of watch with a bit of its own, and the table in PROTOCOL.md shows the rows. */
static void streams_are_rows(void **state) {
    static const struct {
        const char *name, *help;
        unsigned bit;
    } rows[] = {
#define STREAM(name, constant, help) {#name, help, CMD_OBSERVE_##constant},
#define EMPTY(name) {#name, NULL, 0},
#include "cmd/watch.def"
#undef STREAM
#undef EMPTY
    };
    struct subject *node = talk_node("-m 8 -t 1");
    char table[4096], request[64], *p = table;
    unsigned all = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = talk_open(node);
        snprintf(request, sizeof request, "watch %s\r\n", rows[i].name);
        talk_expect(fd, request, "OK\r\n");
        close(fd);
        assert_int_equal(all & rows[i].bit, 0);
        all |= rows[i].bit;
        if (rows[i].help != NULL) p += sprintf(p, "| `%s` | %s |\n", rows[i].name, rows[i].help);
    }
    subject_stop(node);
    assert_int_equal(all, CMD_OBSERVE_STREAMS);
    char *lacks = page_lacks("proto/PROTOCOL.md", table);
    if (lacks != NULL) fail_msg("proto/PROTOCOL.md should have: %s", lacks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_rows),
        cmocka_unit_test(lines_read_as_those_of_memcached),
        cmocka_unit_test(our_own_lines),
        cmocka_unit_test(keys_are_escaped),
        cmocka_unit_test(the_longest_line_fits),
        cmocka_unit_test(a_full_ring_counts_what_it_drops),
        cmocka_unit_test(events_cross_threads_whole),
        cmocka_unit_test(watchers_see_what_they_asked_for),
        cmocka_unit_test(words_of_watch),
        cmocka_unit_test(a_slow_watcher_is_told_what_it_missed),
        cmocka_unit_test(watchers_only_listen),
        cmocka_unit_test(evictions_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
