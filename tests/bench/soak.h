/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soak - the parts of soakload: load of every kind for as long as wanted, in which each reply is checked against what a
 * correct cache may answer.
 *
 * Every key belongs to one load thread, which alone writes it and has at most one request about it under way. So the
 * owner knows the one version that may come back, and when none may: after a delete, after its time to live, after a
 * purge that was answered before the read was sent and asked for after the set was answered. A miss is always right (it
 * is a cache). The other threads read it too and accept any version between the last answered and the last sent set.
 * A value's size and bytes follow from key and version; the version travels in the client flags.
 *
 *   soak_ops.c   what is asked, and what may be answered      soak_run.c   sockets, the event loop
 *   soak_purge.c   the thread that purges                     soakload.c   options, reports
 */
#ifndef TAGCACHED_BENCH_SOAK_H
#define TAGCACHED_BENCH_SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"
#include "value.h"

#define SOAK_TAGS 256
#define SOAK_TAGS_EACH 3
#define SOAK_BATCH 16
#define SOAK_MULTI 8 /* keys of a multi-get */
#define SOAK_LINE_MAX 1024
#define SOAK_SOFT_TTL_S 2           /* T of soft purges */
#define SOAK_SLACK_NS 2000000000ull /* expiry counts whole seconds */
#define SOAK_LOST_NS 3000000000ull  /* a request on a dead connection may still be carried out */

enum soak_state {
    SOAK_ABSENT,    /* must miss */
    SOAK_PRESENT,   /* `version` may be there, no other */
    SOAK_UNCERTAIN, /* a request about it was lost: any version from `version` to `used` */
};

struct soak_key {
    uint32_t version; /* of the last set that was answered */
    uint32_t used;    /* highest version handed out; some were never sent whole */
    uint8_t state;
    bool busy;
    bool touched; /* since it was set: a soft purge's deadline may have been moved */
    uint8_t ntags;
    uint16_t tags[SOAK_TAGS_EACH];
    uint64_t acked_ns;
    uint64_t expires_ns;          /* after this it must be gone; 0: never */
    _Atomic uint32_t acked, sent; /* for the other threads */
};

enum soak_kind { SOAK_GET, SOAK_MG, SOAK_MULTIGET, SOAK_PEEK, SOAK_SET, SOAK_DELETE, SOAK_TOUCH, SOAK_KINDS };

struct soak_op {
    enum soak_kind kind;
    unsigned owner;    /* thread whose key it is */
    size_t begin, end; /* its bytes in conn->out */
    unsigned nkeys;
    uint32_t key[SOAK_MULTI];
    const char *must_miss[SOAK_MULTI]; /* why none may come back, or NULL */
    uint32_t least;                    /* SOAK_PEEK: lowest version that may come back */
    bool meta;
    uint32_t version, ttl; /* SOAK_SET, SOAK_TOUCH */
    uint8_t ntags;
    uint16_t tags[SOAK_TAGS_EACH];
};

struct soak_conn {
    int fd;
    struct soak_op op[SOAK_BATCH];
    unsigned nops, cur;
    char *out;
    size_t out_len, out_off, out_cap;
    uint64_t sent_ns;
    size_t bytes; /* values sent or received by this batch */
    size_t cut;   /* this batch ends here, and the connection with it; 0: it does not */
    bool want_write, slow;
    uint64_t read_at_ns; /* slow: not before */
    bool in_value;
    size_t value_left, value_pos, value_len;
    uint64_t value_hash;
    bool value_check;
    unsigned value_key; /* which of the op's keys */
    char line[SOAK_LINE_MAX];
    size_t line_len;
};

struct soak_counts {
    uint64_t ops[SOAK_KINDS], hits, misses, refused, mismatches, unexpected, closed, reconnects, aborted, bytes;
};

struct soak_lost {
    uint32_t key;
    uint64_t until_ns;
};

struct soak_thread {
    struct soak *soak;
    unsigned id;
    pthread_t thread;
    int epoll;
    struct soak_key *keys;
    struct soak_conn *conns;
    char *buf;
    uint64_t rng;
    unsigned active, slow;  /* connections with a batch under way; of those, not read yet on purpose */
    struct soak_lost *lost; /* ring of keys that are left alone for a while */
    uint32_t lost_head, lost_tail;
    pthread_mutex_t lock; /* of counts and latency: the reporter takes and clears them */
    struct soak_counts counts;
    struct hist latency;
};

/* When purges that were answered had been asked for, by what they purge; 0: never. */
struct soak_purges {
    _Atomic uint64_t hard[SOAK_TAGS];
    _Atomic uint64_t both[SOAK_TAGS / 2]; /* of tags 2i and 2i+1 together */
    _Atomic uint64_t soft[SOAK_TAGS];     /* softly, and what they marked must be gone by now */
    _Atomic uint64_t all;
    _Atomic uint64_t done, refused;
    struct hist latency;
};

struct soak {
    const char *host;
    int port;
    char run[16]; /* how this run's keys begin, so that it meets nobody else's */
    unsigned threads, conns;
    uint32_t keys; /* a thread */
    double duration_s, interval_s, purge_rate;
    uint32_t value_max;
    uint64_t seed;
    bool tags;
    int pid;
    struct value_model values;
    struct soak_thread *thread;
    struct soak_purges purges;
    pthread_t purger;
    _Atomic bool stop;
};

/* Prints "soakload: ..." and exits with 2. */
void soak_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A connected socket, TCP_NODELAY. */
int soak_connect(const struct soak *s);

/* soak_ops.c: fills c->op and c->out with a batch. */
void soak_build(struct soak_thread *t, struct soak_conn *c);
/* Checks received bytes. */
void soak_reply(struct soak_thread *t, struct soak_conn *c, const char *p, size_t n);
/* The connection died when `sent` bytes of its batch were on their way: what they ask for may or may not happen, soon.
 */
void soak_lose(struct soak_thread *t, struct soak_conn *c, size_t sent);

/* soak_run.c: a load thread's life. */
void *soak_run(void *thread);
/* soak_purge.c: the purging thread's life. */
void *soak_purge(void *soak);

#endif
