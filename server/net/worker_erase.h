/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker_erase - has a worker overwrite what its buffers have held (--erase). Nothing of it is on the way of a request:
 * buffers are looked through when somebody asks.
 */
#ifndef TAGCACHED_NET_WORKER_ERASE_H
#define TAGCACHED_NET_WORKER_ERASE_H

#include <stdbool.h>

#include "net/post.h"

struct net_worker;

/* What is asked; stays in place until `done`. */
struct net_erasing {
    struct net_post post;
    /* Overwrites what the handler holds beside this folder's buffers. True: some of what it had when this was asked is
     * still under way; it is called again at the next tick. first: this call is the first one. On the worker's thread.
     */
    bool (*more)(struct net_worker *w, void *arg, bool first);
    /* Nothing is left: buffers hold what came later, and what connections had to be sent has left, or they have ended.
     * On the worker's thread, or that of net_free. */
    void (*done)(struct net_worker *w, void *arg);
    void *arg;
    bool marked; /* worker_erase.c's */
};

/* Begins; *e is zeros but for the functions and `arg`. One at a time a worker. Any thread. */
void worker_erase(struct net_worker *w, struct net_erasing *e);
/* Goes on with what is under way, if anything: on the worker's thread, each second. */
void worker_erase_tick(struct net_worker *w);
/* The worker ends, and with it all that its connections held. */
void worker_erase_end(struct net_worker *w);

#endif
