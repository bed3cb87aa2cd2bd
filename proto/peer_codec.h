/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peer_codec - packs and unpacks what nodes say to each other (peer.proto), within bounds that the caller sets.
 *
 * Unpacking takes its memory from an arena that the caller owns, so a message can never take more than that, and
 * freeing it is one reset. Only bytes whose sender is known to have the cluster key come here (datagram.h,
 * transport.h); nevertheless nothing here trusts them.
 *
 * How a machine gets its messages onto the wire (peer_link.c is the example):
 * - proto/peer_X.h declares plain structs (fixed-size text and ids, arrays with a count and a MAX) that the machine in
 *   cluster/ works with. It includes no generated header.
 * - proto/peer_X.c, the only one that knows the generated types, has a pair of functions for each struct:
 *       size_t peer_x_pack(const struct peer_x *m, struct peer_arena *scratch, uint8_t *to, size_t size);
 *       bool peer_x_read(const Peer__Control *message, struct peer_x *out);
 *   pack builds the envelope (on the stack, repeated parts in the scratch arena) and ends with peer_control_pack or
 *   peer_datagram_pack; it returns the bytes, or 0 when they do not fit. read copies out of the message, checks every
 *   count and length against the struct's own bounds, and says false if one is broken: the caller counts that, and
 *   closes the link or drops the datagram. Whatever points into a message is valid until the arena is reset.
 * - Fields and kinds that this release does not know are skipped and counted (struct peer_counts).
 *
 * No function here locks or allocates; an arena belongs to one thread at a time.
 */
#ifndef TAGCACHED_PROTO_PEER_CODEC_H
#define TAGCACHED_PROTO_PEER_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/cluster_id.h"

/* Wire versions that this release speaks. Nodes use the highest that both speak. */
#define PEER_WIRE_LOWEST 1
#define PEER_WIRE_HIGHEST 1

#define PEER_DATAGRAM_MAX 1312          /* packed bytes of a Datagram: 1,400 less 88 of seal and header */
#define PEER_CONTROL_MAX (64 * 1024)    /* packed bytes of a Control */
#define PEER_ARENA_BYTES (64 * 1024)    /* enough to unpack any datagram */
#define PEER_CONTROL_ARENA_BYTES 524288 /* enough to unpack any useful control message (8 x its packed bytes) */
#define PEER_TEXT_MAX 255               /* bytes of a name */
#define PEER_ADDRESS_MAX 280            /* bytes of "host:port" with an IPv6 address in brackets */

/* The generated types; proto/peer_*.c alone look inside. */
typedef struct Peer__Datagram Peer__Datagram;
typedef struct Peer__Control Peer__Control;

/* ------------------------------------------------------------------ memory */

struct peer_arena {
    ProtobufCAllocator allocator; /* what protobuf-c is given */
    unsigned char *bytes;
    size_t size, used;
};

/* Works in `size` bytes at `bytes` (any alignment), which stay the caller's. */
void peer_arena_init(struct peer_arena *a, void *bytes, size_t size);
/* Frees everything in it at once. */
void peer_arena_reset(struct peer_arena *a);
/* `size` bytes for any type, not cleared; NULL: the arena is full. */
void *peer_arena_alloc(struct peer_arena *a, size_t size);

/* ------------------------------------------------------------------ envelopes */

enum peer_status {
    PEER_OK,
    PEER_TOO_LONG, /* more bytes than such a message may have */
    PEER_BROKEN,   /* not this message at all, or larger unpacked than the arena */
};

/* What was skipped; a row of counters that the caller sums up. */
struct peer_counts {
    uint64_t unknown_fields; /* fields with a number that this release does not know, at any depth */
    uint64_t unknown_kinds;  /* control messages with no payload that this release knows */
};

/* What a control message carries. */
enum peer_kind {
    PEER_NONE, /* nothing that this release knows */
    PEER_HELLO,
    PEER_REFUSAL,
    PEER_PING,
    PEER_PONG,
    PEER_SYNC,
    PEER_CONFIG,
    PEER_PURGE,
    PEER_ASK,
    PEER_TOLD,
    PEER_HANDOFF,
};

/* Unpacks n bytes into the arena, on top of what is in it. *out is valid until the arena is reset; it is set with
 * PEER_OK only. */
enum peer_status peer_datagram_unpack(struct peer_arena *a, const void *bytes, size_t n, struct peer_counts *counts,
                                      Peer__Datagram **out);
enum peer_status peer_control_unpack(struct peer_arena *a, const void *bytes, size_t n, struct peer_counts *counts,
                                     Peer__Control **out);
enum peer_kind peer_control_kind(const Peer__Control *m);
/* The wire versions that a datagram's sender says it speaks. */
void peer_datagram_versions(const Peer__Datagram *m, uint32_t *lowest, uint32_t *highest);

/* Packs into `to`. Bytes written, or 0: it is longer than `size` or than such a message may be. */
size_t peer_datagram_pack(const Peer__Datagram *m, uint8_t *to, size_t size);
size_t peer_control_pack(const Peer__Control *m, uint8_t *to, size_t size);

/* ------------------------------------------------------------------ for proto/peer_*.c */

/* A field that points to n bytes of the caller's; no copy. */
ProtobufCBinaryData peer_bytes(const void *bytes, size_t n);
/* A field that points to a text, without its zero. */
ProtobufCBinaryData peer_text(const char *text);
/* A field that points to an id; empty if that is all zeros. */
ProtobufCBinaryData peer_id(const struct cluster_id *id);
/* Copies a text of at most size - 1 bytes and ends it with a zero. False: longer, or it holds a byte below 0x20, 0x7f
 * (such a name could forge a log line) or a blank; *to is empty then. */
bool peer_text_read(const ProtobufCBinaryData *from, char *to, size_t size);
/* Copies an id of 16 bytes; an empty field is all zeros. False: another length, *to is all zeros then. */
bool peer_id_read(const ProtobufCBinaryData *from, struct cluster_id *to);

#endif
