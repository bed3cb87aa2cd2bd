/* SPDX-License-Identifier: BSD-3-Clause
 *
 * swim - who is there: SWIM (Das, Gupta and Motivala 2002) with Lifeguard (Dadgar, Phillips and Currey 2018).
 *
 * A pure machine. Its driver gives it inputs with the time, it answers with actions (swim_emit), and says when it wants
 * the time next (swim_next_ns). It reads no clock, has no socket, and every choice it makes comes from its seed.
 *
 * Each probe interval it pings one member, all in turn in a shuffled order. Without an answer in time it pings again,
 * asks three others to ping that member, and has the driver try it over TCP. If nothing is heard until the interval's
 * end the member is suspect, and dead unless it refutes by a higher incarnation; suspicion.h says in which time. What
 * changes is told to a few members each gossip interval, and on every ping and answer. A push-pull of everything with
 * one member, at long intervals, makes up for whatever got lost. Partitions of any length heal: the dead are pinged for
 * ever, each of them by eight members or so in a probe interval, and seeds and the dead are asked for a push-pull.
 *
 * Whoever hears of itself something else than "alive" raises its incarnation. A restarted node has a higher boot
 * number.
 *
 * Names and addresses: when somebody else answers at a member's address, that member is dead at once. When a member
 * does not answer a probe and a newer process has its name or its address, it is dead at once. While it answers, both
 * stay alive, SWIM_OUT_CONFLICT tells of it, and the configuration refuses the newer one's join.
 *
 * A member that is dead stays in the table, and is tried, until it is forgotten, or a newer process has its name or
 * address, or the table is full. Who left stays for `tombstone_ns`, so that no late message brings it back.
 *
 * Datagrams count only from members whose id and boot the table has (swim_knows): the driver drops others before it
 * unpacks them. A stranger becomes known by a push-pull or by gossip of a member.
 *
 * A machine belongs to one thread. Bytes and texts in inputs and outputs are valid during the call only.
 */
#ifndef TAGCACHED_CLUSTER_SWIM_H
#define TAGCACHED_CLUSTER_SWIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/member.h"
#include "proto/peer_swim.h"

#define SWIM_SEEDS_MAX 64
#define SWIM_AWARENESS_MAX 7
#define SWIM_SELF 0 /* the slot of the node itself */

struct swim_timing {
    uint64_t probe_ns;      /* one ping each; what follows it ends with the interval */
    uint64_t timeout_ns;    /* of a ping, before others are asked; shorter than probe_ns */
    uint64_t gossip_ns;     /* while there is something to tell */
    uint64_t sync_ns;       /* push-pull; above 32 members x (1 + ceil(log2(members / 32))) */
    uint64_t retry_ns;      /* one seed or dead member */
    uint64_t lonely_ns;     /* the same, while nobody else is alive */
    uint64_t tombstone_ns;  /* how long a member that left is remembered */
    unsigned helpers;       /* asked to ping a member that did not answer; at most 8 */
    unsigned fanout;        /* members told each gossip interval */
    unsigned transmits;     /* x (2 + ceil(log10(members + 1))): how often an update is sent */
    unsigned suspicion;     /* factor of the shortest suspicion */
    unsigned suspicion_max; /* the longest is so many times the shortest */
};

/* 500 ms, 200 ms, 200 ms, 30 s, 10 s, 1 s, 72 h; 3, 3, 4, 4, 6. */
void swim_timing_default(struct swim_timing *t);

struct swim_config {
    struct cluster_id id;
    uint64_t boot;              /* 1..PEER_SWIM_NUMBER_MAX; higher with each start of this node */
    const char *name, *address; /* not empty; copied */
    uint64_t seed;
    struct swim_timing timing;
};

enum swim_in_kind {
    SWIM_IN_TIME,       /* swim_next_ns has come, and all that has arrived was given in */
    SWIM_IN_DATAGRAM,   /* from, boot, datagram */
    SWIM_IN_PONG_TCP,   /* from, boot: who answered SWIM_OUT_PING_TCP with this number */
    SWIM_IN_FAILED_TCP, /* number: nobody accepts connections there (refused, not merely late) */
    SWIM_IN_SYNC,       /* from, boot, link, number, sync: a part of the other side's table */
    SWIM_IN_SEEDS,  /* texts, n: addresses to try, instead of those before; above SWIM_SEEDS_MAX the rest is ignored */
    SWIM_IN_FORGET, /* from: a dead member that the operator says is gone for good */
    SWIM_IN_LEAVE,  /* tell all that this node leaves; SWIM_OUT_LEFT follows */
    SWIM_IN_META,   /* bytes, n (at most PEER_SWIM_META_MAX): what pings and answers carry from now on */
    SWIM_IN_BOOT,   /* boot: this node's own, higher than before (after SWIM_OUT_OUTDATED) */
};

