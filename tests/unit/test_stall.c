/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Clients that stall in the middle of what they send or are sent, and a node that goes on serving the others. */
#include <stdint.h>
#include <sys/ioctl.h>

#include "base/sync.h"
#include "slow.h"
#include "talk.h"

/* Fewer clients where everything is slow. */
#if defined(SYNC_TSAN) || TEST_SLOW
#define SCALE(n) ((n) / 4)
#else
#define SCALE(n) (n)
#endif

#define TICK_MS 10 /* of the clock, and of patience before it goes on */
#define NO_ROOM "SERVER_ERROR out of memory storing object\r\n"

/* ------------------------------------------------------------------ a client that sends what is taken */

struct client {
    int fd;
    char *text; /* what it has to send */
    size_t n, sent;
    size_t until; /* of that it sends no more for now */
    char got[128];
    size_t ngot;
};

/* Begins to store a value of so many bytes; mn follows, to see whether the connection is in step. */
static void client_open(struct client *c, struct subject *p, const char *key, size_t size) {
    *c = (struct client){.fd = talk_open(p), .text = malloc(size + 128)};
    size_t head = (size_t)sprintf(c->text, "set %s 0 0 %zu\r\n", key, size);
    memset(c->text + head, 'v', size);
    memcpy(c->text + head + size, "\r\nmn\r\n", 6);
    c->until = c->n = head + size + 6;
}

/* Sends and receives what can be without waiting. */
static void client_step(struct client *c) {
    while (c->sent < c->until) {
        ssize_t k = send(c->fd, c->text + c->sent, c->until - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k <= 0) break;
        c->sent += (size_t)k;
    }
    ssize_t k = recv(c->fd, c->got + c->ngot, sizeof c->got - 1 - c->ngot, MSG_DONTWAIT);
    if (k > 0) c->ngot += (size_t)k;
    c->got[c->ngot] = '\0';
}

static bool client_done(const struct client *c) {
    return c->ngot >= 4 && memcmp(c->got + c->ngot - 4, "MN\r\n", 4) == 0;
}

static bool client_stored(const struct client *c) {
    return strcmp(c->got, "STORED\r\nMN\r\n") == 0;
}

static void client_close(struct client *c) {
    close(c->fd);
    free(c->text);
}

/* Waits until one of them can receive or send, but not for long: then it is for the clock to go on. */
static int await_any(const struct client *c, unsigned n) {
    struct pollfd *wait = calloc(n, sizeof *wait);
    assert_non_null(wait);
    for (unsigned i = 0; i < n; i++)
        wait[i] = (struct pollfd){c[i].fd, (short)(POLLIN | (c[i].sent < c[i].n ? POLLOUT : 0)), 0};
    int ready = poll(wait, n, TICK_MS);
    free(wait);
    return ready;
}

/* Lets all go on until all are done, time passing as they do; each was stored or told so. Returns how many were stored.
 */
static unsigned finish(struct subject *p, struct client *c, unsigned n, size_t piece) {
    unsigned done = 0, stored = 0;
    for (unsigned idle = 0; done < n;) {
        unsigned before = done;
        size_t moved = 0;
        done = 0;
        for (unsigned i = 0; i < n; i++) {
            const size_t was = c[i].sent;
            c[i].until = c[i].sent + piece < c[i].n ? c[i].sent + piece : c[i].n;
            client_step(&c[i]);
            moved += c[i].sent - was;
            done += client_done(&c[i]);
        }
        idle = moved > 0 || done > before ? 0 : idle + 1;
        assert_true(idle < 1000);
        if (idle == 0) continue;
        if (await_any(c, n) == 0) assert_int_equal(subject_advance(p, TICK_MS), 0);
    }
    for (unsigned i = 0; i < n; i++) {
        if (!client_stored(&c[i])) assert_string_equal(c[i].got, NO_ROOM "MN\r\n");
        stored += client_stored(&c[i]);
    }
    return stored;
}

static uint64_t stat_of(int fd, const char *name) {
    char *text = talk_ask(fd, "stats\r\n", "END\r\n"), line[80];
    snprintf(line, sizeof line, "STAT %s ", name);
    const char *at = strstr(text, line);
    assert_non_null(at);
    uint64_t n = strtoull(at + strlen(line), NULL, 10);
    free(text);
    return n;
}

/* ------------------------------------------------------------------ bodies */

