/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The instance, and the life of a connection. */
#include "http/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "base/sync.h"
#include "http/http_job.h"
#include "http/http_router.h"
#include "http/http_state.h"
#include "net/conn.h"
#include "net/worker.h"

#define LINGER_S 2             /* how long a client may read why it was refused */
#define LINGER_BYTES (1 << 20) /* and how much it may still send meanwhile */

/* ------------------------------------------------------------------ one request */

/* What is written to, for the request that has been read. */
static struct http_exchange exchange_of(struct http_session *s) {
    return (struct http_exchange){
        .http = s->http,
        .route = s->route,
        .routes_arg = s->http->cfg.routes_arg,
        .peer = conn_peer(s->conn),
        .conn = s->conn,
        .session = s,
    };
}

/* The connection ends behind the answer. What the client still sends is read for a while and thrown away. */
static void linger(struct http_session *s) {
    s->phase = HTTP_PHASE_LINGER;
    conn_finish(s->conn);
    conn_set_deadline(s->conn, LINGER_S);
}

/* Refuses what cannot be read as a request, and all that follows. */
static void refuse(struct http_session *s, unsigned status, const char *why) {
    s->route = NULL;
    s->replied = s->keep_alive = s->head_only = false;
    struct http_exchange x = exchange_of(s);
    http_reply_text(&x, status, "%s", why);
    linger(s);
}

/* Behind an answer: the next request, or the end. */
static void next(struct http_session *s) {
    s->parser = (struct http_parser){0};
    s->served = true;
    s->phase = HTTP_PHASE_REQUEST;
    s->begun = s->rested = s->continued = false;
    if (s->keep_alive)
        conn_set_deadline(s->conn, HTTP_REQUEST_S); /* to take the answer: see on_expired */
    else
        linger(s);
}

static void answer_405(struct http_exchange *x, unsigned methods) {
    char allow[128] = "Allow:";
    size_t n = strlen(allow);
    for (enum http_method m = 0; m < HTTP_METHODS; m++)
        if ((methods & 1u << m) != 0)
            n += (size_t)snprintf(allow + n, sizeof allow - n, "%s %s", n > 6 ? "," : "", http_request_method(m));
    snprintf(allow + n, sizeof allow - n, "\r\n");
    http_reply(x, 405, NULL, allow, NULL, 0);
}

/* Refuses a request of a client who may not make it. */
static void turn_away(struct http_exchange *x, unsigned status) {
    static const char no_token[] = "this needs a token: see tagcached(1), --http-tokens\n";
    if (x->route->refuse != NULL)
        x->route->refuse(x, status);
    else if (status == 401)
        http_reply(x, status, "text/plain; charset=utf-8", "WWW-Authenticate: Bearer\r\n", no_token,
                   sizeof no_token - 1);
    else
        http_reply_text(x, status,
                        status == 429 ? "this token has done too much of late" : "this token may not do that");
}

/* Hands the request to its route. */
static void run(struct http_exchange *x) {
    const struct http_actors *actors = x->http->cfg.actors;
    unsigned methods = 0, status = 0;
    if (actors != NULL) x->actor = actors->find(actors->arg, x->request);
    if (x->actor == NULL && !http_router_is_own_host(x->request->host, x->http->hosts, x->http->cfg.nhosts)) {
        http_reply_text(x, 403,
                        "without a token only localhost, literal addresses and the names of --http-host are hosts");
        return;
    }
    x->route = x->session->route = http_router_find(x->http->cfg.routes, x->request, x->match, &methods);
    if (x->route == NULL && methods != 0) {
        answer_405(x, methods);
    } else if (x->route == NULL) {
        http_reply_text(x, 404, "there is nothing at this path");
    } else {
        if (x->route->scope != HTTP_OPEN)
            status = actors == NULL || x->actor == NULL ? 401 : actors->refuses(actors->arg, x->actor, x->route->scope);
        if (status != 0)
            turn_away(x, status);
        else
            x->route->run(x);
    }
}

static void serve(struct http_session *s) {
    const struct http_request *r = &s->http->request;
    s->route = NULL;
    s->replied = false;
    s->head_only = r->method == HTTP_HEAD;
    s->keep_alive = r->keep_alive;
    struct http_exchange x = exchange_of(s);
    x.request = r;
    run(&x);
    if (s->job != NULL) return;
    if (!s->replied) http_reply_text(&x, 500, "no answer was found");
    next(s);
}

static void answer_job(struct http_session *s) {
    struct http_job *job = s->job;
    struct http_exchange x = exchange_of(s);
    s->job = NULL;
    job->reply(job, &x);
    job->free(job);
    if (!s->replied) http_reply_text(&x, 500, "no answer was found");
    next(s);
}

