/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_binary_parse - packets of the binary protocol to requests: what cmd_parse.h and cmd_parse_block.h are for lines.
 *
 * On the session's worker, inside a section of the store.
 */
#ifndef TAGCACHED_CMD_CMD_BINARY_PARSE_H
#define TAGCACHED_CMD_CMD_BINARY_PARSE_H

#include "cmd/request.h"
#include "cmd/session.h"

/* Parses complete packets of p[0..n) into the worker's batch, at most CMD_BATCH, and returns how many, as cmd_parse
 * does of lines. A packet that is refused by its header alone is not waited for. */
unsigned cmd_binary_parse(struct session *s, char *p, size_t n);
/* Parses p[0..n), one packet about one key, into *r. False: it is none, or it is not all there. */
bool cmd_binary_parse_one(struct session *s, struct request *r, char *p, size_t n);
/* Parses the head of a packet that was kept while its value was uploaded. */
void cmd_binary_parse_kept(struct session *s, const char *head, size_t n, struct request *r);

#endif
