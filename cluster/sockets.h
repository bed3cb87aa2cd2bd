/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sockets - what the transport is bound to: a UDP socket and a listener for each address.
 */
#ifndef TAGCACHED_CLUSTER_SOCKETS_H
#define TAGCACHED_CLUSTER_SOCKETS_H

#include "cluster/transport_state.h"

/* Binds all that the configuration names. 0, or -errno with a sentence in err. */
int sockets_open(struct transport *t, char *err, size_t err_size);
void sockets_close(struct transport *t);
/* Accepts links, or leaves them in the backlog. */
void sockets_listen(struct transport *t, bool on);
/* Sends a datagram from the socket of the address's family. False: there is none, or it has no room. */
bool sockets_send(struct transport *t, const struct address *to, const void *bytes, size_t n);

#endif
