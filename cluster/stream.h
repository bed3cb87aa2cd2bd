/* SPDX-License-Identifier: BSD-3-Clause
 *
 * stream - the bytes of one TCP connection between nodes, by TLS or plain: a non-blocking socket and, with TLS, its
 * state.
 *
 * One thread.
 */
#ifndef TAGCACHED_CLUSTER_STREAM_H
#define TAGCACHED_CLUSTER_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_st;

struct stream {
    int fd;             /* -1: none */
    struct ssl_st *ssl; /* NULL: plain */
    bool want_write;    /* the last -EAGAIN waits for room to send, not for bytes */
};

/* One more step of the TLS handshake. 0 it is done (at once if plain), -EAGAIN, -EPROTO (psk_why tells), or
 * another -errno. */
int stream_handshake(struct stream *s);
/* Bytes received (> 0), 0 at the end, -EAGAIN, or another -errno. */
ssize_t stream_read(struct stream *s, void *p, size_t n);
/* Bytes taken (> 0), -EAGAIN, or another -errno. After -EAGAIN the same bytes, or those and more, must come first. */
ssize_t stream_write(struct stream *s, const void *p, size_t n);
/* Whether received bytes wait inside TLS, of which the socket does not tell. */
bool stream_pending(const struct stream *s);
/* Says that nothing more will be sent; what the other side still sends can be read. */
void stream_finish(struct stream *s);
void stream_close(struct stream *s);

#endif
