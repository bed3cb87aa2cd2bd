/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/tagctl/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/hostport.h"
#include "tools/tagctl/options.h"
#include "tools/tagctl/say.h"

#define READ_AT_LEAST 16384
#define PASSWORD_MAX 1024

static const char *const admin_sockets[] = {"/run/tagcached/admin.sock", "/var/lib/tagcached/admin.sock"};

double conn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits until the socket can be read (or written). 0 or -errno; -ETIMEDOUT at the end of the time. */
static int wait_for(int fd, short events, double end) {
    for (;;) {
        double left = end - conn_seconds();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > 0 ? (int)(left * 1000) + 1 : 0);
        if (n > 0) return 0;
        if (n == 0) return -ETIMEDOUT;
        if (errno != EINTR) return -errno;
    }
}

/* --- connecting ----------------------------------------------------------------------------------------------------
 */

static int dial(const struct sockaddr *sa, socklen_t n, double end, int *out) {
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;
    socklen_t size = sizeof err;
    if (fd < 0) return -errno;
    if (connect(fd, sa, n) != 0) {
        err = errno == EINPROGRESS ? -wait_for(fd, POLLOUT, end) : errno;
        if (!err) getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
    }
    if (err) {
        close(fd);
        return -err;
    }
    *out = fd;
    return 0;
}

static int dial_path(const char *path, double end, int *out) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path) return -ENAMETOOLONG;
    strcpy(un.sun_path, path);
    return dial((struct sockaddr *)&un, sizeof un, end, out);
}

/* Tries every address of the host. The sentence of what went wrong comes back, or NULL. */
static const char *dial_host(const struct hostport *hp, double end, int *out) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
    char port[8];
    snprintf(port, sizeof port, "%u", hp->port);
    int err = getaddrinfo(hp->host, port, &hints, &list);
    if (err) return gai_strerror(err);
    err = -EADDRNOTAVAIL;
    for (struct addrinfo *a = list; a && err; a = a->ai_next) err = dial(a->ai_addr, a->ai_addrlen, end, out);
    freeaddrinfo(list);
    return err ? strerror(-err) : NULL;
}

/* --- TLS ------------------------------------------------------------------------------------------------------------
 */

static const char *ssl_sentence(const struct conn *c) {
    long verdict = c->ssl ? SSL_get_verify_result(c->ssl) : X509_V_OK;
    if (verdict != X509_V_OK) return X509_verify_cert_error_string(verdict);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    return reason ? reason : "the connection was closed";
}

static const char *tls_context(struct conn *c, const struct options *o) {
    c->ctx = SSL_CTX_new(TLS_client_method());
    if (!c->ctx) return "no memory";
    SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
    if (o->ca ? !SSL_CTX_load_verify_locations(c->ctx, o->ca, NULL) : !SSL_CTX_set_default_verify_paths(c->ctx))
        return "the file of --ca cannot be used";
    if (o->cert && SSL_CTX_use_certificate_chain_file(c->ctx, o->cert) != 1) return "the file of --cert cannot be used";
    if (o->cert && SSL_CTX_use_PrivateKey_file(c->ctx, o->key ? o->key : o->cert, SSL_FILETYPE_PEM) != 1)
        return "the file of --key cannot be used";
    return NULL;
}

/* Does one step of OpenSSL's again and again until it is through. 1 or more: it is; 0: the end; -errno, or -EPROTO. */
static int ssl_loop(struct conn *c, int (*step)(struct conn *, void *, size_t), void *bytes, size_t n) {
    double end = conn_seconds() + c->timeout;
    for (;;) {
        ERR_clear_error();
        int r = step(c, bytes, n), err = 0;
        if (r > 0) return r;
        switch (SSL_get_error(c->ssl, r)) {
        case SSL_ERROR_WANT_READ: err = wait_for(c->fd, POLLIN, end); break;
        case SSL_ERROR_WANT_WRITE: err = wait_for(c->fd, POLLOUT, end); break;
        case SSL_ERROR_ZERO_RETURN: return 0;
        case SSL_ERROR_SYSCALL: return errno ? -errno : 0;
        default: return -EPROTO;
        }
        if (err) return err;
    }
}

static int step_connect(struct conn *c, void *bytes, size_t n) {
    (void)bytes;
    (void)n;
    return SSL_connect(c->ssl);
}

static int step_read(struct conn *c, void *bytes, size_t n) {
    return SSL_read(c->ssl, bytes, (int)n);
}

