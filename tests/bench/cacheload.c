/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cacheload - load generator for servers that speak memcached's protocol or RESP: what is asked for on the command
 * line, and the order of phases. load.h says where the rest is.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "proc.h"

#define TRACE_DIGITS 19

static const char usage[] =
    "cacheload - load generator for memcached (text, meta or binary protocol) and RESP servers\n"
    "\n"
    "Every phase that is measured prints one JSON line. Closed loop: each connection writes one batch of\n"
    "--depth requests in a single send, waits for all replies, and writes the next. Latency is the time from\n"
    "that send to the reply of each request (with --rate: from the time the batch was due).\n"
    "Server CPU is the CPU clock of --pid between the phase's start and end, over the requests done.\n"
    "Exit status: 0 all good, 1 error replies or mismatches were seen, 2 failed.\n"
    "\n"
    "  -h, --host H          server address (127.0.0.1)\n"
    "  -p, --port N          port (11211)                     --unix PATH    unix socket instead\n"
    "  -P, --proto text|meta|binary|resp                      (text)\n"
    "  -c, --conns N         connections, over all threads (50); the report shows the least and most served one\n"
    "  -t, --threads N       client threads (1)               --cpus A,B     keep them on these CPUs, round robin\n"
    "  -d, --depth N         requests per batch (pipeline depth; 1 = one request per write)\n"
    "  -m, --multiget N      keys per get request (1). text: get k1 k2..; meta: quiet mg.. and mn; binary:\n"
    "                        getkq.. and noop; resp: MGET\n"
    "  -k, --keys N          number of keys (100000)          --base N       first key's number (0)\n"
    "  -K, --keysize B       key length (20)                  --prefix S     how keys begin (k)\n"
    "  -v, --value SPEC      N | uniform:A:B | lognormal:MEDIAN:SIGMA bytes, a function of the key (100)\n"
    "      --vmin B, --vmax B  bounds of lognormal and trace sizes (1, 1000000)\n"
    "  -z, --zipf A          key popularity exponent, 0 = uniform (0); ranks are scattered over the keys\n"
    "  -g, --getfrac F       share of requests that are gets (1.0)\n"
    "      --ttl S           expiry of sets, seconds (0)      --set-misses   set what a get missed in the next batch\n"
    "      --tags N          tags on every item set (0), neighbours among --tag-space M (1000): t0, t1, ...\n"
    "      --tag-flag G|L    how they are sent: ms ... Gt0,t1 or ms ... Lt=t0,t1, which memcached ignores (G)\n"
    "  -D, --duration S      seconds to measure (5)           -n, --ops N    stop after N requests instead\n"
    "  -w, --warmup S        seconds to run before measuring (1)\n"
    "      --rate R          open loop: R batches a second in all; latency counts queueing\n"
    "      --sleep           with --rate: sleep until the next batch is due. Without it a thread never sleeps: it\n"
    "                        is exact to the microsecond and takes a CPU\n"
    "  -f, --fill            first set every key once (prints phase \"fill\")\n"
    "      --fill-only       stop after the fill              --fill-depth N sets per write (32)\n"
    "      --scan            last, get every key once (50 per request): exact count of resident keys\n"
    "  -V, --verify          check key, size and every byte of each value got\n"
    "      --trace FILE      replay a libCacheSim oracleGeneral file: get, on a miss set with the object's size;\n"
    "                        batches of --depth gets on one connection, misses set before the next batch\n"
    "      --trace-limit N   first N records only             --trace-ttl F  lifetimes, as tracegen ttl writes them\n"
    "      --trace-speed X   X seconds of the trace to one of ours (0 = as fast as it goes); divides lifetimes too\n"
    "      --purge-rate R    beside the measured run, purge R tags a second (mp): p0, p1, ..\n"
    "      --purge-space N   of so many (1000000)             --purge-prefix S  how their names begin (p)\n"
    "      --purge-soft      mark stale instead\n"
    "      --echo PORT       beside the measured run, probe an idle echo server (with real-time priority where that "
    "is\n"
    "                        allowed): its histogram is the machine's own, and `own` is what late requests waited for\n"
    "                        beside that\n"
    "      --echo-rate R     probes a second (1000)\n"
    "      --seed N          (42)                             --seq N        keys drawn in advance per thread "
    "(4194304)\n"
    "      --pid P[,P..]     server processes for CPU and RSS --timeout S    give up when no reply comes (30)\n"
    "      --label S         copied to the JSON\n";

volatile sig_atomic_t load_signalled;

static void on_signal(int sig) {
    load_signalled = sig;
}

void load_die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "cacheload: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(2);
}

