/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net_internal - what the files of this folder share: the net, its workers, listeners and connections.
 *
 * Threads: a struct conn and everything of a worker but `posts`, `room`, `nparked` and the metrics belong to the
 * worker's thread. The acceptor makes connections and hands them over with worker_post.
 */
#ifndef TAGCACHED_NET_NET_INTERNAL_H
#define TAGCACHED_NET_NET_INTERNAL_H

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/metric.h"
#include "base/sync.h"
#include "net/net.h"

#define NET_READ_MAX 65536                   /* bytes asked of the kernel at once */
#define NET_KEPT_MAX 16384                   /* kept input up to this is moved in front of the next read's */
#define NET_OUT_BYTES (256 * 1024)           /* a worker's output buffer */
#define NET_OUT_FULL (NET_OUT_BYTES - 65536) /* output from which a handler should stop */
#define NET_IOV_MAX 1024                     /* spans of one gathered write */
#define NET_IOV_FULL (NET_IOV_MAX - 64)
#define NET_COPY_MAX 65536 /* unsent rests of references are copied and the references released, up to this in all */
#define NET_PIECE_MIN 4096 /* bytes read, or written, at once when connections hold much */
#define NET_SHARE_MIN NET_OUT_BYTES

#define NET_EVENTS 256 /* events taken from the kernel at once */

/* ------------------------------------------------------------------ what a loop watches */

enum {
    NET_READ = EPOLLIN,
    NET_WRITE = EPOLLOUT,
    NET_LAST = EPOLLRDHUP, /* the far side has sent all it will, or the connection is broken */
};

/* A descriptor that a worker's loop watches; a member of what it belongs to. */
struct net_source {
    void (*ready)(struct net_source *s, uint32_t what); /* those of `armed` that it is ready for, and NET_LAST */
    int fd;
    uint16_t armed; /* what the kernel is asked for; 0: it does not know the descriptor */
    bool edge;      /* asked for NET_READ alone: it is told once, when bytes or the end have come */
};

/* ------------------------------------------------------------------ connections */

enum conn_flag {
    CONN_CLOSING = 1 << 0,  /* no more input; closes once the output has drained */
    CONN_DEAD = 1 << 1,     /* the socket failed: output is discarded */
    CONN_PARKED = 1 << 2,   /* input waits for conn_resume */
    CONN_PRODUCER = 1 << 3, /* conn_set_producer is on */
    CONN_WANTED = 1 << 4,   /* ...and produce should be called */
    CONN_EOF = 1 << 5,      /* the far side has sent all it will */
    CONN_FEED = 1 << 6,     /* input must be called again with what is kept, even if that is nothing */
    CONN_AGAIN = 1 << 7,    /* on the worker's list of connections to go on with */
    CONN_BODY = 1 << 8,     /* conn_set_body is on */
    CONN_OPEN = 1 << 9,     /* handler->open has said yes */
    CONN_UNIX = 1 << 10,
    CONN_MORE = 1 << 11,     /* bytes may wait of which the kernel will not tell (again) */
    CONN_TLS_WANT = 1 << 12, /* TLS: reading needs the socket to become writable */
    CONN_TLS_UP = 1 << 13,   /* TLS: the handshake is done */
    CONN_DRAIN = 1 << 14,    /* close when no request is under way */
    CONN_TLS = 1 << 15,
    CONN_TLS_BROKEN = 1 << 16, /* no good-bye can be said */
    CONN_LAST = 1 << 17,       /* NET_LAST was told: reading goes on until the end is met */
    CONN_HOLDS = 1 << 18,      /* on the worker's list of connections that hold something */
    CONN_MOVED = 1 << 19,      /* and bytes have come or gone since it was put there */
    CONN_WAITS = 1 << 20,      /* parked, but not for room: not on the worker's list of those */
    CONN_IDLED = 1 << 21,      /* closed for having been idle */
};

/* Flags with which a connection cannot take the short way through conn_ready. */
#define CONN_SLOW (0x3ffffu & ~(CONN_OPEN | CONN_UNIX))

