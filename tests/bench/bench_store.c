/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bench_store - what the store itself costs, without sockets and text: nanoseconds an operation, by threads and batch.
 *
 * Under `valgrind --tool=callgrind` run one operation at a time (--op, --threads 1) with two counts (--ops) and divide
 * the difference.
 */
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc.h"
#include "rng.h"
#include "store/store.h"

#define KEY_LEN 20
#define BATCH_MAX 256
#define THREADS_MAX 16

static const char usage[] =
    "usage: bench_store [--items N] [--value B] [--ops N] [--threads N] [--batch N] [--op "
    "none|hit|miss|set|touch|tagged]\n"
    "Fills a store with N items (1000000) of keys of 20 bytes and values of B (100), then times each operation (or "
    "the\n"
    "one asked for) N times a thread (2000000), on 1 and 2 threads (or as many as asked), one by one and in batches "
    "of\n"
    "16 keys looked up ahead (or as asked). One JSON line each. `tagged` reads items of 3 tags after a purge;\n"
    "`none` only makes and hashes keys, which all the others do too.\n";

enum op { OP_NONE, OP_HIT, OP_MISS, OP_SET, OP_TOUCH, OP_TAGGED, OPS };
static const char *const op_names[OPS] = {"none", "hit", "miss", "set", "touch", "tagged"};

struct bench {
    struct store *store;
    uint64_t items, ops;
    uint32_t value;
    enum op op;
    unsigned threads, batch;
    char *bytes;
    pthread_barrier_t barrier;
};

struct task {
    struct bench *bench;
    struct store_worker *worker;
    unsigned index;
    pthread_t thread;
    uint64_t good,
        sum; /* operations that found what they should; bytes looked at, so that looking is not optimised away */
};

static void fail(const char *what) {
    fprintf(stderr, "bench_store: %s\n", what);
    exit(2);
}

/* Not printable, but cheap: what is measured is the store. */
static void make_key(char *p, char kind, uint64_t id) {
    memset(p, kind, KEY_LEN);
    memcpy(p + KEY_LEN - sizeof id, &id, sizeof id);
}

static void put(struct task *t, const struct store_key *k, const uint64_t *tags, unsigned ntags) {
    struct store_put p = {.key = *k, .value = t->bench->bytes, .size = t->bench->value, .tags = tags, .ntags = ntags};
    enum store_status st;
    while ((st = store_put(t->worker, &p, NULL)) == STORE_AGAIN) {
        store_leave(t->worker); /* the maintenance thread makes room */
        sched_yield();
        store_enter(t->worker);
    }
    t->good += st == STORE_OK;
}

static void get(struct task *t, const struct store_key *k) {
    struct store_item it;
    if (!store_get(t->worker, k, &it)) return;
    t->good++;
    if (it.value) t->sum += (unsigned char)it.value[0] + it.size;
}

static void operate(struct task *t, const struct store_key *k) {
    switch (t->bench->op) {
    case OP_HIT:
    case OP_MISS:
    case OP_TAGGED: get(t, k); break;
    case OP_SET: put(t, k, NULL, 0); break;
    case OP_TOUCH: t->good += store_touch(t->worker, k, 1000000, NULL, NULL) == STORE_OK; break;
    case OP_NONE: t->sum += k->hash; break;
    case OPS: break;
    }
}

/* One section: hash all keys, which brings the buckets, bring the items, then work on them. */
static void batch(struct task *t, uint64_t *rng, unsigned n, char kind) {
    static _Thread_local char names[BATCH_MAX][KEY_LEN];
    struct store_key keys[BATCH_MAX];
    for (unsigned i = 0; i < n; i++) {
        make_key(names[i], kind, rng_next(rng) % t->bench->items);
        keys[i] = store_key(t->bench->store, names[i], KEY_LEN);
    }
    store_enter(t->worker);
    if (n > 1)
        for (unsigned i = 0; i < n; i++) store_prefetch_item(t->worker, &keys[i]);
    for (unsigned i = 0; i < n; i++) operate(t, &keys[i]);
    store_leave(t->worker);
}

static void *work(void *arg) {
    struct task *t = arg;
    struct bench *b = t->bench;
    uint64_t rng = rng_mix(t->index + 1);
    char kind = b->op == OP_MISS ? 'm' : b->op == OP_TAGGED ? 't' : 'k';
    pthread_barrier_wait(&b->barrier);
    for (uint64_t left = b->ops; left;) {
        unsigned n = left < b->batch ? (unsigned)left : b->batch;
        batch(t, &rng, n, kind);
        left -= n;
    }
    pthread_barrier_wait(&b->barrier);
    return NULL;
}

