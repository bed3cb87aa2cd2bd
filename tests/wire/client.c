/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/wire/client.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "proto/binary.h"
#include "tests/wire/script_packet.h"

uint64_t client_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void client_drain(struct client *l) {
    char buf[65536];
    while (!l->ended) {
        ssize_t n = recv(l->fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n > 0)
            bytes_add(&l->in, buf, (size_t)n);
        else if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        else
            l->ended = true;
    }
}

bool client_poll(struct client *l, bool writing, uint64_t until) {
    uint64_t now = client_now_ms();
    struct pollfd p = {l->fd, (short)(POLLIN | (writing ? POLLOUT : 0)), 0};
    if (now >= until || poll(&p, 1, (int)(until - now)) == 0) return false;
    if (p.revents & (POLLIN | POLLHUP | POLLERR)) client_drain(l);
    return true;
}

void client_settle(struct client *l) {
    uint64_t until = client_now_ms() + 200;
    int left = 1;
    while (ioctl(l->fd, SIOCOUTQ, &left) == 0 && left > 0 && !l->ended && client_now_ms() < until) {
        client_drain(l);
        sched_yield();
    }
}

int client_send(struct client *l, const char *p, size_t n) {
    uint64_t until = client_now_ms() + CLIENT_PATIENCE_MS;
    while (n > 0 && !l->ended) {
        ssize_t k = send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        } else if (k < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            client_drain(l);
            l->ended = true;
        } else if (!client_poll(l, true, until)) {
            return -1;
        }
    }
    return 0;
}

int client_send_split(struct client *l, const char *p, size_t n) {
    for (size_t i = 0, k; i < n && !l->ended; i += k) {
        k = n > 4096 && i >= 1024 && i + 1256 < n ? 1000 : 1;
        if (client_send(l, p + i, k) != 0) return -1;
        client_settle(l);
    }
    return 0;
}

bool client_await(struct client *l, size_t n) {
    uint64_t until = client_now_ms() + CLIENT_PATIENCE_MS;
    client_drain(l);
    while (l->in.n < n && !l->ended && client_poll(l, false, until)) {}
    return l->in.n >= n;
}

size_t client_await_line(struct client *l) {
    uint64_t until = client_now_ms() + CLIENT_PATIENCE_MS;
    client_drain(l);
    for (;;) {
        char *end = l->in.n == 0 ? NULL : memchr(l->in.p, '\n', l->in.n);
        if (end != NULL) return (size_t)(end - l->in.p) + 1;
        if (l->ended || !client_poll(l, false, until)) return 0;
    }
}

size_t client_await_packet(struct client *l) {
    uint64_t until = client_now_ms() + CLIENT_PATIENCE_MS;
    client_drain(l);
    for (;;) {
        const size_t n = script_packet_length(l->in.p, l->in.n);
        if (n > 0) return n;
        if (l->ended || (l->in.n > 0 && (unsigned char)l->in.p[0] != BINARY_ANSWER)) return 0;
        if (!client_poll(l, false, until)) return 0;
    }
}
