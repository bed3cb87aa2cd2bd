/* SPDX-License-Identifier: BSD-3-Clause
 *
 * TLS: an echo over real sockets with OpenSSL as the client and certificates made on the spot. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/sync.h"
#include "net/net.h"

static char dir[] = "/tmp/tagcached-test-XXXXXX";
static uint64_t releases;

/* ------------------------------------------------------------------ certificates */

static const char *file(const char *name) {
    static char path[4][128];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

/* A self-signed certificate and its key in one file. */
static void make_cert(const char *path, long serial) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    FILE *f = fopen(path, "w");
    assert_true(key != NULL && x != NULL && f != NULL);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    PEM_write_X509(f, x);
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* ------------------------------------------------------------------ the server: echoes, half by reference */

static bool on_open(struct conn *c, void *session) {
    (void)session;
    CHECK(conn_is_tls(c) || strcmp(conn_listener(c), "plain") == 0);
    return true;
}

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    static char big[300000];
    size_t used = 0;
    (void)session;
    while (used < n && !conn_full(c)) {
        size_t k = n - used;
        if (k >= 4 && memcmp(p + used, "BIG\n", 4) == 0) {
            conn_ref(c, big, sizeof big, 1);
            k = 4;
        }
        conn_write(c, p + used, k);
        used += k;
    }
    return used;
}

static void on_release(struct conn *c, uint64_t token) {
    (void)c;
    sync_add(&releases, token);
}

static void on_close(struct conn *c, void *session) {
    (void)c;
    (void)session;
}

static const struct net_handler handler = {
    .open = on_open, .input = on_input, .release = on_release, .close = on_close};

static struct net *server(struct net_tls_config tls) {
    struct net_listen listen[3] = {
        {.host = "127.0.0.1", .port = 0},
        {.host = "127.0.0.1", .port = 0, .tls = NET_TLS_NONE, .tag = "plain"},
        {.host = "127.0.0.1", .port = 0, .tls = NET_TLS_MUTUAL},
    };
    struct net *n;
    char err[256];
    tls.chain_cert = file("a.pem");
    tls.ca_cert = file("client.pem");
    struct net_config cfg = {.threads = 2,
                             .max_connections = 100,
                             .backlog = 10,
                             .batches_per_event = 20,
                             .listen = listen,
                             .nlisten = 3,
                             .tls = &tls,
                             .handler = &handler,
                             .clock = clock_system()};
    if (net_new(&cfg, &n, err, sizeof err) != 0) fail_msg("%s", err);
    assert_int_equal(net_start(n), 0);
    return n;
}

/* ------------------------------------------------------------------ the client */

struct client {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
};

static int dial(struct net *n, unsigned listener) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)net_port(n, listener))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void client_open(struct client *c, struct net *n, unsigned listener, const char *cert) {
    c->fd = dial(n, listener);
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (cert != NULL) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(c->ctx, cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(c->ctx, cert, SSL_FILETYPE_PEM), 1);
    }
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, c->fd);
}

static void client_close(struct client *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
    ERR_clear_error();
}

static void take(struct client *c, char *p, size_t n) {
    for (size_t got = 0; got < n;) {
        int r = SSL_read(c->ssl, p + got, (int)(n - got));
        assert_true(r > 0);
        got += (size_t)r;
    }
}