static void stall_bodies(const char *options, unsigned n, size_t size, unsigned fit) {
    struct subject *p = talk_node(options);
    struct client *c = calloc(n, sizeof *c), probe[3];
    int fd = talk_open(p);
    for (unsigned i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        client_open(&c[i], p, key, size);
        c[i].until = c[i].n / 2;
        client_step(&c[i]);
    }
    for (unsigned i = 0; i < 3; i++) { /* others store meanwhile */
        client_open(&probe[i], p, "probe", size);
        assert_int_equal(finish(p, &probe[i], 1, SIZE_MAX / 2), 1);
        client_close(&probe[i]);
    }
    assert_true(stat_of(fd, "bodies_displaced") >= 1);
    assert_int_equal(stat_of(fd, "body_timeouts"), 0);
    const unsigned stored = finish(p, c, n, SIZE_MAX / 2); /* those that were not displaced are stored */
    assert_true(stored >= fit - 3);
    assert_true(n - stored <= stat_of(fd, "bodies_displaced"));
    for (unsigned i = 0; i < n; i++) client_close(&c[i]);
    free(c);
    close(fd);
    subject_stop(p);
}

static void stalled_bodies_do_not_keep_others_out(void **state) {
    (void)state;
    stall_bodies("-m 64 -t 4", 30, 700000, 11);
#ifndef SYNC_TSAN
    stall_bodies("-m 64 -t 1", 91, 100000, 83);
    stall_bodies("-m 64 -t 2", 451, 20000, 400);
#endif
}

/* Many at once, each a little at a time: all come to an end. */
static void bodies_sent_in_turns_come_to_an_end(void **state) {
    static const struct {
        const char *options;
        unsigned n;
        size_t size, piece;
    } cases[] = {
        {"-m 3 -I 1m -t 1", 12, 1000000, 20000}, {"-m 64 -t 4", 200, 700000, 20000}, {"-m 8 -t 2", 300, 17000, 1000}};
    (void)state;
    for (unsigned k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct subject *p = talk_node(cases[k].options);
        const unsigned n = SCALE(cases[k].n);
        struct client *c = calloc(n, sizeof *c);
        for (unsigned i = 0; i < n; i++) {
            char key[16];
            snprintf(key, sizeof key, "k%u", i);
            client_open(&c[i], p, key, cases[k].size);
        }
        assert_true(finish(p, c, n, cases[k].piece) > 0);
        for (unsigned i = 0; i < n; i++) client_close(&c[i]);
        free(c);
        subject_stop(p);
    }
}

/* ------------------------------------------------------------------ what is held for those who do not read or end */

static void fill(int fd, unsigned keys, size_t size) {
    char *value = malloc(size + 3);
    memset(value, 'v', size);
    memcpy(value + size, "\r\n", 3);
    for (unsigned i = 0; i < keys; i++) {
        char line[64];
        talk_send(fd, line, (size_t)snprintf(line, sizeof line, "set v%u 0 0 %zu\r\n", i, size));
        talk_send(fd, value, size + 2);
        char *got = talk_read(fd, "\r\n");
        assert_string_equal(got, "STORED\r\n");
        free(got);
    }
    free(value);
}

/* A client more sends the text, and does nothing more. */
static int stall_with(struct subject *p, const char *text) {
    int fd = talk_open(p);
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    return fd;
}

/* What the connection that a worker is serving adds comes on top for a moment (server/net/README.md): a look from the
 * other worker of two may fall into it. So it has to be below `most` when one looks again, and never further above. */
static void assert_held(int fd, uint64_t most) {
    enum { ON_TOP = 2 * 256 * 1024, LOOKS = 1000 };
    uint64_t held = stat_of(fd, "read_buf_bytes");
    for (unsigned i = 0; i < LOOKS && held > most; i++) {
        assert_true(held <= most + ON_TOP);
        held = stat_of(fd, "read_buf_bytes");
    }
    assert_true(held <= most);
}

/* n clients do. What is held stays below `most`, whenever one looks. */
static void hold(struct subject *p, int fd, int *fds, unsigned n, const char *text, uint64_t most) {
    for (unsigned i = 0; i < n; i++) {
        fds[i] = stall_with(p, text);
        if (i % 16 == 15) assert_held(fd, most);
    }
    for (unsigned i = 0; i < 5; i++) assert_held(fd, most);
}

/* Bodies of clients that do not read either: no more of their input is looked at, and still they give way. */
static void stalled_bodies_of_those_that_do_not_read_give_way(void **state) {
    enum { N = 11, VALUE = 150000 }; /* one value fits a socket, two do not; so many bodies fit */
    static const char text[] = "get v0\r\nset k 0 0 700000\r\nv";
    struct subject *p = talk_node("-m 64 -t 1");
    int fd = talk_open(p), fds[N];
    struct client probe;
    (void)state;
    fill(fd, 1, VALUE);
    for (unsigned i = 0; i < N; i++) {
        int there = 0;
        fds[i] = stall_with(p, "get v0\r\n");
        while (there < VALUE) assert_int_equal(ioctl(fds[i], FIONREAD, &there), 0);
        talk_send(fds[i], text, sizeof text - 1);
    }
    client_open(&probe, p, "probe", 700000);
    assert_int_equal(finish(p, &probe, 1, SIZE_MAX / 2), 1);
    client_close(&probe);
    assert_true(stat_of(fd, "bodies_displaced") > 0);
    for (unsigned i = 0; i < N; i++) close(fds[i]);
    close(fd);
    subject_stop(p);
}

