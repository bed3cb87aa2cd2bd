/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_stats - `stats`: every counter and gauge of the node, in groups.
 *
 * What is shown stands as rows in stats.*.def, each name once; a group is a table of them or a function. Owned by the
 * struct cmd. Functions run on the session's worker unless they say otherwise.
 */
#ifndef TAGCACHED_CMD_CMD_STATS_H
#define TAGCACHED_CMD_CMD_STATS_H

#include "cmd/cmd_internal.h"

struct cmd_detail_table; /* cmd_detail.c */

struct cmd_stats {
    uint64_t started_ns;             /* the clock when the instance was made */
    uint32_t sizes;                  /* `stats sizes` is on; relaxed */
    struct cmd_detail_table *detail; /* one a worker */
    uint32_t prefixes;               /* in all tables; relaxed */
    uint32_t warned;                 /* commands without effect that the log has told of; bits */
    uint64_t lost;                   /* keys not counted because there were too many prefixes; relaxed */
};

/* Seconds since the instance was made. Any thread. */
uint64_t cmd_uptime_s(const struct cmd *cmd);
/* Appends `STAT <name> <value>`. name and value are short. */
void cmd_stats_line(struct session *s, const char *name, const char *value);

/* cmd_detail.c: `stats detail on|off|dump`; arg NULL if there was none. */
void cmd_detail_command(struct session *s, const struct text_token *arg);
/* Makes, empties (`stats reset`, any worker) and frees the tables. 0 or -ENOMEM. */
int cmd_detail_new(struct cmd *cmd);
void cmd_detail_reset(struct cmd *cmd);
void cmd_detail_free(struct cmd *cmd);

/* cmd_conns.c: `stats conns`. */
void cmd_conns_command(struct session *s);

#endif
