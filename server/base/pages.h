/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pages - memory by the page: taken as it is touched, given back when it is not needed any more.
 */
#ifndef TAGCACHED_BASE_PAGES_H
#define TAGCACHED_BASE_PAGES_H

#include <stddef.h>

/* Zeroed memory of this many bytes, at least 1, that is resident as it is touched, page by page (mmap(2)): for tables
 * larger than what is used of them. The heap may make such a one of memory that it had, and so touches all to clear it.
 * Begins with a page. NULL: there is no room. Any thread. */
void *pages_new(size_t bytes);
/* Frees what pages_new gave for as many bytes. p may be NULL. Any thread. */
void pages_free(void *p, size_t bytes);
/* Gives its pages back but keeps their addresses: it is all zeros again (madvise(2), MADV_DONTNEED). Any thread. */
void pages_empty(void *p, size_t bytes);

/* Gives back what the heap holds and nobody uses, down to single pages: the allocator by itself gives back only its
 * end. Whoever allocates meanwhile may wait, about 0.1 ms for each MiB that goes. Any thread. */
void pages_trim_heap(void);

/* Takes the program's and its libraries' read-only pages off this process: they come back from the page cache when they
 * are next used (a minor fault each, see madvise(2), MADV_DONTNEED). The dynamic linker alone has touched 2 to 3 MB of
 * them by then, which would count as resident for good. Trims the heap, too. Any thread. */
void pages_shed(void);

#endif
