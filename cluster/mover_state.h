/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mover_state - the mover as its two files share it: mover_thread.c has the thread, the machine and the messages to it,
 * mover_link.c the links.
 */
#ifndef TAGCACHED_CLUSTER_MOVER_STATE_H
#define TAGCACHED_CLUSTER_MOVER_STATE_H

#include <pthread.h>
#include <sys/queue.h>

#include "base/loop.h"
#include "base/sync.h"
#include "cluster/mover.h"
#include "cluster/outbuf.h"
#include "proto/peer_codec.h"

#define MOVER_INPUT (PEER_CONTROL_MAX + OUTBUF_HEADER)

struct mover_link {
    TAILQ_ENTRY(mover_link) entry;
    struct mover *m;
    uint32_t member;
    bool gaining;
    bool finishing; /* what is queued is the last */
    bool finished;  /* and has left: whatever still comes is thrown away, until the other side ends */
    bool broken;    /* it could not take a message: it ends when the machine has been left */
    bool dead;      /* to be freed then */
    struct stream s;
    struct event on_read, on_write;
    struct outbuf out;
    size_t owed; /* bytes of `out` that an erasing waits for */
    size_t n;    /* bytes of `in` */
    uint8_t in[MOVER_INPUT];
};

/* A share of a CPU, as credit in nanoseconds of it (thread's own clocks; the machine's clock may be a test's). */
struct pace {
    unsigned percent; /* of one CPU */
    int64_t credit_ns;
    uint64_t cpu_ns, real_ns; /* when the credit was counted last: CPU time used, and the time */
};

struct mover {
    struct mover_config cfg;
    struct event_base *base;
    struct loop_waker waker;
    struct event *timer;
    struct pace pace;
    pthread_t thread;
    bool started;
    uint32_t ending; /* atomic */
    struct sync_stack tasks;
    struct handoff *handoff;
    struct move *move; /* the present one; NULL: none */
    uint64_t ring_version;
    bool was_active;
    TAILQ_HEAD(, mover_link) links;
    struct peer_arena arena;
    struct peer_counts counts;
    uint8_t *packed; /* PEER_CONTROL_MAX bytes */

    uint32_t erase; /* atomic: somebody asks for what mover_erase promises; until then his are: */
    bool erasing;   /* it is under way */
    void (*erased)(void *arg);
    void *erased_arg;

    pthread_mutex_t lock; /* guards what follows, which other threads read */
    struct mover_sight sight;
};

/* ---- mover_link.c */

/* Takes a link over. */
void mover_link_new(struct mover *m, uint32_t member, bool gaining, struct stream s);
struct mover_link *mover_link_find(struct mover *m, uint32_t member, bool gaining);
/* Queues a message. */
void mover_link_send(struct mover_link *l, const struct peer_handoff *msg);
/* Nothing more will be sent: it ends when the rest has left and the other side has ended, too. */
void mover_link_finish(struct mover_link *l);
/* Sends what is queued on all, and frees those that are done. */
void mover_link_flush_all(struct mover *m);
/* Closes those that are finishing. */
void mover_link_close_finishing(struct mover *m);
void mover_link_free_all(struct mover *m);
/* What is queued now is waited for; whether some of it still is; overwrites what buffers do not need. */
void mover_link_mark(struct mover *m);
bool mover_link_owes(const struct mover *m);
void mover_link_erase(struct mover *m);

/* ---- mover_thread.c */

/* A message came; or the link has ended by itself. */
void mover_received(struct mover *m, uint32_t member, bool gaining, const struct peer_handoff *msg);
void mover_link_ended(struct mover *m, uint32_t member, bool gaining);
/* Something has happened: what is queued is sent, the timer set, others are told. */
void mover_round(struct mover *m);

#endif
