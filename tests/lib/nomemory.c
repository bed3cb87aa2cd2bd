/* SPDX-License-Identifier: BSD-3-Clause
 *
 * nomemory - a library for LD_PRELOAD: now and then there is no memory. The file that NOMEMORY names is mapped; it
 * holds how many of a million allocations fail, which a test changes while the process runs, and counts those that were
 * tried and that failed. The libraries that the process uses have their allocations here, too. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct nomemory {
    _Atomic uint64_t of_a_million, tried, failed;
};

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t alignment, size_t n);

static struct nomemory *wanted;

__attribute__((constructor)) static void map_wanted(void) {
    const char *path = getenv("NOMEMORY");
    const int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *p = mmap(NULL, sizeof *wanted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p != MAP_FAILED) wanted = p;
}

/* Threads draw from sequences of their own (xorshift64, Marsaglia 2003). */
static int there_is_none(void) {
    static __thread uint64_t x;
    const uint64_t n = wanted != NULL ? atomic_load_explicit(&wanted->of_a_million, memory_order_relaxed) : 0;
    if (n == 0) return 0;
    if (x == 0) x = ((uint64_t)(uintptr_t)&x ^ (uint64_t)getpid() << 48) | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    atomic_fetch_add(&wanted->tried, 1);
    if ((x >> 11) % 1000000 >= n) return 0;
    atomic_fetch_add(&wanted->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t n) {
    return there_is_none() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    return there_is_none() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n) {
    return there_is_none() ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n) {
    return there_is_none() ? NULL : __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n) {
    void *got = aligned_alloc(alignment, n);
    if (got != NULL) *p = got;
    return got != NULL ? 0 : ENOMEM;
}
