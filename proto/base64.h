/* SPDX-License-Identifier: BSD-3-Clause
 *
 * base64 - keys in base64 (RFC 4648, section 4, padded), as the meta flag `b` has them. Pure functions.
 */
#ifndef TAGCACHED_PROTO_BASE64_H
#define TAGCACHED_PROTO_BASE64_H

#include <stddef.h>

/* Decodes p[0..n) into out, which holds 3 * n / 4 bytes. Returns the bytes written; 0 when it is not valid. */
size_t base64_decode(const char *p, size_t n, char *out);
/* Encodes p[0..n) into out, which holds 4 * (n + 2) / 3 bytes. Returns the bytes written. */
size_t base64_encode(const char *p, size_t n, char *out);

#endif
