/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net_state - what workers and connections do to the net that all of them share. */
#include "net/net_state.h"

#include <sys/resource.h>

void net_conn_come(struct net *n) {
    pthread_mutex_lock(&n->lock);
    sync_bump(&n->nconns, 1);
    pthread_mutex_unlock(&n->lock);
}

void net_conn_gone(struct net *n) {
    pthread_mutex_lock(&n->lock);
    sync_bump(&n->nconns, -1u);
    if (n->nconns == 0) pthread_cond_broadcast(&n->none_left);
    bool awaited = sync_load(&n->accepting) == 0;
    pthread_mutex_unlock(&n->lock);
    if (awaited) loop_wake(&n->waker);
}

void net_give_way(const struct net *n) {
    const int niceness = n->cfg.niceness;
    /* Of a thread, in Linux. */
    if (niceness > 0 && getpriority(PRIO_PROCESS, 0) < niceness) (void)setpriority(PRIO_PROCESS, 0, niceness);
}

void net_ask_trim(struct net *n) {
    if (sync_exchange(&n->trim, 1) == 0) loop_wake(&n->waker);
}

void net_ask_ticks(struct net *n) {
    if (sync_load_seq(&n->ticks) == 0 && sync_exchange(&n->ticks, 1) == 0) loop_wake(&n->waker);
}
