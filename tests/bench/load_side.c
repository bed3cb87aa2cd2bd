/* SPDX-License-Identifier: BSD-3-Clause
 *
 * load_side - threads beside the load: one purges tags at a steady rate, one measures an idle echo server, whose worst
 * latencies are the machine's own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load.h"
#include "proc.h"

static void sleep_until(uint64_t at_ns) {
    struct timespec t = {.tv_sec = (time_t)(at_ns / 1000000000), .tv_nsec = (long)(at_ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

/* Sends n bytes and reads one line back. Its length without the line end, -1 when the connection broke. */
static int exchange(int fd, const char *p, size_t n, char *reply, size_t cap) {
    if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t)n) return -1;
    for (size_t got = 0; got < cap;) {
        ssize_t r = recv(fd, reply + got, cap - got, 0);
        if (r <= 0) return -1;
        got += (size_t)r;
        if (reply[got - 1] == '\n') return (int)got - 2;
    }
    return -1;
}

/* Repeats a request at `rate`; an answer must begin with `good`. Latency counts from when it was due. */
static void repeat(struct load_side *s, int fd, double rate, int (*make)(const struct load_side *, char *, size_t),
                   const char *good) {
    char request[512], reply[512];
    uint64_t start = proc_now_ns();
    for (uint64_t i = 0; !s->stop; i++) {
        uint64_t due = start + (uint64_t)((double)i * 1e9 / rate);
        sleep_until(due);
        int n = make(s, request, sizeof request);
        if (exchange(fd, request, (size_t)n, reply, sizeof reply) < 0) {
            if (!s->stop) s->failed++;
            break;
        }
        uint64_t now = proc_now_ns();
        hist_add(&s->latency, now - due);
        if (now - due >= LOAD_STALL_NS) late_join(&s->stalls, due, now);
        s->done++;
        if (strncasecmp(reply, good, strlen(good)) != 0 && s->failed++ == 0)
            fprintf(stderr, "side request refused: %.60s\n", reply);
    }
}

static int make_purge(const struct load_side *s, char *p, size_t cap) {
    const struct load_config *cfg = &s->load->cfg;
    return snprintf(p, cap, "mp %s%" PRIu64 "%s\r\n", cfg->purge_prefix, s->done % cfg->purge_space,
                    cfg->purge_soft ? " I" : "");
}

static int make_echo(const struct load_side *s, char *p, size_t cap) {
    (void)s;
    return snprintf(p, cap, "mn\r\n");
}

static void *purge_thread(void *arg) {
    struct load_side *s = arg;
    const struct load_config *cfg = &s->load->cfg;
    if (cfg->ncpus) proc_pin(cfg->cpus[0]);
    int fd = load_connect(cfg, cfg->unix_path ? 0 : cfg->port);
    repeat(s, fd, cfg->purge_rate, make_purge, "HD");
    close(fd);
    return NULL;
}

/* Before all others on its CPU, if that is allowed: so what it waits for is neither the load nor the server. */
static void *echo_thread(void *arg) {
    struct load_side *s = arg;
    const struct load_config *cfg = &s->load->cfg;
    const struct sched_param first = {.sched_priority = 1};
    if (cfg->ncpus) proc_pin(cfg->cpus[0]);
    (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
    int fd = load_connect(cfg, cfg->echo_port);
    repeat(s, fd, cfg->echo_rate, make_echo, "mn");
    close(fd);
    return NULL;
}

static void start(struct load *l, struct load_side *s, void *(*fn)(void *)) {
    late_free(&s->stalls);
    memset(s, 0, sizeof *s);
    s->load = l;
    if (pthread_create(&s->thread, NULL, fn, s)) load_die("cannot start a thread");
    s->running = true;
}

static void stop(struct load_side *s) {
    if (!s->running) return;
    s->stop = true;
    pthread_join(s->thread, NULL);
    s->running = false;
}

void load_side_start(struct load *l) {
    if (l->cfg.purge_rate > 0) start(l, &l->purger, purge_thread);
    if (l->cfg.echo_port) start(l, &l->echo, echo_thread);
}

void load_side_stop(struct load *l) {
    stop(&l->purger);
    stop(&l->echo);
}
