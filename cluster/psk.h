/* SPDX-License-Identifier: BSD-3-Clause
 *
 * psk - TLS of links: version 1.3, authenticated by a key that both sides have and nothing else (RFC 8446, 4.2.11, an
 * external PSK), with fresh (EC)DHE secrets for each link, so that a key that leaks later opens no link of before.
 *
 * Who dials offers the first key of its keyring, named by its id; the other side takes any key of its own. There are no
 * certificates, and no tickets, which would outlive a key that was taken out.
 * AES-128-GCM where both sides compute AES by an instruction, else ChaCha20-Poly1305.
 *
 * OpenSSL is loaded with the first psk_new (base/openssl.h). One thread; a link's TLS state may be given to another.
 */
#ifndef TAGCACHED_CLUSTER_PSK_H
#define TAGCACHED_CLUSTER_PSK_H

#include <stdbool.h>
#include <stddef.h>

#include "cluster/keyring.h"

struct psk;
struct ssl_st;

/* What a link is for; the protocol name in TLS (ALPN): tc-control/1, tc-data/1. */
enum psk_use { PSK_CONTROL, PSK_DATA, PSK_USES };

/* 0, or -errno with a sentence in err. */
int psk_new(const struct keyring *k, struct psk **out, char *err, size_t err_size);
/* Links that are up keep their TLS states. */
void psk_free(struct psk *p);
/* Links that begin from now on use these keys. */
void psk_set_keyring(struct psk *p, const struct keyring *k);

/* TLS states for a connected socket. NULL: no memory. They keep a pointer to p until their handshake is over. */
struct ssl_st *psk_dial(struct psk *p, enum psk_use use, int fd);
struct ssl_st *psk_accept(struct psk *p, int fd);
/* After the handshake: whether both sides have shown the key, and for what use. False: it is no link. */
bool psk_is_proven(const struct ssl_st *ssl, enum psk_use *use);
/* Why the handshake that failed last on this thread did, as the setting to look at and a sentence. */
void psk_why(const struct ssl_st *ssl, const char **setting, char *why, size_t why_size);

#endif