void *load_alloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) load_die("out of memory");
    return p;
}

enum {
    O_UNIX = 256,
    O_CPUS,
    O_PREFIX,
    O_BASE,
    O_VMIN,
    O_VMAX,
    O_TTL,
    O_RATE,
    O_SLEEP,
    O_FILL_ONLY,
    O_FILL_DEPTH,
    O_SCAN,
    O_TRACE,
    O_TRACE_LIMIT,
    O_TRACE_TTL,
    O_TRACE_SPEED,
    O_SEED,
    O_SEQ,
    O_PID,
    O_TIMEOUT,
    O_LABEL,
    O_HELP,
    O_TAGS,
    O_TAG_SPACE,
    O_TAG_FLAG,
    O_PURGE_RATE,
    O_PURGE_SPACE,
    O_PURGE_PREFIX,
    O_PURGE_SOFT,
    O_ECHO,
    O_ECHO_RATE,
    O_SET_MISSES
};

static const struct option options[] = {
    {"host", 1, 0, 'h'},
    {"port", 1, 0, 'p'},
    {"unix", 1, 0, O_UNIX},
    {"proto", 1, 0, 'P'},
    {"conns", 1, 0, 'c'},
    {"threads", 1, 0, 't'},
    {"cpus", 1, 0, O_CPUS},
    {"depth", 1, 0, 'd'},
    {"multiget", 1, 0, 'm'},
    {"keys", 1, 0, 'k'},
    {"base", 1, 0, O_BASE},
    {"keysize", 1, 0, 'K'},
    {"prefix", 1, 0, O_PREFIX},
    {"value", 1, 0, 'v'},
    {"vmin", 1, 0, O_VMIN},
    {"vmax", 1, 0, O_VMAX},
    {"zipf", 1, 0, 'z'},
    {"getfrac", 1, 0, 'g'},
    {"ttl", 1, 0, O_TTL},
    {"set-misses", 0, 0, O_SET_MISSES},
    {"tags", 1, 0, O_TAGS},
    {"tag-space", 1, 0, O_TAG_SPACE},
    {"tag-flag", 1, 0, O_TAG_FLAG},
    {"duration", 1, 0, 'D'},
    {"ops", 1, 0, 'n'},
    {"warmup", 1, 0, 'w'},
    {"rate", 1, 0, O_RATE},
    {"sleep", 0, 0, O_SLEEP},
    {"fill", 0, 0, 'f'},
    {"fill-only", 0, 0, O_FILL_ONLY},
    {"fill-depth", 1, 0, O_FILL_DEPTH},
    {"scan", 0, 0, O_SCAN},
    {"verify", 0, 0, 'V'},
    {"trace", 1, 0, O_TRACE},
    {"trace-limit", 1, 0, O_TRACE_LIMIT},
    {"trace-ttl", 1, 0, O_TRACE_TTL},
    {"trace-speed", 1, 0, O_TRACE_SPEED},
    {"purge-rate", 1, 0, O_PURGE_RATE},
    {"purge-space", 1, 0, O_PURGE_SPACE},
    {"purge-prefix", 1, 0, O_PURGE_PREFIX},
    {"purge-soft", 0, 0, O_PURGE_SOFT},
    {"echo", 1, 0, O_ECHO},
    {"echo-rate", 1, 0, O_ECHO_RATE},
    {"seed", 1, 0, O_SEED},
    {"seq", 1, 0, O_SEQ},
    {"pid", 1, 0, O_PID},
    {"timeout", 1, 0, O_TIMEOUT},
    {"label", 1, 0, O_LABEL},
    {"help", 0, 0, O_HELP},
    {0, 0, 0, 0},
};

static uint64_t number(const char *s) {
    char *e;
    errno = 0;
    uint64_t v = strtoull(s, &e, 10);
    if (errno || e == s || *e) load_die("not a number: %s", s);
    return v;
}

static int small_number(const char *s) {
    uint64_t v = number(s);
    if (v > 100000000) load_die("too large: %s", s);
    return (int)v;
}

static double real(const char *s) {
    char *e;
    double v = strtod(s, &e);
    if (e == s || *e || v < 0) load_die("not a number: %s", s);
    return v;
}

static int numbers(char *list, int *out, int max) {
    int n = 0;
    for (char *save, *s = strtok_r(list, ",", &save); s && n < max; s = strtok_r(NULL, ",", &save))
        out[n++] = small_number(s);
    return n;
}

static enum load_proto proto(const char *s) {
    if (!strcmp(s, "text")) return LOAD_TEXT;
    if (!strcmp(s, "meta")) return LOAD_META;
    if (!strcmp(s, "binary")) return LOAD_BINARY;
    if (!strcmp(s, "resp")) return LOAD_RESP;
    load_die("unknown protocol %s", s);
}

