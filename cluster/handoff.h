/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handoff - hands the items of moved keys over, after a change of the ring: what the two sides say to each other, and
 * when.
 *
 * The ring changes first, so writes of a moved key go to its new owner from then on; then the items follow. A node that
 * gained arcs from another (the donor) asks it whether its workers go by the new ring (BEGIN, READY), and takes over
 * after HANDOFF_READY_MS without an answer. Then it takes chunks of items, hottest first: each is a pull of its own,
 * which the donor answers only if it knows every purge that the receiver has applied (cover.h), and what was written
 * or purged at the receiver meanwhile is refused there by the store. What the receiver has acknowledged the donor
 * drops.
 *
 *   gaining: ASKED (BEGIN is sent) [-> LATE (no READY in time)] -> MOVING (READY has come) -> over (END has come)
 *   losing:  IDLE (no BEGIN yet) -> READY (it came) -> MOVING (own workers go by the ring) -> over (END is acked)
 *
 * Either is over from any state when it is abandoned.
 *
 * One machine is both sides of one change of the ring, and of all nodes that it concerns; a further change abandons
 * what is not done and begins anew. A broken transfer is abandoned for good: what came stays, the rest is lost.
 *
 * Work is done in steps of some tens of microseconds, by handoff_time alone, so that the driver can rest in between and
 * leave the CPU to those who serve clients. Messages only note what is to be done.
 *
 * A pure machine, as purging.h: inputs are calls with the time, outputs are the upcalls of struct handoff_events, made
 * during a call; an upcall must not call the machine. Nodes are named by their member numbers. One thread. Times are
 * nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef TAGCACHED_CLUSTER_HANDOFF_H
#define TAGCACHED_CLUSTER_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/cover.h"
#include "cluster/move.h"
#include "proto/moved_item.h"
#include "proto/peer_handoff.h"

#define HANDOFF_READY_MS 250    /* without READY the new owner takes over */
#define HANDOFF_DIAL_MS 20      /* until a donor that closed the link before it was READY is dialled again */
#define HANDOFF_BEHIND_MS 10    /* until a donor that was behind, or a store that had no room, is tried again */
#define HANDOFF_BEGIN_MS 5000   /* a donor waits so long for BEGIN, and who has taken over for READY, */
#define HANDOFF_SILENT_MS 60000 /* and a side that waits for the other so long before it gives up */
#define HANDOFF_CHUNK_BYTES (256 * 1024) /* at most, that a receiver takes; a donor sends one message's worth */
#define HANDOFF_CHUNKS 2                 /* asked for and not acknowledged */
#define HANDOFF_RATE_MIB 32              /* a second that a donor sends, by default */
#define HANDOFF_STEP_ITEMS 128           /* that a step reads, stores or drops, at most */

/* ------------------------------------------------------------------ the store, as the machine sees it */

/* An item that is to be handed over. */
struct handoff_key {
    uint64_t version;
    uint8_t nkey;
    char key[MOVED_ITEM_KEY_MAX];
};

/* Where a walk through the store is: the store's own words; all zeros to begin. */
struct handoff_cursor {
    uint64_t word[8];
    bool done;
};

enum handoff_import {
    HANDOFF_KEPT,    /* stored; or a part of a value that is not whole yet is */
    HANDOFF_WRITTEN, /* refused: the key was changed here since this node owns it */
    HANDOFF_PURGED,  /* refused: one of its tags, or everything, was purged above g */
    HANDOFF_PRESENT, /* refused: the key is here; or its ttl has passed, or it can never be stored */
    HANDOFF_AGAIN,   /* nothing has happened, there is no room: again in a moment */
};

struct handoff_store {
    void *arg;
    /* Stores an item that came from a donor, as of g (cover.h); it was asked for at asked_ns, and its ttl counts from
     * then. Parts of one value come in order; another item, or part 0, ends what was begun before. */
    enum handoff_import (*import)(void *arg, uint32_t donor, const struct moved_item *it, uint64_t g,
                                  uint64_t asked_ns);
    /* Goes on with a walk for a short time and shows keys that now are the receiver's and were this node's, and were
     * read about min_freq times lately (4: hot, 1: read again, 0: all). At most `max` keys: the rest is shown by the
     * next call. Returns how many. */
    unsigned (*scan)(void *arg, uint32_t receiver, struct handoff_cursor *c, unsigned min_freq,
                     struct handoff_key *keys, unsigned max);
    /* Shows the item of this key and version, its value from byte `at` on, at most `most` bytes and at least 1 if there
     * are any. False: it is gone. */
    bool (*read)(void *arg, const struct handoff_key *k, uint64_t at, uint32_t most,
                 void (*show)(void *to, const struct moved_item *it), void *to);
    /* The receiver has it, or needs it no more: takes it out if it still has this version. */
    void (*drop)(void *arg, const struct moved_item *it);
};

/* ------------------------------------------------------------------ the machine */

struct handoff;

