/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_get - get, gets, gat, gats, touch. Their handlers are declared by cmd_table.h.
 */
#ifndef TAGCACHED_CMD_CMD_GET_H
#define TAGCACHED_CMD_CMD_GET_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "store/store.h"

/* What every get, and every touch that answers with the value, does once its key was looked up (`touch`: and touched):
 * decides who refills a softly purged item, counts, tells observers. True: *it is to be answered, which may be another
 * version than was found; false: a miss. Inside the section. */
bool cmd_get_found(struct session *s, struct request *r, struct store_item *it, bool found, bool touch);

/* Looks r's key up, and gives its item a new expiry if asked to touch it. STORE_OK; STORE_NOT_FOUND: there is none, or
 * a lease forbids to show it; STORE_AGAIN: the request will be run again; STORE_NO_MEMORY. Inside the section. */
enum store_status cmd_get_find(struct session *s, const struct request *r, bool touch, uint32_t expiry,
                               struct store_item *it);
/* Gives r's item a new expiry, counts. STORE_AGAIN: the request will be run again. Inside the section. */
enum store_status cmd_get_touch(struct session *s, const struct request *r, uint32_t expiry, struct store_item *it);

/* Answers r[0..n) as far as their path is CMD_PATH_GET, as the first one's is; returns how many it answered. Inside the
 * section, while nothing is observed. */
unsigned cmd_get_run(struct session *s, struct request *r, unsigned n) __attribute__((noinline));

/* The same, up to the first key that is not found, or whose item is not newer than `since`. */
unsigned cmd_get_run_here(struct session *s, struct request *r, unsigned n, uint64_t since) __attribute__((noinline));

/* Answers keys that another node asks for, as frames (proto/link.h) with seqs from `seq` on: as far as their path is
 * CMD_PATH_GET, and what is found is small, not softly purged, and newer than `since`. Returns how many it answered;
 * the next one is for cmd_run. */
unsigned cmd_get_framed(struct session *s, struct request *r, unsigned n, uint32_t seq, uint64_t since)
    __attribute__((noinline));

#endif
