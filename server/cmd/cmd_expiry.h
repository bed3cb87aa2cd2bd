/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_expiry - times to live: what clients give, what they are shown, and those that had passed.
 */
#ifndef TAGCACHED_CMD_CMD_EXPIRY_H
#define TAGCACHED_CMD_CMD_EXPIRY_H

#include "base/check.h"
#include "cmd/session.h"
#include "store/store.h"

/* memcached's exptime as an expiry: store_expiry, without a call for the usual 0. */
static inline uint32_t cmd_expiry(struct session *s, int64_t exptime) {
    return exptime == 0 ? 0 : store_expiry(s->worker->store, exptime);
}

/* The whole seconds an item has left to live: -1 without end. */
int64_t cmd_expiry_ttl(const struct session *s, uint32_t expiry);

/* Counts a store whose exptime is a unix time that had passed; logs the first. */
void cmd_expiry_passed(struct session *s, int64_t exptime);

/* The same for any store: an item was stored with this exptime, and has this expiry. */
static inline void cmd_expiry_check(struct session *s, int64_t exptime, uint32_t expiry) {
    if (unlikely(expiry == STORE_EXPIRED && exptime > 0)) cmd_expiry_passed(s, exptime);
}

#endif
