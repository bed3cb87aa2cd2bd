/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Connections over real sockets, with a handler that knows a few words and counts everything it is told. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <malloc.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/sync.h"
#include "net/net.h"

#define PATIENCE_MS 20000
#define PATTERN_BYTES (8u << 20)

/* ------------------------------------------------------------------ a handler that knows a few words */

/* Line by line:  echo TEXT | big N | ref N | body N | park | close | produce N | watch */
struct lab {
    struct net *net;
    struct clock_manual clock;
    uint64_t refs, releases, opened, closed; /* atomic */
    uint64_t parked, resumed, fed, produced; /* atomic */
    uint64_t sunk;                           /* atomic: bytes that came by the sink */
    uint64_t pending_max;                    /* atomic */
    struct conn *last;                       /* the connection that last parked or watched */
};

struct session {
    uint64_t body, body_left, sum;
    char *bytes;
    uint64_t produce_left;
    bool waiting, watching;
};

static char *pattern; /* PATTERN_BYTES of text, for ever */

static struct lab *lab_of(struct conn *c) {
    return worker_context(conn_worker(c));
}

static bool on_open(struct conn *c, void *session) {
    (void)session;
    sync_add(&lab_of(c)->opened, 1);
    return true;
}

static void on_close(struct conn *c, void *session) {
    struct session *s = session;
    free(s->bytes);
    sync_add(&lab_of(c)->closed, 1);
}

static void on_release(struct conn *c, uint64_t token) {
    CHECK(token >= 1000);
    sync_add(&lab_of(c)->releases, 1);
}

static void reply(struct conn *c, const char *text) {
    conn_write(c, text, strlen(text));
}

static void note_pending(struct conn *c) {
    struct lab *l = lab_of(c);
    if (conn_pending(c) > sync_load(&l->pending_max)) sync_store(&l->pending_max, conn_pending(c));
}

static void big(struct conn *c, size_t n) {
    size_t at = 0;
    while (at < n) {
        size_t k = n - at < 60000 ? n - at : 60000;
        memcpy(conn_reserve(c, k), pattern + at, k);
        conn_commit(c, k);
        at += k;
    }
}

static void body_done(struct conn *c, struct session *s) {
    char text[64];
    for (uint64_t i = 0; i < s->body; i++) s->sum += (unsigned char)s->bytes[i];
    snprintf(text, sizeof text, "body %llu %llu\n", (unsigned long long)s->body, (unsigned long long)s->sum);
    reply(c, text);
    free(s->bytes);
    s->bytes = NULL;
    s->sum = 0;
}

static void run_line(struct conn *c, struct session *s, const char *line) {
    struct lab *l = lab_of(c);
    unsigned long long n = 0;
    if (strncmp(line, "echo ", 5) == 0) {
        reply(c, line + 5);
        reply(c, "\n");
    } else if (sscanf(line, "big %llu", &n) == 1) {
        big(c, n);
    } else if (sscanf(line, "ref %llu", &n) == 1) {
        uint64_t token = 1000 + sync_add(&l->refs, 1);
        conn_ref(c, pattern, n, token);
        note_pending(c);
    } else if (sscanf(line, "body %llu", &n) == 1) {
        s->bytes = malloc(n + 1);
        s->body = s->body_left = n;
    } else if (strcmp(line, "park") == 0) {
        s->waiting = true;
        sync_store(&l->last, c);
        conn_park(c);
        sync_add_acqrel(&l->parked, 1);
    } else if (strcmp(line, "close") == 0) {
        reply(c, "bye\n");
        conn_close(c);
    } else if (sscanf(line, "produce %llu", &n) == 1) {
        s->produce_left = n;
        conn_park(c);
        conn_set_producer(c, true);
    } else if (strcmp(line, "watch") == 0) {
        s->watching = true;
        sync_store(&l->last, c);
        conn_set_producer(c, true);
        reply(c, "watching\n");
        sync_add_acqrel(&l->parked, 1);
    } else {
        reply(c, "what\n");
    }
}

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    struct session *s = session;
    size_t used = 0;
    sync_add(&lab_of(c)->fed, 1);
    if (s->waiting) {
        s->waiting = false;
        sync_add_acqrel(&lab_of(c)->resumed, 1);
        reply(c, "resumed\n");
    }
    while (used < n && !conn_full(c) && !conn_parked(c) && !conn_closing(c)) {
        if (s->body_left > 0) {
            size_t k = n - used < s->body_left ? n - used : s->body_left;
            memcpy(s->bytes + s->body - s->body_left, p + used, k);
            s->body_left -= k;
            used += k;
            if (s->body_left == 0) body_done(c, s);
            continue;
        }
        char *end = memchr(p + used, '\n', n - used);
        if (end == NULL) break;
        *end = 0;
        run_line(c, s, p + used);
        used = (size_t)(end - p) + 1;
    }
    return used;
}

