/* SPDX-License-Identifier: BSD-3-Clause
 *
 * change - the steps that every change of an item is made of. From change_begin to change_end its bucket is locked.
 *
 * Threads: through the caller's own handle, in a section.
 */
#ifndef TAGCACHED_STORE_CHANGE_H
#define TAGCACHED_STORE_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/append.h"
#include "store/handle.h"
#include "store/index.h"
#include "store/item.h"
#include "store/purge.h"
#include "store/segment.h"
#include "store/store.h"
#include "store/verdict.h"

struct change {
    struct store_worker *w;
    struct index_bucket *b;
    const struct store_key *key;
    uint64_t *slot; /* of the key's present record, or NULL */
    uint64_t loc;
    struct item old; /* when slot != NULL */
    enum verdict verdict;
    uint32_t deadline;    /* when verdict is VERDICT_SOFT */
    const uint64_t *read; /* tags that the reader whose change it is names beside the item's own, or none */
    unsigned nread;
};
/* Locks the key's bucket and looks its record up; one that is dead is unlinked and counted on the way. */
void change_begin(struct change *c, struct store_worker *w, const struct store_key *k);
/* Unlocks; readers look again. */
void change_end(struct change *c);
/* Unlocks when nothing was changed. */
void change_end_unchanged(struct change *c);
/* Unlinks the present record; nothing takes its place. */
void change_unlink(struct change *c);
/* Gives the record at loc its version and links it in place of the present one. False: the index has no free slot;
 * nothing is linked. */
bool change_link(struct change *c, uint64_t loc, uint64_t version);
/* Takes space for a new record of the key, in the queue it belongs to, and makes sure of a slot for it. False: one of
 * the two is not to be had (change_no_room). */
bool change_append(struct change *c, uint32_t bytes, struct append *rec);
/* What the change says then. STORE_AGAIN: wait for on_room. STORE_NO_MEMORY: see change_no_segment; or the key's bucket
 * is full although the index has grown as far as it is to. */
enum store_status change_no_room(const struct change *c);
/* Whether a softly purged, or stale by a soft purge, item can still be won by a classic get. */
static inline bool change_soft(const struct change *c) {
    return c->verdict == VERDICT_SOFT || (item_softly_stale(c->old.bits) && !(c->old.bits & ITEM_WON));
}
/* Rewrites the item with other state bits, expiry, flags or tags but the same value, under `version` (its own, or a
 * higher one). False: no segment is free. c->old, loc and slot follow. */
struct rewrite {
    uint8_t bits; /* state bits */
    uint32_t expiry, flags;
    bool has_cas; /* else what it had, unless drop_cas */
    bool drop_cas;
    uint64_t cas;
    const uint64_t *tags; /* replaces its tags when not NULL */
    unsigned ntags;
};
bool change_rewrite(struct change *c, const struct rewrite *r, uint64_t version);
/* Sets state bits, expiry and version: in place if the record has an expiry field or needs none, else by rewriting. */
bool change_state(struct change *c, uint8_t bits, uint32_t expiry, uint64_t version);

/* A new record, whose version is taken, is to have the content of the present one: what have purges since done to that?
 * One that is only announced counts as hard. `tags` are all those of the new record; change_carry_own takes the present
 * one's. */
enum carry { CARRY_LIVE, CARRY_SOFT, CARRY_DEAD };
enum carry change_carry(struct change *c, const uint64_t *tags, unsigned n, uint32_t *deadline);
enum carry change_carry_own(struct change *c, uint32_t *deadline);
/* What the purge table says if the present record, which was moved here (item_moved), is to have these tags, at most
 * TAG_ALL_MAX: as to those that it does not carry, it is older than every purge. */
enum purge_verdict change_check_more(const struct change *c, const uint64_t *tags, unsigned n, uint32_t *deadline);
/* The state bits, and the expiry (lowered in place), that it then has. */
void change_carry_state(const struct change *c, enum carry carry, uint32_t deadline, uint8_t *bits, uint32_t *expiry);
/* The present record has turned out purged: unlinks and counts it. */
void change_drop(struct change *c);
/* Shows the present record, if out is not NULL. */
void change_show(const struct change *c, struct store_item *out);
/* Writes a value that lies in one piece as a new record, takes its version and links it; `carried` when it goes on from
 * the old one, which may turn out dead (STORE_NOT_FOUND). Space is asked for first: STORE_AGAIN, STORE_NO_MEMORY. */
enum store_status change_write(struct change *c, struct item_spec *spec, const char *value, bool carried);
/* A set without conditions of a value that lies in one piece, from beginning to end: the change that most are, so all
 * of it is in one function. since, and what is returned: as for store_set. */
enum store_status change_set(struct store_worker *w, const struct store_key *k, struct item_spec *spec,
                             const char *value, uint64_t since, struct store_item *out);
/* What a change says when no segment is free: wait; or no, if none will become free (-M, or nothing can be evicted). */
enum store_status change_no_segment(const struct store *s);

#endif
