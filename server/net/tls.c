/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tls - TLS by OpenSSL on the same path as plain sockets: SSL_read into the worker's buffer, SSL_write of the whole
 * batch's output.
 *
 * The context in use is replaced as a whole when certificates are loaded again; connections keep the one they began
 * with (it is reference counted). */
#include "net/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/openssl.h"
#include "net/conn_state.h"
#include "net/net_state.h"
#include "net/worker_state.h"

/* Partial and moving writes: what the socket did not take moves from the worker's buffer to the connection. Released
 * buffers: an idle connection holds none. */
#define WRITE_MODES (SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS)
/* Sessions that were handed over are links between nodes, which carry what many clients say: */
#define ADOPTED_PIECE 16384 /* a record's most */
#define ADOPTED_READ 65536  /* bytes read of the socket at once, of several records */

struct net_tls {
    struct net_tls_config cfg;
    pthread_mutex_t lock; /* for ctx */
    SSL_CTX *ctx;
    uint64_t loaded_at; /* atomic */
};

static const char *why(void) {
    unsigned long e = openssl.ERR_get_error();
    const char *s = NULL;
    if (e != 0) s = ERR_SYSTEM_ERROR(e) ? strerror(ERR_GET_REASON(e)) : openssl.ERR_reason_error_string(e);
    openssl.ERR_clear_error();
    return s != NULL ? s : "unknown error";
}

/* ------------------------------------------------------------------ contexts */

static void set_modes(SSL_CTX *ctx, const struct net_tls_config *cfg) {
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, versions[cfg->min_version], NULL);
    if (cfg->min_version < 2) openssl.SSL_CTX_set_security_level(ctx, 0); /* older versions are refused otherwise */
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, WRITE_MODES, NULL);
    openssl.SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
#ifdef SSL_OP_ENABLE_KTLS
    if (cfg->kernel_tls) openssl.SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS);
#endif
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE,
                         cfg->session_cache ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF, NULL);
    static const unsigned char id[] = "tagcached";
    openssl.SSL_CTX_set_session_id_context(ctx, id, sizeof id - 1);
    int verify = SSL_VERIFY_NONE;
    if (cfg->verify_mode == 1) verify = SSL_VERIFY_PEER;
    if (cfg->verify_mode == 2) verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (cfg->verify_mode == 3) verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT | SSL_VERIFY_CLIENT_ONCE;
    openssl.SSL_CTX_set_verify(ctx, verify, NULL);
}

static bool load_files(SSL_CTX *ctx, const struct net_tls_config *cfg, char *err, size_t err_size) {
    const char *key = cfg->key != NULL ? cfg->key : cfg->chain_cert;
    if (openssl.SSL_CTX_use_certificate_chain_file(ctx, cfg->chain_cert) != 1) {
        snprintf(err, err_size, "cannot load the certificate chain %s: %s", cfg->chain_cert, why());
    } else if (openssl.SSL_CTX_use_PrivateKey_file(ctx, key, cfg->key_der ? SSL_FILETYPE_ASN1 : SSL_FILETYPE_PEM) !=
               1) {
        snprintf(err, err_size, "cannot load the key %s: %s", key, why());
    } else if (openssl.SSL_CTX_check_private_key(ctx) != 1) {
        snprintf(err, err_size, "the key %s does not belong to the certificate %s", key, cfg->chain_cert);
    } else if (cfg->ciphers != NULL && openssl.SSL_CTX_set_cipher_list(ctx, cfg->ciphers) != 1) {
        snprintf(err, err_size, "ssl_ciphers names no cipher there is: %s", cfg->ciphers);
    } else if (cfg->ca_cert != NULL) {
        if (openssl.SSL_CTX_load_verify_locations(ctx, cfg->ca_cert, NULL) != 1) {
            snprintf(err, err_size, "cannot load the CA certificates %s: %s", cfg->ca_cert, why());
            return false;
        }
        STACK_OF(X509_NAME) *names = openssl.SSL_load_client_CA_file(cfg->ca_cert);
        if (names != NULL) openssl.SSL_CTX_set_client_CA_list(ctx, names); /* takes them over */
        return true;
    } else {
        return true;
    }
    return false;
}

