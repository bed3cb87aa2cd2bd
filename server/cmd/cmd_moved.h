/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_moved - items on their way between the store and the records that nodes send each other when keys move
 * (proto/moved_item.h): for pulls (cmd_pull.c, cmd_serve.c), and for the hand-off's own transfers.
 *
 * Through the caller's own handle of the store, inside a section.
 */
#ifndef TAGCACHED_CMD_CMD_MOVED_H
#define TAGCACHED_CMD_CMD_MOVED_H

#include <stdbool.h>
#include <stdint.h>

#include "cluster/move.h"
#include "proto/moved_item.h"
#include "store/store.h"

/* Makes a record of an item that was found in this section: all of its value, or the part that begins at byte `at`, of
 * at most `most` bytes (fewer where the value lies in several pieces). Key and value point into the store. False: it
 * does not move (store_moving), or has no such byte. */
bool cmd_moved_show(struct store_worker *w, const struct store_item *it, uint64_t at, uint32_t most,
                    struct moved_item *out);

/* A value that comes in parts, one at a time. All zeros: none. */
struct cmd_moved_parts {
    struct store_upload *upload;
    uint64_t version; /* the giver's */
    uint64_t got;     /* bytes of it */
};
/* Gives up what has come. */
void cmd_moved_forget(struct store_worker *w, struct cmd_moved_parts *p);

/* What an item that comes must not undo. */
struct cmd_moved_guard {
    uint64_t g;        /* store_number() from before the giver was asked (cover.h) */
    uint64_t asked_ns; /* the store's clock from before: the way here, however long, does not lengthen a life */
    uint64_t fenced;   /* the `since` of the key's arc (ring.h) */
    struct move *move; /* whose written set counts, */
    unsigned donor;    /* and only while the state of this donor of it is MOVE_PULLING */
};

/* Stores the item of a record, whose key is `k`, or adds the part that it is to *p. STORE_RECEIVED also for a part
 * behind which others follow (moved_item_is_last). What does not fit to the parts before, or has no time left to live,
 * is refused as STORE_RECEIVE_PRESENT. STORE_RECEIVE_AGAIN: the same record is to come once more, with the same *p. */
enum store_received cmd_moved_take(const struct store *s, struct store_worker *w, const struct moved_item *it,
                                   const struct store_key *k, const struct cmd_moved_guard *guard,
                                   struct cmd_moved_parts *p);

#endif
