/* SPDX-License-Identifier: BSD-3-Clause
 *
 * moveload - a steady load on a cluster that knows what every key must hold, for measuring what moving keys costs:
 *
 *     moveload [-n KEYS] [-r PER_SECOND] [-t THREADS] [-c CONNECTIONS] [-v BYTES] [-w SET%] [-d DELETE%] [-R] PORT...
 *
 * Each key belongs to one thread, which fills it, and then reads, sets and deletes its own keys, chosen by Zipf's law,
 * each through a connection chosen at random to one of the nodes on these ports. Requests are due at fixed times
 * whether or not those before are answered (open loop), and late is counted from then. A value names its key and
 * version; so an old value, a deleted one that is back, and a key that is lost are told apart. What is lost is stored
 * anew, as a cache's user would. A connection that ends ends the load; with -R it is counted, and made again every 50
 * ms until its node is back: the others take its share meanwhile.
 *
 * A line of JSON a second on standard output. At SIGTERM the load ends, all keys are read once, and the last line sums
 * up. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hist.h"
#include "rng.h"
#include "zipf.h"

#define BUFFER 65536
#define BATCH 50 /* requests at once while filling and checking */
#define ZIPF 0.99
#define SECOND 1000000000ull
#define AGAIN (SECOND / 20) /* until a connection that has ended is made again */

enum { LIVE = 1, DELETED = 2, UNKNOWN = 4, BUSY = 8 }; /* what a key is; UNKNOWN: a write of it has failed */
enum op { GET, SET, DELETE };

struct key {
    uint32_t version;
    uint8_t is;
};

struct counts {
    uint64_t ops, gets, hits, dead_gets, lost, old, resurrected, errors; /* gets and hits: of keys that are there */
    uint64_t closed, unknown; /* connections; keys that are there, and whose last write was not answered */
    struct hist late;
};

struct link {
    int fd; /* -1: its node is away, until it is tried again at `due` */
    unsigned port;
    bool waits;
    enum op op;
    unsigned key; /* of the thread's */
    uint64_t due;
    size_t n;
    char in[BUFFER];
};

struct worker {
    pthread_t thread;
    unsigned index;
    uint64_t rng;
    struct key *keys;
    struct link *links;
    struct pollfd *polls;
    pthread_mutex_t lock;
    struct counts now; /* of this second */
    struct counts all;
    unsigned refill[256], nrefill; /* lost keys to be stored */
};

