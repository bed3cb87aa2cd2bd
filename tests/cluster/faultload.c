/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/cluster/faultload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/rng.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define STUCK_NS (20 * S) /* no fault lasts so long; a request that waits longer has been forgotten */
#define WINDOW 400        /* reads of a sweep that wait for their answers */

static const char usage[] =
    "usage: faultload [OPTION...] HOST:PORT...\n"
    "  --purges N     says `enough` when so many are confirmed (default: never)\n"
    "  --seconds N    says `enough` after so many seconds (default: never)\n"
    "  --rate N       purges a second (500)\n"
    "  --groups N     groups of keys (3000)\n"
    "  --seed N\n"
    "  --owners FILE  steady keys: a line for each, t0, t1, ..: the number of its owner among the nodes named\n"
    "  --seen FILE    what steady reads saw is written there: a line each 50 ms, its CLOCK_MONOTONIC in ms, then\n"
    "                 hits,misses,errors for each node asked and each owner, in this order\n";

struct run {
    struct faultload l;
    struct faultconn *conns; /* all of them, as `l` has them in parts */
    unsigned nconns;
    int epoll;
    uint64_t goal, end_ns;
    double rate, due; /* purges that are to be asked for, and are not yet */
    uint64_t last_ns, bucket_ns, said_ns;
    FILE *seen;
    bool ending, is_quiet, said_enough, sweeping;
    uint64_t quiet_by_ns;
    char command[256];
    size_t command_n;
};

static uint64_t clock_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static void *need(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (p == NULL) abort();
    return p;
}

/* ------------------------------------------------------------------ beginning */

static bool read_address(const char *text, struct sockaddr_in *a) {
    char host[64];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof host) return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    *a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10))};
    return inet_pton(AF_INET, host, &a->sin_addr) == 1;
}

static void read_owners(struct faultload *l, const char *path) {
    unsigned owner;
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        perror(path);
        exit(2);
    }
    l->owners = need(100000, 1);
    while (l->nsteady < 100000 && fscanf(f, "%u", &owner) == 1 && owner < l->nnodes)
        l->owners[l->nsteady++] = (uint8_t)owner;
    fclose(f);
    for (unsigned o = 0; o < l->nnodes; o++) l->steady_at[o] = need(l->nsteady + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < l->nsteady; i++) l->steady_at[l->owners[i]][l->nsteady_at[l->owners[i]]++] = i;
}

static void make_groups(struct faultload *l) {
    l->nkeys = l->groups * FAULTLOAD_SHELVES;
    l->idle = need(l->groups, sizeof *l->idle);
    l->stored = need(l->nkeys + l->nsteady, 1);
    for (uint32_t g = 0; g < l->groups; g++) {
        const uint32_t at = (uint32_t)(rng_next(&l->random) % (g + 1));
        l->idle[g] = l->idle[at];
        l->idle[at] = g;
    }
    l->nidle = l->groups;
    faultmodel_init(&l->model, l->nkeys + l->nsteady);
}

/* So many connections to each node, from `first` on. */
static void connect_nodes(struct run *r, struct faultconn *first, unsigned each) {
    struct faultload *l = &r->l;
    for (unsigned node = 0; node < l->nnodes; node++)
        for (unsigned i = 0; i < each; i++)
            faultconn_init(&first[node * each + i], &faultwork_upcalls, l, r->epoll, &l->addresses[node], node);
}

static void make_conns(struct run *r) {
    struct faultload *l = &r->l;
    const unsigned n = l->nnodes;
    r->nconns = n * (FAULTLOAD_PURGERS + FAULTLOAD_READERS + 1 + n);
    r->conns = need(r->nconns, sizeof *r->conns);
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->purgers = r->conns;
    l->readers = l->purgers + (size_t)n * FAULTLOAD_PURGERS;
    l->odd = l->readers + (size_t)n * FAULTLOAD_READERS;
    l->steady = l->odd + n;
    connect_nodes(r, l->purgers, FAULTLOAD_PURGERS);
    connect_nodes(r, l->readers, FAULTLOAD_READERS);
    connect_nodes(r, l->odd, 1);
    connect_nodes(r, l->steady, n);
}

static void begin(struct run *r) {
    r->l.now_ns = r->bucket_ns = r->said_ns = clock_ns();
    if (r->end_ns != 0) r->end_ns += r->l.now_ns;
}

/* ------------------------------------------------------------------ telling */

static void say_progress(const struct run *r) {
    const struct faultload_totals *t = &r->l.sum;
    printf("at %" PRIu64 " purges %" PRIu64 " confirmed %" PRIu64 " pending %" PRIu64 " stale %" PRIu64 "\n",
           r->l.now_ns, t->purges, t->confirmed, t->pending, t->stale);
}

