/* SPDX-License-Identifier: BSD-3-Clause
 *
 * erase_heap - the daemon's free and realloc: what is given back is overwritten first, once that is wanted (--erase).
 *
 * The linker resolves the calls of the libraries (OpenSSL, libevent, jansson, libc itself) to these, too, so nobody has
 * to be asked to clear his buffers, and none can be forgotten. The work is done by those that the program would have
 * had without them: libc's, or those of an allocator that was preloaded. Sanitizers have a heap of their own and need
 * to see every call, so builds with them leave this out. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/erase.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEAP_IS_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define HEAP_IS_SANITIZED
#endif
#endif

#ifndef HEAP_IS_SANITIZED

static void (*next_free)(void *p);
static void *(*next_realloc)(void *p, size_t n);

/* Before main, and before there are threads. Whoever frees even earlier comes here first, too. */
__attribute__((constructor)) static void find_next(void) {
    next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
}

__attribute__((visibility("default"))) void free(void *p) {
    if (next_free == NULL) find_next();
    if (p != NULL && erase_heap_wanted()) erase_bytes(p, malloc_usable_size(p));
    next_free(p);
}

/* Never in place: what was cut off would stay as it is. */
static void *move(void *p, size_t n) {
    void *to = n > 0 ? malloc(n) : NULL;
    const size_t had = malloc_usable_size(p);
    if (n > 0 && to == NULL) return NULL;
    if (n > 0) memcpy(to, p, had < n ? had : n);
    free(p);
    return to;
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t n) {
    if (next_realloc == NULL) find_next();
    return p != NULL && erase_heap_wanted() ? move(p, n) : next_realloc(p, n);
}

#endif