static int step_write(struct conn *c, void *bytes, size_t n) {
    return SSL_write(c->ssl, bytes, (int)n);
}

/* The node must have a certificate for the very host that was asked for. */
static const char *tls_start(struct conn *c, const struct options *o, const char *host) {
    const char *wrong = tls_context(c, o);
    if (wrong) return wrong;
    c->ssl = SSL_new(c->ctx);
    if (!c->ssl || !SSL_set_fd(c->ssl, c->fd)) return "no memory";
    X509_VERIFY_PARAM *param = SSL_get0_param(c->ssl);
    if (!X509_VERIFY_PARAM_set1_ip_asc(param, host)) {
        X509_VERIFY_PARAM_set1_host(param, host, 0);
        SSL_set_tlsext_host_name(c->ssl, host);
    }
    int r = ssl_loop(c, step_connect, NULL, 0);
    return r > 0 ? NULL : r == -ETIMEDOUT ? "no TLS handshake in time" : ssl_sentence(c);
}

/* --- which node -----------------------------------------------------------------------------------------------------
 */

/* Connects to one address. What went wrong, or NULL. */
static const char *open_one(struct conn *c, const struct options *o, const char *address) {
    struct hostport hp;
    double end = conn_seconds() + c->timeout;
    snprintf(c->name, sizeof c->name, "%s", address);
    if (strchr(address, '/')) {
        int err = dial_path(address, end, &c->fd);
        return err ? strerror(-err) : o->tls ? tls_start(c, o, "localhost") : NULL;
    }
    if (!hostport_read(address, &hp)) return "that is neither host:port nor the path of a socket";
    const char *wrong = dial_host(&hp, end, &c->fd);
    return wrong ? wrong : o->tls ? tls_start(c, o, hp.host) : NULL;
}

static const char *servers_of(const struct options *o) {
    const char *env = getenv("TAGCTL_SERVERS");
    if (o->server) return o->server;
    if (env && *env) return env;
    for (unsigned i = 0; i < sizeof admin_sockets / sizeof *admin_sockets; i++)
        if (access(admin_sockets[i], W_OK) == 0) return admin_sockets[i];
    return "localhost:11211";
}

static int connect_any(struct conn *c, const struct options *o) {
    char *list = strdup(servers_of(o)), *rest = list, *address;
    int status = UNREACHABLE;
    while (status && list && (address = strsep(&rest, ","))) {
        const char *wrong = open_one(c, o, address);
        if (!wrong) {
            status = DONE;
        } else {
            complain(UNREACHABLE, "cannot reach %s: %s", address, wrong);
            conn_close(c);
        }
    }
    free(list);
    return status;
}

/* --- logging in -----------------------------------------------------------------------------------------------------
 */

static int read_password(const struct options *o, char password[PASSWORD_MAX]) {
    const char *env = getenv("TAGCTL_PASSWORD");
    password[0] = 0;
    if (o->password_file) {
        FILE *f = fopen(o->password_file, "r");
        if (!f) return complain(USAGE, "cannot read %s: %s", o->password_file, strerror(errno));
        if (!fgets(password, PASSWORD_MAX, f)) password[0] = 0;
        fclose(f);
        password[strcspn(password, "\r\n")] = 0;
    } else if (env) {
        snprintf(password, PASSWORD_MAX, "%s", env);
    } else {
        return complain(USAGE, "--user needs a password: name a file with --password-file, or set TAGCTL_PASSWORD");
    }
    return DONE;
}

static int log_in(struct conn *c, const struct options *o) {
    char password[PASSWORD_MAX], *line;
    if (!o->user) return DONE;
    int status = read_password(o, password);
    if (!status)
        status = conn_send(c, "set tagctl 0 0 %zu\r\n%s %s", strlen(o->user) + 1 + strlen(password), o->user, password);
    OPENSSL_cleanse(password, sizeof password);
    if (!status) status = conn_line(c, &line);
    if (status || !strcmp(line, "STORED")) return status;
    return complain(FAILED, "%s refuses the user %s or the password: %s", c->name, o->user, line);
}

int conn_open(struct conn *c, const struct options *o) {
    c->fd = -1;
    c->timeout = o->timeout < 0 ? 2 : o->timeout;
    int status = connect_any(c, o);
    return status ? status : log_in(c, o);
}

void conn_close(struct conn *c) {
    if (c->ssl) SSL_free(c->ssl);
    if (c->ctx) SSL_CTX_free(c->ctx);
    if (c->fd > 0) close(c->fd);
    free(c->in);
    double timeout = c->timeout;
    memset(c, 0, sizeof *c);
    c->timeout = timeout;
    c->fd = -1;
}

