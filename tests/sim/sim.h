/* SPDX-License-Identifier: BSD-3-Clause
 *
 * sim - one process that runs a whole cluster of pure machines: virtual time, clocks that go wrong, a network that
 * loses, delays, repeats and reorders, links that break, nodes that stop, die and come back. Everything that happens
 * follows from the seed, so a failure is repeated by its seed.
 *
 * A node is a place with an address (its index), a clock and room for one process. A process is an opaque pointer and
 * callbacks. Processes come and go: another process may be started at the same place, and the same one at another
 * place. Datagrams (sim_datagram) may be lost, repeated and reordered. Streams (sim_dial) carry messages in order and
 * whole, as a TCP connection with frames does; loss makes them late, a path that stays blocked breaks them, and whoever
 * wants to go on dials again.
 *
 * A paused process (SIGSTOP) is called for nothing. Its machine's kernel still answers dials and keeps what arrives:
 * all of the streams, and SIM_INBOX_BYTES of datagrams. On sim_resume it gets everything in order, then the timers that
 * are due.
 *
 * All times are nanoseconds. "True" time is the simulator's own; a node sees its own clock (sim_local). One thread.
 * Callbacks may call everything here but sim_run and sim_free.
 */
#ifndef TAGCACHED_TESTS_SIM_SIM_H
#define TAGCACHED_TESTS_SIM_SIM_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/lib/slow.h"

/* Fewer seeds, and no rule broken on purpose. */
#if TEST_SLOW
#define SIM_SLOW
#endif

#define SIM_NODES_MAX 4096
#define SIM_TIMERS 8                        /* a process has that many timers */
#define SIM_DATAGRAM_MAX 65507              /* bytes */
#define SIM_STREAM_MESSAGE_MAX (256 * 1024) /* bytes; larger ones must be sent in parts */
#define SIM_INBOX_BYTES (208 * 1024)        /* of datagrams that wait for a paused process, as Linux keeps by default */
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)

struct sim;

/* What happened to a stream, as one end sees it. */
enum sim_stream_event {
    SIM_STREAM_OPENED,   /* the dial succeeded (the other machine's kernel answered, its process may be paused) */
    SIM_STREAM_ACCEPTED, /* somebody dialled this node */
    SIM_STREAM_DATA,     /* one message, exactly as it was given to sim_send */
    SIM_STREAM_CLOSED, /* the dial failed, or the other end closed, or the path was blocked for too long; the number is
                          void from now on */
};

/* Callbacks of a process; those that it does not need may be NULL. Bytes are valid during the call. */
struct sim_process {
    void (*on_start)(void *process, struct sim *s, unsigned node);
    void (*on_crash)(void *process, struct sim *s,
                     unsigned node); /* it is gone: free or forget what it had in memory */
    void (*on_timer)(void *process, struct sim *s, unsigned node, unsigned timer);
    void (*on_datagram)(void *process, struct sim *s, unsigned node, unsigned from, const void *bytes, size_t n);
    void (*on_stream)(void *process, struct sim *s, unsigned node, uint64_t stream, enum sim_stream_event what,
                      unsigned peer, const void *bytes, size_t n);
};

/* How a path treats messages. Chances are parts of a million. */
struct sim_path {
    uint32_t loss, duplicate, reorder;
    uint64_t delay_min_ns, delay_max_ns;
    uint64_t reorder_ns; /* a reordered datagram is late by up to this much more */
};

/* What happened so far; of one node or of all together. */
struct sim_counts {
    uint64_t datagrams, datagram_bytes;              /* sent, lost ones included; payload only */
    uint64_t lost, blocked, duplicated, inbox_full;  /* datagrams that did not arrive, and why; that arrived twice */
    uint64_t delivered;                              /* datagrams handed to a process */
    uint64_t stream_messages, stream_bytes;          /* given to sim_send */
    uint64_t dials, streams_refused, streams_broken; /* refused: no process there; broken: path blocked for too long */
    uint64_t timers;                                 /* that fired */
};

/* A world without nodes at true time 0. Never NULL (a test that is out of memory ends). */
struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *s);

/* ---- Nodes and processes ---- */

/* Adds a node without a process, its clock like the true time; its index. At most SIM_NODES_MAX. Not from a callback.
 */
unsigned sim_add(struct sim *s);
unsigned sim_nodes(const struct sim *s);
/* Sets a node's clock: it shows `offset` at true time 0 and gains `ppm` parts of a million (less than 500,000 either
 * way). Before its first timer. */
