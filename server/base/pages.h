/* SPDX-License-Identifier: BSD-3-Clause
 *
 * pages - memory that starting needed and serving does not.
 */
#ifndef TAGCACHED_BASE_PAGES_H
#define TAGCACHED_BASE_PAGES_H

/* Takes the program's and its libraries' read-only pages off this process: they come back from the page cache when they
 * are next used (a minor fault each, see madvise(2), MADV_DONTNEED). The dynamic linker alone has touched 2 to 3 MB of
 * them by then, which would count as resident for good. Also gives free heap back. Any thread. */
void pages_shed(void);

#endif
