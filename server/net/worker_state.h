/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker_state - a worker as the files of this folder see it, and the small operations on it.
 *
 * Threads: other threads touch only what stands under "Written by other threads", and read the metrics. All else
 * belongs to the worker's thread, and the functions here are called on it unless they say otherwise.
 */
#ifndef TAGCACHED_NET_WORKER_STATE_H
#define TAGCACHED_NET_WORKER_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "base/check.h"
#include "base/loop.h"
#include "base/sync.h"
#include "net/conn_room.h"
#include "net/net_config.h"
#include "net/post.h"

#define NET_READ_MAX 65536                   /* bytes asked of the kernel at once */
#define NET_KEPT_MAX 16384                   /* kept input up to this is moved in front of the next read's */
#define NET_OUT_BYTES (256 * 1024)           /* a worker's output buffer */
#define NET_OUT_FULL (NET_OUT_BYTES - 65536) /* output from which a handler should stop */
#define NET_IOV_MAX 1024                     /* spans of one gathered write */

TAILQ_HEAD(conn_list, conn);

struct net_erasing;

struct net_ref {
    uint64_t token;
    uint32_t iov; /* its place in the array */
};

/* The output being built: bytes in buf, and once there is a reference an array of spans. */
struct net_out {
    struct conn_room room; /* in buf; nobody's: empty */
    char *buf;             /* NET_OUT_BYTES */
    char *start;           /* not in iov yet from here on */
    size_t full;           /* bytes from which a handler should stop */
    size_t ref_bytes;
    unsigned niov, nref;
    struct iovec iov[NET_IOV_MAX];
    struct net_ref refs[NET_IOV_MAX];
};

struct net_worker {
    struct net *net;
    void *context;
    void (*let_go)(void *context);
    char *in;             /* NET_KEPT_MAX + NET_READ_MAX, and padding */
    size_t read_max;      /* bytes asked of the kernel at once, but for bodies that go elsewhere */
    struct conn *current; /* whose upcalls run */
    struct net_out *out;
    struct conn_list conns, again, parked;
    struct conn_list fresh;      /* those that were read since they were last found quiet */
    struct conn_list holds;      /* those that hold something, by when bytes last came or went */
    struct conn_list links;      /* links that send at the end of this round */
    struct net_erasing *erasing; /* worker_erase.c; NULL: nothing is under way */
    unsigned deadlines;          /* connections with a deadline */
    uint64_t share;              /* bytes that they may hold together */
    uint32_t now_s;              /* seconds of boot time, as of the last tick */
    uint64_t room_seen;          /* `room` as the present upcalls began */
    uint64_t buffer_bytes;       /* atomic gauge */
    uint64_t held, most;         /* bytes in connections and their buffers: now, the most in this second */
    uint64_t needed;             /* the most since memory went back to the system */
    bool stop;
    bool draining;
    unsigned index;
    struct event_base *base;
    struct event alarm; /* worker_alarm */
    void (*alarm_fn)(struct net_worker *w, void *arg);
    void *alarm_arg;
    pthread_t thread;
    bool started;
    char *scratch; /* CONN_RESERVE_MAX bytes for output nobody will get */
    uint64_t metrics[NET_METRICS];

    /* Written by other threads. */
    struct sync_stack posts __attribute__((aligned(SYNC_CACHE_LINE)));
    uint32_t woken; /* since it last took the posts */
    struct sync_spin room_lock;
    uint64_t room;    /* times somebody called worker_resume_all */
    uint32_t nparked; /* connections parked */
    uint32_t resume;  /* the parked ones shall go on */
    uint32_t resting; /* no tick is needed; the worker's to write, the acceptor's to read */
    struct loop_waker waker;
    struct net_post tick_post, drain_post, stop_post;
} __attribute__((aligned(SYNC_CACHE_LINE)));

/* Serves the connection again soon, after the others have had their turn. */
void worker_again(struct net_worker *w, struct conn *c);
/* Seconds of boot time now, which costs a reading of the clock; now_s is what the last tick read. Any thread. */
uint32_t worker_boot_s(const struct net_worker *w);
/* Counts c as one that waits for room, until worker_unpark: worker_resume_all resumes it. Room that was announced since
 * the upcalls of now began (room_seen) resumes it as well. */
void worker_park(struct net_worker *w, struct conn *c);
void worker_unpark(struct net_worker *w, struct conn *c);
/* Ends the wait of its loop. Any thread. */
void worker_wake(struct net_worker *w);
/* Ends the worker's rest: something has happened that a tick has to look at. */
void worker_stir_slow(struct net_worker *w);
static inline void worker_stir(struct net_worker *w) {
    if (unlikely(sync_load(&w->resting))) worker_stir_slow(w);
}

/* Adds v to a counter. */
static inline void worker_bump(struct net_worker *w, enum net_metric m, uint64_t v) {
    sync_bump(&w->metrics[m], v);
}

/* Has the layer above let go of what it keeps open between upcalls (net_config.h). */
static inline void worker_let_go(const struct net_worker *w) {
    if (w->let_go != NULL) w->let_go(w->context);
}

/* Says that connections take so many bytes more (or, below 0, less) of memory. */
static inline void worker_hold(struct net_worker *w, int64_t bytes) {
    w->held += (uint64_t)bytes;
    if (w->held > w->most) w->most = w->held;
}

#endif
