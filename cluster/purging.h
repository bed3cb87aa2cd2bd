/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purging - brings every purge to every member of the cluster, once, and tells who asked for it when all have it.
 *
 * A purge asked for here goes to a voter, which makes it an event: the next sequence of its origin. Voters send their
 * events to all members; a member applies each origin's events in order and acknowledges what it has applied. Confirmed
 * is what every member has acknowledged that may still answer from its store: that needs leases, which voters grant
 * (lease.h). Who lacks something pulls it from whoever has it.
 * (Design: the numbered rules of the cluster's purges; the comments name them.)
 *
 * A pure machine: inputs are calls with the time, outputs are the upcalls of struct purging_events, made during a call.
 * An upcall must not call the machine. What a call changes is sent by purging_flush, which the owner calls at the end
 * of each round of its loop: so events collect in frames, and nothing waits for a timer. Members are named by their
 * numbers in the configuration. One thread. Times are nanoseconds of CLOCK_BOOTTIME.
 */
#ifndef TAGCACHED_CLUSTER_PURGING_H
#define TAGCACHED_CLUSTER_PURGING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/configuration.h"
#include "cluster/lease.h"
#include "proto/peer_purge.h"
#include "proto/purge_event.h"

#define PURGING_BATCH_SELECTORS 64 /* applied in one step */

struct purging;

enum purging_status {
    PURGING_CONFIRMED, /* every member has applied it, or may answer nothing that it selects until it has */
    PURGING_PENDING,   /* it is on its way; who has not acknowledged it still may not have it */
    PURGING_LOCAL,     /* applied here alone, because no voter answered: lost if this node dies now */
    PURGING_LOG_FULL,  /* nothing has happened: the log is full of purges that are not confirmed */
    PURGING_UNKNOWN,   /* this node knows no such purge */
};

/* What became of a purge. */
struct purging_receipt {
    enum purging_status status;
    uint32_t acked, members; /* members that have acknowledged it, this node among them; that have to */
    struct purge_via via;    /* number 0: not known here */
    uint32_t origin;         /* with the sequence its id; 0: it has none yet */
    uint64_t sequence;
};

/* Which purge a selector is of. */
struct purging_source {
    struct purge_via via;
    uint32_t origin; /* with the sequence its id; 0: it has none yet */
    uint64_t sequence;
};

/* Purges to be applied with one number, in this order of batches. */
struct purging_batch {
    const struct purge_selector *selectors;
    const struct purging_source *sources; /* one a selector */
    unsigned nselectors;                  /* 1..PURGING_BATCH_SELECTORS */
    bool soft;
    bool counted;         /* it is one purge, whose asker wants to know how many items it takes out here */
    struct purge_via via; /* of a counted one */
    uint32_t ttl_s;
};

struct purging_events {
    void *arg;
    /* Sends a message to a member whose link is up. */
    void (*send)(void *arg, uint32_t member, const struct peer_purge *m);
    /* Applies a batch. True: it is done, no request served from now on returns what it selects. False: it takes time;
     * the batch stays valid until the caller says so by purging_applied, and no other is shown until then. */
    bool (*apply)(void *arg, const struct purging_batch *batch);
    /* Everything stored before is dead now: if it is tagged, or (everything) in any case. */
    void (*floor)(void *arg, bool everything);
    /* To who waits, once a token. */
    void (*outcome)(void *arg, uint64_t token, const struct purging_receipt *r);
    /* A member has a configuration of this version, newer than the one here: fetch it. */
    void (*newer)(void *arg, uint32_t member, uint64_t version);
    /* For operators; both may be NULL. A purge asked for here is confirmed, whether somebody waits for it or not. A
     * member, or this node, has acknowledged all of an origin's events up to this one. */
    void (*confirmed)(void *arg, const struct purging_receipt *r);
    void (*acked)(void *arg, uint32_t member, uint32_t origin, uint64_t sequence);
};

struct purging_config {
    uint64_t log_bytes; /* purgelog_bytes of the memory limit */
    uint64_t boot;      /* of this process */
    struct purging_events events;
};

/* Makes the machine of a node that belongs to no cluster yet. 0 or -ENOMEM. */
int purging_new(const struct purging_config *cfg, uint64_t now_ns, struct purging **out);
void purging_free(struct purging *p);

/* ------------------------------------------------------------------ inputs */

/* The node has adopted this configuration (a newer version than the last one, or of another cluster after number 0).
 * number: its own in it, 0: it is no member (not yet, or ejected or replaced; the outbox stays). 0 or -ENOMEM, nothing
 * is adopted then. Links to members that are new in it are down until purging_link says that they are up. A node that
 * goes over to another cluster adopts its last configuration as number 0 first. */
int purging_adopt(struct purging *p, uint64_t now_ns, const struct configuration *c, uint32_t number);
/* The node, a voter, has accepted (or no more has) a value that would begin another epoch: until the next configuration
 * it numbers no purges: it has accepted a configuration of another epoch. */
void purging_seal(struct purging *p, bool sealed);
/* The control link to a member came up or broke. What was sent over it and is not acknowledged may be lost. */
void purging_link(struct purging *p, uint64_t now_ns, uint32_t member, bool up);
/* A message of a member. Nothing in it is trusted beyond its kind. */
void purging_receive(struct purging *p, uint64_t now_ns, uint32_t member, const struct peer_purge *m);
/* A member's vector has this hash (purging_hash), it says elsewhere (a SWIM ping). */
void purging_hint(struct purging *p, uint64_t now_ns, uint32_t member, uint64_t hash);
/* The batch that took time is applied. */
void purging_applied(struct purging *p, uint64_t now_ns);
/* The end of a round of the owner's loop: sends what came together. */
void purging_flush(struct purging *p, uint64_t now_ns);
/* The time given by purging_next_ns has come. */
void purging_time(struct purging *p, uint64_t now_ns);
/* When purging_time is due. */
uint64_t purging_next_ns(const struct purging *p);

/* ------------------------------------------------------------------ asking */

struct purging_request {
    const struct purge_selector *selectors;
    unsigned nselectors; /* 1..64, each of at most 64 tags; no tag: everything */
    bool soft;
    bool counted;
    uint32_t ttl_s;
    uint64_t wait_ns; /* after so long the outcome is told as it is then */
    uint64_t token;   /* for the outcome */
};

/* Begins a purge; its outcome is told by the upcall, in this round or later. *via (may be NULL): its name until it has
 * an id. 0; -ENOTCONN: the node is no member of a cluster; -ENOSPC: too many purges are pending; -EINVAL: beyond the
 * bounds; -ENOMEM. Then nothing has happened and no outcome follows. */
int purging_purge(struct purging *p, uint64_t now_ns, const struct purging_request *r, struct purge_via *via);
/* Asks what became of a purge, by its id or its via, and sees to it: the outcome is told when it is confirmed
 * or unknown, else after wait_ns. 0, -ENOTCONN, -ENOSPC or -ENOMEM. */
int purging_ask_id(struct purging *p, uint64_t now_ns, uint32_t origin, uint64_t sequence, uint64_t wait_ns,
                   uint64_t token);
int purging_ask_via(struct purging *p, uint64_t now_ns, struct purge_via via, uint64_t wait_ns, uint64_t token);
/* Members that have not acknowledged an event, as far as is known here: their numbers, at most max. Returns how many.
 */
unsigned purging_lacking(const struct purging *p, uint32_t origin, uint64_t sequence, uint32_t *members, unsigned max);
/* What the log has of an event: its via, and whether it is soft. False: nothing. */
bool purging_event(const struct purging *p, uint32_t origin, uint64_t sequence, struct purge_via *via, bool *soft);
/* Shows the purges of this node's outbox, oldest first for each origin, until fn returns false. */
void purging_pending(const struct purging *p, bool (*fn)(void *arg, const struct purging_receipt *r), void *arg);

/* ------------------------------------------------------------------ facts for others */

/* The vector of what is applied; returns how many entries, at most PEER_PURGE_VECTOR_MAX. And its hash. */
unsigned purging_vector(const struct purging *p, struct peer_purge_seen *out);
uint64_t purging_hash(const struct purging *p);
/* Whether the vector here shows all that this one shows of the origins that count. */
bool purging_covers(const struct purging *p, const struct peer_purge_seen *vector, unsigned n);
/* Whether this node is an active voter of its epoch; and since when, if it is. */
bool purging_active(const struct purging *p, uint64_t *since_ns);
/* Until when this node may answer from its store; both 0 while it is no member. */
struct lease_ends purging_leases(const struct purging *p);
/* Whether its configuration has leases: at least three voters. */
bool purging_needs_lease(const struct purging *p);
/* Whether the node has a vector (a newcomer has none until a voter has given it its own). */
bool purging_begun(const struct purging *p);
/* The last epoch that the node has entered: whose floor, if it had one, is raised. */
uint64_t purging_entered(const struct purging *p);
/* Own purges that are applied here alone: while there are some, no number of this node may serve a pull, since
 * it would not show them. */
uint32_t purging_local(const struct purging *p);
/* When a member last polled this voter, and which version it went by. False: it has not. */
bool purging_heard(const struct purging *p, uint32_t member, uint64_t *ns, uint64_t *version);
/* For how long at least this node has known of an event that it has not applied; 0: it has applied all. Every event
 * that it knew of before that time is applied. */
uint64_t purging_lag_ns(const struct purging *p, uint64_t now_ns);
/* For the configuration: a closing origin may be dropped, because every member has polled here lately, at the version
 * that this voter goes by, and has exactly what this voter has of it. It stays so at later versions. */
bool purging_may_retire(const struct purging *p, uint64_t now_ns, uint32_t origin);

struct purging_counters {
    uint64_t sent;       /* purges asked for here */
    uint64_t received;   /* events of others that came */
    uint64_t numbered;   /* purges that this voter made events */
    uint64_t confirmed;  /* purges asked for here that were confirmed */
    uint64_t alone;      /* of those asked for here: applied without a voter */
    uint64_t repeated;   /* events whose purge was applied already */
    uint64_t floors;     /* raised because a log began too late */
    uint64_t malformed;  /* messages that say nothing sensible */
    uint64_t frames_out; /* frames of events sent, the repeated ones too */
    uint32_t pending;    /* in the outbox now */
};
void purging_read_counters(const struct purging *p, struct purging_counters *out);

#endif