static struct {
    unsigned keys, threads, connections, bytes, nports, ports[64];
    double rate, set, delete;
    struct zipf zipf;
    unsigned each; /* keys of a thread */
    bool again;    /* connections that end are made again */
} cfg = {.keys = 100000, .threads = 2, .connections = 16, .bytes = 100, .rate = 5000, .set = .08, .delete = .02};
static volatile sig_atomic_t stop;
static pthread_barrier_t filled;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void die(const char *what) {
    fprintf(stderr, "moveload: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* -1: nobody is there. */
static int dial(unsigned port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* False: the connection has ended. */
static bool send_all(int fd, const char *p, size_t n) {
    while (n > 0) {
        const ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* ------------------------------------------------------------------ requests */

static int put_name(char *out, const struct worker *w, unsigned key) {
    return sprintf(out, "move:%u", key * cfg.threads + w->index);
}

static size_t put_set(char *out, const struct worker *w, unsigned key) {
    char head[64], *p = out;
    const int n = sprintf(head, "%u:%u:", key * cfg.threads + w->index, w->keys[key].version);
    p += sprintf(p, "set ");
    p += put_name(p, w, key);
    p += sprintf(p, " 0 0 %u\r\n", cfg.bytes);
    memset(p, 'x', cfg.bytes);
    memcpy(p, head, (size_t)n);
    memcpy(p + cfg.bytes, "\r\n", 2);
    return (size_t)(p + cfg.bytes + 2 - out);
}

static size_t put_request(char *out, struct worker *w, enum op op, unsigned key) {
    char *p = out;
    if (op == SET) {
        w->keys[key].version++;
        return put_set(out, w, key);
    }
    p += sprintf(p, op == GET ? "get " : "delete ");
    p += put_name(p, w, key);
    p += sprintf(p, "\r\n");
    return (size_t)(p - out);
}

/* Bytes of the answer that begins at p, if all of it is here; else 0. */
static size_t answer_bytes(const char *p, size_t n) {
    const char *nl = memchr(p, '\n', n);
    if (nl == NULL) return 0;
    size_t all = (size_t)(nl + 1 - p);
    if (memcmp(p, "VALUE ", 6) == 0) all += cfg.bytes + 2 + 5;
    return all <= n ? all : 0;
}

/* Judges a get's answer: what key and version it shows, against what they must be. */
static void judge_get(struct worker *w, struct counts *c, unsigned key, const char *p) {
    struct key *k = &w->keys[key];
    unsigned id, version;
    const bool hit = memcmp(p, "VALUE ", 6) == 0;
    if (!hit && memcmp(p, "END", 3) != 0) {
        c->errors++;
        return;
    }
    const char *body = hit ? strchr(p, '\n') + 1 : NULL;
    if (hit && (sscanf(body, "%u:%u:", &id, &version) != 2 || id != key * cfg.threads + w->index)) {
        c->old++;
        return;
    }
    if (k->is & UNKNOWN) {
        c->unknown += hit;
        return;
    }
    if (k->is & DELETED) {
        c->dead_gets++;
        c->resurrected += hit;
        return;
    }
    c->gets++;
    c->hits += hit;
    if (hit && version != k->version) c->old++;
    if (hit) return;
    c->lost++;
    k->is = UNKNOWN;
    if (w->nrefill < sizeof w->refill / sizeof w->refill[0]) w->refill[w->nrefill++] = key;
}

static void judge(struct worker *w, struct counts *c, const struct link *l) {
    struct key *k = &w->keys[l->key];
    k->is &= (uint8_t)~BUSY;
    c->ops++;
    if (l->op == GET) {
        judge_get(w, c, l->key, l->in);
    } else if (l->op == SET ? memcmp(l->in, "STORED", 6) == 0
                            : memcmp(l->in, "DELETED", 7) == 0 || memcmp(l->in, "NOT_FOUND", 9) == 0) {
        if (l->op == DELETE && l->in[0] == 'N' && k->is == LIVE) c->lost++;
        k->is = l->op == SET ? LIVE : DELETED;
    } else {
        c->errors++;
        k->is = UNKNOWN;
        if (c->errors == 1) fprintf(stderr, "moveload: %.*s\n", (int)strcspn(l->in, "\r\n"), l->in);
    }
}

/* ------------------------------------------------------------------ the load */

/* The connection has ended: whether what was asked by it was done nobody knows. */
static void lose(struct worker *w, struct link *l) {
    if (!cfg.again) die("a connection ended");
    struct key *k = &w->keys[l->key];
    if (l->waits) k->is = l->op == GET ? k->is & (uint8_t)~BUSY : UNKNOWN;
    l->waits = false;
    close(l->fd);
    l->fd = -1;
    l->due = now_ns() + AGAIN;
    pthread_mutex_lock(&w->lock);
    w->now.closed++;
    pthread_mutex_unlock(&w->lock);
}

static void begin(struct worker *w, struct link *l, enum op op, unsigned key, uint64_t due) {
    char out[BUFFER];
    l->op = op;
    l->key = key;
    l->due = due;
    l->waits = true;
    l->n = 0;
    w->keys[key].is |= BUSY;
    if (!send_all(l->fd, out, put_request(out, w, op, key))) lose(w, l);
}

static bool is_up(struct link *l) {
    if (l->fd >= 0 || now_ns() < l->due) return l->fd >= 0;
    l->fd = dial(l->port);
    l->due = now_ns() + AGAIN;
    return l->fd >= 0;
}

/* An idle connection, looked for from a random one on. */
static struct link *idle_link(struct worker *w) {
    const unsigned from = (unsigned)(rng_next(&w->rng) % cfg.connections);
    for (unsigned i = 0; i < cfg.connections; i++) {
        struct link *l = &w->links[(from + i) % cfg.connections];
        if (!l->waits && is_up(l)) return l;
    }
    return NULL;
}

static void begin_next(struct worker *w, struct link *l, uint64_t due) {
    const double what = rng_unit(&w->rng);
    if (w->nrefill > 0) {
        const unsigned key = w->refill[--w->nrefill];
        if (!(w->keys[key].is & BUSY)) begin(w, l, SET, key, due);
        return;
    }
    const unsigned key = (unsigned)(rng_mix(zipf_draw(&cfg.zipf, &w->rng)) % cfg.each);
    if (w->keys[key].is & BUSY) return;
    begin(w, l, what < cfg.set ? SET : what < cfg.set + cfg.delete ? DELETE : GET, key, due);
}

static void receive(struct worker *w, struct link *l) {
    const ssize_t k = recv(l->fd, l->in + l->n, BUFFER - 1 - l->n, MSG_DONTWAIT);
    if (k == 0 || (k < 0 && errno != EAGAIN)) lose(w, l);
    if (k <= 0) return;
    l->n += (size_t)k;
    l->in[l->n] = '\0';
    if (answer_bytes(l->in, l->n) == 0) return;
    l->waits = false;
    pthread_mutex_lock(&w->lock);
    judge(w, &w->now, l);
    hist_add(&w->now.late, now_ns() - l->due);
    pthread_mutex_unlock(&w->lock);
}

/* Waits for answers until something is due. */
static void wait_answers(struct worker *w, uint64_t due) {
    const uint64_t now = now_ns(), left = due > now ? due - now : 0;
    const struct timespec t = {(time_t)(left / SECOND), (long)(left % SECOND)};
    unsigned n = 0;
    for (unsigned i = 0; i < cfg.connections; i++)
        w->polls[n++] = (struct pollfd){.fd = w->links[i].waits ? w->links[i].fd : -1, .events = POLLIN};
    if (ppoll(w->polls, n, &t, NULL) <= 0) return;
    for (unsigned i = 0; i < cfg.connections; i++)
        if (w->polls[i].revents != 0) receive(w, &w->links[i]);
}

static void load(struct worker *w) {
    const uint64_t step = (uint64_t)((double)SECOND * cfg.threads / cfg.rate);
    uint64_t due = now_ns();
    while (!stop) {
        struct link *l = due <= now_ns() ? idle_link(w) : NULL;
        if (l != NULL) {
            begin_next(w, l, due);
            due += step;
        } else {
            wait_answers(w, due <= now_ns() ? now_ns() + 1000000 : due);
        }
    }
    for (unsigned i = 0; i < cfg.connections; i++)
        while (w->links[i].waits) wait_answers(w, now_ns() + 1000000);
}

/* ------------------------------------------------------------------ filling and checking */

/* One answer more, at the front of the link's buffer; takes away the one before, of `taken` bytes. */
static size_t next_answer(struct link *l, size_t taken) {
    size_t n;
    memmove(l->in, l->in + taken, l->n -= taken);
    l->in[l->n] = '\0';
    while ((n = answer_bytes(l->in, l->n)) == 0) {
        const ssize_t k = recv(l->fd, l->in + l->n, BUFFER - 1 - l->n, 0);
        if (k <= 0) die("a connection ended");
        l->n += (size_t)k;
        l->in[l->n] = '\0';
    }
    return n;
}

/* Sets, or reads, all keys, a batch at a time. */
static void all_keys(struct worker *w, enum op op, struct counts *c) {
    static _Thread_local char out[BATCH * (BUFFER / 16)];
    struct link *l = &w->links[0];
    while (!is_up(l)) usleep(AGAIN / 1000);
    l->n = 0;
    for (unsigned key = 0; key < cfg.each; key += BATCH) {
        const unsigned n = cfg.each - key < BATCH ? cfg.each - key : BATCH;
        size_t bytes = 0, taken = 0;
        for (unsigned i = 0; i < n; i++) bytes += put_request(out + bytes, w, op, key + i);
        if (!send_all(l->fd, out, bytes)) die("send");
        for (unsigned i = 0; i < n; i++) {
            taken = next_answer(l, taken);
            if (op == GET) judge_get(w, c, key + i, l->in);
            if (op == SET) w->keys[key + i].is = memcmp(l->in, "STORED", 6) == 0 ? LIVE : UNKNOWN;
            if (op == SET && w->keys[key + i].is != LIVE) c->errors++;
        }
        memmove(l->in, l->in + taken, l->n -= taken);
    }
}

static void *run(void *arg) {
    struct worker *w = arg;
    for (unsigned i = 0; i < cfg.connections; i++) {
        w->links[i].port = cfg.ports[i % cfg.nports];
        w->links[i].fd = dial(w->links[i].port);
        if (w->links[i].fd < 0) die("connect");
    }
    all_keys(w, SET, &w->all);
    pthread_barrier_wait(&filled);
    load(w);
    memset(&w->now, 0, sizeof w->now);
    all_keys(w, GET, &w->now);
    return NULL;
}

/* ------------------------------------------------------------------ telling */

static void add(struct counts *to, const struct counts *from) {
    to->ops += from->ops;
    to->gets += from->gets;
    to->hits += from->hits;
    to->dead_gets += from->dead_gets;
    to->lost += from->lost;
    to->old += from->old;
    to->resurrected += from->resurrected;
    to->errors += from->errors;
    to->closed += from->closed;
    to->unknown += from->unknown;
    hist_merge(&to->late, &from->late);
}

static void print(const char *what, double t, const struct counts *c) {
    printf(
        "{\"what\":\"%s\",\"t\":%.2f,\"ops\":%lu,\"gets\":%lu,\"hits\":%lu,\"dead_gets\":%lu,\"lost\":%lu,\"old\":%lu,"
        "\"resurrected\":%lu,\"errors\":%lu,\"closed\":%lu,\"unknown\":%lu,\"late\":",
        what, t, c->ops, c->gets, c->hits, c->dead_gets, c->lost, c->old, c->resurrected, c->errors, c->closed,
        c->unknown);
    hist_print_bins_us(&c->late, stdout);
    printf("}\n");
    fflush(stdout);
}

static void on_term(int sig) {
    (void)sig;
    stop = 1;
}

static void read_options(int argc, char **argv) {
    for (int o; (o = getopt(argc, argv, "n:r:t:c:v:w:d:R")) != -1;) {
        switch (o) {
        case 'n': cfg.keys = (unsigned)atol(optarg); break;
        case 'r': cfg.rate = atof(optarg); break;
        case 't': cfg.threads = (unsigned)atoi(optarg); break;
        case 'c': cfg.connections = (unsigned)atoi(optarg); break;
        case 'v': cfg.bytes = (unsigned)atoi(optarg); break;
        case 'w': cfg.set = atof(optarg) / 100; break;
        case 'd': cfg.delete = atof(optarg) / 100; break;
        case 'R': cfg.again = true; break;
        default: exit(2);
        }
    }
    for (; optind < argc && cfg.nports < 64; optind++) cfg.ports[cfg.nports++] = (unsigned)atoi(argv[optind]);
    if (cfg.nports == 0 || cfg.bytes < 32 || cfg.bytes > 1000 || cfg.threads == 0 || cfg.connections == 0) exit(2);
    cfg.each = cfg.keys / cfg.threads;
    zipf_init(&cfg.zipf, ZIPF, cfg.each);
}

/* The counts of this second, of all threads. */
static void take_second(struct worker *w, struct counts *second) {
    memset(second, 0, sizeof *second);
    for (unsigned i = 0; i < cfg.threads; i++) {
        pthread_mutex_lock(&w[i].lock);
        add(second, &w[i].now);
        memset(&w[i].now, 0, sizeof w[i].now);
        pthread_mutex_unlock(&w[i].lock);
    }
}

int main(int argc, char **argv) {
    static struct counts second, all, end;
    read_options(argc, argv);
    signal(SIGTERM, on_term);
    pthread_barrier_init(&filled, NULL, cfg.threads + 1);
    struct worker *w = calloc(cfg.threads, sizeof *w);
    for (unsigned i = 0; w != NULL && i < cfg.threads; i++) {
        w[i].index = i;
        w[i].rng = i + 1;
        w[i].keys = calloc(cfg.each, sizeof *w[i].keys);
        w[i].links = calloc(cfg.connections, sizeof *w[i].links);
        w[i].polls = calloc(cfg.connections, sizeof *w[i].polls);
        pthread_mutex_init(&w[i].lock, NULL);
        if (w[i].keys == NULL || w[i].links == NULL || w[i].polls == NULL) die("memory");
        pthread_create(&w[i].thread, NULL, run, &w[i]);
    }
    if (w == NULL) die("memory");
    pthread_barrier_wait(&filled);
    const uint64_t began = now_ns();
    for (uint64_t next = began + SECOND; !stop; next += SECOND) {
        while (!stop && now_ns() < next) usleep(10000);
        take_second(w, &second);
        print("second", (double)(now_ns() - began) / 1e9, &second);
        add(&all, &second);
    }
    for (unsigned i = 0; i < cfg.threads; i++) {
        pthread_join(w[i].thread, NULL);
        add(&end, &w[i].now);
        add(&all, &w[i].all);
    }
    print("load", (double)(now_ns() - began) / 1e9, &all);
    print("check", (double)(now_ns() - began) / 1e9, &end);
    return 0;
}
