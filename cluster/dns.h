/* SPDX-License-Identifier: BSD-3-Clause
 *
 * dns - addresses of names, asked for on a thread of its own (tc-dns), because getaddrinfo blocks: one name at a time,
 * results posted to an event loop. The thread begins with the first name that is no number.
 *
 * All functions but the resolver belong to the loop's thread.
 */
#ifndef TAGCACHED_CLUSTER_DNS_H
#define TAGCACHED_CLUSTER_DNS_H

#include <stdint.h>

#include "cluster/address.h"

#define DNS_ADDRESSES_MAX 64 /* of one name; more are left out */
#define DNS_WAITING_MAX 256  /* names asked for */

struct dns;
struct event_base;

/* All addresses (A and AAAA) of a host, with the port set. Their number, or -errno. Blocks; another thread calls it. */
typedef int dns_resolver(const char *host, uint16_t port, struct address out[DNS_ADDRESSES_MAX]);
/* The system's. */
dns_resolver dns_system;

/* What was found: n addresses of `name` ("host:port", as it was asked for); 0: none, or the name service failed. */
typedef void dns_found(void *arg, const char *name, const struct address *found, unsigned n);

/* Calls fn(arg, ...) on the thread that runs base. 0 or -errno. */
int dns_new(struct event_base *base, dns_resolver *resolver, dns_found *fn, void *arg, struct dns **out);
/* No call of fn follows. Does not wait for a resolver that is still busy: the thread ends after it by itself. */
void dns_free(struct dns *d);
/* Asks for a name, unless it is waiting already. 0; -EINVAL: not "host:port"; -ENOSPC: DNS_WAITING_MAX wait; or another
 * -errno. fn is called later, never from here, for numbers too. */
int dns_ask(struct dns *d, const char *name);

#endif
