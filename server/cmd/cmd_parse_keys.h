/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_parse_keys - lines of get, gets, gat and gats: each of their keys is a request. Such a line need not be here
 * whole.
 */
#ifndef TAGCACHED_CMD_CMD_PARSE_KEYS_H
#define TAGCACHED_CMD_CMD_PARSE_KEYS_H

#include "cmd/cmd_batch.h"

/* Parses the line at b->at, which is one of row, and goes on with further get lines. */
void cmd_parse_get(struct batch *b, const struct cmd_row *row);

/* Parses keys from b->at on, and goes on with further get lines. `begin` is where the line began, or b->at in the
 * middle of one; `fresh` whether this is its beginning; `expiry` that of gat. */
void cmd_parse_keys(struct batch *b, const struct cmd_row *row, size_t begin, bool fresh, uint32_t expiry);

#endif
