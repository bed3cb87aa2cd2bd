/* SPDX-License-Identifier: BSD-3-Clause
 *
 * address - where nodes are: "host:port" as operators write it, and what sockets take.
 *
 * Values; any thread. Nothing here asks the name service (dns.h does).
 */
#ifndef TAGCACHED_CLUSTER_ADDRESS_H
#define TAGCACHED_CLUSTER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_TEXT 56 /* bytes of "[IPv6]:port" with a scope, the terminating zero included */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len; /* of the member in use; 0: none */
};

/* The address of a host that is written as numbers. False: it is a name. */
bool address_numeric(const char *host, uint16_t port, struct address *out);
/* What the system returned; false: of a family that is not IP. */
bool address_from(const struct sockaddr *sa, socklen_t len, struct address *out);
bool address_equal(const struct address *a, const struct address *b);
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);
/* Writes "1.2.3.4:5" or "[::1]:5". */
void address_text(const struct address *a, char text[ADDRESS_TEXT]);
/* 127.0.0.0/8, ::1, and the former written as IPv6: nobody else's packets can come there. */
bool address_is_loopback(const struct address *a);

/* Whether a node may listen for others on this address: always with a key and encrypted links, else on loopback only,
 * or if the operator insists (--insecure-cluster). False: a sentence that says what to do is in err. */
bool address_may_listen(const struct address *a, bool has_key, bool encrypted, bool insecure, char *err,
                        size_t err_size);

#endif