#define KEYS 20
#define SIZE 900000
#define GETTERS 30

/* What comes is the values from the i-th on, round to the one before it. */
static void expect_values(int fd, unsigned i) {
    char *got = talk_read(fd, "END\r\n"), *at = got, *value = malloc(SIZE);
    memset(value, 'v', SIZE);
    for (unsigned k = 0; k < KEYS; k++) {
        char head[64];
        const size_t h = (size_t)snprintf(head, sizeof head, "VALUE v%u 0 %u\r\n", (i + k) % KEYS, SIZE);
        assert_memory_equal(at, head, h);
        assert_memory_equal(at + h, value, SIZE);
        at += h + SIZE + 2;
    }
    assert_string_equal(at, "END\r\n");
    free(value);
    free(got);
}

/* Each begins with another value, so that not all can be held where they lie. */
static void large_values_are_looked_up_as_they_are_read(void **state) {
    struct subject *p = talk_node("-m 64 -t 2");
    int fd = talk_open(p), fds[GETTERS];
    (void)state;
    fill(fd, KEYS, SIZE);
    for (unsigned i = 0; i < GETTERS; i++) {
        char line[512] = "get";
        for (unsigned k = 0; k < KEYS; k++) sprintf(line + strlen(line), " v%u", (i + k) % KEYS);
        fds[i] = stall_with(p, strcat(line, "\r\n"));
        assert_true(stat_of(fd, "read_buf_bytes") <= (i + 1) * (260u << 10));
    }
    for (unsigned i = 0; i < GETTERS; i += 7) expect_values(fds[i], i);
    for (unsigned i = 0; i < GETTERS; i++) close(fds[i]);
    close(fd);
    subject_stop(p);
}

static char *repeat(const char *text, unsigned n) {
    char *all = malloc(strlen(text) * n + 1);
    all[0] = '\0';
    for (unsigned i = 0; i < n; i++) memcpy(all + i * strlen(text), text, strlen(text) + 1);
    return all;
}

/* Whatever they stall in. */
static void all_together_hold_no_more_than_they_may(void **state) {
    enum { N = 320, ASKING = SCALE(N) };
    const uint64_t most = 16u << 20;
    static const char *const begin[] = {"mg k P", "set b 0 0 16000\r\n", "ms k 700000 P"};
    (void)state;
    for (unsigned k = 0; k < 3; k++) {
        struct subject *p = talk_node("-m 64 -t 2");
        int fd = talk_open(p), fds[N];
        char *x = repeat("x", k == 1 ? 15999 : 65000), *text = malloc(70000);
        sprintf(text, "%s%s%s", begin[k], x, k == 2 ? "\r\nv" : "");
        hold(p, fd, fds, N, text, most);
        while (k != 1 && stat_of(fd, "holders_closed") == 0) /* of 16 KB each nobody need give way */
            assert_held(fd, most);
        for (unsigned i = 0; i < N; i++) close(fds[i]);
        free(x);
        free(text);
        close(fd);
        subject_stop(p);
    }
    static const char *const ask[] = {"mg v0 v\r\ngets v1\r\ngat 0 v2\r\n", "get v0\r\nmn\r\n",
                                      "stats\r\nstats settings\r\n", "stats conns\r\n", "lru_crawler metadump all\r\n"};
    for (unsigned k = 0; k < sizeof ask / sizeof *ask; k++) {
        struct subject *p = talk_node("-m 64 -t 2");
        const unsigned n = k == 3 ? 50 : ASKING;
        int fd = talk_open(p), fds[ASKING];
        char *text = repeat(ask[k], 2000);
        /* A dump of many items has more to write for each walk over the index, which is slow where everything is. */
        fill(fd, k == 4 ? 2000 : 30, k == 1 ? 2000 : k == 4 ? 10 : 20000);
        hold(p, fd, fds, n, text, most);
        talk_expect(fd, "mn\r\n", "MN\r\n");
        for (unsigned i = 0; i < n; i++) close(fds[i]);
        free(text);
        close(fd);
        subject_stop(p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stalled_bodies_do_not_keep_others_out),
        cmocka_unit_test(stalled_bodies_of_those_that_do_not_read_give_way),
        cmocka_unit_test(bodies_sent_in_turns_come_to_an_end),
        cmocka_unit_test(large_values_are_looked_up_as_they_are_read),
        cmocka_unit_test(all_together_hold_no_more_than_they_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
