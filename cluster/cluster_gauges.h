/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_gauges - what `stats cluster` shows of the cluster's thread, as of one moment.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_GAUGES_H
#define TAGCACHED_CLUSTER_CLUSTER_GAUGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "cluster/configuration.h"
#include "proto/cluster_id.h"

/* What keeps a node from serving as its cluster expects it to. */
struct cluster_ready {
    bool joined;     /* it is a member that serves, or a witness; no newcomer, and not leaving */
    bool drained;    /* an operator has taken it out of the ring */
    bool leased;     /* it may answer from its store */
    bool active;     /* it is no voter, or an active one in this epoch: a restarted one has caught up */
    uint64_t lag_ms; /* how long at least it has known of a purge that it has not applied */
};

/* How far a voter is behind with its purges, as it said itself lately. */
struct cluster_lag {
    char name[CONFIGURATION_NAME_MAX + 1];
    uint64_t ms;
};

struct cluster_gauges {
    char name[65], id[CLUSTER_ID_TEXT], node_id[CLUSTER_ID_TEXT], ring[17];
    char state[200]; /* a sentence: "serving", "waiting: 1 of 3 founders", ... */
    uint64_t number, boot, epoch, config_version, voters;
    uint64_t alive, suspect, dead, left;
    uint64_t ring_version, ring_nodes, ring_points;
    uint64_t purges_sent, purges_received, purges_confirmed, purges_pending;
    uint64_t handoff_active;                  /* transfers of items under way, on either side */
    uint64_t handoff_items, handoff_expected; /* of all that the last change brought: items so far, of so many, about */
    uint64_t handoff_left_s;                  /* until the last one is done, at the speed so far */
    uint64_t handoff_sent, handoff_received, handoff_refused_written, handoff_refused_purged, handoff_abandoned;
    uint64_t peer_protocol_errors, datagrams_refused;
    uint64_t owned_ppm; /* what this node owns of the ring, in millionths */
    struct cluster_ready ready;
    struct cluster_lag lag[CONFIGURATION_VOTERS_MAX];
    unsigned nlag;
    struct histogram applied;   /* how long it took to apply a batch of purges here */
    struct histogram confirmed; /* how long until a purge asked for here was confirmed */
};

#endif
