/* SPDX-License-Identifier: BSD-3-Clause */
#include "cluster/psk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "base/openssl.h"

struct psk {
    struct keyring keyring;
    SSL_CTX *dial, *accept;
};

static const struct {
    unsigned char wire[13]; /* a byte of length in front, as ALPN has it */
    unsigned char n;
} names[PSK_USES] = {{"\x0ctc-control/1", 13}, {"\x09tc-data/1", 10}};

/* Set as a TLS state's data where the other side offered a key that is not here. */
static char unknown_key;

static bool has_aes(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
    return false;
#endif
}

/* ------------------------------------------------------------------ keys, as OpenSSL asks for them */

/* A key as a session: the form in which OpenSSL takes an external PSK. Any cipher with SHA-256 says the same here. */
static SSL_SESSION *session_of(SSL *ssl, const struct keyring_key *key) {
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
    const SSL_CIPHER *cipher = openssl.SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    SSL_SESSION *s = openssl.SSL_SESSION_new();
    if (s != NULL && cipher != NULL && openssl.SSL_SESSION_set1_master_key(s, key->psk, sizeof key->psk) == 1 &&
        openssl.SSL_SESSION_set_cipher(s, cipher) == 1 &&
        openssl.SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1)
        return s;
    openssl.SSL_SESSION_free(s);
    return NULL;
}

static struct psk *psk_of(SSL *ssl) {
    return openssl.SSL_CTX_get_ex_data(openssl.SSL_get_SSL_CTX(ssl), 0);
}

/* Who dials: which key to offer. OpenSSL copies the identity before the next call on this TLS state. */
static int on_offer(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len, SSL_SESSION **out) {
    static _Thread_local char text[KEYRING_ID_TEXT];
    const struct keyring_key *key = &psk_of(ssl)->keyring.keys[0];
    (void)md;
    *out = session_of(ssl, key);
    if (*out == NULL) return 0;
    keyring_id_text(key, text);
    *id = (const unsigned char *)text;
    *id_len = sizeof text - 1;
    return 1;
}

/* Who is dialled: the key of this name. */
static int on_find(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **out) {
    const struct keyring *k = &psk_of(ssl)->keyring;
    *out = NULL;
    for (unsigned i = 0; i < k->n; i++) {
        char text[KEYRING_ID_TEXT];
        keyring_id_text(&k->keys[i], text);
        if (id_len != sizeof text - 1 || memcmp(id, text, id_len) != 0) continue;
        *out = session_of(ssl, &k->keys[i]);
        return *out != NULL;
    }
    openssl.SSL_set_ex_data(ssl, 0, &unknown_key);
    return 1; /* without a session: the handshake fails for want of a certificate */
}

/* Who is dialled: what the link is for. There is one name in the list. */
static int on_use(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                  void *arg) {
    (void)ssl;
    (void)arg;
    for (unsigned i = 0; i < PSK_USES; i++) {
        if (in_len != names[i].n || memcmp(in, names[i].wire, in_len) != 0) continue;
        *out = in + 1;
        *out_len = (unsigned char)(in_len - 1);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ------------------------------------------------------------------ contexts */

static SSL_CTX *context_new(struct psk *p, const SSL_METHOD *method) {
    SSL_CTX *ctx = openssl.SSL_CTX_new(method);
    if (ctx == NULL) return NULL;
    const char *ciphers = has_aes() ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
                                    : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, NULL);
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE,
                         SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS,
                         NULL);
    openssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    /* ChaCha20 is taken when who dials puts it first, or who is dialled does. */
    openssl.SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                         SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    if (openssl.SSL_CTX_set_ciphersuites(ctx, ciphers) == 1 && openssl.SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
        openssl.SSL_CTX_set_ex_data(ctx, 0, p) == 1)
        return ctx;
    openssl.SSL_CTX_free(ctx);
    return NULL;
}

