/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster - one node's part of a cluster: the thread that speaks to other nodes, and the machines that it drives.
 *
 * The thread (`tc-cluster`) owns the sockets between nodes, the agreed configuration, the membership and the purges.
 * The layers above hand it messages (a struct cluster_task is a member of what the message is about, so sending needs
 * no memory and cannot fail) and hear from it by upcalls, which run on the thread and must not block.
 *
 * Owned by the node: cluster_new after the sockets for clients are bound (the default ring name has their port),
 * cluster_start after the workers run, cluster_stop before they end.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_H
#define TAGCACHED_CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/cluster_config.h"
#include "cluster/cluster_gauges.h"
#include "cluster/cluster_task.h"
#include "proto/purge_event.h"

struct cluster;
struct cover_cell;
struct lease_ends;

/* ------------------------------------------------------------------ life */

/* Reads the state directory and the keyring, and binds. 0, or -errno with a sentence in err (-EINVAL: an option is to
 * be changed). */
int cluster_new(const struct cluster_config *cfg, struct cluster **out, char *err, size_t err_size);
/* Starts the threads. 0 or -errno. */
int cluster_start(struct cluster *c);
/* Ends them; what was asked and not answered is answered with a refusal. May be called twice, or without a start. */
void cluster_stop(struct cluster *c);
void cluster_free(struct cluster *c);

/* ------------------------------------------------------------------ messages to the thread; any thread, never blocks
 */

void cluster_purge(struct cluster *c, struct cluster_purge *p);
/* Purges everything on every node in so many seconds; nothing if this node ends before. */
void cluster_flush_later(struct cluster *c, uint32_t seconds);
/* Reads the key file again. */
void cluster_reload(struct cluster *c);
void cluster_ask(struct cluster *c, struct cluster_question *q);

/* A batch that took time (CLUSTER_APPLYING) is applied. Once for each. */
void cluster_applied(struct cluster *c);
/* This node's name. Any thread. */
const char *cluster_ring_name(const struct cluster *c);
/* A counted purge has taken out so many items here, or (-1) too many to count, and so many bytes; and with them the
 * last copy of what it selects. */
void cluster_counted(struct cluster *c, struct purge_via via, int64_t items, uint64_t bytes);
/* Has the memory that items move through between nodes overwritten (--erase, mover.h). One at a time. */
void cluster_erase(struct cluster *c, void (*done)(void *arg), void *arg);
/* There may be room for a batch that found none (CLUSTER_APPLY_LATER): it is tried again. Any number of times. */
void cluster_apply_again(struct cluster *c);
/* All workers go by the last view that they were given. */
void cluster_view_done(struct cluster *c);
/* Makes a link to the member with this number, for a worker; the upcall `link` tells of it. */
void cluster_want_link(struct cluster *c, unsigned worker, uint32_t member, bool transfer, void *wish);
/* A member goes by another version of the ring than this node. */
void cluster_ring_differs(struct cluster *c, uint32_t member, uint64_t version);

/* ------------------------------------------------------------------ looking around; any thread */

/* When this node's leases end (lease.h): atomics, valid until cluster_free. */
const struct lease_ends *cluster_leases(const struct cluster *c);

/* Which purges this node knows (cover.h), valid until cluster_free. */
const struct cover_cell *cluster_cover(const struct cluster *c);

void cluster_gauges(struct cluster *c, struct cluster_gauges *out);
/* The answer of `config get cluster`: the text between the line CONFIG and its end, as
 * "version\nhost|ip|port host|ip|port\n". Copies at most size bytes and returns how long it is. */
size_t cluster_discovery(struct cluster *c, char *to, size_t size);

#endif
