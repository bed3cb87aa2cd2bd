/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_handoff - what two nodes say to each other while items are handed over (cluster/handoff.h), on a link of their
 * own, as plain structs (peer.proto, "Handoff").
 *
 * The node that gained arcs (the receiver) dials and speaks first:
 *
 *   BEGIN   the ring's version, the digest of the arcs
 *   READY   the donor's workers go by the ring; about how many items there are
 *   NEXT    a chunk, please: its number, and the purges that the receiver knows
 *   ITEMS   a piece of it: records of proto/moved_item.h, one behind another; the last piece says so
 *   BEHIND  the donor lacks purges: ask again, under another number
 *   END     there is nothing more; the chunk is empty
 *   ACK     everything of the chunk is stored or refused
 *   ABORT   the hand-off is abandoned: why
 */
#ifndef TAGCACHED_PROTO_PEER_HANDOFF_H
#define TAGCACHED_PROTO_PEER_HANDOFF_H

#include "proto/peer_codec.h"
#include "proto/peer_purge.h"

/* Bytes of records in one message; leaves room for the rest of it within PEER_CONTROL_MAX. */
#define PEER_HANDOFF_ITEMS_MAX (62 * 1024)

enum peer_handoff_kind {
    PEER_HANDOFF_BEGIN = 1,
    PEER_HANDOFF_READY,
    PEER_HANDOFF_NEXT,
    PEER_HANDOFF_ITEMS,
    PEER_HANDOFF_BEHIND,
    PEER_HANDOFF_END,
    PEER_HANDOFF_ACK,
    PEER_HANDOFF_ABORT,
    PEER_HANDOFF_KINDS,
};

/* Fields that a kind does not use are 0. */
struct peer_handoff {
    enum peer_handoff_kind kind;
    uint64_t ring_version;                                /* BEGIN, READY, ABORT */
    uint64_t digest;                                      /* BEGIN */
    uint64_t items_expected;                              /* READY */
    uint64_t chunk;                                       /* NEXT and all that answers it */
    uint64_t version, epoch, floor_epoch, retire_version; /* NEXT: the receiver's cover (cluster/cover.h); */
    unsigned nseen;                                       /* its vector: */
    const uint64_t *seen_origin, *seen_sequence;          /* of a message that was read: the arena's */
    const uint8_t *items;                                 /* ITEMS; of a message that was read: its own */
    size_t nitems;                                        /* bytes of them */
    bool last;                                            /* ITEMS: the chunk's last piece */
    uint32_t reason;                                      /* ABORT: a handoff_end of cluster/handoff.h */
};

/* Packs it as a control message into `to`. Bytes, or 0: it does not fit. */
size_t peer_handoff_pack(const struct peer_handoff *m, uint8_t *to, size_t size);
/* False also if a list or a count is beyond its bounds. */
bool peer_handoff_read(const Peer__Control *c, struct peer_handoff *out);

#endif
