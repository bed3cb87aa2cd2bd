/* SPDX-License-Identifier: BSD-3-Clause
 *
 * link - one TCP connection between nodes, from dialling or accepting to its end: connecting, TLS, frames in and out,
 * silence, and closing without losing what was sent. What frames mean is handshake.c's and the owner's matter.
 *
 * The loop's thread, between transport_enter and transport_leave.
 */
#ifndef TAGCACHED_CLUSTER_LINK_H
#define TAGCACHED_CLUSTER_LINK_H

#include "cluster/transport_state.h"

/* Appends a frame of n bytes. False: no memory, or more than TRANSPORT_OUTPUT_MAX would wait. */
bool outbuf_frame(struct outbuf *o, const void *bytes, size_t n);
/* Appends whole frames. False: the same. */
bool outbuf_append(struct outbuf *o, const void *frames, size_t n);
void outbuf_fini(struct outbuf *o);

/* A link to be dialled, waiting: for p, or (NULL) for whoever is at `remote`. NULL: no memory. */
struct link *link_new(struct transport *t, struct peer *p, const struct address *remote, enum psk_use use);
/* A connection that was accepted. It is closed if there is no memory for it. */
void link_accept(struct transport *t, int fd, const struct address *remote);
/* Dials a waiting link: the addresses of its peer in turn, or its own. */
void link_dial(struct link *l);

/* Queues a frame; it leaves at the end of the loop's round. False: dropped and counted. */
bool link_send(struct link *l, const void *bytes, size_t n);
/* Has link_flush called at the end of the loop's round. */
void link_flush_soon(struct link *l);
/* Sends what is queued as far as the socket takes it. */
void link_flush(struct link *l);
/* Sends the rest, says that it was the last, and ends when the other side does so, or after TRANSPORT_DRAIN_MS. */
void link_drain(struct link *l);
/* Ends it at once; err (-errno, 0: an ordinary end) goes to peers_link_ended. */
void link_end(struct link *l, int err);
/* Ends a data link here and gives its stream away. */
struct stream link_give(struct link *l);
void link_set_state(struct link *l, enum link_state state);
bool link_is_handshake(const struct link *l);

/* Does what is due. When it has to be called again at the latest. */
uint64_t link_tick(struct link *l, uint64_t now);
/* Frees a dead one that is in no list any more. */
void link_free(struct link *l);

#endif
