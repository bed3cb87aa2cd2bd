/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_quality - how much a client wants one of the things that an Accept header lists (RFC 9110, 12.4.2). Pure; any
 * thread.
 */
#ifndef TAGCACHED_HTTP_HTTP_QUALITY_H
#define TAGCACHED_HTTP_HTTP_QUALITY_H

#include <stddef.h>

/* The highest q of the members of the list that are `what`, with or without parameters, in thousandths; 1000 for one
 * without a q, 0: there is none. Letters count as they are written. p may be NULL if n is 0. */
unsigned http_quality(const char *p, size_t n, const char *what);

#endif
