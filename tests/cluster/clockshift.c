/* SPDX-License-Identifier: BSD-3-Clause
 *
 * clockshift - moves one process's wall clock: a library for LD_PRELOAD. The file that CLOCKSHIFT names holds a number
 * of seconds, a signed 64-bit integer; what the process reads as the time of day is so much later. It is mapped, so a
 * test changes it while the process runs. CLOCK_BOOTTIME, CLOCK_MONOTONIC and the clocks of CPU time stay as they are.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;

__attribute__((constructor)) static void map_shift(void) {
    const char *path = getenv("CLOCKSHIFT");
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *p = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) shift = p;
}

static int64_t shifted_by(clockid_t clock) {
    const int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    return is_wall && shift != NULL ? *shift : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    static int (*next)(clockid_t, struct timespec *);
    if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    const int r = next(clock, t);
    if (r == 0) t->tv_sec += shifted_by(clock);
    return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (out != NULL) *out = now.tv_sec;
    return now.tv_sec;
}
