/* SPDX-License-Identifier: BSD-3-Clause
 *
 * worker_loop - the thread of a worker: it waits for events, serves connections, and runs what was posted.
 */
#ifndef TAGCACHED_NET_WORKER_LOOP_H
#define TAGCACHED_NET_WORKER_LOOP_H

struct net;
struct net_worker;

/* Makes a worker, without its thread. 0 or -errno; worker_loop_fini in any case. */
int worker_loop_init(struct net_worker *w, struct net *n, unsigned index);
void worker_loop_fini(struct net_worker *w);
/* The worker's thread. */
void *worker_loop_run(void *worker);
/* Runs what was posted. The worker's thread, or the last one to know it. */
void worker_loop_posts(struct net_worker *w);
/* A second has passed: has the worker look at the clock and at its connections. Any thread. */
void worker_loop_tick(struct net_worker *w);

#endif
