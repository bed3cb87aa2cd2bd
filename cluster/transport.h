/* SPDX-License-Identifier: BSD-3-Clause
 *
 * transport - datagrams and links between the nodes of a cluster, on the event loop of the cluster's thread.
 *
 * A node has one UDP socket and one TCP listener for each address that it binds. Datagrams are sealed (datagram.h).
 * Links are TCP, TLS 1.3 by the cluster's key (psk.h) or plain, and begin with a hello of each side (hello.h); what
 * differs is refused, in words.
 *
 * - Control links carry frames: a length (4 bytes, big-endian), then a Control message (peer_codec.h) of at most 64
 * KiB. There is one a pair of nodes, dialled by whoever has something to send; of two dialled at once, that of the node
 *   with the lower id stays, and what was sent on the other still arrives. Each side closes it when it is idle for
 * long.
 * - Data links are dialled for a worker and given away after the hello, socket and TLS state (on_data_link).
 *
 * What is sent may be lost: a datagram always, a control message when its link breaks or its node cannot be reached;
 * who needs an answer asks again. Messages on one link arrive in order.
 *
 * Nodes are told apart by their id; (id, boot) is a process. Where a node is (host:port) the owner says with
 * transport_place, or the node itself in its hello.
 *
 * Bounds: 4,096 nodes; 64 handshakes that were begun by others and 64 of one's own at a time, each with a deadline;
 * 1 MiB of unsent output a link; 64 KiB of unfinished input a link; names in dns.h.
 *
 * All functions belong to the thread that runs the loop, upcalls come on it, and any of them may be called from an
 * upcall, save transport_free.
 */
#ifndef TAGCACHED_CLUSTER_TRANSPORT_H
#define TAGCACHED_CLUSTER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/hostport.h"
#include "cluster/address.h"
#include "cluster/datagram.h"
#include "cluster/dns.h"
#include "cluster/keyring.h"
#include "proto/peer_link.h"

#define TRANSPORT_BIND_MAX 16              /* addresses to bind */
#define TRANSPORT_HANDSHAKES_MAX 64        /* begun by others, and the same number of one's own */
#define TRANSPORT_OUTPUT_MAX (1024 * 1024) /* bytes unsent on one link, or for a node that is being dialled */
#define TRANSPORT_BACKOFF_MIN_MS 50        /* between two attempts to reach a node; doubled by each failure, */
#define TRANSPORT_BACKOFF_MAX_MS 2000      /* up to this; less a random part of at most a half */
#define TRANSPORT_HANDSHAKE_MS 3000        /* from dialling or accepting until both hellos are there */
#define TRANSPORT_HANDSHAKE_LEAST_MS 500   /* what each gets even if others wait */
#define TRANSPORT_PING_MS 2000             /* a control link on which nothing came for so long is asked, */
#define TRANSPORT_SILENCE_MS 6000          /* and after so long is closed */
#define TRANSPORT_IDLE_MS 60000            /* a control link that carried nothing but pings for so long is closed */
#define TRANSPORT_DRAIN_MS 2000            /* how long a link that is being closed may take to send its rest */

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
    bool transfer; /* for large values, one after the other */
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

struct transport;

/* Binds and listens. 0, or -errno with a sentence in err. */
int transport_new(const struct transport_config *cfg, struct transport **out, char *err, size_t err_size);
/* Closes everything; no upcall follows. */
void transport_free(struct transport *t);
/* The port that was bound. */
uint16_t transport_port(const struct transport *t);

/* What the next hellos say: name, id and boot stay. */
void transport_set_hello(struct transport *t, const struct peer_hello *h);
/* Uses these keys from now on; links that are up stay. */
void transport_set_keyring(struct transport *t, const struct keyring *k);

/* A member is at "host:port". A name is resolved now and again when it cannot be reached. 0, -EINVAL, -ENOSPC (4,096
 * nodes) or -ENOMEM. */
int transport_place(struct transport *t, const struct cluster_id *id, const char *address);
/* The member is gone: closes its links, refuses its datagrams. */
void transport_forget(struct transport *t, const struct cluster_id *id);
/* Dials all addresses of "host:port" that no link leads to, whoever is there. One attempt; who wants more calls again.
 * 0, or -errno. */
int transport_try(struct transport *t, const char *address);

/* Seals and sends n bytes (packed by peer_datagram_pack) to a member. False: not sent, counted. */
bool transport_datagram(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n);
/* Queues n bytes (packed by peer_control_pack) for a node, dialling it if no link is up; they leave at the end of the
 * loop's round. False: dropped and counted, for want of room or because the node is not known. */
bool transport_send(struct transport *t, const struct cluster_id *to, const void *bytes, size_t n);
/* Pings a node, as transport_send sends; on_pong tells of the answer. The number is below 2^32. */
bool transport_ping(struct transport *t, const struct cluster_id *to, uint64_t number);
/* Dials a data link for a worker; on_data_link tells how that ended, always. 0, or -errno and no upcall. */
int transport_want_data_link(struct transport *t, const struct cluster_id *to, uint32_t worker, bool transfer);
/* Whether a control link with the node is up. */
bool transport_is_up(const struct transport *t, const struct cluster_id *id);

/* Does what time has made due. The transport has a timer for that; a test that moves the clock calls it. */
void transport_tick(struct transport *t);

/* Any thread: a counter; links that are up. */
uint64_t transport_metric(const struct transport *t, enum transport_metric m);
const char *transport_metric_name(enum transport_metric m);
unsigned transport_links_open(const struct transport *t);

#endif
