/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cover - which purges a node knows, as of one moment: what whoever takes an item from another node shows to it, and
 * what the other compares with its own before it answers.
 *
 * An item that was read elsewhere must not be stored here after a purge that it did not see there. Of the purges that
 * are applied here, those that the cover shows are applied at the giver before it reads the item, or it does not
 * answer. All others have a number above the cover's `g` here, and the store refuses what they select. That holds
 * because g is read first and the vector behind it; so the two must be used together, and an old cover is safe: it
 * only refuses more.
 *
 * The cluster's thread publishes the newest one in a cell, from which any thread copies it.
 */
#ifndef TAGCACHED_CLUSTER_COVER_H
#define TAGCACHED_CLUSTER_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"
#include "proto/peer_purge.h"

/* One origin's events are applied up to a sequence. */
struct cover_seen {
    uint64_t origin, sequence;
};

struct cover {
    bool usable;             /* else nothing may be taken over now: this node has no vector yet, or a purge of its own
                              * is applied here alone (`local`). And it gives nothing */
    uint64_t g;              /* the store's number (store_number) from before the vector was read. This node's own, not
                              * for others */
    uint64_t version;        /* of the configuration */
    uint64_t epoch;          /* entered: floors up to it are raised */
    uint64_t floor_epoch;    /* the last epoch that raised one */
    uint64_t retire_version; /* the last version that dropped an origin */
    unsigned n;
    struct cover_seen seen[PEER_PURGE_VECTOR_MAX];
};

/* Whether a node whose cover is `own` may give an item to one that shows `theirs`: it has applied all that the other
 * has, entered its floor, and dropped no origin less. */
bool cover_covers(const struct cover *own, const struct cover *theirs);

#define COVER_HEAD_BYTES 33
#define COVER_BYTES_MAX (COVER_HEAD_BYTES + 16 * PEER_PURGE_VECTOR_MAX) /* of cover_pack */
/* What another node is shown, as bytes (little-endian numbers: version, epoch, floor_epoch, retire_version, a byte of
 * count, then origin and sequence of each): returns how many. */
size_t cover_pack(const struct cover *c, uint8_t to[COVER_BYTES_MAX]);
/* The same back; usable, with g 0. False: the n bytes at p are none. */
bool cover_read(const uint8_t *p, size_t n, struct cover *out);

/* ------------------------------------------------------------------ the cell */

#define COVER_WORDS (6 + 2 * PEER_PURGE_VECTOR_MAX)

/* All zeros: nothing is published, which reads as a cover that is not usable. */
struct cover_cell {
    struct sync_sequence sequence;
    uint64_t word[COVER_WORDS]; /* atomic */
};

/* One thread. */
void cover_publish(struct cover_cell *cell, const struct cover *c);
/* Any thread, without a lock. */
void cover_copy(const struct cover_cell *cell, struct cover *out);

#endif