static void set_load_option(struct load_config *c, int o, char *arg) {
    switch (o) {
    case 'k': c->keys = number(arg); break;
    case O_BASE: c->base = number(arg); break;
    case 'K': c->key_size = small_number(arg); break;
    case O_PREFIX: c->prefix = arg; break;
    case 'v': c->value_spec = arg; break;
    case O_VMIN: c->value_min = (uint32_t)number(arg); break;
    case O_VMAX: c->value_max = (uint32_t)number(arg); break;
    case 'z': c->zipf = real(arg); break;
    case 'g': c->get_share = real(arg); break;
    case O_TTL: c->ttl = (uint32_t)number(arg); break;
    case O_SET_MISSES: c->set_misses = true; break;
    case O_TAGS: c->tags = small_number(arg); break;
    case O_TAG_SPACE: c->tag_space = number(arg); break;
    case O_TAG_FLAG: c->tag_flag = arg[0]; break;
    case O_PURGE_RATE: c->purge_rate = real(arg); break;
    case O_PURGE_SPACE: c->purge_space = number(arg); break;
    case O_PURGE_PREFIX: c->purge_prefix = arg; break;
    case O_PURGE_SOFT: c->purge_soft = true; break;
    case O_ECHO: c->echo_port = small_number(arg); break;
    case O_ECHO_RATE: c->echo_rate = real(arg); break;
    case O_TRACE: c->trace_path = arg; break;
    case O_TRACE_LIMIT: c->trace_limit = number(arg); break;
    case O_TRACE_TTL: c->trace_ttl_path = arg; break;
    case O_TRACE_SPEED: c->trace_speed = real(arg); break;
    default: fputs("try --help\n", stderr); exit(2);
    }
}

static void set_option(struct load_config *c, int o, char *arg) {
    switch (o) {
    case 'h': c->host = arg; break;
    case 'p': c->port = small_number(arg); break;
    case O_UNIX: c->unix_path = arg; break;
    case 'P': c->proto = proto(arg); break;
    case 'c': c->conns = small_number(arg); break;
    case 't': c->threads = small_number(arg); break;
    case O_CPUS: c->ncpus = numbers(arg, c->cpus, LOAD_CPUS_MAX); break;
    case 'd': c->depth = small_number(arg); break;
    case 'm': c->multiget = small_number(arg); break;
    case 'D': c->duration_s = real(arg); break;
    case 'n': c->ops = number(arg); break;
    case 'w': c->warmup_s = real(arg); break;
    case O_RATE: c->rate = real(arg); break;
    case O_SLEEP: c->sleeps = true; break;
    case 'f': c->fill = true; break;
    case O_FILL_ONLY: c->fill = c->fill_only = true; break;
    case O_FILL_DEPTH: c->fill_depth = small_number(arg); break;
    case O_SCAN: c->scan = true; break;
    case 'V': c->verify = true; break;
    case O_SEED: c->seed = number(arg); break;
    case O_SEQ: c->sequence = (uint32_t)number(arg); break;
    case O_PID: c->npids = numbers(arg, c->pids, LOAD_PIDS_MAX); break;
    case O_TIMEOUT: c->timeout_s = small_number(arg); break;
    case O_LABEL: c->label = arg; break;
    case O_HELP: fputs(usage, stdout); exit(0);
    default: set_load_option(c, o, arg);
    }
}

static void check_config(struct load_config *c) {
    if (c->trace_path) {
        c->threads = c->conns = c->multiget = 1;
        c->prefix = "";
    }
    if (c->conns < 1 || c->threads < 1 || c->threads > c->conns || c->depth < 1 || c->multiget < 1 ||
        c->multiget > 10000 || c->keys < 1 || c->keys > UINT32_MAX || c->fill_depth < 1 || c->sequence < 1 ||
        c->tags > 64 || c->tag_space < (uint64_t)c->tags || c->tag_space < 1 || c->purge_space < 1 ||
        (c->tag_flag != 'G' && c->tag_flag != 'L') || c->value_min > c->value_max || c->echo_rate <= 0)
        load_die("a number is out of range (see --help)");
    if (c->sleeps && c->rate <= 0) load_die("--sleep needs --rate");
    if (c->tags && c->proto == LOAD_RESP) load_die("RESP has no tags");
    if (c->tags && c->proto == LOAD_BINARY) load_die("sets of the binary protocol are sent without tags");
    if (c->set_misses && c->multiget > 1) load_die("--set-misses needs --multiget 1");
    c->prefix_len = (int)strlen(c->prefix);
    int digits = c->trace_path ? TRACE_DIGITS : snprintf(NULL, 0, "%" PRIu64, c->base + c->keys - 1);
    if (c->key_size > LOAD_KEY_MAX || c->key_size < c->prefix_len + digits)
        load_die("--keysize must be %d..%d", c->prefix_len + digits, LOAD_KEY_MAX);
    memset(c->key_template, '0', sizeof c->key_template);
    memcpy(c->key_template, c->prefix, (size_t)c->prefix_len);
    if (proc_allow_files((unsigned)c->conns)) load_die("cannot raise the limit of open files");
}