static SSL_CTX *ctx_new(const struct net_tls_config *cfg, char *err, size_t err_size) {
    openssl.ERR_clear_error();
    SSL_CTX *ctx = openssl.SSL_CTX_new(openssl.TLS_server_method());
    if (ctx == NULL) {
        snprintf(err, err_size, "cannot set up TLS: %s", why());
        return NULL;
    }
    set_modes(ctx, cfg);
    if (load_files(ctx, cfg, err, err_size)) return ctx;
    openssl.ERR_clear_error();
    openssl.SSL_CTX_free(ctx);
    return NULL;
}

static char *copy(const char *s, bool *ok) {
    char *p = s != NULL ? strdup(s) : NULL;
    if (s != NULL && p == NULL) *ok = false;
    return p;
}

int tls_new(const struct net_tls_config *cfg, struct net_tls **out, char *err, size_t err_size) {
    if (cfg->chain_cert == NULL) {
        snprintf(err, err_size, "TLS needs a certificate: -o ssl_chain_cert=FILE");
        return -EINVAL;
    }
    if (!openssl_load(err, err_size)) return -EINVAL;
    struct net_tls *t = calloc(1, sizeof *t);
    if (t == NULL) return -ENOMEM;
    bool ok = true;
    t->cfg = *cfg;
    t->cfg.chain_cert = copy(cfg->chain_cert, &ok);
    t->cfg.key = copy(cfg->key, &ok);
    t->cfg.ciphers = copy(cfg->ciphers, &ok);
    t->cfg.ca_cert = copy(cfg->ca_cert, &ok);
    if (t->cfg.wbuf_bytes == 0) t->cfg.wbuf_bytes = 16384;
    pthread_mutex_init(&t->lock, NULL);
    if (ok && tls_reload(t, err, err_size)) {
        *out = t;
        return 0;
    }
    tls_free(t);
    return ok ? -EINVAL : -ENOMEM;
}

