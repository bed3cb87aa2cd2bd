/* SPDX-License-Identifier: BSD-3-Clause
 *
 * outbox - the purges that this node was asked for and that are not confirmed yet, and who waits for them.
 *
 * An entry is in one of these lists: without an answer; without an answer, but applied here alone (`local`); or, once
 * it is an event, in one of the two lists of its origin's slot, ascending by sequence: purges of everything are
 * confirmed by another rule than the others. Besides, it is in `todo` while it has to be
 * sent to a voter. An entry that only watches somebody else's event has no record and is never in `todo`. Who waits
 * does so until a deadline; the deadlines are a binary heap.
 *
 * Memory grows by doubling up to the bound and is kept. A purge of one tag lies in its entry. One thread; no clock.
 */
#ifndef TAGCACHED_CLUSTER_OUTBOX_H
#define TAGCACHED_CLUSTER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/viatable.h"
#include "proto/peer_purge.h"
#include "proto/purge_event.h"

#define OUTBOX_MAX 65536u
#define OUTBOX_NONE UINT32_MAX

enum outbox_list {
    OUTBOX_FREE, /* the entries that are not in use */
    OUTBOX_UNANSWERED,
    OUTBOX_LOCAL,
    OUTBOX_SLOTS,                                        /* + slot */
    OUTBOX_STARS = OUTBOX_SLOTS + PEER_PURGE_VECTOR_MAX, /* + slot: those of everything */
    OUTBOX_TODO = OUTBOX_STARS + PEER_PURGE_VECTOR_MAX,
    OUTBOX_LISTS
};

struct outbox_link {
    uint32_t previous, next;
};

struct outbox_entry {
    struct purge_via via; /* number 0: it watches an event */
    uint64_t sequence;    /* with a slot */
    uint64_t since_ns;    /* of the purge; or of the moment from which it has to be answered anew */
    uint64_t deadline_ns; /* of who waits */
    uint64_t token;       /* of who waits */
    uint32_t place;       /* in the heap, OUTBOX_NONE: nobody waits */
    uint8_t list;
    bool local; /* applied here alone, before it was an event */
    bool came;  /* it has come back as an event */
    bool todo;
    bool numbered;   /* it was an event once, of a voter that is gone */
    bool everything; /* it is a purge of everything, or may be one */
    struct outbox_link link, todo_link;
    uint8_t *large; /* the record if it has more than 32 bytes */
    uint8_t small[PURGE_EVENT_ONE_TAG];
};

struct outbox {
    struct outbox_entry *entries;
    uint32_t room, used;
    struct outbox_link lists[OUTBOX_LISTS]; /* next: first, previous: last */
    uint32_t *heap;
    uint32_t waiting; /* in the heap */
    struct viatable vias;
};

/* Makes an empty one. 0 or -ENOMEM. */
int outbox_init(struct outbox *o);
void outbox_fini(struct outbox *o);

/* Adds a purge (a checked record, whose via is in no entry) to the unanswered ones and to todo. *out: its index, valid
 * until it is removed. 0; -ENOSPC: OUTBOX_MAX are in it; -ENOMEM. */
int outbox_add(struct outbox *o, const uint8_t *record, uint64_t now_ns, uint32_t *out);
/* Adds an entry that watches an event, which is (or may be) one of everything. The same results. */
int outbox_watch(struct outbox *o, int slot, uint64_t sequence, bool everything, uint64_t now_ns, uint32_t *out);
void outbox_remove(struct outbox *o, uint32_t i);
const uint8_t *outbox_record(const struct outbox *o, uint32_t i);
/* The entry of a via, or OUTBOX_NONE. */
uint32_t outbox_find(const struct outbox *o, struct purge_via via);

/* The first entry of a list, and the one behind an entry in the same list; OUTBOX_NONE: there is none. */
uint32_t outbox_first(const struct outbox *o, unsigned list);
uint32_t outbox_next(const struct outbox *o, uint32_t i);

/* The slot of an entry that is an event. */
static inline int outbox_slot(const struct outbox_entry *e) {
    return (e->list - OUTBOX_SLOTS) % PEER_PURGE_VECTOR_MAX;
}

/* The entry's purge is the event `sequence` of the slot's origin. */
void outbox_identify(struct outbox *o, uint32_t i, int slot, uint64_t sequence);
/* It is no event any more: unanswered (or local) from now on, at the end of that list. */
void outbox_unidentify(struct outbox *o, uint32_t i, uint64_t now_ns);
/* It is applied here alone. The entry is unanswered. */
void outbox_set_local(struct outbox *o, uint32_t i);
/* Puts it at the end of todo, or takes it out; nothing happens if it is so already. */
void outbox_set_todo(struct outbox *o, uint32_t i, bool todo);

/* Somebody waits for the entry, until the deadline. */
void outbox_wait(struct outbox *o, uint32_t i, uint64_t token, uint64_t deadline_ns);
/* Nobody waits any more. */
void outbox_unwait(struct outbox *o, uint32_t i);
/* The entry whose waiter has the earliest deadline, OUTBOX_NONE: nobody waits. */
uint32_t outbox_earliest(const struct outbox *o);

#endif
