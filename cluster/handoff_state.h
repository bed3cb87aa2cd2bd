/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handoff_state - the machine of handoff.h as its files share it: handoff_machine.c has life and time, handoff_gain.c
 * the receiver's side of a transfer, handoff_lose.c the donor's.
 */
#ifndef TAGCACHED_CLUSTER_HANDOFF_STATE_H
#define TAGCACHED_CLUSTER_HANDOFF_STATE_H

#include "cluster/handoff.h"

#define HANDOFF_MS UINT64_C(1000000)
#define HANDOFF_EARLY_MAX 64 /* receivers whose BEGIN came before this node had heard of the ring */
#define HANDOFF_KEYS 256     /* that a scan shows at a time */
#define HANDOFF_LATE_MS 20   /* that a donor which was held up may make up for, of its rate */
#define HANDOFF_PASSES 3
#define HANDOFF_LEAST_PART 1024 /* bytes of a value, for which a chunk is gone on with */

enum transfer_state {
    TRANSFER_IDLE,   /* losing: no BEGIN yet */
    TRANSFER_READY,  /* losing: it came; own workers do not all go by the ring yet */
    TRANSFER_ASKED,  /* gaining: BEGIN is, or is to be, sent; own workers wait for READY */
    TRANSFER_LATE,   /* likewise, and they have stopped waiting */
    TRANSFER_MOVING, /* READY was said */
    TRANSFER_OVER,
};

/* A chunk that was asked for. */
struct gain_chunk {
    uint64_t number; /* 0: none */
    uint64_t g, asked_ns;
    size_t bytes; /* that came */
    bool owed;    /* handoff_mark */
};

/* A piece of a chunk that came, and is not stored yet. */
struct gain_piece {
    struct gain_piece *next;
    uint64_t chunk;
    bool last;
    size_t n, at;
    uint8_t bytes[];
};

/* The receiver's side. */
struct gain {
    struct gain_chunk asked[HANDOFF_CHUNKS];
    uint64_t number;   /* of the last chunk that was asked for */
    uint64_t again_ns; /* when one may be asked for again, or a piece be stored */
    uint64_t end;      /* the chunk that was answered by END; 0: none yet */
    uint64_t value_g;  /* of the first part of a value that comes in parts */
    struct gain_piece *first, **tail;
};

/* A chunk that the receiver wants. */
struct lose_want {
    uint64_t number;
    struct cover cover;
};

/* A chunk that is being made, that went out and is not acknowledged, or whose items are being dropped. */
struct lose_chunk {
    struct lose_chunk *next; /* to be dropped */
    uint64_t number;
    bool owed;    /* handoff_mark */
    size_t n, at; /* bytes of records; up to where they are dropped */
    uint8_t bytes[PEER_HANDOFF_ITEMS_MAX];
};

/* The donor's side. */
struct lose {
    struct lose_want want[HANDOFF_CHUNKS];
    unsigned nwant;
    struct lose_chunk *making;               /* for want[0]; NULL: it is not begun */
    struct lose_chunk *sent[HANDOFF_CHUNKS]; /* NULL: none */
    struct lose_chunk *dropping;             /* a list */
    uint64_t end;                            /* the chunk that END has answered; 0: none yet */
    bool held; /* a pass is over: what it sent has to be acknowledged and dropped before the next */
    unsigned pass;
    struct handoff_cursor cursor;
    struct handoff_key *keys; /* that the scan has shown; HANDOFF_KEYS */
    unsigned nkeys, key;      /* from `key` on they are still to be sent */
    uint64_t value_at;        /* of that one's value so much was sent */
};

struct transfer {
    struct handoff_part part;
    enum transfer_state state;
    bool linked;
    uint64_t dial_ns;  /* gaining: when to dial again; 0: not */
    uint64_t heard_ns; /* when the other side did something last */
    uint64_t items, bytes, expected, begun_ns;
    union {
        struct gain gain;
        struct lose lose;
    };
};

/* BEGIN of a ring that this node does not know yet. */
struct handoff_early {
    uint32_t member;
    uint64_t ring_version, digest;
};

struct handoff {
    struct handoff_config cfg;
    struct handoff_counters counters;
    uint64_t ring_version, settled, items;
    struct transfer *transfers;
    unsigned n;
    struct handoff_early early[HANDOFF_EARLY_MAX];
    unsigned nearly;
    uint64_t send_ns; /* when the rate allows another chunk */
    unsigned turn;    /* the transfer that has the next step, modulo n */
};

/* ---- handoff_machine.c */

void handoff_send(struct handoff *h, const struct transfer *t, const struct peer_handoff *m);
/* It was READY. */
void handoff_begin(struct handoff *h, uint64_t now_ns, struct transfer *t, uint64_t expected);
/* The transfer is over; the other side is told unless it is HANDOFF_DONE or has said so itself. */
void handoff_finish(struct handoff *h, struct transfer *t, enum handoff_end how, bool tell);

/* ---- handoff_gain.c */

/* Whether it waits for READY. */
static inline bool handoff_gain_waits(const struct transfer *t) {
    return t->state == TRANSFER_ASKED || t->state == TRANSFER_LATE;
}
void handoff_gain_message(struct handoff *h, uint64_t now_ns, struct transfer *t, const struct peer_handoff *m);
/* Deadlines. */
void handoff_gain_time(struct handoff *h, uint64_t now_ns, struct transfer *t);
/* When a step is due, or a deadline. */
uint64_t handoff_gain_next_ns(const struct transfer *t);
/* A step of work. False: there is nothing to be done now. */
bool handoff_gain_step(struct handoff *h, uint64_t now_ns, struct transfer *t);
void handoff_gain_fini(struct transfer *t);

/* ---- handoff_lose.c */

/* It may be READY now: BEGIN has come, or the workers go by the ring. */
void handoff_lose_ready(struct handoff *h, uint64_t now_ns, struct transfer *t);
void handoff_lose_message(struct handoff *h, struct transfer *t, const struct peer_handoff *m);
/* As for the receiver's side. */
void handoff_lose_time(struct handoff *h, uint64_t now_ns, struct transfer *t);
uint64_t handoff_lose_next_ns(const struct handoff *h, const struct transfer *t);
bool handoff_lose_step(struct handoff *h, uint64_t now_ns, struct transfer *t);
void handoff_lose_fini(struct transfer *t);

#endif
