/* SPDX-License-Identifier: BSD-3-Clause
 *
 * rings - rings made of what a node says of the cluster's, or of a list of servers as clients have it.
 */
#ifndef TAGCACHED_TAGCTL_RINGS_H
#define TAGCACHED_TAGCTL_RINGS_H

#include "cluster/ring.h"
#include "proto/keytags.h"
#include "tools/tagctl/reply.h"

#define RINGS_PREFIX_MAX 250

/* The members of a ring that can still be changed, and what of a key is hashed. */
struct ring_list {
    struct keytags_marker marker;      /* begins the suffix that nodes do not hash; len 0: keys are hashed whole */
    char prefix[RINGS_PREFIX_MAX + 1]; /* nodes do not hash this either, where a key begins with it */
    unsigned n;
    struct ring_member m[RING_MEMBERS_MAX + 1];
};

/* Reads "host:port[:weight],..." into *l, as a client has it. */
int rings_read_servers(const char *text, struct ring_list *l);
/* Reads one "host:port" or "host:port:weight". */
int rings_read_server(const char *text, struct ring_member *m);
/* Asks the node for the cluster's ring. *answer is its answer, to be freed, unless that is NULL. */
int rings_ask(struct ctl *c, struct ring_list *l, struct reply *answer);
/* Of --servers if that was given, else of the cluster; *answer has no rows then. */
int rings_get(struct ctl *c, struct ring_list *l, struct reply *answer);
/* Makes the ring. */
int rings_make(const struct ring_list *l, struct ring **out);
/* Makes the ring of an answer, and fails if the nodes compute another one from the same list. */
int rings_make_same(struct ctl *c, const struct ring_list *l, const struct reply *answer, struct ring **out);

/* The owner of a key in the ring that was made of the list. Clients hash a key as they send it; nodes without its
 * suffix and without the prefix that they were told to strip. */
unsigned rings_owner(const struct ring *r, const struct ring_list *l, const char *key);
/* A member's name: static storage, good until the eighth next call. */
const char *rings_name(const struct ring *r, unsigned i);

#endif
