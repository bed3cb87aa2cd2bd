/* SPDX-License-Identifier: BSD-3-Clause
 *
 * mover - the thread of the hand-off (tc-handoff): it drives the machine of handoff.h, has the links that items travel
 * on, and is the only one that scans and stores for it.
 *
 * It leaves the CPUs to those who serve clients: it has a higher niceness, works for a moment only, and then rests, so
 * that it keeps to a share of them.
 *
 * Why a thread and links of their own: a purge is acknowledged, and a lease renewed, within milliseconds by the
 * cluster's thread on the control links. Scanning a store, storing and encrypting 32 MiB/s would hold that thread up,
 * and an acknowledgement behind two chunks of items would come as late as these are long.
 *
 * Functions are called by the cluster's thread, unless they say otherwise. They never block; what they bring is done by
 * the mover's thread, in order. What has to be said to the cluster's thread comes back by the upcall `news`.
 */
#ifndef TAGCACHED_CLUSTER_MOVER_H
#define TAGCACHED_CLUSTER_MOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/handoff.h"
#include "cluster/stream.h"

struct clock;
struct mover;

#define MOVER_CPU_PERCENT 5 /* of the CPUs that the process may run on, at most; one CPU is all it can use */
#define MOVER_BURST_US 100  /* of CPU time at a time */
#define MOVER_SHOWN 64      /* transfers that operators see, at most */

/* What the machine said that others have to know. */
enum mover_news_kind {
    MOVER_ABANDONED, /* a transfer: progress, how */
    MOVER_DIAL,      /* member: a link to it is wanted again */
    MOVER_NEWER,     /* member: it goes by this version of the ring */
    MOVER_IDLE,      /* all is over that this version of the ring brought */
};
struct mover_news {
    enum mover_news_kind kind;
    struct handoff_progress progress;
    enum handoff_end how;
    uint32_t member;
    uint64_t version;
};

struct mover_config {
    uint64_t rate; /* bytes a second */
    const struct clock *clock;
    struct handoff_store store; /* called on the mover's thread */
    void *arg;
    /* On the mover's thread: the move that items belong to from now on; NULL: none. It holds it until the next one. */
    void (*set_move)(void *store_arg, struct move *m);
    uint64_t (*items)(void *store_arg); /* in the store, about */
    /* On the mover's thread, which does not wait for what is done about it. */
    void (*news)(void *arg, const struct mover_news *n);
};

/* 0 or -errno. */
int mover_new(const struct mover_config *cfg, struct mover **out);
int mover_start(struct mover *m);
/* Ends the thread; no upcall follows. Harmless if it was not started. */
void mover_stop(struct mover *m);
void mover_free(struct mover *m); /* NULL is allowed */

/* The ring has changed, which brings these transfers (copied) by this move (a reference is taken; NULL: nothing moves
 * any more). False: no memory, and nothing is handed over. */
bool mover_change(struct mover *m, struct move *move, uint64_t ring_version, const struct handoff_part *parts,
                  unsigned n);
/* All workers go by the ring of this version. */
void mover_settled(struct mover *m, uint64_t ring_version);
/* A link to a member; it is the mover's from now on. gaining: this node has dialled it. */
void mover_link(struct mover *m, uint32_t member, bool gaining, struct stream s);
/* There is no link to a donor to be had, or its process is gone. */
void mover_lost(struct mover *m, uint32_t member, bool gaining);

/* Has the thread overwrite what its buffers have held (--erase). done(arg): nothing is left of what was under way when
 * this was called. On the thread, or that of mover_free; one at a time. Any thread. */
void mover_erase(struct mover *m, void (*done)(void *arg), void *arg);

/* What is going on. */
struct mover_sight {
    struct handoff_counters counters;
    uint64_t items, expected; /* of all transfers of the present change (handoff_totals) */
    unsigned n;               /* under way, at most MOVER_SHOWN of them: */
    struct handoff_progress progress[MOVER_SHOWN];
};
/* Any thread. */
void mover_look(struct mover *m, struct mover_sight *out);

#endif