/* A piece of output kept with a connection: bytes of its own, or a reference. */
struct conn_chunk {
    struct conn_chunk *next;
    const char *p; /* data, or somebody else's memory */
    size_t off, len;
    size_t cap; /* of data; 0 for a reference */
    uint64_t token;
    char data[];
};

/* Everything that a plain request looks at comes first, in one cache line. */
struct conn {
    struct conn_head head;
    struct net_source source;
    struct net_worker *worker;
    struct conn_chunk *out_head, *out_tail;
    struct ssl_st *ssl;
    uint32_t flags;  /* enum conn_flag */
    uint32_t in_len; /* bytes of unfinished input */
    uint32_t last_s; /* when the last byte came, seconds of the worker's time */
    uint32_t in_off, in_cap;
    uint32_t held;      /* bytes that the handler keeps (conn_hold) */
    uint16_t family;    /* AF_INET, AF_INET6, AF_UNIX */
    in_port_t port;     /* the far side, network order */
    char *in;           /* unfinished input: in[in_off .. in_off + in_len) */
    size_t out_pending; /* bytes in the chunks */
    size_t out_own;     /* of them, room in chunks that are no references */
    const struct net_listener *listener;
    uint64_t id;
    uint32_t tls_piece; /* largest piece for SSL_write */
    char *peer;         /* made when first asked for */
    TAILQ_ENTRY(conn) all, again, parked, holds;
    struct in6_addr addr;
    uint64_t session[]; /* the handler's */
};

TAILQ_HEAD(conn_list, conn);

/* ------------------------------------------------------------------ workers */

struct net_post {
    struct net_post *next;
    void (*fn)(struct net_worker *w, void *arg);
    void *arg;
};

struct net_ref {
    uint64_t token;
    uint32_t iov; /* its place in the array */
};

/* The output being built: bytes in buf, and once there is a reference an array of spans. */
struct net_out {
    struct conn_room room; /* in buf; nobody's: empty */
    char *buf;             /* NET_OUT_BYTES */
    char *start;           /* not in iov yet from here on */
    size_t full;           /* bytes from which a handler should stop */
    size_t ref_bytes;
    unsigned niov, nref;
    struct iovec iov[NET_IOV_MAX];
    struct net_ref refs[NET_IOV_MAX];
};

struct net_worker {
    struct net *net;
    void *context;
    const struct net_handler *handler;
    char *in;             /* NET_KEPT_MAX + NET_READ_MAX */
    size_t read_max;      /* bytes asked of the kernel at once, but for bodies that go elsewhere */
    struct conn *current; /* whose upcalls run */
    struct net_out *out;
    struct conn_list conns, again, parked;
    struct conn_list holds; /* those that hold something, by when bytes last came or went */
    uint64_t share;         /* bytes that they may hold together */
    uint32_t now_s;         /* seconds of boot time, as of the last tick */
    uint64_t room_seen;     /* `room` as the present upcalls began */
    uint64_t buffer_bytes;  /* atomic gauge */
    uint64_t held, most;    /* bytes in connections and their buffers: now, the most in this second */
    uint64_t needed;        /* the most since memory went back to the system */
    bool stop;
    bool draining;
    unsigned index;
    struct net_source wake, tick; /* an eventfd, a timerfd */
    int epoll_fd;
    unsigned nevents, next_event; /* of events[]: how many there are, which comes next */
    struct epoll_event events[NET_EVENTS];
    pthread_t thread;
    bool started;
    char *scratch; /* CONN_RESERVE_MAX bytes for output nobody will get */
    uint64_t metrics[NET_METRICS];

    /* Written by other threads. */
    struct net_post *posts __attribute__((aligned(SYNC_CACHE_LINE)));
    struct sync_spin room_lock;
    uint64_t room;    /* times somebody called worker_resume_all */
    uint32_t nparked; /* connections parked */
    uint32_t resume;  /* the parked ones shall go on */
} __attribute__((aligned(SYNC_CACHE_LINE)));

/* ------------------------------------------------------------------ listeners and the net */

