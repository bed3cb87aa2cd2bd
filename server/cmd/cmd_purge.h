/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_purge - purges by selectors, at once or answered later. On the session's worker.
 */
#ifndef TAGCACHED_CMD_CMD_PURGE_H
#define TAGCACHED_CMD_CMD_PURGE_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

/* Reads one well-formed selector. */
void cmd_purge_selector(const char *p, size_t n, struct store_selector *out);

/* Purges by a list of selectors, joined by commas, that was found well-formed; *number is the purge's. Leaves the
 * section. False: refused (`*` under -F) or not confirmed by all nodes, and answered in the request's protocol; or the
 * request is run again when the purge has ended or has room (the worker's `retry`). */
bool cmd_purge_list(struct session *s, const struct request *r, const char *list, size_t n, uint64_t *number);

/* Whether r has begun a purge and waits for other nodes to carry it out. Those that follow it at once may be begun
 * before it is their turn, so that a client that sends many waits for all of them at the same time. */
bool cmd_purge_waits_for_others(const struct session *s, const struct request *r);
/* Begins the purge that r asks for; it is answered when it is its turn. False: it is no purge, or not one that can be
 * begun early. */
bool cmd_purge_begin_early(struct session *s, const struct request *r);

/* Purges everything, on all nodes of a cluster, now or at memcached's exptime `delay`; counts, and answers. Outside any
 * section. */
void cmd_purge_all(struct session *s, const struct request *r, int64_t delay);

#endif
