/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nodes - several nodes in one process that know of each other: a cluster whose view the test sets by hand. They share
 * a clock that stands still until the test moves it. Links between them are socket pairs; links to members that are no
 * node go to the test, which is the peer then.
 *
 * Owned by a test; one thread.
 */
#ifndef TAGCACHED_TESTS_NODES_H
#define TAGCACHED_TESTS_NODES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/view.h"
#include "cmd/cmd_config.h"
#include "node.h"

#define NODES_MAX 8
#define NODES_WISHES_MAX 64

struct nodes_node {
    struct nodes *all;
    struct node *node; /* NULL: no node, the test plays it */
    struct settings settings;
    char socket_path[100];
    unsigned next_worker; /* of its workers, gets the next link */
    struct view *view;    /* that it goes by */
    struct cover_cell cover;
    struct move *move; /* of its view, or of one before */
};

/* A link that a node wishes for, to a member that the test plays. */
struct nodes_wish {
    unsigned from, to, worker; /* nodes' indexes, the wishing node's worker */
    enum cmd_link_kind kind;
    struct cmd_wish *wish;
};

struct nodes {
    struct clock_manual clock;
    unsigned n;
    struct nodes_node node[NODES_MAX];
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t wished;
    struct nodes_wish wishes[NODES_WISHES_MAX];
    unsigned nwishes;
    uint64_t refused; /* bit i: links to node i fail; atomic */
    uint64_t dialled; /* links asked for, ever; atomic */
    uint64_t differs; /* calls of ring_differs; atomic */
};

/* n members, none of which is a node yet. NULL: no memory. */
struct nodes *nodes_new(unsigned n);
/* Ends all. */
void nodes_free(struct nodes *c);
/* Makes member i a node with these command-line options (blanks part them), which listens on a UNIX socket in `dir` if
 * the options name no listener. 0, or -1 with a message on stderr. */
int nodes_start(struct nodes *c, unsigned i, const char *dir, const char *options);
/* Ends node i alone. */
void nodes_stop(struct nodes *c, unsigned i);

/* Tells node i that member `only` owns all keys, by a ring of this version, and waits until all its workers know. */
void nodes_view_only(struct nodes *c, unsigned i, uint64_t version, unsigned only);
/* Tells node i that the members in `mask` own the keys, each named "127.0.0.1:<port + index>", by a ring of this
 * version; waits likewise. It follows the ring that the node had: what the node gains is fenced (ring_follow), unless
 * it had none. */
void nodes_view_ring(struct nodes *c, unsigned i, uint64_t version, uint64_t mask, unsigned port);

/* The same, where the ring of the members in `before` is what it follows (the node's own ring, with what it fences, if
 * that is of these members and of the version before); and what node i gains by it is moving there,
 * from donors whose state is `state` (move.h). The move is the node's own until the next call. */
struct move *nodes_view_move(struct nodes *c, unsigned i, uint64_t version, uint64_t before, uint64_t mask,
                             unsigned port, enum move_state state);
/* Says which purges node i knows: all up to this sequence of an origin 1. */
void nodes_cover(struct nodes *c, unsigned i, uint64_t sequence);

/* Waits for the next link that is wished for to a member that the test plays, and answers it: with a socket, whose
 * other end is returned, or (error < 0) without; then -1. *got: what was wished for; may be NULL. */
int nodes_accept(struct nodes *c, int error, struct nodes_wish *got);
/* Connects the test to node i as a peer: the socket. */
int nodes_dial(struct nodes *c, unsigned i, enum cmd_link_kind kind);
/* Waits until what the test has sent to node 0 has been read there, passed on, and answered. */
void nodes_settle(struct nodes *c);
/* The same, then moves the clock and ticks all nodes. */
void nodes_advance(struct nodes *c, uint64_t ms);
/* A client's connection to node i, which a worker of it has by now. */
int nodes_connect(struct nodes *c, unsigned i);
/* The same, speaking the binary protocol. */
int nodes_connect_binary(struct nodes *c, unsigned i);

#endif
