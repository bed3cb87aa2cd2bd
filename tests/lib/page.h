/* SPDX-License-Identifier: BSD-3-Clause
 *
 * page - files of the source tree: pages that tests compare with the tables they tell of, vectors.
 */
#ifndef TAGCACHED_TESTS_PAGE_H
#define TAGCACHED_TESTS_PAGE_H

/* NULL if a page holds these lines, one right behind the other, whole, each ended by \n; else which line it lacks, the
 * caller's to free. `path` is named from the top of the source tree (TAGCACHED_SRCDIR, or the current folder). */
char *page_lacks(const char *path, const char *lines);

/* The text of a page behind one \n, ended by \0, the caller's to free; NULL when it cannot be read. */
char *page_read(const char *path);

#endif
