/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_detail - `stats detail`: reads, hits, stores and deletes by the keys' prefix. Owned by the struct cmd.
 */
#ifndef TAGCACHED_CMD_CMD_DETAIL_H
#define TAGCACHED_CMD_CMD_DETAIL_H

#include "cmd/cmd_stat_line.h"
#include "cmd/session.h"
#include "proto/text.h"

enum cmd_detail_kind { CMD_DETAIL_GET, CMD_DETAIL_HIT, CMD_DETAIL_SET, CMD_DETAIL_DELETE };

/* Counts; to be called only while CMD_OBSERVE_DETAIL is set. The session's worker. */
void cmd_detail_count(struct session *s, enum cmd_detail_kind kind, const char *key, size_t n);
/* Turns it on or off. False: the word is neither. */
bool cmd_detail_switch(struct cmd *cmd, const struct text_token *word);
/* `stats detail dump`: lines of text; in the binary protocol the value of one packet. */
void cmd_detail_dump(const struct cmd_stat_line *to);

/* Makes, empties (`stats reset`, any worker) and frees the tables. 0 or -ENOMEM. */
int cmd_detail_new(struct cmd *cmd);
void cmd_detail_reset(struct cmd *cmd);
void cmd_detail_free(struct cmd *cmd);

#endif
