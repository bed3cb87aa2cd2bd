/* SPDX-License-Identifier: BSD-3-Clause
 *
 * listener - the sockets we listen on. The acceptor (acceptor.h) takes connections from them.
 */
#ifndef TAGCACHED_NET_LISTENER_H
#define TAGCACHED_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/net_config.h"

struct evconnlistener;
struct net;

struct net_listener {
    int fd; /* -1 once it is closed; atomic */
    unsigned port;
    int family;
    enum net_tls_mode tls;
    enum net_protocol protocol;
    const struct net_handler *handler; /* of the connections accepted here */
    char tag[33];
    char *path;  /* of a UNIX socket */
    bool unlink; /* we made it */
    /* The acceptor's: */
    struct net *net;
    struct evconnlistener *accepts;
    unsigned taken; /* connections since the other sockets had their turn */
};

/* Opens all that the configuration names. 0, or -errno with a sentence in err. */
int listener_open_all(struct net *n, char *err, size_t err_size);
/* Closes them. After the acceptor has ended. */
void listener_close_all(struct net *n);

#endif