static void echo(struct client *c, const char *text) {
    char got[256];
    assert_int_equal(SSL_write(c->ssl, text, (int)strlen(text)), (int)strlen(text));
    take(c, got, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static long serial_of(struct client *c) {
    X509 *x = SSL_get1_peer_certificate(c->ssl);
    assert_non_null(x);
    long v = ASN1_INTEGER_get(X509_get_serialNumber(x));
    X509_free(x);
    return v;
}

/* ------------------------------------------------------------------ */

static void echo_small_and_large(struct net_tls_config tls) {
    struct net *n = server(tls);
    struct client c;
    sync_store(&releases, 0);
    client_open(&c, n, 0, NULL);
    assert_int_equal(SSL_connect(c.ssl), 1);
    echo(&c, "hello");
    /* Much more than sockets hold before anything is read: the server has to wait for us. */
    enum { ROUNDS = 60 };
    char *got = malloc(300004);
    for (int i = 0; i < ROUNDS; i++) echo(&c, "x");
    for (int i = 0; i < ROUNDS; i++) assert_int_equal(SSL_write(c.ssl, "BIG\n", 4), 4);
    for (int i = 0; i < ROUNDS; i++) {
        take(&c, got, 300004);
        assert_memory_equal(got + 300000, "BIG\n", 4);
    }
    free(got);
    assert_int_equal(sync_load(&releases), ROUNDS);
    assert_int_equal(net_metric(n, NET_METRIC_ssl_new_sessions), 1);
    client_close(&c); /* no close_notify */
    struct net_gauges g;
    do {
        sched_yield();
        net_gauges(n, &g);
    } while (g.curr_connections != 0);
    assert_int_equal(net_metric(n, NET_METRIC_ssl_proto_errors), 0); /* an end like any other */
    net_stop(n);
    net_free(n);
}

static void echoes_small_and_large(void **state) {
    (void)state;
    echo_small_and_large((struct net_tls_config){.min_version = 2});
}

/* Whether or not this kernel can. */
static void echoes_with_kernel_tls(void **state) {
    (void)state;
    echo_small_and_large((struct net_tls_config){.min_version = 2, .kernel_tls = true});
}

/* Connects a second time with the session of the first, as a client without tickets does: only what the server has
 * kept helps then. */
static bool resumes(bool cache) {
    struct net *n = server((struct net_tls_config){.min_version = 2, .session_cache = cache});
    SSL_SESSION *session = NULL;
    bool resumed = false;
    for (int i = 0; i < 2; i++) {
        struct client c;
        client_open(&c, n, 0, NULL);
        SSL_set_max_proto_version(c.ssl, TLS1_2_VERSION);
        SSL_set_options(c.ssl, SSL_OP_NO_TICKET);
        if (session != NULL) assert_int_equal(SSL_set_session(c.ssl, session), 1);
        assert_int_equal(SSL_connect(c.ssl), 1);
        echo(&c, "hello");
        resumed = SSL_session_reused(c.ssl) == 1;
        SSL_SESSION_free(session);
        session = SSL_get1_session(c.ssl);
        SSL_shutdown(c.ssl); /* a session that ends without it is not used again */
        client_close(&c);
    }
    SSL_SESSION_free(session);
    net_stop(n);
    net_free(n);
    return resumed;
}

static void sessions_are_kept_if_asked(void **state) {
    (void)state;
    assert_true(resumes(true));
    assert_false(resumes(false));
}

/* What we have heard may be counted a moment later. */
static void await_metric(struct net *n, enum net_metric m, uint64_t value) {
    while (net_metric(n, m) < value) sched_yield();
    assert_int_equal(net_metric(n, m), value);
}

static void listeners_choose(void **state) {
    struct net *n = server((struct net_tls_config){.min_version = 2});
    struct client c;
    char got[8];
    (void)state;
    int plain = dial(n, 1);
    assert_int_equal(send(plain, "plain", 5, 0), 5);
    assert_int_equal(recv(plain, got, 5, MSG_WAITALL), 5);
    close(plain);
    client_open(&c, n, 2, NULL);                                            /* mutual, and we have nothing to show */
    if (SSL_connect(c.ssl) == 1) assert_true(SSL_read(c.ssl, got, 1) <= 0); /* TLS 1.3 tells afterwards */
    client_close(&c);
    await_metric(n, NET_METRIC_ssl_handshake_errors, 1);
    client_open(&c, n, 2, file("client.pem"));
    assert_int_equal(SSL_connect(c.ssl), 1);
    echo(&c, "known");
    client_close(&c);
    int nonsense = dial(n, 0);
    assert_int_equal(send(nonsense, "get a\r\n", 7, 0), 7);
    while (recv(nonsense, got, sizeof got, 0) > 0) {}
    close(nonsense);
    await_metric(n, NET_METRIC_ssl_handshake_errors, 2);
    net_stop(n);
    net_free(n);
}

static void minimum_version_holds(void **state) {
    struct net *n = server((struct net_tls_config){.min_version = 3});
    struct client c;
    (void)state;
    client_open(&c, n, 0, NULL);
    SSL_set_max_proto_version(c.ssl, TLS1_2_VERSION);
    assert_true(SSL_connect(c.ssl) <= 0);
    client_close(&c);
    net_stop(n);
    net_free(n);
}

static void certificates_are_loaded_again(void **state) {
    struct net *n = server((struct net_tls_config){.min_version = 2});
    struct client old, fresh;
    char err[256] = "";
    (void)state;
    client_open(&old, n, 0, NULL);
    assert_int_equal(SSL_connect(old.ssl), 1);
    assert_int_equal(serial_of(&old), 1);
    make_cert(file("a.pem"), 7);
    assert_true(net_tls_reload(n, err, sizeof err));
    client_open(&fresh, n, 0, NULL);
    assert_int_equal(SSL_connect(fresh.ssl), 1);
    assert_int_equal(serial_of(&fresh), 7);
    client_close(&fresh);
    FILE *f = fopen(file("a.pem"), "w"); /* a bad file changes nothing */
    fputs("nonsense\n", f);
    fclose(f);
    assert_false(net_tls_reload(n, err, sizeof err));
    assert_non_null(strstr(err, "a.pem"));
    client_open(&fresh, n, 0, NULL);
    assert_int_equal(SSL_connect(fresh.ssl), 1);
    assert_int_equal(serial_of(&fresh), 7);
    client_close(&fresh);
    echo(&old, "as ever");
    client_close(&old);
    make_cert(file("a.pem"), 1);
    net_stop(n);
    net_free(n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_small_and_large),     cmocka_unit_test(echoes_with_kernel_tls),
        cmocka_unit_test(sessions_are_kept_if_asked), cmocka_unit_test(listeners_choose),
        cmocka_unit_test(minimum_version_holds),      cmocka_unit_test(certificates_are_loaded_again),
    };
    CHECK(mkdtemp(dir) != NULL);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    make_cert(file("a.pem"), 1);
    make_cert(file("client.pem"), 2);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(file("a.pem"));
    unlink(file("client.pem"));
    rmdir(dir);
    return r;
}
