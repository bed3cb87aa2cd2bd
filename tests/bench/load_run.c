/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load_run - a load thread: its connections, its event loop, one phase after another.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "load.h"
#include "proc.h"
#include "zipf.h"

#define EVENTS 256
#define RECEIVE_BYTES (1u << 20)

static int connect_unix(const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path) load_die("socket path too long");
    memcpy(a.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a)) load_die("connect %s: %s", path, strerror(errno));
    return fd;
}

int load_connect(const struct load_config *cfg, int port) {
    if (!port) return connect_unix(cfg->unix_path);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *ai;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(cfg->host, service, &hints, &ai)) load_die("cannot resolve %s", cfg->host);
    int fd = socket(ai->ai_family, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
        load_die("connect %s:%d: %s", cfg->host, port, strerror(errno));
    freeaddrinfo(ai);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void want_write(struct load_thread *t, struct load_conn *c, bool on) {
    if (c->want_write == on) return;
    struct epoll_event e = {.events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(t->epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->want_write = on;
}

static void send_out(struct load_thread *t, struct load_conn *c) {
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            want_write(t, c, true);
            return;
        }
        if (n < 0) load_die("send: %s", strerror(errno));
        c->out_off += (size_t)n;
        t->stats.bytes_out += (uint64_t)n;
    }
    want_write(t, c, false);
}

static bool start_batch(struct load_thread *t, struct load_conn *c, uint64_t since_ns) {
    if (!load_build(t, c)) return false;
    c->sent_ns = since_ns;
    if (!c->active) t->active++;
    c->active = true;
    send_out(t, c);
    return true;
}

static void stop_conn(struct load_thread *t, struct load_conn *c) {
    c->active = false;
    t->active--;
}

/* With --rate: connections without a batch under way. */
struct idle {
    struct load_conn **conns;
    int n;
};

static void start_due(struct load_thread *t, struct idle *idle, uint64_t now_ns) {
    while (idle->n && (double)now_ns >= t->due_ns && now_ns < t->end_ns && !load_signalled) {
        struct load_conn *c = idle->conns[--idle->n];
        if (!start_batch(t, c, (uint64_t)t->due_ns)) {
            idle->n++;
            return;
        }
        t->due_ns += t->due_step_ns;
    }
}

/* Reads what there is; a batch answered whole is followed by the next. */
static void on_readable(struct load_thread *t, struct load_conn *c, struct idle *idle) {
    ssize_t n = recv(c->fd, t->buf, t->buf_cap, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) load_die("recv: %s", strerror(errno));
    if (n == 0) load_die("the server closed the connection");
    uint64_t now = proc_now_ns();
    t->last_ns = now;
    t->stats.bytes_in += (uint64_t)n;
    load_reply(t, c, t->buf, (size_t)n, now);
    if (!c->active || c->cur < c->nreq) return;
    if (c->in_value || c->line_len) load_die("bytes behind the last reply");
    if (idle) {
        stop_conn(t, c);
        idle->conns[idle->n++] = c;
    } else if (now >= t->end_ns || load_signalled || !start_batch(t, c, now))
        stop_conn(t, c);
}

/* How long a thread with a rate may sleep: until a batch is due and a connection is free, or until its time is over. */
static uint64_t sleep_ns(const struct load_thread *t, const struct idle *idle) {
    const uint64_t now = proc_now_ns(), due = (uint64_t)t->due_ns;
    uint64_t until = now + 1000000000ull;
    if (!t->cfg->sleeps) return 0;
    if (t->end_ns < until) until = t->end_ns;
    if (idle->n && due < until) until = due;
    return until > now ? until - now : 0;
}

/* One wait for events. False when nothing came for --timeout. */
static bool serve_events(struct load_thread *t, struct idle *idle) {
    struct epoll_event ev[EVENTS];
    const uint64_t ns = idle ? sleep_ns(t, idle) : 1000000000ull;
    const struct timespec wait = {.tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull)};
    int k = epoll_pwait2(t->epoll, ev, EVENTS, &wait, NULL);
    if (k < 0 && errno != EINTR) load_die("epoll_pwait2: %s", strerror(errno));
    if (k <= 0 && t->active) return proc_now_ns() - t->last_ns < (uint64_t)t->cfg->timeout_s * 1000000000ull;
    for (int i = 0; i < k; i++) {
        struct load_conn *c = ev[i].data.ptr;
        if (ev[i].events & EPOLLOUT) send_out(t, c);
        if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(t, c, idle);
    }
    return true;
}

static void run_phase(struct load_thread *t) {
    struct idle idle = {0};
    bool paced = t->cfg->rate > 0 && t->phase == LOAD_RUN;
    t->active = 0;
    t->last_ns = t->start_ns;
    if (paced) {
        t->due_step_ns = 1e9 / (t->cfg->rate / t->cfg->threads);
        t->due_ns = (double)t->start_ns;
        idle.conns = load_alloc((size_t)t->nconns, sizeof(struct load_conn *));
        for (int i = 0; i < t->nconns; i++) idle.conns[idle.n++] = &t->conns[i];
    } else
        for (int i = 0; i < t->nconns; i++) start_batch(t, &t->conns[i], proc_now_ns());
    for (;;) {
        uint64_t now = paced ? proc_now_ns() : 0;
        if (paced) start_due(t, &idle, now);
        if (!t->active && (!paced || now >= t->end_ns || load_signalled)) break;
        if (!serve_events(t, paced ? &idle : NULL))
            load_die("no reply for %d s (%d connections wait)", t->cfg->timeout_s, t->active);
    }
    free(idle.conns);
}

