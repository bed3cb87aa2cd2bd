/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_watch - `watch`: what happens in the node, as lines to whoever asked for them.
 *
 * A watcher is a connection that sent `watch`; its streams are rows of watch.def. What happens is recorded by the
 * thread it happens on, unformatted, in a ring that this thread alone fills for this watcher; the watcher's own worker
 * formats and sends (cmd_watch_line.h). So nobody waits for anybody: an event costs a copy of the key, a full ring
 * costs a counter (the watcher is told `skipped=N`), and while nobody watches a request costs one relaxed load of
 * cmd->observed.
 *
 * Rings and watchers belong to the struct cmd and live until it is freed (there are at most WATCH_MAX), because a
 * thread may be filling the ring of a watcher that is leaving.
 */
#ifndef TAGCACHED_CMD_CMD_WATCH_H
#define TAGCACHED_CMD_CMD_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/session.h"
#include "store/store.h"

#define WATCH_MAX 20              /* watchers at a time, as memcached */
#define WATCH_RING_MIN (32 << 10) /* bytes of a ring, at least (a power of two) */
#define WATCH_BUDGET (512 << 10)  /* bytes of a watcher's rings together, unless there are too many of them */

/* Makes and frees its part of an instance. 0 or -ENOMEM. */
int cmd_watch_new(struct cmd *cmd);
void cmd_watch_free(struct cmd *cmd);

/* ------------------------------------------------------------------ telling */

/* What happened, each to be called only while its bit of cmd->observed is set (observers.h). On the session's worker,
 * inside a section or not. Keys and texts are raw bytes; they are copied. `cmd` and `status` are literals. */
void cmd_watch_fetch(struct session *s, const char *key, size_t n, const struct store_item *it, const char *status);
void cmd_watch_mutation(struct session *s, const char *cmd, const struct store_key *key, enum store_status status,
                        uint32_t expiry, uint64_t size);
void cmd_watch_deletion(struct session *s, const char *cmd, const struct store_key *key, uint64_t size);
void cmd_watch_tags(struct session *s, const char *cmd, const struct store_key *key, unsigned ntags);
/* selectors: as they came, separated by commas; number: of the purge. */
void cmd_watch_purge(struct session *s, const char *cmd, const char *selectors, size_t n, bool soft, uint64_t number);
void cmd_watch_rawcmd(struct session *s, const char *line, size_t n);
/* The connection is new, or closed for a reason, NULL being the usual one. */
void cmd_watch_conn(struct session *s, bool closed, const char *reason);

/* A live item leaves for want of room. Does nothing while nobody wants to be told. The store's maintenance thread. */
void cmd_watch_eviction(struct cmd *cmd, const char *key, size_t key_len, bool fetched, uint32_t expiry, uint64_t size);
/* Something about the node itself, for the watchers of sysevents and (-v) the log: `type` a literal word, `text` more
 * about it as key=value words. Any thread. */
void cmd_watch_sysevent(struct cmd *cmd, const char *type, const char *text);

/* ------------------------------------------------------------------ watchers */

/* For `stats`: watchers now; lines sent, events recorded, events that found no room, and of those the ones that
 * watchers were told they missed, since the start. Any thread. */
struct cmd_watch_stats {
    uint64_t watchers, sent, recorded, dropped, skipped;
};
void cmd_watch_stats(struct cmd *cmd, struct cmd_watch_stats *out);
/* Whether the session is a watcher (`stats conns` says conn_watch). Its worker. */
bool cmd_watch_is(const struct session *s);

#endif
