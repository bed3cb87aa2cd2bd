/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_parse_block - storage lines of any form, and the blocks behind them.
 */
#ifndef TAGCACHED_CMD_CMD_PARSE_BLOCK_H
#define TAGCACHED_CMD_CMD_PARSE_BLOCK_H

#include "cmd/cmd_batch.h"

/* A line of set & co, or of ms, without its block. True: *length bytes of block follow (and r->error may say that they
 * are refused). The flags of ms are read when it is run; a key that needs them to be one is looked at again then. */
bool cmd_parse_block_set_line(struct session *s, struct request *r, uint64_t *length);
bool cmd_parse_block_ms_line(struct session *s, struct request *r, uint64_t *length);

/* Whether a key's suffix, if it is a list of tags, holds no more than an item may carry. */
bool cmd_parse_block_fits(struct session *s, const struct request *r);

/* Either line and its block; the line began at `begin`. False: the request is not to be run now. */
bool cmd_parse_block_line(struct batch *b, struct request *r, size_t begin);

/* Finds the block of `length` bytes behind a line or the head of a packet, which began at `begin`; one that is too
 * large to wait for is left to cmd_body.h. False: the request is not to be run now. */
bool cmd_parse_block_take(struct batch *b, struct request *r, size_t begin, uint64_t length);
/* Finds a block that is waited for in the input. False: it is not all here. */
bool cmd_parse_block_small(struct batch *b, struct request *r, size_t begin, uint64_t length);

/* Refuses a block: the request ends with its line, the block is discarded, and nothing behind it is parsed now. */
void cmd_parse_block_refuse(struct batch *b, struct request *r, uint64_t length, enum cmd_error error);

/* Parses one storage line without looking for its block: for a line that was kept while its block was uploaded. */
void cmd_parse_block_kept(struct session *s, const struct cmd_row *row, const char *line, size_t n, struct request *r);

#endif
