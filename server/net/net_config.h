/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net_config - what a net is told when it is made, and the names of its counters. Only types and constants, and the
 * reading of an address; all files of this folder may include it.
 */
#ifndef TAGCACHED_NET_NET_CONFIG_H
#define TAGCACHED_NET_NET_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock;
struct log;
struct net_handler;

#define NET_INPUT_MAX (1u << 20) /* bytes a connection may hold that its handler does not consume */
#define NET_PADDING 64           /* bytes behind all input that may be read, though they mean nothing */

/* The counters: one for each row of net.metrics.def. */
enum net_metric {
#define METRIC(name, help) NET_METRIC_##name,
#include "net/net.metrics.def"
#undef METRIC
    NET_METRICS
};

enum net_tls_mode {
    NET_TLS_DEFAULT, /* TLS if the net has it */
    NET_TLS_NONE,    /* notls: */
    NET_TLS_BASIC,   /* btls: no certificate asked of the client */
    NET_TLS_MUTUAL,  /* mtls: the client must show a certificate that the CA file vouches for */
};

/* One address to listen on. */
/* What a listener's connections speak. This layer does not look at it: conn_protocol tells the handler. */
enum net_protocol { NET_PROTOCOL_DEFAULT, NET_PROTOCOL_AUTO, NET_PROTOCOL_TEXT, NET_PROTOCOL_BINARY };

struct net_listen {
    char host[256]; /* name or address; "" means every interface */
    int port;       /* 0 any free port; -1 the default port */
    enum net_tls_mode tls;
    enum net_protocol protocol;
    char tag[33];                      /* the listener's name, or "" */
    const struct net_handler *handler; /* of its connections; NULL: the net's */
};

struct net_tls_config {
    const char *chain_cert, *key, *ciphers, *ca_cert; /* key, ciphers, ca_cert may be NULL */
    int verify_mode;                                  /* 0 none, 1 request, 2 require, 3 once */
    bool key_der;                                     /* the key file is DER, not PEM */
    int min_version;                                  /* 0..3: TLS 1.0, 1.1, 1.2, 1.3 */
    unsigned wbuf_bytes;                              /* largest piece given to SSL_write at once */
    bool session_cache, kernel_tls;
};

#define NET_ADMIN "admin"
#define NET_HELD_DEFAULT (16u << 20) /* held_max when none is given */

/* What net_new is given. */
struct net_config {
    unsigned threads;         /* workers, 1..1024 */
    unsigned max_connections; /* at once */
    bool refuse_fast;         /* at the limit: say so and close, instead of leaving connections in the backlog */
    const char *refusal;      /* what is said then; lives for ever; NULL: memcached's words */
    int niceness; /* of its threads (nice(2)), if that is more than the process has: they give way to others */
    const char *thread_name; /* its threads are called NAME-0 and NAME-accept (8 bytes of it); NULL: the usual names */
    int backlog;             /* of listen(2) */
    unsigned batches_per_event; /* input and output batches of one connection before the others' turn; at least 1 */
    unsigned idle_timeout_s;    /* 0: connections may be idle for ever */
    unsigned body_timeout_s;    /* 0: a request whose bytes do not come is waited for, for ever */
    uint64_t held_max; /* bytes that all connections may hold: unfinished input, unsent output; 0: NET_HELD_DEFAULT.
                          Each worker has an equal part, and 256 KiB at least */

    const struct net_listen *listen; /* TCP addresses */
    unsigned nlisten;
    int default_port;       /* for those with port -1 */
    const char *unix_path;  /* NULL: none */
    unsigned unix_mask;     /* permissions of the socket file */
    const char *admin_path; /* a UNIX socket beside all others, for this process's user alone, whose listener has the
                               name NET_ADMIN; NULL: none */
    const int *inherited;   /* sockets that listen already (socket activation); the net closes them */
    unsigned ninherited;
    const struct net_tls_config *tls; /* NULL: no TLS. Its strings are copied */

    const struct net_handler *handler;            /* of connections whose listener names none */
    void *(*context)(void *arg, unsigned worker); /* what worker_context returns; called by net_new */
    void *context_arg;
    /* The layer above may keep something open for a worker from one upcall of `input` to the next, while one connection
     * after the other is read and answered. This has it let go of that: it is called on the worker before anything else
     * happens there (other upcalls but `release`, a message, an alarm, TLS) and before the worker waits. Given what
     * `context` returned. NULL: nothing is kept. */
    void (*let_go)(void *context);
    const struct clock *clock;
    struct log *log; /* may be NULL */
};

/* Reads one address of -l: [notls:|btls:|mtls:|proto[binary]:|tag[name]:]* then host, host:port, [v6], [v6]:port, :port
 * or *. Returns 0, or -EINVAL with a sentence in err. Pure. */
int net_listen_parse(const char *spec, struct net_listen *out, char *err, size_t err_size);

#endif
