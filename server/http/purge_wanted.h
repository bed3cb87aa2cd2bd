/* SPDX-License-Identifier: BSD-3-Clause
 *
 * purge_wanted - what one HTTP request wants purged, whatever dialect it came in: filled by a dialect's reader
 * (dialect.h), carried out by http_purge.
 *
 * Adding returns false once the request has to be refused, and the refusal says why; then nothing of it is purged. No
 * I/O, no clock; one thread at a time.
 */
#ifndef TAGCACHED_HTTP_PURGE_WANTED_H
#define TAGCACHED_HTTP_PURGE_WANTED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/audit_line.h"
#include "http/http_request.h"
#include "proto/text.h"

#define PURGE_WANTED_SELECTORS_MAX 2048 /* of one request */
#define PURGE_WANTED_WAIT_MS 2000       /* how long it is waited for all nodes unless ?timeout says it */
#define PURGE_WANTED_WAIT_MAX_MS 60000

enum purge_wait {
    PURGE_WAIT_ALL,   /* answered when all nodes have carried it out, or the time is over, which is an error */
    PURGE_WAIT_LOCAL, /* good once this node has */
    PURGE_WAIT_NONE,  /* answered when it is on its way */
};

struct purge_wanted {
    char *text; /* the selectors as the text protocol has them, joined by commas; zero-terminated */
    size_t bytes, room;
    unsigned nselectors;
    bool all; /* everything: the text is "*", alone */
    bool soft;
    bool counted;   /* what it takes out is to be counted, and waited for; not of a soft one */
    uint32_t ttl_s; /* of a soft one; 0: the store's default */
    enum purge_wait wait;
    uint32_t wait_ms;
    char reason[AUDIT_REASON_MAX + 1];
    const char *phrase; /* a reader's own reason phrase of a good answer, a literal; NULL: the dialect's */
    json_t *names;      /* a reader that answers by name keeps the names as they came here; else NULL */
    /* The refusal. */
    unsigned status; /* of HTTP; 0: there is none */
    char why[200];
};

void purge_wanted_init(struct purge_wanted *w);
void purge_wanted_fini(struct purge_wanted *w);

/* Refuses the request with a sentence; the first one stays. Always false. */
bool purge_wanted_refuse(struct purge_wanted *w, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the tag of these bytes (proto/tagname.h). */
bool purge_wanted_tag(struct purge_wanted *w, const char *p, size_t n);
/* Adds every word of the text; any byte of `blanks` parts words. */
bool purge_wanted_words(struct purge_wanted *w, struct text_token text, const char *blanks);
/* Adds every word of all headers of that name; *found: whether there is one with a word in it. */
bool purge_wanted_header(struct purge_wanted *w, const struct http_request *r, const char *name, const char *blanks,
                         bool *found);
/* Adds the strings of a JSON array as tags; NULL, or something else than that, is refused by the name. */
bool purge_wanted_strings(struct purge_wanted *w, const json_t *array, const char *name);
/* Adds a selector of the text protocol, `*` too. */
bool purge_wanted_selector(struct purge_wanted *w, const char *p, size_t n);
/* Wants everything purged. False if something else is wanted, too. */
bool purge_wanted_all(struct purge_wanted *w);

/* Reads what any dialect's request may say beside: ?wait=all|local|none, ?timeout=2s (500ms, 2), ?reason=,
 * ?receipt=true, and the headers X-Tagcached-Reason and X-Tagcached-Receipt. */
bool purge_wanted_options(struct purge_wanted *w, const struct http_request *r);
/* The same of single words. `wait`: all, local, none. A time: digits and s, ms, or nothing for seconds. */
bool purge_wanted_set_wait(struct purge_wanted *w, const char *word, size_t n);
bool purge_wanted_set_timeout(struct purge_wanted *w, const char *word, size_t n);
void purge_wanted_set_reason(struct purge_wanted *w, const char *p, size_t n);

/* The body as a JSON object, the caller's to json_decref; NULL: it is none (too deep, cut off, repeated keys), which is
 * refused. An empty body is an empty object if `optional`. */
json_t *purge_wanted_json(struct purge_wanted *w, const struct http_request *r, bool optional);

#endif
