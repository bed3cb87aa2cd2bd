/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "proc.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void add_stat(struct proc_usage *u, pid_t pid) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f) return;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    unsigned long user, sys;
    long pages;
    const char *p = strrchr(text, ')'); /* the name before it may hold anything */
    if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
                     &user, &sys, &pages) != 3)
        return;
    double hz = (double)sysconf(_SC_CLK_TCK);
    u->user_s += (double)user / hz;
    u->sys_s += (double)sys / hz;
    u->rss_kb += (double)pages * (double)sysconf(_SC_PAGESIZE) / 1024;
}

struct proc_usage proc_usage(const pid_t *pids, int n) {
    struct proc_usage u = {0};
    for (int i = 0; i < n; i++) {
        clockid_t clock;
        struct timespec t;
        if (!clock_getcpuclockid(pids[i], &clock) && !clock_gettime(clock, &t))
            u.cpu_ns += (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
        add_stat(&u, pids[i]);
    }
    return u;
}

double proc_self_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

uint64_t proc_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void proc_pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

int proc_allow_files(unsigned n) {
    struct rlimit r;
    rlim_t want = (rlim_t)n + 64;
    if (getrlimit(RLIMIT_NOFILE, &r)) return -errno;
    if (r.rlim_cur >= want) return 0;
    r.rlim_cur = want;
    if (r.rlim_max < want) r.rlim_max = want;
    return setrlimit(RLIMIT_NOFILE, &r) ? -errno : 0;
}