static char *on_sink(struct conn *c, void *session, size_t *n) {
    struct session *s = session;
    (void)c;
    if (s->body_left == 0) return NULL;
    *n = s->body_left;
    return s->bytes + s->body - s->body_left;
}

static void on_sunk(struct conn *c, void *session, size_t n) {
    struct session *s = session;
    s->body_left -= n;
    sync_add(&lab_of(c)->sunk, n);
    if (s->body_left == 0) body_done(c, s);
}

static void on_produce(struct conn *c, void *session) {
    struct session *s = session;
    sync_add(&lab_of(c)->produced, 1);
    if (s->watching) return;
    for (int i = 0; i < 100 && s->produce_left > 0 && !conn_full(c); i++, s->produce_left--) reply(c, "produced\n");
    if (s->produce_left > 0) return;
    reply(c, "end\n");
    conn_set_producer(c, false);
    conn_resume(c);
}

static const struct net_handler handler = {
    .session_size = sizeof(struct session),
    .open = on_open,
    .input = on_input,
    .sink = on_sink,
    .sunk = on_sunk,
    .produce = on_produce,
    .release = on_release,
    .close = on_close,
};

/* ------------------------------------------------------------------ the lab */

static void *lab_context(void *arg, unsigned worker) {
    (void)worker;
    return arg;
}

static struct lab *lab_new_config(struct net_config cfg) {
    struct net_listen listen = {.host = "127.0.0.1", .port = 0};
    struct lab *l = calloc(1, sizeof *l);
    char err[256];
    assert_non_null(l);
    clock_manual_init(&l->clock, 1000000000000, 1700000000);
    if (cfg.threads == 0) cfg.threads = 1;
    if (cfg.max_connections == 0) cfg.max_connections = 20000;
    if (cfg.backlog == 0) cfg.backlog = 1024;
    if (cfg.batches_per_event == 0) cfg.batches_per_event = 20;
    if (cfg.unix_path == NULL && cfg.listen == NULL) {
        cfg.listen = &listen;
        cfg.nlisten = 1;
    }
    cfg.handler = &handler;
    cfg.context = lab_context;
    cfg.context_arg = l;
    cfg.clock = &l->clock.clock;
    if (net_new(&cfg, &l->net, err, sizeof err) != 0) fail_msg("net_new: %s", err);
    assert_int_equal(net_start(l->net), 0);
    return l;
}

static struct lab *lab_new(void) {
    return lab_new_config((struct net_config){0});
}

/* Ends it; everything that was opened must have been closed, every reference released once. */
static void lab_free(struct lab *l) {
    net_stop(l->net);
    assert_int_equal(l->opened, l->closed);
    assert_int_equal(l->refs, l->releases);
    struct net_gauges g;
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
    assert_int_equal(g.structures, 0);
    net_free(l->net);
    free(l);
}

static int dial(struct lab *l) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)net_port(l->net, 0))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

static void say(int fd, const char *text) {
    put(fd, text, strlen(text));
}

