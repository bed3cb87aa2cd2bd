/* SPDX-License-Identifier: BSD-3-Clause
 *
 * hostport - "host:port" and "[ipv6]:port" as text. No name is looked up. Pure; any thread.
 */
#ifndef TAGCACHED_BASE_HOSTPORT_H
#define TAGCACHED_BASE_HOSTPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTPORT_HOST_MAX 255 /* bytes of a host name or numeric address */
#define HOSTPORT_MAX 280      /* bytes of the whole text */

struct hostport {
    char host[HOSTPORT_HOST_MAX + 1]; /* without brackets */
    uint16_t port;
};

/* Reads "host:port", "[ipv6]:port" or "*:port" (host "*"). False: it is none of these: no port or one that is not 1 to
 * 65535, an empty or too long host, blanks, control characters, commas, or an IPv6 address without brackets. */
bool hostport_read(const char *text, struct hostport *out);
/* Writes it; an IPv6 address gets brackets. */
void hostport_text(const char *host, uint16_t port, char out[HOSTPORT_MAX + 1]);

#endif
