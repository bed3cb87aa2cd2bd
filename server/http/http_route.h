/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_route - what answers a request: a row of a table (method, path, scope, function), and how it answers.
 *
 * The HTTP listener has a thread of its own, which serves all its connections and runs all routes: whatever an HTTP
 * client does, it does not take the time of a worker that serves the cache. A route gets an exchange: the request and
 * the way to answer it. It must not block, since other HTTP clients wait, and answers
 *
 *   at once   by calling http_reply before it returns; or
 *   later     by http_wait: the connection waits, while the others are served. When whoever works on it calls
 *             http_job_end (any thread), job->reply is called on the listener's thread and answers with http_reply.
 *
 * A route that does neither is answered for with 500. The request's texts are gone once `run` has returned.
 */
#ifndef TAGCACHED_HTTP_HTTP_ROUTE_H
#define TAGCACHED_HTTP_HTTP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/http_request.h"
#include "net/post.h"

struct conn;
struct http;
struct http_exchange;
struct http_session;
struct net_worker;

#define HTTP_MATCHES_MAX 4 /* pieces of a path that a pattern leaves open */

/* What a client must be allowed to do. HTTP_OPEN: anybody. */
enum http_scope {
    HTTP_OPEN,
    HTTP_READ,
    HTTP_SCOPE_PURGE,
    HTTP_SCOPE_PURGE_ALL,
    HTTP_ADMIN,
};

/* Whose form answers have. A row of http.dialects.def each; the label `dialect` of tagcached_http_requests_total. */
enum http_dialect {
#define DIALECT(name) HTTP_DIALECT_##name,
#include "http/http.dialects.def"
#undef DIALECT
    HTTP_DIALECTS
};
/* Its name, as in that label and in the audit. Any thread. */
const char *http_dialect_name(enum http_dialect dialect);

struct http_route {
    unsigned methods; /* a set of 1 << HTTP_GET and so on; HEAD comes with GET: the answer's body is left out */
    /* The path as a pattern: a segment * is any one segment that is not empty, and ** as the last one is all that
     * follows, slashes too, if it is not empty. What they stand for is in the exchange's `match`. */
    const char *path;
    enum http_scope scope;
    enum http_dialect dialect;
    void (*run)(struct http_exchange *x);
    /* Refuses the request in the dialect's own form, with http_reply: 401 there is no token, or none that is known; 403
     * the token may not do this; 429 the token has done too much. NULL: a line of text does. */
    void (*refuse)(struct http_exchange *x, unsigned status);
    void *arg; /* the function's own */
};

/* One request and its answer. */
struct http_exchange {
    struct http *http;
    const struct http_route *route;
    const struct http_request *request; /* NULL while a job answers */
    struct text_token match[HTTP_MATCHES_MAX];
    const void *actor; /* whoever the token belongs to (struct http_actors); NULL: nobody gave one, or a job answers */
    void *routes_arg;  /* what http_new was given for the routes */
    const char *peer;  /* "ip:port" of the client */
    /* For this folder: */
    struct conn *conn;
    struct http_session *session;
};

/* ------------------------------------------------------------------ who may do what */

/* How tokens are looked at. On the listener's thread; none may block. Without one (no --http-tokens), nobody has a
 * token, and only routes of scope HTTP_OPEN are answered. */
struct http_actors {
    void *arg;
    /* Whose token the request carries; NULL: it carries none, or none that is known. */
    const void *(*find)(void *arg, const struct http_request *r);
    /* Whether the actor (never NULL) may do that now: 0, or the status that refuses it: 403, 429. */
    unsigned (*refuses)(void *arg, const void *actor, enum http_scope scope);
};

/* ------------------------------------------------------------------ answering */

/* Answers. `type`: the Content-Type, NULL when there is no body. `headers`: more header lines, each with its \r\n, or
 * NULL; whoever makes them sees to it that no byte of a client gets in. body[0..n) is copied. Once. */
void http_reply(struct http_exchange *x, unsigned status, const char *type, const char *headers, const char *body,
                size_t n);
/* The same with a reason phrase of its own, instead of the usual one of the status. */
void http_reply_reason(struct http_exchange *x, unsigned status, const char *reason, const char *type,
                       const char *headers, const char *body, size_t n);
/* Answers with a line of text (a sentence without a line's end), formatted as printf does; at most 1,000 bytes. */
void http_reply_text(struct http_exchange *x, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ------------------------------------------------------------------ answering later */

/* Something that a route has asked of another thread: a member of what the route allocates for it. While it is under
 * way both the other thread and the connection hold it; if the connection closes first, whoever ends the job frees it.
 */
struct http_job {
    /* Answers, on the listener's thread; `free` is called next. x->request is NULL. Not called if the connection is
     * gone. */
    void (*reply)(struct http_job *job, struct http_exchange *x);
    /* Frees the job and what it is part of. Any thread. */
    void (*free)(struct http_job *job);
    /* http_job.c's: */
    struct net_worker *net;
    struct net_post post;
    struct http_session *session; /* NULL: the connection is gone */
    uint32_t state;               /* atomic */
    bool ended;                   /* the listener's thread knows that it has ended */
};

/* Has the connection wait for the job, whose `reply` and `free` are set and the rest zeros. The job may be handed to
 * the other thread from here on, not before. */
void http_wait(struct http_exchange *x, struct http_job *job);
/* Ends it; the outcome is in what the job is part of. Any thread, once. */
void http_job_end(struct http_job *job);

#endif