/* Reads exactly n bytes. */
static void take(int fd, char *p, size_t n) {
    while (n > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        ssize_t k = recv(fd, p, n, 0);
        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

static void hear(int fd, const char *text) {
    char got[4096];
    size_t n = strlen(text);
    assert_true(n < sizeof got);
    take(fd, got, n);
    got[n] = 0;
    assert_string_equal(got, text);
}

static void hear_end(int fd) {
    char c;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    ssize_t k = recv(fd, &c, 1, 0);
    assert_true(k == 0 || (k < 0 && errno == ECONNRESET));
    close(fd);
}

static void hear_pattern(int fd, size_t n) {
    char *got = malloc(n);
    take(fd, got, n);
    assert_memory_equal(got, pattern, n);
    free(got);
}

/* Runs everything that was posted to the workers before. */
static void post_done(struct net_worker *w, void *arg) {
    (void)w;
    sync_store_rel((uint32_t *)arg, 1);
}

static void await_worker(struct lab *l, unsigned i) {
    uint32_t done = 0;
    assert_int_equal(worker_post(net_worker_at(l->net, i), post_done, &done), 0);
    while (!sync_load_acq(&done)) sched_yield();
}

static void await(uint64_t *counter, uint64_t value) {
    while (sync_load_acq(counter) < value) sched_yield();
}

/* Waits until this many bytes have been read, ever. */
static void await_read(struct lab *l, uint64_t bytes) {
    while (net_metric(l->net, NET_METRIC_bytes_read) < bytes) sched_yield();
}

/* ------------------------------------------------------------------ input */

static void splits_at_every_byte_and_pipelines(void **state) {
    static const char script[] = "echo one\nbody 5\nabcdeecho two\necho three\nnonsense\nbody 1\nzecho four\n";
    static const char answer[] = "one\nbody 5 495\ntwo\nthree\nwhat\nbody 1 122\nfour\n";
    struct lab *l = lab_new();
    (void)state;
    uint64_t before = 0;
    for (size_t cut = 0; cut <= sizeof script - 1; cut++) {
        int fd = dial(l);
        put(fd, script, cut);
        await_read(l, before + cut);
        put(fd, script + cut, sizeof script - 1 - cut);
        hear(fd, answer);
        close(fd);
        before += sizeof script - 1;
    }
    int fd = dial(l);
    for (size_t i = 0; i < sizeof script - 1; i++) {
        put(fd, script + i, 1);
        await_read(l, ++before);
    }
    hear(fd, answer);
    close(fd);
    lab_free(l);
}

static void long_line_is_kept_and_given_back(void **state) {
    static char line[300000], want[300000];
    struct lab *l = lab_new();
    struct net_gauges g;
    int fd = dial(l);
    (void)state;
    memset(line, 'a', sizeof line);
    memcpy(line, "echo ", 5);
    for (size_t at = 0; at < sizeof line - 1; at += 9973) {
        size_t n = sizeof line - 1 - at < 9973 ? sizeof line - 1 - at : 9973;
        put(fd, line + at, n);
        await_read(l, at + n);
    }
    await_worker(l, 0); /* what was read has been kept */
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes > 64000);
    put(fd, "\n", 1);
    take(fd, want, sizeof line - 6 + 1);
    assert_memory_equal(want, line + 5, sizeof line - 6);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
    close(fd);
    lab_free(l);
}

static void endless_line_ends_the_connection(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    for (size_t sent = 0; sent < 4 * NET_INPUT_MAX; sent += 65536)
        if (send(fd, pattern, 65536, MSG_NOSIGNAL) < 0) break; /* it has closed */
    hear_end(fd);
    assert_int_equal(net_metric(l->net, NET_METRIC_input_overflows), 1);
    lab_free(l);
}

static void large_bodies_go_to_the_sink(void **state) {
    struct lab *l = lab_new();
    char line[64];
    uint64_t sum = 0;
    int fd = dial(l);
    (void)state;
    for (size_t i = 0; i < 3000000; i++) sum += (unsigned char)pattern[i];
    for (int round = 0; round < 3; round++) {
        say(fd, "echo before\nbody 3000000\n");
        hear(fd, "before\n");
        put(fd, pattern, 3000000);
        say(fd, "echo after\n");
        snprintf(line, sizeof line, "body 3000000 %llu\nafter\n", (unsigned long long)sum);
        hear(fd, line);
    }
    assert_true(sync_load(&l->sunk) > 8000000);
    close(fd);
    lab_free(l);
}

/* ------------------------------------------------------------------ output */

static void slow_reader_is_held_back(void **state) {
    struct lab *l = lab_new();
    struct net_gauges g;
    int fd = dial(l), rounds = 200; /* 38 MB: more than sockets hold */
    (void)state;
    for (int i = 0; i < rounds; i++) say(fd, "big 50000\nref 40000\nref 100000\n");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes < 512 * 1024);
    int other = dial(l); /* served meanwhile */
    say(other, "echo hello\n");
    hear(other, "hello\n");
    for (int i = 0; i < rounds; i++) {
        hear_pattern(fd, 50000);
        hear_pattern(fd, 40000);
        hear_pattern(fd, 100000);
    }
    assert_true(sync_load(&l->pending_max) < 512 * 1024);
    say(fd, "echo done\n");
    hear(fd, "done\n");
    close(fd);
    close(other);
    lab_free(l);
}

