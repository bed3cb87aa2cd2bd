/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_detail - `stats detail`: reads, hits, stores and deletes by the keys' prefix. Owned by the struct cmd.
 */
#ifndef TAGCACHED_CMD_CMD_DETAIL_H
#define TAGCACHED_CMD_CMD_DETAIL_H

#include "cmd/session.h"
#include "proto/text.h"

enum cmd_detail_kind { CMD_DETAIL_GET, CMD_DETAIL_HIT, CMD_DETAIL_SET, CMD_DETAIL_DELETE };

/* Counts; to be called only while CMD_OBSERVE_DETAIL is set. The session's worker. */
void cmd_detail_count(struct session *s, enum cmd_detail_kind kind, const char *key, size_t n);
/* `stats detail on|off|dump`; arg NULL if there was none. */
void cmd_detail_command(struct session *s, const struct text_token *arg);

/* Makes, empties (`stats reset`, any worker) and frees the tables. 0 or -ENOMEM. */
int cmd_detail_new(struct cmd *cmd);
void cmd_detail_reset(struct cmd *cmd);
void cmd_detail_free(struct cmd *cmd);

#endif
