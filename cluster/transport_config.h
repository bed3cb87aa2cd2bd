/* SPDX-License-Identifier: BSD-3-Clause
 *
 * transport_config - what the transport is told when it is made, what it tells its owner, and what it counts.
 */
#ifndef TAGCACHED_CLUSTER_TRANSPORT_CONFIG_H
#define TAGCACHED_CLUSTER_TRANSPORT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/hostport.h"
#include "cluster/address.h"
#include "cluster/datagram.h"
#include "cluster/dns.h"
#include "cluster/keyring.h"
#include "cluster/outbuf.h"
#include "proto/peer_link.h"

#define TRANSPORT_BIND_MAX 16            /* addresses to bind */
#define TRANSPORT_HANDSHAKES_MAX 64      /* begun by others, and the same number of one's own */
#define TRANSPORT_OUTPUT_MAX OUTBUF_MAX  /* bytes (1 MiB) unsent on one link, or for a node that is being dialled */
#define TRANSPORT_BACKOFF_MIN_MS 50      /* between two attempts to reach a node; doubled by each failure, */
#define TRANSPORT_BACKOFF_MAX_MS 500     /* up to this; less a random part of at most a half */
#define TRANSPORT_REFUSED_MS 2000        /* the same, after a refusal */
#define TRANSPORT_CONNECT_MS 500         /* for TCP to one address */
#define TRANSPORT_UNACKED_MS 1000        /* TCP's retransmissions; then the link is closed, and can be dialled anew */
#define TRANSPORT_TWINS_MS 1000          /* a link that is up for so long was not dialled at once with a new one */
#define TRANSPORT_HANDSHAKE_MS 3000      /* from dialling or accepting until both hellos are there */
#define TRANSPORT_HANDSHAKE_LEAST_MS 500 /* what each gets even if others wait */
#define TRANSPORT_PING_MS 2000           /* a control link on which nothing came for so long is asked, */
#define TRANSPORT_SILENCE_MS 6000        /* and after so long is closed */
#define TRANSPORT_IDLE_MS 60000          /* a control link that carried nothing but pings for so long is closed */
#define TRANSPORT_DRAIN_MS 2000          /* how long a link that is being closed may take to send its rest */

/* One row a counter: name, help. */
#define TRANSPORT_METRICS(METRIC)                                                                                      \
    METRIC(datagrams_sent, "datagrams sent")                                                                           \
    METRIC(datagrams_received, "datagrams opened")                                                                     \
    METRIC(datagrams_refused, "datagrams refused")                                                                     \
    METRIC(datagrams_unsent, "datagrams not sent: no address yet, or no room in the socket")                           \
    METRIC(datagram_bytes_sent, "bytes of datagrams sent")                                                             \
    METRIC(datagram_bytes_received, "bytes of datagrams that came, refused ones too")                                  \
    METRIC(messages_sent, "control messages sent, pings too")                                                          \
    METRIC(messages_received, "control messages received, pings too")                                                  \
    METRIC(messages_dropped, "control messages dropped: no room, or the node was not reached")                         \
    METRIC(control_bytes_sent, "bytes of control messages sent")                                                       \
    METRIC(control_bytes_received, "bytes of control messages received")                                               \
    METRIC(links_dialled, "links dialled")                                                                             \
    METRIC(links_accepted, "links accepted")                                                                           \
    METRIC(links_up, "links on which both sides agreed")                                                               \
    METRIC(links_refused, "links refused by either side")                                                              \
    METRIC(links_failed, "links that broke or timed out before both sides agreed")                                     \
    METRIC(links_lost, "control links that broke, or were silent for too long")                                        \
    METRIC(protocol_errors, "links closed because of bytes that no node sends")                                        \
    METRIC(unknown_fields, "fields of messages that this release does not know")                                       \
    METRIC(unknown_kinds, "messages of kinds that this release does not know")                                         \
    METRIC(accepts_without_descriptor, "links closed at once because the process had no descriptor left")

enum transport_metric {
#define TRANSPORT_METRIC_NAME(name, help) TRANSPORT_METRIC_##name,
    TRANSPORT_METRICS(TRANSPORT_METRIC_NAME)
#undef TRANSPORT_METRIC_NAME
        TRANSPORT_METRIC_COUNT
};

/* A process of the cluster. */
struct transport_peer {
    struct cluster_id id;
    uint64_t boot;
    uint32_t version;    /* of the wire, agreed on */
    const char *address; /* "host:port", as it says itself; during the upcall */
    const char *ring_name;
};

/* A data link, or that there is none. */
struct transport_data_link {
    struct cluster_id id;
    uint64_t boot;
    uint32_t version;
    uint32_t worker; /* dialled: as it was asked for; accepted: the other side's */
    bool dialled;
    enum peer_link kind;   /* none for control */
    uint64_t ring_version; /* the other side's, when it said hello */
    int fd;                /* non-blocking, the receiver's from now on; -1: no link */
    struct ssl_st *ssl;    /* the receiver's; NULL: plain */
    int err;               /* with fd -1: -errno */
};

struct transport_events {
    void *arg;
    /* m is valid during the call; so are all others. */
    void (*on_datagram)(void *arg, const struct datagram_sender *from, const struct address *source,
                        const Peer__Datagram *m);
    void (*on_control)(void *arg, const struct transport_peer *from, const Peer__Control *m);
    /* The first control link with this process is up; or its last one has ended. A process that takes the place of
     * another one of its node is told of as down, then up. */
    void (*on_peer_up)(void *arg, const struct transport_peer *peer);
    void (*on_peer_down)(void *arg, const struct cluster_id *id, uint64_t boot);
    /* An attempt to reach the node has failed, and what was to be sent is dropped. */
    void (*on_unreachable)(void *arg, const struct cluster_id *id);
    void (*on_data_link)(void *arg, const struct transport_data_link *link);
    /* A link was refused: by this node, or (by_them) by the other. `where` is the other side's address. */
    void (*on_refused)(void *arg, const char *where, const struct peer_refusal *why, bool by_them);
    /* May be NULL. What hello_check cannot know: whether a hello is acceptable to this node. False: *why is filled in.
     */
    bool (*on_hello)(void *arg, const struct peer_hello *theirs, struct peer_refusal *why);
    /* May be NULL. The answer to a ping, the transport's own among them, whose numbers are times. */
    void (*on_pong)(void *arg, const struct transport_peer *from, uint64_t number);
};

struct transport_config {
    struct event_base *base;
    const struct clock *clock;
    struct peer_hello hello; /* this node's; wanted and worker are filled in for each link */
    const struct keyring *keyring;
    bool plain;                  /* links without TLS */
    bool insecure;               /* addresses that others reach may be bound without a key, or with plain links */
    const struct hostport *bind; /* at most TRANSPORT_BIND_MAX; "*": IPv4 and IPv6; port 0: any, the same one for all */
    unsigned nbind;
    struct datagram_random random; /* all zeros: libsodium's */
    dns_resolver *resolver;        /* NULL: the system's */
    struct transport_events events;
};

#endif