static void references_are_released_when_the_reader_dies(void **state) {
    struct lab *l = lab_new();
    struct linger hard = {1, 0};
    (void)state;
    for (int round = 0; round < 20; round++) {
        int fd = dial(l), small = 4096;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        for (int i = 0; i < 20; i++) say(fd, "ref 100000\nref 70000\nref 10\n");
        await_worker(l, 0);
        if (round % 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* a reset */
        close(fd);
    }
    await(&l->closed, 20);
    assert_int_equal(sync_load(&l->refs), sync_load(&l->releases));
    lab_free(l);
}

static void many_references_in_one_batch(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    char *script = malloc(200000);
    size_t n = 0;
    for (int i = 0; i < 5000; i++) n += (size_t)sprintf(script + n, "echo %04d\nref 7\n", i);
    put(fd, script, n);
    for (int i = 0; i < 5000; i++) {
        char want[32];
        snprintf(want, sizeof want, "%04d\n%.7s", i, pattern);
        hear(fd, want);
    }
    free(script);
    close(fd);
    lab_free(l);
}

static void large_reference_is_not_copied(void **state) {
    struct lab *l = lab_new();
    struct net_gauges g;
    int fd = dial(l);
    (void)state;
    say(fd, "ref 8000000\necho end\n");
    while (net_metric(l->net, NET_METRIC_output_blocked) == 0) sched_yield();
    await_worker(l, 0);
    net_gauges(l->net, &g);
    assert_true(g.buffer_bytes < 65536);
    hear_pattern(fd, 8000000);
    hear(fd, "end\n");
    close(fd);
    lab_free(l);
}

static void one_greedy_connection_yields(void **state) {
    struct lab *l = lab_new_config((struct net_config){.batches_per_event = 1});
    int fd = dial(l);
    (void)state;
    for (int i = 0; i < 200; i++) say(fd, "big 50000\n");
    for (int i = 0; i < 200; i++) hear_pattern(fd, 50000);
    assert_true(net_metric(l->net, NET_METRIC_conn_yields) > 0);
    close(fd);
    lab_free(l);
}

/* ------------------------------------------------------------------ ends */

static void half_closed_sockets_are_answered(void **state) {
    struct lab *l = lab_new();
    (void)state;
    int fd = dial(l);
    for (int i = 0; i < 100; i++) say(fd, "big 50000\n");
    say(fd, "echo last\nunfinished");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100; i++) hear_pattern(fd, 50000);
    hear(fd, "last\n");
    hear_end(fd);
    fd = dial(l);
    say(fd, "produce 20000\n");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 20000; i++) hear(fd, "produced\n");
    hear(fd, "end\n");
    hear_end(fd);
    fd = dial(l);
    say(fd, "watch\n");
    hear(fd, "watching\n");
    shutdown(fd, SHUT_WR); /* a watcher that says no more has gone */
    hear_end(fd);
    lab_free(l);
}

static void close_sends_what_waits(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    for (int i = 0; i < 40; i++) say(fd, "big 50000\n");
    say(fd, "close\necho never\n");
    for (int i = 0; i < 40; i++) hear_pattern(fd, 50000);
    hear(fd, "bye\n");
    hear_end(fd);
    lab_free(l);
}

static void produces_fairly_and_goes_on(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "produce 100000\necho after\n");
    for (int i = 0; i < 100000; i++) hear(fd, "produced\n");
    hear(fd, "end\nafter\n");
    assert_true(net_metric(l->net, NET_METRIC_conn_yields) > 0);
    close(fd);
    lab_free(l);
}

/* ------------------------------------------------------------------ parking */

static void parked_until_resumed_from_elsewhere(void **state) {
    struct lab *l = lab_new_config((struct net_config){.threads = 2});
    (void)state;
    int a = dial(l), b = dial(l);
    say(a, "park\necho a\n");
    say(b, "park\necho b\n");
    await(&l->parked, 2);
    say(a, "echo more\n"); /* bytes that come meanwhile wait */
    await_worker(l, 0);
    await_worker(l, 1);
    assert_int_equal(sync_load(&l->resumed), 0);
    for (unsigned i = 0; i < 2; i++) worker_resume_all(net_worker_at(l->net, i));
    hear(a, "resumed\na\nmore\n");
    hear(b, "resumed\nb\n");
    close(a);
    close(b);
    lab_free(l);
}

