/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soak_run - a soak thread: its connections, and what becomes of them.
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
#include <unistd.h>

#include "proc.h"
#include "soak.h"

#define RECEIVE_BYTES (1u << 18)
#define TIMED_BYTES 65536 /* batches of more value bytes are not timed: they measure the size, not the server */
#define RECONNECT_IN 300  /* one batch in so many is the last of its connection.. */
#define ABORT_IN 1000     /* ..is cut short, and the connection with it.. */
#define SLOW_IN 1000      /* ..is read late */
#define SLOW_NS 300000000ull
#define STUCK_NS 30000000000ull

int soak_connect(const struct soak *s) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *ai;
    char service[16];
    snprintf(service, sizeof service, "%d", s->port);
    if (getaddrinfo(s->host, service, &hints, &ai)) soak_die("cannot resolve %s", s->host);
    int fd = socket(ai->ai_family, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
        soak_die("connect %s:%d: %s", s->host, s->port, strerror(errno));
    freeaddrinfo(ai);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static void set_events(struct soak_thread *t, struct soak_conn *c, uint32_t events, int how) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(t->epoll, how, c->fd, &e)) soak_die("epoll_ctl: %s", strerror(errno));
}

static void watch(struct soak_thread *t, struct soak_conn *c) {
    set_events(t, c, (c->slow ? 0u : (uint32_t)EPOLLIN) | (c->want_write ? (uint32_t)EPOLLOUT : 0u), EPOLL_CTL_MOD);
}

static void reconnect(struct soak_thread *t, struct soak_conn *c) {
    close(c->fd);
    c->fd = soak_connect(t->soak);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    t->slow -= c->slow;
    c->want_write = c->slow = c->in_value = false;
    c->line_len = 0;
    c->value_key = 0;
    t->counts.reconnects++;
    set_events(t, c, EPOLLIN, EPOLL_CTL_ADD);
}

/* Sends what the socket takes. False: the connection broke. */
static bool send_out(struct soak_thread *t, struct soak_conn *c) {
    size_t end = c->cut ? c->cut : c->out_len;
    bool waiting = false;
    while (c->out_off < end && !waiting) {
        ssize_t n = send(c->fd, c->out + c->out_off, end - c->out_off, MSG_NOSIGNAL);
        if (n > 0)
            c->out_off += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            waiting = true;
        else if (n < 0 && errno != EINTR)
            return false;
    }
    if (waiting != c->want_write) {
        c->want_write = waiting;
        watch(t, c);
    }
    return true;
}

static void start_batch(struct soak_thread *t, struct soak_conn *c);

/* The connection ends here; it goes on as a new one. */
static void broken(struct soak_thread *t, struct soak_conn *c) {
    soak_lose(t, c, c->out_off);
    reconnect(t, c);
    t->active--;
    start_batch(t, c);
}

static void start_batch(struct soak_thread *t, struct soak_conn *c) {
    if (t->soak->stop) return;
    soak_build(t, c);
    if (!c->nops) soak_die("too few keys for so many connections");
    c->cut = rng_next(&t->rng) % ABORT_IN == 0 ? 1 + rng_next(&t->rng) % c->out_len : 0;
    if (!c->cut && rng_next(&t->rng) % SLOW_IN == 0) {
        c->slow = true;
        c->read_at_ns = proc_now_ns() + SLOW_NS;
        t->slow++;
        watch(t, c);
    }
    c->sent_ns = proc_now_ns();
    t->active++;
    if (!send_out(t, c)) {
        t->counts.closed++;
        broken(t, c);
    }
}

static void batch_done(struct soak_thread *t, struct soak_conn *c, bool timed) {
    if (timed && c->bytes < TIMED_BYTES) hist_add(&t->latency, proc_now_ns() - c->sent_ns);
    t->active--;
    if (rng_next(&t->rng) % RECONNECT_IN == 0) reconnect(t, c);
    start_batch(t, c);
}

static void on_readable(struct soak_thread *t, struct soak_conn *c) {
    ssize_t n = recv(c->fd, t->buf, RECEIVE_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        t->counts.closed++;
        broken(t, c);
        return;
    }
    bool was_slow = c->read_at_ns > c->sent_ns;
    uint64_t unexpected = t->counts.unexpected;
    soak_reply(t, c, t->buf, (size_t)n);
    if (t->counts.unexpected != unexpected) { /* out of step: only a new connection helps */
        broken(t, c);
        return;
    }
    if (c->cur < c->nops) return;
    if (c->in_value || c->line_len) soak_die("bytes behind the last reply");
    if (c->out_off < (c->cut ? c->cut : c->out_len)) return; /* a block that was refused is still owed: see on_event */
    batch_done(t, c, !was_slow);
}

static void on_event(struct soak_thread *t, struct soak_conn *c, uint32_t events) {
    if (events & EPOLLOUT) {
        if (!send_out(t, c)) {
            t->counts.closed++;
            broken(t, c);
            return;
        }
    }
    if (c->cut && c->out_off == c->cut) { /* hang up in the middle of it all */
        t->counts.aborted++;
        broken(t, c);
        return;
    }
    if ((events & EPOLLOUT) && c->cur == c->nops && c->out_off == c->out_len) {
        batch_done(t, c, false);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(t, c);
}

/* Slow readers whose time has come, batches cut short, and those that never get an answer. */
static void look_around(struct soak_thread *t) {
    uint64_t now = proc_now_ns();
    for (unsigned i = 0; i < t->soak->conns; i++) {
        struct soak_conn *c = &t->conns[i];
        if (c->cur == c->nops) continue;
        if (c->slow && now > c->read_at_ns) {
            c->slow = false;
            t->slow--;
            watch(t, c);
        } else if (c->cut && c->out_off == c->cut) {
            t->counts.aborted++;
            broken(t, c);
        } else if (now - c->sent_ns > STUCK_NS)
            soak_die("no reply for %d s", (int)(STUCK_NS / 1000000000));
    }
}

static void open_conns(struct soak_thread *t) {
    struct soak *s = t->soak;
    t->conns = calloc(s->conns, sizeof *t->conns);
    t->buf = malloc(RECEIVE_BYTES);
    t->lost = calloc((size_t)s->keys + 1, sizeof *t->lost);
    if (!t->conns || !t->buf || !t->lost) soak_die("out of memory");
    for (unsigned i = 0; i < s->conns; i++) {
        struct soak_conn *c = &t->conns[i];
        c->fd = soak_connect(s);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        set_events(t, c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

void *soak_run(void *thread) {
    struct soak_thread *t = thread;
    struct epoll_event ev[64];
    uint64_t looked = 0;
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    open_conns(t);
    pthread_mutex_lock(&t->lock);
    for (unsigned i = 0; i < t->soak->conns; i++) start_batch(t, &t->conns[i]);
    pthread_mutex_unlock(&t->lock);
    while (t->active) {
        int n = epoll_wait(t->epoll, ev, 64, 20);
        pthread_mutex_lock(&t->lock);
        for (int i = 0; i < n; i++) on_event(t, ev[i].data.ptr, ev[i].events);
        if (proc_now_ns() - looked > 20000000) {
            look_around(t);
            looked = proc_now_ns();
        }
        pthread_mutex_unlock(&t->lock);
    }
    for (unsigned i = 0; i < t->soak->conns; i++) {
        close(t->conns[i].fd);
        free(t->conns[i].out);
    }
    close(t->epoll);
    free(t->conns);
    free(t->lost);
    free(t->buf);
    return NULL;
}
