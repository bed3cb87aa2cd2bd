/* SPDX-License-Identifier: BSD-3-Clause
 *
 * datagram - seals what nodes send each other by UDP, and refuses whatever a member of the cluster did not just send.
 *
 * At most 1,400 bytes (so that no network cuts them in pieces), 88 of them not the caller's:
 *
 *   magic 4 | wire version 1 | 0 1 | key id 2 | cluster 8 | sender 16 | boot 8 | counter 8 | nonce 24 | sealed | tag 16
 *
 * Numbers are big-endian. The bytes in front of the nonce are authenticated with the rest (XChaCha20-Poly1305 of the
 * IETF, libsodium). "cluster" is the XXH3 hash of the cluster's name: it tells strangers apart cheaply and proves
 * nothing. The counter rises with each datagram of a process; a receiver takes each value once, and remembers the
 * last 1,024.
 *
 * A sender must be known: hello on a link (hello.h) shows its id and boot number to both sides. So a datagram of a
 * stranger, or of a process that has been replaced, costs one look-up, and what is remembered is bounded by
 * DATAGRAM_SENDERS_MAX.
 *
 * Pure: bytes in, verdict out. Random bytes come from the caller. One thread.
 */
#ifndef TAGCACHED_CLUSTER_DATAGRAM_H
#define TAGCACHED_CLUSTER_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "cluster/keyring.h"
#include "proto/cluster_id.h"

#define DATAGRAM_MAX 1400
#define DATAGRAM_OVERHEAD 88
#define DATAGRAM_PAYLOAD_MAX (DATAGRAM_MAX - DATAGRAM_OVERHEAD)
#define DATAGRAM_WINDOW 1024 /* counters that may arrive out of order */
#define DATAGRAM_SENDERS_MAX 4096

/* In the order of the checks, the cheapest first. */
enum datagram_verdict {
    DATAGRAM_OPENED,
    DATAGRAM_LENGTH,   /* shorter than the header and the tag, or longer than 1,400 bytes */
    DATAGRAM_MAGIC,    /* not a datagram of this program */
    DATAGRAM_VERSION,  /* of a wire version that this release does not speak */
    DATAGRAM_CLUSTER,  /* of another cluster */
    DATAGRAM_KEY,      /* sealed with a key that is not in the keyring */
    DATAGRAM_STRANGER, /* of a sender that no link has shown */
    DATAGRAM_BOOT,     /* of another process of that sender */
    DATAGRAM_FORGED,   /* the tag is wrong */
    DATAGRAM_REPLAYED, /* its counter was seen, or is older than the window */
    DATAGRAM_PAYLOAD,  /* what was sealed is no message (counted by who unpacks it: datagram_count_broken) */
    DATAGRAM_VERDICTS
};

/* Where random bytes come from. */
struct datagram_random {
    void (*fill)(void *arg, void *to, size_t n);
    void *arg;
};

struct datagram_config {
    const char *cluster_name;
    struct cluster_id self;
    uint64_t boot;
    const struct keyring *keyring; /* copied */
    struct datagram_random random;
};

struct datagram_sender {
    struct cluster_id id;
    uint64_t boot;
    uint32_t version; /* the wire version of this datagram */
};

struct datagram;

/* NULL: no memory. */
struct datagram *datagram_new(const struct datagram_config *cfg);
void datagram_free(struct datagram *d);
/* Seals and opens with these keys from now on. */
void datagram_set_keyring(struct datagram *d, const struct keyring *k);

/* A link has shown this process, which speaks `version` with this node. 0; -ESTALE: a later boot of this id is known;
 * -ENOSPC: DATAGRAM_SENDERS_MAX are; -ENOMEM. An earlier boot of the id is forgotten. */
int datagram_know(struct datagram *d, const struct cluster_id *id, uint64_t boot, uint32_t version);
/* The member is gone. */
void datagram_forget(struct datagram *d, const struct cluster_id *id);
/* The wire version to write to a node in: the one agreed on, or the lowest if it is unknown. */
uint32_t datagram_version_of(const struct datagram *d, const struct cluster_id *id);
unsigned datagram_known(const struct datagram *d);

/* Seals n <= DATAGRAM_PAYLOAD_MAX bytes into out, which holds DATAGRAM_MAX. Bytes of the datagram. */
size_t datagram_seal(struct datagram *d, uint32_t version, const void *payload, size_t n, uint8_t *out);
/* Opens a datagram of n bytes. DATAGRAM_OPENED: *payload_n bytes are in payload, which holds DATAGRAM_PAYLOAD_MAX, and
 * *from says who sent them. Else nothing is written but the count of that verdict. */
enum datagram_verdict datagram_open(struct datagram *d, const void *bytes, size_t n, void *payload, size_t *payload_n,
                                    struct datagram_sender *from);
/* What was sealed could not be unpacked. */
void datagram_count_broken(struct datagram *d);
/* How many were given this verdict. */
uint64_t datagram_count(const struct datagram *d, enum datagram_verdict v);
/* All that were refused. */
uint64_t datagram_refused(const struct datagram *d);
/* The verdict as one word of a log line. */
const char *datagram_verdict_name(enum datagram_verdict v);

#endif
