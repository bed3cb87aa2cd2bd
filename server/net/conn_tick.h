/* SPDX-License-Identifier: BSD-3-Clause
 *
 * conn_tick - what a worker does once a second for the connections that time can change.
 */
#ifndef TAGCACHED_NET_CONN_TICK_H
#define TAGCACHED_NET_CONN_TICK_H

struct net_worker;

/* Gives up the bodies of which no byte has come for body_timeout_s, closes the connections that were idle for longer
 * than idle_timeout_s, tells handlers of deadlines that have passed, and looks for resets among those that have been
 * silent since the last call. w->now_s is the time by which it judges. On the worker's thread, outside any upcall. */
void conn_tick_all(struct net_worker *w);

#endif
