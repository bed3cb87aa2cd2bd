/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_lease - what is answered while a lease of this node has ended (cluster/lease.h): without the serve lease reads
 * miss and writes are refused, without the tag lease reads of tagged items miss. On the session's worker, in a section.
 *
 * A section looks at the clock and at the leases' ends once, when it begins, which is after the bytes of all its
 * requests have come. While both run nothing else is looked at; else no request takes a quick path (CMD_OBSERVE_LEASE),
 * and handlers ask here.
 */
#ifndef TAGCACHED_CMD_CMD_LEASE_H
#define TAGCACHED_CMD_CMD_LEASE_H

#include <stdbool.h>

#include "base/check.h"
#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

/* Whether nothing at all may be served. */
static inline bool cmd_lease_none(const struct session *s) {
    return unlikely((s->worker->leases_ended & CMD_LEASE_SERVE) != 0);
}

/* Whether what was found must not be shown: it counts as not found. */
bool cmd_lease_hides_item(const struct session *s, const struct request *r, const struct store_item *it);
static inline bool cmd_lease_hides(const struct session *s, const struct request *r, const struct store_item *it) {
    return unlikely(s->worker->leases_ended != 0) && cmd_lease_hides_item(s, r, it);
}

/* The same before anything is done to the item, whose key is r's. */
bool cmd_lease_hides_now(const struct session *s, const struct request *r);

/* Refuses a write, if it is one that may not be done now: true, it is answered, and nothing of it is to be run. */
bool cmd_lease_refuses(struct session *s, struct request *r);

#endif