void tls_free(struct net_tls *t) {
    if (t == NULL) return;
    openssl.SSL_CTX_free(t->ctx);
    free((char *)(uintptr_t)t->cfg.chain_cert);
    free((char *)(uintptr_t)t->cfg.key);
    free((char *)(uintptr_t)t->cfg.ciphers);
    free((char *)(uintptr_t)t->cfg.ca_cert);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

bool tls_reload(struct net_tls *t, char *err, size_t err_size) {
    SSL_CTX *fresh = ctx_new(&t->cfg, err, err_size);
    if (fresh == NULL) return false;
    pthread_mutex_lock(&t->lock);
    SSL_CTX *old = t->ctx;
    t->ctx = fresh;
    pthread_mutex_unlock(&t->lock);
    openssl.SSL_CTX_free(old);
    sync_store(&t->loaded_at, (uint64_t)time(NULL));
    return true;
}

uint64_t tls_loaded_at(const struct net_tls *t) {
    return sync_load(&t->loaded_at);
}

/* ------------------------------------------------------------------ connections */

SSL *tls_accept(struct net_tls *t, enum net_tls_mode mode, int fd) {
    pthread_mutex_lock(&t->lock);
    SSL *ssl = openssl.SSL_new(t->ctx);
    pthread_mutex_unlock(&t->lock);
    if (ssl == NULL || openssl.SSL_set_fd(ssl, fd) != 1) {
        openssl.SSL_free(ssl);
        openssl.ERR_clear_error();
        return NULL;
    }
    if (mode == NET_TLS_BASIC) openssl.SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    if (mode == NET_TLS_MUTUAL) openssl.SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    openssl.SSL_set_accept_state(ssl);
    return ssl;
}

bool tls_adopt(struct conn *c, SSL *ssl) {
    char err[256];
    if (!openssl_load(err, sizeof err)) return false;
    openssl.SSL_ctrl(ssl, SSL_CTRL_MODE, WRITE_MODES, NULL);
    openssl.SSL_set_default_read_buffer_len(ssl, ADOPTED_READ);
    openssl.SSL_set_read_ahead(ssl, 1); /* else each record takes two calls of the kernel */
    c->ssl = ssl;
    c->flags |= CONN_TLS | CONN_TLS_UP | CONN_MORE; /* it may have read what nobody has seen */
    c->tls_piece = ADOPTED_PIECE;
    return true;
}

void tls_discard(SSL *ssl) {
    char err[256];
    if (openssl_load(err, sizeof err)) openssl.SSL_free(ssl);
}

/* What went wrong with a call that returned r, as 0 for the end or -errno. */
static ssize_t failure(struct conn *c, int r) {
    int saved = errno;
    switch (openssl.SSL_get_error(c->ssl, r)) {
    case SSL_ERROR_WANT_WRITE: c->flags |= CONN_TLS_WANT; return -EAGAIN;
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: openssl.ERR_clear_error(); return saved == 0 ? 0 : saved == EAGAIN ? -EPROTO : -saved;
    default: break;
    }
    unsigned long e = openssl.ERR_peek_error();
    if (c->flags & CONN_TLS_UP && ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        openssl.ERR_clear_error(); /* it closed without saying good-bye: a close */
        return 0;
    }
    const char *text = why();
    bool up = (c->flags & CONN_TLS_UP) != 0;
    worker_bump(c->worker, up ? NET_METRIC_ssl_proto_errors : NET_METRIC_ssl_handshake_errors, 1);
    log_event(c->worker->net->cfg.log, LOG_NOTICE, up ? "tls_error" : "tls_handshake_failed", "fd=%d error=\"%s\"",
              c->fd, text);
    c->flags |= CONN_TLS_BROKEN;
    return -EPROTO;
}

/* The first success, or the first attempt after it, shows that the handshake is done. */
static void note_up(struct conn *c) {
    if (likely(c->flags & CONN_TLS_UP) || !openssl.SSL_is_init_finished(c->ssl)) return;
    c->flags |= CONN_TLS_UP;
    if (!openssl.SSL_session_reused(c->ssl)) worker_bump(c->worker, NET_METRIC_ssl_new_sessions, 1);
}

ssize_t tls_read(struct conn *c, char *p, size_t n) {
    size_t got = 0;
    ssize_t end = -EAGAIN;
    while (got < n) {
        errno = 0;
        int r = openssl.SSL_read(c->ssl, p + got, (int)(n - got < INT32_MAX ? n - got : INT32_MAX));
        note_up(c);
        if (r <= 0) {
            end = failure(c, r);
            if (end != -EAGAIN && got > 0) c->flags |= CONN_MORE; /* tell the end next time */
            break;
        }
        got += (size_t)r;
        /* What is read ahead is all there was: the loop tells when there is more. */
        if (c->listener == NULL && !openssl.SSL_has_pending(c->ssl)) break;
    }
    if (got == n) c->flags |= CONN_MORE; /* perhaps: the socket cannot say */
    return got > 0 ? (ssize_t)got : end;
}

/* While it is on the kernel waits for more before it sends a packet that is not full: so several records, each of which
 * OpenSSL writes by itself, become one packet, and wake the far side once. */
static void hold_back(struct conn *c, bool on) {
    const int value = on;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

/* Writes p[0..n) as records; *sent is how much of it. 0: all of it; else -errno. */
static ssize_t write_records(struct conn *c, const char *p, size_t n, size_t *sent) {
    for (*sent = 0; *sent < n;) {
        errno = 0;
        size_t piece = n - *sent < c->tls_piece ? n - *sent : c->tls_piece;
        int r = openssl.SSL_write(c->ssl, p + *sent, (int)piece);
        if (r <= 0) {
            uint32_t want = c->flags & CONN_TLS_WANT;
            ssize_t e = failure(c, r);
            c->flags = (c->flags & ~(uint32_t)CONN_TLS_WANT) | want; /* that is about reading */
            return e == 0 ? -EPIPE : e;
        }
        *sent += (size_t)r;
    }
    return 0;
}

ssize_t tls_write(struct conn *c, const char *p, size_t n) {
    const bool several = n > c->tls_piece;
    size_t sent;
    if (several) hold_back(c, true);
    const ssize_t e = write_records(c, p, n, &sent);
    if (several) hold_back(c, false);
    if (e != 0 && e != -EAGAIN) return e;
    return sent > 0 ? (ssize_t)sent : -EAGAIN;
}

void tls_say_goodbye(struct conn *c) {
    if ((c->flags & (CONN_TLS_UP | CONN_TLS_BROKEN)) == CONN_TLS_UP) (void)openssl.SSL_shutdown(c->ssl);
}

void tls_close(struct conn *c) {
    tls_say_goodbye(c);
    openssl.SSL_free(c->ssl);
    openssl.ERR_clear_error();
    c->ssl = NULL;
}

unsigned tls_piece(const struct net_tls *t) {
    return t->cfg.wbuf_bytes;
}
