/* SPDX-License-Identifier: BSD-3-Clause
 *
 * net_lab - a net on a bench: a handler that knows a few words and counts everything it is told, a clock that the test
 * moves, and clients that talk to it over real sockets. Waits for what happens, never for time.
 *
 * The clients belong to the test's own thread. What does not come in PATIENCE_MS fails the test.
 */
#ifndef TAGCACHED_TESTS_NET_LAB_H
#define TAGCACHED_TESTS_NET_LAB_H

#include "base/sync.h"
#include "net/net.h"

#define PATIENCE_MS 20000
#define PATTERN_BYTES (8u << 20)

struct net_lab {
    struct net *net;
    struct clock_manual clock;
    uint64_t refs, releases, opened, closed; /* atomic */
    uint64_t parked, resumed, fed, produced; /* atomic */
    uint64_t quiet;                          /* atomic: requests that have no answer */
    uint64_t received;                       /* atomic: bytes of bodies that went where they belong at once */
    uint64_t pending_max;                    /* atomic */
    uint64_t clock_reads;                    /* atomic: times that somebody has read the clock */
    uint64_t keeping;                        /* atomic: workers that keep something open since they were shown input */
    struct conn *last;                       /* the connection that last parked or watched */
    struct net_post post;                    /* for what a test posts to a worker */
};

/* What the handler keeps of a connection. */
struct session {
    uint64_t body, body_left, sum;
    char *bytes;
    uint64_t produce_left;
    bool waiting, watching;
};

extern char pattern[PATTERN_BYTES]; /* text, the same in every lab */
/* Line by line:  echo TEXT | big N | ref N | body N | park | wait | hold N | quiet | close | produce N | watch */
extern const struct net_handler net_lab_handler;

/* A net of one worker that listens on a port of its own, where the settings do not say otherwise; started. */
struct net_lab *net_lab_new_config(struct net_config cfg);
struct net_lab *net_lab_new(void);
/* Ends it; everything that was opened must have been closed, every reference released once. */
void net_lab_free(struct net_lab *l);
/* To be posted: resumes the connection that last parked, or waits. */
void net_lab_resume_last(struct net_worker *w, void *lab);
/* Answers, as the handler does. */
void reply(struct conn *c, const char *text);

/* ---- clients */

/* A new connection: its descriptor. */
int dial(struct net_lab *l);
int dial_port(unsigned port);
void put(int fd, const char *p, size_t n);
void say(int fd, const char *text);
/* Reads exactly n bytes. */
void take(int fd, char *p, size_t n);
/* What comes next must be this: a text, the beginning of the pattern, the end of the connection (which is closed). */
void hear(int fd, const char *text);
void hear_pattern(int fd, size_t n);
void hear_end(int fd);

/* ---- waiting */

/* Until a worker has run everything that was posted to it before. */
void await_worker(struct net_lab *l, unsigned i);
/* Until a counter has come to a value. */
void await(uint64_t *counter, uint64_t value);
/* Until this many bytes have been read, ever. */
void await_read(struct net_lab *l, uint64_t bytes);

#endif