int psk_new(const struct keyring *k, struct psk **out, char *err, size_t err_size) {
    if (!openssl_load(err, err_size)) return -EINVAL;
    struct psk *p = calloc(1, sizeof *p);
    if (p == NULL) return -ENOMEM;
    p->keyring = *k;
    p->dial = context_new(p, openssl.TLS_client_method());
    p->accept = context_new(p, openssl.TLS_server_method());
    openssl.ERR_clear_error();
    if (p->dial == NULL || p->accept == NULL) {
        snprintf(err, err_size, "cannot set up TLS 1.3 for links between nodes");
        psk_free(p);
        return -EINVAL;
    }
    /* No certificate is good enough: there are no authorities to vouch for one. */
    openssl.SSL_CTX_set_verify(p->dial, SSL_VERIFY_PEER, NULL);
    openssl.SSL_CTX_set_psk_use_session_callback(p->dial, on_offer);
    openssl.SSL_CTX_set_psk_find_session_callback(p->accept, on_find);
    openssl.SSL_CTX_set_alpn_select_cb(p->accept, on_use, NULL);
    *out = p;
    return 0;
}

void psk_free(struct psk *p) {
    if (p == NULL) return;
    openssl.SSL_CTX_free(p->dial);
    openssl.SSL_CTX_free(p->accept);
    keyring_wipe(&p->keyring);
    free(p);
}

void psk_set_keyring(struct psk *p, const struct keyring *k) {
    p->keyring = *k;
}

/* ------------------------------------------------------------------ one link */

static SSL *ssl_new(SSL_CTX *ctx, int fd) {
    SSL *ssl = openssl.SSL_new(ctx);
    if (ssl != NULL && openssl.SSL_set_fd(ssl, fd) == 1) return ssl;
    openssl.SSL_free(ssl);
    openssl.ERR_clear_error();
    return NULL;
}

SSL *psk_dial(struct psk *p, enum psk_use use, int fd) {
    SSL *ssl = ssl_new(p->dial, fd);
    if (ssl == NULL) return NULL;
    if (openssl.SSL_set_alpn_protos(ssl, names[use].wire, names[use].n) != 0) { /* 0 is success here */
        openssl.SSL_free(ssl);
        return NULL;
    }
    openssl.SSL_set_connect_state(ssl);
    return ssl;
}

SSL *psk_accept(struct psk *p, int fd) {
    SSL *ssl = ssl_new(p->accept, fd);
    if (ssl != NULL) openssl.SSL_set_accept_state(ssl);
    return ssl;
}

bool psk_is_proven(const SSL *ssl, enum psk_use *use) {
    const unsigned char *name;
    unsigned n;
    if (!openssl.SSL_session_reused(ssl)) return false; /* that a session was resumed is how it says "PSK" */
    openssl.SSL_get0_alpn_selected(ssl, &name, &n);
    for (unsigned i = 0; i < PSK_USES; i++) {
        if (n + 1 != names[i].n || memcmp(name, names[i].wire + 1, n) != 0) continue;
        *use = (enum psk_use)i;
        return true;
    }
    return false;
}

void psk_why(const SSL *ssl, const char **setting, char *why, size_t why_size) {
    unsigned long e = openssl.ERR_peek_error();
    const char *text = e != 0 ? openssl.ERR_reason_error_string(e) : NULL;
    int reason = ERR_GET_REASON(e);
    *setting = "--cluster-key";
    if (ssl != NULL && openssl.SSL_get_ex_data(ssl, 0) == &unknown_key)
        snprintf(why, why_size,
                 "the other node uses a key that this node lacks: give all nodes the same --cluster-key");
    else if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
             reason == SSL_R_PACKET_LENGTH_TOO_LONG) {
        *setting = "--cluster-links";
        snprintf(why, why_size, "the other side speaks no TLS: start all nodes with the same --cluster-links");
    } else if (reason == SSL_AD_REASON_OFFSET + SSL_AD_HANDSHAKE_FAILURE ||
               reason == SSL_AD_REASON_OFFSET + SSL_AD_ILLEGAL_PARAMETER ||
               reason == SSL_AD_REASON_OFFSET + SSL_AD_DECRYPT_ERROR)
        snprintf(why, why_size, "the other node lacks this node's key (%s): give all nodes the same --cluster-key",
                 text != NULL ? text : "no reason");
    else
        snprintf(why, why_size, "TLS failed (%s): see that all nodes have the same --cluster-key",
                 text != NULL ? text : "the other side closed");
    openssl.ERR_clear_error();
}
