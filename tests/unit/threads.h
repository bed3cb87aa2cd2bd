/* SPDX-License-Identifier: BSD-3-Clause
 *
 * threads - waiting for threads that may never come: with a limit, so that a broken rule fails its test instead of
 * hanging it.
 */
#ifndef TAGCACHED_TESTS_THREADS_H
#define TAGCACHED_TESTS_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define THREADS_PATIENCE_S 20

/* Joins a thread. False: it has not ended in THREADS_PATIENCE_S; it goes on, so the program should end soon. */
static inline bool threads_join(pthread_t t) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += THREADS_PATIENCE_S;
    return pthread_timedjoin_np(t, NULL, &until) == 0;
}

static inline time_t threads_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* Waits until a thread of this process sleeps in the kernel: it neither runs nor is ready to. False: it does not. */
static inline bool threads_await_sleep(int tid) {
    char path[64], text[256] = "", state = '?';
    const time_t until = threads_now_s() + THREADS_PATIENCE_S;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    while (state != 'S' && threads_now_s() < until) {
        FILE *f = fopen(path, "r");
        if (f != NULL) {
            if (fgets(text, sizeof text, f) == NULL) text[0] = '\0';
            fclose(f);
        }
        const char *end = text;
        for (const char *p = text; *p; p++)
            if (*p == ')') end = p;
        if (sscanf(end, ") %c", &state) != 1) state = '?';
        sched_yield();
    }
    return state == 'S';
}

/* A processor that this program may use. */
static inline int threads_first_cpu(void) {
    cpu_set_t mine;
    CPU_ZERO(&mine);
    (void)sched_getaffinity(0, sizeof mine, &mine);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &mine)) return i;
    return 0;
}

#endif
