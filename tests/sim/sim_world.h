/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the files of the simulator share: sim_core.c has time, nodes and processes, sim_net.c paths and datagrams,
 * sim_stream.c streams. Nobody else includes this.
 */
#ifndef TAGCACHED_TESTS_SIM_SIM_WORLD_H
#define TAGCACHED_TESTS_SIM_SIM_WORLD_H

#include "base/rand.h"
#include "tests/sim/sim.h"

/* Bytes on their way. */
struct sim_message {
    struct sim_message *next;
    uint32_t bytes;
    uint32_t from;          /* node; of what comes out of a stream: the end (0 or 1) that it is for */
    uint64_t stream;        /* what waits for a paused process: 0 = a datagram */
    uint64_t blocked_since; /* of a stream's head: since when its path is blocked; 0 = it is not */
    uint8_t what; /* of a stream: enum stream_item; of what waits for a paused process: enum sim_stream_event */
    char data[];
};

struct sim_queue {
    struct sim_message *head, *last; /* last: void while there is no head */
};

enum sim_event_kind { SIM_EVENT_TIMER, SIM_EVENT_DATAGRAM, SIM_EVENT_STREAM, SIM_EVENT_CALL };

struct sim_event {
    uint64_t at; /* true time; equal times in the order of `order` */
    uint64_t order;
    enum sim_event_kind kind;
    uint32_t node; /* of timers and datagrams; of streams: the direction */
    union {
        uint64_t number; /* timer: which one and of which run; stream: which one */
        struct sim_message *message;
        struct sim_call *call;
    };
};

struct sim_call {
    void (*fn)(struct sim *s, void *arg, uint64_t number);
    void *arg;
    uint64_t number;
};

enum sim_node_state { SIM_NODE_DOWN, SIM_NODE_DARK, SIM_NODE_UP, SIM_NODE_PAUSED };

struct sim_timer {
    uint64_t local;     /* when the process wants it; UINT64_MAX: not */
    uint64_t scheduled; /* true time of the event that is in the heap for it; UINT64_MAX: none */
};

struct sim_node {
    enum sim_node_state state;
    uint32_t run; /* counts processes, so that what was meant for the last one does not reach the next */
    const struct sim_process *calls;
    void *process;
    uint64_t offset;
    int32_t ppm;
    uint32_t group;
    struct sim_timer timer[SIM_TIMERS];
    struct sim_queue inbox; /* while it is paused */
    size_t inbox_bytes;     /* of datagrams in it */
    bool has_path;
    struct sim_path path;
    struct sim_counts counts;
};

enum sim_end {
    SIM_END_NEW,     /* the dial has not arrived */
    SIM_END_WAITING, /* the kernel has accepted it, the process has not been told */
    SIM_END_OPEN,
    SIM_END_CLOSED,
};

struct sim_stream {
    uint64_t number; /* 0: free */
    uint32_t node[2], run[2];
    enum sim_end end[2];
    struct sim_queue queue[2]; /* [0]: from node[0] to node[1] */
    bool scheduled[2];         /* an event for the head is in the heap */
    uint32_t next_free;
};

struct sim {
    struct rand rand;
    uint64_t now, order, digest;
    bool stopped, keeps_digest;
    struct sim_event *heap;
    size_t nheap, heap_room;
    struct sim_node *nodes;
    unsigned nnodes;
    size_t nodes_room;
    struct sim_path path;
    uint64_t *blocked; /* SIM_NODES_MAX bits for each of the first nblocked nodes */
    unsigned nblocked;
    struct sim_stream *streams;
    uint32_t nstreams, streams_room, free_stream; /* free_stream: 1 + index, 0 = none */
    uint64_t streams_made, stream_timeout;
    struct sim_counts counts;
    size_t in_flight, in_flight_max;
    FILE *trace;
    uint64_t trace_from;
};

void *sim_alloc(size_t n);
void sim_queue_put(struct sim_queue *q, struct sim_message *m);
struct sim_message *sim_queue_get(struct sim_queue *q); /* NULL: empty */

/* sim_core.c: events; messages; what happened. */
void sim_push(struct sim *s, uint64_t at, enum sim_event_kind kind, uint32_t node, uint64_t number);
void sim_push_message(struct sim *s, uint64_t at, uint32_t node, struct sim_message *m);
struct sim_message *sim_message_new(struct sim *s, unsigned from, const void *bytes, size_t n);
void sim_message_free(struct sim *s, struct sim_message *m);
void sim_drop_queue(struct sim *s, struct sim_queue *q);
void sim_saw(struct sim *s, const char *what, unsigned node, unsigned peer, const void *bytes, size_t n);
/* sim_net.c */
void sim_datagram_arrives(struct sim *s, unsigned node, struct sim_message *m);
void sim_datagram_hand(struct sim *s, unsigned node, struct sim_message *m);
uint64_t sim_path_delay(struct sim *s, unsigned from, unsigned to);
bool sim_path_loses(struct sim *s, unsigned from, unsigned to);
/* sim_stream.c */
void sim_stream_step(struct sim *s, uint64_t stream, unsigned direction);
void sim_stream_hand(struct sim *s, unsigned node, struct sim_message *m);
void sim_stream_crash(struct sim *s, unsigned node, bool told);
void sim_stream_free_all(struct sim *s);

#endif