void sim_set_clock(struct sim *s, unsigned node, uint64_t offset_ns, int32_t ppm);
/* Starts a process at a place where none runs, and calls on_start. */
void sim_start(struct sim *s, unsigned node, const struct sim_process *calls, void *process);
/* Ends it as SIGKILL does: the kernel closes its streams, and dials are refused. on_crash is called. */
void sim_crash(struct sim *s, unsigned node);
/* Ends it as a power cut does: nobody is told, and nothing answers until the next sim_start. on_crash is called. */
void sim_power_off(struct sim *s, unsigned node);
/* Stops it as SIGSTOP does, and lets it go on. Of a node without a process, or already so: nothing. */
void sim_pause(struct sim *s, unsigned node);
void sim_resume(struct sim *s, unsigned node);
bool sim_is_running(const struct sim *s, unsigned node); /* it has a process, paused or not */
bool sim_is_paused(const struct sim *s, unsigned node);
void *sim_process(const struct sim *s, unsigned node); /* NULL when none runs */

/* ---- Time ---- */

uint64_t sim_now(const struct sim *s);                  /* true time */
uint64_t sim_local(const struct sim *s, unsigned node); /* the node's clock now */
/* Calls on_timer once, not before the node's clock shows `local_ns`; replaces what the timer was set to. UINT64_MAX:
 * not at all. A timer in the past fires at once, but not from within this call. */
void sim_set_timer(struct sim *s, unsigned node, unsigned timer, uint64_t local_ns);
/* Calls fn at a true time (not before now): the script of a scenario, or a disk that takes a while. */
void sim_at(struct sim *s, uint64_t true_ns, void (*fn)(struct sim *s, void *arg, uint64_t number), void *arg,
            uint64_t number);
/* Runs until the true time, or until sim_stop. False: it was stopped. */
bool sim_run(struct sim *s, uint64_t until_true_ns);
void sim_stop(struct sim *s);

/* ---- Chance ---- */

uint64_t sim_random(struct sim *s);            /* 64 bits, from the world's seed */
uint64_t sim_below(struct sim *s, uint64_t n); /* 0..n-1 */
bool sim_chance(struct sim *s, uint32_t of_a_million);

/* ---- Network ---- */

/* How all paths treat messages that no sim_set_node_path says otherwise for. Default: 0.2 to 1 ms, nothing lost. */
void sim_set_path(struct sim *s, const struct sim_path *p);
/* The same for what one node sends and receives (what happens to a message is decided by the sender's path, then the
 * receiver's: both lose, both delay). NULL: like all others again. */
void sim_set_node_path(struct sim *s, unsigned node, const struct sim_path *p);
/* Blocks or opens the way from one node to another; the way back stays as it is. */
void sim_block(struct sim *s, unsigned from, unsigned to, bool blocked);
/* Puts a node into a group; messages pass within a group only. All begin in group 0. */
void sim_set_group(struct sim *s, unsigned node, unsigned group);
/* Opens all ways and puts all nodes into group 0. */
void sim_heal(struct sim *s);
/* Whether something sent now would pass. */
bool sim_is_open(const struct sim *s, unsigned from, unsigned to);
/* Sends a datagram of at most SIM_DATAGRAM_MAX bytes. `to` may be any number: beyond the nodes it is lost. */
void sim_datagram(struct sim *s, unsigned from, unsigned to, const void *bytes, size_t n);

/* How long a message of a stream, or a dial, may find its path blocked before the stream breaks. Default: 5 s. */
void sim_set_stream_timeout(struct sim *s, uint64_t timeout_ns);
/* Begins a stream to another node (or itself); its number, never 0. OPENED or CLOSED follows, never from within the
 * call.
 */
uint64_t sim_dial(struct sim *s, unsigned from, unsigned to);
/* Sends one message on it, in order; before OPENED too. False: that stream is closed at this end. */
bool sim_send(struct sim *s, unsigned node, uint64_t stream, const void *bytes, size_t n);
/* Closes this end: what was sent is still delivered, then the other end gets CLOSED; this end gets no call any more. Of
 * a stream that is closed: nothing. */
void sim_close(struct sim *s, unsigned node, uint64_t stream);

/* ---- Looking on ---- */

const struct sim_counts *sim_counts(const struct sim *s);
const struct sim_counts *sim_node_counts(const struct sim *s, unsigned node);
/* A number made of everything that was delivered and fired so far, in order: equal for equal runs. */
uint64_t sim_digest(const struct sim *s);
/* Without it (it is kept unless told otherwise) a run is faster by a fifth, and sim_digest stays what it is. */
void sim_keep_digest(struct sim *s, bool on);
/* Bytes of messages that are on their way now, and the most there ever were. */
size_t sim_bytes_in_flight(const struct sim *s);
size_t sim_bytes_in_flight_max(const struct sim *s);
/* Prints what happens as lines "time node what ..." from a true time on. NULL: no more. */
void sim_trace(struct sim *s, FILE *to, uint64_t from_true_ns);
/* Adds a line to the trace, and to the digest. */
void sim_note(struct sim *s, unsigned node, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
