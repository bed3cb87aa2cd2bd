/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_config - what nodes say to each other about the agreed configuration, over the control link of a pair of nodes.
 *
 * A message is one flat struct; which fields mean something depends on its kind (the table further down), the others
 * are zero. A configuration travels in its packed form (cluster/configuration_pack.h). Nothing here was checked beyond
 * its bounds: the machine that gets a message decides what it believes.
 *
 * A frame of a control link holds at most 64 KiB and a configuration up to 256 KiB, so a message goes in parts, one a
 * frame, in order and next to each other on the link; most messages have one part. The reader of a link puts them
 * together.
 */
#ifndef TAGCACHED_PROTO_PEER_CONFIG_H
#define TAGCACHED_PROTO_PEER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_codec.h"

#define PEER_CONFIG_TEXT_MAX 640
#define PEER_CONFIG_SILENT_MAX 2000
#define PEER_CONFIG_VALUE_MAX (256 * 1024)
#define PEER_CONFIG_PART (32 * 1024) /* bytes of the value in one part */

/* clang-format off */
/* kind           fields                                         says
 * NEWS          cluster version hash has_lease                 I have this version
 * FETCH         cluster version                                send me yours if it is newer; no cluster: answer by NEWS
 * PUSH          value                                          this is a chosen configuration
 * PREPARE       cluster version hash ballot                    Paxos phase 1 for the successor of version
 * PROMISE       version ballot active accepted value silent    phase 1b; value: accepted under that ballot, or none
 * ACCEPT        cluster version hash ballot value              phase 2: value is the proposed successor
 * ACCEPTED      version ballot                                 phase 2b
 * REJECT        version ballot                                 I have promised this higher ballot
 * JOIN          cluster version weight keeps_state             list me
 * JOIN_REFUSED  cluster boot text                              boot is the listed process's, or 0
 * REQUEST       cluster version request number argument token  an administrator, or the node, asks for it
 * ANSWER        cluster token text                             REQUEST is refused because of text
 * FOUND_ASK     hash eligible keeps_state weight               I am a founder; hash: of the founders' names
 * FOUND_BIND    cluster hash                                   bind yourself to this founding
 * FOUND_BOUND   cluster                                        I did
 * FOUND_BUSY    cluster                                        I did not
 * FOUND_FREE    cluster                                        that founding is given up
 */
/* clang-format on */
enum peer_config_kind {
    PEER_CONFIG_NEWS = 1,
    PEER_CONFIG_FETCH,
    PEER_CONFIG_PUSH,
    PEER_CONFIG_PREPARE,
    PEER_CONFIG_PROMISE,
    PEER_CONFIG_ACCEPT,
    PEER_CONFIG_ACCEPTED,
    PEER_CONFIG_REJECT,
    PEER_CONFIG_JOIN,
    PEER_CONFIG_JOIN_REFUSED,
    PEER_CONFIG_REQUEST,
    PEER_CONFIG_ANSWER,
    PEER_CONFIG_FOUND_ASK,
    PEER_CONFIG_FOUND_BIND,
    PEER_CONFIG_FOUND_BOUND,
    PEER_CONFIG_FOUND_BUSY,
    PEER_CONFIG_FOUND_FREE,
    PEER_CONFIG_KINDS, /* one above the last */
};

/* A Paxos ballot: ordered by counter, then boot, then node. The boot is in it so that a node that restarts never uses a
 * ballot of its earlier process again. All zeros: none. */
struct peer_ballot {
    uint64_t counter, boot;
    struct cluster_id node;
};

/* A member that the promising voter has not heard for so long. Members that are not named were heard. */
struct peer_silent {
    uint32_t number, ms;
};

struct peer_config {
    enum peer_config_kind kind;
    struct cluster_id cluster;
    uint64_t version, hash; /* of the sender's configuration; in Paxos: of the one whose successor is decided */
    struct peer_ballot ballot, accepted;
    bool active;      /* the sender is active in the epoch of `version` */
    bool has_lease;   /* the sender has a lease, or needs none and hears the voter */
    bool keeps_state; /* the sender has a state directory */
    bool eligible;    /* the sender may take part in a founding */
    uint64_t boot;
    uint32_t weight;
    uint32_t request; /* enum config_request_kind */
    uint32_t number;  /* of the member that the request is about */
    uint64_t argument, token;
    char text[PEER_CONFIG_TEXT_MAX + 1];
    const uint8_t *value; /* packed configuration, or NULL; not the message's own */
    uint32_t nvalue;
    const struct peer_silent *silent; /* not the message's own */
    uint32_t nsilent;
};

/* ---- parts */

/* How many frames the message takes. */
unsigned peer_config_parts(const struct peer_config *m);
/* Packs one part, from 0. Bytes written, or 0: it does not fit, or the scratch arena is full. */
size_t peer_config_pack(const struct peer_config *m, unsigned part, struct peer_arena *scratch, uint8_t *to,
                        size_t size);

/* Puts the parts of one link's messages together. All zeros to begin with; holds at most a value and a silent list. */
struct peer_config_reader {
    struct peer_config head;
    uint8_t *value;
    uint32_t have; /* bytes of the value so far */
    struct peer_silent *silent;
};
void peer_config_reader_fini(struct peer_config_reader *r);

enum peer_config_result {
    PEER_CONFIG_WHOLE,   /* *out is a message; what it points to is valid until the next call or the arena's reset */
    PEER_CONFIG_MORE,    /* a part; more must follow */
    PEER_CONFIG_SKIPPED, /* of a kind that this release does not know; counted */
    PEER_CONFIG_BROKEN,  /* a bound is broken, or a part does not follow the last one: close the link */
};
enum peer_config_result peer_config_read(struct peer_config_reader *r, const Peer__Control *c,
                                         struct peer_counts *counts, struct peer_config *out);

/* Below 0, 0, above 0: as a stands before, equals or follows b. */
int peer_ballot_compare(const struct peer_ballot *a, const struct peer_ballot *b);

#endif
