/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_parse_usual - lines of set, mg and ms as clients send them, each read once.
 *
 * Each function parses as many such lines from b->at on as there are, with their blocks, which have to be here. False:
 * the first line is not such a one, and is for parse_next (cmd_parse.c), which reads every line.
 */
#ifndef TAGCACHED_CMD_CMD_PARSE_USUAL_H
#define TAGCACHED_CMD_CMD_PARSE_USUAL_H

#include "cmd/cmd_batch.h"

/* set: single blanks, short numbers, an ordinary key (text_store_usual). */
bool cmd_parse_sets(struct batch *b) __attribute__((noinline));
/* mg and ms: an ordinary key. The flags are read here, too, if they are of those that the quick paths serve. */
bool cmd_parse_mgs(struct batch *b) __attribute__((noinline));
bool cmd_parse_mss(struct batch *b) __attribute__((noinline));

#endif
