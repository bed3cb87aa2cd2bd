/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nodes - the cluster as the node that is asked knows it, and commands for many of its nodes.
 */
#ifndef TAGCACHED_TAGCTL_NODES_H
#define TAGCACHED_TAGCTL_NODES_H

#include "tools/tagctl/conn.h"
#include "tools/tagctl/reply.h"

#define NODES_RELAY_S 8 /* how long other nodes' answers are waited for: the node in between gives up before */

struct nodes {
    struct reply status, members; /* of `cluster status`, `cluster members`; no rows: the node belongs to no cluster */
    const struct reply_row *self; /* the STATUS row, or NULL */
    unsigned n;
    const struct reply_row **rows; /* of members, in their order */
    const char **names;
};

/* Asks for both. A node without a cluster counts as one node, named as it was reached, without a row. */
int nodes_get(struct ctl *c, struct nodes *n);
void nodes_free(struct nodes *n);
/* Likewise, but a node without a cluster is a failure, and said. */
int nodes_get_cluster(struct ctl *c, struct nodes *n);
/* The row of the member with this name; NULL: there is none, which was said. */
const struct reply_row *nodes_find(const struct nodes *n, const char *name);

/* Asks each node the same list command, the node that is spoken to directly and the others through it. answers[i], of
 * the i-th node, is to be freed; a node that cannot be asked, or is gone, has a refusal instead of rows. */
int nodes_ask(struct ctl *c, const struct nodes *n, const char *command, struct reply *answers);
/* How one command gets to a node: "" or "cluster at NAME ". */
void nodes_path(const struct nodes *n, unsigned i, char *path, size_t size);
/* Whether the refusal of a command that went that way says that the node in between does not do that. */
bool nodes_passes_nothing_on(const struct nodes *n, unsigned i, const char *refusal);
/* Connects to another node instead, as far as the functions of reply.h go, until nodes_hang_up. *own keeps the
 * connection there was. False: it cannot be reached, which was said, and the connection is the one there was. */
bool nodes_dial(struct ctl *c, const char *name, struct conn *own);
void nodes_hang_up(struct ctl *c, const struct conn *own);
/* A refusal without the word that begins it. */
const char *nodes_sentence(const char *refusal);

/* Whether a member is dead, has left, or was ejected: it is not asked anything. */
bool nodes_is_gone(const struct reply_row *member);
/* The word for how a member is: alive, suspect, dead, joining, drained... */
const char *nodes_state(const struct reply_row *member);

#endif
