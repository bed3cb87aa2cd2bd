/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handoff_lab - hand-off machines of several nodes on one clock, with a simple store each, and links that carry packed
 * messages. A test says what happens when.
 */
#ifndef TAGCACHED_TESTS_HANDOFF_LAB_H
#define TAGCACHED_TESTS_HANDOFF_LAB_H

#include "cluster/handoff.h"

#define LAB_NODES 3
#define LAB_RING 7
#define LAB_MS UINT64_C(1000000)

struct lab_item {
    char key[32];
    uint64_t version, size;
    unsigned freq;
    uint32_t to; /* the node that owns it now */
    bool dropped;
};

struct lab_node {
    struct handoff *h;
    struct lab *lab;
    uint32_t number; /* from 1 */
    struct lab_item *items;
    unsigned nitems;
    struct cover cover;
    bool full, link_down[LAB_NODES + 1];
    enum move_state state[LAB_NODES + 1];
    enum handoff_end ended[2][LAB_NODES + 1]; /* [gaining]; HANDOFF_ENDS: not yet */
    uint64_t newer;
    unsigned dialled; /* again */
    /* What import answers, unless the key is there: */
    const char *written; /* this key was written here */
    uint64_t purged;     /* the number of a purge of everything */
    unsigned no_room;    /* so often there is no room */
    uint64_t asked_ns;   /* when the last item that was imported had been asked for */
    char value_key[32];  /* that comes in parts, so far: */
    uint64_t value_n;
    unsigned asked, most_open; /* NEXTs that were sent; most of them at a time without an answer */
    uint64_t chunk_bytes, most_bytes;
    unsigned calls, most_calls; /* of its store to read, import or drop an item, or to scan: in a step */
};

struct lab_message {
    struct lab_message *next;
    uint32_t from, to;
    bool gaining; /* as the receiver of the message sees the transfer */
    size_t n;
    uint8_t bytes[];
};

struct lab {
    uint64_t now;
    struct lab_node node[LAB_NODES + 1];
    struct lab_message *first, **tail;
    unsigned open[LAB_NODES + 1]; /* by receiver: NEXTs without an answer */
};

/* Nodes 1..LAB_NODES without items, all covers equal. */
void lab_start(struct lab *l, uint64_t rate);
void lab_stop(struct lab *l);
/* Gives a node an item that now is `to`'s, and was its own. */
void lab_item(struct lab *l, uint32_t node, const char *key, uint64_t size, unsigned freq, uint32_t to);
/* The item of a node, or NULL. */
const struct lab_item *lab_find(const struct lab *l, uint32_t node, const char *key);
/* The node hears that the ring has become LAB_RING, by which `to` gains from `from`. */
void lab_change(struct lab *l, uint32_t node, uint32_t from, uint32_t to);
/* Its workers go by it. */
void lab_settle(struct lab *l, uint32_t node);
/* Both, on both sides, and the link is up: BEGIN is on its way. */
void lab_begin(struct lab *l, uint32_t from, uint32_t to);
/* Delivers all messages, and what they cause. */
void lab_deliver(struct lab *l);
/* Lets time pass; all timers run and all messages arrive. */
void lab_run(struct lab *l, uint64_t ms);
/* Sends a node a message as if from another. */
void lab_inject(struct lab *l, uint32_t node, uint32_t from, bool gaining, const struct peer_handoff *m);

#endif
