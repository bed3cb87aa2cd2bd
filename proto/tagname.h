/* SPDX-License-Identifier: BSD-3-Clause
 *
 * tagname - any bytes as a tag: the one encoding that HTTP purges and the adapters of frameworks use, so that what one
 * of them stores another one purges. PROTOCOL.md, "Tags from elsewhere"; tests/vectors/tag_encoding.tsv has examples.
 *
 * Blanks and control characters (up to 0x20, and 0x7f), ',' '+' and '%' become %XX with capital digits. If that is
 * longer than a tag may be, the tag is "sha256:" and the digest of the original bytes in 64 small hex digits. Pure.
 */
#ifndef TAGCACHED_PROTO_TAGNAME_H
#define TAGCACHED_PROTO_TAGNAME_H

#include <stddef.h>

#include "proto/keytags.h"

/* Writes the tag for p[0..n), n > 0, and returns its length. The result is a tag (keytags_is_tag) unless it is "*",
 * which is none. */
size_t tagname_encode(const char *p, size_t n, char out[KEYTAGS_TAG_MAX]);

/* The way back, of any text in that encoding: %XX become bytes, anything else stays as it is. Writes at most size bytes
 * of the result, and returns how many. */
size_t tagname_decode(const char *p, size_t n, char *out, size_t size);

#endif
