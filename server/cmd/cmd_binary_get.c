/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_binary_get.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/sync.h"
#include "cmd/cmd_binary.h"
#include "cmd/cmd_expiry.h"
#include "cmd/cmd_get.h"
#include "cmd/cmd_table.h"
#include "cmd/cmd_value.h"
#include "cmd/instance.h"
#include "cmd/packet.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "net/conn.h"
#include "proto/binary.h"
#include "store/store.h"

#define FLAGS_BYTES 4 /* the extras of an answer */

/* Writes header and flags of an answer with so many bytes of key and value. */
static inline __attribute__((always_inline)) char *put_head(struct session *s, char *out, const struct request *r,
                                                            const struct store_item *it, size_t key, uint64_t size) {
    binary_put_answer(out, r->line, BINARY_OK, FLAGS_BYTES, (uint16_t)key, (uint32_t)(FLAGS_BYTES + key + size),
                      cmd_value_cas(s, it));
    binary_put_u32(out + BINARY_HEADER, it->flags);
    return out + BINARY_HEADER + FLAGS_BYTES;
}

static inline size_t key_shown(const struct request *r) {
    return (packet_row(r)->marks & BINARY_WITH_KEY) != 0 ? r->raw_key_len : 0;
}

/* Answers with a value that is copied, and a key that is not long. */
static inline __attribute__((always_inline)) void reply_small(struct session *s, const struct request *r,
                                                              const struct store_item *it) {
    const size_t key = key_shown(r), all = BINARY_HEADER + FLAGS_BYTES + key + it->size;
    char *out = put_head(s, conn_reserve(s->conn, all), r, it, key, it->size);
    if (key > 0) {
        bytes_copy(out, r->raw_key, key);
        out += key;
    }
    memcpy(out, it->value, it->size);
    conn_commit(s->conn, all);
}

static void reply_value(struct session *s, const struct request *r, const struct store_item *it) {
    const size_t key = key_shown(r);
    char head[BINARY_HEADER + FLAGS_BYTES];
    if (cmd_value_too_large(s, it)) return;
    put_head(s, head, r, it, key, it->size);
    conn_write(s->conn, head, sizeof head);
    if (key > 0) conn_write(s->conn, r->raw_key, key);
    cmd_value(s, it, "", 0);
}

static void answer(struct session *s, struct request *r, struct store_item *it, bool found, bool touch) {
    if (!cmd_get_found(s, r, it, found, touch))
        packet_miss(s, r);
    else if (cmd_value_fits(it) && r->raw_key_len <= CMD_LONG_KEY)
        reply_small(s, r, it);
    else
        reply_value(s, r, it);
}

static inline __attribute__((always_inline)) unsigned get_run(struct session *s, struct request *r, unsigned n,
                                                              bool here, uint64_t since) {
    struct cmd_worker *w = s->worker;
    uint64_t hits = 0;
    unsigned i = 0;
    for (; i < n && r->path == CMD_PATH_GETS; r++) {
        struct store_item it;
        const bool found = store_get(w->store, &r->key, &it);
        if (here && unlikely(!found || it.version <= since)) break;
        i++;
        if (likely(found && !it.soft && cmd_value_fits(&it))) {
            hits++;
            reply_small(s, r, &it);
            if (unlikely((it.bits & STORE_FETCHED) == 0)) store_note_fetch(w->store, &it);
            if (unlikely(conn_stuck(s->conn))) break;
        } else {
            answer(s, r, &it, found, false);
            if (unlikely(w->end_batch) || (found && !cmd_value_fits(&it) && conn_full(s->conn))) break;
        }
    }
    sync_bump(&w->metrics[CMD_METRIC_cmd_get], hits);
    sync_bump(&w->metrics[CMD_METRIC_get_hits], hits);
    return i;
}

unsigned cmd_binary_get_run(struct session *s, struct request *r, unsigned n) {
    return get_run(s, r, n, false, 0);
}

unsigned cmd_binary_get_run_here(struct session *s, struct request *r, unsigned n, uint64_t since) {
    return get_run(s, r, n, true, since);
}

/* The extras of gat and touch as an expiry. */
static uint32_t expiry_of(struct session *s, const struct request *r) {
    return cmd_expiry(s, binary_u32(packet_extras(r)));
}

void cmd_binary_get(struct session *s, struct request *r) {
    struct store_item it;
    const bool touch = r->row->id == CMD_ID_gat;
    const enum store_status st = cmd_get_find(s, r, touch, touch ? expiry_of(s, r) : 0, &it);
    if (likely(st != STORE_AGAIN)) answer(s, r, &it, st == STORE_OK, touch);
}

void cmd_binary_touch(struct session *s, struct request *r) {
    struct store_item it;
    char *out;
    switch (cmd_get_touch(s, r, expiry_of(s, r), &it)) {
    case STORE_AGAIN: break;
    case STORE_OK:
        out = conn_reserve(s->conn, BINARY_HEADER + FLAGS_BYTES);
        conn_commit(s->conn, (size_t)(put_head(s, out, r, &it, 0, 0) - out));
        break;
    case STORE_NO_MEMORY: packet_error(s, r, BINARY_NO_MEMORY); break;
    default: packet_error(s, r, BINARY_NOT_FOUND); break;
    }
}
