/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_gzip - answers compressed, for clients that ask for it (Accept-Encoding; RFC 9110, 12.5.3). Pure; any thread.
 */
#ifndef TAGCACHED_HTTP_HTTP_GZIP_H
#define TAGCACHED_HTTP_HTTP_GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "http/http_request.h"

/* Whether the client takes gzip. */
bool http_gzip_wanted(const struct http_request *r);
/* Compresses p[0..n): the result is from malloc, *size bytes, the caller's to free. NULL: no memory. */
char *http_gzip(const char *p, size_t n, size_t *size);

#endif