static const void *map_file(const char *path, size_t *len) {
    struct stat sb;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &sb)) load_die("%s: %s", path, strerror(errno));
    const void *p = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (p == MAP_FAILED) load_die("mmap %s: %s", path, strerror(errno));
    close(fd);
    *len = (size_t)sb.st_size;
    return p;
}

static void open_trace(struct load *l) {
    size_t len;
    if (!l->cfg.trace_path) return;
    l->trace = map_file(l->cfg.trace_path, &len);
    l->trace_len = len / sizeof *l->trace;
    if (!l->cfg.trace_ttl_path) return;
    l->trace_ttls = map_file(l->cfg.trace_ttl_path, &len);
    if (len / sizeof(trace_ttl) < l->trace_len) load_die("%s is too short", l->cfg.trace_ttl_path);
}

static void start_threads(struct load *l) {
    pthread_barrier_init(&l->barrier, NULL, (unsigned)l->cfg.threads + 1);
    l->threads = load_alloc((size_t)l->cfg.threads, sizeof *l->threads);
    for (int i = 0; i < l->cfg.threads; i++) {
        struct load_thread *t = &l->threads[i];
        t->load = l;
        t->cfg = &l->cfg;
        t->id = i;
        if (pthread_create(&t->thread, NULL, load_run, t)) load_die("cannot start a thread");
    }
}

static void stop_threads(struct load *l) {
    l->leaving = true;
    pthread_barrier_wait(&l->barrier);
    for (int i = 0; i < l->cfg.threads; i++) pthread_join(l->threads[i].thread, NULL);
    pthread_barrier_destroy(&l->barrier);
    free(l->threads);
}

static bool run_phases(struct load *l) {
    const struct load_config *c = &l->cfg;
    bool bad = false;
    if (c->fill) bad |= load_report_phase(l, LOAD_FILL, "fill", true);
    if (c->trace_path)
        bad |= load_report_phase(l, LOAD_TRACE, "trace", true);
    else if (!c->fill_only && (c->ops || c->duration_s > 0) && !load_signalled) {
        if (c->warmup_s > 0) bad |= load_report_phase(l, LOAD_WARM, "warmup", false);
        bad |= load_report_phase(l, LOAD_RUN, "run", true);
    }
    if (c->scan && !load_signalled) bad |= load_report_phase(l, LOAD_SCAN, "scan", true);
    return bad;
}

int main(int argc, char **argv) {
    static struct load l = {.cfg = {.host = "127.0.0.1",
                                    .prefix = "k",
                                    .label = "",
                                    .value_spec = "100",
                                    .port = 11211,
                                    .conns = 50,
                                    .threads = 1,
                                    .depth = 1,
                                    .multiget = 1,
                                    .fill_depth = 32,
                                    .keys = 100000,
                                    .seed = 42,
                                    .key_size = 20,
                                    .value_min = 1,
                                    .value_max = 1000000,
                                    .get_share = 1,
                                    .duration_s = 5,
                                    .warmup_s = 1,
                                    .sequence = 1u << 22,
                                    .tag_space = 1000,
                                    .tag_flag = 'G',
                                    .purge_space = 1000000,
                                    .purge_prefix = "p",
                                    .echo_rate = 1000,
                                    .timeout_s = 30}};
    struct load_config *c = &l.cfg;
    for (int o; (o = getopt_long(argc, argv, "h:p:P:c:t:d:m:k:K:v:z:g:D:n:w:fV", options, NULL)) != -1;)
        set_option(c, o, optarg);
    if (optind < argc) load_die("unexpected argument %s", argv[optind]);
    check_config(c);
    open_trace(&l);
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    if (!value_init(&l.values, c->seed, c->value_spec, c->value_min, c->value_max, c->trace_path ? c->value_max : 0))
        load_die("bad --value %s", c->value_spec);
    start_threads(&l);
    bool bad = run_phases(&l);
    stop_threads(&l);
    value_fini(&l.values);
    return bad;
}
