/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_gauges - what `stats cluster` shows of the cluster's thread, as of one moment.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_GAUGES_H
#define TAGCACHED_CLUSTER_CLUSTER_GAUGES_H

#include <stdint.h>

#include "proto/cluster_id.h"

struct cluster_gauges {
    char name[65], id[CLUSTER_ID_TEXT], node_id[CLUSTER_ID_TEXT], ring[17];
    char state[200]; /* a sentence: "serving", "waiting: 1 of 3 founders", ... */
    uint64_t number, boot, epoch, config_version, voters;
    uint64_t alive, suspect, dead, left;
    uint64_t ring_version, ring_nodes, ring_points;
    uint64_t purges_sent, purges_received, purges_confirmed, purges_pending;
    uint64_t handoff_active;                  /* transfers of items under way, on either side */
    uint64_t handoff_items, handoff_expected; /* of these: items so far, of so many, about */
    uint64_t handoff_left_s;                  /* until the last one is done, at the speed so far */
    uint64_t handoff_sent, handoff_received, handoff_refused_written, handoff_refused_purged, handoff_abandoned;
    uint64_t peer_protocol_errors, datagrams_refused;
};

#endif
