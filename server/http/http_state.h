/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_state - the instance and a connection, as the files of this folder see them. All of it belongs to the listener's
 * thread, but for the counters, which any thread may read.
 */
#ifndef TAGCACHED_HTTP_HTTP_STATE_H
#define TAGCACHED_HTTP_HTTP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "http/http.h"
#include "http/http_parser.h"
#include "http/http_route.h"

/* What an answer can be: a row of http.statuses.def each. */
enum http_status {
#define STATUS(code, reason) HTTP_STATUS_##code,
#include "http/http.statuses.def"
#undef STATUS
    HTTP_STATUSES
};

struct http {
    struct http_config cfg;
    char **hosts;                /* cfg.hosts, owned */
    struct http_request request; /* the one being served */
    uint64_t requests[HTTP_DIALECTS][HTTP_STATUSES];
    uint64_t purges;
    struct histogram applied;
};

enum http_phase {
    HTTP_PHASE_REQUEST, /* a request comes, or is waited for */
    HTTP_PHASE_WAIT,    /* its answer is being worked out elsewhere: `job` */
    HTTP_PHASE_LINGER,  /* it was refused; what comes now is thrown away, so that the client gets to read why */
};

/* Zeroed by the net layer. */
struct http_session {
    struct conn *conn;
    struct http *http;
    struct http_parser parser;
    struct http_job *job;
    const struct http_route *route; /* of the request that was read last; NULL: of none, it was refused before */
    uint32_t lingered;              /* bytes thrown away */
    uint8_t phase;                  /* enum http_phase */
    bool begun;                     /* bytes of a request have come, and it is not whole */
    bool served;                    /* a request was answered */
    bool rested;                    /* the deadline for taking an answer has passed, it was taken */
    bool replied;                   /* the present request is answered */
    bool head_only;                 /* its answer has no body (HEAD) */
    bool keep_alive;                /* the connection goes on behind its answer */
    bool continued;                 /* "100 Continue" was said */
};

#endif
