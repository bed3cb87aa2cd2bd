/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_ask - a command that a node passes on to another, and what that one answers (peer.proto, "commands passed on").
 *
 * pack: bytes written, or 0 when they do not fit. read: false when the message is another kind or breaks a bound.
 */
#ifndef TAGCACHED_PROTO_PEER_ASK_H
#define TAGCACHED_PROTO_PEER_ASK_H

#include "proto/peer_codec.h"

#define PEER_ASK_LINE_MAX 1024         /* bytes of a command */
#define PEER_TOLD_PART_MAX (32 * 1024) /* bytes of one part of an answer */

struct peer_ask {
    uint64_t number;
    bool privileged;
    char line[PEER_ASK_LINE_MAX + 1];
};

size_t peer_ask_pack(const struct peer_ask *a, uint8_t *to, size_t size);
/* False also if the line holds a byte that would end it. */
bool peer_ask_read(const Peer__Control *m, struct peer_ask *out);

struct peer_told {
    uint64_t number;
    bool last;
    const void *text; /* of a message that was read: its own */
    size_t n;
};

size_t peer_told_pack(const struct peer_told *t, uint8_t *to, size_t size);
bool peer_told_read(const Peer__Control *m, struct peer_told *out);

#endif
