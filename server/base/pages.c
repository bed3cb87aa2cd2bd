/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "base/pages.h"

#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

void *pages_new(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p != MAP_FAILED ? p : NULL;
}

void pages_free(void *p, size_t bytes) {
    if (p != NULL) munmap(p, bytes);
}

void pages_empty(void *p, size_t bytes) {
    (void)madvise(p, bytes, MADV_DONTNEED);
}

void pages_trim_heap(void) {
    malloc_trim(0);
}

/* ------------------------------------------------------------------ of files */

#define RANGES_MAX 64

struct ranges {
    uintptr_t page;
    unsigned n;
    struct range {
        void *from;
        size_t bytes;
    } of[RANGES_MAX];
};

/* What can be written is left alone: its pages may differ from the file's. */
static int list_object(struct dl_phdr_info *info, size_t size, void *arg) {
    struct ranges *r = arg;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            for (const ElfW(Dyn) *d = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
                 d->d_tag != DT_NULL; d++)
                if (d->d_tag == DT_TEXTREL) return 0; /* and here so may those of the code */
    for (int i = 0; i < info->dlpi_phnum && r->n < RANGES_MAX; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || (p->p_flags & PF_W)) continue;
        const uintptr_t at = info->dlpi_addr + p->p_vaddr, from = at & ~(r->page - 1);
        void *start = (void *)from; // NOLINT(performance-no-int-to-ptr): the linker speaks of addresses
        r->of[r->n++] = (struct range){start, (at + p->p_filesz - from + r->page - 1) & ~(r->page - 1)};
    }
    return 0;
}

/* First all are listed, then given back: what this itself runs through is among them, and the less of it comes after,
 * the less comes back. */
void pages_shed(void) {
    struct ranges r = {.page = (uintptr_t)sysconf(_SC_PAGESIZE)};
    pages_trim_heap();
    dl_iterate_phdr(list_object, &r);
    /* That it cannot be done (mlockall) costs memory only. */
    for (unsigned i = 0; i < r.n; i++) (void)madvise(r.of[i].from, r.of[i].bytes, MADV_DONTNEED);
}
