/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/stream.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/openssl.h"

/* What a TLS call that returned r means. */
static ssize_t failure(struct stream *s, int r) {
    int saved = errno;
    s->want_write = false;
    switch (openssl.SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_WRITE: s->want_write = true; return -EAGAIN;
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: return saved == 0 || saved == EAGAIN ? -ECONNRESET : -saved;
    default: break;
    }
    /* Else the error stays in the queue, for psk_why. */
    return ERR_GET_REASON(openssl.ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? -ECONNRESET : -EPROTO;
}

int stream_handshake(struct stream *s) {
    if (s->ssl == NULL) return 0;
    openssl.ERR_clear_error();
    errno = 0;
    int r = openssl.SSL_do_handshake(s->ssl);
    if (r == 1) return 0;
    int e = (int)failure(s, r);
    return e != 0 ? e : -ECONNRESET;
}

static int piece(size_t n) {
    return n < INT_MAX ? (int)n : INT_MAX;
}

ssize_t stream_read(struct stream *s, void *p, size_t n) {
    if (s->ssl == NULL) {
        ssize_t r = recv(s->fd, p, n, 0);
        s->want_write = false;
        return r >= 0 ? r : -errno;
    }
    openssl.ERR_clear_error();
    errno = 0;
    int r = openssl.SSL_read(s->ssl, p, piece(n));
    return r > 0 ? r : failure(s, r);
}

ssize_t stream_write(struct stream *s, const void *p, size_t n) {
    if (s->ssl == NULL) {
        ssize_t r = send(s->fd, p, n, MSG_NOSIGNAL);
        s->want_write = r < 0;
        return r >= 0 ? r : -errno;
    }
    openssl.ERR_clear_error();
    errno = 0;
    int r = openssl.SSL_write(s->ssl, p, piece(n));
    if (r > 0) return r;
    ssize_t e = failure(s, r);
    return e != 0 ? e : -EPIPE;
}

bool stream_pending(const struct stream *s) {
    return s->ssl != NULL && openssl.SSL_pending(s->ssl) > 0;
}

void stream_finish(struct stream *s) {
    if (s->ssl != NULL) {
        openssl.ERR_clear_error();
        if (openssl.SSL_is_init_finished(s->ssl)) (void)openssl.SSL_shutdown(s->ssl);
    }
    (void)shutdown(s->fd, SHUT_WR);
}

void stream_close(struct stream *s) {
    if (s->ssl != NULL) {
        openssl.SSL_free(s->ssl);
        openssl.ERR_clear_error();
    }
    if (s->fd >= 0) close(s->fd);
    *s = (struct stream){.fd = -1};
}
