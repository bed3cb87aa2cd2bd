/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/cluster/faultconn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_NS 50000000u /* after a connection broke */

void faultconn_init(struct faultconn *c, const struct faultconn_upcalls *up, void *owner, int epoll,
                    const struct sockaddr_in *to, unsigned node) {
    *c = (struct faultconn){.up = up, .owner = owner, .epoll = epoll, .to = *to, .node = node, .fd = -1};
}

void faultconn_fini(struct faultconn *c) {
    if (c->fd >= 0) close(c->fd);
    free(c->out);
    free(c->in);
}

bool faultconn_has_room(const struct faultconn *c, unsigned most) {
    return c->is_open && c->nwaiting < most;
}

static void make_room(char **bytes, size_t *room, size_t need) {
    if (need <= *room) return;
    *room = need * 2 > 4096 ? need * 2 : 4096;
    *bytes = realloc(*bytes, *room);
    if (*bytes == NULL) abort();
}

static void break_off(struct faultconn *c, uint64_t now_ns) {
    close(c->fd);
    c->fd = -1;
    c->is_open = c->is_blocked = false;
    c->again_ns = now_ns + AGAIN_NS;
    c->out_n = c->in_n = 0;
    for (; c->nwaiting > 0; c->nwaiting--) {
        const struct faultconn_request r = c->waiting[c->first];
        c->first = (c->first + 1) % FAULTCONN_UNANSWERED;
        c->up->lost(c->owner, c, &r);
    }
}

void faultconn_ask(struct faultconn *c, const struct faultconn_request *r, const char *bytes, size_t n) {
    make_room(&c->out, &c->out_room, c->out_n + n);
    memcpy(c->out + c->out_n, bytes, n);
    c->out_n += n;
    c->waiting[(c->first + c->nwaiting++) % FAULTCONN_UNANSWERED] = *r;
}

static void watch(struct faultconn *c, int op) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (c->is_blocked || !c->is_open) e.events |= EPOLLOUT;
    epoll_ctl(c->epoll, op, c->fd, &e);
}

void faultconn_flush(struct faultconn *c) {
    if (!c->is_open || c->is_blocked || c->out_n == 0) return;
    const ssize_t n = send(c->fd, c->out, c->out_n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
        c->out_n -= (size_t)n;
        memmove(c->out, c->out + n, c->out_n);
    }
    if (c->out_n > 0) { /* an error shows when epoll tells of it */
        c->is_blocked = true;
        watch(c, EPOLL_CTL_MOD);
    }
}

void faultconn_tick(struct faultconn *c, uint64_t now_ns) {
    if (c->fd >= 0 || now_ns < c->again_ns) return;
    const int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) abort();
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (const struct sockaddr *)&c->to, sizeof c->to) != 0 && errno != EINPROGRESS) {
        break_off(c, now_ns);
        return;
    }
    watch(c, EPOLL_CTL_ADD);
}

uint64_t faultconn_waits_since(const struct faultconn *c) {
    return c->nwaiting > 0 ? c->waiting[c->first].sent_ns : 0;
}

/* Hands over the answers that are there whole, and keeps the rest. */
static void take_answers(struct faultconn *c) {
    size_t at = 0;
    while (c->nwaiting > 0) {
        char *line = c->in + at, *end = memchr(line, '\n', c->in_n - at);
        struct faultconn_answer a = {.line = line};
        if (end == NULL || end == line || end[-1] != '\r') break;
        size_t next = (size_t)(end + 1 - c->in);
        if (strncmp(line, "VA ", 3) == 0) {
            a.n = strtoul(line + 3, NULL, 10);
            a.data = c->in + next;
            next += a.n + 2;
            if (next > c->in_n) break;
        }
        end[-1] = 0;
        const struct faultconn_request r = c->waiting[c->first];
        c->first = (c->first + 1) % FAULTCONN_UNANSWERED;
        c->nwaiting--;
        c->up->answered(c->owner, c, &r, &a);
        at = next;
    }
    c->in_n -= at;
    memmove(c->in, c->in + at, c->in_n);
}

void faultconn_ready(struct faultconn *c, uint32_t events, uint64_t now_ns) {
    if (c->fd < 0) return; /* it broke in this round */
    if (!c->is_open) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
            break_off(c, now_ns);
            return;
        }
        c->is_open = true;
        watch(c, EPOLL_CTL_MOD);
        return;
    }
    if ((events & EPOLLOUT) != 0 && c->is_blocked) {
        c->is_blocked = false;
        faultconn_flush(c);
        if (!c->is_blocked) watch(c, EPOLL_CTL_MOD);
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0) return;
    make_room(&c->in, &c->in_room, c->in_n + 16384 + 1);
    const ssize_t n = recv(c->fd, c->in + c->in_n, 16384, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        break_off(c, now_ns);
        return;
    }
    c->in_n += (size_t)n;
    take_answers(c);
}