static void fill(struct bench *b, char kind, unsigned ntags) {
    struct task t = {.bench = b, .worker = store_worker(b->store, 0)};
    char name[KEY_LEN];
    for (uint64_t id = 0; id < b->items; id++) {
        uint64_t tags[3];
        for (unsigned i = 0; i < ntags; i++) tags[i] = rng_mix(id % 10000 * 3 + i);
        make_key(name, kind, id);
        struct store_key k = store_key(b->store, name, KEY_LEN);
        store_enter(t.worker);
        put(&t, &k, tags, ntags);
        store_leave(t.worker);
    }
    if (t.good != b->items) fail("filling failed");
}

static void measure(struct bench *b) {
    struct task tasks[THREADS_MAX] = {{0}};
    uint64_t good = 0;
    pthread_barrier_init(&b->barrier, NULL, b->threads + 1);
    for (unsigned i = 0; i < b->threads; i++) {
        tasks[i].bench = b;
        tasks[i].index = i;
        tasks[i].worker = store_worker(b->store, i);
        if (pthread_create(&tasks[i].thread, NULL, work, &tasks[i])) fail("no thread");
    }
    pthread_barrier_wait(&b->barrier);
    uint64_t start = proc_now_ns();
    pthread_barrier_wait(&b->barrier);
    double ns = (double)(proc_now_ns() - start);
    for (unsigned i = 0; i < b->threads; i++) {
        pthread_join(tasks[i].thread, NULL);
        good += tasks[i].good;
    }
    pthread_barrier_destroy(&b->barrier);
    double total = (double)b->ops * b->threads;
    printf("{\"op\":\"%s\",\"threads\":%u,\"batch\":%u,\"items\":%" PRIu64 ",\"value\":%u,\"ns_per_op\":%.1f,"
           "\"Mops\":%.2f,\"found\":%.4f}\n",
           op_names[b->op], b->threads, b->batch, b->items, b->value, ns * b->threads / total, total / ns * 1e3,
           (double)good / total);
    fflush(stdout);
}

static enum op op_named(const char *s) {
    for (enum op op = 0; op < OPS; op++)
        if (!strcmp(op_names[op], s)) return op;
    fail("unknown operation");
    return OPS;
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"items", 1, 0, 'i'},   {"value", 1, 0, 'v'}, {"ops", 1, 0, 'n'},
                                            {"threads", 1, 0, 't'}, {"batch", 1, 0, 'b'}, {"op", 1, 0, 'o'},
                                            {"help", 0, 0, 'h'},    {0, 0, 0, 0}};
    struct bench b = {.items = 1000000, .ops = 2000000, .value = 100};
    unsigned threads = 0, batch_size = 0;
    enum op only = OPS;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (o) {
        case 'i': b.items = strtoull(optarg, NULL, 10); break;
        case 'v': b.value = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'n': b.ops = strtoull(optarg, NULL, 10); break;
        case 't': threads = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'b': batch_size = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'o': only = op_named(optarg); break;
        case 'h': return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    if (!b.items || threads > THREADS_MAX || batch_size > BATCH_MAX || b.value > 65536)
        fail("a number is out of range");
    b.bytes = malloc(b.value + 1);
    if (!b.bytes) fail("out of memory");
    memset(b.bytes, 'x', b.value + 1);
    struct store_config cfg = {.memory_limit = b.items * (b.value + 200) * 2 + (64u << 20),
                               .item_size_max = 1u << 20,
                               .workers = THREADS_MAX,
                               .evict = true,
                               .seed = 1,
                               .clock = clock_system()};
    if (store_new(&cfg, &b.store) || store_start(b.store)) fail("cannot make a store");
    if (only != OP_TAGGED) fill(&b, 'k', 0);
    if (only == OP_TAGGED || only == OPS) fill(&b, 't', 3);
    for (b.op = 0; b.op < OPS; b.op++) {
        struct store_selector unused = {.ntags = 1, .tags = {rng_mix(UINT64_MAX)}};
        struct store_purge purge = {.selectors = &unused, .nselectors = 1};
        if (only != OPS && b.op != only) continue;
        uint64_t number; /* above all births */
        if (b.op == OP_TAGGED && store_purge(store_worker(b.store, 0), &purge, &number) != STORE_OK)
            fail("cannot purge");
        for (b.threads = threads ? threads : 1; b.threads <= (threads ? threads : 2); b.threads++)
            for (b.batch = batch_size ? batch_size : 1; b.batch <= (batch_size ? batch_size : 16);
                 b.batch += batch_size ? 1 : 15)
                measure(&b);
    }
    store_stop(b.store);
    store_free(b.store);
    free(b.bytes);
    return 0;
}
