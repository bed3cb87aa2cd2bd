/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_dump.h"
#include "cmd/cmd_internal.h"

#define SPANS 32              /* pieces looked at in one go */
#define COPY_WHOLE (1u << 20) /* values up to this are copied when they cannot be pinned */

/* ------------------------------------------------------------------ values that cannot be held all at once */

/*
 * At most an eighth of the memory may be held for readers. A value that goes beyond is sent in parts: what can be held
 * now, and the rest when that has left. In between the value may go or change; then there is no honest way to go on,
 * and the connection is closed.
 */
struct part {
    uint64_t birth; /* of the version that was begun */
    unsigned next;  /* its next piece */
    uint8_t tail_len;
    uint8_t key_len;
    char tail[8]; /* what follows the value */
    char key[STORE_KEY_MAX];
};

/* Sends pieces from *next on, as many as can be held, but at least one. True: that was all. */
static bool send_pieces(struct session *s, const struct store_item *it, unsigned *next) {
    struct store_worker *w = s->worker->store;
    struct iovec iov[SPANS];
    unsigned all = *next + 1;
    const unsigned first = *next;
    while (*next < all) {
        all = store_item_spans(w, it, iov, *next, SPANS);
        for (unsigned i = 0; i < SPANS && *next < all; i++, ++*next) {
            uint64_t token = store_pin(w, iov[i].iov_base);
            if (token != 0) {
                conn_ref(s->conn, iov[i].iov_base, iov[i].iov_len, token);
                continue;
            }
            if (it->size > COPY_WHOLE && *next > first) return false;
            conn_write(s->conn, iov[i].iov_base, iov[i].iov_len);
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
    bool there = store_peek(w->store, &key, &it) && it.birth == part->birth && it.value == NULL;
    bool done = there && send_pieces(s, &it, &part->next);
    cmd_leave(w);
    if (there && !done) return;
    if (there)
        conn_write(s->conn, part->tail, part->tail_len);
    else
        conn_close(s->conn);
    cmd_dump_end(s);
    free(part);
}

static const struct cmd_producer part_producer = {part_produce, part_end};

/* Goes on with a value later. */
static void send_later(struct session *s, const struct store_item *it, unsigned next, const char *tail, size_t n) {
    struct part *part = s->producer == NULL ? malloc(sizeof(*part)) : NULL;
    s->worker->halt = true;
    if (part == NULL) {
        conn_close(s->conn);
        return;
    }
    part->birth = it->birth;
    part->next = next;
    part->tail_len = (uint8_t)n;
    memcpy(part->tail, tail, n);
    part->key_len = it->key_len;
    memcpy(part->key, it->key, it->key_len);
    cmd_dump_install(s, &part_producer, part);
}

/* ------------------------------------------------------------------ values */

void cmd_value(struct session *s, const struct store_item *it, const char *tail, size_t n) {
    if (it->value == NULL) {
        unsigned next = 0;
        if (!send_pieces(s, it, &next)) {
            send_later(s, it, next, tail, n);
            return;
        }
    } else {
        uint64_t token = it->size > CMD_COPY_MAX ? store_pin(s->worker->store, it->value) : 0;
        if (token != 0)
            conn_ref(s->conn, it->value, it->size, token);
        else
            conn_write(s->conn, it->value, it->size); /* in one piece: less than a segment */
    }
    conn_write(s->conn, tail, n);
}
