/* SPDX-License-Identifier: BSD-3-Clause
 *
 * ring - which member of the cluster owns a key: libmemcached's weighted ketama, to the bit.
 *
 * Every member has up to some hundred points on a circle of 2^32; a key belongs to the first point at or behind its
 * own, and so to that point's member. A point is four bytes of the MD5 of "host-j" or "host:port-j"; a key's point the
 * first four bytes of its MD5. The rule in full, with its roundings, is in cluster/README.md, "The ring".
 *
 * The circle is kept as a line of arcs, each from behind the one before up to and with its `last` point; the last arc
 * ends at UINT32_MAX. Beside its owner, an arc has a number `since`: of the purge and write numbers (store_number) the
 * one at which this node gained the arc. An item of a key of that arc that is not newer was stored before others wrote
 * to the arc, so it may be outdated and must never be served. `since` means something on arcs of this node only.
 *
 * A ring does not change once ring_new and, at most, one ring_follow made it; then any thread may read it. Nothing here
 * reads a clock, does I/O or draws random numbers.
 */
#ifndef TAGCACHED_CLUSTER_RING_H
#define TAGCACHED_CLUSTER_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hostport.h"
#include "proto/cluster_id.h"

#define RING_MEMBERS_MAX 4096
#define RING_HOST_MAX HOSTPORT_HOST_MAX
#define RING_NAME_TEXT (HOSTPORT_MAX + 1) /* bytes of a name's text, the terminating zero included */
#define RING_ID_TEXT 7                    /* of ring_id_text, the terminating zero included */
#define RING_NONE UINT16_MAX              /* instead of a member's index: none */
#define RING_CIRCLE (UINT64_C(1) << 32)   /* points of the circle */

/* A member that owns keys. (A witness owns none: it is not given to ring_new.) */
struct ring_member {
    struct cluster_id id;         /* of the node; two members of a ring have different ones */
    char host[RING_HOST_MAX + 1]; /* as clients write it; an IPv6 address without brackets */
    uint16_t port;
    uint32_t weight; /* its part of the sum of all weights is its part of the keys, about; 0 counts as 1 */
};

/* Splits a name, as hostport_read does, into host and port, and gives the member weight 1 and the
 * MD5 of the name as its id (for rings of which only names are known). False: it is none, or its host is "*"; *m is
 * then undefined. */
bool ring_member_read(const char *name, struct ring_member *m);
/* Puts them together again. */
void ring_member_name(const struct ring_member *m, char name[RING_NAME_TEXT]);

struct ring;

/* Makes the ring of n members (copied). Their indexes are their places in m. `since` is 0 everywhere.
 * 0; -EINVAL: n is 0 or above RING_MEMBERS_MAX, a host is empty or not terminated, or two have one name; -ENOMEM. */
int ring_new(uint64_t version, const struct ring_member *m, unsigned n, struct ring **out);
/* The same ring once more, with its `since`: cheaper than making it. 0 or -ENOMEM. */
int ring_copy(const struct ring *r, struct ring **out);
void ring_free(struct ring *r); /* NULL is allowed */

/* Says which arcs member `self` (its index in `next`) gained when `next` took the place of `prev`, in which it is found
 * by its id: parts of an arc that it owned in prev keep their `since`, the others get `number`. An arc whose parts
 * differ is split. prev NULL, or self not in it: self gained all it owns. Called at most once on a ring, before others
 * see it. 0, or -ENOMEM (nothing changed). Changes that split arcs again and again do not add up without end: when
 * there are RING_SPLITS_MAX arcs for each point of both rings, parts are joined under the higher number, which is safe.
 */
int ring_follow(struct ring *next, const struct ring *prev, unsigned self, uint64_t number);
#define RING_SPLITS_MAX 4

/* The index of the member that owns the keys of this point. */
unsigned ring_owner(const struct ring *r, uint32_t point);
/* What the arc of this point has as `since`. */
uint64_t ring_since(const struct ring *r, uint32_t point);
/* The owners of n keys, and, unless since is NULL, their arcs' `since`. Keys are read as md5_first reads them:
 * MD5_READS bytes from the beginning of each must be readable. */
void ring_owners(const struct ring *r, const char *const key[], const uint32_t len[], unsigned n, uint16_t owner[],
                 uint64_t since[]);

/* How many points ketama gives a member of this weight among n whose weights have this sum (at least 1): a multiple of
 * four. It may be 0, and is not always the same for members of the same weight in rings of different n. */
unsigned ring_points_by_weight(uint32_t weight, uint64_t sum, unsigned n);

uint64_t ring_version(const struct ring *r);
unsigned ring_nmembers(const struct ring *r);
const struct ring_member *ring_member(const struct ring *r, unsigned i);
/* The index of the member with this id, or RING_NONE. */
unsigned ring_find(const struct ring *r, const struct cluster_id *id);
/* Points of one member, 0 if its weight is too small for any, and of all; as libmemcached counts them. */
unsigned ring_points_of(const struct ring *r, unsigned i);
unsigned ring_points(const struct ring *r);
/* How many points of the circle a member owns; all together are RING_CIRCLE. */
uint64_t ring_share(const struct ring *r, unsigned i);

/* A number that is the same for rings of the same names and weights, whatever their order, versions and ids. */
uint64_t ring_digest(const struct ring *r);
/* Its first six hexadecimal digits, for people. */
void ring_id_text(const struct ring *r, char text[RING_ID_TEXT]);

/* The arcs, for those who walk all of them (ringdiff.h, handing over keys). The pointers are the ring's own. */
struct ring_arcs {
    unsigned n;
    const uint32_t *last; /* ascending; last[n - 1] is UINT32_MAX */
    const uint16_t *owner;
    const uint64_t *since;
};
struct ring_arcs ring_arcs(const struct ring *r);

#endif
