/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of swim share: swim_machine.c takes inputs and keeps the timers, swim_evidence.c decides what an
 * update changes, swim_probe.c finds out who does not answer, swim_gossip.c tells others, swim_sync.c exchanges whole
 * tables. Nobody else includes this.
 */
#ifndef TAGCACHED_CLUSTER_SWIM_STATE_H
#define TAGCACHED_CLUSTER_SWIM_STATE_H

#include "base/rand.h"
#include "cluster/swim.h"

#define SWIM_RELAYS_MAX 64
#define SWIM_HELPERS_MAX 8
#define SWIM_LEVELS 32 /* an update is sent at most so often */
#define SWIM_NEVER UINT64_MAX

/* A suspect's time to refute. */
struct swim_suspicion {
    uint16_t slot;
    uint16_t naccusers;
    uint64_t start_ns, deadline_ns;
    uint64_t call_ns; /* when it is called again; at its deadline it is dead */
    struct cluster_id accusers[PEER_SWIM_ACCUSERS_MAX];
};

/* The member that is probed now. */
struct swim_probe {
    unsigned slot; /* MEMBER_NONE: nobody */
    struct cluster_id target;
    uint32_t number;
    bool answered, asked, refused; /* asked: the helpers, and TCP; refused: over TCP */
    unsigned nhelpers, nacks;
    uint64_t again_ns, end_ns; /* the next ping; the verdict */
};

/* A ping for somebody else. */
struct swim_relay {
    uint32_t number;       /* of the ping that this node sent; 0: free */
    uint32_t asked_number; /* of the requester's probe */
    struct cluster_id requester, target;
    uint64_t nack_ns;
};

struct swim_seed {
    char *address;
    struct cluster_id answered; /* who answered there; all zeros: nobody yet */
};

struct swim {
    struct swim_timing timing;
    struct rand rand;
    uint64_t now;
    const struct swim_sink *sink; /* during an input */
    struct members members;
    struct swim_counts counts;
    unsigned awareness;
    bool leaving, left;
    bool quiet;                    /* what is new now is new to this node only */
    struct cluster_id joined_from; /* whose table this node is reading, having known nobody; all zeros: nobody's */
    uint32_t number;               /* of the last ping */
    unsigned nmeta;
    uint8_t meta[PEER_SWIM_META_MAX];

    uint16_t *order; /* slots of all members but this node, shuffled each round of probes */
    unsigned norder, order_room, order_at;
    struct swim_probe probe;
    struct cluster_id urgent; /* a suspect to be probed next, whoever's turn it is; all zeros: none */
    struct swim_relay relays[SWIM_RELAYS_MAX];
    uint64_t relay_ns; /* the first nack that is due */

    struct swim_suspicion *suspicions;
    unsigned nsuspicions, suspicions_room;
    uint64_t suspicion_ns; /* the first call or deadline */

    uint16_t level[SWIM_LEVELS]; /* first slot of a list of updates that were sent so often; MEMBER_NONE: none */
    unsigned queued;
    uint64_t gossip_ns, gossiped_ns; /* the next; the last */

    uint64_t sync_ns, retry_ns, clean_ns;
    uint32_t nseeds;
    struct swim_seed seeds[SWIM_SEEDS_MAX];
    struct peer_swim out; /* the datagram that is being made */
};

static inline struct member *swim_self(const struct swim *s) {
    return &s->members.all[SWIM_SELF];
}
/* Members that are alive or suspect, this node included. */
static inline unsigned swim_active(const struct swim *s) {
    return s->members.in_state[PEER_SWIM_ALIVE] + s->members.in_state[PEER_SWIM_SUSPECT];
}
static inline void swim_emit(const struct swim *s, const struct swim_out *out) {
    s->sink->emit(s->sink->arg, out);
}
static inline void swim_worsen(struct swim *s, unsigned by) {
    s->awareness = s->awareness + by < SWIM_AWARENESS_MAX ? s->awareness + by : SWIM_AWARENESS_MAX;
}

/* swim_machine.c */
void swim_changed(struct swim *s, unsigned slot, enum swim_change change);
/* A random member that is active, not this node, and none of the `n` slots; MEMBER_NONE: there is none. */
unsigned swim_pick(struct swim *s, const unsigned not_these[], unsigned n);
/* A member takes part in the rounds of probes from now on; false: no memory. */
bool swim_order_add(struct swim *s, unsigned slot);
void swim_drop(struct swim *s, unsigned slot); /* takes a member out of the table */

/* swim_evidence.c */
/* Takes in one update; accuser: of a member that a push-pull calls dead (it becomes suspect first, so that it can
 * refute); NULL: it came in a datagram. */
void swim_evidence(struct swim *s, const struct peer_swim_update *u, const struct cluster_id *accuser);
void swim_accuse(struct swim *s, unsigned slot);             /* this node's own probe of it failed */
void swim_bury(struct swim *s, unsigned slot);               /* it is dead, as far as this node knows */
void swim_suspicions_wait(struct swim *s, uint64_t late_ns); /* this node was stopped for so long */
void swim_suspicions_due(struct swim *s);                    /* time */
const struct swim_suspicion *swim_suspicion_of(const struct swim *s, unsigned slot);

/* swim_probe.c */
void swim_probe_start(struct swim *s, uint64_t first_ns);
void swim_probe_due(struct swim *s);
/* Asks a suspect, who is told that it is one, to answer; nobody waits for it. */
void swim_probe_call(struct swim *s, unsigned slot);
void swim_probe_void(struct swim *s); /* this node was stopped: what it did not hear means nothing */
uint64_t swim_probe_next(const struct swim *s);
void swim_probe_datagram(struct swim *s, unsigned slot, const struct peer_swim *m);
void swim_probe_refused(struct swim *s, uint32_t number);
void swim_probe_pong(struct swim *s, const struct cluster_id *who, uint64_t boot, uint32_t number);

/* swim_gossip.c */
void swim_tell(struct swim *s, unsigned slot);   /* its update goes to all, from now on */
void swim_untell(struct swim *s, unsigned slot); /* no more */
void swim_update_of(const struct swim *s, unsigned slot, bool with_texts, struct peer_swim_update *u);
/* Sends s->out, of which kind, number and target are set, with meta and as many updates as fit. */
void swim_send(struct swim *s, unsigned slot);
void swim_gossip_due(struct swim *s);

/* swim_sync.c */
/* One of the dead that are worth trying, each as likely; MEMBER_NONE: there is none. */
unsigned swim_lost(struct swim *s);
void swim_sync_due(struct swim *s);
void swim_sync_soon(struct swim *s);
void swim_sync_in(struct swim *s, const struct swim_in *in);
void swim_seeds_in(struct swim *s, const struct swim_in *in);

#endif