static void write_seen(struct run *r) {
    struct faultload *l = &r->l;
    if (r->seen == NULL) return;
    fprintf(r->seen, "%" PRIu64, l->now_ns / MS);
    for (unsigned i = 0; i < l->nnodes; i++)
        for (unsigned j = 0; j < l->nnodes; j++)
            fprintf(r->seen, " %u,%u,%u", l->seen[i][j].hits, l->seen[i][j].misses, l->seen[i][j].errors);
    fputc('\n', r->seen);
    memset(l->seen, 0, sizeof l->seen);
}

static void say_totals(const struct run *r) {
    const struct faultload_totals *t = &r->l.sum;
#define NUMBER(name) printf("\"" #name "\":%" PRIu64 ",", t->name)
    printf("{");
    NUMBER(purges), NUMBER(confirmed), NUMBER(pending), NUMBER(refused), NUMBER(purges_lost), NUMBER(armed);
    NUMBER(reads), NUMBER(hits), NUMBER(misses), NUMBER(errors), NUMBER(reads_lost);
    NUMBER(checks), NUMBER(checks_at_once), NUMBER(swept);
    NUMBER(fills), NUMBER(filled), NUMBER(overtaken), NUMBER(unknown), NUMBER(plains), NUMBER(plains_done);
    NUMBER(stale), NUMBER(wrong), NUMBER(stuck), NUMBER(longest_round_ns);
#undef NUMBER
    printf("\"confirm_p50_ms\":%.3f,\"confirm_p99_ms\":%.3f,\"confirm_max_ms\":%.3f}\n",
           hist_quantile(&r->l.latency, 0.5) / 1e6, hist_quantile(&r->l.latency, 0.99) / 1e6,
           (double)r->l.latency.max / 1e6);
}

/* ------------------------------------------------------------------ commands */

static void obey(struct run *r, char *line) {
    const size_t i = strtoul(line + strcspn(line, " "), NULL, 10);
    if (strcmp(line, "end") == 0) {
        r->ending = true;
        r->quiet_by_ns = r->l.now_ns + 10 * S;
    } else if (strncmp(line, "confirmed ", 10) == 0 && i < r->l.npending) {
        const struct faultload_pending *p = &r->l.pending[i];
        faultmodel_purged(&r->l.model, p->key, p->count, p->asked);
    } else if (strcmp(line, "sweep") == 0) {
        r->sweeping = true;
    }
}

/* False: whoever gave the commands has gone. */
static bool read_commands(struct run *r) {
    const ssize_t n = read(STDIN_FILENO, r->command + r->command_n, sizeof r->command - 1 - r->command_n);
    char *end;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false;
    r->command_n += (size_t)n;
    while ((end = memchr(r->command, '\n', r->command_n)) != NULL) {
        *end = 0;
        obey(r, r->command);
        r->command_n -= (size_t)(end + 1 - r->command);
        memmove(r->command, end + 1, r->command_n);
    }
    return r->command_n < sizeof r->command - 1;
}

/* ------------------------------------------------------------------ rounds */

static void ask_purges(struct run *r) {
    struct faultload *l = &r->l;
    if (r->ending) return;
    r->due += r->rate * (double)(l->now_ns - r->last_ns) / 1e9;
    if (r->due > r->rate / 10 + 1) r->due = r->rate / 10 + 1; /* what could not be asked for is not made up for */
    for (unsigned tries = 0; r->due >= 1 && tries < 1000; tries++)
        if (faultwork_purge(l)) r->due--;
}

static unsigned nwaiting(const struct run *r) {
    unsigned n = 0;
    for (unsigned i = 0; i < r->nconns; i++) n += r->conns[i].nwaiting;
    return n;
}

/* Reads the next keys of the sweep; true: all have been read. */
static bool sweep(struct run *r) {
    struct faultload *l = &r->l;
    const uint64_t all = (uint64_t)l->nkeys * l->nnodes;
    for (unsigned n = nwaiting(r); n < WINDOW && l->sum.swept < all; n++) {
        const unsigned node = (unsigned)(l->sum.swept % l->nnodes);
        const bool is_there = l->readers[node * FAULTLOAD_READERS].is_open; /* a node that has left is not */
        if (is_there && !faultwork_read(l, (uint32_t)(l->sum.swept / l->nnodes), node, true)) break;
        l->sum.swept++;
    }
    return l->sum.swept == all && nwaiting(r) == 0;
}

