/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_request - one HTTP request, parsed (http_parser.h), and looking things up in it. Pure: no state, no allocation,
 * any thread.
 *
 * All texts are slices of the bytes that were received: not zero-terminated, not decoded, and valid only while the
 * route's `run` is called. Whoever needs them for longer copies them.
 */
#ifndef TAGCACHED_HTTP_HTTP_REQUEST_H
#define TAGCACHED_HTTP_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/text.h"

#define HTTP_LINE_MAX 8192         /* bytes of a request line */
#define HTTP_HEAD_MAX 32768        /* bytes of all header lines */
#define HTTP_HEADERS_MAX 64        /* header lines */
#define HTTP_BODY_MAX (256 * 1024) /* bytes of a body, decoded */

/* The methods there are; a route names those that it takes as a set of 1 << HTTP_... . */
enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_PURGE,
    HTTP_PURGEKEYS,
    HTTP_PURGETAGS,
    HTTP_BAN,
    HTTP_METHODS,
};

struct http_header {
    struct text_token name, value; /* the value without the blanks around it; it may be empty */
};

struct http_request {
    enum http_method method;
    bool old;                /* HTTP/1.0 */
    bool keep_alive;         /* the connection shall serve more requests */
    bool absolute;           /* the target came in absolute form (http://host/path) */
    struct text_token host;  /* of the Host header, or of an absolute target; empty: there is none (HTTP/1.0) */
    struct text_token path;  /* begins with /, not decoded; of an absolute target without a path: "/" */
    struct text_token query; /* what follows the ?, not decoded; p NULL: there is none */
    struct http_header headers[HTTP_HEADERS_MAX];
    unsigned nheaders;
    struct text_token body; /* decoded if it came in chunks; n 0: there is none */
};

/* The value of the first header of that name (in any case of letters) from number *at on; *at becomes the number behind
 * it. False: there is none. Begin with *at = 0. */
bool http_request_header(const struct http_request *r, const char *name, unsigned *at, struct text_token *value);
/* The value of the first such header, or an empty slice with p NULL. */
struct text_token http_request_first(const struct http_request *r, const char *name);
/* The value of name=value in the query, not decoded; a name without = has an empty value. False: it is not there. */
bool http_request_query(const struct http_request *r, const char *name, struct text_token *value);

/* Decodes %XX into out[0..size), and, if `plus`, + into a blank; returns the length, or -1: a % without two hexadecimal
 * digits, or the result does not fit. `out` may be where the text lies. */
long http_request_decode(struct text_token text, bool plus, char *out, size_t size);

/* Whether a slice is the zero-terminated text, letters in any case. */
bool http_request_is(struct text_token text, const char *word);
/* The method's name. */
const char *http_request_method(enum http_method m);

#endif
