/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load - the parts of cacheload: what a run is asked for, its threads and their connections.
 *
 * A struct load is owned by main. Its config is read-only once the threads run; a load_thread and its connections
 * belong to that thread, and are read by main only between phases (two barrier waits enclose each phase).
 *
 *   load_build.c   requests out      load_reply.c   replies in      load_run.c   the event loop, one phase
 *   load_side.c    purges and echo probes beside the load            load_report.c   the JSON lines
 *   cacheload.c    options and the order of phases
 */
#ifndef TAGCACHED_BENCH_LOAD_H
#define TAGCACHED_BENCH_LOAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hist.h"
#include "late.h"
#include "trace.h"
#include "value.h"

#define LOAD_KEY_MAX 250
#define LOAD_LINE_MAX 1024 /* longest reply line */
#define LOAD_CPUS_MAX 64
#define LOAD_PIDS_MAX 16
#define LOAD_LATE_NS 1000000u /* requests that are looked at one by one */
#define LOAD_STALL_NS 300000u /* answers of an idle echo that say that the machine did something else */

enum load_proto { LOAD_TEXT, LOAD_META, LOAD_RESP, LOAD_BINARY };
/* Opcodes of the binary protocol. */
enum { LOAD_OPCODE_GET = 0x00, LOAD_OPCODE_SET = 0x01, LOAD_OPCODE_NOOP = 0x0a, LOAD_OPCODE_GETKQ = 0x0d };
enum load_phase { LOAD_FILL, LOAD_WARM, LOAD_RUN, LOAD_SCAN, LOAD_TRACE };

struct load_config {
    const char *host, *unix_path, *prefix, *label, *trace_path, *trace_ttl_path, *value_spec;
    int port;
    enum load_proto proto;
    int conns, threads, depth, multiget, fill_depth;
    uint64_t keys, ops, seed, base;
    int key_size, prefix_len;
    uint32_t value_min, value_max;
    double zipf, get_share, duration_s, warmup_s, rate;
    bool sleeps; /* with a rate: until the next batch is due */
    bool fill, fill_only, scan, verify, set_misses;
    uint32_t ttl;
    uint32_t sequence;  /* keys drawn in advance for each thread */
    int tags;           /* on each item */
    uint64_t tag_space; /* of which many different ones */
    char tag_flag;      /* 'G', or 'L' that memcached tolerates */
    double purge_rate;  /* a second, beside the load */
    uint64_t purge_space;
    const char *purge_prefix; /* of the purged tags' names */
    bool purge_soft;
    int echo_port; /* probe an echo server beside the load; 0: none */
    double echo_rate;
    uint64_t trace_limit;
    double trace_speed; /* seconds of the trace to a second; 0: as fast as it goes */
    int cpus[LOAD_CPUS_MAX], ncpus;
    pid_t pids[LOAD_PIDS_MAX];
    int npids;
    int timeout_s;
    char key_template[LOAD_KEY_MAX + 1];
};

enum load_kind { LOAD_GET, LOAD_SET };

struct load_request {
    enum load_kind kind;
    bool meta;      /* a set sent as `ms` */
    uint32_t nkeys; /* its keys are conn->keys[first..] */
    uint32_t first;
    uint32_t hits;
};

struct load_miss {
    uint64_t id;
    uint32_t size;
    uint32_t ttl;
};

struct load_conn {
    int fd;
    int nreq, cur; /* requests of this batch; the one whose reply is due */
    struct load_request *req;
    uint64_t *keys;
    struct load_miss *item; /* trace: what request i asks for */
    int nkeys;
    struct load_miss *pending; /* misses to be set by the next batch */
    int npending;
    char *out;
    size_t out_len, out_off, out_cap;
    uint64_t sent_ns;
    bool in_value;     /* reading a value's bytes */
    size_t value_left; /* with its line end, if it has one */
    size_t value_pos, value_len;
    uint64_t value_hash;
    bool value_check;
    uint32_t next_key;        /* multi-get: keys before it have been answered */
    long bulks;               /* RESP: replies left in the array */
    char line[LOAD_LINE_MAX]; /* of a line, or of a packet up to its value, what has come */
    size_t line_len;
    size_t skip;       /* bytes of an error's text that are of no interest */
    uint64_t answered; /* requests, this phase */
    bool active, want_write;
};

struct load_stats {
    uint64_t requests, gets, sets, hits, misses, not_stored, errors, mismatches, bytes_in, bytes_out;
    uint64_t hit_bytes; /* values' */
    uint64_t trace_gets, trace_misses, trace_get_bytes, trace_miss_bytes;
    struct hist latency;
    struct late late; /* requests that took LOAD_LATE_NS, when the machine's own waits are known */
};

struct load;

struct load_thread {
    struct load *load;
    const struct load_config *cfg;
    int id;
    pthread_t thread;
    int epoll;
    struct load_conn *conns;
    int nconns, active;
    char *buf;
    size_t buf_cap;
    uint32_t *sequence;
    uint32_t sequence_at;
    uint64_t rng;
    uint64_t id_next, id_end; /* fill and scan */
    uint64_t trace_next, trace_end;
    uint64_t requests_left, end_ns, last_ns, start_ns;
    double due_ns, due_step_ns;
    enum load_phase phase;
    struct load_stats stats;
};

/* A thread beside the load that repeats one small request at a steady rate. */
struct load_side {
    const struct load *load;
    pthread_t thread;
    bool running;
    _Atomic bool stop;
    uint64_t done, failed;
    struct hist latency;
    struct late stalls; /* answers that took LOAD_STALL_NS */
};

struct load {
    struct load_config cfg;
    struct value_model values;
    const struct trace_record *trace;
    const trace_ttl *trace_ttls;
    uint64_t trace_len;
    pthread_barrier_t barrier;
    struct load_thread *threads;
    enum load_phase phase;
    bool leaving;
    struct load_side purger, echo;
};

/* Set by SIGINT and SIGTERM: end the phase. */
extern volatile sig_atomic_t load_signalled;

/* Prints "cacheload: ..." and exits with 2. */
void load_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* malloc and realloc that do not fail. */
void *load_alloc(size_t n, size_t size);

/* load_build.c: the next batch into c->out. False when nothing is left to be asked. */
bool load_build(struct load_thread *t, struct load_conn *c);
/* Writes the key of number id, cfg->key_size bytes. */
void load_key(const struct load_config *cfg, char *p, uint64_t id);

/* load_reply.c: digests received bytes; counts requests as they are answered. */
void load_reply(struct load_thread *t, struct load_conn *c, const char *p, size_t n, uint64_t now_ns);

/* load_run.c: a thread's life: one phase after the other, as main sets load->phase. */
void *load_run(void *thread);
/* A connected socket, TCP_NODELAY; port 0: the unix socket. Dies on failure. */
int load_connect(const struct load_config *cfg, int port);

/* load_side.c */
void load_side_start(struct load *l);
void load_side_stop(struct load *l);

/* load_report.c: runs one phase and prints its line if `print`. True when errors or mismatches were seen. */
bool load_report_phase(struct load *l, enum load_phase phase, const char *name, bool print);

#endif