/* --- bytes ----------------------------------------------------------------------------------------------------------
 */

static int lost(const struct conn *c, int err, const char *doing) {
    if (err == -ETIMEDOUT) return complain(UNREACHABLE, "%s did not answer within %g s", c->name, c->timeout);
    if (err == -EPROTO) return complain(UNREACHABLE, "%s: %s", c->name, ssl_sentence(c));
    return complain(UNREACHABLE, "%s closed the connection %s%s%s", c->name, doing, err ? ": " : "",
                    err ? strerror(-err) : "");
}

int conn_write(struct conn *c, const void *bytes, size_t n) {
    double end = conn_seconds() + c->timeout;
    for (const char *p = bytes; n;) {
        size_t some = n < 65536 ? n : 65536;
        ssize_t r;
        if (c->ssl) {
            r = ssl_loop(c, step_write, (void *)p, some);
        } else {
            r = send(c->fd, p, some, MSG_NOSIGNAL);
            if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
                int err = wait_for(c->fd, POLLOUT, end);
                if (err) return lost(c, err, "while it was spoken to");
                continue;
            }
            if (r < 0) r = -errno;
        }
        if (r <= 0) return lost(c, (int)r, "while it was spoken to");
        p += r;
        n -= (size_t)r;
    }
    return DONE;
}

int conn_send(struct conn *c, const char *form, ...) {
    char *line;
    va_list ap;
    va_start(ap, form);
    int n = vasprintf(&line, form, ap);
    va_end(ap);
    if (n < 0) return complain(FAILED, "no memory");
    char *whole = realloc(line, (size_t)n + 3);
    if (!whole) {
        free(line);
        return complain(FAILED, "no memory");
    }
    memcpy(whole + n, "\r\n", 3);
    int status = conn_write(c, whole, (size_t)n + 2);
    free(whole);
    return status;
}

/* Reads some bytes more. */
static int read_more(struct conn *c, double end) {
    if (c->at) memmove(c->in, c->in + c->at, c->have -= c->at);
    c->at = 0;
    if (c->room - c->have < READ_AT_LEAST) {
        size_t room = c->room * 2 + READ_AT_LEAST * 2;
        char *in = realloc(c->in, room);
        if (!in) return complain(FAILED, "no memory");
        c->in = in;
        c->room = room;
    }
    size_t some = c->room - c->have - 1; /* a terminating zero goes behind a block */
    ssize_t r;
    if (c->ssl) {
        r = ssl_loop(c, step_read, c->in + c->have, some);
    } else {
        r = wait_for(c->fd, POLLIN, end);
        if (r == 0) {
            r = recv(c->fd, c->in + c->have, some, 0);
            if (r < 0 && (errno == EAGAIN || errno == EINTR)) return DONE;
            if (r < 0) r = -errno;
        }
    }
    if (r <= 0) return lost(c, (int)r, c->have ? "in the middle of its answer" : "without an answer");
    c->have += (size_t)r;
    return DONE;
}

int conn_line(struct conn *c, char **line) {
    double end = conn_seconds() + c->timeout;
    for (size_t seen = 0;;) {
        char *p = c->in ? c->in + c->at : NULL, *ending = p ? memchr(p + seen, '\n', c->have - c->at - seen) : NULL;
        if (ending) {
            c->at = (size_t)(ending + 1 - c->in);
            if (ending > p && ending[-1] == '\r') ending--;
            *ending = 0;
            *line = p;
            return DONE;
        }
        seen = c->have - c->at;
        if (seen > CONN_LINE_MAX) return complain(FAILED, "%s sends a line without an end; is it tagcached?", c->name);
        int status = read_more(c, end);
        if (status) return status;
    }
}

int conn_block(struct conn *c, size_t n, char **bytes) {
    if (n > CONN_BLOCK_MAX) return complain(FAILED, "%s announces a value of %zu bytes", c->name, n);
    while (c->have - c->at < n + 2) {
        int status = read_more(c, conn_seconds() + c->timeout); /* the limit is on silence, not on size */
        if (status) return status;
    }
    *bytes = c->in + c->at;
    if (memcmp(*bytes + n, "\r\n", 2) != 0)
        return complain(FAILED, "%s sends a value that does not end where it says", c->name);
    (*bytes)[n] = 0;
    c->at += n + 2;
    return DONE;
}
