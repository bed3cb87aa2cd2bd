/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_config - what the node tells the commands when it makes them, what they ask of it while they run, and the names
 * of their counters. Constants and plain structs.
 */
#ifndef TAGCACHED_CMD_CMD_CONFIG_H
#define TAGCACHED_CMD_CMD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/post.h"

#define CMD_PEER_TIMEOUT_MS 200 /* peer_timeout_ms when none is given */
#define CMD_MEMCACHED "1.6.45"  /* the version of memcached whose protocol this is */

struct audit;
struct clock;
struct cover_cell;
struct log;
struct net_worker;
struct ssl_st;
struct store;

/* Counters of the commands, one row per worker, summed on read. */
enum cmd_metric {
#define METRIC(name, help) CMD_METRIC_##name,
#include "cmd/cmd.metrics.def"

#undef METRIC
    CMD_METRICS
};

/* Which protocols are spoken (-B). */
enum cmd_protocol {
    CMD_PROTOCOL_AUTO, /* the first byte of a connection says which */
    CMD_PROTOCOL_TEXT,
    CMD_PROTOCOL_BINARY,
};

enum cmd_shutdown {
    CMD_SHUTDOWN_NOW,      /* `shutdown`: as SIGINT */
    CMD_SHUTDOWN_GRACEFUL, /* `shutdown graceful`: as SIGUSR1 */
};

/* The net layer's numbers for `stats`, filled by the upcall `net_stats`. Counters since the start, gauges as of now. */
struct cmd_net_stats {
    uint64_t threads, max_connections;
    uint64_t curr_connections, total_connections, rejected_connections;
    uint64_t connection_structures; /* connections in memory, open or kept for reuse */
    uint64_t accepting;             /* 0 while the limit of connections holds new ones back */
    uint64_t listen_disabled;       /* times that happened */
    uint64_t listen_disabled_us;    /* and for how long in all */
    uint64_t bytes_read, bytes_written;
    uint64_t buffer_bytes; /* held by connections: unfinished input and unsent output */
    uint64_t idle_kicks, body_timeouts, holders_closed;
    bool idle_timeout;      /* there is one */
    bool ssl_session_cache; /* TLS sessions are kept */
    uint64_t ssl_handshake_errors, ssl_proto_errors, ssl_new_sessions;
    uint64_t cert_time; /* unix time of the last load of the certificates; 0 without TLS */
};

/* What a link to another node is for. */
enum cmd_link_kind {
    CMD_LINK_DATA,     /* requests about keys, in frames */
    CMD_LINK_TRANSFER, /* one large value after the other, as a client would send or fetch it */
};

/* A link that a worker wishes for. It is the worker's until want_link is called, then whoever was asked answers it,
 * once, with cmd_on_link. */
struct cmd_wish {
    struct net_post post;
    struct net_worker *worker;
    void (*fn)(struct net_worker *w, void *arg); /* the commands' own: takes the answer */
    void *arg;
    int fd;
    struct ssl_st *ssl;
    int error;
};

/* What the commands ask of the node. Called on a worker's thread. None may block for long; none may be NULL, but for
 * those of a cluster in a node without one. */
struct cmd_upcalls {
    void *arg;
    /* Ask the process to end. Returns at once. */
    void (*shutdown)(void *arg, enum cmd_shutdown mode);
    /* Loads the certificates anew. True, or false with a sentence in err[0..n). */
    bool (*refresh_certs)(void *arg, char *err, size_t n);
    void (*net_stats)(void *arg, struct cmd_net_stats *out);
    /* `stats reset` of the net layer's counters. */
    void (*net_reset)(void *arg);
    /* Worker i, 0 <= i < workers: for work that must run on it (worker_post). */
    struct net_worker *(*worker)(void *arg, unsigned i);
    /* Calls fn with each socket that is listened on. */
    void (*listeners_each)(void *arg, void (*fn)(void *fn_arg, int fd), void *fn_arg);
    /* Shows each setting (memcached's names for `stats settings`, then ours) in order; values are text. */
    void (*settings_each)(void *arg, void (*fn)(void *fn_arg, const char *name, const char *value), void *fn_arg);
    /* Connect to the member with this number, and shake hands, for worker i. The answer is cmd_on_link. */
    void (*want_link)(void *arg, unsigned i, uint32_t member, enum cmd_link_kind kind, struct cmd_wish *wish);
    /* The member with this number goes by another version of the ring than this node. At most once a version. */
    void (*ring_differs)(void *arg, uint32_t member, uint64_t version);
};

