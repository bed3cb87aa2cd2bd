/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cluster_receipts - what a node remembers, for operators, of the purges that it was asked for: when and with which
 * words, when all had carried it out, and when each member had. The machine of the purges (purging.h) knows none of
 * that; it is not needed for any promise.
 *
 * The last CLUSTER_RECEIPTS purges are remembered, confirmed or not, and what each of CLUSTER_RECEIPTS_MEMBERS members
 * acknowledged last; of a larger cluster some times are not known. 0.8 MiB, touched when it is used, and 32 bytes for
 * each member that has told what a counted purge took out there. A pure data structure of the cluster's thread; times
 * are nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef TAGCACHED_CLUSTER_CLUSTER_RECEIPTS_H
#define TAGCACHED_CLUSTER_CLUSTER_RECEIPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/cluster_task.h"
#include "cluster/purging.h"

#define CLUSTER_RECEIPTS 1024
#define CLUSTER_RECEIPTS_CONFIRMED 64 /* confirmed ones that are listed */
#define CLUSTER_RECEIPTS_MEMBERS 256

/* What a counted purge took out at a member. */
struct cluster_receipt_count {
    uint32_t member;
    int64_t items; /* -1: too many to count */
    uint64_t bytes;
    uint64_t gone_ns; /* when the last copy there was gone, and this node had heard of it */
};

struct cluster_receipt {
    struct purge_via via;
    uint64_t begun_ns, confirmed_ns; /* 0: not confirmed yet */
    struct purging_receipt last;     /* of a confirmed one */
    bool soft, counted;
    bool late;  /* who asked was told that it is pending */
    bool swept; /* all members have told what they took out, and that was told */
    unsigned ncounts;
    struct cluster_receipt_count *counts;       /* ncounts of them */
    char by[CLUSTER_PURGE_BY_MAX + 1];          /* who asked; "": not known */
    char selectors[CLUSTER_PURGE_TEXT_MAX + 1]; /* parted by commas; ends in "..." if it was longer */
};

struct cluster_receipts;

/* NULL: no memory. */
struct cluster_receipts *cluster_receipts_new(void);
void cluster_receipts_free(struct cluster_receipts *r);

/* A purge that a client asked for has begun. */
void cluster_receipts_begin(struct cluster_receipts *r, uint64_t now_ns, struct purge_via via,
                            const struct cluster_purge *p);
/* It is confirmed. */
void cluster_receipts_confirmed(struct cluster_receipts *r, uint64_t now_ns, const struct purging_receipt *last);
/* Who asked was told that it is not confirmed yet. */
void cluster_receipts_late(struct cluster_receipts *r, struct purge_via via);
/* The receipt of a counted purge that is confirmed, and whose count all members have told, also those that it was
 * confirmed without; NULL: not so, or this was said before. */
struct cluster_receipt *cluster_receipts_swept(struct cluster_receipts *r, struct purge_via via);
/* A member has all of the origin's events up to this one. */
void cluster_receipts_acked(struct cluster_receipts *r, uint64_t now_ns, uint32_t member, uint32_t origin,
                            uint64_t sequence);

/* A member has taken out what a counted purge selects; the time is filled in. Once a member. */
void cluster_receipts_counted(struct cluster_receipts *r, uint64_t now_ns, struct purge_via via,
                              const struct cluster_receipt_count *count);

/* What a member took out; NULL: it has not said so (yet). */
const struct cluster_receipt_count *cluster_receipt_count(const struct cluster_receipt *k, uint32_t member);
/* What is remembered of a purge; NULL: nothing. By its id only if it is confirmed. */
const struct cluster_receipt *cluster_receipts_by_via(const struct cluster_receipts *r, struct purge_via via);
const struct cluster_receipt *cluster_receipts_by_id(const struct cluster_receipts *r, uint32_t origin,
                                                     uint64_t sequence);
/* The i-th of those confirmed last, the newest is 0; NULL: there are no more. */
const struct cluster_receipt *cluster_receipts_recent(const struct cluster_receipts *r, unsigned i);
/* When a member acknowledged an event; 0: not known (any more). */
uint64_t cluster_receipts_acked_ns(const struct cluster_receipts *r, uint32_t member, uint32_t origin,
                                   uint64_t sequence);

#endif
