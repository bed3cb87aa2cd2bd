/* SPDX-License-Identifier: BSD-3-Clause
 *
 * link_lab - several nodes' transports in one process, on one event loop, with a clock that the test moves.
 */
#ifndef TAGCACHED_TESTS_LINK_LAB_H
#define TAGCACHED_TESTS_LINK_LAB_H

#include <event2/event.h>

#include "base/clock.h"
#include "cluster/transport.h"

#define LAB_KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define LAB_KEY_2 "//////////////////////////////////////////8="
#define LAB_HUGE (60 * 1024)

/* What a node was told, and what it is. */
struct node {
    struct transport *t;
    struct peer_hello hello;
    char keys[200];
    bool plain;
    const char *host; /* to bind; NULL: 127.0.0.1 */
    unsigned port;    /* 0: any */
    dns_resolver *resolver;
    bool refuse_all;      /* by on_hello */
    struct node *forgets; /* on_peer_up forgets this one */
    unsigned ups, downs, unreachable, controls, datagrams, refused, refused_by_them;
    struct cluster_id up, down; /* the last ones */
    uint64_t up_boot, down_boot;
    uint32_t up_version;
    uint64_t pong; /* the last one's number */
    struct peer_refusal why;
    char said[64];   /* a letter for each control message */
    unsigned nlinks; /* data links, given or not */
    struct transport_data_link data[4];
};

struct lab {
    struct event_base *base;
    struct clock_manual clock;
    struct node n[4];
    unsigned nnodes;
};
extern struct lab lab;

/* cmocka's set-up and tear-down: an empty lab; closes all. */
int lab_set_up(void **state);
int lab_tear_down(void **state);
/* Prepares the next node: id and boot from its place, name and address made up, one key. */
struct node *lab_node(void);
/* Starts it, on loopback. */
void lab_start(struct node *n);
void lab_stop(struct node *n);
/* Two nodes that are started and know where the other is. */
void lab_pair(struct node **a, struct node **b);
/* a knows where b is. */
void lab_place(struct node *a, const struct node *b);
/* Runs the loop until the condition holds. */
#define LAB_UNTIL(condition)                                                                                           \
    while (!(condition)) event_base_loop(lab.base, EVLOOP_ONCE)
/* Runs what is ready, without waiting. */
void lab_settle(void);
/* Moves the clock and does what is due. */
void lab_pass_ms(uint64_t ms);
/* Sends a control message of n bytes or more that the other side notes as this letter: a, b or c. */
bool lab_say(struct node *from, const struct node *to, char letter, size_t n);
/* Packs it: bytes used of `to`. */
size_t lab_message(char letter, size_t n, uint8_t *to, size_t size);
uint64_t lab_count(const struct node *n, enum transport_metric m);
#define LAB_COUNT(node, name) lab_count(node, TRANSPORT_METRIC_##name)

/* A socket that is connected to a node, for saying what no node would. */
int lab_connect(const struct node *n);

#endif
