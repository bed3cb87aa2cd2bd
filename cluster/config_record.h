/* SPDX-License-Identifier: BSD-3-Clause
 *
 * config_record - what a node keeps of the cluster in its state directory: who it is, the last configuration it knew,
 * and what it promised and accepted as a Paxos acceptor.
 *
 * The record is one file, replaced whole (temporary file, fsync, rename). It ends with a checksum; a record that does
 * not match it, or that is cut short, is refused with a sentence: a node that begins with half a memory could break a
 * promise. Pure: packs and unpacks bytes, does no I/O.
 */
#ifndef TAGCACHED_CLUSTER_CONFIG_RECORD_H
#define TAGCACHED_CLUSTER_CONFIG_RECORD_H

#include "cluster/configuration_pack.h"
#include "proto/peer_config.h"

#define CONFIG_RECORD_BYTES_MAX (2 * CONFIGURATION_BYTES_MAX + 1024)

/* A Paxos acceptor (L. Lamport, Paxos Made Simple, 2001) of one instance: the decision on one version. */
struct config_acceptor {
    uint64_t instance; /* the version that is decided */
    struct peer_ballot promised, accepted;
    struct configuration_value *value; /* accepted under `accepted`, or NULL */
};

struct config_record {
    struct cluster_id id;                /* the node's */
    uint64_t boot;                       /* of the last process that used it */
    struct configuration_value *current; /* NULL: never heard of one */
    struct config_acceptor acceptor;
    bool founds; /* it was started with --found, and has not had a configuration since */
};

/* Drops the references that it holds. */
void config_record_fini(struct config_record *r);
/* Packs r into memory of its own. 0 or -ENOMEM. */
int config_record_pack(const struct config_record *r, uint8_t **bytes, size_t *nbytes);
/* Reads n bytes into *out, which must be all zeros. 0, -ENOMEM, or -EINVAL with the reason in err: the record is
 * damaged, or a newer tagcached wrote it; *out is all zeros then. */
int config_record_unpack(const uint8_t *bytes, size_t n, struct config_record *out, char *err, size_t err_size);
/* The boot number of a process that starts with this record (or without: all zeros) at the given unix time: higher than
 * all before it. Write the record with it before the first message is sent. */
uint64_t config_record_next_boot(const struct config_record *r, uint64_t unix_seconds);

#endif
