/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_batch - a batch of requests while it is parsed: what the files of the parser share. On the session's worker,
 * inside a section of the store.
 */
#ifndef TAGCACHED_CMD_CMD_BATCH_H
#define TAGCACHED_CMD_CMD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

struct batch {
    struct session *s;
    const struct store *store;
    struct request *batch;
    char *p;
    size_t n;
    size_t at; /* what has been parsed of it */
    unsigned count;
    unsigned max;   /* requests that it may hold */
    unsigned lines; /* of which the batch is made; the keys of one are one */
    bool stop;      /* nothing more can be parsed now */
    bool far;       /* its keys are other nodes', most likely: they are hashed when that is needed (cmd_run_near) */
};

/* The key of a request is p[0..n). */
static inline void cmd_batch_key(const struct batch *b, struct request *r, const char *p, size_t n) {
    if (likely(!b->far))
        store_key_hash(b->store, &r->key, p, n);
    else
        store_key_later(&r->key, p, n);
}

/* Whether what a session asks for is other nodes', most likely, and goes through cmd_route. What is run of a batch that
 * is shown again is this node's. */
static inline bool cmd_batch_is_far(const struct session *s) {
    if (likely(s->recent == 0)) return false;
    return s->worker->routes && s->forward == NULL && s->authenticated && s->role == CMD_ROLE_CLIENT;
}

/* The worker's batch, of input p[0..n). */
static inline struct batch cmd_batch_begin(struct session *s, char *p, size_t n) {
    struct cmd_worker *w = s->worker;
    return (struct batch){
        .s = s,
        .store = w->cmd->store,
        .batch = w->batch,
        .max = CMD_BATCH,
        .p = p,
        .n = n,
        .far = cmd_batch_is_far(s),
    };
}

/* A request as it begins: of a line without its ending. */
static inline void cmd_batch_clear(struct request *r, const struct cmd_row *row, const char *line, size_t n) {
    r->row = row;
    r->line = line;
    r->line_len = (uint32_t)n;
    r->key.len = 0;
    r->marks = 0;
    r->discard_body = 0;
    r->body = NULL;
    r->upload = NULL;
}

/* The next request of the batch, which comes from a line of its own. */
static inline struct request *cmd_batch_take(struct batch *b, const struct cmd_row *row, const char *line, size_t n) {
    struct request *r = &b->batch[b->count++];
    b->lines++;
    cmd_batch_clear(r, row, line, n);
    return r;
}

/* The line that began at `begin` is not all here: drops its requests, those from `first` on, and waits for the rest. */
static inline void cmd_batch_wait(struct batch *b, size_t begin, unsigned first) {
    b->count = first;
    b->at = begin;
    b->s->scanned = (uint32_t)(b->n - begin);
    b->stop = true;
}

#endif
