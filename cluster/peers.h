/* SPDX-License-Identifier: BSD-3-Clause
 *
 * peers - the nodes that the transport knows: where they are, their links, when to dial them again.
 */
#ifndef TAGCACHED_CLUSTER_PEERS_H
#define TAGCACHED_CLUSTER_PEERS_H

#include "cluster/transport_state.h"

struct peer *peers_find(const struct transport *t, const struct cluster_id *id);
/* The peer, made if it is new. NULL: DATAGRAM_SENDERS_MAX are known, or no memory. */
struct peer *peers_get(struct transport *t, const struct cluster_id *id);
/* l is (not) one of p's links any more. A peer without links that was not placed is forgotten. */
void peers_attach(struct peer *p, struct link *l);
void peers_detach(struct link *l);
/* Forgets it if it was not placed and has no links. */
void peers_release(struct transport *t, struct peer *p);
/* Takes it out of the table; transport_state_leave frees it. Its links have ended. */
void peers_forget(struct transport *t, struct peer *p);
/* Drops and counts the messages for a link that is not to be had. */
void peers_drop_waiting(struct transport *t, struct peer *p);
/* Asks for its address, if that is a name. */
void peers_ask(struct transport *t, struct peer *p);
/* Dials a link for p: control or data. NULL: no memory. */
struct link *peers_dial(struct transport *t, struct peer *p, enum psk_use use);
/* A link with p was set up: what waits to be dialled, and any later attempt, need not wait. */
void peers_reached(struct transport *t, struct peer *p);
/* A datagram of this node has come: the same, unless it refused the last link. */
void peers_heard(struct transport *t, const struct cluster_id *id);
/* A link could not be set up: `tell` whoever waits for it; later attempts wait longer, `refused` ones the longest. */
void peers_failed(struct link *l, int err, bool refused);
/* A link was in this state and is dead now. */
void peers_link_ended(struct link *l, enum link_state was, int err);
/* A control link is not to be used any more: the node is down unless another link took its place. */
void peers_link_down(struct link *l);
/* l is up with p: takes what waits for p, and the place of the link before it. */
void peers_link_up(struct link *l, const struct peer_hello *hello, uint32_t version);
/* Whether l, which just came up with the process that p->link leads to, is to be used rather than that. */
bool peers_is_better(const struct link *l, const struct peer *p);
/* Begins what can be dialled by now. When it has to be called again at the latest. */
uint64_t peers_dial_waiting(struct transport *t, uint64_t now);
/* Addresses of a name have been found. */
void peers_found(void *arg, const char *name, const struct address *found, unsigned n);
/* Frees all. */
void peers_fini(struct transport *t);
/* How p is shown to the owner. */
struct transport_peer peers_shown(const struct peer *p);

#endif
