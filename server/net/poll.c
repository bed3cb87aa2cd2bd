/* SPDX-License-Identifier: BSD-3-Clause
 *
 * poll - which descriptors are ready: epoll, without timers, priorities or locks between it and who serves them. A
 * round costs one system call and a call of `ready` for each event; an event library's queues, one more layer of
 * callbacks and its bookkeeping by descriptor are most of what a small request costs before anything looks at it.
 */
#include <errno.h>
#include <string.h>

#include "net/net_internal.h"

int poll_arm(struct net_worker *w, struct net_source *s, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = s};
    /* Told of a readiness until it is used up, the kernel looks at each socket once more in the next round. */
    if (s->edge && what == NET_READ) e.events |= EPOLLET | EPOLLRDHUP;
    int op = what == 0 ? EPOLL_CTL_DEL : s->armed == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (what == s->armed) return 0;
    if (epoll_ctl(w->epoll_fd, op, s->fd, &e) != 0) return -errno;
    s->armed = (uint16_t)what;
    return 0;
}

void poll_forget(struct net_worker *w, struct net_source *s) {
    (void)poll_arm(w, s, 0);
    for (unsigned i = w->next_event; i < w->nevents; i++)
        if (w->events[i].data.ptr == s) w->events[i].data.ptr = NULL;
}

/* Of thousands of connections each is cold when its turn comes. */
static inline void prefetch_conn(const void *source) {
    __builtin_prefetch(source);
    __builtin_prefetch((const char *)source + offsetof(struct conn, session) - offsetof(struct conn, source));
}

int poll_round(struct net_worker *w, bool wait) {
    int n = epoll_wait(w->epoll_fd, w->events, NET_EVENTS, wait ? -1 : 0);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    w->nevents = (unsigned)n;
    for (w->next_event = 0; w->next_event < w->nevents;) {
        const struct epoll_event *e = &w->events[w->next_event++];
        struct net_source *s = e->data.ptr;
        if (w->next_event < w->nevents) prefetch_conn(w->events[w->next_event].data.ptr);
        if (s == NULL) continue; /* an earlier one of this round has ended it */
        uint32_t what = e->events & s->armed;
        /* A broken connection is ready for whatever it is wanted for, and says why when that is tried. */
        if (unlikely((e->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)) what = s->armed | (uint32_t)NET_LAST;
        if (s->armed != 0 && what != 0) s->ready(s, what);
    }
    w->nevents = 0;
    return 0;
}
