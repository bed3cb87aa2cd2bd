/* SPDX-License-Identifier: BSD-3-Clause
 *
 * proc - CPU time and memory of other processes, and pinning one's own threads. Any thread.
 */
#ifndef TAGCACHED_BENCH_PROC_H
#define TAGCACHED_BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct proc_usage {
    double cpu_ns;        /* of all threads, from the process's CPU clock (not the 10 ms ticks) */
    double user_s, sys_s; /* from the ticks: good for their ratio only */
    double rss_kb;
};

/* The sum over n processes; one that is gone counts nothing. */
struct proc_usage proc_usage(const pid_t *pids, int n);
/* CPU time of this process, nanoseconds. */
double proc_self_cpu_ns(void);
/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t proc_now_ns(void);
/* Keeps the calling thread on one CPU; a CPU that does not exist is left alone. */
void proc_pin(int cpu);
/* Raises the limit of open files to hold n more; 0 or -errno. */
int proc_allow_files(unsigned n);

#endif
