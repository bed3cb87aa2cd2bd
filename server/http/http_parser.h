/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_parser - reads HTTP/1.0 and 1.1 requests (RFC 9112) from bytes that come piece by piece. Pure: no allocation, no
 * I/O; any thread.
 *
 * What could be read in two ways is refused, since a proxy before us may have read it in the other: a length beside
 * chunks, a length that is repeated, signed or no number, a blank before a colon, a header that goes on in the next
 * line, a line that ends with LF alone, CR or NUL within one, a second Host, trailers behind chunks. The bytes of a
 * body never become the next request, whatever the method.
 */
#ifndef TAGCACHED_HTTP_HTTP_PARSER_H
#define TAGCACHED_HTTP_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http_request.h"

#define HTTP_CODED_MAX (512 * 1024) /* bytes of a body in chunks, with their lengths */

/* How far one request has been read. Zeros to begin with, and for each request that follows. */
struct http_parser {
    uint32_t start;   /* where the request line begins: behind an empty line, if there was one */
    uint32_t line;    /* where the line begins that has no end yet */
    uint32_t scanned; /* bytes of the head that were looked at */
    uint32_t headers; /* where the header lines begin; 0: not known yet */
    uint32_t nlines;  /* lines of headers so far */
    uint32_t head;    /* bytes of the head, the empty line included; 0: it is not whole yet */
    uint32_t length;  /* bytes of the body; of one in chunks, of those that have come */
    uint32_t chunk;   /* chunks: where the line of the next one begins */
    bool chunked;
    bool expects; /* the client waits for "100 Continue" before it sends the body */
};

enum http_parsed {
    HTTP_PARSED_MORE,    /* more bytes are needed */
    HTTP_PARSED_REQUEST, /* a whole request */
    HTTP_PARSED_REFUSED, /* it cannot be served, and nothing behind it either */
};

/* Why a request was refused: the status and a sentence. */
struct http_refusal {
    unsigned status;
    const char *why;
};

/* Reads on: p[0..n) are all bytes that have come, from the request's first on. p may be another place than the last
 * time, with the same bytes. REQUEST: *r is the request, which takes the first *used bytes; a body in chunks has been
 * decoded in place. REFUSED: *refusal says why. *r may be written to in any case. */
enum http_parsed http_parser_feed(struct http_parser *ps, char *p, size_t n, struct http_request *r, size_t *used,
                                  struct http_refusal *refusal);

#endif
