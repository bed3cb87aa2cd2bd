/* SPDX-License-Identifier: BSD-3-Clause
 *
 * link - one TCP connection between nodes, from dialling or accepting to its end: connecting, TLS, frames in and out,
 * silence, and closing without losing what was sent. What frames mean is not its matter: it
 * calls up (struct link_upcalls).
 *
 * The loop's thread, between transport_state_enter and transport_state_leave.
 */
#ifndef TAGCACHED_CLUSTER_LINK_H
#define TAGCACHED_CLUSTER_LINK_H

#include "cluster/transport_state.h"

/* A link to be dialled, waiting: to whoever is at `remote`, or (NULL) to the peer that it is attached to. NULL: no
 * memory. */
struct link *link_new(struct transport *t, const struct address *remote, enum psk_use use);
/* A connection that was accepted. It is closed if there is no memory for it. */
void link_accept(struct transport *t, int fd, const struct address *remote);
/* Dials a waiting link: the addresses of its peer in turn, or its own. */
void link_dial(struct link *l);
/* The other side has just shown that it can be reached: a link that waits is to be dialled at once, and a connection
 * whose first packet may have been lost is begun anew, once. */
void link_hurry(struct link *l);

/* Queues a frame; it leaves at the end of the loop's round. False: dropped and counted. */
bool link_send(struct link *l, const void *bytes, size_t n);
/* Has link_flush called at the end of the loop's round. */
void link_flush_soon(struct link *l);
/* Sends what is queued as far as the socket takes it. */
void link_flush(struct link *l);
/* Sends the rest, says that it was the last, and ends when the other side does so, or after TRANSPORT_DRAIN_MS. */
void link_drain(struct link *l);
/* Ends it at once; err (-errno, 0: an ordinary end) goes to the upcall `ended`. */
void link_end(struct link *l, int err);
/* Ends a data link here and gives its stream away. */
struct stream link_give(struct link *l);
void link_set_state(struct link *l, enum link_state state);
bool link_is_handshake(const struct link *l);

/* Does what is due. When it has to be called again at the latest. */
uint64_t link_tick(struct link *l, uint64_t now);

#endif
