/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net_state - the instance: what its workers, its acceptor and its connections share.
 */
#ifndef TAGCACHED_NET_NET_STATE_H
#define TAGCACHED_NET_NET_STATE_H

#include <pthread.h>

#include "base/loop.h"
#include "base/sync.h"
#include "net/net_config.h"

struct net_tls;
struct net_listener;

struct net {
    struct net_config cfg;
    struct net_worker *workers;
    struct net_listener *listeners;
    unsigned nlisteners;
    struct net_tls *tls;

    pthread_t acceptor;
    bool acceptor_started;
    struct event_base *base;           /* the acceptor's, like the three that follow */
    struct event ticker, retry;        /* each second; accepting after it was paused */
    unsigned next_worker;              /* gets the next connection */
    bool paused;                       /* no listener is watched */
    struct loop_waker waker;           /* wakes the acceptor */
    uint32_t stopping;                 /* atomic: the acceptor should end */
    uint32_t accepting;                /* atomic */
    uint32_t trim;                     /* atomic: the acceptor should give free memory back */
    uint32_t ticks;                    /* atomic: workers need ticks */
    uint32_t nconns;                   /* atomic: connections in memory */
    uint64_t paused_at_us;             /* the acceptor's */
    uint64_t metrics[NET_METRICS];     /* the acceptor's row */
    uint64_t base_counts[NET_METRICS]; /* sums at the last reset; atomic */

    pthread_mutex_t lock;     /* for changes of nconns and accepting; per connection, not per request */
    pthread_cond_t none_left; /* the last connection has gone */
};

/* A connection has come into memory, or has left it. Any thread. */
void net_conn_come(struct net *n);
void net_conn_gone(struct net *n);
/* Makes the calling thread as nice as the net's threads shall be, if they shall be, unless it is nicer already. */
void net_give_way(const struct net *n);
/* Has the acceptor give the heap's free memory back to the system. Any thread. */
void net_ask_trim(struct net *n);
/* Has the acceptor tick the workers each second until all of them rest. Any thread. */
void net_ask_ticks(struct net *n);

#endif
