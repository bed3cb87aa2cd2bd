/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_link - the messages that links themselves need (peer.proto, "links"), as plain structs: hello, refusal, ping,
 * pong.
 *
 * pack: bytes written, or 0 when they do not fit. read: false when the message is another kind or breaks a bound.
 */
#ifndef TAGCACHED_PROTO_PEER_LINK_H
#define TAGCACHED_PROTO_PEER_LINK_H

#include "proto/peer_codec.h"

#define PEER_TAG_MARKER_MAX 16     /* bytes */
#define PEER_STRIP_PREFIX_MAX 250  /* bytes: a key's */
#define PEER_HELLO_BYTES_MAX 2048  /* packed */
#define PEER_REFUSAL_BYTES_MAX 512 /* packed */

/* What a link is for. */
enum peer_link { PEER_LINK_CONTROL = 1, PEER_LINK_DATA = 2, PEER_LINK_TRANSFER = 3, PEER_LINK_HANDOFF = 4 };

/* The first message of each side on every link: who it is, and what both must have alike (cluster/hello.h). */
struct peer_hello {
    uint32_t lowest, highest; /* wire versions that the sender speaks */
    char cluster_name[PEER_TEXT_MAX + 1];
    struct cluster_id node;   /* the sender */
    uint64_t boot;            /* of its process; higher with each start */
    struct cluster_id wanted; /* whom it means to speak to; all zeros: whoever is there */
    char ring_name[PEER_TEXT_MAX + 1];
    char address[PEER_ADDRESS_MAX + 1];                /* "host:port" of its cluster sockets, as it advertises them */
    char tag_marker[PEER_TAG_MARKER_MAX + 1];          /* --key-tags; empty: off */
    char tag_prefix;                                   /* --prefix-tags; 0: off */
    char ring_strip_prefix[PEER_STRIP_PREFIX_MAX + 1]; /* --ring-strip-prefix; empty: none */
    uint64_t ring_version;
    uint32_t worker; /* data links: the sender's worker, from 0 */
    uint32_t link;   /* enum peer_link; others may come with later versions */
};

size_t peer_hello_pack(const struct peer_hello *h, uint8_t *to, size_t size);
/* False also if it lacks a cluster name, a node id or a boot number, or its lowest version is above its highest. */
bool peer_hello_read(const Peer__Control *m, struct peer_hello *out);

/* Why the sender closes a link. */
struct peer_refusal {
    char setting[64]; /* its name, as the operator writes it */
    char reason[256]; /* a sentence */
};

size_t peer_refusal_pack(const struct peer_refusal *r, uint8_t *to, size_t size);
/* Cuts what is too long, and puts a dot for each byte that could break a log line. */
bool peer_refusal_read(const Peer__Control *m, struct peer_refusal *out);

/* A ping and its pong; the pong carries the ping's number. */
size_t peer_ping_pack(uint64_t number, uint8_t *to, size_t size);
size_t peer_pong_pack(uint64_t number, uint8_t *to, size_t size);
bool peer_ping_read(const Peer__Control *m, uint64_t *number);
bool peer_pong_read(const Peer__Control *m, uint64_t *number);

#endif