/* How a transfer ended. The numbers travel (ABORT). */
enum handoff_end {
    HANDOFF_DONE,
    HANDOFF_UNREACHABLE, /* no link, or it broke */
    HANDOFF_NOT_READY,   /* no READY in time; or (a donor) no BEGIN */
    HANDOFF_SILENT,      /* the other side said nothing for too long */
    HANDOFF_FULL,        /* the written set is full */
    HANDOFF_CHANGED,     /* the ring has changed again, or the two sides differ about it */
    HANDOFF_BROKEN,      /* the other side sent what makes no sense */
    HANDOFF_ENDS
};
/* A few words for the log. */
const char *handoff_end_text(enum handoff_end e);

struct handoff_counters {
    uint64_t sent, sent_bytes;         /* items that receivers have acknowledged; bytes of records that went out */
    uint64_t received, received_bytes; /* items that were kept; bytes of records that came */
    uint64_t refused_written, refused_purged, refused_present;
    uint64_t done, abandoned; /* transfers, on either side */
};

/* A transfer with one other node, for the log and operators. */
struct handoff_progress {
    uint32_t member;
    bool gaining;
    uint64_t items, bytes; /* so far: kept (gaining) or acknowledged; of all records */
    uint64_t expected;     /* items, about; 0: not known */
    uint64_t begun_ns;
};

/* What the machine calls. `gaining` says which of two possible transfers with a member is meant, and so which link: the
 * receiver dials. */
struct handoff_events {
    void *arg;
    /* Sends a message on the link of a transfer. What cannot be sent ends the link, which is told by handoff_lost. */
    void (*send)(void *arg, uint32_t member, bool gaining, const struct peer_handoff *m);
    /* Dials a donor again: it closed the link, because it had not heard of this node yet. */
    void (*dial)(void *arg, uint32_t member);
    /* The workers' state of a donor: MOVE_LATE, MOVE_PULLING, MOVE_NONE. (That of a new one is MOVE_ASKED already.) */
    void (*state)(void *arg, uint32_t member, enum move_state s);
    /* What purges this node knows (cover_copy). */
    void (*cover)(void *arg, struct cover *out);
    /* Whether the written set is full. */
    bool (*full)(void *arg);
    /* A member goes by a newer ring than this node. */
    void (*newer)(void *arg, uint32_t member, uint64_t version);
    /* A transfer is over, whether it was ready or not. */
    void (*ended)(void *arg, const struct handoff_progress *p, enum handoff_end how);
};

struct handoff_config {
    uint64_t rate; /* bytes of records a second that this node sends */
    struct handoff_store store;
    struct handoff_events events;
};

struct handoff *handoff_new(const struct handoff_config *cfg); /* NULL: no memory */
/* Nothing is called. */
void handoff_free(struct handoff *h);

/* A transfer, as the change of the ring gives it. */
struct handoff_part {
    uint32_t member;
    bool gaining;    /* else this node loses arcs to it */
    uint64_t digest; /* of the arcs (handoff_digest): both sides must have the same */
    uint32_t share;  /* losing: what part of this node's keys it is, of 2^32 */
};

/* The ring has become this version, which brings these transfers. What is not done of the last change is abandoned. 0,
 * or -ENOMEM: nothing is handed over. */
int handoff_change(struct handoff *h, uint64_t now_ns, uint64_t ring_version, const struct handoff_part *parts,
                   unsigned n);
/* All workers of this node go by the ring of this version. items: in the store, for the estimate. */
void handoff_settled(struct handoff *h, uint64_t now_ns, uint64_t ring_version, uint64_t items);
/* The link to a donor, which this node dialled, is up. */
void handoff_up(struct handoff *h, uint64_t now_ns, uint32_t member);
/* A link broke, or (gaining) could not be had. */
void handoff_lost(struct handoff *h, uint64_t now_ns, uint32_t member, bool gaining);
/* A message on a link. Nothing in it is trusted. */
void handoff_receive(struct handoff *h, uint64_t now_ns, uint32_t member, bool gaining, const struct peer_handoff *m);
/* The time given by handoff_next_ns has come. Does one step of work at most; it is to be called again while the next
 * time is not later than now, but need not be at once. */
void handoff_time(struct handoff *h, uint64_t now_ns);
/* UINT64_MAX: nothing is to be done until something happens. */
uint64_t handoff_next_ns(const struct handoff *h);
/* All that is under way is abandoned. */
void handoff_abandon(struct handoff *h, uint64_t now_ns, enum handoff_end why);

/* The records in chunks that are under way now are to be forgotten (--erase): whether those still are. */
void handoff_mark(struct handoff *h);
bool handoff_owes(struct handoff *h);

/* Transfers that are under way: fills at most max (out may be NULL then), returns how many there are. */
unsigned handoff_progress(const struct handoff *h, struct handoff_progress *out, unsigned max);
/* Of all transfers of this change, those that are over among them: items so far, of so many, about. */
void handoff_totals(const struct handoff *h, uint64_t *items, uint64_t *expected);
const struct handoff_counters *handoff_counters(const struct handoff *h);

/* A number that is the same for the same arcs between two members, which are indexes of a difference. */
uint64_t handoff_digest(const struct ringdiff *d, unsigned from, unsigned to);

#endif
