/* SPDX-License-Identifier: BSD-3-Clause
 *
 * transport - datagrams and links between the nodes of a cluster, on the event loop of the cluster's thread.
 *
 * A node has one UDP socket and one TCP listener for each address that it binds. Datagrams are sealed (datagram.h).
 * Links are TCP, TLS 1.3 by the cluster's key (psk.h) or plain, and begin with a hello of each side (hello.h); what
 * differs is refused, in words.
 *
 * - Control links carry frames: a length (4 bytes, big-endian), then a Control message (peer_codec.h) of at most 64
 * KiB. There is one a pair of nodes, dialled by whoever has something to send; of two dialled at once, that of the node
 *   with the lower id stays, and what was sent on the other still arrives. Each side closes it when it is idle for
 * long.
 * - Data links are dialled for a worker and given away after the hello, socket and TLS state (on_data_link).
 *
 * What is sent may be lost: a datagram always, a control message when its link breaks or its node cannot be reached;
 * who needs an answer asks again. Messages on one link arrive in order.
 *
 * Nodes are told apart by their id; (id, boot) is a process. Where a node is (host:port) the owner says with
 * transport_place, or the node itself in its hello.
 *
 * Bounds: 4,096 nodes; 64 handshakes that were begun by others and 64 of one's own at a time, each with a deadline;
 * 1 MiB of unsent output a link; 64 KiB of unfinished input a link; names in dns.h.
 *
 * All functions belong to the thread that runs the loop, upcalls come on it, and any of them may be called from an
 * upcall, save transport_free.
 */
#ifndef TAGCACHED_CLUSTER_TRANSPORT_H
#define TAGCACHED_CLUSTER_TRANSPORT_H

#include "cluster/transport_config.h"

struct transport;

/* Binds and listens. 0, or -errno with a sentence in err. */
int transport_new(const struct transport_config *cfg, struct transport **out, char *err, size_t err_size);
/* Closes everything; no upcall follows. */
void transport_free(struct transport *t);
/* The port that was bound. */
uint16_t transport_port(const struct transport *t);

/* What the next hellos say: name, id and boot stay. */
void transport_set_hello(struct transport *t, const struct peer_hello *h);
/* Uses these keys from now on; links that are up stay. */
void transport_set_keyring(struct transport *t, const struct keyring *k);

/* A member is at "host:port". A name is resolved now and again when it cannot be reached. 0, -EINVAL, -ENOSPC (4,096
 * nodes) or -ENOMEM. */
int transport_place(struct transport *t, const struct cluster_id *id, const char *address);
/* The member is gone: closes its links, refuses its datagrams. */
void transport_forget(struct transport *t, const struct cluster_id *id);
/* Dials all addresses of "host:port" that no link leads to, whoever is there. One attempt; who wants more calls again.
 * 0, or -errno. */
int transport_try(struct transport *t, const char *address);

/* Seals and sends n bytes (packed by peer_datagram_pack) to a member. False: not sent, counted. */
bool transport_datagram(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n);
/* Queues n bytes (packed by peer_control_pack) for a node, dialling it if no link is up; they leave at the end of the
 * loop's round. False: dropped and counted, for want of room or because the node is not known. */
bool transport_send(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n);
/* Pings a node, as transport_send sends; on_pong tells of the answer. The number is below 2^32. */
bool transport_ping(struct transport *t, const struct cluster_id *to, uint64_t number);
/* Dials a link of another kind than PEER_LINK_CONTROL for a worker, or for the hand-off; on_data_link tells how that
 * ended, always. 0, or -errno and no upcall. */
int transport_want_data_link(struct transport *t, const struct cluster_id *to, uint32_t worker, enum peer_link kind);
/* Whether a control link with the node is up. */
bool transport_is_up(const struct transport *t, const struct cluster_id *id);

/* Does what time has made due. The transport has a timer for that; a test that moves the clock calls it. */
void transport_tick(struct transport *t);

/* Any thread: a counter; links that are up. */
uint64_t transport_metric(const struct transport *t, enum transport_metric m);
const char *transport_metric_name(enum transport_metric m);
unsigned transport_links_open(const struct transport *t);

#endif
