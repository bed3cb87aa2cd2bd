/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tls - TLS of connections: SSL_read into the worker's buffer, SSL_write of the whole batch's output.
 */
#ifndef TAGCACHED_NET_TLS_H
#define TAGCACHED_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/net_config.h"

struct conn;
struct net_tls;
struct ssl_st;

/* Loads certificates and key. 0, or -errno with a sentence in err. */
int tls_new(const struct net_tls_config *cfg, struct net_tls **out, char *err, size_t err_size);
void tls_free(struct net_tls *t);
/* Loads the files again, for connections that come from now on. False, with a sentence in err: the old ones stay in
 * use. Any thread, one at a time. */
bool tls_reload(struct net_tls *t, char *err, size_t err_size);
/* Unix time of the last load. Any thread. */
uint64_t tls_loaded_at(const struct net_tls *t);
/* A TLS state for an accepted socket; NULL when it cannot be had. */
struct ssl_st *tls_accept(struct net_tls *t, enum net_tls_mode mode, int fd);
/* Takes over a session whose handshake is done. False: the library cannot be loaded. */
bool tls_adopt(struct conn *c, struct ssl_st *ssl);
/* Frees a session that no connection has. */
void tls_discard(struct ssl_st *ssl);
/* Bytes received (> 0), 0 at the end, -EAGAIN, or another -errno. Sets CONN_MORE and CONN_TLS_WANT. */
ssize_t tls_read(struct conn *c, char *p, size_t n);
/* Bytes taken (> 0), -EAGAIN, or another -errno. */
ssize_t tls_write(struct conn *c, const char *p, size_t n);
/* The largest piece to give to SSL_write. */
unsigned tls_piece(const struct net_tls *t);
/* Tells the far side that nothing more comes, as far as the socket lets it. */
void tls_say_goodbye(struct conn *c);
/* The same, and frees. */
void tls_close(struct conn *c);

#endif
