/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pull - when an item that another node has sent may be kept: hot copies, and items that move.
 *
 * Such an item may be older than a purge that this node has carried out already: then nothing would ever take it out
 * again. Therefore the receiver notes what it has applied (its stand) before it asks; the giver notes its own before it
 * looks the item up; and the item is kept only if the giver's stand covers the receiver's, and no purge of its tags has
 * a number above that of the receiver's. So a purge is in the receiver's stand, and what the giver answers obeys it; or
 * it has a higher number, and the receiver's own store tells. Either side can compare: one tells the other its stand.
 *
 * The cluster's thread publishes the stand, on a board; workers read it. Packing and comparing are pure.
 */
#ifndef TAGCACHED_CLUSTER_PULL_H
#define TAGCACHED_CLUSTER_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sync.h"

#define PULL_ORIGINS_MAX 64
#define PULL_HEAD 35                                       /* bytes of a packed stand without any origin */
#define PULL_BYTES_MAX (PULL_HEAD + 12 * PULL_ORIGINS_MAX) /* of any */

/* Everything of the origin up to `sequence` is applied. */
struct pull_seen {
    uint64_t origin, sequence;
};

/* What a node has applied. */
struct pull_stand {
    uint64_t number; /* of its store: what is applied and not in `seen` has a higher one, or none of its own yet */
    uint64_t usable; /* 1: it may pull. 0: it has no vector yet, or purges of its own that no voter has */
    uint64_t known;  /* 1: it may give: it has a vector */
    uint64_t epoch, version;              /* of its configuration: whose floors it has raised, and which it goes by */
    uint64_t floor_epoch, retire_version; /* of its configuration: what a giver must have reached */
    uint64_t n;
    struct pull_seen seen[PULL_ORIGINS_MAX];
};

/* Where it is published. All zero: nothing is pulled or given. */
struct pull_board {
    struct sync_sequence sequence;
    struct pull_stand stand; /* its words are atomic */
};

/* One thread at a time. */
void pull_publish(struct pull_board *b, const struct pull_stand *s);
/* Any thread. What lies behind the first out->n of `seen` is left as it was. */
void pull_read(const struct pull_board *b, struct pull_stand *out);

/* Packs a stand, but for its number; `to` has room for PULL_BYTES_MAX. Returns how many bytes. */
size_t pull_pack(const struct pull_stand *s, void *to);
/* Reads a stand that p[0..n) begins with, and returns its length; 0: it begins with none. */
size_t pull_unpack(const void *p, size_t n, struct pull_stand *out);
/* Whether a node that stands at `giver` may give to one at `receiver`: it has entered the epoch whose floor the other
 * knows of, has a version that knows of all retired origins, and has applied all that the other has. Of an origin that
 * it does not know it has applied nothing. */
bool pull_covers(const struct pull_stand *giver, const struct pull_stand *receiver);

#endif
