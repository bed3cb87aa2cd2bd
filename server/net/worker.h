/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker - a thread with an event loop and the connections it serves.
 *
 * Owned by the net (net.h). Each worker has its own event base, input buffer, output buffer and metric row.
 */
#ifndef TAGCACHED_NET_WORKER_H
#define TAGCACHED_NET_WORKER_H

#include "net/post.h"

struct net;
struct net_worker;
struct conn;

/* Its index, 0..threads-1. Any thread. */
unsigned worker_index(const struct net_worker *w);
/* What net_new was given as context for this worker. Any thread. */
void *worker_context(const struct net_worker *w);
/* Has the worker's thread call fn(w, arg) soon, after what was posted before. *p begins as zeros and must stay where it
 * is until fn is called. A message that is on its way already is not sent twice: the one call that follows sees all
 * that was written before either post, which must have been to the same worker. Any thread; never blocks, cannot fail.
 */
void worker_post(struct net_worker *w, struct net_post *p, void (*fn)(struct net_worker *w, void *arg), void *arg);
/* Has fn(w, arg) called once on the worker's thread, about ms milliseconds of the machine's time from now. There is one
 * alarm a worker: a later call sets it anew. On the worker's thread. */
void worker_alarm(struct net_worker *w, unsigned ms, void (*fn)(struct net_worker *w, void *arg), void *arg);
/* Resumes every connection parked on this worker. Any thread; cheap when none is (an atomic flag and an eventfd). */
void worker_resume_all(struct net_worker *w);
/* Calls fn for each connection of the worker, on the worker's thread. */
void worker_each_conn(struct net_worker *w, void (*fn)(struct conn *c, void *arg), void *arg);

#endif