static void look_for_stuck(struct run *r) {
    for (unsigned i = 0; i < r->nconns; i++) {
        const uint64_t since = faultconn_waits_since(&r->conns[i]);
        if (since == 0 || r->l.now_ns - since < STUCK_NS) continue;
        r->l.sum.stuck++;
        printf("STUCK at %" PRIu64 " node %u connection %u kind %u\n", r->l.now_ns, r->conns[i].node, i,
               r->conns[i].waiting[r->conns[i].first].kind);
        r->conns[i].waiting[r->conns[i].first].sent_ns = r->l.now_ns; /* said once */
    }
}

static void each_second(struct run *r) {
    if (r->l.now_ns - r->said_ns < S) return;
    r->said_ns += S;
    say_progress(r);
    look_for_stuck(r);
    const bool enough = (r->goal != 0 && r->l.sum.confirmed >= r->goal) || (r->end_ns != 0 && r->l.now_ns >= r->end_ns);
    if (enough && !r->said_enough) printf("enough\n");
    r->said_enough |= enough;
}

/* True: it is done. */
static bool one_round(struct run *r) {
    struct faultload *l = &r->l;
    for (unsigned i = 0; i < r->nconns; i++) faultconn_tick(&r->conns[i], l->now_ns);
    ask_purges(r);
    faultwork_due(l);
    if (l->now_ns - r->bucket_ns >= FAULTLOAD_BUCKET_MS * MS) {
        r->bucket_ns += FAULTLOAD_BUCKET_MS * MS;
        if (l->now_ns - r->bucket_ns > S) r->bucket_ns = l->now_ns;
        write_seen(r);
        if (!r->ending) faultwork_steady(l);
    }
    each_second(r);
    if (r->ending && !r->is_quiet && ((nwaiting(r) == 0 && l->nlater == 0) || l->now_ns > r->quiet_by_ns)) {
        r->is_quiet = true;
        printf("quiet\n");
    }
    return r->sweeping && sweep(r);
}

static void go(struct run *r) {
    struct epoll_event events[256], of_stdin = {.events = EPOLLIN};
    bool done = false;
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    epoll_ctl(r->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &of_stdin);
    while (!done) {
        const int n = epoll_wait(r->epoll, events, 256, 2);
        r->last_ns = r->l.now_ns;
        r->l.now_ns = clock_ns();
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL)
                faultconn_ready(events[i].data.ptr, events[i].events, r->l.now_ns);
            else if (!read_commands(r))
                return;
        }
        done = one_round(r);
        for (unsigned i = 0; i < r->nconns; i++) faultconn_flush(&r->conns[i]);
        const uint64_t took = clock_ns() - r->l.now_ns;
        if (took > r->l.sum.longest_round_ns) r->l.sum.longest_round_ns = took;
    }
    say_totals(r);
}

static int read_options(struct run *r, int argc, char **argv) {
    static const struct option options[] = {
        {"purges", 1, NULL, 'p'}, {"seconds", 1, NULL, 's'}, {"rate", 1, NULL, 'r'}, {"groups", 1, NULL, 'g'},
        {"seed", 1, NULL, 'e'},   {"owners", 1, NULL, 'o'},  {"seen", 1, NULL, 'b'}, {NULL, 0, NULL, 0}};
    const char *owners = NULL;
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) switch (c) {
        case 'p': r->goal = strtoull(optarg, NULL, 10); break;
        case 's': r->end_ns = strtoull(optarg, NULL, 10) * S; break;
        case 'r': r->rate = strtod(optarg, NULL); break;
        case 'g': r->l.groups = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'e': r->l.random = strtoull(optarg, NULL, 10); break;
        case 'o': owners = optarg; break;
        case 'b': r->seen = fopen(optarg, "w"); break;
        default: return -1;
        }
    for (; optind < argc && r->l.nnodes < FAULTLOAD_NODES_MAX; optind++)
        if (!read_address(argv[optind], &r->l.addresses[r->l.nnodes++])) return -1;
    if (optind < argc || r->l.nnodes == 0 || r->l.groups == 0) return -1;
    if (owners != NULL) read_owners(&r->l, owners);
    return 0;
}

int main(int argc, char **argv) {
    static struct run r = {.rate = 500, .l.groups = 3000};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (read_options(&r, argc, argv) != 0) {
        fputs(usage, stderr);
        return 2;
    }
    make_groups(&r.l);
    make_conns(&r);
    begin(&r);
    go(&r);
    for (unsigned i = 0; i < r.nconns; i++) faultconn_fini(&r.conns[i]);
    if (r.seen != NULL) fclose(r.seen);
    return r.l.sum.stale + r.l.sum.wrong + r.l.sum.stuck > 0;
}
