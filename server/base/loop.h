/* SPDX-License-Identifier: BSD-3-Clause
 *
 * loop - libevent as this project uses it: event bases for one thread each, and a way for other threads to wake one.
 *
 * A base belongs to the thread that runs it: workers, the acceptor and main have one each. libevent takes no lock in
 * them, so another thread may do one thing only: loop_wake.
 */
#ifndef TAGCACHED_BASE_LOOP_H
#define TAGCACHED_BASE_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

/* A base on epoll. NULL: the process has no descriptor or memory left, or the system offers no edge-triggered events.
 * Any thread; the base then belongs to the thread that runs it. Free it with event_base_free, after its last event. */
struct event_base *loop_new(void);

/* Lets other threads wake a loop: an eventfd, which the loop watches. */
struct loop_waker {
    struct event event;
    int fd; /* -1: not made */
    void (*fn)(void *arg);
    void *arg;
};

/* Has `base` call fn(arg), on its own thread, once or more after each loop_wake. Before the loop runs, or on its
 * thread. 0 or -errno. */
int loop_waker_init(struct loop_waker *w, struct event_base *base, void (*fn)(void *arg), void *arg);
/* Stops watching and closes. The loop's thread, or any once that has ended; harmless when nothing was made (fd -1). */
void loop_waker_fini(struct loop_waker *w);
/* Any thread, never blocks. */
void loop_wake(struct loop_waker *w);

#endif