static void open_conns(struct load_thread *t) {
    const struct load_config *cfg = t->cfg;
    size_t reqs = (size_t)(cfg->depth > cfg->fill_depth ? cfg->depth : cfg->fill_depth) * 2 + 4;
    size_t keys = reqs * (size_t)cfg->multiget;
    if (keys < 256) keys = 256;
    t->nconns = cfg->conns / cfg->threads + (t->id < cfg->conns % cfg->threads);
    t->conns = load_alloc((size_t)t->nconns, sizeof *t->conns);
    for (int i = 0; i < t->nconns; i++) {
        struct load_conn *c = &t->conns[i];
        c->req = load_alloc(reqs, sizeof *c->req);
        c->keys = load_alloc(keys, sizeof *c->keys);
        c->item = load_alloc(reqs, sizeof *c->item);
        c->pending = load_alloc(reqs, sizeof *c->pending);
        c->fd = load_connect(cfg, cfg->unix_path ? 0 : cfg->port);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, c->fd, &e)) load_die("epoll_ctl: %s", strerror(errno));
    }
}

static void close_conns(struct load_thread *t) {
    for (int i = 0; i < t->nconns; i++) {
        struct load_conn *c = &t->conns[i];
        close(c->fd);
        free(c->req);
        free(c->keys);
        free(c->item);
        free(c->pending);
        free(c->out);
    }
    free(t->conns);
    free(t->sequence);
    free(t->buf);
    close(t->epoll);
}

/* Draws the keys in advance, so that drawing costs the measured run nothing. Ranks are scattered over the numbers. */
static void draw_sequence(struct load_thread *t) {
    const struct load_config *cfg = t->cfg;
    struct zipf z;
    uint64_t rng = rng_mix(cfg->seed + 77 * (uint64_t)t->id);
    t->sequence = load_alloc(cfg->sequence, sizeof *t->sequence);
    if (cfg->zipf > 0) zipf_init(&z, cfg->zipf, cfg->keys);
    for (uint32_t i = 0; i < cfg->sequence; i++) {
        uint64_t k = cfg->zipf > 0 ? (zipf_draw(&z, &rng) - 1) * 2654435761ull + 12345 : rng_next(&rng);
        t->sequence[i] = (uint32_t)(k % cfg->keys);
    }
}

static uint64_t share(uint64_t total, int i, int n) {
    return total / (uint64_t)n + ((uint64_t)i < total % (uint64_t)n);
}

static void begin_phase(struct load_thread *t) {
    const struct load_config *cfg = t->cfg;
    late_free(&t->stats.late);
    memset(&t->stats, 0, sizeof t->stats);
    for (int i = 0; i < t->nconns; i++) t->conns[i].answered = 0;
    t->phase = t->load->phase;
    t->requests_left = t->end_ns = UINT64_MAX;
    t->start_ns = proc_now_ns();
    switch (t->phase) {
    case LOAD_FILL:
    case LOAD_SCAN:
        t->id_next = cfg->keys * (uint64_t)t->id / (uint64_t)cfg->threads;
        t->id_end = cfg->keys * (uint64_t)(t->id + 1) / (uint64_t)cfg->threads;
        break;
    case LOAD_WARM: t->end_ns = t->start_ns + (uint64_t)(cfg->warmup_s * 1e9); break;
    case LOAD_RUN:
        if (cfg->ops)
            t->requests_left = share(cfg->ops, t->id, cfg->threads);
        else
            t->end_ns = t->start_ns + (uint64_t)(cfg->duration_s * 1e9);
        break;
    case LOAD_TRACE:
        t->trace_next = 0;
        t->trace_end =
            cfg->trace_limit && cfg->trace_limit < t->load->trace_len ? cfg->trace_limit : t->load->trace_len;
        break;
    }
}

void *load_run(void *thread) {
    struct load_thread *t = thread;
    const struct load_config *cfg = t->cfg;
    if (cfg->ncpus) proc_pin(cfg->cpus[t->id % cfg->ncpus]);
    t->epoll = epoll_create1(0);
    t->buf_cap = RECEIVE_BYTES;
    t->buf = load_alloc(t->buf_cap, 1);
    t->rng = rng_mix(cfg->seed * 977 + (uint64_t)t->id + 1);
    open_conns(t);
    if (!cfg->fill_only && !cfg->trace_path) draw_sequence(t);
    for (;;) {
        pthread_barrier_wait(&t->load->barrier); /* main has set phase or leaving */
        if (t->load->leaving) break;
        begin_phase(t);
        run_phase(t);
        pthread_barrier_wait(&t->load->barrier);
    }
    close_conns(t);
    return NULL;
}