struct room {
    struct lab *lab;
    uint32_t stop;
};

static void *make_room(void *arg) {
    struct room *r = arg;
    while (!sync_load_acq(&r->stop)) {
        worker_resume_all(net_worker_at(r->lab->net, 0));
        sched_yield();
    }
    return NULL;
}

static void no_wake_up_is_lost(void **state) {
    struct lab *l = lab_new();
    struct room room = {l, 0};
    pthread_t t;
    int fd = dial(l);
    (void)state;
    assert_int_equal(pthread_create(&t, NULL, make_room, &room), 0);
    for (int i = 0; i < 3000; i++) {
        say(fd, "park\n");
        hear(fd, "resumed\n");
    }
    sync_store_rel(&room.stop, 1);
    pthread_join(t, NULL);
    close(fd);
    lab_free(l);
}

/* Room is made after the handler looked and before it parks: the very window in which a wake-up could be lost. */
static void post_resume_then_park(struct net_worker *w, void *arg) {
    struct lab *l = arg;
    struct conn *c = l->last;
    struct session *s = conn_session(c);
    worker_resume_all(w); /* as another thread might just now */
    s->waiting = true;
    conn_park(c);
}

static void room_between_looking_and_parking_counts(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "watch\n");
    hear(fd, "watching\n");
    assert_int_equal(worker_post(net_worker_at(l->net, 0), post_resume_then_park, l), 0);
    hear(fd, "resumed\n");
    close(fd);
    lab_free(l);
}

static void post_write_to_last(struct net_worker *w, void *arg) {
    struct lab *l = arg;
    (void)w;
    reply(l->last, "news\n");
    conn_kick(l->last);
}

static void others_may_write_and_kick(void **state) {
    struct lab *l = lab_new();
    int fd = dial(l);
    (void)state;
    say(fd, "watch\n");
    hear(fd, "watching\n");
    uint64_t before = sync_load(&l->produced);
    assert_int_equal(worker_post(net_worker_at(l->net, 0), post_write_to_last, l), 0);
    hear(fd, "news\n");
    await(&l->produced, before + 1);
    say(fd, "echo still here\n");
    hear(fd, "still here\n");
    close(fd);
    lab_free(l);
}

/* ------------------------------------------------------------------ limits */

static void refuses_at_the_limit(void **state) {
    struct lab *l = lab_new_config((struct net_config){.max_connections = 2, .refuse_fast = true});
    int a = dial(l), b = dial(l);
    (void)state;
    await(&l->opened, 2);
    int c = dial(l);
    hear(c, "ERROR Too many open connections\r\n");
    hear_end(c);
    assert_int_equal(net_metric(l->net, NET_METRIC_rejected_connections), 1);
    say(a, "echo a\n");
    hear(a, "a\n");
    close(a);
    await(&l->closed, 1);
    close(b);
    lab_free(l);
}

static void waits_at_the_limit(void **state) {
    struct lab *l = lab_new_config((struct net_config){.max_connections = 2});
    int a = dial(l), b = dial(l), c = dial(l);
    struct net_gauges g;
    (void)state;
    say(c, "echo c\n");
    do net_gauges(l->net, &g);
    while (g.accepting);
    await(&l->opened, 2);
    assert_int_equal(sync_load(&l->opened), 2);
    close(a);
    hear(c, "c\n");
    assert_int_equal(net_metric(l->net, NET_METRIC_rejected_connections), 0);
    assert_true(net_metric(l->net, NET_METRIC_listen_disabled_num) >= 1);
    close(b);
    close(c);
    lab_free(l);
}

static void idle_connections_are_closed(void **state) {
    struct lab *l = lab_new_config((struct net_config){.idle_timeout_s = 10});
    int idle = dial(l), busy = dial(l);
    (void)state;
    await(&l->opened, 2);
    clock_manual_advance(&l->clock, 9000000000);
    net_tick(l->net);
    await_worker(l, 0);
    say(busy, "echo x\n");
    hear(busy, "x\n");
    clock_manual_advance(&l->clock, 3000000000);
    net_tick(l->net);
    hear_end(idle);
    say(busy, "echo y\n");
    hear(busy, "y\n");
    assert_int_equal(net_metric(l->net, NET_METRIC_idle_kicks), 1);
    close(busy);
    lab_free(l);
}

static void post_hold(struct net_worker *w, void *arg) {
    uint64_t *stage = arg;
    (void)w;
    sync_add_acqrel(stage, 1);
    await(stage, 2);
}

