/* SPDX-License-Identifier: BSD-3-Clause
 *
 * transport_state - the transport as its own files see it (from the
 * bottom up: link, peers, handshake, sockets, transport).
 *
 * Links and nodes that are done with stay where they are until the outermost function of the transport returns
 * (transport_state_enter, transport_state_leave): whoever calls an upcall may still hold them after it.
 */
#ifndef TAGCACHED_CLUSTER_TRANSPORT_STATE_H
#define TAGCACHED_CLUSTER_TRANSPORT_STATE_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/rand.h"
#include "base/sync.h"
#include "cluster/idmap.h"
#include "cluster/outbuf.h"
#include "cluster/psk.h"
#include "cluster/stream.h"
#include "cluster/transport_config.h"

#define TRANSPORT_SCRATCH (2 * (PEER_CONTROL_MAX + OUTBUF_HEADER))
#define TRANSPORT_PEER_ADDRESSES 8
#define TRANSPORT_TRIES_MAX 64

struct link;
struct transport;

enum link_state {
    LINK_WAITING,    /* to be dialled: its time has not come, its address is asked for, or others are being dialled */
    LINK_CONNECTING, /* TCP */
    LINK_SHAKING,    /* TLS */
    LINK_HELLO,      /* for the other side's hello */
    LINK_UP,         /* control links only */
    LINK_DRAINING,   /* sends its rest, then says so, and reads until the other side does */
    LINK_DEAD,
};

/* What links call, on the files above them. */
struct link_upcalls {
    void (*ready)(struct link *l); /* connected, and TLS is up */
    void (*frame)(struct link *l, const void *bytes, size_t n);
    void (*tls_failed)(struct link *l); /* tells whom it concerns; the link ends after it */
    void (*spoke_tls)(struct link *l);  /* to a plain one */
    void (*down)(struct link *l);       /* it was up, and is not to be used any more; may come more than once */
    void (*ended)(struct link *l, enum link_state was, int err);
    void (*theirs_changed)(struct transport *t); /* the number of handshakes that others began */
};

struct link {
    struct transport *t;
    struct link *next;
    struct link *dirty_next; /* of those that have something to send in this round */
    bool dirty;
    enum link_state state;
    bool dialled, was_up, pinged;
    enum peer_link kind; /* of one that is not for control */
    bool finished;       /* DRAINING: all was sent, and said so */
    bool ended;          /* the other side sends nothing more */
    bool told;           /* whoever waits for it knows that it failed */
    bool hurried;        /* CONNECTING: it was begun anew */
    enum psk_use use;    /* of a dialled one, or once it is known */
    struct stream s;
    struct event on_read, on_write;
    struct address remote;
    char where[ADDRESS_TEXT];
    struct peer *peer; /* dialled for, or up with; NULL: whoever is there */
    uint64_t boot;     /* of the process at the other end, once it is up */
    uint32_t worker;   /* data links */
    unsigned next_address;
    uint64_t start_ns;    /* WAITING: when to dial */
    uint64_t begun_ns;    /* of the handshake */
    uint64_t deadline_ns; /* of the handshake, or of draining */
    uint64_t up_ns;       /* since when it is up */
    uint64_t heard_ns;    /* when bytes last came */
    uint64_t used_ns;     /* when it last carried something but pings */
    char *in;             /* the beginning of a frame */
    size_t in_n;
    struct outbuf out;
};

struct peer {
    struct cluster_id id;
    struct peer *dead_next;
    bool gone;
    bool placed; /* by transport_place; else it is known by its links only */
    bool named;  /* its address is no number, and has to be asked for */
    bool asking;
    char address[PEER_ADDRESS_MAX + 1]; /* where it is */
    struct address addresses[TRANSPORT_PEER_ADDRESSES];
    unsigned naddresses;
    unsigned in_use;       /* the address that was reached last */
    struct link *link;     /* that is up */
    struct link *dialing;  /* for control */
    unsigned nlinks;       /* that point here */
    struct outbuf waiting; /* frames for the link that is being dialled */
    unsigned nwaiting;     /* such frames */
    uint64_t retry_ns;
    uint32_t backoff_ms;
    bool refused;  /* the last attempt was */
    uint64_t boot; /* of the link that is up, or was last; 0: none yet */
    uint32_t version;
    char said_address[PEER_ADDRESS_MAX + 1];
    char ring_name[PEER_TEXT_MAX + 1];
};

struct transport_socket {
    struct transport *t;
    int fd; /* UDP, or -1 */
    sa_family_t family;
    struct event event;
    struct evconnlistener *listener; /* TCP, or NULL */
};

struct transport {
    struct transport_config cfg;
    const struct link_upcalls *up;
    struct psk *psk; /* NULL: plain */
    struct datagram *datagram;
    struct dns *dns;
    struct rand rand;
    struct transport_socket sockets[TRANSPORT_BIND_MAX];
    unsigned nsockets;
    uint16_t port;
    int spare; /* a descriptor to give up when there is none for an accepted link */
    bool listening;
    struct link *links; /* all, dead ones too */
    struct link *dirty; /* that have something to send in this round */
    struct peer *dead_peers;
    unsigned ndead, depth;
    unsigned ours, theirs; /* handshakes under way */
    struct idmap peers;
    char tries[TRANSPORT_TRIES_MAX][HOSTPORT_MAX + 1]; /* names that transport_try asked for */
    unsigned ntries;
    struct event timer, flush;
    uint64_t armed_ns; /* when the timer fires; UINT64_MAX: never */
    bool stopping;
    char *scratch;
    struct peer_arena arena;
    struct peer_counts counts; /* those that are in metrics */
    uint32_t links_open;       /* atomic */
    uint64_t metrics[TRANSPORT_METRIC_COUNT];
};

static inline uint64_t transport_state_now(const struct transport *t) {
    return clock_boot_ns(t->cfg.clock);
}
static inline void transport_state_bump(struct transport *t, enum transport_metric m, uint64_t n) {
    sync_bump(&t->metrics[m], n);
}

/* Around everything that may call an upcall, close a link or forget a node. */
void transport_state_enter(struct transport *t);
void transport_state_leave(struct transport *t);
/* transport_tick (transport.h) is due at this time. */
void transport_state_due(struct transport *t, uint64_t ns);
/* Passes what unpacking counted on to the metrics. */
void transport_state_count_unknown(struct transport *t);

#endif
