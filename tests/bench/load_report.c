/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load_report - runs a phase and prints what it measured, one JSON object a line.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "proc.h"

static void add_stats(struct load_stats *sum, const struct load_stats *x) {
    sum->requests += x->requests;
    sum->gets += x->gets;
    sum->sets += x->sets;
    sum->hits += x->hits;
    sum->misses += x->misses;
    sum->not_stored += x->not_stored;
    sum->errors += x->errors;
    sum->mismatches += x->mismatches;
    sum->bytes_in += x->bytes_in;
    sum->bytes_out += x->bytes_out;
    sum->hit_bytes += x->hit_bytes;
    sum->trace_gets += x->trace_gets;
    sum->trace_misses += x->trace_misses;
    sum->trace_get_bytes += x->trace_get_bytes;
    sum->trace_miss_bytes += x->trace_miss_bytes;
    hist_merge(&sum->latency, &x->latency);
}

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static void print_what(const struct load_config *cfg, enum load_phase phase, const char *name) {
    static const char *const protos[] = {"text", "meta", "resp", "binary"};
    printf("{\"label\":\"%s\",\"phase\":\"%s\",\"proto\":\"%s\",\"conns\":%d,\"threads\":%d,\"depth\":%d,"
           "\"multiget\":%d,\"keys\":%" PRIu64
           ",\"key_size\":%d,\"value\":\"%s\",\"zipf\":%g,\"get_share\":%g,\"tags\":%d",
           cfg->label, name, protos[cfg->proto], cfg->conns, cfg->threads,
           phase == LOAD_FILL ? cfg->fill_depth : cfg->depth, cfg->multiget, cfg->keys, cfg->key_size, cfg->value_spec,
           cfg->zipf, cfg->get_share, cfg->tags);
}

static void print_counts(const struct load_stats *s, double seconds) {
    printf(",\"seconds\":%.3f,\"requests\":%" PRIu64 ",\"req_per_s\":%.0f,\"keys_per_s\":%.0f,\"gets\":%" PRIu64
           ",\"sets\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"misses\":%" PRIu64 ",\"hit_ratio\":%.6f,\"hit_bytes\":%" PRIu64
           ",\"not_stored\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"mismatches\":%" PRIu64
           ",\"MB_in_per_s\":%.1f,\"MB_out_per_s\":%.1f,\"lat_us\":",
           seconds, s->requests, ratio((double)s->requests, seconds), ratio((double)(s->gets + s->sets), seconds),
           s->gets, s->sets, s->hits, s->misses, ratio((double)s->hits, (double)s->gets), s->hit_bytes, s->not_stored,
           s->errors, s->mismatches, ratio((double)s->bytes_in, seconds * 1e6),
           ratio((double)s->bytes_out, seconds * 1e6));
    hist_print_us(&s->latency, stdout);
}

static void print_server(const struct proc_usage *a, const struct proc_usage *b, const struct load_stats *s,
                         double seconds) {
    double cpu_us = (b->cpu_ns - a->cpu_ns) / 1e3, user = b->user_s - a->user_s, sys = b->sys_s - a->sys_s;
    printf(",\"server_cpu_us_per_req\":%.4f,\"server_cpu_us_per_key\":%.4f,\"server_user_share\":%.3f,"
           "\"server_cpu_util\":%.3f,\"server_rss_kb\":%.0f",
           ratio(cpu_us, (double)s->requests), ratio(cpu_us, (double)(s->gets + s->sets)), ratio(user, user + sys),
           ratio(cpu_us / 1e6, seconds), b->rss_kb);
}

static void print_side(const char *name, const struct load_side *s) {
    printf(",\"%s\":{\"done\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"lat_us\":", name, s->done, s->failed);
    hist_print_us(&s->latency, stdout);
    printf("}");
}

/* What the late requests waited for beside the machine: how many for more than 5 ms; the longest, and its whole wait.
 */
static void print_own(const struct load *l) {
    uint64_t over = 0, most = 0, of = 0, lost = l->echo.stalls.lost;
    for (int i = 0; i < l->cfg.threads; i++) {
        const struct late *late = &l->threads[i].stats.late;
        lost += late->lost;
        for (size_t k = 0; k < late->n; k++) {
            uint64_t own = late_own(&late->wait[k], &l->echo.stalls);
            over += own > 5000000;
            if (own <= most) continue;
            most = own;
            of = late->wait[k].to_ns - late->wait[k].from_ns;
        }
    }
    if (lost) load_die("no memory to remember late requests");
    printf(",\"own\":{\"over_5ms\":%" PRIu64 ",\"max\":%.1f,\"of\":%.1f}", over, (double)most / 1e3, (double)of / 1e3);
}

/* How evenly the connections were served: the least and the most of any of them, over the mean. */
static void print_shares(const struct load *l) {
    uint64_t least = UINT64_MAX, most = 0, sum = 0;
    for (int i = 0; i < l->cfg.threads; i++)
        for (int j = 0; j < l->threads[i].nconns; j++) {
            uint64_t n = l->threads[i].conns[j].answered;
            if (n < least) least = n;
            if (n > most) most = n;
            sum += n;
        }
    double mean = (double)sum / l->cfg.conns;
    printf(",\"conn_share\":{\"mean\":%.1f,\"least\":%.3f,\"most\":%.3f}", mean, ratio((double)least, mean),
           ratio((double)most, mean));
}

bool load_report_phase(struct load *l, enum load_phase phase, const char *name, bool print) {
    const struct load_config *cfg = &l->cfg;
    struct load_stats *s = load_alloc(1, sizeof *s);
    l->phase = phase;
    if (phase == LOAD_RUN) load_side_start(l);
    struct proc_usage before = proc_usage(cfg->pids, cfg->npids);
    double self = proc_self_cpu_ns();
    uint64_t start = proc_now_ns(), last = start;
    pthread_barrier_wait(&l->barrier);
    pthread_barrier_wait(&l->barrier);
    struct proc_usage after = proc_usage(cfg->pids, cfg->npids);
    self = proc_self_cpu_ns() - self;
    if (phase == LOAD_RUN) load_side_stop(l);
    for (int i = 0; i < cfg->threads; i++) {
        add_stats(s, &l->threads[i].stats);
        if (l->threads[i].last_ns > last) last = l->threads[i].last_ns;
    }
    bool bad = s->errors || s->mismatches || l->purger.failed || l->echo.failed;
    double seconds = (double)(last - start) / 1e9;
    if (print) {
        print_what(cfg, phase, name);
        print_counts(s, seconds);
        printf(",\"client_cpu_us_per_req\":%.3f,\"client_cpu_util\":%.3f", ratio(self / 1e3, (double)s->requests),
               ratio(self / 1e9, seconds));
        if (cfg->npids) print_server(&before, &after, s, seconds);
        if (phase == LOAD_RUN) print_shares(l);
        if (phase == LOAD_RUN && cfg->purge_rate > 0) print_side("purges", &l->purger);
        if (phase == LOAD_RUN && cfg->echo_port) {
            print_side("echo", &l->echo);
            print_own(l);
        }
        if (phase == LOAD_TRACE)
            printf(",\"trace_gets\":%" PRIu64 ",\"trace_misses\":%" PRIu64
                   ",\"miss_ratio\":%.6f,\"byte_miss_ratio\":%.6f",
                   s->trace_gets, s->trace_misses, ratio((double)s->trace_misses, (double)s->trace_gets),
                   ratio((double)s->trace_miss_bytes, (double)s->trace_get_bytes));
        printf("}\n");
        fflush(stdout);
    }
    free(s);
    return bad;
}