struct net_listener {
    int fd; /* -1 once it is closed; atomic */
    unsigned port;
    int family;
    enum net_tls_mode tls;
    char tag[33];
    char *path;  /* of a UNIX socket */
    bool unlink; /* we made it */
};

struct net_tls;

struct net {
    struct net_config cfg;
    struct net_worker *workers;
    struct net_listener *listeners;
    unsigned nlisteners;
    struct net_tls *tls;

    pthread_t acceptor;
    bool acceptor_started;
    int accept_fd;                 /* eventfd: wakes the acceptor */
    unsigned next_worker;          /* the acceptor's */
    uint32_t stopping;             /* atomic: the acceptor should end */
    uint32_t accepting;            /* atomic */
    uint32_t trim;                 /* atomic: the acceptor should give free memory back */
    uint32_t nconns;               /* atomic: connections in memory */
    uint64_t metrics[NET_METRICS]; /* the acceptor's row */
    uint64_t base[NET_METRICS];    /* sums at the last reset; atomic */

    pthread_mutex_t lock;     /* for changes of nconns and accepting; per connection, not per request */
    pthread_cond_t none_left; /* the last connection has gone */
};

/* A connection has come into memory, has left it (net.c). Any thread. */
void net_conn_come(struct net *n);
void net_conn_gone(struct net *n);

/* ------------------------------------------------------------------ listener.c */

int listener_open_all(struct net *n, char *err, size_t err_size);
void listener_close_all(struct net *n);
/* Makes the eventfd with which listener_wake wakes the acceptor; or -errno. */
int listener_wake_new(void);
void listener_wake(struct net *n);
/* Has the acceptor, which has the time, give free memory back to the system. Any thread. */
void listener_trim(struct net *n);
/* The acceptor's thread. */
void *listener_run(void *net);

/* ------------------------------------------------------------------ worker.c */

int worker_init(struct net_worker *w, struct net *n, unsigned index);
void worker_fini(struct net_worker *w);
void *worker_run(void *worker);
/* Has the connection gone on with soon, after the others had their turn. */
void worker_again(struct net_worker *w, struct conn *c);
/* Runs what was posted. The worker's thread, or the last one to know it. */
void worker_run_posts(struct net_worker *w);
void worker_wake(struct net_worker *w);

/* ------------------------------------------------------------------ poll.c */

/* Asks the kernel for exactly these events of s, or for none. 0 or -errno. */
int poll_arm(struct net_worker *w, struct net_source *s, uint32_t what);
/* The last that is heard of s. */
void poll_forget(struct net_worker *w, struct net_source *s);
/* Waits until something is ready (or only looks whether something is) and calls `ready` of all that is. 0 or -errno. */
int poll_round(struct net_worker *w, bool wait);

/* ------------------------------------------------------------------ conn.c */

/* Makes a connection of an accepted socket, which it owns from here on. NULL: no memory (the socket stays open). */
struct conn *conn_new(struct net_worker *w, const struct net_listener *l, int fd, const struct sockaddr_storage *peer);
/* On its worker: begins to serve. */
void conn_begin(struct conn *c);
/* Goes on with a connection from the list. */
void conn_go_on(struct conn *c);
/* Ends it at once. Not from within an upcall. */
void conn_destroy(struct conn *c);
/* Gives memory back that never reached its worker. */
void conn_discard(struct conn *c);
/* One tick: closes it if idle for too long. */
void conn_tick(struct conn *c);
/* Closes it if no request is under way, else marks it so that it closes then. */
void conn_drain(struct conn *c);
/* Asks the kernel for exactly these events. */
void conn_arm(struct conn *c, uint32_t what);

/* ------------------------------------------------------------------ conn_hold.c */

/* Keeps p[0..n), the input not consumed, which lies in the worker's buffer or with the connection already; n 0 gives
 * the memory back. False: there is none. */
bool conn_keep(struct conn *c, const char *p, size_t n);
/* Makes room for a read behind the input that is kept. False: no memory. */
bool conn_keep_room(struct conn *c);
/* Notes whether it holds something. When all hold more than they may, those whose bytes have not moved for longest end,
 * or this one: it is CONN_DEAD then. */
