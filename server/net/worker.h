/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker - a thread with an event loop and the connections it serves.
 *
 * Owned by the net (net.h). Each worker has its own epoll set, input buffer, output buffer and metric row.
 */
#ifndef TAGCACHED_NET_WORKER_H
#define TAGCACHED_NET_WORKER_H

#include <stdbool.h>
#include <stdint.h>

struct net;
struct net_worker;
struct conn;

/* Its index, 0..threads-1. Any thread. */
unsigned worker_index(const struct net_worker *w);
/* What net_new was given as context for this worker. Any thread. */
void *worker_context(const struct net_worker *w);
/* Runs fn(worker, arg) on the worker's thread soon. Any thread. Never blocks; 0 or -ENOMEM. */
int worker_post(struct net_worker *w, void (*fn)(struct net_worker *w, void *arg), void *arg);
/* Resumes every connection parked on this worker. Any thread; cheap when none is (an atomic flag and an eventfd). */
void worker_resume_all(struct net_worker *w);
/* Calls fn for each connection of the worker, on the worker's thread. */
void worker_each_conn(struct net_worker *w, void (*fn)(struct conn *c, void *arg), void *arg);

#endif
