/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_io - what goes into the machine that agrees on the configuration (config.h), and what comes out of it.
 */
#ifndef TAGCACHED_CLUSTER_CONFIG_IO_H
#define TAGCACHED_CLUSTER_CONFIG_IO_H

#include "cluster/config_record.h"
#include "cluster/configuration.h"
#include "proto/peer_config.h"

#define CONFIG_FOUNDERS_MAX CONFIGURATION_VOTERS_MAX
#define CONFIG_TAG_LEASE_MS 1000    /* L */
#define CONFIG_SERVE_LEASE_MS 30000 /* U */
#define CONFIG_EJECT_AFTER_MS 35000 /* at least W(U): see config_waited_ms */

/* A process, as its Hello names it. */
struct config_peer {
    struct cluster_id id;
    uint64_t boot;
    char name[CONFIGURATION_NAME_MAX + 1];
    char address[CONFIGURATION_ADDRESS_MAX + 1];
};

struct config_options {
    char cluster_name[CONFIGURATION_NAME_MAX + 1];
    struct config_peer self; /* id and boot: of the record, or new when there is no state directory */
    uint32_t weight;         /* 0: a witness */
    bool keeps_state;        /* it has a state directory */
    unsigned nfounders;      /* 0: none named */
    char founders[CONFIG_FOUNDERS_MAX][CONFIGURATION_NAME_MAX + 1];
    bool found;          /* --found: this empty state directory may take part in a founding */
    bool began_to_found; /* it was given when an earlier process began, which had no configuration until it ended */
    bool seeds;          /* --join was given; without it and without founders the node founds alone */
    uint32_t tag_lease_ms, serve_lease_ms, eject_after_ms,
        voters_target; /* what a founding agrees on; 0: the default */
    uint64_t seed;     /* of its random numbers: unguessable in the daemon, the schedule's in the simulator */
};

/* What an administrator, or the node itself, may ask for. Each is an effect that a configuration has or has not, so
 * asking twice does no harm. */
enum config_request_kind {
    CONFIG_SERVE = 1,   /* the member may serve from now on: it has its first lease, or needs none */
    CONFIG_LEAVE,       /* out of the ring, its seat is passed on; it hands over what it holds */
    CONFIG_LEFT,        /* the leaving member has handed over: off the list */
    CONFIG_FORGET,      /* an operator asserts that the member is down for good */
    CONFIG_DRAIN,       /* argument 1: out of the ring; 0: back into it */
    CONFIG_WEIGHT,      /* argument: the weight */
    CONFIG_VOTERS,      /* argument: 1, 3, 5, 7; 0: by the number of members */
    CONFIG_TAG_LEASE,   /* argument: milliseconds */
    CONFIG_SERVE_LEASE, /* argument: milliseconds */
    CONFIG_EJECT_AFTER, /* argument: milliseconds */
    CONFIG_RECOVER,     /* this node, the newest survivor of a lost majority, goes on as the only voter; local */
    CONFIG_REQUESTS,
};

struct config_request {
    enum config_request_kind kind;
    char name[CONFIGURATION_NAME_MAX + 1]; /* of the member; empty: this node */
    uint64_t argument;
    uint64_t token; /* the driver's, comes back in CONFIG_OUT_ANSWER; 0: no answer is wanted */
};

enum config_in_kind {
    CONFIG_IN_TIME,      /* config_next_ns has come */
    CONFIG_IN_MESSAGE,   /* from, message */
    CONFIG_IN_WRITTEN,   /* number: records up to this one are on disk */
    CONFIG_IN_UNWRITTEN, /* number: this record could not be written; the machine has it written again a second later */
    CONFIG_IN_HEARD,   /* number, version: this member (its listed process) polled this node just now, and goes by that
                          version */
    CONFIG_IN_ALIVE,   /* from.id, flag: SWIM believes that the node is alive; only decides who proposes first */
    CONFIG_IN_ACTIVE,  /* number: the epoch in which this voter is active */
    CONFIG_IN_LEASE,   /* this node has a lease; with fewer than three voters: a voter answered. Repeat each second */
    CONFIG_IN_ORIGIN,  /* number, flag: all serving members know all purges of this closing origin; it may go */
    CONFIG_IN_HANDOFF, /* flag: hand-offs of the last ring change are under way */
    CONFIG_IN_PONG,    /* from, flag: who answered the ping of from.address; flag: somebody did */
    CONFIG_IN_REQUEST, /* request */
    CONFIG_IN_VERSION, /* from, number: a poll or its answer named this version of the own cluster */
    CONFIG_IN_RESET,   /* what CONFIG_OUT_BOOT or CONFIG_OUT_RESET asked for is done */
};

struct config_in {
    enum config_in_kind kind;
    struct config_peer from;
    uint64_t number, version;
    bool flag;
    const struct peer_config *message;
    const struct config_request *request;
};

enum config_out_kind {
    CONFIG_OUT_SEND,    /* message to the node `to` at `address`; a zero id: to whoever is at `address` */
    CONFIG_OUT_SEEDS,   /* message to all addresses of --join and to all nodes that SWIM knows */
    CONFIG_OUT_WRITE,   /* record (nrecord bytes) number `number` to the state directory; then CONFIG_IN_WRITTEN, or
                           _UNWRITTEN */
    CONFIG_OUT_ADOPTED, /* `value` is the configuration from now on; `number` is one's own member number, or 0 */
    CONFIG_OUT_PING,    /* TCP ping `address` and tell by CONFIG_IN_PONG who answers */
    CONFIG_OUT_ANSWER,  /* request `number` (its token): done if text is empty, else text says why not */
    /* After one of the next two the machine takes nothing but the end of a write until CONFIG_IN_RESET comes: what the
     * driver still has of the former node must not hear of another cluster, where the same numbers name others. */
    CONFIG_OUT_BOOT,  /* the process goes on under the boot `number` (the clock is behind): tell SWIM */
    CONFIG_OUT_RESET, /* drop everything that is stored and known: the process goes on as node `to` without a cluster */
    CONFIG_OUT_LOG,   /* event and text (logfmt fields) for the operator's log */
};

struct config_out {
    enum config_out_kind kind;
    struct cluster_id to;
    char address[CONFIGURATION_ADDRESS_MAX + 1];
    struct peer_config message; /* its value and silent list live as long as this entry */
    struct configuration_value *value;
    uint8_t *record;
    size_t nrecord;
    uint64_t number;
    const char *event;
    char text[PEER_CONFIG_TEXT_MAX + 1];
    void *owned; /* freed with the entry */
};

/* What one input caused, in order. The caller's; all zeros to begin with. */
struct config_outs {
    struct config_out *out;
    unsigned n, capacity;
};
/* Frees what the entries hold; the room stays for the next input. */
void config_outs_clear(struct config_outs *outs);
void config_outs_fini(struct config_outs *outs);

#endif
