/* SPDX-License-Identifier: BSD-3-Clause
 *
 * swim_hand - one membership machine in a test's hands: inputs from peers that the test plays, and what came out.
 */
#ifndef TAGCACHED_TESTS_UNIT_SWIM_HAND_H
#define TAGCACHED_TESTS_UNIT_SWIM_HAND_H

#include "cluster/swim.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define HAND_OUTS 4096

/* An output, copied. */
struct hand_out {
    enum swim_out_kind kind;
    enum swim_change change;
    uint32_t subject, other; /* numbers of members, as the test gave them; 0: none */
    char address[32];
    uint64_t link, boot, at;
    uint32_t number;
    bool reply;
    struct peer_swim datagram;
};

struct hand {
    struct swim *s;
    uint64_t now;
    unsigned nouts;
    struct hand_out *outs; /* HAND_OUTS of them; the oldest are dropped */
};

/* A machine for member number 1 (boot 100), alone, at time 1,000 s. */
void hand_open(struct hand *h);
void hand_close(struct hand *h);
/* Forgets what came out. */
void hand_clear(struct hand *h);

/* An update about a member by number: boot 100, name "c<number>:1", address "h<number>:2". */
struct peer_swim_update hand_update(uint32_t number, uint64_t incarnation, enum peer_swim_state state);
struct cluster_id hand_id(uint32_t number);
void hand_input(struct hand *h, const struct swim_in *in);
/* `from` gossips one update; pushes one (and wants the table back: link 7); answers a push-pull. */
void hand_gossip(struct hand *h, uint32_t from, const struct peer_swim_update *u);
void hand_push(struct hand *h, uint32_t from, const struct peer_swim_update *u);
/* Any datagram of `from` without updates. */
void hand_datagram(struct hand *h, uint32_t from, enum peer_swim_kind kind, uint32_t number, uint32_t target);
/* Members 2..n join, by one push-pull. */
void hand_join(struct hand *h, uint32_t n);
/* Time goes on to h->now + ns, stepping where the machine wants it. With `answered`, every ping is answered at once. */
void hand_run(struct hand *h, uint64_t ns, bool answered);

/* How many outputs there were of this kind (of SWIM_OUT_CHANGED: this change), about a member; 0 = about any. */
unsigned hand_count(const struct hand *h, enum swim_out_kind kind, enum swim_change change, uint32_t subject);
unsigned hand_changes(const struct hand *h, enum swim_change change, uint32_t subject);
unsigned hand_datagrams(const struct hand *h, enum peer_swim_kind kind, uint32_t to);
/* The last output of this kind about a member (0: any); NULL: there is none. */
const struct hand_out *hand_last(const struct hand *h, enum swim_out_kind kind, uint32_t subject);
/* The last update about a member in any datagram; NULL: there is none. */
const struct peer_swim_update *hand_told(const struct hand *h, uint32_t subject);
/* What the table has about a member; NULL: nothing. */
const struct member *hand_member(const struct hand *h, uint32_t number);

#endif
