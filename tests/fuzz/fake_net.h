/* SPDX-License-Identifier: BSD-3-Clause
 *
 * fake_net - connections without sockets: what conn.h and worker.h promise, on memory. For fuzzers and unit tests of
 * the commands; linked instead of server/net.
 *
 * One thread. Every run of input is shown in a block of its own size, so that a read beyond it is an address
 * sanitizer's finding.
 */
#ifndef TAGCACHED_TESTS_FAKE_NET_H
#define TAGCACHED_TESTS_FAKE_NET_H

#include "cmd/cmd.h"

/* A node of one worker: store, commands, and a clock that stands still. */
struct fake_node {
    struct clock_manual clock;
    struct store *store;
    struct cmd *cmd;
    struct net_worker *worker;
    unsigned shutdowns;
    bool held;      /* the store gets no maintenance */
    bool one_round; /* all that is shown is shown in one round of the worker's loop, which has not ended */
};

/* Options: fields of cmd_config and store_config that matter to a test. */
struct fake_options {
    uint64_t memory, item_size_max; /* 0: 8 MiB, 1 MiB less one */
    const char *key_tags;           /* NULL: "|#|"; "": off */
    const char *auth_file;
    bool sasl;
    char prefix_delimiter;
    bool no_evict, no_flush;
    unsigned requests_per_event; /* -R; 0: yields are not counted */
    struct log *log;             /* NULL: none */
};

struct fake_node *fake_node_new(const struct fake_options *o);
void fake_node_free(struct fake_node *n);

struct conn *fake_open(struct fake_node *n);
/* Bytes arrive: what was not consumed before is shown again in front of them. Runs maintenance, posts and resumption
 * until nothing moves. */
void fake_feed(struct conn *c, const void *p, size_t n);
/* The same without bytes: what would happen by itself happens. */
void fake_settle(struct conn *c);
/* All output so far. */
const char *fake_output(const struct conn *c, size_t *n);
void fake_clear(struct conn *c);
bool fake_closed(const struct conn *c);
/* Values handed over without a copy and not released yet are released now; the most that were held at once. */
unsigned fake_refs(const struct conn *c);
void fake_close(struct conn *c);

#endif
