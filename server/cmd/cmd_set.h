/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_set - set, add, replace, append, prepend, cas; incr, decr; delete. Their handlers are declared by cmd_table.h.
 */
#ifndef TAGCACHED_CMD_CMD_SET_H
#define TAGCACHED_CMD_CMD_SET_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

/* Answers r[0..n) as far as their path is CMD_PATH_SET, as the first one's is; returns how many it answered (one that
 * finds no room is left to its handler). With `since` above 0 only as far as what a set replaces is newer than that.
 * Inside the section, while nothing is observed. */
unsigned cmd_set_run(struct session *s, struct request *r, unsigned n, uint64_t since) __attribute__((noinline));

/* A store found no room, or too large a value: counts that, tells observers, and deletes what was stored before when it
 * was a set. Of an ms the flags have been read. */
void cmd_set_failed(struct session *s, const struct request *r, enum store_status status);
/* The same, and answers it in either protocol. */
void cmd_set_refuse(struct session *s, const struct request *r, enum store_status status);

/* What the commands mean, whichever protocol they came in; what they say is the caller's. Each counts, tells observers,
 * and with STORE_AGAIN has asked for the request to be run again. Inside the section. */

/* set, add, replace, append, prepend, cas (with r->cas in a packet: any of them, if unchanged). `out` (may be NULL):
 * the new item. STORE_TOO_LARGE and STORE_NO_MEMORY are for cmd_set_refuse. */
enum store_status cmd_set_store(struct session *s, struct request *r, struct store_item *out);
/* incr and decr of r's item; `created` and `out` as store_arith has them. */
enum store_status cmd_set_arith(struct session *s, const struct request *r, const struct store_arith *a,
                                uint64_t *number, bool *created, struct store_item *out);
/* delete; with r->cas in a packet: if unchanged. */
enum store_status cmd_set_delete(struct session *s, const struct request *r);

#endif