/* What a purge that the store tells the end of (store_purge.token) begins with: whose function it is. */
struct cmd_ended {
    void (*ended)(struct cmd_ended *e, int64_t n, uint64_t bytes); /* store_events.on_job */
    /* The node's, while it puts the call off (--erase). */
    struct cmd_ended *next;
    int64_t n;
    uint64_t bytes;
};

struct cluster_gauges;
struct cluster_purge;
struct cluster_question;

/* What the commands ask of the cluster (cluster/cluster.h). On a worker's thread; none blocks. */
struct cmd_cluster {
    void *arg;
    const struct lease_ends *leases; /* when this node's leases end; outlive the workers' running */
    const struct cover_cell *cover;  /* which purges it knows; likewise */
    /* Purges all nodes; p->done is called on another thread. */
    void (*purge)(void *arg, struct cluster_purge *p);
    /* Purges everything on all nodes in so many seconds, if this node still runs then. */
    void (*flush_later)(void *arg, uint32_t seconds);
    /* Answers a `cluster` command; q->done is called on another thread. */
    void (*ask)(void *arg, struct cluster_question *q);
    void (*gauges)(void *arg, struct cluster_gauges *out);
    /* The members as discovering clients want them; copies at most size bytes and returns how many there are. */
    size_t (*discovery)(void *arg, char *to, size_t size);
};

struct cmd_config {
    struct store *store; /* outlives the cmd */
    const struct clock *clock;
    unsigned workers;    /* theirs are the first handles of the store */
    uint64_t seed;       /* for what need not be guessable */
    bool erase;          /* a counted purge ends when what it took out is overwritten (--erase) */
    struct audit *audit; /* told of every purge; outlives the cmd; NULL: none */
    struct log *log; /* `verbosity` changes it; commands are logged from LOG_INFO on. Outlives the cmd; NULL: none */

    /* Options. Strings are copied. */
    const char *key_tags;  /* marker of tag suffixes on keys, "|#|" by default, 1..16 bytes; NULL: off */
    char prefix_delimiter; /* as the store's (--prefix-tags); 0: off */
    char stats_delimiter;  /* of `stats detail` (-D), ':' by default */
    bool stats_detail;     /* `stats detail` is on from the start */
    const char *auth_file; /* -Y; NULL: everybody may do everything, unless `sasl` */
    bool sasl;             /* -S: the binary protocol asks for a login; without auth_file nobody has one */
    uint8_t protocol;      /* -B: enum cmd_protocol */
    bool no_cas;           /* -C: ids are shown as 0 */
    bool no_flush;         /* -F: flush_all and `*` are refused */
    bool no_dump;          /* -X: dumps of keys are refused */
    bool no_watch;         /* -W: watch is refused */
    bool shutdown;         /* -A: the command shutdown is allowed */
    bool track_sizes;      /* -o track_sizes: `stats sizes` is on */
    bool hot_copies;       /* --hot-copies */
    uint64_t item_size_max;
    unsigned peer_timeout_ms;    /* how long another node's answer is waited for; 0: CMD_PEER_TIMEOUT_MS */
    unsigned requests_per_event; /* -R: so many requests of one connection at once count as a yield (conn_yields) */
    struct cmd_upcalls up;
};

#endif
