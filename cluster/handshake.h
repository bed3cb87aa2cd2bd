/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handshake - what nodes say first on a link, and what becomes of it: two hellos, then messages; or a refusal.
 */
#ifndef TAGCACHED_CLUSTER_HANDSHAKE_H
#define TAGCACHED_CLUSTER_HANDSHAKE_H

#include "cluster/transport_state.h"

/* The connection is there, and TLS if there is any: who dialled says hello. */
void handshake_begin(struct link *l);
/* A frame of n bytes has come. */
void handshake_frame(struct link *l, const void *bytes, size_t n);
/* Tells both sides why, and closes. */
void handshake_refuse(struct link *l, const struct peer_refusal *why);
/* TLS failed: tells whom it concerns; the caller ends the link. */
void handshake_tls_failed(struct link *l);

/* The other side speaks TLS, and links are plain here. */
void handshake_spoke_tls(struct link *l);

#endif
