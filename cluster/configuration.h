/* SPDX-License-Identifier: BSD-3-Clause
 *
 * configuration - what all nodes of a cluster agree on: who belongs to it, who votes, and which numbers purges may
 * carry.
 *
 * The voters of version v choose version v + 1 by one decision of single-decree Paxos (config.h), so the configurations
 * of a cluster are one linear history. The ring (ring.h) is made from a configuration and from nothing else.
 *
 * A configuration is a value: nothing here allocates in the background, reads a clock or does I/O. One thread works on
 * one value.
 */
#ifndef TAGCACHED_CLUSTER_CONFIGURATION_H
#define TAGCACHED_CLUSTER_CONFIGURATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cluster_id.h"

#define CONFIGURATION_MEMBERS_MAX 2000
#define CONFIGURATION_VOTERS_MAX 7
#define CONFIGURATION_ORIGINS_MAX 64
#define CONFIGURATION_NAME_MAX 255    /* bytes of a node's name */
#define CONFIGURATION_ADDRESS_MAX 280 /* bytes of "host:port" with an IPv6 address in brackets */
#define CONFIGURATION_BYTES_MAX (256 * 1024)
#define CONFIGURATION_WEIGHT_MAX 1000000
#define CONFIGURATION_RECOVERY_SKIPS 1000 /* versions, epochs and numbers, at least (config_recover.c) */
#define CONFIGURATION_NUMBER_MAX                                                                                       \
    4000000000u /* member and origin numbers end here; the cluster must be founded anew                                \
                 */

enum configuration_state {
    CONFIGURATION_JOINING, /* listed; it serves with its first lease */
    CONFIGURATION_SERVING, /* owns a part of the ring, unless it is a witness */
    CONFIGURATION_LEAVING, /* out of the ring; still hands over what it holds */
    CONFIGURATION_EJECTED, /* out of the ring, and asked nothing any more */
};

struct configuration_member {
    uint32_t number; /* of this process in this cluster; from next_number, never used again */
    struct cluster_id id;
    uint64_t boot;                               /* higher with each start of a process of this name */
    char name[CONFIGURATION_NAME_MAX + 1];       /* "host:port", as clients write it: its place in the ring */
    char address[CONFIGURATION_ADDRESS_MAX + 1]; /* "host:port" of its cluster sockets, as it advertises them */
    uint32_t weight;                             /* of its part of the ring; 0: a witness, which owns nothing */
    bool keeps_state;                            /* it has a state directory, so it may take a free seat */
    bool drained;                                /* an operator took it out of the ring; it stays a member */
    enum configuration_state state;
};

/* A seat among the voters. */
struct configuration_voter {
    struct cluster_id id; /* the node that sits there; all zeros: vacant */
    uint32_t member;      /* its member number, 0 while vacant */
    uint32_t origin;      /* the number that its purges carry; new with each process that takes the seat */
    char name[CONFIGURATION_NAME_MAX + 1]; /* of the node; of a vacant seat: whom it waits for */
};

/* An origin whose seat is gone, while its purges are still being spread. */
struct configuration_closing {
    uint32_t origin;
    uint64_t version; /* since which it closes */
};

struct configuration {
    struct cluster_id cluster;
    char cluster_name[CONFIGURATION_NAME_MAX + 1];
    char by[CONFIGURATION_NAME_MAX + 1]; /* name of the node that proposed this version, for the log */
    bool seats_by_name; /* no founder had a state directory: the seats are the founders' names for good */
    uint64_t version;
    uint64_t epoch;          /* one higher with each change of the voters or of a voter's process */
    uint64_t floor_epoch;    /* the last epoch that no majority of the epoch before carried over */
    uint64_t retire_version; /* the last version that dropped an origin */
    uint32_t next_number;    /* of the next member or origin */
    uint32_t tag_lease_ms, serve_lease_ms, eject_after_ms;
    /* The longest lease that may still be running: as tag_lease_ms and serve_lease_ms, but when these are lowered only
     * once what was granted before has ended everywhere. */
    uint32_t tag_wait_ms, serve_wait_ms;
    bool leases; /* every present member has gone by a version with at least three voters, so none of them serves
                  * without a lease: a purge need not wait for a member that holds none */
    uint32_t voters_target;                     /* 0: by the number of members: 1 below 3, 3 from 3, 5 from 7 */
    uint64_t ring_version, ring_version_before; /* versions of the last two changes of the ring */
    unsigned nvoters, nprevious, norigins, nclosing, nmembers;
    struct configuration_voter voters[CONFIGURATION_VOTERS_MAX];
    struct configuration_voter previous[CONFIGURATION_VOTERS_MAX]; /* those of epoch - 1 */
    uint32_t origins[CONFIGURATION_ORIGINS_MAX];                   /* whose purges count, ascending */
    struct configuration_closing closing[CONFIGURATION_ORIGINS_MAX];
    struct configuration_member *members; /* ascending by number; the value's own */
};

/* Frees what it holds and makes it all zeros. */
void configuration_fini(struct configuration *c);
/* Makes *to a copy of *from (freeing what *to held; *to may be all zeros). 0 or -ENOMEM, *to unchanged then. */
int configuration_copy(struct configuration *to, const struct configuration *from);
/* Adds a member at the end; its number must be above all others'. 0, -ENOMEM, or -ENOSPC at CONFIGURATION_MEMBERS_MAX.
 */
int configuration_add(struct configuration *c, const struct configuration_member *m);

/* The member with this number / node id / name, or NULL. Of several of one name (an ejected one stays listed until it
 * is forgotten), the newest. */
struct configuration_member *configuration_by_number(const struct configuration *c, uint32_t number);
struct configuration_member *configuration_by_id(const struct configuration *c, const struct cluster_id *id);
struct configuration_member *configuration_by_name(const struct configuration *c, const char *name);
/* The seat of the node, or NULL. */
const struct configuration_voter *configuration_seat(const struct configuration *c, const struct cluster_id *id);
/* Voters that make a majority of all seats, vacant ones included. */
unsigned configuration_majority(const struct configuration *c);
/* Members that polls, leases and events are for: joining, serving and leaving. */
unsigned configuration_present(const struct configuration *c);
/* Whether a part of the ring is the member's: it serves, is no witness and is not drained. */
bool configuration_in_ring(const struct configuration_member *m);
/* Whether both make the same ring: the same names with the same weights are in it, whoever's processes they are.
 * 1 or 0, or -ENOMEM. */
int configuration_same_ring(const struct configuration *a, const struct configuration *b);
/* Takes the member with this number off the list. False: there is none. */
bool configuration_remove(struct configuration *c, uint32_t number);

#endif
