/* SPDX-License-Identifier: BSD-3-Clause
 *
 * member - the table of all processes that a node has heard of, and which evidence about one wins.
 *
 * A member is a node id (128 bits); the process behind it is told by its boot number. Evidence is ordered by
 * (boot, incarnation, state), the states in the order alive, suspect, dead, left, and the greatest wins. Since that is
 * a maximum, evidence may come in any order and any number of times and every table ends the same: an old "alive" never
 * undoes a "dead" of a higher incarnation, whoever heard what first. Only a member itself raises its incarnation (SWIM,
 * Das, Gupta and Motivala 2002, section 4.2), only a new process has a higher boot number.
 *
 * Names and addresses are attributes: two members may claim the same, and the table answers who does.
 *
 * A slot is a member's place in the table. It stays the same until the member is removed.
 *
 * A table belongs to one thread. Pure: no clock, no I/O; `now_ns` is any clock that does not jump.
 */
#ifndef TAGCACHED_CLUSTER_MEMBER_H
#define TAGCACHED_CLUSTER_MEMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/peer_swim.h"

#define MEMBERS_MAX 4096
#define MEMBER_NONE 0xffffu /* no slot */

/* About 130 bytes with its texts. */
struct member {
    struct cluster_id id; /* all zeros: the slot is free */
    uint64_t boot, incarnation;
    uint64_t since_ns; /* when it came into this state; before the clock's beginning: wraps round */
    char *name;        /* in the ring; never empty */
    char *address;     /* "host:port" of its cluster sockets; in the same allocation */
    uint32_t name_hash, address_hash;
    /* swim's: its place among the updates to send, and its suspicion. */
    uint16_t next, previous, suspicion;
    uint8_t sent;  /* how often its update was sent since it changed; UINT8_MAX: it is not among them */
    uint8_t state; /* enum peer_swim_state */
};

struct members {
    struct member *all; /* slots 0..nslots-1 */
    uint16_t *index;    /* hash table of slots + 1, by id; 0: empty */
    uint32_t index_size, nslots, room, nfree;
    uint64_t seed;
    unsigned in_state[PEER_SWIM_LEFT + 1]; /* members in each state */
};

/* An empty table; the seed keeps others from choosing ids that collide. */
void members_init(struct members *m, uint64_t seed);
void members_fini(struct members *m);
/* How many members it has, in any state. */
unsigned members_count(const struct members *m);

/* The member in a slot; NULL: free, or no slot at all. */
struct member *member_at(const struct members *m, unsigned slot);
/* The slot of an id, or MEMBER_NONE. */
unsigned member_find(const struct members *m, const struct cluster_id *id);
/* Adds what an update tells (its name and address must be there, its id must not be in the table); its slot.
 * MEMBER_NONE: the table is full (member_victim) or there is no memory. */
unsigned member_add(struct members *m, const struct peer_swim_update *u, uint64_t now_ns);
/* Takes a member out of the table. */
void member_remove(struct members *m, unsigned slot);

/* Whether an update tells more than the table knows: > 0 it wins, 0 the same, < 0 it is out of date. */
int member_compare(const struct member *member, const struct peer_swim_update *u);
/* Takes over boot, incarnation and state, and name and address if the update has them (without memory they stay). */
void member_take(struct members *m, unsigned slot, const struct peer_swim_update *u, uint64_t now_ns);
/* Changes the state alone. */
void member_set_state(struct members *m, unsigned slot, enum peer_swim_state state, uint64_t now_ns);
/* Seconds since it came into its state. */
uint32_t member_age_s(const struct member *member, uint64_t now_ns);

/* Whether a process may be there: alive or suspect. */
bool member_is_active(const struct member *member);
/* The slot of the member of this name: an active one before others, then the newest boot; or MEMBER_NONE. */
unsigned member_by_name(const struct members *m, const char *name);
/* Another active member with this one's name, or address; or MEMBER_NONE. */
unsigned member_other_of_name(const struct members *m, unsigned slot);
unsigned member_other_of_address(const struct members *m, unsigned slot);
/* Whether an active member with this address is in the table. */
bool member_is_at(const struct members *m, const char *address);
/* Whether a newer process has its name or its address: then this one is gone if it does not answer. */
bool member_is_superseded(const struct members *m, unsigned slot);
/* Whom to remove when the table is full: who left longest ago, else who is superseded and dead longest, else who is
 * dead longest. MEMBER_NONE: all are active. */
unsigned member_victim(const struct members *m, uint64_t now_ns);

#endif
