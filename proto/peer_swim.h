/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_swim - the messages of the membership protocol (peer.proto, "membership") as plain structs: what SWIM sends in
 * datagrams, and the parts of a push-pull on a control link.
 *
 * Of one member one update tells everything. Updates are ordered by (boot, incarnation, state), and the greatest wins
 * everywhere (cluster/member.h), so that they may come in any order and any number of times.
 *
 * pack: bytes written, or 0 when they do not fit. read: false when the message is another kind or breaks a bound.
 * Texts and arrays that a struct points to are the sender's, or lie in the arena that the message was read with.
 */
#ifndef TAGCACHED_PROTO_PEER_SWIM_H
#define TAGCACHED_PROTO_PEER_SWIM_H

#include "proto/peer_codec.h"

#define PEER_SWIM_ACCUSERS_MAX 3   /* more do not make a suspicion any shorter */
#define PEER_SWIM_META_MAX 32      /* bytes */
#define PEER_SWIM_UPDATES_MAX 40   /* in a datagram */
#define PEER_SYNC_UPDATES_MAX 1024 /* in one part of a push-pull */
/* Incarnations and boot numbers that a member may have: room is left above them for a member to refute. */
#define PEER_SWIM_NUMBER_MAX (UINT64_MAX >> 1)

/* Upper bounds of packed bytes, for whoever fills a message: what is packed beside the updates. */
#define PEER_SWIM_HEAD_MAX 72
#define PEER_SYNC_HEAD_MAX 16

/* In the order in which they win over each other at one incarnation. */
enum peer_swim_state {
    PEER_SWIM_ALIVE = 1,
    PEER_SWIM_SUSPECT = 2, /* probes failed; it has time to say that it is alive */
    PEER_SWIM_DEAD = 3,    /* and did not */
    PEER_SWIM_LEFT = 4,    /* it left by itself, or an operator had it forgotten */
};

struct peer_swim_update {
    struct cluster_id id;
    uint64_t boot, incarnation; /* at most PEER_SWIM_NUMBER_MAX; boot is never 0 */
    enum peer_swim_state state;
    uint32_t ended_s; /* dead or left: for how many seconds already */
    unsigned naccusers;
    struct cluster_id accusers[PEER_SWIM_ACCUSERS_MAX]; /* of a suspect */
    const char *name, *address;                         /* never NULL; both empty: not told */
};

enum peer_swim_kind {
    PEER_SWIM_UNKNOWN = 0,  /* of a later release: only its updates and meta can be used */
    PEER_SWIM_PING = 1,     /* asks `target` whether it lives */
    PEER_SWIM_ACK = 2,      /* the answer; or that the helper got one */
    PEER_SWIM_NACK = 3,     /* a helper has got no answer */
    PEER_SWIM_PING_REQ = 4, /* asks a helper to ping `target` */
    PEER_SWIM_GOSSIP = 5,   /* updates only */
    PEER_SWIM_OTHER = 6,    /* the answer to a ping for `target` of somebody else who has that address */
};

/* What is in a datagram. */
struct peer_swim {
    enum peer_swim_kind kind;
    uint32_t number; /* of the probe */
    struct cluster_id target;
    unsigned nmeta;
    uint8_t meta[PEER_SWIM_META_MAX];
    unsigned nupdates;
    struct peer_swim_update updates[PEER_SWIM_UPDATES_MAX];
};

/* An upper bound of the bytes that an update adds to a message. */
size_t peer_swim_update_bytes(const struct peer_swim_update *u);

/* Scratch: room for the packed form's pointers (PEER_ARENA_BYTES are enough); it is not reset here. */
size_t peer_swim_pack(const struct peer_swim *m, struct peer_arena *scratch, uint8_t *to, size_t size);
/* Texts are copied into the arena. Kinds and states that this release does not know are counted as unknown kinds, and
 * updates with such a state are left out. False also if an id is missing, a number or a text is out of bounds, there
 * are more updates than a datagram may have, or the arena is full. */
bool peer_swim_read(const Peer__Datagram *d, struct peer_arena *a, struct peer_counts *counts, struct peer_swim *out);

/* One part of a push-pull. */
struct peer_sync {
    bool reply, last;
    unsigned nupdates;
    const struct peer_swim_update *updates;
};

size_t peer_sync_pack(const struct peer_sync *m, struct peer_arena *scratch, uint8_t *to, size_t size);
/* The updates and their texts are copied into the arena; otherwise as peer_swim_read. */
bool peer_sync_read(const Peer__Control *c, struct peer_arena *a, struct peer_counts *counts, struct peer_sync *out);

#endif
