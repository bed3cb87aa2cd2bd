/* SPDX-License-Identifier: BSD-3-Clause
 *
 * cmd_stats - `stats`, in both protocols. On the session's worker, outside any section.
 */
#ifndef TAGCACHED_CMD_CMD_STATS_H
#define TAGCACHED_CMD_CMD_STATS_H

#include "cmd/request.h"
#include "cmd/session.h"
#include "proto/text.h"

/* Answers r with a group: words[0..n) are its name and what follows it; the first three count. None: the general one.
 */
void cmd_stats_show(struct session *s, const struct request *r, const struct text_token *words, unsigned n);

#endif