/* A worker learns in one round of a tick, and of bytes for connections that the tick closes. */
static void closed_with_bytes_waiting(void **state) {
    enum { N = 50 };
    struct lab *l = lab_new_config((struct net_config){.idle_timeout_s = 10});
    int fds[N];
    uint64_t stage = 0;
    (void)state;
    for (int i = 0; i < N; i++) {
        fds[i] = dial(l);
        say(fds[i], "echo x\n");
        hear(fds[i], "x\n");
    }
    assert_int_equal(worker_post(net_worker_at(l->net, 0), post_hold, &stage), 0);
    await(&stage, 1);
    clock_manual_advance(&l->clock, 11000000000);
    net_tick(l->net);
    for (int i = 0; i < N; i++) say(fds[i], "echo y\n");
    sync_add_acqrel(&stage, 1);
    await(&l->closed, N);
    assert_int_equal(net_metric(l->net, NET_METRIC_idle_kicks), N);
    for (int i = 0; i < N; i++) close(fds[i]);
    lab_free(l);
}

/* All of it comes while nobody looks, so that the kernel has one readiness to tell: of more than one read takes, and of
 * the end behind it. */
static void bytes_and_end_told_once(void **state) {
    static const size_t lines[] = {1, 1000, 65536 / 5, 40000, 100000};
    struct lab *l = lab_new();
    (void)state;
    for (size_t k = 0; k < 2 * sizeof lines / sizeof *lines; k++) {
        size_t n = lines[k / 2] * 5;
        bool half_closed = k % 2;
        uint64_t stage = 0, read_before = net_metric(l->net, NET_METRIC_bytes_read);
        char *out = malloc(n + 1), *in = malloc(n + 1);
        int fd = dial(l), size = 1 << 20;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
        for (size_t i = 0; i < n; i += 5) memcpy(out + i, "what\n", 5);
        say(fd, "echo x\n");
        hear(fd, "x\n");
        assert_int_equal(worker_post(net_worker_at(l->net, 0), post_hold, &stage), 0);
        await(&stage, 1);
        ssize_t sent = send(fd, out, n, MSG_DONTWAIT); /* as much as fits while nobody reads */
        assert_true(sent > 0);
        sent -= sent % 5;
        if (half_closed) assert_int_equal(shutdown(fd, SHUT_WR), 0);
        sync_add_acqrel(&stage, 1);
        await_worker(l, 0); /* it has done with `stage` */
        take(fd, in, (size_t)sent);
        assert_memory_equal(in, out, (size_t)sent);
        if (half_closed) {
            hear_end(fd);
        } else {
            await_read(l, read_before + 7 + (size_t)sent);
            close(fd);
        }
        free(out);
        free(in);
    }
    lab_free(l);
}

static void drains(void **state) {
    struct lab *l = lab_new_config((struct net_config){.threads = 2});
    (void)state;
    int idle = dial(l), parked = dial(l);
    say(parked, "park\n");
    await(&l->parked, 1);
    assert_false(net_drain(l->net, 1)); /* one is under way */
    hear_end(idle);
    for (unsigned i = 0; i < 2; i++) worker_resume_all(net_worker_at(l->net, i));
    assert_true(net_drain(l->net, PATIENCE_MS));
    hear(parked, "resumed\n");
    hear_end(parked);
    lab_free(l);
}

static void idle_connections_cost_little(void **state) {
    enum { N_MAX = 10000 };
    static int fds[N_MAX];
    struct rlimit limit;
    struct lab *l = lab_new();
    struct net_gauges g;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int N = limit.rlim_cur > 2 * N_MAX + 100 ? N_MAX : (int)(limit.rlim_cur - 100) / 2; /* both ends are ours */
    fds[0] = dial(l);
    say(fds[0], "echo x\n");
    hear(fds[0], "x\n");
    size_t before = mallinfo2().uordblks;
    for (int i = 1; i < N; i++) {
        fds[i] = dial(l);
        say(fds[i], "echo x\n");
        hear(fds[i], "x\n");
    }
    size_t each = (mallinfo2().uordblks - before) / (size_t)(N - 1);
    net_gauges(l->net, &g);
    assert_int_equal(g.buffer_bytes, 0);
    assert_int_equal(g.curr_connections, N);
    print_message("%zu bytes a connection\n", each);
    assert_true(each < 1024); /* under a sanitizer the allocator is another and tells nothing */
    for (int i = 0; i < N; i++) close(fds[i]);
    lab_free(l);
}

