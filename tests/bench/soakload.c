/* SPDX-License-Identifier: BSD-3-Clause
 *
 * soakload - load of every kind, checked reply by reply (soak.h), reported in intervals.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proc.h"
#include "soak.h"

static const char usage[] =
    "usage: soakload [options]\n"
    "Gets (one, many, meta), sets, deletes, touches, items that expire, values from nothing to --value-max, tags that "
    "are\n"
    "purged hard and soft, alone and in pairs, connections that end, are cut off in the middle and read late. Every "
    "reply\n"
    "is checked against what a correct cache may answer. One JSON line an interval, one for the whole at the end.\n"
    "Exit status: 0 all good, 1 something wrong came back, 2 failed.\n"
    "  -h, --host H       (127.0.0.1)               -p, --port N       (11211)\n"
    "  -t, --threads N    load threads (2)          -c, --conns N      connections of each (32)\n"
    "  -k, --keys N       keys of each (50000)      -D, --duration S   seconds (10)\n"
    "      --interval S   seconds to a report (5)   --value-max B      longest value (8388608)\n"
    "      --purge-rate R purges a second (50; 0: none)\n"
    "      --plain        no tags and no purges: for memcached\n"
    "      --pid P        the server's: report its memory and CPU\n"
    "      --seed N       (1)\n";

void soak_die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "soakload: ");
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(2);
}

/* Mostly small, some large, a few very large: 60 % up to 200 bytes, 30 % to 4 KiB, 9 % to 64 KiB, 1 % to 1 MiB, 0.02 %
 * to the longest. */
static void size_values(struct value_model *v, uint32_t longest) {
    for (unsigned i = 0; i < 65536; i++) {
        double q = (i + 0.5) / 65536, lo, hi, from, to;
        if (q < .6)
            from = 0, to = .6, lo = 0, hi = 200;
        else if (q < .9)
            from = .6, to = .9, lo = 200, hi = 4096;
        else if (q < .99)
            from = .9, to = .99, lo = 4096, hi = 65536;
        else if (q < .9998)
            from = .99, to = .9998, lo = 65536, hi = 1 << 20;
        else
            from = .9998, to = 1, lo = 1 << 20, hi = 8 << 20;
        double size = lo + (hi - lo) * (q - from) / (to - from);
        v->sizes[i] = size > longest ? longest : (uint32_t)size;
    }
}

static void add_counts(struct soak_counts *to, const struct soak_counts *x) {
    for (int i = 0; i < SOAK_KINDS; i++) to->ops[i] += x->ops[i];
    to->hits += x->hits;
    to->refused += x->refused;
    to->mismatches += x->mismatches;
    to->unexpected += x->unexpected;
    to->closed += x->closed;
    to->reconnects += x->reconnects;
    to->aborted += x->aborted;
    to->bytes += x->bytes;
}

static void print_report(const struct soak *s, const char *phase, double at_s, double seconds,
                         const struct soak_counts *c, const struct hist *latency, double cpu_ns) {
    static const char *const names[SOAK_KINDS] = {"get", "mg", "multiget", "peek", "set", "delete", "touch"};
    struct proc_usage u = proc_usage(&(pid_t){s->pid}, s->pid ? 1 : 0);
    uint64_t ops = 0;
    printf("{\"phase\":\"%s\",\"at_s\":%.1f,\"seconds\":%.1f", phase, at_s, seconds);
    for (int i = 0; i < SOAK_KINDS; i++) {
        printf(",\"%s\":%" PRIu64, names[i], c->ops[i]);
        ops += c->ops[i];
    }
    printf(",\"ops_per_s\":%.0f,\"hits\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"mismatches\":%" PRIu64
           ",\"unexpected\":%" PRIu64 ",\"closed\":%" PRIu64 ",\"reconnects\":%" PRIu64 ",\"aborted\":%" PRIu64
           ",\"MB_per_s\":%.1f,\"purges\":%" PRIu64 ",\"purges_refused\":%" PRIu64
           ",\"rss_kb\":%.0f,\"cpu_s\":%.2f,\"lat_us\":",
           (double)ops / seconds, c->hits, c->refused, c->mismatches, c->unexpected, c->closed, c->reconnects,
           c->aborted, (double)c->bytes / seconds / 1e6, atomic_load(&s->purges.done), atomic_load(&s->purges.refused),
           u.rss_kb, (u.cpu_ns - cpu_ns) / 1e9);
    hist_print_us(latency, stdout);
    printf("}\n");
    fflush(stdout);
}

/* Takes what the threads counted since the last time. */
static void collect(struct soak *s, struct soak_counts *counts, struct hist *latency) {
    for (unsigned i = 0; i < s->threads; i++) {
        struct soak_thread *t = &s->thread[i];
        pthread_mutex_lock(&t->lock);
        add_counts(counts, &t->counts);
        hist_merge(latency, &t->latency);
        memset(&t->counts, 0, sizeof t->counts);
        memset(&t->latency, 0, sizeof t->latency);
        pthread_mutex_unlock(&t->lock);
    }
}

