/* SPDX-License-Identifier: BSD-3-Clause
 *
 * dialect - purges over HTTP as the CDNs and caches take them: a file dialect_*.c each, and the table http.purges.def.
 *
 * A dialect reads a request into what it wants purged (purge_wanted.h), and writes the answers: that it is done, or the
 * error. All of it is pure: no I/O, no clock, no state but what is given. Carrying out is http_purge's.
 */
#ifndef TAGCACHED_HTTP_DIALECT_H
#define TAGCACHED_HTTP_DIALECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http_request.h"
#include "http/http_route.h"
#include "http/purge_wanted.h"

#define DIALECT_REASON_MAX 100 /* bytes of a reason phrase */

/* What a reader is given. */
struct dialect_input {
    const struct http_request *request;
    const struct text_token *match; /* what the row's * stand for */
    const char *url_tag; /* --http-url-tag: a URL is the tag of this, its host and its path; NULL: it is none */
};

/* What became of a purge. */
struct dialect_outcome {
    const struct purge_wanted *wanted;
    const char *id; /* of the purge, or of the first one if the request took several; "" if it has none */
    bool confirmed;
    unsigned acked, members; /* so many nodes of so many have carried it out */
    double took_ms;
    /* Of a counted one: what has been taken out so far by those who have said so; items -1: more than are counted. */
    int64_t items;
    uint64_t bytes;
};

struct dialect_answer {
    unsigned status;
    char reason[DIALECT_REASON_MAX]; /* "": the usual one of the status */
    const char *type;                /* NULL: there is no body */
    char *body;                      /* from malloc, the caller's to free; NULL: none */
};

struct dialect {
    /* The purge was carried out as far as it was wanted. Also a soft or a pending one that nobody waits for. */
    void (*done)(const struct dialect_outcome *o, struct dialect_answer *a);
    /* It was not: `status` says why (400, 401, 403, 413, 429, 503; 504: not confirmed in time, it goes on), and so does
     * the sentence. The id, if it has one by now. */
    void (*failed)(unsigned status, const char *why, const char *id, struct dialect_answer *a);
};

/* A row of http.purges.def. */
struct dialect_purge {
    enum http_dialect id;
    const struct dialect *dialect;
    /* Reads the request. False: refused, *w says why. */
    bool (*read)(const struct dialect_input *in, struct purge_wanted *w);
};

/* The tables: rows of the same number belong together. The routes end with an empty row; each runs `run`, refuses by
 * `refuse`, has `arg`, and needs HTTP_SCOPE_PURGE (that a token may purge everything, or this tag, shows when it was
 * read). */
extern const struct dialect_purge dialect_purges[];
unsigned dialect_purges_count(void);
void dialect_routes(struct http_route *out, void (*run)(struct http_exchange *x),
                    void (*refuse)(struct http_exchange *x, unsigned status), void *arg);

/* Reads a request of a row, whatever its dialect: what any may say beside, then what it purges. False: refused, *w says
 * why. */
bool dialect_read(const struct dialect_purge *row, const struct dialect_input *in, struct purge_wanted *w);

/* The dialects. */
#define DIALECT(name) extern const struct dialect dialect_##name;
#include "http/http.dialects.def"
#undef DIALECT
#define PURGE(methods, path, name, reader) bool reader(const struct dialect_input *in, struct purge_wanted *w);
#include "http/http.purges.def"
#undef PURGE

/* For the dialects' files. An answer with a JSON object (whose reference it takes; NULL: no memory, no body). */
void dialect_json(struct dialect_answer *a, unsigned status, json_t *body);
/* An answer with a line of text. */
void dialect_text(struct dialect_answer *a, unsigned status, const char *line);
/* Adds the tag of a URL ("https://host/path?query" or "host/path"), or refuses it. */
bool dialect_url(const struct dialect_input *in, struct purge_wanted *w, const char *url, size_t n);

#endif
