/* SPDX-License-Identifier: BSD-3-Clause
 *
 * link - the headers of what two nodes say to each other about keys, on a connection that belongs to one worker of the
 * node that asks (server/cmd/cmd_link.h, cmd_serve.c). Pure.
 *
 *     request  bytes u32 | seq u32 | kind u8   | flags u8 | budget_ms u16 | payload
 *     reply    bytes u32 | seq u32 | status u8 | more u8  | 0 u16         | payload
 *
 * Numbers are little-endian; `bytes` counts the payload. Requests are answered in order, so `seq` (one higher with each
 * request that has an answer) only shows that both sides count alike.
 */
#ifndef TAGCACHED_PROTO_LINK_H
#define TAGCACHED_PROTO_LINK_H

#include <stdint.h>
#include <string.h>

#define LINK_HEADER 12                 /* bytes */
#define LINK_REQUEST_MAX (128u * 1024) /* bytes of a request's payload: a line, and a block that is not large */
#define LINK_REPLY_MAX (64u * 1024)    /* bytes of a reply's; what is larger takes a transfer link */
#define LINK_TTL_NEVER (-1)            /* LINK_GET with LINK_TOUCH: the item is to live for ever */
#define LINK_TTL_PASSED (-2)           /* ... or not at all */

enum link_kind {
    LINK_GET = 1,     /* a key, as the client sent it; LINK_TOUCH: a ttl (i32, seconds) in front */
    LINK_COMMAND = 2, /* a line, and the block behind it, as the client sent them */
    LINK_RING = 3,    /* u64: the version of the ring that all requests behind it go by; it has no answer and no seq */
    LINK_PING = 4,    /* nothing */
    LINK_PACKET = 5,  /* a packet of the binary protocol, as the client sent it; so is its answer */
    LINK_COVER = 6,   /* u32: the number of the member that asks, and the purges that it has applied (cluster/cover.h,
                         cover_pack): all LINK_PULL behind it go by that; it has no answer and no seq */
    LINK_PULL = 7,    /* a key that was the asked node's and is the asker's: its item, as a record (moved_item.h), or
                         nothing; LINK_PART: a u64 in front, the byte of the value that the record is to begin with */
    LINK_MEMBER = 8,  /* u32: the number of who sends all requests behind it; it has no answer and no seq. Only to who
                         has answered LINK_COPIED on this connection */
    LINK_GONE = 9, /* u64, the hash of a key (LINK_COPY_SEED): the copy of this key must not be served any more. To who
                      has one */
};

enum link_flag {
    LINK_CAS = 1,    /* LINK_GET: the answer has the CAS id (gets, gats) */
    LINK_TOUCH = 2,  /* LINK_GET: the item gets a new ttl (gat, gats) */
    LINK_SUFFIX = 4, /* LINK_GET: the key carries a list of tags */
    LINK_PART = 8,   /* LINK_PULL: not from the value's first byte on */
    LINK_COPY = 16,  /* LINK_GET alone: a copy is wanted, no client's answer. Older nodes answer it as a get */
};

enum link_status {
    LINK_DONE = 1,      /* the bytes for the client, but for END; `more` empty answers of this kind follow at once */
    LINK_LARGE = 2,     /* not done: the answer, or the block, is too large for this link */
    LINK_NOT_OWNER = 3, /* not done: u64, the version of the ring by which the key is not this node's */
    LINK_RETRY = 4,     /* not done: the key is moving here, ask again in a moment. So are all behind it that are about
                           keys of the same former owner, until the next LINK_RING */
    LINK_BUSY = 5,      /* not done: no memory, or it came too late */
    LINK_BEHIND = 6,    /* LINK_PULL, not done: a purge that the asker has applied is not here yet */
    LINK_COPIED = 10,   /* LINK_COPY: the length of a cover (u16), the cover (cluster/cover.h), and the item
                           (moved_item.h); or nothing: no copy is given now */
};

struct link_header {
    uint32_t bytes, seq;
    uint8_t kind;       /* enum link_kind; of a reply: enum link_status */
    uint8_t flags;      /* enum link_flag; of a reply: `more` */
    uint16_t budget_ms; /* how long the answer is of use; of a reply 0 */
};

_Static_assert(sizeof(struct link_header) == LINK_HEADER, "the struct is what travels");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers travel as they lie");

#define LINK_COPY_SEED UINT64_C(0x686f74206b657973) /* of the hash by which nodes name a key that is copied */

static inline void link_put(char *out, const struct link_header *h) {
    memcpy(out, h, sizeof *h);
}
static inline void link_read(struct link_header *h, const char *p) {
    memcpy(h, p, sizeof *h);
}

#endif