static void start(struct soak *s) {
    s->thread = calloc(s->threads, sizeof *s->thread);
    if (!s->thread) soak_die("out of memory");
    for (unsigned i = 0; i < s->threads; i++) {
        struct soak_thread *t = &s->thread[i];
        t->soak = s;
        t->id = i;
        t->rng = rng_mix(s->seed * 131 + i);
        t->keys = calloc(s->keys, sizeof *t->keys);
        if (!t->keys) soak_die("out of memory");
        pthread_mutex_init(&t->lock, NULL);
    }
    for (unsigned i = 0; i < s->threads; i++)
        if (pthread_create(&s->thread[i].thread, NULL, soak_run, &s->thread[i])) soak_die("no thread");
    if (s->purge_rate > 0 && pthread_create(&s->purger, NULL, soak_purge, s)) soak_die("no thread");
}

static bool watch_over(struct soak *s) {
    static struct hist part, whole;
    struct soak_counts sum = {0};
    uint64_t begin = proc_now_ns(), last = begin;
    double cpu = proc_usage(&(pid_t){s->pid}, s->pid ? 1 : 0).cpu_ns, cpu_begin = cpu, at = 0;
    while (at < s->duration_s) {
        double step = s->duration_s - at < s->interval_s ? s->duration_s - at : s->interval_s;
        struct soak_counts c = {0};
        nanosleep(&(struct timespec){(time_t)step, (long)((step - (double)(time_t)step) * 1e9)}, NULL);
        memset(&part, 0, sizeof part);
        collect(s, &c, &part);
        uint64_t now = proc_now_ns();
        at = (double)(now - begin) / 1e9;
        print_report(s, "interval", at, (double)(now - last) / 1e9, &c, &part, cpu);
        cpu = proc_usage(&(pid_t){s->pid}, s->pid ? 1 : 0).cpu_ns;
        last = now;
        add_counts(&sum, &c);
        hist_merge(&whole, &part);
    }
    s->stop = true;
    for (unsigned i = 0; i < s->threads; i++) pthread_join(s->thread[i].thread, NULL);
    if (s->purge_rate > 0) pthread_join(s->purger, NULL);
    collect(s, &sum, &whole);
    at = (double)(proc_now_ns() - begin) / 1e9;
    print_report(s, "total", at, at, &sum, &whole, cpu_begin);
    return sum.mismatches || sum.unexpected || s->purges.refused;
}

int main(int argc, char **argv) {
    enum { O_INTERVAL = 256, O_VALUE_MAX, O_PURGE_RATE, O_PLAIN, O_PID, O_SEED, O_HELP };
    static const struct option options[] = {{"host", 1, 0, 'h'},
                                            {"port", 1, 0, 'p'},
                                            {"threads", 1, 0, 't'},
                                            {"conns", 1, 0, 'c'},
                                            {"keys", 1, 0, 'k'},
                                            {"duration", 1, 0, 'D'},
                                            {"interval", 1, 0, O_INTERVAL},
                                            {"value-max", 1, 0, O_VALUE_MAX},
                                            {"purge-rate", 1, 0, O_PURGE_RATE},
                                            {"plain", 0, 0, O_PLAIN},
                                            {"pid", 1, 0, O_PID},
                                            {"seed", 1, 0, O_SEED},
                                            {"help", 0, 0, O_HELP},
                                            {0, 0, 0, 0}};
    static struct soak s = {.host = "127.0.0.1",
                            .port = 11211,
                            .threads = 2,
                            .conns = 32,
                            .keys = 50000,
                            .duration_s = 10,
                            .interval_s = 5,
                            .purge_rate = 50,
                            .value_max = 8 << 20,
                            .seed = 1,
                            .tags = true};
    for (int o; (o = getopt_long(argc, argv, "h:p:t:c:k:D:", options, NULL)) != -1;) switch (o) {
        case 'h': s.host = optarg; break;
        case 'p': s.port = atoi(optarg); break;
        case 't': s.threads = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'c': s.conns = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'k': s.keys = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'D': s.duration_s = atof(optarg); break;
        case O_INTERVAL: s.interval_s = atof(optarg); break;
        case O_VALUE_MAX: s.value_max = (uint32_t)strtoul(optarg, NULL, 10); break;
        case O_PURGE_RATE: s.purge_rate = atof(optarg); break;
        case O_PLAIN:
            s.tags = false;
            s.purge_rate = 0;
            break;
        case O_PID: s.pid = atoi(optarg); break;
        case O_SEED: s.seed = strtoull(optarg, NULL, 10); break;
        case O_HELP: return fputs(usage, stdout) < 0;
        default: fputs(usage, stderr); return 2;
        }
    if (optind < argc || s.threads < 1 || s.threads > 99 || s.conns < 1 || s.keys < s.conns * SOAK_BATCH * 4 ||
        s.keys > 99999999 || s.duration_s <= 0 || s.interval_s <= 0 || s.purge_rate < 0 || s.value_max > 64u << 20)
        soak_die("a number is out of range (see --help; --keys is at least 64 times --conns)");
    signal(SIGPIPE, SIG_IGN);
    if (proc_allow_files(s.threads * s.conns + 16)) soak_die("cannot raise the limit of open files");
    if (!value_init(&s.values, s.seed, "0", 0, 0, s.value_max > 1 << 20 ? s.value_max : 1 << 20))
        soak_die("out of memory");
    size_values(&s.values, s.value_max);
    snprintf(s.run, sizeof s.run, "s%06x.", (unsigned)(rng_mix(proc_now_ns()) & 0xffffff));
    start(&s);
    bool bad = watch_over(&s);
    for (unsigned i = 0; i < s.threads; i++) free(s.thread[i].keys);
    free(s.thread);
    value_fini(&s.values);
    return bad;
}
