/* SPDX-License-Identifier: BSD-3-Clause
 *
 * acceptor - the thread that accepts and deals connections to the workers in turn.
 *
 * One thread accepts for all: the limit of connections is then counted in one place, and the workers get even shares
 * whatever the kernel's mood. It has time, so it also does what is periodic: it ticks the workers once a second while
 * any of them needs that, and gives the heap's free memory back to the system.
 */
#ifndef TAGCACHED_NET_ACCEPTOR_H
#define TAGCACHED_NET_ACCEPTOR_H

struct net;

/* Makes what the thread needs. Before it starts; 0 or -errno; acceptor_fini in any case. */
int acceptor_init(struct net *n);
/* After the thread has ended. */
void acceptor_fini(struct net *n);
/* The thread. It ends when n->stopping is set and n->waker woken. */
void *acceptor_run(void *net);

#endif