void conn_account(struct conn *c);
/* One tick of a connection that holds something: bytes of a body that have not come for too long are given up. */
void conn_body_tick(struct conn *c);

/* ------------------------------------------------------------------ conn_out.c */

/* Bytes of the output being built. */
static inline size_t out_bytes(const struct net_out *o) {
    return (size_t)(o->room.next - o->buf) + o->ref_bytes;
}
void out_reset(struct net_worker *w);
/* Sets how much is read and written at once by what connections hold. */
void out_adapt(struct net_worker *w);

/* Sends what the worker's buffer holds for its owner; what the socket does not take moves to the connection. */
void conn_flush_out(struct net_worker *w);
/* Sends what is kept with the connection, as much as the socket takes. */
void conn_send_kept(struct conn *c);
/* Gives up all output, releasing references. */
void conn_drop_out(struct conn *c);

/* ------------------------------------------------------------------ tls.c */

int tls_new(const struct net_tls_config *cfg, struct net_tls **out, char *err, size_t err_size);
void tls_free(struct net_tls *t);
bool tls_reload(struct net_tls *t, char *err, size_t err_size);
uint64_t tls_loaded_at(const struct net_tls *t);
/* A TLS state for an accepted socket; NULL when it cannot be had. */
struct ssl_st *tls_accept(struct net_tls *t, enum net_tls_mode mode, int fd);
/* Bytes received (> 0), 0 at the end, -EAGAIN, or another -errno. Sets CONN_MORE and CONN_TLS_WANT. */
ssize_t tls_read(struct conn *c, char *p, size_t n);
/* Bytes taken (> 0), -EAGAIN, or another -errno. */
ssize_t tls_write(struct conn *c, const char *p, size_t n);
unsigned tls_piece(const struct net_tls *t);
/* Says good-bye as far as the socket lets it, and frees. */
void tls_close(struct conn *c);

/* The calls of every request go to the kernel directly. They return -errno. The C library's are points where a thread
 * may be cancelled, 50 instructions each, and its syscall() takes 20. */
static inline ssize_t net_call(long number, int fd, const void *p, size_t n, int flags) {
#if defined(__x86_64__) && defined(__LP64__)
    long result = number;
    register long four __asm__("r10") = flags;
    register long five __asm__("r8") = 0;
    register long six __asm__("r9") = 0;
    __asm__ __volatile__("syscall"
                         : "+a"(result)
                         : "D"((long)fd), "S"(p), "d"(n), "r"(four), "r"(five), "r"(six)
                         : "rcx", "r11", "memory");
    return result;
#else
    long result = syscall(number, fd, p, n, flags, NULL, 0);
    return likely(result >= 0) ? result : -errno;
#endif
}

static inline ssize_t net_recv(int fd, void *p, size_t n) {
    return net_call(SYS_recvfrom, fd, p, n, 0);
}
static inline ssize_t net_send(int fd, const void *p, size_t n) {
    return net_call(SYS_sendto, fd, p, n, MSG_NOSIGNAL);
}
static inline ssize_t net_sendmsg(int fd, const struct msghdr *m) {
    return net_call(SYS_sendmsg, fd, m, MSG_NOSIGNAL, 0);
}

static inline void net_bump(struct net_worker *w, enum net_metric m, uint64_t v) {
    sync_bump(&w->metrics[m], v);
}

/* Accounts memory of connections, */
static inline void net_hold(struct net_worker *w, int64_t bytes) {
    w->held += (uint64_t)bytes;
    if (w->held > w->most) w->most = w->held;
}
/* and that of their unfinished input and unsent output, which is told of too. */
static inline void net_hold_buffer(struct net_worker *w, int64_t bytes) {
    sync_store(&w->buffer_bytes, sync_load(&w->buffer_bytes) + (uint64_t)bytes);
    net_hold(w, bytes);
    out_adapt(w);
}

#endif