static void unix_sockets(void **state) {
    char dir[] = "/tmp/tagcached-test-XXXXXX", path[64];
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&to, sizeof to), 0);
    close(stale); /* the file stays behind, nobody answers */
    struct lab *l = lab_new_config((struct net_config){.unix_path = path, .unix_mask = 0700});
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    say(fd, "echo x\n");
    hear(fd, "x\n");
    struct net *second;
    char err[256];
    struct net_config again = {.threads = 1, .unix_path = path, .handler = &handler, .clock = clock_system()};
    assert_int_equal(net_new(&again, &second, err, sizeof err), -EADDRINUSE);
    close(fd);
    lab_free(l);
    assert_int_equal(rmdir(dir), 0);
}

static void reads_addresses(void **state) {
    static const struct {
        const char *spec, *host, *tag;
        int port;
        enum net_tls_mode tls;
    } good[] = {
        {"127.0.0.1", "127.0.0.1", "", -1, NET_TLS_DEFAULT},
        {"localhost:0", "localhost", "", 0, NET_TLS_DEFAULT},
        {"*", "", "", -1, NET_TLS_DEFAULT},
        {":80", "", "", 80, NET_TLS_DEFAULT},
        {"::1", "::1", "", -1, NET_TLS_DEFAULT},
        {"[::1]", "::1", "", -1, NET_TLS_DEFAULT},
        {"[::1]:65535", "::1", "", 65535, NET_TLS_DEFAULT},
        {"notls:10.0.0.1:1", "10.0.0.1", "", 1, NET_TLS_NONE},
        {"btls:a", "a", "", -1, NET_TLS_BASIC},
        {"mtls:tag[in]:proto[ascii]:a:2", "a", "in", 2, NET_TLS_MUTUAL},
    };
    static const char *const bad[] = {"",       "a:",     "a:x",    "a:65536", "a:-1",           "[::1",
                                      "[::1]x", "[]:1",   "tag[:a", "tag[]:a", "proto[proxy]:a", "proto[binary]:a",
                                      "notls:", "[::1]:", "a: 1"};
    struct net_listen got;
    char err[256];
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (net_listen_parse(good[i].spec, &got, err, sizeof err) != 0) fail_msg("%s: %s", good[i].spec, err);
        assert_string_equal(got.host, good[i].host);
        assert_string_equal(got.tag, good[i].tag);
        assert_int_equal(got.port, good[i].port);
        assert_int_equal(got.tls, good[i].tls);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err[0] = 0;
        if (net_listen_parse(bad[i], &got, err, sizeof err) != -EINVAL) fail_msg("taken: %s", bad[i]);
        assert_true(strlen(err) > 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_at_every_byte_and_pipelines),
        cmocka_unit_test(long_line_is_kept_and_given_back),
        cmocka_unit_test(endless_line_ends_the_connection),
        cmocka_unit_test(large_bodies_go_to_the_sink),
        cmocka_unit_test(slow_reader_is_held_back),
        cmocka_unit_test(references_are_released_when_the_reader_dies),
        cmocka_unit_test(many_references_in_one_batch),
        cmocka_unit_test(large_reference_is_not_copied),
        cmocka_unit_test(one_greedy_connection_yields),
        cmocka_unit_test(half_closed_sockets_are_answered),
        cmocka_unit_test(close_sends_what_waits),
        cmocka_unit_test(produces_fairly_and_goes_on),
        cmocka_unit_test(parked_until_resumed_from_elsewhere),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(room_between_looking_and_parking_counts),
        cmocka_unit_test(others_may_write_and_kick),
        cmocka_unit_test(refuses_at_the_limit),
        cmocka_unit_test(waits_at_the_limit),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(closed_with_bytes_waiting),
        cmocka_unit_test(bytes_and_end_told_once),
        cmocka_unit_test(drains),
        cmocka_unit_test(idle_connections_cost_little),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(reads_addresses),
    };
    mallopt(M_ARENA_MAX, 1); /* so that mallinfo2 tells of every thread */
    pattern = malloc(PATTERN_BYTES);
    CHECK(pattern != NULL);
    for (size_t i = 0; i < PATTERN_BYTES; i++) pattern[i] = (char)('a' + (i * 7 + i / 251) % 26);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    free(pattern);
    return r;
}