/* ------------------------------------------------------------------ upcalls */

struct count {
    const char *host; /* without the port */
    size_t n;
    unsigned conns;
};

static void count_same(struct conn *c, void *arg) {
    struct count *count = arg;
    const char *peer = conn_peer(c);
    if (strncmp(peer, count->host, count->n) == 0 && peer[count->n] == ':') count->conns++;
}

static bool on_open(struct conn *c, void *session) {
    struct http_session *s = session;
    struct count same = {.host = conn_peer(c)};
    const char *port = strrchr(same.host, ':');
    s->conn = c;
    s->http = worker_context(conn_worker(c));
    same.n = port != NULL ? (size_t)(port - same.host) : 0;
    worker_each_conn(conn_worker(c), count_same, &same);
    if (same.conns > HTTP_PER_ADDRESS) { /* this one is among them */
        s->route = NULL;
        struct http_exchange x = exchange_of(s);
        http_reply_text(&x, 429, "there are %u connections from this address already", HTTP_PER_ADDRESS);
        conn_close(c); /* it keeps no place */
        return true;
    }
    conn_set_deadline(c, HTTP_REQUEST_S);
    return true;
}

static size_t on_lingering(struct http_session *s, size_t n) {
    s->lingered += (uint32_t)n;
    if (s->lingered > LINGER_BYTES) conn_close(s->conn);
    return n;
}

static size_t on_input(struct conn *c, void *session, char *p, size_t n) {
    struct http_session *s = session;
    struct http_refusal refusal = {0};
    size_t used = 0;
    if (s->job != NULL) {
        if (s->job->ended) answer_job(s);
        if (n > 0) conn_feed(c);
        return 0;
    }
    if (s->phase == HTTP_PHASE_LINGER) return on_lingering(s, n);
    if (n == 0) return 0;
    if (!s->begun) conn_set_deadline(c, HTTP_REQUEST_S);
    s->begun = true;
    switch (http_parser_feed(&s->parser, p, n, &s->http->request, &used, &refusal)) {
    case HTTP_PARSED_MORE:
        if (s->parser.expects && !s->continued) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            s->continued = true;
            conn_write(c, go_on, sizeof go_on - 1);
        }
        return 0;
    case HTTP_PARSED_REFUSED: refuse(s, refusal.status, refusal.why); return n;
    case HTTP_PARSED_REQUEST: serve(s); break;
    }
    if (used < n) conn_feed(c); /* one request at a time, then it is the others' turn */
    return used;
}

/* Whatever there was time for has not been done. */
static bool on_expired(struct conn *c, void *session) {
    struct http_session *s = session;
    if (conn_pending(c) > 0 || s->phase == HTTP_PHASE_LINGER) return false;
    if (s->begun) {
        refuse(s, 408, "the request did not come whole within 10 seconds");
        return true;
    }
    if (!s->served || s->rested) return false;
    s->rested = true;
    conn_set_deadline(c, HTTP_IDLE_S - HTTP_REQUEST_S);
    return true;
}

static void on_close(struct conn *c, void *session) {
    (void)c;
    http_job_abandon(session);
}

const struct net_handler *http_handler(void) {
    static const struct net_handler handler = {
        .session_size = sizeof(struct http_session),
        .open = on_open,
        .input = on_input,
        .expired = on_expired,
        .close = on_close,
    };
    return &handler;
}

/* ------------------------------------------------------------------ figures */

void http_note_purges(struct http *h, unsigned n) {
    sync_bump(&h->purges, n);
}

void http_note_applied(struct http *h, uint64_t ns) {
    histogram_add(&h->applied, ns);
}

uint64_t http_purges(const struct http *h) {
    return sync_load(&h->purges);
}

void http_sum_applied(const struct http *h, struct histogram *sum) {
    histogram_sum(sum, &h->applied);
}

/* ------------------------------------------------------------------ the instance */

int http_new(const struct http_config *cfg, struct http **out) {
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL) return -ENOMEM;
    h->cfg = *cfg;
    h->cfg.hosts = NULL;
    h->hosts = calloc(cfg->nhosts + 1, sizeof *h->hosts);
    bool good = h->hosts != NULL;
    for (unsigned i = 0; good && i < cfg->nhosts; i++) good = (h->hosts[i] = strdup(cfg->hosts[i])) != NULL;
    if (!good) {
        http_free(h);
        return -ENOMEM;
    }
    *out = h;
    return 0;
}

void http_free(struct http *h) {
    if (h == NULL) return;
    for (unsigned i = 0; h->hosts != NULL && i < h->cfg.nhosts; i++) free(h->hosts[i]);
    free(h->hosts);
    free(h);
}
