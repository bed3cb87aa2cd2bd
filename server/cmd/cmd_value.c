/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_value.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/cmd_producer.h"
#include "cmd/instance.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "store/store.h"

#define SPANS 32            /* pieces looked at in one go */
#define COPY_MAX (1u << 20) /* bytes of a value copied in one go when they cannot be pinned */

/* ------------------------------------------------------------------ values that cannot be held all at once */

/*
 * At most an eighth of the memory may be held for readers. What is beyond is copied, and as much only as the socket
 * takes; the rest is sent when that has left. In between the value may go or change; then there is no honest way to go
 * on, and the connection is closed.
 */
struct part {
    uint64_t version; /* of the version that was begun */
    unsigned next;    /* its next piece */
    size_t at;        /* and what was sent of it */
    uint8_t tail_len;
    uint8_t key_len;
    char tail[8]; /* what follows the value */
    char key[STORE_KEY_MAX];
};

/* Sends what follows, as much as can be held or the socket takes. True: that was all. */
static bool send_pieces(struct session *s, const struct store_item *it, unsigned *next, size_t *at) {
    struct store_worker *w = s->worker->store;
    struct iovec iov[SPANS];
    unsigned all = *next + 1;
    size_t copied = 0;
    while (*next < all) {
        all = store_item_spans(w, it, iov, *next, SPANS);
        for (unsigned i = 0; i < SPANS && *next < all; i++, ++*next, *at = 0) {
            const char *p = (const char *)iov[i].iov_base + *at;
            const size_t n = iov[i].iov_len - *at;
            const uint64_t token = store_pin(w, p);
            if (token != 0) {
                conn_ref(s->conn, p, n, token);
                continue;
            }
            if (copied >= COPY_MAX) return false;
            const size_t sent = conn_write_some(s->conn, p, n);
            copied += sent;
            *at += sent;
            if (sent < n) return false;
        }
    }
    return true;
}

static void part_end(struct session *s) {
    free(s->produce_state);
}

/* The output has drained: the next part. */
static void part_produce(struct session *s) {
    struct part *part = s->produce_state;
    struct cmd_worker *w = s->worker;
    struct store_key key = store_key(w->cmd->store, part->key, part->key_len);
    struct store_item it;
    cmd_enter(w);
    bool there = store_peek(w->store, &key, &it) && it.version == part->version;
    bool done = there && send_pieces(s, &it, &part->next, &part->at);
    cmd_leave(w);
    if (there && !done) return;
    if (there)
        conn_write(s->conn, part->tail, part->tail_len);
    else
        conn_close(s->conn);
    cmd_producer_end(s);
    free(part);
}

static const struct cmd_producer part_producer = {part_produce, part_end};

/* Goes on with a value later. */
static void send_later(struct session *s, const struct store_item *it, unsigned next, size_t at, const char *tail,
                       size_t n) {
    struct part *part = s->producer == NULL ? malloc(sizeof(*part)) : NULL;
    s->worker->end_batch = true;
    if (part == NULL) {
        conn_close(s->conn);
        return;
    }
    part->version = it->version;
    part->next = next;
    part->at = at;
    part->tail_len = (uint8_t)n;
    memcpy(part->tail, tail, n);
    part->key_len = it->key_len;
    memcpy(part->key, it->key, it->key_len);
    cmd_producer_begin(s, &part_producer, part);
}

/* ------------------------------------------------------------------ values */

void cmd_value(struct session *s, const struct store_item *it, const char *tail, size_t n) {
    unsigned next = 0;
    size_t at = 0;
    if (it->value != NULL && it->size <= CMD_COPY_MAX) {
        conn_write(s->conn, it->value, it->size);
    } else if (!send_pieces(s, it, &next, &at)) {
        send_later(s, it, next, at, tail, n);
        return;
    }
    conn_write(s->conn, tail, n);
}
