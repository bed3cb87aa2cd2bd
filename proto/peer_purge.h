/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_purge - what members tell each other about purges, as one flat message.
 *
 * Which fields a kind uses stands beside it; the others are 0. The pointers belong to whoever made the message and are
 * valid as long as that says (of a received one: during the call that hands it over).
 */
#ifndef TAGCACHED_PROTO_PEER_PURGE_H
#define TAGCACHED_PROTO_PEER_PURGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_codec.h"
#include "proto/purge_event.h"

#define PEER_PURGE_EVENTS_MAX                                                                                          \
    (60 * 1024)                   /* bytes of records in one message, so that all of it packed is at most 64 KiB */
#define PEER_PURGE_VECTOR_MAX 64  /* entries of a vector */
#define PEER_PURGE_RUNS_MAX 1024  /* of one answer */
#define PEER_PURGE_LACKS_MAX 2000 /* members that a status names */

enum peer_purge_kind {
    /* Asked member to a voter: make events of these purges. sequence: counts the messages of this kind to this voter;
     * events. */
    PEER_PURGE_SUBMIT = 1,
    /* The voter's reply. sequence: that of the submission; runs: the ids that the purges have; REFUSED: it is no active
     * voter; FULL: its log has no room. */
    PEER_PURGE_ANSWER,
    /* To who submitted purges that have this origin: all up to `sequence` is confirmed but for purges of everything, of
     * which those up to `everything` are; members: how many there are; lacks: who has not acknowledged all of it, and
     * what instead. */
    PEER_PURGE_STATUS,
    /* Records of one origin. sequence: of the first; stream; star: the last `*` of the origin up to `sequence`;
     * HORIZON: the sender's log begins with `sequence`; PULLED: the reply to a pull, which nobody acknowledges. Without
     * records: asks for an acknowledgement. */
    PEER_PURGE_EVENTS,
    /* All up to `sequence` of the origin is applied. stream: of the records acknowledged; GAP: they begin later than
     * that; ALL: the origin is retired, so there is nothing left of it to apply; ACTIVE: by an active voter, which says
     * too: lacks: present members to which it has granted no tag lease that may still run; HOLD: tag leases of which it
     * does not know may still run; HOLD_ALL: serve leases. */
    PEER_PURGE_ACK,
    /* Any member to a voter. boot, vector: the sender's; stream: the round of polls that it belongs to, 0: none. */
    PEER_PURGE_POLL,
    /* The reply. active_epoch: the last epoch in which the sender was an active voter, 0: none; ACTIVE: it is one now;
     * vector, empty unless the sender has begun (a newcomer has none); stream: that of the poll; GRANTED: a lease;
     * HOLD_ALL: as of an acknowledgement, by whoever was a voter. */
    PEER_PURGE_POLL_ANSWER,
    /* Send me what your log has beyond this vector. vector. */
    PEER_PURGE_PULL,
    /* A member that has carried out a counted purge, to who asked for it; not for the machine. runs: one, with its via;
     * sequence: the items that it took out there and one more, 0: too many to count; star: their bytes. */
    PEER_PURGE_COUNT,
    PEER_PURGE_KINDS
};

enum peer_purge_flag {
    PEER_PURGE_REFUSED = 1,
    PEER_PURGE_FULL = 2,
    PEER_PURGE_HORIZON = 4,
    PEER_PURGE_PULLED = 8,
    PEER_PURGE_GAP = 16,
    PEER_PURGE_ALL = 32,
    PEER_PURGE_ACTIVE = 64,
    PEER_PURGE_BEGUN = 128, /* of a poll or its answer: the vector counts */
    PEER_PURGE_GRANTED = 256,
    PEER_PURGE_HOLD = 512,
    PEER_PURGE_HOLD_ALL = 1024,
    PEER_PURGE_YOUNG =
        4096, /* of an acknowledgement: for all the voter knows the cluster was founded so lately that serve
               * leases of another one of its name may still run, which its founders have forgotten */
    PEER_PURGE_HANDING = 2048, /* of a poll: the sender hands items over, or takes them, because the ring has changed */
};

/* An entry of a vector: everything of the origin up to `sequence` is applied; star: the last `*` among it, or 0. */
struct peer_purge_seen {
    uint32_t origin;
    uint64_t sequence, star;
};

/* `count` purges with consecutive vias have consecutive ids. origin 0: they had ids of an origin that is retired, so
 * they are applied everywhere. */
struct peer_purge_run {
    struct purge_via via;
    uint32_t origin;
    uint64_t sequence;
    uint32_t count;
};

/* A member that has acknowledged an origin's events up to `sequence` only. */
struct peer_purge_lack {
    uint32_t member;
    uint64_t sequence;
};

struct peer_purge {
    enum peer_purge_kind kind;
    uint32_t flags;
    uint64_t version, epoch; /* of the sender's configuration; in every message */
    uint32_t origin;
    uint32_t stream;
    uint64_t sequence, star;
    uint64_t boot, active_epoch, everything;
    uint32_t members;
    const uint8_t *events; /* records one behind another */
    size_t events_bytes;
    const struct peer_purge_seen *vector;
    const struct peer_purge_run *runs;
    const struct peer_purge_lack *lacks;
    unsigned nvector, nruns, nlacks;
};

/* Packs it as a control message into `to`; the scratch arena holds its lists meanwhile. Bytes, or 0: it does not fit.
 */
size_t peer_purge_pack(const struct peer_purge *m, struct peer_arena *scratch, uint8_t *to, size_t size);
/* Reads it; its lists are made in the arena that the message was unpacked into, its records stay where they are. False:
 * it is no message about purges, or beyond the bounds above, or the arena is full. The records are not looked at. */
bool peer_purge_read(const Peer__Control *c, struct peer_arena *a, struct peer_purge *out);

#endif