struct swim_in {
    enum swim_in_kind kind;
    struct cluster_id from;
    uint64_t boot;
    const struct peer_swim *datagram;
    const struct peer_sync *sync;
    uint64_t link;   /* the driver's own; comes back with the answer */
    uint32_t number; /* as in the output that this answers */
    const char *const *texts;
    const void *bytes;
    unsigned n;
};

enum swim_out_kind {
    SWIM_OUT_DATAGRAM, /* slot: to that member's address; datagram */
    SWIM_OUT_PING_TCP, /* slot, number: dial that member; whoever answers is reported by SWIM_IN_PONG_TCP */
    SWIM_OUT_SYNC,    /* send the table (swim_sync_part): on `link` if that is not 0 (this is the answer, reply is set),
                         else over TCP to `address`, which is slot's, or a seed's if slot is MEMBER_NONE; the other
                         side's parts are reported by SWIM_IN_SYNC with the same number */
    SWIM_OUT_CHANGED, /* slot, change */
    SWIM_OUT_CONFLICT, /* slot, other: both are active and have one name (change SWIM_NAME) or address (SWIM_ADDRESS) */
    SWIM_OUT_META,     /* slot, bytes, n: a member's meta, each time that it comes */
    SWIM_OUT_OUTDATED, /* boot: the cluster knows a process of this node's id that is newer than this one; either the
                          stored boot number is old (SWIM_IN_BOOT with a higher one), or somebody copied the state */
    SWIM_OUT_LEFT,     /* all have been told; the node may stop */
};

enum swim_change {
    SWIM_JOINED, /* it is new in the table, and alive */
    SWIM_SUSPECTED,
    SWIM_DIED,
    SWIM_REFUTED,   /* suspect or dead, and alive after all */
    SWIM_RESTARTED, /* alive with a new boot number */
    SWIM_ENDED,     /* it left, or was forgotten */
    SWIM_NAME,      /* another name */
    SWIM_ADDRESS,   /* another address */
    SWIM_REMOVED,   /* the slot is free after this call */
};

struct swim_out {
    enum swim_out_kind kind;
    unsigned slot, other;
    enum swim_change change;
    const struct peer_swim *datagram;
    const char *address;
    uint64_t link, boot;
    uint32_t number;
    bool reply;
    const void *bytes;
    unsigned n;
};

/* Carries out one action. It must not call swim_input. */
struct swim_sink {
    void *arg;
    void (*emit)(void *arg, const struct swim_out *out);
};

/* Counted since the start. */
struct swim_counts {
    uint64_t probes, probes_failed, suspicions, deaths, refutations; /* refutations: of this node's own death */
    uint64_t unknown_senders, ignored; /* datagrams of strangers; messages without sense */
    uint64_t table_full;               /* members refused */
    uint64_t gossip_datagrams;
};

struct swim;

/* A machine that knows itself only. NULL: no memory. */
struct swim *swim_new(const struct swim_config *config, uint64_t now_ns);
void swim_free(struct swim *s);
/* Takes one input; now_ns is never less than the last. Calls sink->emit any number of times. */
void swim_input(struct swim *s, uint64_t now_ns, const struct swim_in *in, const struct swim_sink *sink);
/* When SWIM_IN_TIME is due. */
uint64_t swim_next_ns(const struct swim *s);

/* One part of the table: fills updates[0..max-1] (at most PEER_SYNC_UPDATES_MAX) from slot *next on as far as
 * PEER_CONTROL_MAX bytes go, and *out (reply stays as it is). *next begins at 0; out->last: that was all. Texts are the
 * table's, valid until the next input. */
void swim_sync_part(const struct swim *s, unsigned *next, struct peer_swim_update *updates, unsigned max,
                    struct peer_sync *out);

/* The table, for reading. */
const struct members *swim_members(const struct swim *s);
/* Whether datagrams of this process are to be opened. */
bool swim_knows(const struct swim *s, const struct cluster_id *id, uint64_t boot);
/* Lifeguard's local health: 0 (well) .. SWIM_AWARENESS_MAX. */
unsigned swim_awareness(const struct swim *s);
const struct swim_counts *swim_counts(const struct swim *s);

#endif
