/* SPDX-License-Identifier: BSD-3-Clause
 *
 * post - a message to a worker; worker_post (worker.h) sends it.
 */
#ifndef TAGCACHED_NET_POST_H
#define TAGCACHED_NET_POST_H

#include <stdint.h>

#include "base/sync.h"

struct net_worker;

/* A message to a worker. It is a member of whatever the message is about, so sending needs no memory. */
struct net_post {
    struct sync_stack_entry entry; /* first: it is found by it */
    void (*fn)(struct net_worker *w, void *arg);
    void *arg;
    uint32_t posted; /* it is on its way; atomic */
};

#endif
