/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE
#include "base/erase.h"

#include <string.h>

#include "base/sync.h"

#define STACK_BYTES (256u * 1024) /* more than a request's calls use; a thread has 8 MiB */

static uint32_t heap_wanted; /* atomic */

void erase_bytes(void *p, size_t n) {
    if (n > 0) explicit_bzero(p, n);
}

__attribute__((noinline)) void erase_stack(void) {
    char below[STACK_BYTES];
    erase_bytes(below, sizeof below);
}

void erase_heap(void) {
    sync_store(&heap_wanted, 1);
}

bool erase_heap_wanted(void) {
    return sync_load(&heap_wanted) != 0;
}
