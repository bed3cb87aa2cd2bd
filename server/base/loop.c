/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/loop.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct event_base *loop_new(void) {
    struct event_config *cfg = event_config_new();
    if (cfg == NULL) return NULL;
    /* No locks: one thread runs a base. No environment: EVENT_NOEPOLL would take the edge-triggered events away. No
     * cached time: a worker's base has no timers, so nobody reads the clock that libevent would read in each round. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NO_CACHE_TIME);
    event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    struct event_base *base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    const struct loop_waker *w = arg;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    (void)what;
    w->fn(w->arg);
}

int loop_waker_init(struct loop_waker *w, struct event_base *base, void (*fn)(void *arg), void *arg) {
    w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (w->fd < 0) return -errno;
    w->fn = fn;
    w->arg = arg;
    if (event_assign(&w->event, base, w->fd, EV_READ | EV_PERSIST, on_wake, w) == 0 && event_add(&w->event, NULL) == 0)
        return 0;
    close(w->fd);
    w->fd = -1;
    return -ENOMEM;
}

void loop_waker_fini(struct loop_waker *w) {
    if (w->fd < 0) return;
    event_del(&w->event);
    close(w->fd);
    w->fd = -1;
}

void loop_wake(struct loop_waker *w) {
    uint64_t one = 1;
    ssize_t n = write(w->fd, &one, sizeof one); /* fails only when the count is full: it is awake then */
    (void)n;
}
