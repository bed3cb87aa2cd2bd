/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_value - values and ids into replies. On the session's worker, inside the section that found the item.
 */
#ifndef TAGCACHED_CMD_CMD_VALUE_H
#define TAGCACHED_CMD_CMD_VALUE_H

#include "base/check.h"
#include "cmd/session.h"
#include "store/store.h"

#define CMD_COPY_MAX 2048 /* values up to this are copied into the reply, larger ones sent from the segment */

/* Appends the item's value, then tail[0..n), at most 8 bytes: small values are copied, large ones sent from where they
 * lie. One that cannot be held all at once is sent in parts: then the connection is parked, and no request may follow
 * in this batch (the worker's `end_batch`). */
void cmd_value(struct session *s, const struct store_item *it, const char *tail, size_t n);

/* Whether a value is to be copied into the reply: small, and in one piece. */
static inline bool cmd_value_fits(const struct store_item *it) {
    return likely(it->value != NULL && it->size <= CMD_COPY_MAX);
}

/* Whether the value is to go to another node and does not fit into a reply: then nothing may be written. */
static inline bool cmd_value_too_large(const struct session *s, const struct store_item *it) {
    if (likely(s->role != CMD_ROLE_PEER || it->size <= s->worker->reply_max)) return false;
    s->worker->too_large = true;
    return true;
}

/* The item's id as clients see it (-C: 0). */
static inline uint64_t cmd_value_cas(const struct session *s, const struct store_item *it) {
    return unlikely(s->worker->cmd->cfg.no_cas) ? 0 : it->cas;
}

#endif
