/* SPDX-License-Identifier: BSD-3-Clause */
#include "cmd/cmd_internal.h"

#define SPANS 32              /* pieces looked at in one go */
#define COPY_WHOLE (1u << 20) /* values up to this are copied when they cannot be pinned */

int64_t cmd_ttl(const struct session *s, uint32_t expiry) {
    if (expiry == 0) return -1;
    int64_t left = (int64_t)expiry - store_now(s->worker->store);
    return left < 0 ? 0 : left;
}

/* Appends one piece without copying it; copies it when it cannot be pinned. A large value that cannot be pinned would
 * need as much memory of its own: its connection is closed instead. */
static bool send_piece(struct session *s, const struct store_item *it, const void *bytes, size_t n) {
    uint64_t token = store_pin(s->worker->store, bytes);
    if (likely(token != 0)) {
        conn_ref(s->conn, bytes, n, token);
        return true;
    }
    if (it->size > COPY_WHOLE) {
        conn_close(s->conn);
        return false;
    }
    conn_write(s->conn, bytes, n);
    return true;
}

static bool send_pieces(struct session *s, const struct store_item *it) {
    struct iovec iov[SPANS];
    for (unsigned from = 0, all = 1; from < all;) {
        all = store_item_spans(s->worker->store, it, iov, from, SPANS);
        for (unsigned i = 0; i < SPANS && from < all; i++, from++)
            if (!send_piece(s, it, iov[i].iov_base, iov[i].iov_len)) return false;
    }
    return true;
}

void cmd_value(struct session *s, const struct store_item *it) {
    if (it->value == NULL) {
        if (!send_pieces(s, it)) return;
    } else if (it->size <= CMD_COPY_MAX) {
        conn_write(s->conn, it->value, it->size);
    } else if (!send_piece(s, it, it->value, it->size)) {
        return;
    }
    memcpy(conn_reserve(s->conn, 2), "\r\n", 2);
    conn_commit(s->conn, 2);
}
