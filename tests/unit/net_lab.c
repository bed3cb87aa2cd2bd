/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"

char pattern[PATTERN_BYTES];

/* ------------------------------------------------------------------ the handler */

static struct net_lab *lab_of(struct conn *c) {
    return worker_context(conn_worker(c));
}

/* What this thread, a worker, keeps open from one input to the next. */
static _Thread_local bool keeps;

static void keep(struct net_lab *l) {
    if (!keeps) sync_add(&l->keeping, 1);
    keeps = true;
}

static void let_go(void *lab) {
    if (keeps) sync_sub(&((struct net_lab *)lab)->keeping, 1);
    keeps = false;
}

static bool on_open(struct conn *c, void *session) {
    (void)session;
    CHECK(!keeps);
    sync_add(&lab_of(c)->opened, 1);
    return true;
}

static void on_close(struct conn *c, void *session) {
    struct session *s = session;
    CHECK(!keeps);
    free(s->bytes);
    sync_add(&lab_of(c)->closed, 1);
}

static void on_release(struct conn *c, uint64_t token) {
    CHECK(token >= 1000);
    sync_add(&lab_of(c)->releases, 1);
}

void reply(struct conn *c, const char *text) {
    conn_write(c, text, strlen(text));
}

static void note_pending(struct conn *c) {
    struct net_lab *l = lab_of(c);
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
    conn_set_body(c, false);
    for (uint64_t i = 0; i < s->body; i++) s->sum += (unsigned char)s->bytes[i];
    snprintf(text, sizeof text, "body %llu %llu\n", (unsigned long long)s->body, (unsigned long long)s->sum);
    reply(c, text);
    free(s->bytes);
    s->bytes = NULL;
    s->sum = 0;
}

static void run_line(struct conn *c, struct session *s, const char *line) {
    struct net_lab *l = lab_of(c);
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
        conn_set_body(c, n > 0);
    } else if (strcmp(line, "park") == 0) {
        s->waiting = true;
        sync_store(&l->last, c);
        conn_park(c);
        sync_add_acqrel(&l->parked, 1);
    } else if (strcmp(line, "wait") == 0) {
        s->waiting = true;
        sync_store(&l->last, c);
        conn_wait(c);
        sync_add_acqrel(&l->parked, 1);
    } else if (sscanf(line, "hold %llu", &n) == 1) {
        conn_hold(c, n);
        reply(c, "holding\n");
    } else if (strcmp(line, "quiet") == 0) {
        sync_add_acqrel(&l->quiet, 1);
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
    keep(lab_of(c));
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

static char *body_space(struct conn *c, void *session, size_t *n) {
    struct session *s = session;
    (void)c;
    CHECK(!keeps);
    if (s->body_left == 0) return NULL;
    *n = s->body_left;
    return s->bytes + s->body - s->body_left;
}

static void body_received(struct conn *c, void *session, size_t n) {
    struct session *s = session;
    CHECK(!keeps);
    s->body_left -= n;
    sync_add(&lab_of(c)->received, n);
    if (s->body_left == 0) body_done(c, s);
}

static void on_produce(struct conn *c, void *session) {
    struct session *s = session;
    CHECK(!keeps);
    sync_add(&lab_of(c)->produced, 1);
    if (s->watching) return;
    for (int i = 0; i < 100 && s->produce_left > 0 && !conn_full(c); i++, s->produce_left--) reply(c, "produced\n");
    if (s->produce_left > 0) return;
    reply(c, "end\n");
    conn_set_producer(c, false);
    conn_resume(c);
}

const struct net_handler net_lab_handler = {
    .session_size = sizeof(struct session),
    .open = on_open,
    .input = on_input,
    .body_space = body_space,
    .body_received = body_received,
    .produce = on_produce,
    .release = on_release,
    .close = on_close,
};

void net_lab_resume_last(struct net_worker *w, void *lab) {
    (void)w;
    CHECK(!keeps);
    conn_resume(((struct net_lab *)lab)->last);
}

/* ------------------------------------------------------------------ the lab */

static void *lab_context(void *arg, unsigned worker) {
    (void)worker;
    return arg;
}

static uint64_t counted_boot_ns(const struct clock *clock) {
    struct net_lab *l = (struct net_lab *)((uintptr_t)clock - offsetof(struct net_lab, clock));
    sync_add(&l->clock_reads, 1);
    return sync_load(&l->clock.boot_ns);
}

static void make_pattern(void) {
    if (pattern[0] != 0) return;
    for (size_t i = 0; i < PATTERN_BYTES; i++) pattern[i] = (char)('a' + (i * 7 + i / 251) % 26);
}

struct net_lab *net_lab_new_config(struct net_config cfg) {
    struct net_listen listen = {.host = "127.0.0.1", .port = 0};
    struct net_lab *l = calloc(1, sizeof *l);
    char err[256];
    assert_non_null(l);
    make_pattern();
    clock_manual_init(&l->clock, 1000000000000, 1700000000);
    l->clock.clock.boot_ns = counted_boot_ns;
    if (cfg.threads == 0) cfg.threads = 1;
    if (cfg.max_connections == 0) cfg.max_connections = 20000;
    if (cfg.backlog == 0) cfg.backlog = 1024;
    if (cfg.batches_per_event == 0) cfg.batches_per_event = 20;
    if (cfg.unix_path == NULL && cfg.listen == NULL) {
        cfg.listen = &listen;
        cfg.nlisten = 1;
    }
    cfg.handler = &net_lab_handler;
    cfg.context = lab_context;
    cfg.context_arg = l;
    cfg.let_go = let_go;
    cfg.clock = &l->clock.clock;
    if (net_new(&cfg, &l->net, err, sizeof err) != 0) fail_msg("net_new: %s", err);
    assert_int_equal(net_start(l->net), 0);
    return l;
}

struct net_lab *net_lab_new(void) {
    return net_lab_new_config((struct net_config){0});
}

void net_lab_free(struct net_lab *l) {
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

int dial(struct net_lab *l) {
    return dial_port(net_port(l->net, 0));
}

int dial_port(unsigned port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void put(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

void say(int fd, const char *text) {
    put(fd, text, strlen(text));
}

void take(int fd, char *p, size_t n) {
    while (n > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
        ssize_t k = recv(fd, p, n, 0);
        assert_true(k > 0);
        p += k;
        n -= (size_t)k;
    }
}

void hear(int fd, const char *text) {
    char got[4096];
    size_t n = strlen(text);
    assert_true(n < sizeof got);
    take(fd, got, n);
    got[n] = 0;
    assert_string_equal(got, text);
}

void hear_end(int fd) {
    char c;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    ssize_t k = recv(fd, &c, 1, 0);
    assert_true(k == 0 || (k < 0 && errno == ECONNRESET));
    close(fd);
}

void hear_pattern(int fd, size_t n) {
    char *got = malloc(n);
    take(fd, got, n);
    assert_memory_equal(got, pattern, n);
    free(got);
}

static void post_done(struct net_worker *w, void *arg) {
    (void)w;
    sync_store_rel((uint32_t *)arg, 1);
}

void await_worker(struct net_lab *l, unsigned i) {
    uint32_t done = 0;
    struct net_post post = {0};
    worker_post(net_worker_at(l->net, i), &post, post_done, &done);
    while (!sync_load_acq(&done)) sched_yield();
}

void await(uint64_t *counter, uint64_t value) {
    while (sync_load_acq(counter) < value) sched_yield();
}

void await_read(struct net_lab *l, uint64_t bytes) {
    while (net_metric(l->net, NET_METRIC_bytes_read) < bytes) sched_yield();
}
